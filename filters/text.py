"""Words on a ribbon that goes with the head."""

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
"""Where in head space the middle of the ribbon is."""

LETTERS = 42.0
"""Height of the letters' line in units of artwork; smaller where the words would be wider than
`WIDEST`."""

NARROWEST, WIDEST = 90.0, 300.0
"""Width that the words have at least and at most, in units."""

FINER = 2
"""By how much finer than all artwork words are drawn, before they are brought to its size: smooth
edges."""

NO_ACCENTS = str.maketrans(
    {
        "ß": "ss", "æ": "ae", "Æ": "AE", "ø": "o", "Ø": "O", "œ": "oe", "Œ": "OE",
        "ð": "d", "Ð": "D", "đ": "d", "Đ": "D", "ł": "l", "Ł": "L", "þ": "th", "Þ": "Th",
        "\u0131": "i", "ħ": "h", "Ħ": "H", "ŋ": "n", "Ŋ": "N", "ŧ": "t", "Ŧ": "T",
    }
)  # fmt: skip
"""What stands for letters that are no letter of ASCII with an accent."""


def ribbon_with_words(spec: FilterSpec, stickers: Mapping[str, bytes]) -> Sticker:  # noqa: ARG001 - as every maker
    """The filter of a look's entry: a sticker, drawn once."""
    words = _words(spec.text("text"))
    scale = min(1.0, WIDEST * PX_PER_UNIT / words.shape[1])
    size = max(1, round(words.shape[1] * scale)), max(1, round(words.shape[0] * scale))
    words = np.asarray(cv2.resize(words, size, interpolation=cv2.INTER_AREA), np.uint8)
    ribbon = _ribbon(max(NARROWEST, words.shape[1] / PX_PER_UNIT), spec.text("background"))
    y, x = (ribbon.shape[0] - words.shape[0]) // 2, (ribbon.shape[1] - words.shape[1]) // 2
    under = ribbon[y : y + words.shape[0], x : x + words.shape[1]]
    ink = np.array([*bytes.fromhex(spec.text("colour")[1:]), 255])
    share = words[:, :, None] / 255
    under[...] = np.rint(under * (1 - share) + ink * share)
    artwork = Artwork(ribbon, 1 / PX_PER_UNIT, spec.number("opacity"))
    middle = (artwork.left + artwork.width / 2, artwork.top + artwork.height / 2)
    layer = Layer("", middle, PLACES[spec.text("place")], roundness=0.35)
    return Sticker(((layer, (artwork,)),), spec.number("scale"))


def _words(text: str) -> Pixels:
    """Words in white on black, as high as `LETTERS` and as wide as they are: shape (height,
    width)."""
    px = round(LETTERS * PX_PER_UNIT * FINER)
    canvas = np.zeros((2 * px, px * (len(text) + 2), 3), np.uint8)
    at, white = (px // 2, px * 3 // 2), (255, 255, 255)
    if hasattr(cv2, "FontFace"):
        cv2.putText(canvas, text, at, white, cv2.FontFace("sans"), px, 700)
    else:
        # Before OpenCV 5 there are letters of ASCII alone, made of lines.
        plain = (
            unicodedata.normalize("NFKD", text.translate(NO_ACCENTS))
            .encode("ascii", "ignore")
            .decode()
        )
        size = px / 30
        cv2.putText(
            canvas,
            plain,
            at,
            cv2.FONT_HERSHEY_DUPLEX,
            size * 0.9,
            white,
            round(size * 3),
            cv2.LINE_AA,
        )
    x, _, width, _ = cv2.boundingRect(canvas[:, :, 0])
    # The same rows for all words, so that those without long letters stand on the same line.
    line = np.ascontiguousarray(canvas[px // 2 : px * 15 // 8, x : x + max(1, width), 0])
    smaller = (max(1, line.shape[1] // FINER), line.shape[0] // FINER)
    return np.asarray(cv2.resize(line, smaller, interpolation=cv2.INTER_AREA), np.uint8)


def _ribbon(words: float, colour: str) -> Pixels:
    """A ribbon for words of that width in units, its ends folded back: premultiplied RGBA."""
    band, tail, high, drop = words + 36, 34.0, 62.0, 12.0
    width, height = band + 2 * tail, high + drop
    left, right, end = tail, tail + band, width
    dark = "#" + "".join(f"{int(value * 0.72):02x}" for value in bytes.fromhex(colour[1:]))
    fold = "#" + "".join(f"{int(value * 0.45):02x}" for value in bytes.fromhex(colour[1:]))
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
