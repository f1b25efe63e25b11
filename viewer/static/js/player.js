// Plays a job while it is being painted: loads painted segments ahead of the playhead into a MediaSource, lets go of
// what was played, steps over what was given up, and knows which segment it waits for.

import { Track } from './track.js';

const AHEAD_S = 30;
const BEHIND_S = 30;
const LEAST_AHEAD_S = 6;
const GAP_S = 0.5;
const TICK_MS = 250;

const Source = globalThis.ManagedMediaSource ?? globalThis.MediaSource;
const AAC = 'audio/mp4; codecs="mp4a.40.2"';

// Whether this browser says it can play a stream; on some phones only the video element knows.
export function canPlay(video, mime) {
  return Boolean(Source?.isTypeSupported(mime) || video.canPlayType(mime));
}

// Whether a video has what it needs for now: it has ended, it has data ahead, or it rests on a frame.
function isPlaying(video) {
  const resting = video.paused && !video.seeking && video.readyState === HTMLMediaElement.HAVE_CURRENT_DATA;
  return video.ended || video.readyState > HTMLMediaElement.HAVE_CURRENT_DATA || resting;
}

export class Player {
  #video;
  #model;
  #urls;
  #source = null;
  #tracks = [];
  #ahead = AHEAD_S;
  #loading = new Set();
  #onTrouble;

  constructor({ video, model, urls, onTrouble }) {
    this.#video = video;
    this.#model = model;
    this.#urls = urls;
    this.#onTrouble = onTrouble;
    video.addEventListener('seeking', () => this.#jumped());
    setInterval(() => this.tick(), TICK_MS);
  }

  get opened() {
    return this.#source !== null || this.#video.hasAttribute('src');
  }

  // Begin, once the first painted segment tells the codec. `sound` is a number of the job's audio tracks, or null.
  async open(state, sound) {
    const videoMime = state.video.mime;
    if (!Source?.isTypeSupported(videoMime)) {
      this.#video.src = this.#urls.playlist;
      return;
    }
    const source = new Source();
    this.#source = source;
    this.#video.disableRemotePlayback = true;
    this.#video.src = URL.createObjectURL(source);
    await new Promise((resolve) => { source.addEventListener('sourceopen', resolve, { once: true }); });
    source.addEventListener?.('startstreaming', () => this.tick());
    const tracks = [new Track(source, videoMime, this.#urls.segment)];
    if (sound !== null) {
      const { mime } = state.audio[sound];
      const copied = mime && Source.isTypeSupported(mime);
      const url = (index) => this.#urls.sound(sound, index) + (copied ? '' : '?as=aac');
      tracks.push(new Track(source, copied ? mime : AAC, url));
    }
    this.#tracks = tracks;
    this.tick();
  }

  // Start over with another sound, at the same place.
  async reopen(state, sound) {
    const { currentTime, paused } = this.#video;
    const old = this.#video.src;
    this.#tracks = [];
    await this.open(state, sound);
    if (old.startsWith('blob:')) URL.revokeObjectURL(old);
    this.#video.currentTime = currentTime;
    if (!paused) await this.#video.play();
  }

  // The segment that keeps it from playing, or null. `painted` ones are on their way.
  get need() {
    const video = this.#video;
    if (isPlaying(video)) return null;
    const model = this.#model;
    let index = model.at(video.currentTime);
    const window = model.window(index);
    const atEnd = window && window[1] - video.currentTime < GAP_S && this.#held(index);
    if (atEnd && index + 1 !== model.total) index += 1;
    while (model.failed.has(index)) index += 1;
    return model.total !== null && index >= model.total ? null : index;
  }

  // The next segment from the playhead on that is still to be painted, or null.
  get lacking() {
    const model = this.#model;
    let index = model.at(this.#video.currentTime);
    while (model.painted.has(index) || model.failed.has(index)) index += 1;
    return model.total !== null && index >= model.total ? null : index;
  }

  #held(index) {
    const window = this.#model.window(index);
    return window !== undefined && this.#tracks.every((track) => track.holds(window));
  }

  tick() {
    if (this.#source === null || this.#source.readyState === 'closed') return;
    for (const track of this.#tracks) this.#fill(track);
    this.#stretch();
    this.#stepOverGap();
    this.#finish();
  }

  async #fill(track) {
    if (this.#loading.has(track) || track.resting) return;
    this.#loading.add(track);
    try {
      for (let index = this.#next(track); index !== null; index = this.#next(track)) {
        const data = await track.load(index);
        if (!this.#tracks.includes(track)) return;
        await this.#append(track, index, data);
        this.#finish();
      }
    } catch (error) {
      if (error.name === 'AbortError') return;
      track.failed();
      this.#onTrouble(error);
    } finally {
      this.#loading.delete(track);
    }
  }

  // The next segment from the playhead on that is painted and not there yet.
  #next(track) {
    const model = this.#model;
    const now = this.#video.currentTime;
    if (this.#source.streaming === false && this.#video.readyState > 2) return null;
    for (let index = model.at(now); index < model.known; index += 1) {
      const window = model.window(index);
      if (window[0] > now + this.#ahead) return null;
      if (model.failed.has(index)) continue;
      if (!model.painted.has(index)) return null;
      if (track.wants(index, window)) return index;
    }
    return null;
  }

  async #append(track, index, data) {
    const now = this.#video.currentTime;
    const { buffered } = track;
    if (buffered.length && buffered.start(0) < now - 2 * BEHIND_S) await track.remove(0, now - BEHIND_S);
    try {
      await track.append(index, data);
    } catch (error) {
      if (error.name !== 'QuotaExceededError') throw error;
      this.#ahead = Math.max(LEAST_AHEAD_S, this.#ahead / 2);
      await track.remove(0, Math.max(0, now - 1));
      if (now + this.#ahead < this.#source.duration) await track.remove(now + this.#ahead, Infinity);
      await track.append(index, data);
    }
  }

  // The element's length follows what is known of the job's.
  #stretch() {
    const source = this.#source;
    const { length } = this.#model;
    const idle = source.readyState === 'open' && !this.#tracks.some((track) => track.updating);
    if (idle && length > 0 && !(source.duration >= length)) source.duration = length;
  }

  // Between segments lies at most a rounding, but one that was given up leaves a hole.
  #stepOverGap() {
    const video = this.#video;
    if (video.readyState > 2 || video.seeking || video.paused) return;
    const { buffered, currentTime } = video;
    for (let at = 0; at < buffered.length; at += 1) {
      const start = buffered.start(at);
      if (start > currentTime) {
        if (start - currentTime < GAP_S || this.#givenUpBetween(currentTime, start)) video.currentTime = start + 0.001;
        return;
      }
    }
  }

  #givenUpBetween(from, until) {
    const first = this.#model.at(from + GAP_S / 5);
    const end = this.#model.at(until + GAP_S / 5);
    for (let index = first; index < end; index += 1) {
      if (!this.#model.failed.has(index)) return false;
    }
    return end > first;
  }

  #finish() {
    const { last } = this.#model;
    const source = this.#source;
    if (last < 0 || source.readyState !== 'open' || last >= this.#model.known) return;
    if (this.#tracks.length && !this.#tracks.some((track) => track.updating) && this.#held(last)) source.endOfStream();
  }

  #jumped() {
    const index = this.#model.at(this.#video.currentTime);
    if (this.#held(index)) return;
    for (const track of this.#tracks) track.jumped();
    this.tick();
  }
}
