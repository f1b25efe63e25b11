// The bar that appears once somebody is chosen: what is to happen to them, and having it made.

import { post } from '../api.js';
import { byId, sentence, setText, show } from '../dom.js';
import { count } from '../text.js';

// How each way names the chosen, whether its filters are those that hide, and what it comes to.
const WAYS = {
  keep: { selection: 'keep', redacts: true, result: 'Everyone else is hidden, and every face that is not recognized.' },
  hide: { selection: 'only', redacts: true, result: 'They are hidden, and every face that is not recognized.' },
  paint: { selection: 'only', redacts: false, result: 'Only they are painted, where they are recognized.' },
};

export class Making {
  #api;
  #chosen;
  #filters = [];
  #picked = {};
  // How the filters of the look on the screen are written, with their options, by name.
  #written = new Map();
  #shown = '';
  #form = byId('making');

  constructor({ api, chosen }) {
    this.#api = api;
    this.#chosen = chosen;
    chosen.addEventListener('change', () => this.#draw());
    this.#form.addEventListener('change', (event) => {
      if (event.target === byId('making-filter')) this.#picked[this.#way.redacts] = byId('making-filter').value;
      this.#draw();
    });
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#make();
    });
    byId('choose-none').addEventListener('click', () => chosen.take([]));
  }

  // Takes the filters one can ask for, each with `name`, `summary` and `redacts`, and begins with what the look on the
  // screen does to whom.
  begin(filters, look) {
    this.#filters = filters;
    this.#written = new Map(look.filters.map((written) => [written.split(':')[0], written]));
    const [first] = this.#written.keys();
    const shown = filters.find(({ name }) => name === first);
    const redacts = shown?.redacts ?? true;
    this.#picked[redacts] = shown?.name;
    this.#form.elements.way.value = look.only.length ? (redacts ? 'hide' : 'paint') : 'keep';
    this.#chosen.take([...look.keep, ...look.only]);
    this.#shown = shown && look.filters.length === 1 ? this.#said : '';
    this.#draw();
  }

  get #wish() {
    const { value } = byId('making-filter');
    return { filters: [this.#written.get(value) ?? value], [this.#way.selection]: this.#chosen.numbers };
  }

  get #said() {
    return JSON.stringify(this.#wish);
  }

  get #way() {
    return WAYS[this.#form.elements.way.value];
  }

  #draw() {
    this.#offer();
    const { size } = this.#chosen;
    show(this.#form, size > 0 && this.#said !== this.#shown);
    setText(byId('chosen-count'), size ? `${count(size, 'face')} chosen` : 'No face is chosen');
    setText(byId('making-result'), this.#way.result);
    show(byId('making-trouble'), false);
  }

  #offer() {
    const { redacts } = this.#way;
    const choice = byId('making-filter');
    if (choice.dataset.redacts === String(redacts) && choice.options.length) return;
    choice.dataset.redacts = redacts;
    const offered = this.#filters.filter((filter) => filter.redacts === redacts);
    choice.replaceChildren(...offered.map(({ name, summary }) => {
      const option = new Option(name, name, false, name === this.#picked[redacts]);
      option.title = summary;
      return option;
    }));
  }

  async #make() {
    const button = byId('make');
    button.disabled = true;
    try {
      const { look } = await post(`${this.#api}/looks`, this.#wish);
      location.assign(`${location.pathname}?${new URLSearchParams({ look })}#faces`);
    } catch (error) {
      sentence(byId('making-trouble'), error.message);
      show(byId('making-trouble'));
    } finally {
      button.disabled = false;
    }
  }
}
