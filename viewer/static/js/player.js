// Plays a job while it is being painted: loads painted segments ahead of the playhead into a
// MediaSource, removes what was played, skips failed segments, and knows which segment it waits
// for.

import { asError } from './api.js';
import { Track } from './track.js';

const AHEAD_S = 30;
const BEHIND_S = 30;
const MIN_AHEAD_S = 6;
const GAP_S = 0.5;
const TICK_MS = 250;

// ManagedMediaSource is the one of iPhones. It says by `streaming` when it wants data.
/** @typedef {MediaSource & { streaming?: boolean }} AnyMediaSource */
/** @type {typeof MediaSource | undefined} */
const Source = /** @type {any} */ (globalThis).ManagedMediaSource ?? globalThis.MediaSource;
const AAC = 'audio/mp4; codecs="mp4a.40.2"';

/** @typedef {import('./api.js').JobState} JobState */

/**
 * Whether this browser plays a codec, through MediaSource or only as the source of a video element
 * (HLS).
 * @param {HTMLVideoElement} video
 * @param {string} mime
 */
export function canPlay(video, mime) {
  return Boolean(Source?.isTypeSupported(mime) || video.canPlayType(mime));
}

/**
 * Whether a video has all that it needs now: it has ended, has data ahead, or is paused on a frame.
 * @param {HTMLVideoElement} video
 */
function isSatisfied(video) {
  const { HAVE_CURRENT_DATA } = HTMLMediaElement;
  const onFrame = video.paused && !video.seeking && video.readyState === HAVE_CURRENT_DATA;
  return video.ended || video.readyState > HAVE_CURRENT_DATA || onFrame;
}

export class Player {
  #video;
  #model;
  #urls;
  #onError;
  /** @type {AnyMediaSource | null} */
  #source = null;
  /** @type {Track[]} */
  #tracks = [];
  /** @type {Set<Track>} */
  #loading = new Set();
  #ahead = AHEAD_S;

  /**
   * @typedef {object} Urls
   * @property {(index: number) => string} segment
   * @property {(track: number, index: number) => string} audio
   * @property {string} playlist
   *
   * @param {object} options
   * @param {HTMLVideoElement} options.video
   * @param {import('./model.js').Model} options.model
   * @param {Urls} options.urls
   * @param {(error: Error) => void} options.onError
   */
  constructor({ video, model, urls, onError }) {
    this.#video = video;
    this.#model = model;
    this.#urls = urls;
    this.#onError = onError;
    video.addEventListener('seeking', () => this.#onSeek());
    setInterval(() => this.tick(), TICK_MS);
  }

  get opened() {
    return this.#source !== null || this.#video.hasAttribute('src');
  }

  /**
   * Open the job once its first painted segment states the codec.
   * @param {string} videoMime
   * @param {{ number: number, mime: string } | null} audio the track to play
   */
  async open(videoMime, audio) {
    if (!Source?.isTypeSupported(videoMime)) {
      // Older iPhones have no MediaSource, but play HLS.
      this.#video.src = this.#urls.playlist;
      return;
    }
    const source = new Source();
    this.#source = source;
    // ManagedMediaSource opens only with remote playback off.
    this.#video.disableRemotePlayback = true;
    this.#video.src = URL.createObjectURL(source);
    await new Promise((resolve) => {
      source.addEventListener('sourceopen', resolve, { once: true });
    });
    source.addEventListener('startstreaming', () => this.tick());
    this.#tracks = [new Track(source, videoMime, this.#urls.segment)];
    if (audio !== null) this.#tracks.push(this.#audioTrack(source, audio));
    this.tick();
  }

  /**
   * @param {MediaSource} source
   * @param {{ number: number, mime: string }} audio
   */
  #audioTrack(source, { number, mime }) {
    const copied = mime !== '' && Boolean(Source?.isTypeSupported(mime));
    const query = copied ? '' : '?as=aac';
    const url = (/** @type {number} */ index) => this.#urls.audio(number, index) + query;
    return new Track(source, copied ? mime : AAC, url);
  }

  /**
   * Open again with another audio track, at the same position.
   * @param {string} videoMime
   * @param {{ number: number, mime: string }} audio
   */
  async reopen(videoMime, audio) {
    const { currentTime, paused } = this.#video;
    const old = this.#video.src;
    this.#tracks = [];
    await this.open(videoMime, audio);
    if (old.startsWith('blob:')) URL.revokeObjectURL(old);
    this.#video.currentTime = currentTime;
    if (!paused) await this.#video.play();
  }

  /**
   * The segment without which the video cannot play now, or null. It may be painted and only has to
   * be loaded.
   */
  get blockedOn() {
    const video = this.#video;
    if (isSatisfied(video)) return null;
    const model = this.#model;
    let index = model.at(video.currentTime);
    const window = model.window(index);
    const nearEnd = window !== undefined && window[1] - video.currentTime < GAP_S;
    if (nearEnd && this.#holds(index) && index + 1 !== model.total) index += 1;
    while (model.failed.has(index)) index += 1;
    return model.total !== null && index >= model.total ? null : index;
  }

  /** The next segment from the playhead on that is still to be painted, or null. */
  get nextUnpainted() {
    return this.#model.nextUnpainted(this.#model.at(this.#video.currentTime));
  }

  /** @param {number} index */
  #holds(index) {
    const window = this.#model.window(index);
    return window !== undefined && this.#tracks.every((track) => track.holds(window));
  }

  get #updating() {
    return this.#tracks.some((track) => track.updating);
  }

  /** Load, and keep duration, gaps and end up to date. */
  tick() {
    if (this.#source === null || this.#source.readyState === 'closed') return;
    for (const track of this.#tracks) this.#fill(track);
    this.#updateDuration(this.#source);
    this.#skipGap();
    this.#endStream(this.#source);
  }

  /** @param {Track} track */
  async #fill(track) {
    if (this.#loading.has(track) || track.backingOff) return;
    this.#loading.add(track);
    try {
      for (let index = this.#nextToLoad(track); index !== null; index = this.#nextToLoad(track)) {
        const data = await track.load(index);
        // Meanwhile the job may have been opened again with other tracks.
        if (!this.#tracks.includes(track)) return;
        await this.#append(track, index, data);
        if (this.#source !== null) this.#endStream(this.#source);
      }
    } catch (thrown) {
      const error = asError(thrown);
      if (error.name === 'AbortError') return;
      track.backOff();
      this.#onError(error);
    } finally {
      this.#loading.delete(track);
    }
  }

  /**
   * The next segment from the playhead on that is painted and not buffered, or null.
   * @param {Track} track
   */
  #nextToLoad(track) {
    const model = this.#model;
    const now = this.#video.currentTime;
    const hasEnough = this.#source?.streaming === false;
    if (hasEnough && this.#video.readyState > HTMLMediaElement.HAVE_CURRENT_DATA) return null;
    for (let index = model.at(now); index < model.known; index += 1) {
      const window = model.window(index);
      if (window === undefined || window[0] > now + this.#ahead) return null;
      if (model.failed.has(index)) continue;
      if (!model.painted.has(index)) return null;
      if (track.lacks(index, window)) return index;
    }
    return null;
  }

  /**
   * @param {Track} track
   * @param {number} index
   * @param {ArrayBuffer} data
   */
  async #append(track, index, data) {
    const now = this.#video.currentTime;
    const { buffered } = track;
    if (buffered.length && buffered.start(0) < now - 2 * BEHIND_S) {
      await track.remove(0, now - BEHIND_S);
    }
    try {
      await track.append(index, data);
    } catch (thrown) {
      if (asError(thrown).name !== 'QuotaExceededError') throw thrown;
      // The browser's memory for this video is full: buffer less from now on.
      this.#ahead = Math.max(MIN_AHEAD_S, this.#ahead / 2);
      await track.remove(0, Math.max(0, now - 1));
      const duration = this.#source?.duration ?? 0;
      if (now + this.#ahead < duration) await track.remove(now + this.#ahead, Infinity);
      await track.append(index, data);
    }
  }

  /**
   * The duration grows while the job is uploaded. It can be set only while no buffer is updating.
   * @param {AnyMediaSource} source
   */
  #updateDuration(source) {
    const { duration } = this.#model;
    const settable = source.readyState === 'open' && !this.#updating;
    // NaN at first: every comparison with it is false.
    if (settable && duration > 0 && !(source.duration >= duration)) source.duration = duration;
  }

  // Neighbouring segments are apart by a rounding at most; a failed one leaves a gap as long as
  // itself.
  #skipGap() {
    const video = this.#video;
    if (video.seeking || video.paused) return;
    if (video.readyState > HTMLMediaElement.HAVE_CURRENT_DATA) return;
    const { buffered, currentTime } = video;
    for (let at = 0; at < buffered.length; at += 1) {
      const start = buffered.start(at);
      if (start <= currentTime) continue;
      if (start - currentTime < GAP_S || this.#allFailed(currentTime, start)) {
        video.currentTime = start + 0.001;
      }
      return;
    }
  }

  /**
   * Whether all segments between two times failed.
   * @param {number} from
   * @param {number} until
   */
  #allFailed(from, until) {
    const first = this.#model.at(from + GAP_S / 5);
    const stop = this.#model.at(until + GAP_S / 5);
    for (let index = first; index < stop; index += 1) {
      if (!this.#model.failed.has(index)) return false;
    }
    return stop > first;
  }

  /**
   * Without the end of the stream, browsers wait for more data instead of ending the video.
   * @param {AnyMediaSource} source
   */
  #endStream(source) {
    const { last } = this.#model;
    if (last < 0 || source.readyState !== 'open' || last >= this.#model.known) return;
    if (this.#tracks.length && !this.#updating && this.#holds(last)) source.endOfStream();
  }

  #onSeek() {
    if (this.#holds(this.#model.at(this.#video.currentTime))) return;
    for (const track of this.#tracks) track.reset();
    this.tick();
  }
}
