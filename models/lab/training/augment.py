"""Make training pictures: a random square crop of a labelled picture, turned, mirrored, recoloured
and spoilt."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from facepaint.records.faces import MIRRORED

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture and its faces.

    Attributes:
        picture: h x w x 3, B, G, R.
        boxes: m x 4 float32 px.
        points: m x 5 x 2 float32 px, NaN where unknown.
        learn: m bool, False for faces to be ignored.
    """

    picture: Pixels
    boxes: Floats
    points: Floats
    learn: npt.NDArray[np.bool_]

    def chosen(self, rows: npt.NDArray[np.bool_]) -> "Sample":
        """The same picture with some of its faces."""
        return replace(
            self, boxes=self.boxes[rows], points=self.points[rows], learn=self.learn[rows]
        )


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far training pictures are from the labelled ones. Chances are 0-1.

    Attributes:
        size: side of the square picture, px.
        crop: shortest and longest side of the crop, in short sides of the picture.
        smallest_face: shorter sides of a face in px; below it a face is ignored.
        tilt, tilt_degrees: chance of a turn, and the most it may be.
        strong_tilt, strong_tilt_degrees: the same for a second, rarer and larger turn.
        mosaic: chance of four pictures in one.
        coarse: chance of a picture made smaller and large again, as from a poor camera.
    """

    size: int = 256
    crop: tuple[float, float] = (0.3, 2.0)
    smallest_face: float = 5.0
    tilt: float = 0.5
    tilt_degrees: float = 40.0
    strong_tilt: float = 0.15
    strong_tilt_degrees: float = 75.0
    mosaic: float = 0.1
    colour: float = 0.6
    grey: float = 0.08
    blur: float = 0.1
    motion_blur: float = 0.08
    coarse: float = 0.1
    noise: float = 0.12
    compression: float = 0.2

    def calmed(self) -> "Augmentation":
        """Pictures nearer to those that a detector is given: fewer turned or spoilt ones, no
        mosaic.

        A training ends better with them (Ge et al., YOLOX, 2021, leave mosaics out of the last
        epochs).
        """
        half = ("strong_tilt", "blur", "motion_blur", "coarse", "noise")
        return replace(
            self,
            tilt=self.tilt * 0.7,
            mosaic=0.0,
            **{name: getattr(self, name) / 2 for name in half},
        )


def augmented(
    samples: Sequence[Sample], settings: Augmentation, random: np.random.Generator
) -> Sample:
    """A training picture of one sample, or a mosaic of four.

    Args:
        samples: one or four labelled pictures.

    Returns:
        A sample of ``settings.size`` squared; faces whose centre left it are gone, too small ones
        not to be learnt.
    """
    if len(samples) == 4:
        made = _mosaic(
            [_cropped(sample, settings.size // 2, settings, random) for sample in samples]
        )
    else:
        made = _cropped(samples[0], settings.size, settings, random)
    made = replace(made, picture=_spoilt(made.picture, settings, random))
    sides = made.boxes[:, 2:] - made.boxes[:, :2]
    large = sides.min(1, initial=np.inf) >= settings.smallest_face
    return replace(made, learn=made.learn & large)


def _cropped(
    sample: Sample, size: int, settings: Augmentation, random: np.random.Generator
) -> Sample:
    height, width = sample.picture.shape[:2]
    side = min(height, width) * float(np.exp(random.uniform(*np.log(settings.crop))))
    centre = _crop_centre(sample, side, random)
    angle = _angle(settings, random)
    mirrored = bool(random.random() < 0.5)
    matrix = _matrix(centre, side, size, angle, mirrored)
    picture = _warped(_shrunk_to(sample, side / size), matrix, size)
    points = sample.points @ matrix[:, :2].T + matrix[:, 2]
    if mirrored:
        points = points[:, list(MIRRORED)]
    moved = Sample(picture, _turned_boxes(sample.boxes, matrix, angle), points, sample.learn)
    return _inside(moved, size)


def _crop_centre(sample: Sample, side: float, random: np.random.Generator) -> Floats:
    """A place for a crop of that side: around one of the faces as a rule, so that it holds at least
    that one."""
    extent = np.array([sample.picture.shape[1], sample.picture.shape[0]], np.float32)
    if sample.learn.any() and random.random() < 0.9:
        box = sample.boxes[random.choice(np.flatnonzero(sample.learn))]
        centre = (box[:2] + box[2:]) / 2 + random.uniform(-0.42, 0.42, 2) * side
    else:
        centre = random.uniform(0, extent)
    # A crop smaller than the picture lies in it, a larger one holds it: little of a training
    # picture is empty.
    ends = np.stack([np.full(2, side / 2), extent - side / 2])
    return np.asarray(np.clip(centre, ends.min(0), ends.max(0)), np.float32)


def _angle(settings: Augmentation, random: np.random.Generator) -> float:
    chance = random.random()
    if chance < settings.strong_tilt:
        return float(random.uniform(-1, 1) * settings.strong_tilt_degrees)
    if chance < settings.strong_tilt + settings.tilt:
        return float(random.uniform(-1, 1) * settings.tilt_degrees)
    return 0.0


def _shrunk_to(sample: Sample, scale: float) -> tuple[Pixels, Floats]:
    """The picture made smaller by about a whole factor, before a warp that would alias, and the
    factors of x and y."""
    factor = max(1, int(scale))
    height, width = sample.picture.shape[:2]
    smaller = (max(1, width // factor), max(1, height // factor))
    factors = np.array([width / smaller[0], height / smaller[1]], np.float32)
    if factor == 1:
        return sample.picture, factors
    return np.asarray(
        cv2.resize(sample.picture, smaller, interpolation=cv2.INTER_AREA), np.uint8
    ), factors


def _matrix(centre: Floats, side: float, size: int, angle: float, mirrored: bool) -> Floats:
    """2 x 3: px of the labelled picture to px of the training picture."""
    turn = np.deg2rad(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * (
        size / side
    )
    if mirrored:
        rotation = np.array([[-1.0, 0.0], [0.0, 1.0]]) @ rotation
    shift = size / 2 - rotation @ centre
    return np.asarray(np.column_stack([rotation, shift]), np.float32)


def _warped(shrunk: tuple[Pixels, Floats], matrix: Floats, size: int) -> Pixels:
    picture, factors = shrunk
    # Labels count from the corner of the first pixel, OpenCV from its centre: half a pixel in on
    # both sides.
    inner = np.column_stack(
        [matrix[:, :2] * factors, matrix[:, 2] + matrix[:, :2] @ factors / 2 - 0.5]
    )
    border = (114, 114, 114)
    warped = cv2.warpAffine(
        picture, inner, (size, size), flags=cv2.INTER_LINEAR, borderValue=border
    )
    return np.asarray(warped, np.uint8)


def _turned_boxes(boxes: Floats, matrix: Floats, angle: float) -> Floats:
    """The boxes around the turned ellipses that filled the boxes: those around turned corners would
    be too large."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 @ matrix[:, :2].T + matrix[:, 2]
    scale = float(np.hypot(*matrix[:, 0]))
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 * scale
    sine, cosine = np.sin(np.deg2rad(angle)), np.cos(np.deg2rad(angle))
    turned = np.stack(
        [
            np.hypot(half[:, 0] * cosine, half[:, 1] * sine),
            np.hypot(half[:, 0] * sine, half[:, 1] * cosine),
        ],
        1,
    )
    return np.asarray(np.concatenate([centres - turned, centres + turned], 1), np.float32)


def _inside(sample: Sample, size: int) -> Sample:
    """Faces whose centre is in the picture, their boxes clipped to it; the rest of the others is to
    be ignored."""
    clipped = sample.boxes.clip(0, size)
    sides = clipped[:, 2:] - clipped[:, :2]
    whole = (sample.boxes[:, 2:] - sample.boxes[:, :2]).prod(1)
    seen = sides.prod(1) / np.maximum(whole, 1e-6)
    centres = (sample.boxes[:, :2] + sample.boxes[:, 2:]) / 2
    central = ((centres > 0) & (centres < size)).all(1)
    moved = replace(
        sample, boxes=np.asarray(clipped, np.float32), learn=sample.learn & central & (seen > 0.4)
    )
    return moved.chosen((sides > 1).all(1))


def _mosaic(quarters: list[Sample]) -> Sample:
    """Four square samples of one size as one of twice the side (Bochkovskiy et al., 2020)."""
    size = quarters[0].picture.shape[0]
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float32)
    rows = [np.concatenate([quarters[row].picture, quarters[row + 1].picture], 1) for row in (0, 2)]
    return Sample(
        np.concatenate(rows, 0),
        np.concatenate(
            [
                part.boxes + np.tile(corner, 2)
                for part, corner in zip(quarters, corners, strict=True)
            ]
        ),
        np.concatenate(
            [part.points + corner for part, corner in zip(quarters, corners, strict=True)]
        ),
        np.concatenate([part.learn for part in quarters]),
    )


def _spoilt(picture: Pixels, settings: Augmentation, random: np.random.Generator) -> Pixels:
    """What light, lenses, sensors and encoders do to a picture."""
    size = picture.shape[0]
    if random.random() < settings.colour:
        # One table for each channel: contrast, brightness and a cast of colour.
        contrast, gamma = random.uniform(0.6, 1.4), float(np.exp(random.uniform(-0.4, 0.4)))
        cast = random.uniform(0.9, 1.1, 3)
        values = (np.arange(256) / 255) ** gamma * 255
        tables = ((values - 128) * contrast + 128)[:, None] * cast + random.uniform(-25, 25)
        picture = np.asarray(
            cv2.LUT(picture, tables.clip(0, 255).astype(np.uint8).reshape(1, 256, 3)), np.uint8
        )
    if random.random() < settings.grey:
        picture = np.repeat(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)[..., None], 3, 2).astype(
            np.uint8
        )
    if random.random() < settings.blur:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), random.uniform(0.4, 1.6)), np.uint8)
    if random.random() < settings.motion_blur:
        picture = np.asarray(cv2.filter2D(picture, -1, motion_kernel(random)), np.uint8)
    if random.random() < settings.coarse:
        small = round(size * random.uniform(0.4, 0.9))
        shrunk = cv2.resize(picture, (small, small), interpolation=cv2.INTER_AREA)
        picture = np.asarray(
            cv2.resize(shrunk, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8
        )
    if random.random() < settings.noise:
        grain = random.normal(0, random.uniform(2, 12), picture.shape)
        picture = (picture + grain).clip(0, 255).astype(np.uint8)
    if random.random() < settings.compression:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(25, 80))]
        picture = np.asarray(
            cv2.imdecode(cv2.imencode(".jpg", picture, quality)[1], cv2.IMREAD_COLOR), np.uint8
        )
    return picture


def motion_kernel(random: np.random.Generator) -> Floats:
    """A kernel that smears along a line through its middle: of odd sides, since others have none
    and move pictures."""
    length = 2 * int(random.integers(1, 5)) + 1
    kernel = np.zeros((length, length), np.float32)
    turn = random.uniform(0, np.pi)
    reach = (length - 1) / 2 * np.array([np.cos(turn), np.sin(turn)])
    middle = (length - 1) / 2
    ends = [tuple(int(value) for value in np.round(middle + sign * reach)) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0)
    return np.asarray(kernel / kernel.sum(), np.float32)
