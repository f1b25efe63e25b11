// The page of one job: polls its state and passes it to player, seek bar, gallery and text.

import { ApiError, getJson, Poll } from './api.js';
import { enableControls } from './controls.js';
import { byId, enableCopying, setSentence, setText, show } from './dom.js';
import { enableFaceSelection } from './faces/setup.js';
import { Gallery } from './gallery.js';
import { drawLegend } from './legend.js';
import { Model } from './model.js';
import { canPlay, Player } from './player.js';
import { SeekBar } from './seekbar.js';
import { cannotPlayMessage, retryMessage, STATES, timeSince, workersRunning } from './text.js';
import { WaitingCard } from './waiting.js';

/** @typedef {import('./api.js').JobState} JobState */
/** @typedef {import('./api.js').Look} Look */

const WAITING_CARD_MS = 200;

const jobId = location.pathname.split('/')[2];
const requestedLook = new URLSearchParams(location.search).get('look');
const api = `/api/jobs/${jobId}`;

const model = new Model();

// What shows the job, made when its first state arrives.
/** @type {VideoView | ImagesView | null} */
let view = null;

/** @param {JobState} state */
function lookOf(state) {
  return state.looks.find(({ id }) => id === state.look);
}

async function step() {
  const query = new URLSearchParams({ from: String(model.known) });
  if (requestedLook) query.set('look', requestedLook);
  const wait = view ? view.nextUnpainted : 0;
  if (wait !== null) query.set('wait', String(wait));
  /** @type {JobState} */
  const state = await getJson(`${api}?${query}`);
  show(byId('loading'), false);
  if (state.look === null) throw new Error(state.waiting);
  const changed = model.update(state);
  show(byId('notice'), false);
  const first = view === null;
  view ??= open(state);
  drawFacts(state);
  if (changed || first) {
    drawLegend(model, state.kind === 'images' ? 'image' : 'segment');
    view.draw();
  }
  await view.update(state);
  return pauseMs(state);
}

/** @param {JobState} state */
function pauseMs(state) {
  // The windows of a long job arrive in several responses.
  if (state.kind === 'video' && model.known < model.stored.size) return 50;
  if (state.state === 'complete') return null;
  return ['incomplete', 'abandoned', 'damaged'].includes(state.state) ? 5000 : 1000;
}

/**
 * @param {Error} error
 * @param {number} pause
 */
function failed(error, pause) {
  show(byId('loading'), false);
  if (error instanceof ApiError && error.status === 404) {
    show(byId('job'), false);
    setSentence(byId('not-found-reason'), error.message);
    show(byId('not-found'));
    document.title = 'Job not found – facepaint';
    return false;
  }
  setSentence(byId('notice'), retryMessage(error.message, pause));
  show(byId('notice'));
  return true;
}

/** @param {Error} error */
function showPlaybackError(error) {
  setSentence(byId('notice'), error.message);
  show(byId('notice'));
  poll.soon();
}

/** @param {JobState} state */
function open(state) {
  show(byId('job'));
  document.title = `${state.name} – facepaint`;
  setText(byId('name'), state.name);
  byId('look').addEventListener('change', () => {
    location.search = String(new URLSearchParams({ look: byId('look').value }));
  });
  const isVideo = state.kind === 'video';
  const target = isVideo ? 'painted.mp4' : 'painted/';
  setText(byId('save-command'), `facepaint view ${jobId} --save ${target}`);
  setText(byId('save-title'), isVideo ? 'Save or play elsewhere' : 'Save the images');
  show(byId('save-term'), isVideo);
  show(byId('hls-term'), isVideo);
  show(byId('hls-row'), isVideo);
  return isVideo ? new VideoView(state) : new ImagesView(state);
}

/**
 * The URL of a painted segment or image.
 * @param {JobState} state
 * @returns {(index: number) => string}
 */
const segmentUrl = (state) => (index) => `${api}/looks/${state.look}/segments/${index}`;

class ImagesView {
  #gallery;
  nextUnpainted = 0;

  /** @param {JobState} state */
  constructor(state) {
    this.#gallery = new Gallery(model, state.images, segmentUrl(state));
  }

  draw() {
    this.#gallery.draw();
  }

  async update() {}
}

class VideoView {
  #video = byId('video');
  #player;
  #seekBar;
  #waiting = new WaitingCard();
  #state;
  /** @type {{ number: number, mime: string } | null} */
  #audio = null;
  /** @type {number | null} */
  #blockedOn = null;

  /** @param {JobState} state */
  constructor(state) {
    const video = this.#video;
    const playlist = `/jobs/${jobId}/${state.look}/master.m3u8`;
    this.#state = state;
    this.#player = new Player({
      video,
      model,
      urls: {
        segment: segmentUrl(state),
        audio: (track, index) => `${api}/audio/${track}/${index}`,
        playlist,
      },
      onError: showPlaybackError,
    });
    this.#seekBar = new SeekBar(video, model);
    this.#offerAudio();
    setText(byId('hls-url'), new URL(playlist, location.href).href);
    const aspect = state.video?.aspect ?? 16 / 9;
    byId('player').style.setProperty('--aspect', String(aspect));
    enableControls(video, { hasAudio: this.#audio !== null });
    show(byId('player'));
    const look = lookOf(state);
    if (look) enableFaceSelection({ api, video, model, aspect, look });
    video.addEventListener('error', () => {
      showPlaybackError(new Error('The browser stopped playing this video; reload the page.'));
    });
    video.addEventListener('canplay', () => this.#autoplay(), { once: true });
    setInterval(() => this.#updateWaiting(), WAITING_CARD_MS);
  }

  get playing() {
    return !this.#video.paused;
  }

  get nextUnpainted() {
    return this.#player.nextUnpainted;
  }

  draw() {
    this.#seekBar.draw();
  }

  /** @param {JobState} state */
  async update(state) {
    this.#state = state;
    const mime = state.video?.mime;
    if (mime && !canPlay(this.#video, mime)) {
      const saveCommand = byId('save-command').textContent ?? '';
      setSentence(byId('unplayable-reason'), cannotPlayMessage(mime, saveCommand));
      show(byId('unplayable'));
      show(byId('player'), false);
      return;
    }
    if (!this.#player.opened && mime && model.painted.size) {
      await this.#player.open(mime, this.#audio);
    }
    this.#player.tick();
    this.#updateWaiting();
  }

  // Browsers let trusted pages play at once; on others the first press on the button starts.
  async #autoplay() {
    const reduceMotion = matchMedia('(prefers-reduced-motion: reduce)').matches;
    try {
      if (!reduceMotion) await this.#video.play();
    } catch {
      // Not allowed: the button appears.
    }
    show(byId('start'), this.#video.paused);
  }

  #updateWaiting() {
    const index = this.#player.blockedOn;
    this.#waiting.update(index, model, this.#state);
    if (index !== null) show(byId('start'), false);
    // The card shows the same sentence.
    show(byId('status'), byId('waiting').hidden);
    const isNew = index !== null && index !== this.#blockedOn;
    if (isNew && !model.painted.has(index)) poll.soon();
    this.#blockedOn = index;
  }

  #offerAudio() {
    const tracks = this.#state.audio;
    if (tracks.length) this.#audio = { number: 0, mime: tracks[0].mime };
    const select = byId('track');
    show(byId('track-choice'), tracks.length > 1);
    tracks.forEach(({ title, language }, at) => {
      const name = [title, language].filter(Boolean).join(', ');
      select.add(new Option(name || `Track ${at + 1}`, String(at)));
    });
    select.addEventListener('change', () => {
      const number = Number(select.value);
      this.#audio = { number, mime: tracks[number].mime };
      const mime = this.#state.video?.mime;
      if (mime) this.#player.reopen(mime, this.#audio);
    });
  }
}

/** @param {JobState} state */
function offerLooks({ looks, look: shown }) {
  const select = byId('look');
  const offered = [...select.options].map(({ value }) => value);
  show(byId('look-choice'), looks.length > 1);
  setText(byId('look-title'), looks.length === 1 ? looks[0].title : '');
  if (offered.join() === looks.map(({ id }) => id).join()) return;
  const options = looks.map(({ id, title }) => new Option(title, id, false, id === shown));
  select.replaceChildren(...options);
}

/** @param {JobState} state */
function drawFacts(state) {
  offerLooks(state);
  const look = lookOf(state);
  const pill = byId('state');
  const stage = look?.state ?? state.state;
  pill.dataset.state = stage;
  setText(pill, STATES[stage]);
  setText(byId('created'), timeSince(state.created));
  setText(byId('workers'), workersRunning(state.workers));
  byId('workers').classList.toggle('none', state.workers === 0);
  show(byId('workers'));
  const complete = look?.state === 'complete';
  const waiting = complete && !look.blank ? '' : state.waiting;
  const sentences = [waiting, blankSegments(look), state.truncated];
  setSentence(byId('status'), sentences.filter(Boolean).join(' '));
  for (const link of [byId('download'), byId('unplayable-download')]) {
    link.href = `/jobs/${jobId}/download?look=${state.look}`;
    show(link, complete && state.kind === 'video');
  }
}

/** @param {Look | undefined} look */
function blankSegments(look) {
  if (!look?.blank) return '';
  return `${look.blank} of the segments could not be painted and are blank.`;
}

const poll = new Poll({ step, failed, busy: () => view instanceof VideoView && view.playing });
enableCopying();
poll.soon();
