// Asking the server, once and again.

export class AskError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function answerOf(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new AskError('The viewer is not responding. Is it still running?', 0);
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  throw new AskError(told.error ?? `The viewer answered ${answer.status}.`, answer.status);
}

export async function askJson(path, signal) {
  return (await answerOf(path, { signal })).json();
}

// Ask for something to be done.
export async function post(path, wish) {
  const headers = { 'Content-Type': 'application/json' };
  return (await answerOf(path, { method: 'POST', headers, body: JSON.stringify(wish) })).json();
}

export async function askBytes(path, signal) {
  const answer = await answerOf(path, { signal });
  return { data: await answer.arrayBuffer(), mime: answer.headers.get('content-type') };
}

const LONGEST_MS = 15000;

// Calls `step` again and again. It returns after how many milliseconds it wants to be called next, or null to end;
// while it throws, the pauses double. A page nobody sees rests, unless `busy` says that it plays.
export class Poll {
  #step;
  #failed;
  #busy;
  #timer = 0;
  #running = false;
  #again = false;
  #troubles = 0;

  constructor({ step, failed, busy = () => false }) {
    this.#step = step;
    this.#failed = failed;
    this.#busy = busy;
    document.addEventListener('visibilitychange', () => { if (!document.hidden) this.soon(); });
  }

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
      this.#troubles = 0;
    } catch (error) {
      this.#troubles += 1;
      pause = Math.min(LONGEST_MS, 1000 * 2 ** (this.#troubles - 1));
      if (this.#failed(error, pause) === false) pause = null;
    }
    this.#running = false;
    if (this.#again) this.#run();
    else if (pause !== null) this.#timer = setTimeout(() => this.#due(), pause);
  }

  #due() {
    if (!document.hidden || this.#busy()) this.#run();
  }
}
