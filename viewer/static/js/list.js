// The list of jobs.

import { askJson, Poll } from './api.js';
import { byId, enableCopying, make, sentence, show } from './dom.js';
import { ago, clock, STATES, tryingAgain, workersRunning } from './text.js';

function row(job) {
  const item = make('li');
  const link = make(job.error ? 'div' : 'a', 'job');
  item.append(link);
  link.append(make('span', 'name', job.name ?? job.id));
  if (job.error) {
    link.append(make('span', 'fault', job.error));
    return item;
  }
  link.href = `/jobs/${job.id}`;
  link.append(make('span', 'facts', facts(job)));
  if (job.state === null) return item;
  const pill = make('span', 'pill', STATES[job.state]);
  pill.dataset.state = job.state;
  link.append(pill, make('span', 'share', share(job)));
  if (job.state !== 'complete') link.append(bar(job));
  return item;
}

function facts(job) {
  const looks = job.looks.map((look) => look.title).join(', ');
  const length = job.kind === 'images' ? 'images' : job.duration_s && clock(job.duration_s);
  return [looks, length, ago(job.created)].filter(Boolean).join(' · ');
}

const wanted = (job) => (job.total ?? job.stored) * Math.max(1, job.looks.length);

const painted = (job) => job.looks.reduce((sum, look) => sum + look.painted, 0);

function share(job) {
  const failed = job.looks.reduce((sum, look) => sum + look.failed, 0);
  if (job.state === 'complete') return '';
  const done = job.total === null
    ? `${painted(job)} of ${wanted(job)} so far`
    : `${Math.floor((100 * painted(job)) / wanted(job))} %`;
  return failed ? `${done} · ${failed} given up` : done;
}

function bar(job) {
  const whole = make('span', 'bar');
  const all = Math.max(1, job.total ?? job.stored);
  const paintedShare = painted(job) / Math.max(1, wanted(job));
  const parts = { stored: job.stored / all, found: job.detected / all, painted: paintedShare };
  for (const [name, part] of Object.entries(parts)) {
    const run = make('i', name);
    run.style.width = `${100 * part}%`;
    whole.append(run);
  }
  return whole;
}

function draw({ jobs, workers }) {
  const list = byId('jobs');
  const active = document.activeElement;
  const focused = active instanceof HTMLAnchorElement && list.contains(active) ? active.pathname : null;
  list.replaceChildren(...jobs.map(row));
  if (focused) list.querySelector(`a[href="${focused}"]`)?.focus();
  list.ariaBusy = 'false';
  show(byId('empty'), jobs.length === 0);
  byId('workers').textContent = workersRunning(workers);
  byId('workers').classList.toggle('none', workers === 0);
  show(byId('workers'));
}

let shown = '';

const poll = new Poll({
  step: async () => {
    const answer = await askJson('/api/jobs');
    show(byId('notice'), false);
    show(byId('loading'), false);
    const text = JSON.stringify(answer);
    if (text !== shown) draw(answer);
    shown = text;
    if (answer.jobs.some((job) => job.state === null)) return 500;
    return answer.jobs.some((job) => job.state === 'uploading' || job.state === 'working') ? 2000 : 5000;
  },
  failed: (error, pause) => {
    show(byId('loading'), false);
    sentence(byId('notice'), tryingAgain(error.message, pause));
    show(byId('notice'));
  },
});

enableCopying();
poll.soon();
