// Draws the faces over the picture. Lines and dots keep their width on the screen at every scale.

import { make } from '../dom.js';
import { centre, HANDLES, handlePlace, POINTS, pointOf, size } from './geometry.js';

const SVG = 'http://www.w3.org/2000/svg';

// How wide a face is on the screen for its points to be named, and for its grips not to cover it.
const NAMED_FROM_PX = 90;
const ROOMY_FROM_PX = 56;

function shape(tag, className, attributes = {}) {
  const node = document.createElementNS(SVG, tag);
  node.setAttribute('class', className);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

// A path of no length: its round or square cap is a dot whose size does not change with the scale.
const dot = (className, [x, y]) => shape('path', className, { d: `M${x} ${y}h0` });

const outline = ([x1, y1, x2, y2]) => ({ x: x1, y: y1, width: Math.max(0, x2 - x1), height: Math.max(0, y2 - y1) });

export class Drawing {
  #marks;
  #scaled = shape('g', 'scaled');
  #labels;
  #picture;

  constructor(marks, labels, picture) {
    this.#marks = marks;
    this.#labels = labels;
    this.#picture = picture;
    marks.append(this.#scaled);
  }

  // `labels` null draws none, `plain` too; `draft` is a box being drawn; `quiet` leaves out the points' names.
  draw(labels, viewport, { draft = null, low = 0, hovered = null, plain = false, quiet = false } = {}) {
    this.place(viewport);
    const nodes = [];
    const faces = plain ? [] : labels?.faces ?? [];
    faces.forEach((face, index) => {
      if (index !== labels.chosen) nodes.push(...this.#face(face, { low, hovered: hovered === index }));
    });
    if (!plain && labels?.face) nodes.push(...this.#chosen(labels, viewport.scale));
    if (draft) nodes.push(shape('rect', 'halo', outline(draft)), shape('rect', 'box draft', outline(draft)));
    this.#scaled.replaceChildren(...nodes);
    this.#labels.replaceChildren(...(!plain && !quiet && labels?.face ? this.#texts(labels, viewport) : []));
  }

  place({ scale, x, y }) {
    this.#scaled.setAttribute('transform', `translate(${x} ${y}) scale(${scale})`);
    this.#picture.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
    this.#picture.classList.toggle('coarse', scale >= 16);
  }

  #face(face, { low, hovered }) {
    const kind = face.ignore ? ' ignored' : face.score !== undefined && face.score < low ? ' low' : '';
    return [
      shape('rect', 'halo', outline(face.box)),
      shape('rect', `box${kind}${hovered ? ' hovered' : ''}`, outline(face.box)),
      ...(face.landmarks ? POINTS.map((_, index) => dot(`dot small point-${index}`, pointOf(face, index))) : []),
    ];
  }

  #chosen({ face, point }, scale) {
    const roomy = Math.min(...size(face.box)) * scale >= ROOMY_FROM_PX;
    const nodes = [
      shape('rect', 'halo chosen', outline(face.box)),
      shape('rect', `box chosen${face.ignore ? ' ignored' : ''}`, outline(face.box)),
    ];
    for (const handle of HANDLES) {
      if (!roomy && handle.length < 2) continue;
      const place = handlePlace(face.box, handle);
      nodes.push(dot('handle edge', place), dot('handle', place));
    }
    if (!face.landmarks) return nodes;
    for (const index of POINTS.keys()) {
      const place = pointOf(face, index);
      const kind = `dot${roomy ? '' : ' small'}`;
      nodes.push(dot(`${kind} edge${index === point ? ' current' : ''}`, place), dot(`${kind} point-${index}`, place));
    }
    return nodes;
  }

  // The points of a face that is large on the screen are named in place; of a small one the one at work.
  #texts({ face, point }, viewport) {
    if (!face.landmarks) return [];
    const large = (face.box[2] - face.box[0]) * viewport.scale >= NAMED_FROM_PX;
    const middle = viewport.toStage(...centre(face.box));
    return POINTS.flatMap((name, index) => {
      if (!large && index !== point) return [];
      const [x, y] = viewport.toStage(...pointOf(face, index));
      const text = make('span', `point-name point-${index}${index === point ? ' current' : ''}`, name);
      text.classList.toggle('leftwards', x < middle[0]);
      text.style.left = `${Math.round(x)}px`;
      text.style.top = `${Math.round(y)}px`;
      return [text];
    });
  }
}
