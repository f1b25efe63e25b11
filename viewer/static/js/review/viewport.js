// Which part of the picture is seen, and how large: screen = picture * scale + offset, in px of the stage.

const LARGEST = 48;

export class Viewport {
  #stage = { width: 1, height: 1 };
  #picture = { width: 1, height: 1 };
  #fitted = true;
  scale = 1;
  x = 0;
  y = 0;

  setPicture(picture) {
    this.#picture = picture;
    this.fit();
  }

  setStage(width, height) {
    const [dx, dy] = [(width - this.#stage.width) / 2, (height - this.#stage.height) / 2];
    this.#stage = { width, height };
    if (this.#fitted) this.fit();
    else this.pan(dx, dy);
  }

  get fitScale() {
    const { width, height } = this.#picture;
    const margin = Math.min(24, this.#stage.width / 20);
    return Math.min((this.#stage.width - 2 * margin) / width, (this.#stage.height - 2 * margin) / height, 8);
  }

  fit() {
    this.scale = Math.max(0.01, this.fitScale);
    this.x = (this.#stage.width - this.#picture.width * this.scale) / 2;
    this.y = (this.#stage.height - this.#picture.height * this.scale) / 2;
    this.#fitted = true;
  }

  // Zooms so that what is under (x, y) of the stage, or in its middle, stays there.
  zoom(factor, x = this.#stage.width / 2, y = this.#stage.height / 2) {
    const scale = Math.max(Math.min(this.fitScale, 1) / 2, Math.min(LARGEST, this.scale * factor));
    const [px, py] = this.toPicture(x, y);
    this.scale = scale;
    this.#place(x - px * scale, y - py * scale);
  }

  pan(dx, dy) {
    this.#place(this.x + dx, this.y + dy);
  }

  // Shows a box large, with what is around it.
  show([x1, y1, x2, y2]) {
    const side = 2.2 * Math.max(x2 - x1, y2 - y1, 8);
    this.scale = Math.min(LARGEST, Math.min(this.#stage.width, this.#stage.height) / side);
    this.#place(this.#stage.width / 2 - ((x1 + x2) / 2) * this.scale, this.#stage.height / 2 - ((y1 + y2) / 2) * this.scale);
  }

  // Brings a box into view without changing the scale, if it is not seen.
  reveal(box) {
    const [x1, y1] = this.toStage(box[0], box[1]);
    const [x2, y2] = this.toStage(box[2], box[3]);
    const { width, height } = this.#stage;
    if (x1 >= 0 && y1 >= 0 && x2 <= width && y2 <= height) return;
    if (x1 < width && x2 > 0 && y1 < height && y2 > 0 && (x2 - x1 > width || y2 - y1 > height)) return;
    this.pan(width / 2 - (x1 + x2) / 2, height / 2 - (y1 + y2) / 2);
  }

  toPicture(x, y) {
    return [(x - this.x) / this.scale, (y - this.y) / this.scale];
  }

  toStage(x, y) {
    return [x * this.scale + this.x, y * this.scale + this.y];
  }

  // The middle of what is seen of the picture, and the shorter side of that, in picture px.
  get seen() {
    const [x1, y1] = this.toPicture(0, 0).map((value) => Math.max(0, value));
    const end = this.toPicture(this.#stage.width, this.#stage.height);
    const [x2, y2] = [Math.min(this.#picture.width, end[0]), Math.min(this.#picture.height, end[1])];
    return { middle: [(x1 + x2) / 2, (y1 + y2) / 2], side: Math.min(x2 - x1, y2 - y1) };
  }

  // The picture's edges stop a little inside the stage: it is never lost out of sight.
  #place(x, y) {
    const keep = 48;
    const [width, height] = [this.#picture.width * this.scale, this.#picture.height * this.scale];
    this.x = Math.max(keep - width, Math.min(this.#stage.width - keep, x));
    this.y = Math.max(keep - height, Math.min(this.#stage.height - keep, y));
    this.#fitted = false;
  }
}
