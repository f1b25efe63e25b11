// The list of jobs.

import { getJson, Poll } from './api.js';
import { byId, enableCopying, make, setSentence, show } from './dom.js';
import { formatTime, retryMessage, STATES, timeSince, workersRunning } from './text.js';

/** @typedef {import('./api.js').JobRow} JobRow */

/** @param {JobRow} job */
function row(job) {
  const item = make('li');
  if (job.error) {
    const box = make('div', 'job');
    box.append(make('span', 'name', job.name ?? job.id), make('span', 'error', job.error));
    item.append(box);
    return item;
  }
  const link = make('a', 'job');
  link.href = `/jobs/${job.id}`;
  link.append(make('span', 'name', job.name), make('span', 'facts', facts(job)));
  item.append(link);
  if (job.state === null) return item;
  const pill = make('span', 'pill', STATES[job.state]);
  pill.dataset.state = job.state;
  link.append(pill, make('span', 'share', share(job)));
  if (job.state !== 'complete') link.append(bar(job));
  return item;
}

/** @param {JobRow} job */
function facts(job) {
  const looks = job.looks.map((look) => look.title).join(', ');
  const length = job.kind === 'images' ? 'images' : job.duration_s && formatTime(job.duration_s);
  return [looks, length, timeSince(job.created)].filter(Boolean).join(' · ');
}

/**
 * The number of segments to paint, over all looks.
 * @param {JobRow} job
 */
const toPaint = (job) => (job.total ?? job.stored) * Math.max(1, job.looks.length);

/** @param {JobRow} job */
const painted = (job) => job.looks.reduce((sum, look) => sum + look.painted, 0);

/** @param {JobRow} job */
function share(job) {
  if (job.state === 'complete') return '';
  const failed = job.looks.reduce((sum, look) => sum + look.failed, 0);
  const all = toPaint(job);
  const done = job.total === null
    ? `${painted(job)} of ${all} so far`
    : `${Math.floor((100 * painted(job)) / all)} %`;
  return failed ? `${done} · ${failed} failed` : done;
}

/** @param {JobRow} job */
function bar(job) {
  const track = make('span', 'bar');
  const segments = Math.max(1, job.total ?? job.stored);
  const shares = {
    stored: job.stored / segments,
    detected: job.detected / segments,
    painted: painted(job) / Math.max(1, toPaint(job)),
  };
  for (const [stage, part] of Object.entries(shares)) {
    const run = make('i', stage);
    run.style.width = `${100 * part}%`;
    track.append(run);
  }
  return track;
}

/** @param {import('./api.js').JobList} list */
function draw({ jobs, workers }) {
  const list = byId('jobs');
  const active = document.activeElement;
  // The rows are replaced: the keyboard's focus moves to the new row of the same job.
  const isRow = active instanceof HTMLAnchorElement && list.contains(active);
  const focused = isRow ? active.pathname : null;
  list.replaceChildren(...jobs.map(row));
  /** @type {HTMLAnchorElement | null} */
  const link = focused ? list.querySelector(`a[href="${focused}"]`) : null;
  link?.focus();
  list.ariaBusy = 'false';
  show(byId('empty'), jobs.length === 0);
  byId('workers').textContent = workersRunning(workers);
  byId('workers').classList.toggle('none', workers === 0);
  show(byId('workers'));
}

let drawn = '';

async function step() {
  /** @type {import('./api.js').JobList} */
  const list = await getJson('/api/jobs');
  show(byId('notice'), false);
  show(byId('loading'), false);
  const text = JSON.stringify(list);
  if (text !== drawn) draw(list);
  drawn = text;
  if (list.jobs.some((job) => job.state === null)) return 500;
  const states = new Set(list.jobs.map((job) => job.state));
  return states.has('uploading') || states.has('working') ? 2000 : 5000;
}

/**
 * @param {Error} error
 * @param {number} pause
 */
function failed(error, pause) {
  show(byId('loading'), false);
  setSentence(byId('notice'), retryMessage(error.message, pause));
  show(byId('notice'));
}

enableCopying();
new Poll({ step, failed }).soon();
