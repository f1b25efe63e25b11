// The picture being reviewed: what is chosen, seen and done to its faces, by whatever mouse or key.

import { byId } from '../dom.js';
import { Drawing } from './drawing.js';
import { drawnBox, frontalPoints, moveFace, movePoint, POINTS, resizeFace, size } from './geometry.js';
import { Viewport } from './viewport.js';

export class Desk {
  #drawn = new Drawing(byId('marks'), byId('names'), byId('picture'));
  #hears;
  #under = null;
  #dragged = null;
  labels = null;
  viewport = new Viewport();
  drawing = false;
  plain = false;

  // It hears `hint(text, stays)`, `said(text)` for screen readers, `changed(labels)` to be saved, `drawAll()`,
  // `drawButtons()`, and `low()` tells below what a score is low.
  constructor(hears) {
    this.#hears = hears;
    new ResizeObserver(([{ contentRect: { width, height } }]) => {
      this.viewport.setStage(width, height);
      this.looked();
    }).observe(byId('stage'));
  }

  put(labels) {
    this.labels = labels;
    this.drawing = false;
    this.#under = null;
    this.#dragged = null;
    if (labels) this.viewport.setPicture(labels.picture);
    this.drawn();
  }

  drawn() {
    this.#drawMarks();
    this.#hears.drawAll();
  }

  // After zooming or moving the picture.
  looked() {
    this.#drawMarks();
    this.#hears.drawButtons();
  }

  hover(face) {
    if (face === this.#under) return;
    this.#under = face;
    this.#drawMarks();
  }

  // Shows what is being dragged, before it is done: { face }, { draft } or null.
  show(dragged) {
    this.#dragged = dragged;
    this.#drawMarks();
  }

  #drawMarks() {
    const { labels } = this;
    const { face = null, draft = null } = this.#dragged ?? {};
    const seen = face ? { faces: labels.faces, chosen: labels.chosen, point: labels.point, face } : labels;
    const how = { draft, low: this.#hears.low(), hovered: this.#under, plain: this.plain, quiet: face !== null };
    this.#drawn.draw(seen, this.viewport, how);
  }

  choose(face, point = null, reveal = false) {
    if (!this.labels) return;
    this.labels.choose(face, point);
    if (reveal && this.labels.face) this.viewport.reveal(this.labels.face.box);
    this.drawn();
    this.#say();
  }

  cycle(step) {
    const faces = this.labels?.faces.length ?? 0;
    if (!faces) return false;
    const from = this.labels.chosen ?? (step > 0 ? -1 : faces);
    this.choose((from + step + faces) % faces, null, true);
    return true;
  }

  choosePoint(point) {
    if (!this.labels?.face) return;
    if (this.labels.face.landmarks) this.choose(this.labels.chosen, point);
    else this.#hears.hint('This face has no points: `L` adds them.');
  }

  back() {
    if (this.drawing) {
      this.drawing = false;
      this.#hears.hint(null);
      this.drawn();
      return true;
    }
    const { labels } = this;
    if (labels?.chosen == null) {
      byId('stage').blur();
      return false;
    }
    this.choose(labels.point === null ? null : labels.chosen);
    return true;
  }

  // An edit of the chosen face is done.
  commit(face, key = null) {
    this.labels.editFace(face, key);
    this.#edited();
  }

  startDrawing() {
    if (!this.labels) return;
    if (this.drawing) {
      const { middle: [x, y], side } = this.viewport.seen;
      const half = Math.max(4, side / 8);
      this.add(drawnBox([x - half, y - half * 1.25], [x + half, y + half * 1.25], this.labels.picture));
      return;
    }
    this.drawing = true;
    this.plain = false;
    this.#hears.hint('Drag over a face. `N` again puts a box in the middle, to be moved by the arrow keys.', true);
    this.drawn();
  }

  add(box) {
    this.drawing = false;
    this.#hears.hint(null);
    if (box) {
      this.labels.add({ box });
      this.#edited();
    }
  }

  remove() {
    const { labels } = this;
    if (!labels?.face) return;
    if (labels.point !== null) {
      this.togglePoints();
      return;
    }
    labels.remove();
    this.#edited();
    this.#hears.hint('Face deleted. `Ctrl+Z` brings it back.');
  }

  ignore() {
    const { face } = this.labels ?? {};
    if (!face) return;
    const { ignore, ...others } = face;
    this.commit(ignore ? others : { ...face, ignore: true });
  }

  togglePoints() {
    const { face } = this.labels ?? {};
    if (!face) return;
    const { landmarks, ...others } = face;
    this.commit(landmarks ? others : { ...face, landmarks: frontalPoints(face.box) });
    this.#hears.hint(landmarks ? 'Points removed. `Ctrl+Z` brings them back.' : 'Drag each point to its place, or choose it with `1` to `5` and use the arrow keys.');
  }

  nudge(dx, dy) {
    const { face, point, chosen, picture } = this.labels;
    const moved = point === null ? moveFace(face, dx, dy, picture) : movePoint(face, point, dx, dy, picture);
    this.commit(moved, `nudge ${chosen} ${point}`);
  }

  grow(dx, dy) {
    const { face, chosen, picture } = this.labels ?? {};
    if (face) this.commit(resizeFace(face, 'se', dx, dy, picture), `grow ${chosen}`);
  }

  undo() {
    if (this.labels?.undo()) this.#edited();
  }

  redo() {
    if (this.labels?.redo()) this.#edited();
  }

  // Returns whether there is a picture that could be marked.
  setReviewed(reviewed) {
    if (!this.labels) return false;
    if (this.labels.setReviewed(reviewed)) this.#edited();
    return true;
  }

  zoom(factor) {
    this.viewport.zoom(factor);
    this.looked();
  }

  fit() {
    this.viewport.fit();
    this.looked();
  }

  zoomToChosen() {
    if (!this.labels?.face) return;
    this.viewport.show(this.labels.face.box);
    this.looked();
  }

  toggleMarks() {
    this.plain = !this.plain;
    this.#hears.hint(this.plain ? 'The marks are hidden. `H` shows them.' : null);
    this.drawn();
  }

  #edited() {
    this.plain = false;
    this.drawn();
    this.#hears.changed(this.labels);
    this.#say();
  }

  #say() {
    const { face, chosen, point, faces } = this.labels;
    if (!face) {
      this.#hears.said('No face chosen');
      return;
    }
    const [width, height] = size(face.box).map(Math.round);
    const words = [`Face ${chosen + 1} of ${faces.length}`];
    if (point !== null) words.push(`${POINTS[point]} at ${face.landmarks.slice(2 * point, 2 * point + 2).map(Math.round).join(', ')}`);
    else words.push(`${width} by ${height} pixels at ${face.box.slice(0, 2).map(Math.round).join(', ')}`);
    if (face.ignore) words.push('ignored');
    this.#hears.said(words.join(', '));
  }
}
