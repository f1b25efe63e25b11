// The form for a new look, which appears once people are selected: what happens to them, and with
// which filter.

import { asError, postJson } from '../api.js';
import { byId, setSentence, setText, show } from '../dom.js';
import { count } from '../text.js';

/**
 * @typedef {object} Mode
 * @property {'keep' | 'only'} selection how the look names the selected people
 * @property {boolean} redacts whether it takes redacting filters or the others
 * @property {string} result
 */

/** @type {Record<string, Mode>} */
const MODES = {
  keep: {
    selection: 'keep',
    redacts: true,
    result: 'Everyone else is redacted, and every face that is not recognized.',
  },
  redact: {
    selection: 'only',
    redacts: true,
    result: 'They are redacted, and every face that is not recognized.',
  },
  paint: {
    selection: 'only',
    redacts: false,
    result: 'Only they are painted, wherever they are recognized.',
  },
};

export class LookForm {
  #api;
  #selection;
  /** @type {import('../api.js').Filter[]} */
  #filters = [];
  // The filter that was last chosen, of those that redact (true) and of the others.
  /** @type {Map<boolean, string>} */
  #chosen = new Map();
  // The filters of the shown look with their options, by name: a new look keeps the options.
  /** @type {Map<string, string>} */
  #shorthands = new Map();
  /** The request that would give the shown look again. */
  #current = '';
  #form = byId('look-form');
  #filter = byId('look-filter');

  /**
   * @param {object} options
   * @param {string} options.api URL of the job
   * @param {import('./selection.js').Selection} options.selection
   */
  constructor({ api, selection }) {
    this.#api = api;
    this.#selection = selection;
    selection.addEventListener('change', () => this.#draw());
    this.#form.addEventListener('change', (event) => {
      if (event.target === this.#filter) this.#chosen.set(this.#mode.redacts, this.#filter.value);
      this.#draw();
    });
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    byId('clear-selection').addEventListener('click', () => selection.replace([]));
  }

  /**
   * Offer filters, and start with the people, mode and filter of the shown look.
   * @param {import('../api.js').Filter[]} filters
   * @param {import('../api.js').Look} look
   */
  start(filters, look) {
    this.#filters = filters;
    this.#shorthands = new Map(look.filters.map((filter) => [filter.split(':')[0], filter]));
    const [firstName] = this.#shorthands.keys();
    const first = filters.find(({ name }) => name === firstName);
    const redacts = first?.redacts ?? true;
    if (first) this.#chosen.set(redacts, first.name);
    this.#setMode(look, redacts);
    this.#selection.replace([...look.keep, ...look.only]);
    // A look of several filters, or of a sticker from a file, cannot be made here.
    if (first && look.filters.length === 1) this.#current = this.#request;
    this.#draw();
  }

  /**
   * @param {import('../api.js').Look} look
   * @param {boolean} redacts
   */
  #setMode(look, redacts) {
    let mode = 'keep';
    if (look.only.length) mode = redacts ? 'redact' : 'paint';
    this.#modeButtons.value = mode;
  }

  get #modeButtons() {
    return /** @type {RadioNodeList} */ (this.#form.elements.namedItem('mode'));
  }

  get #mode() {
    return MODES[this.#modeButtons.value];
  }

  get #content() {
    const { value } = this.#filter;
    const filters = [this.#shorthands.get(value) ?? value];
    return { filters, [this.#mode.selection]: this.#selection.numbers };
  }

  get #request() {
    return JSON.stringify(this.#content);
  }

  #draw() {
    this.#offerFilters();
    const { size } = this.#selection;
    show(this.#form, size > 0 && this.#request !== this.#current);
    setText(byId('selection-count'), size ? `${count(size, 'face')} selected` : 'No face selected');
    setText(byId('look-result'), this.#mode.result);
    show(byId('look-error'), false);
  }

  #offerFilters() {
    const { redacts } = this.#mode;
    const select = this.#filter;
    if (select.dataset.redacts === String(redacts) && select.options.length) return;
    select.dataset.redacts = String(redacts);
    const offered = this.#filters.filter((filter) => filter.redacts === redacts);
    select.replaceChildren(...offered.map(({ name, summary }) => {
      const option = new Option(name, name, false, name === this.#chosen.get(redacts));
      option.title = summary;
      return option;
    }));
  }

  async #submit() {
    const button = byId('create-look');
    button.disabled = true;
    try {
      const { look } = await postJson(`${this.#api}/looks`, this.#content);
      location.assign(`${location.pathname}?${new URLSearchParams({ look })}#faces`);
    } catch (thrown) {
      setSentence(byId('look-error'), asError(thrown).message);
      show(byId('look-error'));
    } finally {
      button.disabled = false;
    }
  }
}
