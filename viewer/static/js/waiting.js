// The card over the video that explains what playback waits for.

import { byId, make, setSentence, show } from './dom.js';
import { count, workersRunning } from './text.js';

// Loading a painted segment takes a moment; the card would only flicker.
const DELAY_MS = 600;

export class WaitingCard {
  #since = 0;
  /** @type {number | null} */
  #index = null;

  /**
   * @param {number | null} index the segment that playback waits for
   * @param {import('./model.js').Model} model
   * @param {import('./api.js').JobState} state
   */
  update(index, model, state) {
    const card = byId('waiting');
    if (index !== this.#index) this.#since = performance.now();
    this.#index = index;
    if (index === null) {
      show(card, false);
      return;
    }
    const painted = model.painted.has(index);
    const late = performance.now() - this.#since > DELAY_MS;
    show(card, late || !card.hidden || !painted);
    setSentence(byId('waiting-reason'), painted ? `Loading segment ${index}.` : state.waiting);
    setDetails(byId('waiting-details'), painted ? [] : details(model, state));
    card.classList.toggle('idle', !painted && state.workers === 0);
  }
}

/**
 * @param {import('./model.js').Model} model
 * @param {import('./api.js').JobState} state
 */
function details(model, state) {
  if (state.state === 'abandoned' || state.state === 'damaged') return [];
  const soFar = state.total === null ? ' so far' : '';
  const progress = `${model.painted.size} of ${count(model.segments, 'segment')} painted${soFar}`;
  const lines = ['Playback continues automatically'];
  if (state.workers) lines.unshift(workersRunning(state.workers));
  if (model.segments) lines.unshift(progress);
  return lines.map((line) => `${line}.`);
}

/**
 * Set short sentences that are not broken at the end of a line. Unchanged ones are not set again:
 * see `setSentence`.
 * @param {HTMLElement} node
 * @param {string[]} sentences
 */
function setDetails(node, sentences) {
  if (node.textContent?.trim() === sentences.join(' ')) return;
  node.replaceChildren(...sentences.flatMap((sentence) => [make('span', '', sentence), ' ']));
}
