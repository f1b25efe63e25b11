// Boxes and points, in px of the picture. A box is [x1, y1, x2, y2], points are ten numbers, as labels.jsonl has them.
// Faces are never changed in place, so that an older state can be had back: each function gives a new one.

export const POINTS = ['Right eye', 'Left eye', 'Nose', 'Right mouth corner', 'Left mouth corner'];

export const HANDLES = ['nw', 'n', 'ne', 'e', 'se', 's', 'sw', 'w'];

const SMALLEST_PX = 2;

// Where the five lie in the box of an upright face, as shares of its sides: a start to drag from.
const FRONTAL = [0.31, 0.4, 0.69, 0.4, 0.5, 0.6, 0.35, 0.78, 0.65, 0.78];

const tidy = (value) => Math.round(value * 100) / 100;

const between = (low, value, high) => Math.max(low, Math.min(value, high));

export const centre = ([x1, y1, x2, y2]) => [(x1 + x2) / 2, (y1 + y2) / 2];

const area = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);

export const size = ([x1, y1, x2, y2]) => [x2 - x1, y2 - y1];

export function pointOf(face, index) {
  return [face.landmarks[2 * index], face.landmarks[2 * index + 1]];
}

// The box between two corners, kept in the picture; null if it is too small to be meant.
export function drawnBox([ax, ay], [bx, by], picture) {
  const across = [ax, bx].map((x) => tidy(between(0, x, picture.width))).sort((a, b) => a - b);
  const down = [ay, by].map((y) => tidy(between(0, y, picture.height))).sort((a, b) => a - b);
  const box = [across[0], down[0], across[1], down[1]];
  return Math.min(...size(box)) < SMALLEST_PX ? null : box;
}

export function frontalPoints(box) {
  const [width, height] = size(box);
  return FRONTAL.map((share, at) => tidy(at % 2 ? box[1] + share * height : box[0] + share * width));
}

// A step as large as the picture allows. What a label has outside already may stay there, and not go further out.
const allowed = (step, low, high, end) => between(Math.min(0, -low), step, Math.max(0, end - high));

export function moveFace(face, dx, dy, picture, withPoints = true) {
  const [x1, y1, x2, y2] = face.box;
  const across = allowed(dx, x1, x2, picture.width);
  const down = allowed(dy, y1, y2, picture.height);
  const shifted = (values) => values.map((value, at) => tidy(value + (at % 2 ? down : across)));
  const points = face.landmarks && withPoints ? { landmarks: shifted(face.landmarks) } : {};
  return { ...face, box: shifted(face.box), ...points };
}

export function resizeFace(face, handle, dx, dy, picture) {
  const box = [...face.box];
  const move = (at, step, low, high) => { box[at] = tidy(between(low, box[at] + step, high)); };
  if (handle.includes('w')) move(0, dx, Math.min(0, box[0]), box[2] - SMALLEST_PX);
  if (handle.includes('e')) move(2, dx, box[0] + SMALLEST_PX, Math.max(picture.width, box[2]));
  if (handle.includes('n')) move(1, dy, Math.min(0, box[1]), box[3] - SMALLEST_PX);
  if (handle.includes('s')) move(3, dy, box[1] + SMALLEST_PX, Math.max(picture.height, box[3]));
  return { ...face, box };
}

export function movePoint(face, index, dx, dy, picture) {
  const landmarks = [...face.landmarks];
  const [x, y] = pointOf(face, index);
  landmarks[2 * index] = tidy(x + allowed(dx, x, x, picture.width));
  landmarks[2 * index + 1] = tidy(y + allowed(dy, y, y, picture.height));
  return { ...face, landmarks };
}

export function handlePlace([x1, y1, x2, y2], handle) {
  const [cx, cy] = centre([x1, y1, x2, y2]);
  const x = handle.includes('w') ? x1 : handle.includes('e') ? x2 : cx;
  const y = handle.includes('n') ? y1 : handle.includes('s') ? y2 : cy;
  return [x, y];
}

// What lies under the pointer: { face, part }, part being 'box', a handle or a point's number; null over none.
// `reach` is how far a finger or mouse may be off, in picture px. Only the chosen face has handles and points to grip.
export function partAt(faces, chosen, [x, y], reach) {
  const face = faces[chosen];
  if (face) {
    const grip = Math.min(reach, Math.min(...size(face.box)) / 5);
    const point = nearestPoint(face, x, y, grip);
    if (point !== null) return { face: chosen, part: point };
    const handle = handleAt(face.box, x, y, reach);
    if (handle) return { face: chosen, part: handle };
  }
  const slack = reach / 3;
  const under = faces.map((_, index) => index).filter((index) => {
    const [x1, y1, x2, y2] = faces[index].box;
    return x >= x1 - slack && x <= x2 + slack && y >= y1 - slack && y <= y2 + slack;
  });
  if (!under.length) return null;
  const smallest = under.reduce((a, b) => (area(faces[b].box) < area(faces[a].box) ? b : a));
  return { face: smallest, part: 'box' };
}

function nearestPoint(face, x, y, grip) {
  if (!face.landmarks) return null;
  const away = POINTS.map((_, index) => {
    const [px, py] = pointOf(face, index);
    return Math.hypot(px - x, py - y);
  });
  const nearest = away.indexOf(Math.min(...away));
  return away[nearest] <= grip ? nearest : null;
}

// An edge is gripped anywhere along it. Inwards the grip is a quarter of the side at most: the middle moves the box.
function handleAt([x1, y1, x2, y2], x, y, reach) {
  const inX = Math.min(reach, (x2 - x1) / 4);
  const inY = Math.min(reach, (y2 - y1) / 4);
  if (x < x1 - reach || x > x2 + reach || y < y1 - reach || y > y2 + reach) return '';
  const down = y <= y1 + inY ? 'n' : y >= y2 - inY ? 's' : '';
  const across = x <= x1 + inX ? 'w' : x >= x2 - inX ? 'e' : '';
  return down + across;
}
