// The people of a video below the player: requested on demand, shown with portraits, selected with
// a click.

import { ApiError, asError, getJson, Poll, postJson } from '../api.js';
import { byId, make, setSentence, setText, show } from '../dom.js';
import { count, formatTime } from '../text.js';

const POLL_MS = 3000;
// Portraits are made a moment after the people. A person without one after so many polls will have
// none.
const PORTRAIT_POLLS = 10;

/** @typedef {import('../api.js').People} People */
/** @typedef {import('../api.js').Person} Person */

export class Panel {
  #api;
  #video;
  #selection;
  #onPeople;
  #polls = 0;
  #poll;
  #drawn = '';

  /**
   * @param {object} options
   * @param {string} options.api URL of the job
   * @param {HTMLVideoElement} options.video
   * @param {import('./selection.js').Selection} options.selection
   * @param {(people: People) => void} options.onPeople called whenever the people are loaded
   */
  constructor({ api, video, selection, onPeople }) {
    this.#api = api;
    this.#video = video;
    this.#selection = selection;
    this.#onPeople = onPeople;
    selection.addEventListener('change', () => this.#drawSelection());
    byId('find-people').addEventListener('click', () => this.#request());
    this.#poll = new Poll({ step: () => this.#step(), failed: (error) => this.#failed(error) });
    this.#poll.soon();
  }

  async #step() {
    /** @type {People} */
    const people = await getJson(`${this.#api}/people`);
    const { state } = people;
    show(byId('people'));
    show(byId('find-people'), state === 'ready');
    byId('people').classList.toggle('busy', state === 'requested' && people.workers > 0);
    if (state !== 'tracked') {
      this.#setStatus(status(people));
      return state === 'waiting' || state === 'requested' ? POLL_MS : null;
    }
    this.#draw(people.people);
    this.#onPeople(people);
    this.#polls += 1;
    const complete = people.people.every((person) => person.has_portrait);
    return complete || this.#polls === PORTRAIT_POLLS ? null : POLL_MS;
  }

  /** @param {Error} error */
  #failed(error) {
    show(byId('people'));
    this.#setStatus(error.message);
    // 403: this viewer never shows faces.
    return !(error instanceof ApiError && error.status === 403);
  }

  /** @param {string} text */
  #setStatus(text) {
    show(byId('people-status'), text !== '');
    const ended = /[.!?`]$/.test(text);
    setSentence(byId('people-status'), ended || !text ? text : `${text}.`);
  }

  async #request() {
    byId('find-people').disabled = true;
    try {
      await postJson(`${this.#api}/people`, {});
      this.#poll.soon();
    } catch (thrown) {
      this.#setStatus(asError(thrown).message);
    } finally {
      byId('find-people').disabled = false;
    }
  }

  /** @param {Person[]} people */
  #draw(people) {
    const drawn = JSON.stringify(people);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    const confident = people.filter((person) => !person.low_confidence);
    const lowConfidence = people.filter((person) => person.low_confidence);
    const items = (/** @type {Person[]} */ some) => some.map((person) => this.#item(person));
    byId('portraits').replaceChildren(...items(confident));
    byId('low-confidence-portraits').replaceChildren(...items(lowConfidence));
    show(byId('low-confidence'), lowConfidence.length > 0);
    setText(byId('low-confidence-count'), `${lowConfidence.length} more with low confidence`);
    const { length } = confident;
    setText(byId('people-count'), length ? count(length, 'person', 'people') : '');
    this.#setStatus(confident.length
      ? 'Select faces here or in the video, then choose what happens to them.'
      : 'No people were found in this video.');
    this.#drawSelection();
  }

  /** @param {Person} person */
  #item(person) {
    const item = make('li', 'person');
    item.append(this.#portrait(person), this.#seekButton(person));
    return item;
  }

  /** @param {Person} person */
  #portrait({ number, first_s: first, last_s: last, has_portrait: hasPortrait }) {
    const button = make('button', 'portrait');
    button.type = 'button';
    button.dataset.person = String(number);
    const times = `${formatTime(first)} to ${formatTime(last)}`;
    button.setAttribute('aria-label', `Person ${number}, ${times}`);
    if (hasPortrait) {
      const image = make('img');
      image.alt = '';
      image.src = `${this.#api}/people/${number}/portrait`;
      button.append(image);
    }
    button.append(make('span', 'number', String(number)));
    button.addEventListener('click', () => this.#selection.toggle(number));
    return button;
  }

  /** @param {Person} person */
  #seekButton({ number, first_s: first, last_s: last, best_s: best }) {
    const button = make('button', 'span', `${formatTime(first)} – ${formatTime(last)}`);
    button.type = 'button';
    button.title = 'Go to the frame that shows this face best';
    button.setAttribute('aria-label', `Go to person ${number} at ${formatTime(best)}`);
    // Just behind the frame's start: browsers round times, and an earlier one shows the frame
    // before.
    button.addEventListener('click', () => { this.#video.currentTime = best + 0.001; });
    return button;
  }

  #drawSelection() {
    /** @type {NodeListOf<HTMLElement>} */
    const buttons = byId('people').querySelectorAll('.portrait');
    for (const button of buttons) {
      const selected = this.#selection.has(Number(button.dataset.person));
      button.setAttribute('aria-pressed', String(selected));
    }
  }
}

/** @param {People} people */
function status({ state, reason, workers }) {
  if (state === 'ready') {
    return 'Find the people in this video to redact or paint only some of them.';
  }
  if (state !== 'requested') return reason;
  return workers
    ? 'Finding people: the faces of the whole video are compared.'
    : 'Waiting for a worker to find people: `facepaint worker` starts one.';
}
