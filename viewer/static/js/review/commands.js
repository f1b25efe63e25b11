// What can be done, with which keys: the buttons' tips, the help and the keyboard all read it here.

export const COMMANDS = {
  next: { group: 'Pictures', text: 'Next picture', keys: ['PageDown', 'd'] },
  previous: { group: 'Pictures', text: 'Previous picture', keys: ['PageUp', 'a'] },
  first: { group: 'Pictures', text: 'First of the list', keys: ['Home'] },
  last: { group: 'Pictures', text: 'Last of the list', keys: ['End'] },
  approve: { group: 'Pictures', text: 'Reviewed, and on to the next', keys: ['Enter'] },
  review: { group: 'Pictures', text: 'Reviewed or not', keys: ['r'] },

  nextFace: { group: 'Faces', text: 'Next face', keys: ['Tab'], onStage: true },
  previousFace: { group: 'Faces', text: 'Previous face', keys: ['Shift+Tab'], onStage: true },
  add: { group: 'Faces', text: 'New face: draw it, or press again to have one in the middle', keys: ['n'] },
  remove: { group: 'Faces', text: 'Delete the face; with a point chosen, its points', keys: ['Delete', 'Backspace'] },
  ignore: { group: 'Faces', text: 'Ignore the face: neither learned nor counted', keys: ['i'] },
  points: { group: 'Faces', text: 'Add the five points, or remove them', keys: ['l'] },
  point: { group: 'Faces', text: 'Choose a point', keys: ['1', '2', '3', '4', '5'], shown: '1 – 5' },
  nudge: { group: 'Faces', text: 'Move what is chosen by 1 px, with Shift by 10 px', keys: arrows('', 'Shift+'), shown: 'Arrows' },
  grow: { group: 'Faces', text: 'Move the right and lower edge, with Shift by 10 px', keys: arrows('Alt+', 'Alt+Shift+'), shown: 'Alt + arrows' },
  back: { group: 'Faces', text: 'From the point back to the face, then to none', keys: ['Escape'] },

  undo: { group: 'Edits', text: 'Undo', keys: ['Ctrl+z'] },
  redo: { group: 'Edits', text: 'Redo', keys: ['Ctrl+y', 'Ctrl+Shift+z'] },

  closer: { group: 'View', text: 'Zoom in', keys: ['+', '='] },
  farther: { group: 'View', text: 'Zoom out', keys: ['-'] },
  fit: { group: 'View', text: 'The whole picture', keys: ['0', 'f'] },
  zoom: { group: 'View', text: 'The chosen face, large', keys: ['z'] },
  hide: { group: 'View', text: 'Hide the marks, or show them', keys: ['h'] },
  help: { group: 'View', text: 'This help', keys: ['?'] },
};

export const MOUSE = [
  ['Click', 'Choose a face or a point'],
  ['Drag a face, an edge, a point', 'Move it; a face takes its points along, but not with Alt held'],
  ['Drag elsewhere', 'Draw a new face'],
  ['Wheel', 'Zoom where the pointer is; with Shift sideways'],
  ['Drag with Space or the middle button', 'Move the picture'],
  ['Double click', 'The face, large'],
];

function arrows(...modifiers) {
  return modifiers.flatMap((held) => ['Left', 'Right', 'Up', 'Down'].map((way) => `${held}Arrow${way}`));
}

const NAMES = { Delete: 'Del', PageDown: 'Page ↓', PageUp: 'Page ↑', Escape: 'Esc', Backspace: '⌫', Enter: 'Enter ⏎' };

const APPLE = /Mac|iPhone|iPad/.test(navigator.platform);

export function shownKeys({ keys, shown }) {
  if (shown) return [shown];
  return keys.filter((key) => key !== '=').map((key) => key.split(/\+(?=.)/).map((part) => {
    if (part === 'Ctrl') return APPLE ? '⌘' : 'Ctrl';
    return NAMES[part] ?? (part.length === 1 ? part.toUpperCase() : part);
  }).join('+'));
}

// The name of what is pressed, as the keys above are written. Shift is part of a character that is typed with it.
function pressed(event) {
  const letter = /^[a-z]$/i.test(event.key);
  const shifted = event.shiftKey && (letter || event.key.length > 1);
  const held = [(event.ctrlKey || event.metaKey) && 'Ctrl+', event.altKey && 'Alt+', shifted && 'Shift+'];
  return held.filter(Boolean).join('') + (letter ? event.key.toLowerCase() : event.key);
}

const BY_KEY = new Map(Object.entries(COMMANDS).flatMap(([name, { keys }]) => keys.map((key) => [key, name])));

// Calls `run(name, event)` for the keys above; what it returns false for is left to the browser.
export function listen(stage, run) {
  document.addEventListener('keydown', (event) => {
    if (event.defaultPrevented || event.isComposing || document.querySelector('dialog[open]')) return;
    const name = BY_KEY.get(pressed(event));
    if (!name || isTaken(event) || (COMMANDS[name].onStage && event.target !== stage)) return;
    if (run(name, event) !== false) event.preventDefault();
  });
}

// Keys that the control in focus has a use for itself.
function isTaken({ target, key }) {
  if (target.matches('input, select, textarea')) return true;
  return key === 'Enter' && target.matches('button, a, summary');
}
