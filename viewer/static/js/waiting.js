// The card on the picture that says what is waited for.

import { byId, sentence, setText, show } from './dom.js';
import { count, workersRunning } from './words.js';

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
    setText(byId('waiting-more'), painted ? '' : this.#more(state));
    card.classList.toggle('idle', !painted && state.workers === 0);
  }

  #more(state) {
    if (state.state === 'abandoned') return '';
    const [done, all] = [state.painted, state.total ?? state.stored];
    const progress = all ? `${done} of ${count(all, 'segment')}${state.total === null ? ' so far' : ''} painted` : '';
    return [progress, workersRunning(state.workers), 'goes on by itself'].filter(Boolean).join(' · ');
  }
}
