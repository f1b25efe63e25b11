// The pictures of the folder, what is known of each without opening it, and which of them are listed.

import { askJson } from '../ask.js';
import { Labels } from './labels.js';

const KEPT = 60;

// `run` differs from one start of the server to the next, so that the browser keeps no picture of another folder.
export function imageUrl(path, image, run) {
  return `${path}?image=${encodeURIComponent(image)}&run=${run}`;
}

function lowestScore(faces) {
  const scores = faces.map(({ score }) => score).filter((score) => score !== undefined);
  return scores.length ? Math.min(...scores) : null;
}

export class Folder {
  #rows;
  #indexes;
  order = [];
  low = 0.5;

  static async read() {
    return new Folder(await askJson('/api/folder'));
  }

  constructor({ name, path, run, pictures }) {
    this.name = name;
    this.path = path;
    this.run = run;
    this.#rows = pictures.map(([image, faces, lowest, reviewed]) => ({ image, faces, lowest, reviewed }));
    this.#indexes = new Map(pictures.map(([image], index) => [image, index]));
  }

  get count() {
    return this.#rows.length;
  }

  get reviewed() {
    return this.matching('all').length - this.matching('unreviewed').length;
  }

  get firstUnreviewed() {
    return Math.max(0, this.#rows.findIndex(({ reviewed }) => !reviewed));
  }

  row(index) {
    return this.#rows[index];
  }

  indexOf(image) {
    return this.#indexes.get(image);
  }

  matching(filter) {
    const wanted = {
      all: () => true,
      unreviewed: ({ reviewed }) => !reviewed,
      faceless: ({ faces }) => faces === 0,
      low: ({ lowest }) => lowest !== null && lowest < this.low,
    }[filter];
    return [...this.#rows.keys()].filter((index) => wanted(this.#rows[index]));
  }

  // The list stays as it was chosen while its pictures are worked on: none vanishes under the reviewer's hands.
  choose(filter, low) {
    this.low = low;
    this.order = this.matching(filter);
  }

  next(index, step) {
    return this.order[this.order.indexOf(index) + step];
  }

  place(index) {
    return `${this.order.indexOf(index) + 1} of ${this.order.length}`;
  }

  update({ image, faces, reviewed }) {
    Object.assign(this.#rows[this.indexOf(image)], { faces: faces.length, reviewed, lowest: lowestScore(faces) });
  }

  // Labels just read, remembered among the `kept` of the pictures seen last.
  keep(kept, told, revision) {
    const labels = new Labels(told, revision);
    kept.delete(labels.image);
    kept.set(labels.image, labels);
    if (kept.size > KEPT) kept.delete(kept.keys().next().value);
    return labels;
  }
}
