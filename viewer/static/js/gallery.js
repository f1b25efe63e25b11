// A job of pictures: each one as soon as it is painted, and large on demand.

import { byId, make, setText, show } from './dom.js';

const WORDS = { found: 'Faces found', stored: 'Waiting', failed: 'Given up', '': 'Not uploaded yet' };

export class Gallery {
  #model;
  #names;
  #url;
  #drawn = new Map();
  #shown = 0;

  constructor(model, names, url) {
    this.#model = model;
    this.#names = names;
    this.#url = url;
    names.forEach(() => byId('pictures').append(make('li', 'picture')));
    show(byId('gallery'));
    byId('before').addEventListener('click', () => this.#turn(-1));
    byId('after').addEventListener('click', () => this.#turn(1));
    byId('large').addEventListener('keydown', (event) => {
      if (event.key === 'ArrowLeft') this.#turn(-1);
      if (event.key === 'ArrowRight') this.#turn(1);
    });
  }

  draw() {
    [...byId('pictures').children].forEach((item, index) => {
      const stage = this.#model.stage(index);
      if (this.#drawn.get(index) === stage) return;
      this.#drawn.set(index, stage);
      item.replaceChildren(this.#tile(index, stage), make('span', 'caption', this.#names[index]));
    });
  }

  #tile(index, stage) {
    if (stage !== 'painted') return make('span', 'blankness', WORDS[stage]);
    const button = make('button');
    button.type = 'button';
    button.setAttribute('aria-label', `${this.#names[index]}, larger`);
    const picture = make('img');
    picture.loading = 'lazy';
    picture.alt = this.#names[index];
    picture.src = this.#url(index);
    button.append(picture);
    button.addEventListener('click', () => this.#open(index));
    return button;
  }

  #open(index) {
    this.#shown = index;
    byId('large-picture').src = this.#url(index);
    byId('large-picture').alt = this.#names[index];
    setText(byId('large-name'), this.#names[index]);
    byId('large-save').href = this.#url(index);
    byId('large-save').download = this.#names[index];
    if (!byId('large').open) byId('large').showModal();
    show(byId('before'), this.#neighbour(-1) !== null);
    show(byId('after'), this.#neighbour(1) !== null);
  }

  #neighbour(step) {
    for (let index = this.#shown + step; index >= 0 && index < this.#names.length; index += step) {
      if (this.#model.painted.has(index)) return index;
    }
    return null;
  }

  #turn(step) {
    const index = this.#neighbour(step);
    if (index !== null) this.#open(index);
  }
}
