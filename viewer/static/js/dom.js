// The few things every page does with the document. Text from jobs only ever becomes text, never markup.

/**
 * The element with an id. The pages hold every id that the scripts name, each with its own kind of element.
 * @param {string} id
 * @returns {any}
 */
export const byId = (id) => document.getElementById(id);

export function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

export function show(node, visible = true) {
  node.hidden = !visible;
}

// A sentence of the server's: what it puts between backticks is a command. Said once, as screen readers read it out.
export function sentence(node, said) {
  const text = said.charAt(0).toUpperCase() + said.slice(1);
  if (node.dataset.said === text) return;
  node.dataset.said = text;
  node.replaceChildren(...text.split('`').map((part, at) => (at % 2 ? make('code', '', part) : part)));
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function enableCopying() {
  /** @type {NodeListOf<HTMLElement>} */
  const buttons = document.querySelectorAll('[data-copies]');
  for (const button of buttons) {
    button.addEventListener('click', async () => {
      try {
        await navigator.clipboard.writeText(byId(button.dataset.copies).textContent);
        button.textContent = 'Copied';
      } catch {
        button.textContent = 'Select it';
        getSelection().selectAllChildren(byId(button.dataset.copies));
      }
      setTimeout(() => { button.textContent = 'Copy'; }, 1800);
    });
  }
}
