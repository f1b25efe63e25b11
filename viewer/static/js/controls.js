// Buttons and keys around the picture.

import { byId, show } from './dom.js';

const STEP_S = 5;
const QUIET_MS = 2600;

export function enableControls(video, { sound }) {
  const player = byId('player');

  const toggle = () => {
    if (!video.paused) video.pause();
    else video.play().catch((error) => { if (error.name !== 'AbortError') throw error; });
  };
  const mute = () => { video.muted = !video.muted; };
  const seek = (time) => { video.currentTime = Math.max(0, Math.min(time, video.duration || 0)); };
  const louder = (by) => {
    video.volume = Math.max(0, Math.min(1, video.volume + by));
    video.muted = false;
  };

  byId('play').addEventListener('click', toggle);
  byId('start').addEventListener('click', toggle);
  video.addEventListener('click', toggle);
  byId('mute').addEventListener('click', mute);
  byId('volume').addEventListener('input', () => {
    video.volume = byId('volume').valueAsNumber;
    video.muted = false;
  });
  show(byId('mute'), sound);
  show(byId('volume'), sound);
  enableFullscreen(video, player);

  const keys = {
    ' ': toggle,
    k: toggle,
    m: mute,
    f: () => byId('fullscreen').click(),
    c: () => byId('choose-key').click(),
    ArrowLeft: () => seek(video.currentTime - STEP_S),
    ArrowRight: () => seek(video.currentTime + STEP_S),
    ArrowUp: () => louder(0.1),
    ArrowDown: () => louder(-0.1),
    Home: () => seek(0),
    End: () => seek(video.duration),
  };
  document.addEventListener('keydown', (event) => {
    const target = /** @type {Element} */ (event.target);
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
    const pressable = event.key === ' ' && target.closest('button, a, summary');
    if (pressable || target.closest('select, input:not(#position)')) return;
    event.preventDefault();
    act();
  });

  const update = () => {
    player.classList.toggle('playing', !video.paused);
    player.classList.toggle('muted', video.muted || video.volume === 0);
    byId('play').setAttribute('aria-label', video.paused ? 'Play' : 'Pause');
    byId('play').title = video.paused ? 'Play (space)' : 'Pause (space)';
    byId('mute').setAttribute('aria-pressed', String(video.muted));
    byId('volume').value = video.muted ? 0 : video.volume;
    if (!video.paused) show(byId('start'), false);
  };
  for (const name of ['play', 'pause', 'volumechange']) video.addEventListener(name, update);
}

function enableFullscreen(video, player) {
  const able = player.requestFullscreen ?? video.webkitEnterFullscreen;
  show(byId('fullscreen'), Boolean(able));
  byId('fullscreen').addEventListener('click', () => {
    if (document.fullscreenElement) document.exitFullscreen();
    else if (player.requestFullscreen) player.requestFullscreen();
    else video.webkitEnterFullscreen();
  });
  let timer = 0;
  const wake = () => {
    player.classList.remove('quiet');
    clearTimeout(timer);
    timer = setTimeout(() => player.classList.toggle('quiet', !video.paused), QUIET_MS);
  };
  for (const name of ['pointermove', 'pointerdown', 'keydown', 'fullscreenchange']) player.addEventListener(name, wake);
  video.addEventListener('pause', wake);
}
