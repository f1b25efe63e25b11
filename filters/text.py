"""Text on a ribbon that follows the head."""

import unicodedata
from collections.abc import Mapping

import cv2
import numpy as np

from facepaint.looks.look import FilterSpec
from filters.artwork import PX_PER_UNIT, Artwork, svg_rgba
from filters.layers import Layer
from filters.planes import Pixels
from filters.stickers import Sticker

PLACES: Mapping[str, tuple[float, float, float]] = {
    "chin": (0.0, 2.15, 0.2),
    "forehead": (0.0, -0.72, 0.3),
}
"""The centre of the ribbon in head space."""

LETTERS = 42.0
"""Height of a line in units of artwork; less where the words would be wider than `WIDEST`."""

NARROWEST, WIDEST = 90.0, 300.0
"""The least and the largest width of the words, in units."""

FINER = 2
"""The oversampling of words: OpenCV's own antialiasing is coarse."""

NO_ACCENTS = str.maketrans(
    {
        "ß": "ss", "æ": "ae", "Æ": "AE", "ø": "o", "Ø": "O", "œ": "oe", "Œ": "OE",
        "ð": "d", "Ð": "D", "đ": "d", "Đ": "D", "ł": "l", "Ł": "L", "þ": "th", "Þ": "Th",
        "\u0131": "i", "ħ": "h", "Ħ": "H", "ŋ": "n", "Ŋ": "N", "ŧ": "t", "Ŧ": "T",
    }
)  # fmt: skip
"""ASCII for the letters that Unicode does not decompose."""


def ribbon_with_words(spec: FilterSpec, stickers: Mapping[str, bytes]) -> Sticker:
    """Make the filter that a look specifies: a sticker, drawn once."""
    words = _fitted(draw_words(spec.text("text")))
    width = max(NARROWEST, words.shape[1] / PX_PER_UNIT)
    ribbon = _ribbon(width, spec.text("background"))
    _write(ribbon, words, spec.text("colour"))
    artwork = Artwork(ribbon, 1 / PX_PER_UNIT, spec.number("opacity"))
    layer = Layer("", artwork.centre, PLACES[spec.text("place")], roundness=0.35)
    return Sticker(((layer, (artwork,)),), spec.number("scale"))


def _fitted(words: Pixels) -> Pixels:
    """Words shrunk to `WIDEST`, if they are wider."""
    scale = min(1.0, WIDEST * PX_PER_UNIT / words.shape[1])
    size = max(1, round(words.shape[1] * scale)), max(1, round(words.shape[0] * scale))
    return np.asarray(cv2.resize(words, size, interpolation=cv2.INTER_AREA), np.uint8)


def _write(ribbon: Pixels, words: Pixels, colour: str) -> None:
    """Blend words in a colour over the middle of a ribbon, in place."""
    height, width = words.shape
    y, x = (ribbon.shape[0] - height) // 2, (ribbon.shape[1] - width) // 2
    under = ribbon[y : y + height, x : x + width]
    ink = np.array([*bytes.fromhex(colour[1:]), 255])
    share = words[:, :, None] / 255
    under[...] = np.rint(under * (1 - share) + ink * share)


def draw_words(text: str) -> Pixels:
    """Draw words in white on black, `LETTERS` high: shape (height, width)."""
    px = round(LETTERS * PX_PER_UNIT * FINER)
    canvas = np.zeros((2 * px, px * (len(text) + 2), 3), np.uint8)
    at, white = (px // 2, px * 3 // 2), (255, 255, 255)
    if hasattr(cv2, "FontFace"):
        cv2.putText(canvas, text, at, white, cv2.FontFace("sans"), px, 700)
    else:
        # OpenCV 4 has stroke fonts of ASCII alone: other characters come out as question marks.
        size, font = px / 30, cv2.FONT_HERSHEY_DUPLEX
        thickness = round(size * 3)
        cv2.putText(canvas, _ascii(text), at, font, size * 0.9, white, thickness, cv2.LINE_AA)
    x, _, width, _ = cv2.boundingRect(canvas[:, :, 0])
    # The same rows for all words: words without descenders keep their baseline.
    line = np.ascontiguousarray(canvas[px // 2 : px * 15 // 8, x : x + max(1, width), 0])
    smaller = (max(1, line.shape[1] // FINER), line.shape[0] // FINER)
    return np.asarray(cv2.resize(line, smaller, interpolation=cv2.INTER_AREA), np.uint8)


def _ascii(text: str) -> str:
    """The nearest ASCII of Latin letters: decomposed, without their accents."""
    decomposed = unicodedata.normalize("NFKD", text.translate(NO_ACCENTS))
    return decomposed.encode("ascii", "ignore").decode()


def _ribbon(words: float, colour: str) -> Pixels:
    """A ribbon for words of that width in units, its ends folded back: premultiplied RGBA."""
    band, tail, high, drop = words + 36, 34.0, 62.0, 12.0
    width, height = band + 2 * tail, high + drop
    left, right, end = tail, tail + band, width
    dark, fold = _darker(colour, 0.72), _darker(colour, 0.45)
    half = drop + high / 2
    svg = f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}">
<path fill="{dark}" d="M0 {drop}H{left + 20}V{height}H0L15 {half}Z"/>
<path fill="{dark}" d="M{end} {drop}H{right - 20}V{height}H{end}L{end - 15} {half}Z"/>
<path fill="{fold}" d="M{left} {high}H{left + 20}V{height}Z
  M{right} {high}H{right - 20}V{height}Z"/>
<rect fill="{colour}" x="{left}" width="{band}" height="{high}" rx="3"/>
<path stroke="#ffffff" stroke-opacity=".35" stroke-width="2"
  d="M{left} 5H{right}M{left} {high - 5}H{right}"/>
</svg>"""
    return svg_rgba(svg, round(PX_PER_UNIT * width))


def _darker(colour: str, share: float) -> str:
    """A colour ``#rrggbb`` with a share of its brightness."""
    return "#" + "".join(f"{int(value * share):02x}" for value in bytes.fromhex(colour[1:]))
