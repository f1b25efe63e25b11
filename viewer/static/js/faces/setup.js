// Puts together what chooses faces on the page of a video.

import { byId, show } from '../dom.js';
import { Chosen } from './selection.js';
import { Making } from './look_form.js';
import { Panel } from './panel.js';
import { Picture } from './overlay.js';

// `look` is the one on the screen: the page comes anew for another one.
export function beginFaces({ api, video, model, aspect, look }) {
  const chosen = new Chosen();
  const making = new Making({ api, chosen });
  const picture = new Picture({ video, model, chosen, aspect, url: (index) => `${api}/tracks/${index}` });
  const toggles = [byId('choose'), byId('choose-key')];

  const choose = (on) => {
    picture.on = on;
    for (const toggle of toggles) toggle.setAttribute('aria-pressed', String(on));
  };
  for (const toggle of toggles) toggle.addEventListener('click', () => choose(!picture.on));
  let begun = false;
  const onPeople = ({ people, filters }) => {
    if (begun) return;
    begun = true;
    making.begin(filters, look);
    picture.lowConfidence = people.filter(({ low_confidence: low }) => low).map(({ number }) => number);
    for (const toggle of toggles) show(toggle, people.length > 0);
    if (location.hash === '#faces') choose(true);
  };
  new Panel({ api, video, chosen, onPeople });
}
