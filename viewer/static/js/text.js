// Times, numbers and states as text.

/** @type {Record<string, string>} */
export const STATES = {
  uploading: 'Uploading',
  working: 'Painting',
  complete: 'Complete',
  incomplete: 'Incomplete',
  abandoned: 'Upload stopped',
  damaged: 'Damaged',
};

/** @type {Record<string, string>} */
const CODECS = { avc1: 'H.264', hvc1: 'HEVC', av01: 'AV1' };

/**
 * A time as 1:05 or 1:02:05.
 * @param {number} seconds
 */
export function formatTime(seconds) {
  const whole = Math.max(0, Math.floor(seconds + 1e-6));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (/** @type {number} */ number) => String(number).padStart(2, '0');
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/**
 * A number with its noun: 1 face, 2 faces.
 * @param {number} number
 * @param {string} singular
 */
export function count(number, singular, plural = `${singular}s`) {
  return `${number} ${number === 1 ? singular : plural}`;
}

/**
 * An error of a request that will be repeated after a pause.
 * @param {string} message
 * @param {number} pauseMs
 */
export function retryMessage(message, pauseMs) {
  const sentence = /[.!?]$/.test(message) ? message : `${message}.`;
  return `${sentence} Trying again in ${Math.round(pauseMs / 1000)} s.`;
}

/**
 * Shown instead of the player if the browser lacks the codec.
 * @param {string} mime
 * @param {string} saveCommand
 */
export function cannotPlayMessage(mime, saveCommand) {
  const codec = mime.match(/codecs="([^".]+)/)?.[1] ?? '';
  return `This browser cannot play the result's ${CODECS[codec] ?? codec} video. `
    + `Save it and play the file: \`${saveCommand}\`.`;
}

/** @param {number} number */
export function workersRunning(number) {
  return number ? `${count(number, 'worker')} running` : 'No worker running';
}

/**
 * The time since a date: 5 minutes ago, yesterday.
 * @param {string} iso
 */
export function timeSince(iso) {
  const minutes = (Date.now() - Date.parse(iso)) / 60000;
  const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
  if (minutes < 1) return 'just now';
  if (minutes < 60) return relative.format(-Math.floor(minutes), 'minute');
  if (minutes < 24 * 60) return relative.format(-Math.floor(minutes / 60), 'hour');
  if (minutes < 14 * 24 * 60) return relative.format(-Math.floor(minutes / 60 / 24), 'day');
  return new Date(iso).toLocaleDateString('en', { dateStyle: 'medium' });
}
