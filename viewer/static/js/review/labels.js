// The labels of one picture while it is reviewed: its faces, what is chosen of them, and every state to go back to.

const MERGED_MS = 900;

export class Labels {
  #past = [];
  #future = [];
  #merge = { key: null, at: 0 };

  // `told` is the server's answer, `revision` names the state of the line in the file that it was read from.
  constructor(told, revision) {
    this.image = told.image;
    this.picture = { width: told.width, height: told.height };
    this.revision = revision;
    this.faces = told.faces;
    this.reviewed = told.reviewed;
    this.chosen = null;
    this.point = null;
    this.version = 0;
  }

  get face() {
    return this.faces[this.chosen];
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }

  choose(face, point = null) {
    this.chosen = this.faces[face] ? face : null;
    this.point = this.face?.landmarks ? point : null;
  }

  // Makes `faces` the labels. Steps of the same `key` that follow quickly are undone as one.
  edit(faces, key = null) {
    const now = performance.now();
    const merged = key !== null && key === this.#merge.key && now - this.#merge.at < MERGED_MS;
    if (!merged) this.#past.push(this.#state());
    this.#merge = { key, at: now };
    this.#future = [];
    this.faces = faces;
    this.choose(this.chosen, this.point);
    this.version += 1;
  }

  editFace(face, key = null) {
    this.edit(this.faces.map((old, index) => (index === this.chosen ? face : old)), key);
  }

  add(face) {
    this.edit([...this.faces, face]);
    this.choose(this.faces.length - 1);
  }

  remove() {
    const index = this.chosen;
    this.edit(this.faces.filter((_, other) => other !== index));
    this.choose(null);
  }

  setReviewed(reviewed) {
    if (this.reviewed === reviewed) return false;
    this.reviewed = reviewed;
    this.version += 1;
    return true;
  }

  undo() {
    return this.#turn(this.#past, this.#future);
  }

  redo() {
    return this.#turn(this.#future, this.#past);
  }

  // Another tab or program changed the picture's labels: theirs are shown, ours are one redo away.
  replace(told, revision) {
    const ours = this.#state();
    this.revision = revision;
    this.#past = [];
    this.#future = [ours];
    this.faces = told.faces;
    this.reviewed = told.reviewed;
    this.choose(null);
  }

  #turn(from, to) {
    const state = from.pop();
    if (!state) return false;
    to.push(this.#state());
    this.#merge = { key: null, at: 0 };
    this.faces = state.faces;
    this.choose(state.chosen, state.point);
    this.version += 1;
    return true;
  }

  #state() {
    return { faces: this.faces, chosen: this.chosen, point: this.point };
  }
}
