// The page of one job: asks how far it is, and hands that to player, seek bar, gallery and words.

import { askJson, Poll } from './api.js';
import { enableControls } from './controls.js';
import { byId, enableCopying, sentence, setText, show } from './dom.js';
import { beginFaces } from './faces/setup.js';
import { Gallery } from './gallery.js';
import { drawLegend } from './legend.js';
import { Model } from './model.js';
import { canPlay, Player } from './player.js';
import { SeekBar } from './seekbar.js';
import { Waiting } from './waiting.js';
import { ago, cannotPlay, STATES, tryingAgain, workersRunning } from './text.js';

const id = location.pathname.split('/')[2];
const asked = new URLSearchParams(location.search).get('look');
const api = `/api/jobs/${id}`;

const video = byId('video');
const model = new Model();
const waiting = new Waiting();
let state = null;
let player = null;
let seekBar = null;
let gallery = null;
let sound = null;

const segmentUrl = (index) => `${api}/looks/${state.look}/segments/${index}`;

async function step() {
  const query = new URLSearchParams({ from: String(model.known) });
  if (asked) query.set('look', asked);
  const lacking = player ? player.lacking : 0;
  if (lacking !== null) query.set('wait', lacking);
  const answer = await askJson(`${api}?${query}`);
  show(byId('loading'), false);
  if (answer.look === null) throw new Error(answer.waiting);
  const first = state === null;
  state = answer;
  const changed = model.take(answer);
  show(byId('notice'), false);
  if (first) begin();
  drawFacts();
  if (changed || first) drawProgress();
  if (state.kind === 'video') await play();
  return pause();
}

function pause() {
  if (model.known < model.stored.size && state.kind === 'video') return 50;
  if (state.state === 'complete') return null;
  return state.state === 'incomplete' || state.state === 'abandoned' ? 5000 : 1000;
}

function failed(error, wait) {
  show(byId('loading'), false);
  if (error.status === 404) {
    show(byId('found'), false);
    sentence(byId('lost-why'), error.message);
    show(byId('lost'));
    document.title = 'No such job – facepaint';
    return false;
  }
  sentence(byId('notice'), tryingAgain(error.message, wait));
  show(byId('notice'));
  return true;
}

function begin() {
  show(byId('found'));
  document.title = `${state.name} – facepaint`;
  setText(byId('name'), state.name);
  byId('look').addEventListener('change', () => {
    location.search = String(new URLSearchParams({ look: byId('look').value }));
  });
  setText(byId('save-command'), `facepaint view ${id} --save ${state.kind === 'video' ? 'painted.mp4' : 'painted/'}`);
  show(byId('hls-term'), state.kind === 'video');
  show(byId('hls-row'), state.kind === 'video');
  if (state.kind === 'video') beginVideo();
  else gallery = new Gallery(model, state.images, segmentUrl);
}

function beginVideo() {
  const playlist = `/jobs/${id}/${state.look}/master.m3u8`;
  const urls = {
    segment: segmentUrl,
    sound: (track, index) => `${api}/audio/${track}/${index}`,
    playlist,
  };
  setText(byId('hls-url'), new URL(playlist, location.href).href);
  byId('player').style.setProperty('--aspect', state.video.aspect);
  sound = state.audio.length ? 0 : null;
  enableControls(video, { sound: sound !== null });
  offerSounds();
  player = new Player({ video, model, urls, onTrouble: trouble });
  seekBar = new SeekBar(video, model);
  show(byId('player'));
  const look = state.looks.find(({ id: name }) => name === state.look);
  beginFaces({ api, video, model, aspect: state.video.aspect, look });
  video.addEventListener('error', () => trouble(new Error('The browser stopped playing this video; reload the page.')));
  video.addEventListener('canplay', start, { once: true });
  setInterval(updateWaiting, 200);
}

function trouble(error) {
  sentence(byId('notice'), error.message);
  show(byId('notice'));
  poll.soon();
}

async function play() {
  const { mime } = state.video;
  if (mime && !canPlay(video, mime)) {
    sentence(byId('unplayable-why'), cannotPlay(mime, byId('save-command').textContent));
    show(byId('unplayable'));
    show(byId('player'), false);
    return;
  }
  if (!player.opened && state.video.mime && model.painted.size) await player.open(state, sound);
  player.tick();
  updateWaiting();
}

// Browsers let a page play by itself only where they trust it; everywhere else the first press does.
async function start() {
  const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
  try {
    if (!calm) await video.play();
  } catch {
    // Not allowed: the button below says what to do.
  }
  show(byId('start'), video.paused);
}

let needed = null;

function updateWaiting() {
  const need = player.need;
  waiting.update(need, need !== null && model.painted.has(need), {
    ...state,
    painted: model.painted.size,
    stored: model.stored.size,
  });
  if (need !== null) show(byId('start'), false);
  show(byId('status'), byId('waiting').hidden);
  if (need !== needed && need !== null && !model.painted.has(need)) poll.soon();
  needed = need;
}

function offerLooks() {
  const { looks } = state;
  const choice = byId('look');
  const offered = [...choice.options].map(({ value }) => value);
  show(byId('look-choice'), looks.length > 1);
  setText(byId('look-title'), looks.length === 1 ? looks[0].title : '');
  if (offered.join() === looks.map((look) => look.id).join()) return;
  choice.replaceChildren(...looks.map(({ id: name, title }) => new Option(title, name, false, name === state.look)));
}

function offerSounds() {
  const choice = byId('track');
  show(byId('track-choice'), state.audio.length > 1);
  state.audio.forEach(({ title, language }, at) => {
    choice.add(new Option([title, language].filter(Boolean).join(', ') || `Sound ${at + 1}`, at));
  });
  choice.addEventListener('change', () => {
    sound = Number(choice.value);
    player.reopen(state, sound);
  });
}

function drawFacts() {
  offerLooks();
  const look = state.looks.find(({ id: name }) => name === state.look);
  const pill = byId('state');
  pill.dataset.state = look?.state ?? state.state;
  setText(pill, STATES[pill.dataset.state]);
  setText(byId('made'), ago(state.created));
  setText(byId('workers'), workersRunning(state.workers));
  byId('workers').classList.toggle('none', state.workers === 0);
  show(byId('workers'));
  const done = look?.state === 'complete';
  const waiting = done && !look.blank ? '' : state.waiting;
  sentence(byId('status'), [waiting, blanks(look), state.truncated].filter(Boolean).join(' '));
  for (const link of [byId('download'), byId('unplayable-download')]) {
    link.href = `/jobs/${id}/download?look=${state.look}`;
    show(link, done && state.kind === 'video');
  }
}

function blanks(look) {
  return look?.blank ? `${look.blank} of the segments could not be painted and show a plain picture.` : '';
}

function drawProgress() {
  drawLegend(model, state.kind === 'images' ? 'image' : 'segment');
  seekBar?.draw();
  gallery?.draw();
}

const poll = new Poll({ step, failed, busy: () => player !== null && !video.paused });
enableCopying();
poll.soon();
