// What all pages do with the document. Text of jobs is only ever set as text, never as markup.

/**
 * The elements of the pages by id, where more than `HTMLElement` is needed.
 * @typedef {object} Elements
 * @property {HTMLVideoElement} video
 * @property {HTMLSelectElement} look
 * @property {HTMLSelectElement} track
 * @property {HTMLInputElement} position
 * @property {HTMLInputElement} volume
 * @property {HTMLButtonElement} find-people
 * @property {HTMLDetailsElement} low-confidence
 * @property {HTMLFormElement} look-form
 * @property {HTMLSelectElement} look-filter
 * @property {HTMLButtonElement} create-look
 * @property {HTMLDialogElement} large
 * @property {HTMLImageElement} large-image
 * @property {HTMLAnchorElement} large-save
 * @property {HTMLAnchorElement} download
 * @property {HTMLAnchorElement} unplayable-download
 */

/**
 * The element with an id, which the page must have.
 * @template {string} Id
 * @param {Id} id
 * @returns {Id extends keyof Elements ? Elements[Id] : HTMLElement}
 */
export function byId(id) {
  const node = document.getElementById(id);
  if (node === null) throw new Error(`the page has no element ${id}`);
  return /** @type {any} */ (node);
}

/**
 * A new element.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} [className]
 * @param {string} [text]
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

/** @param {HTMLElement} node */
export function show(node, visible = true) {
  node.hidden = !visible;
}

/**
 * Set a sentence of the server, with commands between backticks. An unchanged one is not set again,
 * as screen readers read it out each time.
 * @param {HTMLElement} node
 * @param {string} text
 */
export function setSentence(node, text) {
  const sentence = text.charAt(0).toUpperCase() + text.slice(1);
  if (node.dataset.sentence === sentence) return;
  node.dataset.sentence = sentence;
  const parts = sentence.split('`');
  node.replaceChildren(...parts.map((part, at) => (at % 2 ? make('code', '', part) : part)));
}

/**
 * @param {HTMLElement} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Let the Copy buttons copy the element that `data-copies` names. */
export function enableCopying() {
  /** @type {NodeListOf<HTMLElement>} */
  const buttons = document.querySelectorAll('[data-copies]');
  for (const button of buttons) {
    const source = byId(button.dataset.copies ?? '');
    button.addEventListener('click', async () => {
      try {
        await navigator.clipboard.writeText(source.textContent ?? '');
        button.textContent = 'Copied';
      } catch {
        // Browsers allow the clipboard on secure origins only: the reader presses the keys.
        button.textContent = 'Selected';
        getSelection()?.selectAllChildren(source);
      }
      setTimeout(() => { button.textContent = 'Copy'; }, 1800);
    });
  }
}
