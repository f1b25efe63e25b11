"""Augments training images: a random square crop of a labelled image, rotated, mirrored, recoloured
and degraded."""

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
    """An image and its faces.

    Attributes:
        image: h x w x 3, B, G, R.
        boxes: m x 4 float32 px.
        points: m x 5 x 2 float32 px, NaN if unknown.
        learn: m bool, False for ignored faces.
    """

    image: Pixels
    boxes: Floats
    points: Floats
    learn: npt.NDArray[np.bool_]

    def chosen(self, rows: npt.NDArray[np.bool_]) -> "Sample":
        """The same image with some of its faces."""
        return replace(
            self, boxes=self.boxes[rows], points=self.points[rows], learn=self.learn[rows]
        )


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How strongly images are augmented. Probabilities are 0-1.

    Attributes:
        size: side of the square result, px.
        crop: smallest and largest side of the crop, in short sides of the image.
        smallest_face: shorter side in px below which a face is ignored.
        tilt, tilt_degrees: probability and largest angle of a rotation.
        strong_tilt, strong_tilt_degrees: the same for a rarer and larger one.
        mosaic: probability of four images in one.
        coarse: probability of downscaling and upscaling, as from a poor camera.
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
        """Weaker augmentation, nearer to the images at inference: fewer rotated or degraded ones,
        no mosaic.

        It improves the end of a run (Ge et al., YOLOX, 2021, stop mosaics in the last epochs).
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
    """A training image from one sample, or a mosaic of four.

    Args:
        samples: one or four labelled images.

    Returns:
        A square sample of ``settings.size``, without faces whose centre is outside; too small ones
        are ignored.
    """
    if len(samples) == 4:
        made = _mosaic(
            [_cropped(sample, settings.size // 2, settings, random) for sample in samples]
        )
    else:
        made = _cropped(samples[0], settings.size, settings, random)
    made = replace(made, image=_degraded(made.image, settings, random))
    sides = made.boxes[:, 2:] - made.boxes[:, :2]
    # A face of a few px cannot be learned, but it is not background either.
    large = sides.min(1, initial=np.inf) >= settings.smallest_face
    return replace(made, learn=made.learn & large)


def _cropped(
    sample: Sample, size: int, settings: Augmentation, random: np.random.Generator
) -> Sample:
    height, width = sample.image.shape[:2]
    # Log-uniform, so that all scales are equally frequent.
    side = min(height, width) * float(np.exp(random.uniform(*np.log(settings.crop))))
    centre = _crop_centre(sample, side, random)
    angle = _angle(settings, random)
    mirrored = bool(random.random() < 0.5)
    matrix = _matrix(centre, side, size, angle, mirrored)
    # Boxes and points are moved by the same matrix as the pixels.
    image = _warped(_shrunk_to(sample, side / size), matrix, size)
    points = sample.points @ matrix[:, :2].T + matrix[:, 2]
    if mirrored:
        # The subject's right eye is now on the other side.
        points = points[:, list(MIRRORED)]
    moved = Sample(image, _rotated_boxes(sample.boxes, matrix, angle), points, sample.learn)
    return _inside(moved, size)


def _crop_centre(sample: Sample, side: float, random: np.random.Generator) -> Floats:
    """The centre of a crop: usually around a face, so that the crop contains at least one."""
    extent = np.array([sample.image.shape[1], sample.image.shape[0]], np.float32)
    if sample.learn.any() and random.random() < 0.9:
        box = sample.boxes[random.choice(np.flatnonzero(sample.learn))]
        centre = (box[:2] + box[2:]) / 2 + random.uniform(-0.42, 0.42, 2) * side
    else:
        centre = random.uniform(0, extent)
    # A crop smaller than the image lies inside, a larger one contains it: few pixels are empty.
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
    """The image reduced by about a whole factor, because a warp alone would alias, and the exact
    factors of x and y."""
    factor = max(1, int(scale))
    height, width = sample.image.shape[:2]
    smaller = (max(1, width // factor), max(1, height // factor))
    factors = np.array([width / smaller[0], height / smaller[1]], np.float32)
    if factor == 1:
        return sample.image, factors
    return np.asarray(
        cv2.resize(sample.image, smaller, interpolation=cv2.INTER_AREA), np.uint8
    ), factors


def _matrix(centre: Floats, side: float, size: int, angle: float, mirrored: bool) -> Floats:
    """2 x 3: from px of the labelled image to px of the training image."""
    turn = np.deg2rad(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * (
        size / side
    )
    if mirrored:
        rotation = np.array([[-1.0, 0.0], [0.0, 1.0]]) @ rotation
    shift = size / 2 - rotation @ centre
    return np.asarray(np.column_stack([rotation, shift]), np.float32)


def _warped(shrunk: tuple[Pixels, Floats], matrix: Floats, size: int) -> Pixels:
    image, factors = shrunk
    # Labels count from the corner of the first pixel, OpenCV from its centre.
    inner = np.column_stack(
        [matrix[:, :2] * factors, matrix[:, 2] + matrix[:, :2] @ factors / 2 - 0.5]
    )
    border = (114, 114, 114)
    warped = cv2.warpAffine(image, inner, (size, size), flags=cv2.INTER_LINEAR, borderValue=border)
    return np.asarray(warped, np.uint8)


def _rotated_boxes(boxes: Floats, matrix: Floats, angle: float) -> Floats:
    """The bounding boxes of the rotated ellipses that fill the boxes; those of rotated corners
    would be too large."""
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
    """The sample with boxes clipped to the image; faces whose centre is outside, or of which less
    than 40 % is visible, are ignored."""
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
    size = quarters[0].image.shape[0]
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float32)
    rows = [np.concatenate([quarters[row].image, quarters[row + 1].image], 1) for row in (0, 2)]
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


def _degraded(image: Pixels, settings: Augmentation, random: np.random.Generator) -> Pixels:
    """Simulate light, lenses, sensors and encoders."""
    size = image.shape[0]
    if random.random() < settings.colour:
        # One table for each channel: gamma, contrast, brightness and a colour cast.
        contrast, gamma = random.uniform(0.6, 1.4), float(np.exp(random.uniform(-0.4, 0.4)))
        cast = random.uniform(0.9, 1.1, 3)
        values = (np.arange(256) / 255) ** gamma * 255
        tables = ((values - 128) * contrast + 128)[:, None] * cast + random.uniform(-25, 25)
        image = np.asarray(
            cv2.LUT(image, tables.clip(0, 255).astype(np.uint8).reshape(1, 256, 3)), np.uint8
        )
    if random.random() < settings.grey:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None], 3, 2).astype(np.uint8)
    if random.random() < settings.blur:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), random.uniform(0.4, 1.6)), np.uint8)
    if random.random() < settings.motion_blur:
        image = np.asarray(cv2.filter2D(image, -1, motion_kernel(random)), np.uint8)
    if random.random() < settings.coarse:
        small = round(size * random.uniform(0.4, 0.9))
        shrunk = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
        image = np.asarray(
            cv2.resize(shrunk, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8
        )
    if random.random() < settings.noise:
        grain = random.normal(0, random.uniform(2, 12), image.shape)
        image = (image + grain).clip(0, 255).astype(np.uint8)
    if random.random() < settings.compression:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(25, 80))]
        image = np.asarray(
            cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR), np.uint8
        )
    return image


def motion_kernel(random: np.random.Generator) -> Floats:
    """A kernel that blurs along a line through its centre; its side is odd, because an even one
    would shift the image."""
    length = 2 * int(random.integers(1, 5)) + 1
    kernel = np.zeros((length, length), np.float32)
    turn = random.uniform(0, np.pi)
    reach = (length - 1) / 2 * np.array([np.cos(turn), np.sin(turn)])
    middle = (length - 1) / 2
    ends = [tuple(int(value) for value in np.round(middle + sign * reach)) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0)
    return np.asarray(kernel / kernel.sum(), np.float32)
