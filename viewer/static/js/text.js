// Times, numbers and states in words.

export const STATES = {
  uploading: 'Uploading',
  working: 'Painting',
  complete: 'Complete',
  incomplete: 'Incomplete',
  abandoned: 'Upload stopped',
};

export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds + 1e-6));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (number) => String(number).padStart(2, '0');
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

export function count(number, one, many = `${one}s`) {
  return `${number} ${number === 1 ? one : many}`;
}

// What is said when asking failed and will be tried again.
export function tryingAgain(message, pauseMs) {
  return `${message}${/[.!?]$/.test(message) ? '' : '.'} Trying again in ${Math.round(pauseMs / 1000)} s.`;
}

const CODECS = { avc1: 'H.264', hvc1: 'HEVC', av01: 'AV1' };

// What is said instead of playing what the browser has no decoder for.
export function cannotPlay(mime, saveCommand) {
  const codec = mime.match(/codecs="([^".]+)/)?.[1];
  return `This browser cannot play the result's ${CODECS[codec] ?? codec} video. `
    + `Save it and play the file: \`${saveCommand}\`.`;
}

export function workersRunning(number) {
  return number ? `${count(number, 'worker')} running` : 'No worker running';
}

export function ago(iso) {
  const minutes = (Date.now() - Date.parse(iso)) / 60000;
  const words = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
  if (minutes < 1) return 'just now';
  if (minutes < 60) return words.format(-Math.floor(minutes), 'minute');
  if (minutes < 24 * 60) return words.format(-Math.floor(minutes / 60), 'hour');
  if (minutes < 14 * 24 * 60) return words.format(-Math.floor(minutes / 60 / 24), 'day');
  return new Date(iso).toLocaleDateString('en', { dateStyle: 'medium' });
}
