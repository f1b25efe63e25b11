// Requests to the server's API, once or repeatedly, and the shape of its responses.

/**
 * Inclusive range of segment numbers.
 * @typedef {[first: number, last: number]} Range
 */

/**
 * A segment's window in seconds of the player.
 * @typedef {[start: number, end: number]} TimeWindow
 */

/**
 * @typedef {object} Look
 * @property {string} id
 * @property {string} title
 * @property {string[]} filters each with its options, as on the command line
 * @property {number[]} keep numbers of people
 * @property {number[]} only numbers of people
 * @property {string} state
 * @property {number} painted
 * @property {number} failed
 * @property {number} blank
 */

/**
 * @typedef {object} JobRow
 * @property {string} id
 * @property {string} [error] why nothing else is known
 * @property {string} name
 * @property {'video' | 'images'} kind
 * @property {string} created
 * @property {number | null} duration_s
 * @property {string | null} state null: not read yet
 * @property {number | null} total null: still uploading
 * @property {number} stored
 * @property {number} detected
 * @property {Look[]} looks
 */

/**
 * @typedef {object} JobList
 * @property {JobRow[]} jobs
 * @property {number} workers
 */

/**
 * @typedef {object} JobState
 * @property {string} id
 * @property {string} name
 * @property {'video' | 'images'} kind
 * @property {string} created
 * @property {string} state
 * @property {number | null} total null: still uploading
 * @property {string} truncated
 * @property {number | null} duration_s
 * @property {string | null} look
 * @property {Look[]} looks
 * @property {{ stored: Range[], detected: Range[], painted: Range[], failed: Range[] }} segments
 * @property {{ from: number, times: TimeWindow[] }} windows
 * @property {number | null} end_s
 * @property {{ width: number, height: number, aspect: number, mime: string | null } | null} video
 * @property {{ language: string, title: string, mime: string }[]} audio
 * @property {string[]} images
 * @property {number} workers
 * @property {string} waiting
 */

/**
 * @typedef {object} Person
 * @property {number} number
 * @property {number} first_s
 * @property {number} last_s
 * @property {number} best_s
 * @property {boolean} low_confidence
 * @property {boolean} has_portrait
 */

/** @typedef {{ name: string, summary: string, redacts: boolean }} Filter */

/**
 * @typedef {object} People
 * @property {'tracked' | 'ready' | 'requested' | 'waiting' | 'failed'} state
 * @property {string} reason
 * @property {number} workers
 * @property {Person[]} people
 * @property {Filter[]} filters
 */

/**
 * A face in a frame; the box is in shares of the frame's width and height.
 * @typedef {[person: number, left: number, top: number, width: number, height: number]} Face
 */

/** @typedef {[time: number, faces: Face[]]} TrackedFrame */

/** The server refused a request, or did not respond (`status` 0). */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {number} status
   */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/**
 * What was thrown, as an Error.
 * @param {unknown} thrown
 * @returns {Error}
 */
export function asError(thrown) {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

/**
 * @param {string} path
 * @param {RequestInit} options
 */
async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (asError(error).name === 'AbortError') throw error;
    throw new ApiError('The viewer is not responding. Is it still running?', 0);
  }
  if (response.ok) return response;
  const { error } = await response.json().catch(() => ({}));
  const { status } = response;
  throw new ApiError(error ?? `The viewer responded with status ${status}.`, status);
}

/**
 * @param {string} path
 * @returns {Promise<any>}
 */
export async function getJson(path) {
  return (await request(path, {})).json();
}

/**
 * @param {string} path
 * @param {object} content
 * @returns {Promise<any>}
 */
export async function postJson(path, content) {
  const headers = { 'Content-Type': 'application/json' };
  return (await request(path, { method: 'POST', headers, body: JSON.stringify(content) })).json();
}

/**
 * @param {string} path
 * @param {AbortSignal} signal
 * @returns {Promise<{ data: ArrayBuffer, mime: string }>}
 */
export async function getBytes(path, signal) {
  const response = await request(path, { signal });
  return { data: await response.arrayBuffer(), mime: response.headers.get('content-type') ?? '' };
}

const MAX_PAUSE_MS = 15000;

/**
 * Calls `step` repeatedly. It returns after how many milliseconds it is to be called next, or null
 * to stop.
 *
 * While it throws, the pauses double, and `failed` is called with the error and the pause; false
 * stops. A page in the background pauses, unless it is `busy`: playing.
 */
export class Poll {
  #step;
  #failed;
  #busy;
  /** @type {number | undefined} */
  #timer;
  #running = false;
  #again = false;
  #failures = 0;

  /**
   * @param {object} options
   * @param {() => Promise<number | null>} options.step
   * @param {(error: Error, pause: number) => boolean | void} options.failed
   * @param {() => boolean} [options.busy]
   */
  constructor({ step, failed, busy = () => false }) {
    this.#step = step;
    this.#failed = failed;
    this.#busy = busy;
    document.addEventListener('visibilitychange', () => { if (!document.hidden) this.soon(); });
  }

  /** Call `step` now, or again after the call that is running. */
  soon() {
    clearTimeout(this.#timer);
    if (this.#running) this.#again = true;
    else this.#run();
  }

  async #run() {
    this.#running = true;
    this.#again = false;
    let pause;
    try {
      pause = await this.#step();
      this.#failures = 0;
    } catch (thrown) {
      pause = Math.min(MAX_PAUSE_MS, 1000 * 2 ** this.#failures);
      this.#failures += 1;
      if (this.#failed(asError(thrown), pause) === false) pause = null;
    }
    this.#running = false;
    if (this.#again) this.#run();
    else if (pause !== null) this.#timer = setTimeout(() => this.#due(), pause);
  }

  #due() {
    if (!document.hidden || this.#busy()) this.#run();
  }
}
