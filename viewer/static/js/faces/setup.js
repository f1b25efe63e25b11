// Connects the parts of face selection on the page of a video.

import { byId, show } from '../dom.js';
import { LookForm } from './look_form.js';
import { Overlay } from './overlay.js';
import { Panel } from './panel.js';
import { Selection } from './selection.js';

/**
 * @param {object} options
 * @param {string} options.api URL of the job
 * @param {HTMLVideoElement} options.video
 * @param {import('../model.js').Model} options.model
 * @param {number} options.aspect width of the video by its height
 * @param {import('../api.js').Look} options.look the shown one; another one loads the page again
 */
export function enableFaceSelection({ api, video, model, aspect, look }) {
  const selection = new Selection();
  const form = new LookForm({ api, selection });
  const url = (/** @type {number} */ index) => `${api}/tracks/${index}`;
  const overlay = new Overlay({ video, model, selection, aspect, url });
  const buttons = [byId('select-faces'), byId('select-faces-icon')];

  const enable = (/** @type {boolean} */ on) => {
    overlay.on = on;
    for (const button of buttons) button.setAttribute('aria-pressed', String(on));
  };
  for (const button of buttons) button.addEventListener('click', () => enable(!overlay.on));

  let started = false;
  const onPeople = (/** @type {import('../api.js').People} */ { people, filters }) => {
    if (started) return;
    started = true;
    form.start(filters, look);
    const doubtful = people.filter((person) => person.low_confidence);
    overlay.lowConfidence = doubtful.map(({ number }) => number);
    for (const button of buttons) show(button, people.length > 0);
    // The form leads to the page of the new look with this fragment: see `LookForm`.
    if (location.hash === '#faces') enable(true);
  };
  new Panel({ api, video, selection, onPeople });
}
