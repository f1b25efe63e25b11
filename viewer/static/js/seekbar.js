// The seek bar: the stage of each segment, the playhead, and seeking.

import { byId, make, setText, show } from './dom.js';
import { formatTime } from './text.js';

/** @type {Record<import('./model.js').Stage, string>} */
const STAGES = {
  painted: 'painted',
  detected: 'faces detected',
  stored: 'uploaded',
  failed: 'failed',
  '': 'not uploaded yet',
};

export class SeekBar {
  #video;
  #model;
  #input = byId('position');
  #dragging = false;

  /**
   * @param {HTMLVideoElement} video
   * @param {import('./model.js').Model} model
   */
  constructor(video, model) {
    this.#video = video;
    this.#model = model;
    this.#input.addEventListener('input', () => {
      this.#dragging = true;
      this.#place(this.#inputTime);
    });
    this.#input.addEventListener('change', () => {
      this.#dragging = false;
      video.currentTime = this.#inputTime;
    });
    byId('seek').addEventListener('pointermove', (event) => this.#showTip(event));
    byId('seek').addEventListener('pointerleave', () => show(byId('tip'), false));
    video.addEventListener('timeupdate', () => this.follow());
    video.addEventListener('seeking', () => this.follow());
  }

  draw() {
    const { duration } = this.#model;
    if (!duration) return;
    byId('runs').replaceChildren(...this.#model.runs().map(({ stage, start, end }) => {
      const run = make('i', stage);
      run.style.left = `${(100 * start) / duration}%`;
      run.style.width = `${(100 * (end - start)) / duration}%`;
      return run;
    }));
    setText(byId('duration'), ` / ${formatTime(duration)}`);
    this.follow();
  }

  /** Move the playhead to the video's position, unless the user is dragging it. */
  follow() {
    if (this.#dragging) return;
    const time = this.#video.currentTime;
    this.#input.value = String(time / (this.#model.duration || 1));
    this.#place(time);
  }

  get #inputTime() {
    return this.#input.valueAsNumber * this.#model.duration;
  }

  /** @param {number} time */
  #place(time) {
    const duration = this.#model.duration || 1;
    const share = `${Math.min(100, (100 * time) / duration)}%`;
    byId('playhead').style.left = share;
    byId('played').style.width = share;
    setText(byId('current-time'), formatTime(time));
    this.#input.setAttribute('aria-valuetext', `${formatTime(time)} of ${formatTime(duration)}`);
  }

  /** @param {PointerEvent} event */
  #showTip(event) {
    if (event.pointerType === 'touch' || !this.#model.duration) return;
    const box = byId('seek').getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    const time = share * this.#model.duration;
    const tip = byId('tip');
    setText(tip, `${formatTime(time)} · ${STAGES[this.#model.stage(this.#model.at(time))]}`);
    show(tip);
    const half = tip.offsetWidth / 2;
    tip.style.left = `${Math.min(box.width - half, Math.max(half, share * box.width))}px`;
  }
}
