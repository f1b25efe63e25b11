// The seek bar: how far each segment is, where the playhead stands, and going elsewhere.

import { byId, make, setText, show } from './dom.js';
import { clock } from './text.js';

const STAGES = {
  painted: 'painted',
  found: 'faces found',
  stored: 'stored',
  failed: 'given up',
  '': 'not uploaded yet',
};

export class SeekBar {
  #video;
  #model;
  #input = byId('position');
  #dragging = false;

  constructor(video, model) {
    this.#video = video;
    this.#model = model;
    const input = this.#input;
    input.addEventListener('input', () => {
      this.#dragging = true;
      this.#place(this.#time());
    });
    input.addEventListener('change', () => {
      this.#dragging = false;
      video.currentTime = this.#time();
    });
    byId('seek').addEventListener('pointermove', (event) => this.#hint(event));
    byId('seek').addEventListener('pointerleave', () => show(byId('tip'), false));
    video.addEventListener('timeupdate', () => this.follow());
    video.addEventListener('seeking', () => this.follow());
  }

  draw() {
    const whole = this.#model.length;
    if (!whole) return;
    byId('runs').replaceChildren(...this.#model.runs().map(([stage, start, end]) => {
      const run = make('i', stage);
      run.style.left = `${(100 * start) / whole}%`;
      run.style.width = `${(100 * (end - start)) / whole}%`;
      return run;
    }));
    setText(byId('whole'), ` / ${clock(whole)}`);
    this.follow();
  }

  follow() {
    if (this.#dragging) return;
    const time = this.#video.currentTime;
    this.#input.value = time / (this.#model.length || 1);
    this.#place(time);
  }

  #time() {
    return this.#input.valueAsNumber * this.#model.length;
  }

  #place(time) {
    const whole = this.#model.length || 1;
    const share = `${Math.min(100, (100 * time) / whole)}%`;
    byId('head').style.left = share;
    byId('played').style.width = share;
    setText(byId('now'), clock(time));
    this.#input.setAttribute('aria-valuetext', `${clock(time)} of ${clock(whole)}`);
  }

  #hint(event) {
    if (event.pointerType === 'touch' || !this.#model.length) return;
    const box = byId('seek').getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    const time = share * this.#model.length;
    const tip = byId('tip');
    setText(tip, `${clock(time)} · ${STAGES[this.#model.stage(this.#model.at(time))]}`);
    show(tip);
    const half = tip.offsetWidth / 2;
    tip.style.left = `${Math.min(box.width - half, Math.max(half, share * box.width))}px`;
  }
}
