// How many segments stand at which stage.

import { byId, make } from './dom.js';

export function drawLegend(model, pictures) {
  const all = model.segments;
  const rows = [
    ['painted', 'painted', model.painted.size],
    ['found', 'faces found', model.detected.size],
    ['stored', 'stored', model.stored.size],
    ['failed', 'given up', model.failed.size],
  ];
  const thing = pictures ? 'pictures' : 'segments';
  byId('legend').replaceChildren(...rows.filter(([stage, , size]) => stage !== 'failed' || size).map(([stage, words, size]) => {
    const row = make('li');
    const text = make('span');
    text.append(make('b', '', String(size)), ` of ${all} ${stage === 'painted' ? `${thing} ` : ''}${words}`);
    row.append(make('i', stage), text);
    return row;
  }));
}
