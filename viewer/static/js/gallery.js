// A job of images: each one as soon as it is painted, and enlarged in a dialog.

import { byId, make, setText, show } from './dom.js';

/** @type {Record<import('./model.js').Stage, string>} */
const PLACEHOLDERS = {
  painted: '',
  detected: 'Faces detected',
  stored: 'Waiting',
  failed: 'Failed',
  '': 'Not uploaded yet',
};

export class Gallery {
  #model;
  #names;
  #url;
  /** @type {Map<number, string>} */
  #drawn = new Map();
  #shown = 0;

  /**
   * @param {import('./model.js').Model} model
   * @param {string[]} names
   * @param {(index: number) => string} url of an image
   */
  constructor(model, names, url) {
    this.#model = model;
    this.#names = names;
    this.#url = url;
    names.forEach(() => byId('images').append(make('li', 'image')));
    show(byId('gallery'));
    byId('previous').addEventListener('click', () => this.#turn(-1));
    byId('next').addEventListener('click', () => this.#turn(1));
    byId('large').addEventListener('keydown', (event) => {
      if (event.key === 'ArrowLeft') this.#turn(-1);
      if (event.key === 'ArrowRight') this.#turn(1);
    });
  }

  draw() {
    [...byId('images').children].forEach((item, index) => {
      const stage = this.#model.stage(index);
      if (this.#drawn.get(index) === stage) return;
      this.#drawn.set(index, stage);
      item.replaceChildren(this.#tile(index, stage), make('span', 'caption', this.#names[index]));
    });
  }

  /**
   * @param {number} index
   * @param {import('./model.js').Stage} stage
   */
  #tile(index, stage) {
    if (stage !== 'painted') return make('span', 'placeholder', PLACEHOLDERS[stage]);
    const button = make('button');
    button.type = 'button';
    button.setAttribute('aria-label', `Enlarge ${this.#names[index]}`);
    const image = make('img');
    image.loading = 'lazy';
    image.alt = this.#names[index];
    image.src = this.#url(index);
    button.append(image);
    button.addEventListener('click', () => this.#open(index));
    return button;
  }

  /** @param {number} index */
  #open(index) {
    this.#shown = index;
    const name = this.#names[index];
    byId('large-image').src = this.#url(index);
    byId('large-image').alt = name;
    setText(byId('large-name'), name);
    byId('large-save').href = this.#url(index);
    byId('large-save').download = name;
    if (!byId('large').open) byId('large').showModal();
    show(byId('previous'), this.#neighbour(-1) !== null);
    show(byId('next'), this.#neighbour(1) !== null);
  }

  /**
   * The next painted image in a direction, 1 or -1.
   * @param {number} step
   */
  #neighbour(step) {
    for (let index = this.#shown + step; index >= 0 && index < this.#names.length; index += step) {
      if (this.#model.painted.has(index)) return index;
    }
    return null;
  }

  /** @param {number} step */
  #turn(step) {
    const index = this.#neighbour(step);
    if (index !== null) this.#open(index);
  }
}
