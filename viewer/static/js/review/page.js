// The review page: put together here; each part has its own file.

import { byId, make, sentence, setText, show } from '../dom.js';
import { COMMANDS, listen, MOUSE, shownKeys } from './commands.js';
import { Desk } from './desk.js';
import { Folder, imageUrl } from './folder.js';
import { Panel } from './panel.js';
import { Pointer } from './pointer.js';
import { readLabels, Saver } from './saver.js';
import { Strip } from './strip.js';

const HINT_MS = 4500;

let folder;
let strip;
let desk;
let panel;
let saver;
let pointer;
let opening = null;
let hintTimer = 0;
let index = -1;
const kept = new Map();

const stage = byId('stage');

function hint(text, stays = false) {
  clearTimeout(hintTimer);
  sentence(byId('hint'), text ?? '');
  show(byId('hint'), Boolean(text));
  if (text && !stays) hintTimer = setTimeout(() => show(byId('hint'), false), HINT_MS);
}

function notice(text, mine = null) {
  sentence(byId('notice-words'), text);
  show(byId('notice'));
  show(byId('use-mine'), mine !== null);
  byId('use-mine').onclick = () => {
    show(byId('notice'), false);
    if (mine === desk.labels) desk.redo();
    else if (mine.redo()) saver.save(mine);
  };
}

function saveState(state, message) {
  byId('save').dataset.state = state;
  setText(byId('save'), { saved: 'Saved', saving: 'Saving …', failed: 'Not saved' }[state]);
  show(byId('save'));
  show(byId('unsaved'), state === 'failed');
  if (state === 'failed') sentence(byId('unsaved'), message);
}

// What the list and the counts say of a picture after an edit.
function tell(labels) {
  folder.update(labels);
  strip.refresh(folder.indexOf(labels.image));
  drawCounts();
}

function drawCounts() {
  const { reviewed, count } = folder;
  byId('progress-bar').max = count || 1;
  byId('progress-bar').value = reviewed;
  setText(byId('progress-words'), `${reviewed} of ${count} reviewed`);
  show(byId('progress'));
  for (const option of byId('filter').options) {
    option.dataset.words ??= option.textContent;
    setText(option, `${option.dataset.words} (${folder.matching(option.value).length})`);
  }
}

function drawButtons() {
  const labels = desk.labels;
  const face = labels?.face;
  const state = {
    add: [labels, desk.drawing],
    points: [face, Boolean(face?.landmarks)],
    ignore: [face, Boolean(face?.ignore)],
    remove: [face],
    undo: [labels?.canUndo],
    redo: [labels?.canRedo],
    hide: [labels, desk.plain],
    review: [labels, Boolean(labels?.reviewed)],
    approve: [labels],
    closer: [labels], farther: [labels], fit: [labels],
    previous: [folder.next(index, -1) !== undefined],
    next: [folder.next(index, 1) !== undefined],
  };
  for (const button of document.querySelectorAll('[data-does]')) {
    const [possible, on] = state[button.dataset.does] ?? [true];
    // Disabled it would lose the focus of who works with the keyboard.
    button.setAttribute('aria-disabled', !possible);
    if (button.hasAttribute('aria-pressed')) button.setAttribute('aria-pressed', Boolean(on));
  }
  setText(byId('scale'), `${Math.round(desk.viewport.scale * 100)} %`);
}

function drawAll() {
  panel.draw(desk.labels, folder.low);
  stage.classList.toggle('drawing', desk.drawing);
  drawButtons();
}

async function open(next) {
  if (next === undefined || next < 0) return;
  opening?.abort();
  const mine = new AbortController();
  opening = mine;
  index = next;
  const { image } = folder.row(index);
  strip.choose(index);
  setText(byId('where'), folder.place(index));
  setText(byId('name'), image);
  history.replaceState(null, '', `#${encodeURIComponent(image)}`);
  stage.setAttribute('aria-label', `Picture ${image}`);
  hint(null);
  try {
    const [labels, picture] = await Promise.all([labelsOf(image, mine.signal), loaded(image)]);
    if (mine.signal.aborted) return;
    shown(labels, picture);
  } catch (error) {
    if (!mine.signal.aborted) shown(null, null, error.message);
  }
}

// The labels as they were left here if the file still has those, so that they can still be undone.
async function labelsOf(image, signal) {
  const unsaved = saver.unsavedOf(image);
  if (unsaved) return unsaved;
  const before = kept.get(image);
  const { told, revision } = await readLabels(image, signal);
  if (before?.revision === revision) return before;
  return folder.keep(kept, told, revision);
}

async function loaded(image) {
  const picture = new Image();
  picture.src = imageUrl('/picture', image, folder.run);
  try {
    await picture.decode();
  } catch {
    throw new Error(`${image} cannot be shown: it is missing from the folder of pictures, or damaged.`);
  }
  return picture;
}

function shown(labels, picture, fault = '') {
  pointer.abandon();
  show(byId('missing'), Boolean(fault));
  setText(byId('missing'), fault);
  show(byId('picture'), picture !== null);
  if (picture) {
    byId('picture').src = picture.src;
    const [width, height] = [picture.naturalWidth, picture.naturalHeight];
    const said = labels.picture;
    if (said.width !== width || said.height !== height) {
      hint(`This picture has ${width} × ${height} px, its labels say ${said.width} × ${said.height}: `
        + 'they may be of another version of it.', true);
    }
    labels.picture = { width, height };
    labels.choose(null);
  }
  desk.put(labels);
  for (const step of [1, -1]) {
    const near = folder.next(index, step);
    if (near !== undefined) new Image().src = imageUrl('/picture', folder.row(near).image, folder.run);
  }
}

function go(step) {
  const next = folder.next(index, step);
  if (next !== undefined) open(next);
  else hint(step > 0 ? endOfList() : 'This is the first picture of the list.');
}

function endOfList() {
  const left = folder.count - folder.reviewed;
  return left ? `This is the last picture of the list. Not reviewed yet: ${left}.` : 'That was the last: every picture is reviewed.';
}

function filter() {
  folder.choose(byId('filter').value, Number(byId('low').value));
  show(byId('low-choice'), byId('filter').value === 'low');
  strip.list(folder.order);
  show(byId('none'), folder.order.length === 0);
  show(byId('strip'), folder.order.length > 0);
  drawCounts();
  if (!folder.order.length) {
    drawAll();
    return;
  }
  if (folder.order.includes(index)) open(index);
  else open(folder.order[0]);
}

const ACTIONS = {
  next: () => go(1),
  previous: () => go(-1),
  first: () => open(folder.order[0]),
  last: () => open(folder.order.at(-1)),
  approve: () => { if (desk.setReviewed(true)) go(1); },
  review: () => desk.setReviewed(!desk.labels?.reviewed),
  nextFace: () => desk.cycle(1),
  previousFace: () => desk.cycle(-1),
  add: () => desk.startDrawing(),
  remove: () => desk.remove(),
  ignore: () => desk.ignore(),
  points: () => desk.togglePoints(),
  point: (event) => desk.choosePoint(Number(event.key) - 1),
  nudge: (event) => nudge(event),
  grow: (event) => desk.grow(...stepOf(event)),
  back: () => { if (pointer.dragging) pointer.abandon(); else return desk.back(); return true; },
  undo: () => desk.undo(),
  redo: () => desk.redo(),
  closer: () => desk.zoom(1.25),
  farther: () => desk.zoom(0.8),
  fit: () => desk.fit(),
  zoom: () => desk.zoomToChosen(),
  hide: () => desk.toggleMarks(),
  help: () => byId('help').showModal(),
};

function stepOf({ key, shiftKey }) {
  const far = shiftKey ? 10 : 1;
  return { ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, -far], ArrowDown: [0, far] }[key];
}

// With nothing chosen the arrows turn the pages.
function nudge(event) {
  const [dx, dy] = stepOf(event);
  if (desk.labels?.face) desk.nudge(dx, dy);
  else go(Math.sign(dx + dy));
}

function drawHelp() {
  const groups = Object.groupBy(Object.values(COMMANDS), ({ group }) => group);
  const tables = Object.entries(groups).map(([group, commands]) => [group, commands.map((command) => [shownKeys(command), command.text])]);
  tables.push(['Mouse', MOUSE.map(([gesture, text]) => [[gesture], text])]);
  for (const [group, rows] of tables) {
    const part = make('section');
    const list = make('dl');
    for (const [keys, text] of rows) {
      const term = make('dt');
      term.append(...keys.map((key) => make('kbd', '', key)));
      list.append(term, make('dd', '', text));
    }
    part.append(make('h3', '', group), list);
    byId('help-tables').append(part);
  }
}

function wireButtons() {
  for (const button of document.querySelectorAll('[data-does]')) {
    const command = COMMANDS[button.dataset.does];
    button.title = `${command.text} (${shownKeys(command).join(' or ')})`;
    button.addEventListener('click', (event) => {
      if (button.getAttribute('aria-disabled') !== 'true') ACTIONS[button.dataset.does](event);
      // After a click of the mouse the keys are the picture's again; who came by keyboard stays where he is.
      if (event.detail > 0 && !document.querySelector('dialog[open]')) stage.focus({ preventScroll: true });
    });
  }
  byId('filter').addEventListener('change', filter);
  byId('low').addEventListener('change', filter);
  byId('notice-close').addEventListener('click', () => show(byId('notice'), false));
}

function wireSpace() {
  document.addEventListener('keydown', (event) => {
    if (event.key !== ' ' || event.target.matches('button, input, select, a, summary')) return;
    event.preventDefault();
    pointer.setPanning(true);
  });
  document.addEventListener('keyup', (event) => { if (event.key === ' ') pointer.setPanning(false); });
  window.addEventListener('blur', () => pointer.setPanning(false));
}

async function conflicted(labels) {
  const { told, revision } = await readLabels(labels.image);
  if (labels === desk.labels) pointer.abandon();
  labels.replace(told, revision);
  tell(labels);
  if (labels === desk.labels) desk.drawn();
  notice(`${labels.image} was changed in another tab or program meanwhile. What that made of it is shown here, your own last edits are not saved.`, labels);
}

async function start() {
  drawHelp();
  saver = new Saver({ said: saveState, saved: tell, conflicted });
  try {
    folder = await Folder.read();
  } catch (error) {
    notice(error.message);
    return;
  }
  setText(byId('folder'), folder.name);
  byId('folder').title = folder.path;
  document.title = `Review ${folder.name} – facepaint`;
  panel = new Panel((face, point) => { desk.choose(face ?? desk.labels.chosen, point, true); stage.focus(); });
  desk = new Desk({
    hint,
    said: (text) => setText(byId('said'), text),
    changed: (labels) => { tell(labels); saver.save(labels); },
    drawAll,
    drawButtons,
    low: () => folder.low,
  });
  pointer = new Pointer(stage, desk);
  strip = new Strip(byId('strip'), { row: (at) => folder.row(at), url: (image) => imageUrl('/thumbnail', image, folder.run), open });
  wireButtons();
  wireSpace();
  listen(stage, (name, event) => ACTIONS[name](event));
  const named = folder.indexOf(decodeURIComponent(location.hash.slice(1)));
  index = named ?? folder.firstUnreviewed;
  saveState('saved');
  filter();
  stage.focus({ preventScroll: true });
}

start();
