// Where the faces of each frame are, loaded a segment at a time around the playhead and kept for a while.

import { askJson } from '../api.js';

const KEPT = 24;
// The browser's times are rounded to microseconds: a frame may seem to be shown that much too early.
const ROUNDING_S = 0.001;

export class Positions {
  #model;
  #url;
  #onLoad;
  #frames = new Map();
  #retryAt = new Map();

  constructor(model, url, onLoad) {
    this.#model = model;
    this.#url = url;
    this.#onLoad = onLoad;
  }

  // The faces of the frame shown at a time, each as [person, left, top, width, height] in shares of the picture.
  // None while they are being loaded; `onLoad` is called when they are there.
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

  #segment(index) {
    if (index < 0 || index >= this.#model.known) return null;
    if (!this.#frames.has(index) && performance.now() > (this.#retryAt.get(index) ?? 0)) this.#load(index);
    return this.#frames.get(index);
  }

  async #load(index) {
    this.#frames.set(index, null);
    try {
      const { frames } = await askJson(this.#url(index));
      this.#frames.set(index, frames);
      for (const old of [...this.#frames.keys()].slice(0, -KEPT)) this.#frames.delete(old);
      this.#onLoad();
    } catch {
      // The page's own asking tells of a viewer that is gone; here the next frame shown tries again, a little later.
      this.#frames.delete(index);
      this.#retryAt.set(index, performance.now() + 5000);
    }
  }
}
