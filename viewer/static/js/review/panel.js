// What is beside the picture: its faces, and the points of the chosen one.

import { byId, make, setText, show } from '../dom.js';
import { POINTS, pointOf, size } from './geometry.js';

const px = (value) => Math.round(value);

export class Panel {
  #chose;
  #rows = [];

  // `chose(face, point)` hears what is clicked.
  constructor(chose) {
    this.#chose = chose;
    POINTS.forEach((name, index) => byId('points').append(this.#point(name, index)));
    byId('faces').addEventListener('click', (event) => {
      const row = event.target.closest('button');
      if (row) chose(Number(row.dataset.face), null);
    });
  }

  draw(labels, low) {
    const faces = labels?.faces ?? [];
    setText(byId('faces-count'), faces.length ? String(faces.length) : '');
    show(byId('no-faces'), labels !== null && faces.length === 0);
    if (this.#rows.length !== faces.length) {
      this.#rows = faces.map((_, index) => this.#row(index));
      byId('faces').replaceChildren(...this.#rows.map(({ item }) => item));
    }
    faces.forEach((face, index) => this.#fill(this.#rows[index], face, index === labels.chosen, low));
    if (labels?.face) this.#rows[labels.chosen].button.scrollIntoView({ block: 'nearest' });
    this.#drawPoints(labels?.face, labels?.point);
  }

  #row(index) {
    const item = make('li');
    const button = make('button', 'face');
    button.type = 'button';
    button.dataset.face = index;
    const [measure, dots, tags] = [make('span', 'measure'), make('span', 'dots'), make('span', 'tags')];
    button.append(make('span', 'number', String(index + 1)), measure, dots, tags);
    dots.append(...POINTS.map((_, point) => make('i', `point-${point}`)));
    item.append(button);
    return { item, button, measure, dots, tags };
  }

  #fill({ button, measure, dots, tags }, face, chosen, low) {
    const [width, height] = size(face.box);
    button.setAttribute('aria-current', chosen);
    setText(measure, `${px(width)} × ${px(height)}`);
    show(dots, Boolean(face.landmarks));
    const said = [face.ignore && ['ignored', ''], face.score !== undefined && [face.score.toFixed(2), face.score < low ? 'low' : '']];
    tags.replaceChildren(...said.filter(Boolean).map(([text, kind]) => make('span', `tag ${kind}`, text)));
    const words = [`Face ${button.dataset.face * 1 + 1}, ${px(width)} by ${px(height)} pixels`];
    if (face.landmarks) words.push('with points');
    if (face.ignore) words.push('ignored');
    if (face.score !== undefined) words.push(`score ${face.score.toFixed(2)}`);
    button.setAttribute('aria-label', words.join(', '));
  }

  #point(name, index) {
    const item = make('li');
    const button = make('button', 'point');
    button.type = 'button';
    button.append(make('i', `point-${index}`, String(index + 1)), make('span', 'name', name), make('span', 'place'));
    button.addEventListener('click', () => this.#chose(null, index));
    item.append(button);
    return item;
  }

  #drawPoints(face, point) {
    show(byId('points-part'), Boolean(face));
    if (!face) return;
    show(byId('points'), Boolean(face.landmarks));
    show(byId('points-note'), Boolean(face.landmarks));
    show(byId('no-points'), !face.landmarks);
    if (!face.landmarks) return;
    [...byId('points').children].forEach((item, index) => {
      const [x, y] = pointOf(face, index);
      item.firstChild.setAttribute('aria-current', index === point);
      setText(item.querySelector('.place'), `${px(x)}, ${px(y)}`);
    });
  }
}
