// Saves every edit at once. What could not be saved is kept and tried again until it is.

import { AskError } from '../ask.js';

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15000;

export async function readLabels(image, signal) {
  return exchange(`/api/picture?image=${encodeURIComponent(image)}`, { signal });
}

async function exchange(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new AskError('`facepaint detectors review` does not answer: is it still running?', 0);
  }
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new AskError(told.error ?? `The server answered ${answer.status}.`, answer.status);
  return { told, revision: answer.headers.get('etag') };
}

export class Saver {
  #waiting = new Map();
  #refused = new Map();
  #running = false;
  #wake = null;
  #said;
  #saved;
  #conflicted;

  // `said(state, message)` hears 'saving', 'saved' and 'failed'; `saved(labels)` what the file has now;
  // `conflicted(labels)` that somebody else changed the picture, so that nothing was saved.
  constructor({ said, saved, conflicted }) {
    this.#said = said;
    this.#saved = saved;
    this.#conflicted = conflicted;
    window.addEventListener('beforeunload', (event) => { if (this.unsaved) event.preventDefault(); });
    window.addEventListener('online', () => this.#wake?.());
  }

  get unsaved() {
    return this.#waiting.size + this.#refused.size;
  }

  // The labels of a picture that have edits which the file has not got yet.
  unsavedOf(image) {
    return this.#waiting.get(image) ?? this.#refused.get(image)?.labels;
  }

  save(labels) {
    this.#refused.delete(labels.image);
    this.#waiting.set(labels.image, labels);
    if (this.#running) this.#wake?.();
    else this.#run();
  }

  async #run() {
    this.#running = true;
    let pause = FIRST_PAUSE_MS;
    while (this.#waiting.size) {
      const [labels] = this.#waiting.values();
      try {
        if (pause === FIRST_PAUSE_MS) this.#said('saving');
        await this.#put(labels);
        pause = FIRST_PAUSE_MS;
      } catch (error) {
        await this.#failed(labels, error, pause);
        pause = Math.min(LONGEST_PAUSE_MS, 2 * pause);
      }
    }
    this.#running = false;
    const [refused] = this.#refused.values();
    this.#said(refused ? 'failed' : 'saved', refused?.message);
  }

  async #put(labels) {
    const { version } = labels;
    const { revision } = await exchange(`/api/picture?image=${encodeURIComponent(labels.image)}`, {
      method: 'PUT',
      headers: { 'Content-Type': 'application/json', 'If-Match': labels.revision },
      body: JSON.stringify({ faces: labels.faces, reviewed: labels.reviewed }),
    });
    labels.revision = revision;
    if (labels.version === version) this.#waiting.delete(labels.image);
    this.#saved(labels);
  }

  async #failed(labels, error, pause) {
    if (!(error instanceof AskError)) throw error;
    if (error.status === 412) {
      try {
        await this.#conflicted(labels);
        this.#waiting.delete(labels.image);
      } catch (failure) {
        await this.#rest(failure, pause);
      }
    } else if (error.status >= 400 && error.status < 500) {
      // Trying the same again would be refused again: it waits for the next edit.
      this.#waiting.delete(labels.image);
      this.#refused.set(labels.image, { labels, message: `${labels.image} is not saved: ${error.message}` });
    } else {
      await this.#rest(error, pause);
    }
  }

  #rest(error, pause) {
    this.#said('failed', `${error.message.replace(/[^.!?]$/, '$&.')} Your edits are kept in this page, and saving is tried until it works.`);
    return new Promise((resolve) => {
      this.#wake = resolve;
      setTimeout(resolve, pause);
    });
  }
}
