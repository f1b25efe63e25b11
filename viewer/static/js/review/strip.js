// The list of pictures. Only what is seen of it is in the document, so that ten thousand are as quick as ten.

import { make } from '../dom.js';
import { count } from '../words.js';

const ROW_PX = 68;
const TILE_PX = 88;
const BEYOND = 4;

export class Strip {
  #box;
  #long = make('div', 'long');
  #narrow = matchMedia('(max-width: 860px)');
  #order = [];
  #current = -1;
  #items = new Map();
  #row;
  #url;

  // `row(index)` tells { image, faces, lowest, reviewed } of a picture, `url(image)` where its small version is.
  constructor(box, { row, url, open }) {
    this.#box = box;
    this.#row = row;
    this.#url = url;
    box.append(this.#long);
    box.addEventListener('scroll', () => this.#draw(), { passive: true });
    new ResizeObserver(() => this.#draw()).observe(box);
    this.#narrow.addEventListener('change', () => { this.#clear(); this.#draw(); this.#reveal(); });
    box.addEventListener('click', (event) => {
      const item = event.target.closest('[data-index]');
      if (item) open(Number(item.dataset.index));
    });
    box.addEventListener('keydown', (event) => this.#key(event, open));
  }

  // Lists the pictures of these indexes.
  list(order) {
    this.#order = order;
    this.#clear();
    this.#box.scrollTo(0, 0);
    this.#draw();
  }

  choose(index) {
    this.#current = index;
    this.#reveal();
    this.#draw();
    for (const [at, item] of this.#items) item.setAttribute('aria-selected', this.#order[at] === index);
    this.#box.setAttribute('aria-activedescendant', `picture-${index}`);
  }

  // Shows anew what is said of a picture.
  refresh(index) {
    const at = this.#order.indexOf(index);
    if (this.#items.has(at)) this.#say(this.#items.get(at), index);
  }

  get #pitch() {
    return this.#narrow.matches ? TILE_PX : ROW_PX;
  }

  #clear() {
    this.#items.clear();
    this.#long.replaceChildren();
  }

  #draw() {
    const narrow = this.#narrow.matches;
    const pitch = this.#pitch;
    this.#long.style[narrow ? 'width' : 'height'] = `${this.#order.length * pitch}px`;
    this.#long.style[narrow ? 'height' : 'width'] = '';
    const start = narrow ? this.#box.scrollLeft : this.#box.scrollTop;
    const room = narrow ? this.#box.clientWidth : this.#box.clientHeight;
    const from = Math.max(0, Math.floor(start / pitch) - BEYOND);
    const to = Math.min(this.#order.length, Math.ceil((start + room) / pitch) + BEYOND);
    for (const [at, item] of this.#items) {
      if (at < from || at >= to) {
        item.remove();
        this.#items.delete(at);
      }
    }
    for (let at = from; at < to; at += 1) if (!this.#items.has(at)) this.#add(at, narrow);
  }

  #add(at, narrow) {
    const index = this.#order[at];
    const { image } = this.#row(index);
    const item = make('div', 'item');
    item.id = `picture-${index}`;
    item.dataset.index = index;
    item.role = 'option';
    item.ariaSetSize = this.#order.length;
    item.ariaPosInSet = at + 1;
    item.setAttribute('aria-selected', index === this.#current);
    item.style.transform = narrow ? `translateX(${at * TILE_PX}px)` : `translateY(${at * ROW_PX}px)`;
    item.title = image;
    const picture = make('img');
    picture.alt = '';
    picture.decoding = 'async';
    picture.src = this.#url(image);
    const words = make('span', 'words');
    // Names differ at their ends: what does not fit is left out at the beginning.
    const name = make('span', 'name');
    name.append(make('bdi', '', image.replace(/^.*\//, '')));
    words.append(name, make('span', 'facts'));
    item.append(picture, words, make('span', 'tick'));
    this.#say(item, index);
    this.#items.set(at, item);
    this.#long.append(item);
  }

  #say(item, index) {
    const { faces, reviewed, lowest } = this.#row(index);
    const said = [faces ? count(faces, 'face') : 'no face', lowest !== null && `min ${lowest.toFixed(2)}`];
    item.querySelector('.facts').textContent = said.filter(Boolean).join(' · ');
    const tick = item.querySelector('.tick');
    tick.classList.toggle('done', reviewed);
    tick.textContent = reviewed ? 'reviewed' : '';
  }

  #reveal() {
    const at = this.#order.indexOf(this.#current);
    if (at < 0) return;
    const way = this.#narrow.matches ? 'Left' : 'Top';
    const room = this.#narrow.matches ? this.#box.clientWidth : this.#box.clientHeight;
    const [start, end] = [at * this.#pitch, (at + 1) * this.#pitch];
    const seen = this.#box[`scroll${way}`];
    if (start < seen + this.#pitch || end > seen + room - this.#pitch) this.#box[`scroll${way}`] = start - room / 2 + this.#pitch / 2;
  }

  #key(event, open) {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const next = this.#order[this.#order.indexOf(this.#current) + step];
    if (next !== undefined) open(next);
  }
}
