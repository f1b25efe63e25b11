// The people of a video below the player: found on request, shown with portraits, chosen with a click.

import { askJson, Poll, post } from '../api.js';
import { byId, make, sentence, setText, show } from '../dom.js';
import { clock, count } from '../text.js';

const ASK_AGAIN_MS = 3000;
// Portraits come a moment after the people; a person without one after so many looks will have none.
const LOOKS_FOR_PORTRAITS = 10;

export class Panel {
  #api;
  #video;
  #chosen;
  #onPeople;
  #looks = 0;
  #poll;
  #drawn = '';

  // `onPeople` gets the answer of the server once the people are there.
  constructor({ api, video, chosen, onPeople }) {
    this.#api = api;
    this.#video = video;
    this.#chosen = chosen;
    this.#onPeople = onPeople;
    chosen.addEventListener('change', () => this.#mark());
    byId('find-people').addEventListener('click', () => this.#find());
    this.#poll = new Poll({ step: () => this.#step(), failed: (error) => this.#failed(error) });
    this.#poll.soon();
  }

  async #step() {
    const told = await askJson(`${this.#api}/people`);
    const { state, people } = told;
    show(byId('people'));
    show(byId('find-people'), state === 'ready');
    byId('people').classList.toggle('busy', state === 'requested' && told.workers > 0);
    if (state !== 'tracked') {
      this.#say(this.#why(told));
      return state === 'waiting' || state === 'requested' ? ASK_AGAIN_MS : null;
    }
    this.#draw(people);
    this.#onPeople(told);
    this.#looks += 1;
    const complete = people.every(({ has_portrait: portrayed }) => portrayed) || this.#looks === LOOKS_FOR_PORTRAITS;
    return complete ? null : ASK_AGAIN_MS;
  }

  #failed(error) {
    show(byId('people'));
    this.#say(error.message);
    return error.status !== 403;
  }

  #why({ state, reason, workers }) {
    if (state === 'ready') return 'Find the people in this video to hide or paint only some of them.';
    if (state !== 'requested') return reason;
    return workers
      ? 'Finding people: comparing the faces of the whole video.'
      : 'Waiting for a worker to find people: `facepaint worker` starts one.';
  }

  #say(text) {
    show(byId('people-why'), text !== '');
    sentence(byId('people-why'), /[.!?`]$/.test(text) || !text ? text : `${text}.`);
  }

  async #find() {
    byId('find-people').disabled = true;
    try {
      await post(`${this.#api}/people`, {});
      this.#poll.soon();
    } catch (error) {
      this.#say(error.message);
    } finally {
      byId('find-people').disabled = false;
    }
  }

  #draw(people) {
    const drawn = JSON.stringify(people);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    const sure = people.filter((one) => !one.low_confidence);
    const lowConfidence = people.filter((one) => one.low_confidence);
    byId('portraits').replaceChildren(...sure.map((one) => this.#item(one)));
    byId('low-confidence-portraits').replaceChildren(...lowConfidence.map((one) => this.#item(one)));
    show(byId('low-confidence'), lowConfidence.length > 0);
    setText(byId('low-confidence-count'), `${lowConfidence.length} more with low confidence`);
    setText(byId('people-count'), sure.length ? count(sure.length, 'person', 'people') : '');
    this.#say(sure.length
      ? 'Click a face here or in the video, then choose what to do.'
      : 'No people were found in this video.');
    this.#mark();
  }

  #item(person) {
    const { number, first_s: first, last_s: last } = person;
    const item = make('li', 'person');
    const button = make('button', 'portrait');
    button.type = 'button';
    button.dataset.person = number;
    const span = `${clock(first)} to ${clock(last)}`;
    button.setAttribute('aria-label', `Person ${number}, ${span}`);
    if (person.has_portrait) {
      const picture = make('img');
      picture.alt = '';
      picture.src = `${this.#api}/people/${number}/portrait`;
      button.append(picture);
    }
    button.append(make('span', 'number', String(number)));
    button.addEventListener('click', () => this.#chosen.toggle(number));
    const go = make('button', 'span', `${clock(first)} – ${clock(last)}`);
    go.type = 'button';
    go.title = 'Go to where this face is seen best';
    go.setAttribute('aria-label', `Go to person ${number} at ${clock(person.best_s)}`);
    go.addEventListener('click', () => { this.#video.currentTime = person.best_s + 0.001; });
    item.append(button, go);
    return item;
  }

  #mark() {
    for (const button of byId('people').querySelectorAll('.portrait')) {
      button.setAttribute('aria-pressed', String(this.#chosen.has(Number(button.dataset.person))));
    }
  }
}
