// Buttons and keys of the player.

import { asError } from './api.js';
import { byId, show } from './dom.js';

const STEP_S = 5;
const HIDE_AFTER_MS = 2600;

/**
 * @param {HTMLVideoElement} video
 * @param {{ hasAudio: boolean }} options
 */
export function enableControls(video, { hasAudio }) {
  show(byId('mute'), hasAudio);
  show(byId('volume'), hasAudio);
  byId('play').addEventListener('click', () => togglePlay(video));
  byId('start').addEventListener('click', () => togglePlay(video));
  video.addEventListener('click', () => togglePlay(video));
  byId('mute').addEventListener('click', () => { video.muted = !video.muted; });
  byId('volume').addEventListener('input', () => setVolume(video, byId('volume').valueAsNumber));
  for (const name of ['play', 'pause', 'volumechange']) {
    video.addEventListener(name, () => drawButtons(video));
  }
  enableKeys(video);
  enableFullscreen(video);
}

/** @param {HTMLVideoElement} video */
async function togglePlay(video) {
  if (!video.paused) {
    video.pause();
    return;
  }
  try {
    await video.play();
  } catch (thrown) {
    // Another press before playback started.
    if (asError(thrown).name !== 'AbortError') throw thrown;
  }
}

/**
 * @param {HTMLVideoElement} video
 * @param {number} volume
 */
function setVolume(video, volume) {
  video.volume = Math.max(0, Math.min(1, volume));
  video.muted = false;
}

/**
 * @param {HTMLVideoElement} video
 * @param {number} time
 */
function seek(video, time) {
  video.currentTime = Math.max(0, Math.min(time, video.duration || 0));
}

/** @param {HTMLVideoElement} video */
function drawButtons(video) {
  byId('player').classList.toggle('playing', !video.paused);
  byId('player').classList.toggle('muted', video.muted || video.volume === 0);
  byId('play').setAttribute('aria-label', video.paused ? 'Play' : 'Pause');
  byId('play').title = video.paused ? 'Play (space)' : 'Pause (space)';
  byId('mute').setAttribute('aria-pressed', String(video.muted));
  byId('volume').value = String(video.muted ? 0 : video.volume);
  if (!video.paused) show(byId('start'), false);
}

/** @param {HTMLVideoElement} video */
function enableKeys(video) {
  /** @type {Record<string, () => void>} */
  const actions = {
    ' ': () => togglePlay(video),
    k: () => togglePlay(video),
    m: () => byId('mute').click(),
    f: () => byId('fullscreen').click(),
    c: () => byId('select-faces-icon').click(),
    ArrowLeft: () => seek(video, video.currentTime - STEP_S),
    ArrowRight: () => seek(video, video.currentTime + STEP_S),
    ArrowUp: () => setVolume(video, video.volume + 0.1),
    ArrowDown: () => setVolume(video, video.volume - 0.1),
    Home: () => seek(video, 0),
    End: () => seek(video, video.duration),
  };
  document.addEventListener('keydown', (event) => {
    const act = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector('dialog[open]')) return;
    if (ownsKey(/** @type {Element} */ (event.target), event.key)) return;
    event.preventDefault();
    act();
  });
}

/**
 * Whether the focused element handles a key itself. The seek bar does not: arrow keys step by
 * seconds there, too.
 * @param {Element} element
 * @param {string} key
 */
function ownsKey(element, key) {
  if (key === ' ' && element.closest('button, a, summary')) return true;
  return element.closest('select, input:not(#position)') !== null;
}

/** @param {HTMLVideoElement} video */
function enableFullscreen(video) {
  const player = byId('player');
  // iPhones show only a video element in full screen, with controls of their own.
  /** @type {(() => void) | undefined} */
  const enterNative = /** @type {any} */ (video).webkitEnterFullscreen?.bind(video);
  show(byId('fullscreen'), Boolean(player.requestFullscreen ?? enterNative));
  byId('fullscreen').addEventListener('click', () => {
    if (document.fullscreenElement) document.exitFullscreen();
    else if (player.requestFullscreen) player.requestFullscreen();
    else enterNative?.();
  });
  hideControlsWhenIdle(video, player);
}

/**
 * @param {HTMLVideoElement} video
 * @param {HTMLElement} player
 */
function hideControlsWhenIdle(video, player) {
  let timer = 0;
  const showControls = () => {
    player.classList.remove('idle');
    clearTimeout(timer);
    timer = setTimeout(() => player.classList.toggle('idle', !video.paused), HIDE_AFTER_MS);
  };
  for (const name of ['pointermove', 'pointerdown', 'keydown', 'fullscreenchange']) {
    player.addEventListener(name, showControls);
  }
  video.addEventListener('pause', showControls);
}
