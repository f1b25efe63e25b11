// The faces of the shown frame as buttons over the video, while faces are being chosen.

import { byId, make, show } from '../dom.js';
import { Positions } from './positions.js';

export class Picture {
  #video;
  #chosen;
  #layer = byId('faces');
  #positions;
  #buttons = new Map();
  #on = false;
  #time = 0;
  #aspect;
  #lowConfidence = new Set();

  constructor({ video, model, chosen, aspect, url }) {
    this.#video = video;
    this.#chosen = chosen;
    this.#aspect = aspect;
    this.#positions = new Positions(model, url, () => this.#draw());
    chosen.addEventListener('change', () => {
      this.#mark();
      this.#draw();
    });
    byId('low-confidence').addEventListener('toggle', () => this.#draw());
    new ResizeObserver(() => this.#fit()).observe(video);
    video.addEventListener('resize', () => this.#fit());
    this.#follow();
  }

  get on() {
    return this.#on;
  }

  set on(on) {
    this.#on = on;
    show(this.#layer, on);
    this.#fit();
    this.#draw();
  }

  // The people who may be no faces: as long as they are folded away below, only the chosen ones are shown here.
  set lowConfidence(numbers) {
    this.#lowConfidence = new Set(numbers);
    this.#draw();
  }

  #shows(number) {
    return !this.#lowConfidence.has(number) || byId('low-confidence').open || this.#chosen.has(number);
  }

  // The time of the frame on the screen, which only newer browsers tell; the playhead's is at most a frame away.
  #follow() {
    const video = this.#video;
    const shown = (time) => {
      this.#time = time;
      this.#draw();
    };
    if (video.requestVideoFrameCallback) {
      const next = (_, { mediaTime }) => {
        shown(mediaTime);
        video.requestVideoFrameCallback(next);
      };
      video.requestVideoFrameCallback(next);
    } else {
      const look = () => {
        if (this.#on) shown(video.currentTime);
        requestAnimationFrame(look);
      };
      requestAnimationFrame(look);
    }
  }

  // Lays the layer over the picture, without the bars beside it.
  #fit() {
    if (!this.#on) return;
    const video = this.#video;
    const [width, height] = [video.clientWidth, video.clientHeight];
    const aspect = video.videoWidth ? video.videoWidth / video.videoHeight : this.#aspect;
    const shown = Math.min(width, height * aspect);
    const { style } = this.#layer;
    style.width = `${shown}px`;
    style.height = `${shown / aspect}px`;
    style.left = `${(width - shown) / 2}px`;
    style.top = `${(height - shown / aspect) / 2}px`;
  }

  #draw() {
    if (!this.#on) return;
    const faces = this.#positions.at(this.#time);
    const seen = new Set();
    for (const [number, left, top, width, height] of faces) {
      if (!this.#shows(number)) continue;
      seen.add(number);
      const { style } = this.#button(number);
      style.left = `${100 * left}%`;
      style.top = `${100 * top}%`;
      style.width = `${100 * width}%`;
      style.height = `${100 * height}%`;
    }
    for (const [number, button] of this.#buttons) show(button, seen.has(number));
  }

  // Kept while the person is away, so that the keyboard's focus is where it was when the face comes back.
  #button(number) {
    let button = this.#buttons.get(number);
    if (!button) {
      button = make('button', 'face');
      button.type = 'button';
      button.setAttribute('aria-label', `Person ${number}`);
      button.append(make('span', 'number', String(number)));
      button.addEventListener('click', () => this.#chosen.toggle(number));
      this.#buttons.set(number, button);
      const after = [...this.#buttons.keys()].filter((other) => other > number).sort((a, b) => a - b)[0];
      this.#layer.insertBefore(button, this.#buttons.get(after) ?? null);
      this.#mark();
    }
    return button;
  }

  #mark() {
    for (const [number, button] of this.#buttons) {
      button.setAttribute('aria-pressed', String(this.#chosen.has(number)));
    }
  }
}
