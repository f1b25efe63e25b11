// The segments of a job: the stage and the window of each. Uses neither the document nor the
// network.

/** @typedef {'' | 'stored' | 'detected' | 'painted' | 'failed'} Stage */

/** @param {import('./api.js').Range[]} ranges */
function expand(ranges) {
  /** @type {Set<number>} */
  const indexes = new Set();
  for (const [first, last] of ranges) {
    for (let index = first; index <= last; index += 1) indexes.add(index);
  }
  return indexes;
}

// Times of the player are rounded: within this many seconds a border counts as reached.
const TOLERANCE_S = 1e-4;

export class Model {
  /** @type {Set<number>} */
  stored = new Set();
  /** @type {Set<number>} */
  detected = new Set();
  /** @type {Set<number>} */
  painted = new Set();
  /** @type {Set<number>} */
  failed = new Set();
  /** @type {number | null} */
  total = null;
  /** @type {import('./api.js').TimeWindow[]} */
  #windows = [];
  #containerDuration = 0;
  /** @type {number | null} */
  #end = null;

  /**
   * Take over the state of the job. Returns whether a segment changed.
   * @param {import('./api.js').JobState} state
   */
  update(state) {
    const before = this.#summary();
    this.stored = expand(state.segments.stored);
    this.detected = expand(state.segments.detected);
    this.painted = expand(state.segments.painted);
    this.failed = expand(state.segments.failed);
    this.total = state.total;
    this.#containerDuration = state.duration_s ?? 0;
    this.#end = state.end_s;
    const { from, times } = state.windows;
    times.forEach((window, at) => { this.#windows[from + at] = window; });
    return before !== this.#summary();
  }

  // Segments only ever move on to a later stage, so the sizes show every change.
  #summary() {
    const stages = [this.stored, this.detected, this.painted, this.failed];
    return [this.total, this.#windows.length, ...stages.map((indexes) => indexes.size)].join();
  }

  /** The number of windows that are known, from the first segment on. */
  get known() {
    return this.#windows.length;
  }

  /** The number of segments so far. */
  get segments() {
    return this.total ?? this.stored.size;
  }

  /**
   * The duration in seconds. Until the upload has ended it is the one that the source's container
   * states.
   */
  get duration() {
    return this.#end ?? Math.max(this.#containerDuration, this.#windows.at(-1)?.[1] ?? 0);
  }

  /**
   * @param {number} index
   * @returns {import('./api.js').TimeWindow | undefined}
   */
  window(index) {
    return this.#windows[index];
  }

  /**
   * The segment that plays at a time. Behind the known windows it is estimated from their mean
   * length.
   * @param {number} time
   */
  at(time) {
    const next = this.#firstAfter(time);
    if (next === 0) return 0;
    const [, end] = this.#windows[next - 1];
    if (next < this.known || time < end - TOLERANCE_S) return next - 1;
    if (this.total !== null && next >= this.total) return this.total - 1;
    const mean = Math.max(0.1, end / next);
    return next + Math.floor((time - end) / mean);
  }

  /**
   * The first segment that starts after a time, by binary search.
   * @param {number} time
   */
  #firstAfter(time) {
    let [low, high] = [0, this.known];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#windows[middle][0] <= time + TOLERANCE_S) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /**
   * @param {number} index
   * @returns {Stage}
   */
  stage(index) {
    if (this.painted.has(index)) return 'painted';
    if (this.failed.has(index)) return 'failed';
    if (this.detected.has(index)) return 'detected';
    return this.stored.has(index) ? 'stored' : '';
  }

  /**
   * The first segment from `index` on that is still to be painted; null if there is none.
   * @param {number} index
   */
  nextUnpainted(index) {
    let next = index;
    while (this.painted.has(next) || this.failed.has(next)) next += 1;
    return this.total !== null && next >= this.total ? null : next;
  }

  /** Whether all segments are painted or failed. */
  get settled() {
    return this.total !== null && this.painted.size + this.failed.size >= this.total;
  }

  /** The last painted segment once all are settled; -1 before that or if none is painted. */
  get last() {
    return this.settled && this.painted.size ? Math.max(...this.painted) : -1;
  }

  /** Neighbouring segments at the same stage, merged; start and end are seconds. */
  runs() {
    /** @type {{ stage: Stage, start: number, end: number }[]} */
    const runs = [];
    this.#windows.forEach(([start, end], index) => {
      const stage = this.stage(index);
      const previous = runs.at(-1);
      if (previous?.stage === stage) previous.end = end;
      else runs.push({ stage, start, end });
    });
    // Audio may be longer than the frames: the last run reaches to the end of both.
    const last = runs.at(-1);
    if (last && this.known === this.total) last.end = this.duration;
    return runs;
  }
}
