// The number of segments at each stage; also the key to the colours of the seek bar.

import { byId, make } from './dom.js';
import { count } from './text.js';

/**
 * @param {import('./model.js').Model} model
 * @param {'image' | 'segment'} unit
 */
export function drawLegend(model, unit) {
  /** @type {[stage: string, label: string, size: number][]} */
  const rows = [
    ['painted', 'Painted', model.painted.size],
    ['detected', 'Faces detected', model.detected.size],
    ['stored', 'Uploaded', model.stored.size],
  ];
  if (model.failed.size) rows.push(['failed', 'Failed', model.failed.size]);
  const items = rows.map(([stage, label, size]) => {
    const item = make('li');
    const text = make('span', '', `${label} `);
    text.append(make('b', '', String(size)));
    item.append(make('i', stage), text);
    return item;
  });
  const total = `of ${count(model.segments, unit)}${model.total === null ? ' so far' : ''}`;
  byId('legend').replaceChildren(...items, make('li', 'total', total));
}
