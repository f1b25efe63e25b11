// The card on the picture that says what is waited for.

import { byId, make, sentence, show } from './dom.js';
import { count, workersRunning } from './text.js';

// Loading what is painted takes a moment; nobody needs to read of shorter ones.
const PATIENCE_MS = 600;

export class Waiting {
  #since = 0;
  #index = null;

  // `need` is the segment that is missing, `painted` whether it only has to be loaded.
  update(need, painted, state) {
    const card = byId('waiting');
    if (need !== this.#index) this.#since = performance.now();
    this.#index = need;
    const late = performance.now() - this.#since > PATIENCE_MS;
    show(card, need !== null && (late || !card.hidden || !painted));
    if (need === null) return;
    sentence(byId('waiting-why'), painted ? `Loading segment ${need}.` : state.waiting);
    say(byId('waiting-more'), painted ? [] : this.#more(state));
    card.classList.toggle('idle', !painted && state.workers === 0);
  }

  #more(state) {
    if (state.state === 'abandoned') return [];
    const [done, all] = [state.painted, state.total ?? state.stored];
    const progress = all && `${done} of ${count(all, 'segment')} painted${state.total === null ? ' so far' : ''}`;
    const workers = state.workers ? workersRunning(state.workers) : '';
    return [progress, workers, 'Playback continues automatically'].filter(Boolean).map((words) => `${words}.`);
  }
}

// Short pieces of which none is torn at a line's end. Said once, so that it is not read out again and again.
function say(node, pieces) {
  if (node.textContent.trim() === pieces.join(' ')) return;
  node.replaceChildren(...pieces.flatMap((piece) => [make('span', '', piece), ' ']));
}
