// The selected people, by number. Overlay and panel show and change the same selection.

export class Selection extends EventTarget {
  /** @type {Set<number>} */
  #numbers = new Set();

  /** @param {number} number */
  has(number) {
    return this.#numbers.has(number);
  }

  get size() {
    return this.#numbers.size;
  }

  /** In ascending order. */
  get numbers() {
    return [...this.#numbers].sort((a, b) => a - b);
  }

  /** @param {number} number */
  toggle(number) {
    if (!this.#numbers.delete(number)) this.#numbers.add(number);
    this.dispatchEvent(new Event('change'));
  }

  /**
   * Select these people and no others.
   * @param {number[]} numbers
   */
  replace(numbers) {
    this.#numbers = new Set(numbers);
    this.dispatchEvent(new Event('change'));
  }
}
