// The mouse, pen or fingers on the picture.

import { drawnBox, moveFace, movePoint, partAt, resizeFace } from './geometry.js';

const REACH_PX = 9;
const DRAG_PX = 3;

const CURSORS = { nw: 'nwse-resize', se: 'nwse-resize', ne: 'nesw-resize', sw: 'nesw-resize', n: 'ns-resize', s: 'ns-resize', e: 'ew-resize', w: 'ew-resize', box: 'move' };

export class Pointer {
  #stage;
  #desk;
  #fingers = new Map();
  #drag = null;
  #panning = false;

  // `desk` has labels, viewport, drawing (a new face is being made), and hears choose, show, commit, add, looked, hover.
  constructor(stage, desk) {
    this.#stage = stage;
    this.#desk = desk;
    stage.addEventListener('pointerdown', (event) => this.#down(event));
    stage.addEventListener('pointermove', (event) => this.#move(event));
    stage.addEventListener('pointerup', (event) => this.#up(event));
    stage.addEventListener('pointercancel', (event) => this.#cancel(event));
    stage.addEventListener('pointerleave', () => { if (!this.#drag) desk.hover(null); });
    stage.addEventListener('wheel', (event) => this.#wheel(event), { passive: false });
    stage.addEventListener('dblclick', () => desk.zoomToChosen());
    // The middle button pans; without this it would start the browser's own scrolling, or paste and go.
    stage.addEventListener('mousedown', (event) => { if (event.button === 1) event.preventDefault(); });
    stage.addEventListener('auxclick', (event) => event.preventDefault());
  }

  // While the space bar is held, dragging moves the picture.
  setPanning(panning) {
    this.#panning = panning;
    this.#stage.style.cursor = panning ? 'grab' : '';
  }

  get dragging() {
    return this.#drag !== null && this.#drag.moved;
  }

  // Gives up what is being dragged: the labels are as they were.
  abandon() {
    this.#drag = null;
    this.#desk.show(null);
  }

  #place(event) {
    const bounds = this.#stage.getBoundingClientRect();
    return [event.clientX - bounds.left, event.clientY - bounds.top];
  }

  #down(event) {
    if (!this.#desk.labels || event.button > 1) return;
    event.preventDefault();
    this.#stage.focus({ preventScroll: true });
    this.#stage.setPointerCapture(event.pointerId);
    this.#fingers.set(event.pointerId, this.#place(event));
    if (this.#fingers.size > 1) {
      this.abandon();
      return;
    }
    this.#drag = this.#begin(event);
  }

  #begin(event) {
    const { labels, viewport } = this.#desk;
    const at = this.#place(event);
    const start = viewport.toPicture(...at);
    const drag = { at, start, last: at, moved: false };
    if (event.button === 1 || this.#panning) return { ...drag, kind: 'pan' };
    const reach = (event.pointerType === 'touch' ? 2 : 1) * REACH_PX;
    const under = this.#desk.drawing ? null : partAt(labels.faces, labels.chosen, start, reach / viewport.scale);
    if (!under) return { ...drag, kind: 'draw' };
    this.#desk.choose(under.face, typeof under.part === 'number' ? under.part : null);
    return { ...drag, kind: 'edit', part: under.part, face: labels.face };
  }

  #move(event) {
    const at = this.#place(event);
    if (this.#fingers.has(event.pointerId) && this.#fingers.size > 1) {
      this.#pinch(event.pointerId, at);
      return;
    }
    const drag = this.#drag;
    if (!drag) {
      this.#hover(at);
      return;
    }
    if (!drag.moved && Math.hypot(at[0] - drag.at[0], at[1] - drag.at[1]) < DRAG_PX) return;
    drag.moved = true;
    if (drag.kind === 'pan') {
      this.#desk.viewport.pan(at[0] - drag.last[0], at[1] - drag.last[1]);
      this.#desk.looked();
    } else {
      this.#desk.show(this.#dragged(at, event.altKey));
    }
    drag.last = at;
  }

  // What the drag has made so far: { draft } for a new box, { face } for a changed one.
  #dragged(at, alone) {
    const { viewport, labels } = this.#desk;
    const { start, kind, part, face } = this.#drag;
    const here = viewport.toPicture(...at);
    if (kind === 'draw') return { draft: drawnBox(start, here, labels.picture) };
    const [dx, dy] = [here[0] - start[0], here[1] - start[1]];
    if (part === 'box') return { face: moveFace(face, dx, dy, labels.picture, !alone) };
    if (typeof part === 'number') return { face: movePoint(face, part, dx, dy, labels.picture) };
    return { face: resizeFace(face, part, dx, dy, labels.picture) };
  }

  #up(event) {
    this.#fingers.delete(event.pointerId);
    const drag = this.#drag;
    if (!drag) return;
    if (drag.kind === 'draw' && !drag.moved) this.#desk.choose(null);
    const made = drag.moved && drag.kind !== 'pan' ? this.#dragged(this.#place(event), event.altKey) : {};
    this.#drag = null;
    this.#desk.show(null);
    if (made.draft) this.#desk.add(made.draft);
    if (made.face) this.#desk.commit(made.face);
  }

  #cancel(event) {
    this.#fingers.delete(event.pointerId);
    this.abandon();
  }

  #hover(at) {
    const { labels, viewport, drawing } = this.#desk;
    if (!labels) return;
    const under = drawing ? null : partAt(labels.faces, labels.chosen, viewport.toPicture(...at), REACH_PX / viewport.scale);
    if (!this.#panning) this.#stage.style.cursor = under ? CURSORS[under.part] ?? 'grab' : '';
    this.#desk.hover(under?.face ?? null);
  }

  // Two fingers move and scale the picture together.
  #pinch(id, at) {
    const [a, b] = [...this.#fingers.keys()].slice(0, 2);
    const before = this.#between(a, b);
    this.#fingers.set(id, at);
    const now = this.#between(a, b);
    this.#desk.viewport.pan(now.x - before.x, now.y - before.y);
    if (before.apart > 0) this.#desk.viewport.zoom(now.apart / before.apart, now.x, now.y);
    this.#desk.looked();
  }

  #between(a, b) {
    const [[ax, ay], [bx, by]] = [this.#fingers.get(a), this.#fingers.get(b)];
    return { x: (ax + bx) / 2, y: (ay + by) / 2, apart: Math.hypot(ax - bx, ay - by) };
  }

  #wheel(event) {
    event.preventDefault();
    const line = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 20 : 1;
    const [dx, dy] = [event.deltaX * line, event.deltaY * line];
    if (event.shiftKey || Math.abs(dx) > Math.abs(dy)) this.#desk.viewport.pan(-(dx || dy), 0);
    // Pinching a touchpad arrives as the wheel with Ctrl, in finer steps.
    else this.#desk.viewport.zoom(Math.exp(-dy * (event.ctrlKey ? 0.012 : 0.0018)), ...this.#place(event));
    this.#desk.looked();
  }
}
