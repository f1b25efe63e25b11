// One SourceBuffer: loads segments, appends and removes them one at a time, and knows what it
// holds.

import { getBytes } from './api.js';

const MAX_APPENDS = 3;
const MAX_BACKOFF_MS = 15000;

/**
 * The end of the operation that the buffer does next.
 * @param {SourceBuffer} buffer
 * @returns {Promise<void>}
 */
function updated(buffer) {
  return new Promise((resolve, reject) => {
    buffer.addEventListener('updateend', () => resolve(), { once: true });
    const onError = () => reject(new Error('The browser cannot play this segment.'));
    buffer.addEventListener('error', onError, { once: true });
  });
}

export class Track {
  #buffer;
  #url;
  #mime;
  /** @type {Map<number, number>} */
  #appends = new Map();
  /** @type {AbortController | null} */
  #abort = null;
  #failures = 0;
  #retryAt = 0;

  /**
   * @param {MediaSource} source
   * @param {string} mime
   * @param {(index: number) => string} url of a segment
   */
  constructor(source, mime, url) {
    this.#buffer = source.addSourceBuffer(mime);
    this.#mime = mime;
    this.#url = url;
  }

  get updating() {
    return this.#buffer.updating;
  }

  get buffered() {
    return this.#buffer.buffered;
  }

  /**
   * Whether the middle of a window is buffered. The borders may be off by a rounding, and browsers
   * drop played media.
   * @param {import('./api.js').TimeWindow} window
   */
  holds([start, end]) {
    const middle = (start + end) / 2;
    const { buffered } = this;
    for (let at = 0; at < buffered.length; at += 1) {
      if (buffered.start(at) <= middle && middle < buffered.end(at)) return true;
    }
    return false;
  }

  /**
   * Whether to load a segment: it is not buffered, and was not appended in vain several times.
   * @param {number} index
   * @param {import('./api.js').TimeWindow} window
   */
  lacks(index, window) {
    return !this.holds(window) && (this.#appends.get(index) ?? 0) < MAX_APPENDS;
  }

  /** Whether the next attempt has to wait after a failure. */
  get backingOff() {
    return performance.now() < this.#retryAt;
  }

  backOff() {
    this.#failures += 1;
    this.#retryAt = performance.now() + Math.min(MAX_BACKOFF_MS, 500 * 2 ** this.#failures);
  }

  /** @param {number} index */
  async load(index) {
    this.#abort = new AbortController();
    const { data, mime } = await getBytes(this.#url(index), this.#abort.signal);
    // One track may be copied in some segments and encoded in others.
    if (mime !== this.#mime && mime.includes('codecs=')) {
      this.#buffer.changeType(mime);
      this.#mime = mime;
    }
    return data;
  }

  /**
   * @param {number} index
   * @param {ArrayBuffer} data
   */
  async append(index, data) {
    this.#appends.set(index, (this.#appends.get(index) ?? 0) + 1);
    const done = updated(this.#buffer);
    // If appendBuffer throws, this promise is not awaited: a later error event must not count as
    // unhandled.
    done.catch(() => {});
    this.#buffer.appendBuffer(data);
    await done;
    this.#failures = 0;
  }

  /**
   * @param {number} start
   * @param {number} end
   */
  async remove(start, end) {
    if (end <= start || this.#buffer.buffered.length === 0) return;
    const done = updated(this.#buffer);
    this.#buffer.remove(start, end);
    await done;
  }

  /**
   * After a seek: drop the current download, as another segment comes first, and allow failed ones
   * again.
   */
  reset() {
    this.#abort?.abort();
    this.#appends.clear();
    this.#retryAt = 0;
  }
}
