// How many segments stand at which stage: the key to the seek bar's colours.

import { byId, make } from './dom.js';
import { count } from './text.js';

export function drawLegend(model, thing) {
  const rows = [
    ['painted', 'Painted', model.painted.size],
    ['found', 'Faces found', model.detected.size],
    ['stored', 'Uploaded', model.stored.size],
  ];
  if (model.failed.size) rows.push(['failed', 'Given up', model.failed.size]);
  const items = rows.map(([stage, words, size]) => {
    const item = make('li');
    const text = make('span', '', `${words} `);
    text.append(make('b', '', String(size)));
    item.append(make('i', stage), text);
    return item;
  });
  const whole = `of ${count(model.segments, thing)}${model.total === null ? ' so far' : ''}`;
  byId('legend').replaceChildren(...items, make('li', 'whole', whole));
}
