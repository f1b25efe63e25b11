"""The gallery: one image with every filter of the catalogue on a drawn portrait."""

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from facepaint.errors import UsageError
from facepaint.files import write_bytes
from facepaint.looks.catalogue import CATALOGUE
from facepaint.looks.parser import parse_look
from filters.artwork import asset, svg_rgba
from filters.face import Face
from filters.planes import Pixels, Planes
from filters.registry import Painter, make_painter

TILE_PX = 256
COLUMNS = 6
GAP_PX = 16
LABEL_PX = 42
PAPER = (250, 248, 245)
INK = (38, 40, 48)

ANIMATION_TIME_S = 0.55
"""The time at which animated stickers are shown."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")

PORTRAIT_PX = 480
"""The size of the portrait in which its face is measured."""

OVERSAMPLING = 4
"""Corners and labels are drawn so much larger, then averaged: OpenCV's antialiasing is coarse."""

PORTRAIT_FACE = Face(
    box=(153.0, 193.0, 327.0, 418.0),
    landmarks=(201.0, 276.0, 279.0, 276.0, 240.0, 322.0, 207.0, 358.0, 273.0, 358.0),
    score=1.0,
    identity=1,
)
"""The portrait's face, as a detector would report it."""

PEOPLE: tuple[Mapping[str, str], ...] = (
    {},
    {
        "back-a": "#dff3ff",
        "back-b": "#7cc0ee",
        "skin-a": "#9a6444",
        "skin-b": "#784a30",
        "skin-c": "#4c2a18",
        "hair-a": "#3a2d2a",
        "hair-b": "#120c0b",
        "brow": "#1a100c",
        "shirt-a": "#f2b632",
        "shirt-b": "#cf8a12",
        "iris": "#4a2c16",
        "lips": "#a34a4c",
    },
    {
        "back-a": "#e9fbe5",
        "back-b": "#86cfa0",
        "skin-a": "#ffe2cc",
        "skin-b": "#f4bfa0",
        "skin-c": "#df9678",
        "hair-a": "#f0a24c",
        "hair-b": "#b55a1d",
        "brow": "#9a4f1d",
        "shirt-a": "#5e6fd0",
        "shirt-b": "#36408f",
        "iris": "#3f7fae",
        "lips": "#d4646a",
    },
    {
        "back-a": "#fff0d2",
        "back-b": "#f2c25c",
        "skin-a": "#d79f74",
        "skin-b": "#b87c52",
        "skin-c": "#8c5836",
        "hair-a": "#4a4f5c",
        "hair-b": "#1b1e26",
        "brow": "#22201f",
        "shirt-a": "#d9534f",
        "shirt-b": "#98302f",
        "iris": "#5a3a1e",
        "lips": "#b8565a",
    },
    {
        "back-a": "#f3e6ff",
        "back-b": "#b592e6",
        "skin-a": "#f6d3b2",
        "skin-b": "#dfa980",
        "skin-c": "#bd8058",
        "hair-a": "#f4dc9a",
        "hair-b": "#c79a45",
        "brow": "#9a7434",
        "shirt-a": "#4c5866",
        "shirt-b": "#272f3a",
        "iris": "#6a7f9a",
        "lips": "#d4646a",
    },
)
"""Colours of the portrait's CSS classes, so that faces differ."""


def portrait(person: int, width: int) -> Pixels:
    """Draw the portrait in the colours of one of `PEOPLE`: RGB of shape (width, width, 3)."""
    colours = PEOPLE[person % len(PEOPLE)]
    style = "".join(
        f".{name} {{ {_property(name)}: {colour} }}" for name, colour in colours.items()
    )
    svg = asset("portrait").replace("</style>", f"{style}</style>")
    return np.ascontiguousarray(svg_rgba(svg, width)[:, :, :3])


def _property(name: str) -> str:
    """The CSS property that a class of the portrait sets."""
    # -a and -b are the stops of a gradient.
    if name.endswith(("-a", "-b")):
        return "stop-color"
    return "stroke" if name == "brow" else "fill"


def portrait_face(width: int) -> Face:
    """The face of a `portrait` of that width."""
    scale = width / PORTRAIT_PX
    x1, y1, x2, y2 = (scale * value for value in PORTRAIT_FACE.box)
    return Face((x1, y1, x2, y2), tuple(scale * value for value in PORTRAIT_FACE.landmarks), 1.0, 1)


@cache
def draw_gallery() -> Pixels:
    """Draw every filter of the catalogue with its name: RGB (height, width, 3), read-only."""
    names = list(CATALOGUE)
    rows = -(-len(names) // COLUMNS)
    step_x, step_y = TILE_PX + GAP_PX, TILE_PX + LABEL_PX + GAP_PX
    page = np.full((rows * step_y + GAP_PX, COLUMNS * step_x + GAP_PX, 3), PAPER, np.uint8)
    for index, name in enumerate(names):
        row, column = divmod(index, COLUMNS)
        x, y = GAP_PX + column * step_x, GAP_PX + row * step_y
        page[y : y + TILE_PX, x : x + TILE_PX] = _rounded(_example(name, index))
        page[y + TILE_PX : y + TILE_PX + LABEL_PX, x : x + TILE_PX] = _label(name)
    # The page is cached: a caller that drew on it would change it for all.
    page.flags.writeable = False
    return page


def save_gallery(path: Path) -> None:
    """Write the gallery in the format of the path's suffix; PNG without a suffix.

    Raises:
        UsageError: the suffix is of no image format, or the file cannot be written.
    """
    suffix = path.suffix.lower() or ".png"
    if suffix not in SUFFIXES:
        raise UsageError(f"{path}: the gallery is written as {', '.join(SUFFIXES)}")
    data = cv2.imencode(suffix, cv2.cvtColor(draw_gallery(), cv2.COLOR_RGB2BGR))[1].tobytes()
    try:
        write_bytes(path, data)
    except OSError as exc:
        raise UsageError(f"{path} cannot be written: {exc.strerror}") from exc


@cache
def _portrait(person: int) -> Pixels:
    return portrait(person, TILE_PX)


def example_painter(text: str) -> Painter:
    """The painter of one filter as users write it; ``sticker`` alone gets a sample image."""
    if text != "sticker":
        return make_painter(parse_look([text]), {})
    image = _sample_sticker()
    sha256 = hashlib.sha256(image).hexdigest()
    return make_painter(parse_look([f"sticker:sha256={sha256}"]), {sha256: image})


def _example(name: str, person: int) -> Pixels:
    """One filter on the portrait."""
    planes = Planes.from_rgb(_portrait(person % len(PEOPLE)))
    example_painter(name).paint(planes, [portrait_face(TILE_PX)], ANIMATION_TIME_S)
    return planes.to_rgb()


def _sample_sticker() -> bytes:
    """A drawing as an opaque PNG on white, as a user would supply it."""
    rgba = svg_rgba(asset("sample-sticker"), 512)
    white = cv2.add(rgba[:, :, :3], cv2.merge([cv2.bitwise_not(rgba[:, :, 3])] * 3))
    return cv2.imencode(".png", cv2.cvtColor(white, cv2.COLOR_RGB2BGR))[1].tobytes()


def _rounded(tile: Pixels) -> Pixels:
    """The tile with round corners on the page's background."""
    side, inner = TILE_PX * OVERSAMPLING, TILE_PX // 16 * OVERSAMPLING
    outer = side - inner
    mask = np.zeros((side, side), np.uint8)
    mask[inner:outer], mask[:, inner:outer] = 255, 255
    for x in (inner, outer - 1):
        for y in (inner, outer - 1):
            cv2.circle(mask, (x, y), inner, 255, -1)
    share = cv2.resize(mask, (TILE_PX, TILE_PX), interpolation=cv2.INTER_AREA)[:, :, None] / 255
    return np.rint(tile * share + np.array(PAPER) * (1 - share)).astype(np.uint8)


def _label(name: str) -> Pixels:
    """The label below a tile, in OpenCV's own font: a container may have no other."""
    canvas = np.full((LABEL_PX * OVERSAMPLING, TILE_PX * OVERSAMPLING, 3), PAPER, np.uint8)
    font, size, thickness = cv2.FONT_HERSHEY_DUPLEX, 0.62 * OVERSAMPLING, OVERSAMPLING
    (width, height), _ = cv2.getTextSize(name, font, size, thickness)
    at = ((canvas.shape[1] - width) // 2, (canvas.shape[0] + height) // 2)
    cv2.putText(canvas, name, at, font, size, INK, thickness, cv2.LINE_AA)
    return np.asarray(
        cv2.resize(canvas, (TILE_PX, LABEL_PX), interpolation=cv2.INTER_AREA), np.uint8
    )
