"""A face to paint, and how it sits in the picture: position, size, roll and turn, from its box and landmarks."""

import math
from dataclasses import dataclass

from filters.pose import HeadPose, Point

EYES_TO_MOUTH = 1.02
"""From between the eyes down to the middle of the mouth, in eye distances, on a face seen from the front."""

BOX_SIDE = 2.42
"""The side of a square of the box's area, in eye distances."""

TURNED_MOST = 0.5
"""No artwork gets narrower than this share of its width, however far the head turns."""


@dataclass(frozen=True, slots=True)
class Face:
    """One face of a frame, in px of the upright frame.

    ``box`` is x1, y1, x2, y2 and may leave the frame. ``landmarks`` are five x, y: the subject's right eye, left eye,
    nose, right mouth corner, left mouth corner; or none. ``identity`` counts the video's persons from 1; None is not
    known. ``opacity`` falls below 1 where a face is about to be lost: stickers fade with it. ``margin`` is by how many
    px the box may be off to each side: what hides grows by it. ``head`` is the pose as smoothed over time; None has it
    told from the landmarks, or the box, of this one face.
    """

    box: tuple[float, float, float, float]
    landmarks: tuple[float, ...]
    score: float
    identity: int | None = None
    opacity: float = 1.0
    margin: float = 0.0
    head: HeadPose | None = None

    @property
    def width(self) -> float:
        """Width of the box in px, never 0."""
        return max(1.0, self.box[2] - self.box[0])

    @property
    def height(self) -> float:
        """Height of the box in px, never 0."""
        return max(1.0, self.box[3] - self.box[1])

    @property
    def centre(self) -> Point:
        """Centre of the box in px."""
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a face's parts are, and its own axes.

    ``right`` is the unit vector towards the picture's right along the eyes, ``down`` the one towards the chin.
    ``size`` is the distance in px the eyes would have seen from the front; ``turn`` is 1 from the front and falls
    to `TURNED_MOST` in profile: the share of its width something flat on the face keeps.
    """

    eyes: Point
    nose: Point
    mouth: Point
    head: Point
    right: Point
    down: Point
    size: float
    turn: float

    @property
    def roll(self) -> float:
        """Clockwise turn in the picture, in radians."""
        return math.atan2(self.right[1], self.right[0])


def pose_of(face: Face) -> Pose:
    """The pose of a face; from the box alone where the landmarks make no sense.

    The distance of the eyes shrinks as the head turns and that from eyes to mouth as it nods: the larger of the two
    tells the size, steadied by the box.
    """
    landmarks = face.landmarks if _sane(face) else _landmarks_of_box(face)
    right_eye, left_eye, nose, right_mouth, left_mouth = zip(landmarks[0::2], landmarks[1::2], strict=True)
    eyes, mouth = _middle(right_eye, left_eye), _middle(right_mouth, left_mouth)
    across = _sum(_between(right_eye, left_eye), _between(right_mouth, left_mouth))
    along = _between(eyes, mouth)
    right, down = _axes(across, along)
    eye_distance = abs(_dot(_between(right_eye, left_eye), right))
    from_mouth = abs(_dot(along, down)) / EYES_TO_MOUTH
    # A high norm is a maximum without a kink, so that nothing jumps where the two change places.
    from_landmarks = ((eye_distance**8 + from_mouth**8) / 2) ** (1 / 8)
    from_box = math.sqrt(face.width * face.height) / BOX_SIDE
    size = 0.75 * from_landmarks + 0.25 * from_box
    turn = min(1.0, max(TURNED_MOST, eye_distance / size))
    aside = _dot(_between(eyes, face.centre), right)
    head = (eyes[0] + 0.8 * aside * right[0], eyes[1] + 0.8 * aside * right[1])
    return Pose(eyes, nose, mouth, head, right, down, size, turn)


def _sane(face: Face) -> bool:
    """Whether there are landmarks, spread like a face's and lie about the box."""
    xs, ys = face.landmarks[0::2], face.landmarks[1::2]
    if len(xs) != 5 or not all(map(math.isfinite, face.landmarks)):
        return False
    side = math.sqrt(face.width * face.height)
    eyes = ((xs[0] + xs[1]) / 2, (ys[0] + ys[1]) / 2)
    mouth = ((xs[3] + xs[4]) / 2, (ys[3] + ys[4]) / 2)
    long_enough = 0.15 * side < math.dist(eyes, mouth) < 1.2 * side
    near = math.dist(face.centre, (sum(xs) / 5, sum(ys) / 5)) < 0.6 * side
    return long_enough and near


def _landmarks_of_box(face: Face) -> tuple[float, ...]:
    shares = (0.27, 0.37, 0.73, 0.37, 0.5, 0.58, 0.3, 0.73, 0.7, 0.73)
    origin, sides = face.box[:2], (face.width, face.height)
    return tuple(origin[n % 2] + share * sides[n % 2] for n, share in enumerate(shares))


def _axes(across: Point, along: Point) -> tuple[Point, Point]:
    """Unit vectors right and down, perpendicular, from the lines of eyes and mouth and the line between the two.

    Each counts by its length: in profile the first shrink and swing about, and the second leads.
    """
    x, y = across[0] / 2 + along[1], across[1] / 2 - along[0]
    length = math.hypot(x, y) or 1.0
    right = (x / length, y / length)
    return right, (-right[1], right[0])


def _middle(a: Point, b: Point) -> Point:
    return (a[0] + b[0]) / 2, (a[1] + b[1]) / 2


def _between(a: Point, b: Point) -> Point:
    return b[0] - a[0], b[1] - a[1]


def _sum(a: Point, b: Point) -> Point:
    return a[0] + b[0], a[1] + b[1]


def _dot(a: Point, b: Point) -> float:
    return a[0] * b[0] + a[1] * b[1]
