// What is known of a job's segments: how far each one is, and when it plays. No document, no network.

function expand(runs) {
  const indexes = new Set();
  for (const [first, last] of runs) {
    for (let index = first; index <= last; index += 1) indexes.add(index);
  }
  return indexes;
}

export class Model {
  stored = new Set();
  detected = new Set();
  painted = new Set();
  failed = new Set();
  total = null;
  #windows = [];
  #saidLength = 0;
  #ends = null;

  // Takes in an answer of the server. Returns whether something changed.
  take(state) {
    const before = JSON.stringify([this.total, this.#windows.length, ...this.#sizes()]);
    this.stored = expand(state.segments.stored);
    this.detected = expand(state.segments.detected);
    this.painted = expand(state.segments.painted);
    this.failed = expand(state.segments.failed);
    this.total = state.total;
    this.#saidLength = state.duration_s ?? 0;
    this.#ends = state.end_s;
    const { from, times } = state.windows;
    times.forEach((window, at) => { this.#windows[from + at] = window; });
    return before !== JSON.stringify([this.total, this.#windows.length, ...this.#sizes()]);
  }

  #sizes() {
    return [this.stored, this.detected, this.painted, this.failed].map((indexes) => indexes.size);
  }

  // How many windows are known; all of them from the first on.
  get known() {
    return this.#windows.length;
  }

  // How many segments there are, as far as one can tell.
  get segments() {
    return this.total ?? this.stored.size;
  }

  // Until when there is picture or sound, as far as one can tell.
  get length() {
    return this.#ends ?? Math.max(this.#saidLength, this.#windows.at(-1)?.[1] ?? 0);
  }

  window(index) {
    return this.#windows[index];
  }

  // The segment that plays at a time; beyond the known ones, about which one it will be.
  at(time) {
    let [low, high] = [0, this.known];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#windows[middle][0] <= time + 1e-4) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return 0;
    const [, end] = this.#windows[low - 1];
    if (low < this.known || time < end - 1e-4) return low - 1;
    if (this.total !== null && low >= this.total) return this.total - 1;
    return low + Math.floor((time - end) / Math.max(0.1, end / low));
  }

  stage(index) {
    if (this.painted.has(index)) return 'painted';
    if (this.failed.has(index)) return 'failed';
    if (this.detected.has(index)) return 'found';
    return this.stored.has(index) ? 'stored' : '';
  }

  // Whether nothing will come any more.
  get settled() {
    return this.total !== null && this.painted.size + this.failed.size >= this.total;
  }

  // The last segment there is to play, once nothing will come any more; -1 before that or if there is none.
  get last() {
    return this.settled && this.painted.size ? Math.max(...this.painted) : -1;
  }

  // Neighbouring segments at the same stage, as [stage, start, end] in seconds.
  runs() {
    const runs = [];
    this.#windows.forEach(([start, end], index) => {
      const stage = this.stage(index);
      const before = runs.at(-1);
      if (before && before[0] === stage) before[2] = end;
      else runs.push([stage, start, end]);
    });
    if (runs.length && this.known === this.total) runs.at(-1)[2] = this.length;
    return runs;
  }
}
