// Which people are chosen, by number; the picture and the panel show and change the same set.

export class Chosen extends EventTarget {
  #numbers = new Set();

  has(number) {
    return this.#numbers.has(number);
  }

  get size() {
    return this.#numbers.size;
  }

  // In ascending order.
  get numbers() {
    return [...this.#numbers].sort((a, b) => a - b);
  }

  toggle(number) {
    if (!this.#numbers.delete(number)) this.#numbers.add(number);
    this.dispatchEvent(new Event('change'));
  }

  // Chooses these and nobody else.
  take(numbers) {
    this.#numbers = new Set(numbers);
    this.dispatchEvent(new Event('change'));
  }
}
