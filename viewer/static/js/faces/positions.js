// The faces of each frame, loaded by segment around the playhead and cached for a while.

import { getJson } from '../api.js';

const CACHED_SEGMENTS = 24;
const RETRY_MS = 5000;
// Browsers round times to microseconds: a frame may seem to be shown a little early.
const ROUNDING_S = 0.001;

/** @typedef {import('../api.js').TrackedFrame} TrackedFrame */

export class Positions {
  #model;
  #url;
  #onLoad;
  // By segment; null while it is being loaded.
  /** @type {Map<number, TrackedFrame[] | null>} */
  #frames = new Map();
  /** @type {Map<number, number>} */
  #retryAt = new Map();

  /**
   * @param {import('../model.js').Model} model
   * @param {(index: number) => string} url of a segment's faces
   * @param {() => void} onLoad called when the faces of a segment are loaded
   */
  constructor(model, url, onLoad) {
    this.#model = model;
    this.#url = url;
    this.#onLoad = onLoad;
  }

  /**
   * The faces of the frame that is shown at a time; none while they are being loaded.
   * @param {number} time
   */
  at(time) {
    const index = this.#model.at(time + ROUNDING_S);
    const frames = this.#segment(index);
    this.#segment(index + 1);
    if (!frames?.length) return [];
    let [low, high] = [0, frames.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (frames[middle][0] <= time + ROUNDING_S) low = middle + 1;
      else high = middle;
    }
    return frames[Math.max(0, low - 1)][1];
  }

  /** @param {number} index */
  #segment(index) {
    if (index < 0 || index >= this.#model.known) return null;
    const isDue = performance.now() > (this.#retryAt.get(index) ?? 0);
    if (isDue && !this.#frames.has(index)) this.#load(index);
    return this.#frames.get(index);
  }

  /** @param {number} index */
  async #load(index) {
    this.#frames.set(index, null);
    try {
      const { frames } = await getJson(this.#url(index));
      this.#frames.set(index, frames);
      const oldest = [...this.#frames.keys()].slice(0, -CACHED_SEGMENTS);
      for (const old of oldest) this.#frames.delete(old);
      this.#onLoad();
    } catch {
      // The page's poll reports a viewer that is gone; here a later frame tries again.
      this.#frames.delete(index);
      this.#retryAt.set(index, performance.now() + RETRY_MS);
    }
  }
}
