// The faces of the shown frame as buttons over the video, while faces are being selected.

import { byId, make, show } from '../dom.js';
import { Positions } from './positions.js';

export class Overlay {
  #video;
  #selection;
  #layer = byId('faces');
  #positions;
  /** @type {Map<number, HTMLButtonElement>} */
  #buttons = new Map();
  #on = false;
  #time = 0;
  #aspect;
  /** @type {Set<number>} */
  #lowConfidence = new Set();

  /**
   * @param {object} options
   * @param {HTMLVideoElement} options.video
   * @param {import('../model.js').Model} options.model
   * @param {import('./selection.js').Selection} options.selection
   * @param {number} options.aspect width of the video by its height, until it is loaded
   * @param {(index: number) => string} options.url of a segment's faces
   */
  constructor({ video, model, selection, aspect, url }) {
    this.#video = video;
    this.#selection = selection;
    this.#aspect = aspect;
    this.#positions = new Positions(model, url, () => this.#draw());
    selection.addEventListener('change', () => {
      this.#drawSelection();
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

  /**
   * The people of low confidence, which may not be faces. Only the selected ones are shown while
   * the panel folds the others away.
   * @param {number[]} numbers
   */
  set lowConfidence(numbers) {
    this.#lowConfidence = new Set(numbers);
    this.#draw();
  }

  /** @param {number} number */
  #isShown(number) {
    if (!this.#lowConfidence.has(number)) return true;
    return byId('low-confidence').open || this.#selection.has(number);
  }

  // Older browsers do not report the time of the shown frame; the playhead is at most one frame
  // away.
  #follow() {
    const video = this.#video;
    const drawAt = (/** @type {number} */ time) => {
      this.#time = time;
      this.#draw();
    };
    if ('requestVideoFrameCallback' in video) {
      /** @type {VideoFrameRequestCallback} */
      const onFrame = (_, { mediaTime }) => {
        drawAt(mediaTime);
        video.requestVideoFrameCallback(onFrame);
      };
      video.requestVideoFrameCallback(onFrame);
      return;
    }
    const onRepaint = () => {
      if (this.#on) drawAt(/** @type {HTMLVideoElement} */ (video).currentTime);
      requestAnimationFrame(onRepaint);
    };
    requestAnimationFrame(onRepaint);
  }

  // Places the layer exactly over the frame, without the black bars beside it.
  #fit() {
    if (!this.#on) return;
    const video = this.#video;
    const [width, height] = [video.clientWidth, video.clientHeight];
    const aspect = video.videoWidth ? video.videoWidth / video.videoHeight : this.#aspect;
    const shownWidth = Math.min(width, height * aspect);
    const { style } = this.#layer;
    style.width = `${shownWidth}px`;
    style.height = `${shownWidth / aspect}px`;
    style.left = `${(width - shownWidth) / 2}px`;
    style.top = `${(height - shownWidth / aspect) / 2}px`;
  }

  #draw() {
    if (!this.#on) return;
    /** @type {Set<number>} */
    const shown = new Set();
    for (const [number, left, top, width, height] of this.#positions.at(this.#time)) {
      if (!this.#isShown(number)) continue;
      shown.add(number);
      const { style } = this.#button(number);
      style.left = `${100 * left}%`;
      style.top = `${100 * top}%`;
      style.width = `${100 * width}%`;
      style.height = `${100 * height}%`;
    }
    for (const [number, button] of this.#buttons) show(button, shown.has(number));
  }

  /**
   * The button of a person. It is kept while the face is out of sight, so that the keyboard's focus
   * returns with it.
   * @param {number} number
   */
  #button(number) {
    const existing = this.#buttons.get(number);
    if (existing) return existing;
    const button = make('button', 'face');
    button.type = 'button';
    button.setAttribute('aria-label', `Person ${number}`);
    button.append(make('span', 'number', String(number)));
    button.addEventListener('click', () => this.#selection.toggle(number));
    // In ascending order, which is the order of the Tab key.
    const next = Math.min(...[...this.#buttons.keys()].filter((other) => other > number));
    this.#layer.insertBefore(button, this.#buttons.get(next) ?? null);
    this.#buttons.set(number, button);
    this.#drawSelection();
    return button;
  }

  #drawSelection() {
    for (const [number, button] of this.#buttons) {
      button.setAttribute('aria-pressed', String(this.#selection.has(number)));
    }
  }
}
