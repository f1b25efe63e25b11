// One SourceBuffer: what it was given, what it still holds, appending and removing one after another.

import { askBytes } from './api.js';

const TRIES = 3;
const LONGEST_REST_MS = 15000;

function ended(buffer) {
  return new Promise((resolve, reject) => {
    buffer.addEventListener('updateend', resolve, { once: true });
    buffer.addEventListener('error', () => reject(new Error('The browser cannot play this segment.')), { once: true });
  });
}

export class Track {
  #buffer;
  #url;
  #mime;
  #tries = new Map();
  #abort = null;
  #troubles = 0;
  #restUntil = 0;

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

  // Whether the middle of a window is there. A browser may drop what was played to make room.
  holds([start, end]) {
    const middle = (start + end) / 2;
    const { buffered } = this;
    for (let at = 0; at < buffered.length; at += 1) {
      if (buffered.start(at) <= middle && middle < buffered.end(at)) return true;
    }
    return false;
  }

  // Whether a segment is worth loading: not there, and not appended in vain before.
  wants(index, window) {
    return !this.holds(window) && (this.#tries.get(index) ?? 0) < TRIES;
  }

  // Whether the last attempt failed so recently that the next one has to wait.
  get resting() {
    return performance.now() < this.#restUntil;
  }

  failed() {
    this.#troubles += 1;
    this.#restUntil = performance.now() + Math.min(LONGEST_REST_MS, 500 * 2 ** this.#troubles);
  }

  async load(index) {
    this.#abort = new AbortController();
    const { data, mime } = await askBytes(this.#url(index), this.#abort.signal);
    if (mime !== this.#mime && mime.includes('codecs=')) {
      this.#buffer.changeType(mime);
      this.#mime = mime;
    }
    return data;
  }

  async append(index, data) {
    this.#tries.set(index, (this.#tries.get(index) ?? 0) + 1);
    const done = ended(this.#buffer);
    done.catch(() => {});
    this.#buffer.appendBuffer(data);
    await done;
    this.#troubles = 0;
  }

  async remove(start, end) {
    if (end <= start || this.#buffer.buffered.length === 0) return;
    const done = ended(this.#buffer);
    this.#buffer.remove(start, end);
    await done;
  }

  // After a jump: what was being loaded is not wanted first any more, and what failed may be tried again.
  jumped() {
    this.#abort?.abort();
    this.#tries.clear();
    this.#restUntil = 0;
  }
}
