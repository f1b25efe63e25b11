"""The catalogue of filters: their names, summaries and options with defaults and bounds.

``filters/`` has a painter for every name in `CATALOGUE`; a test keeps the two equal. Pure.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from facepaint.errors import UsageError

Value = float | str
"""An option's value: numbers are floats, everything else is text."""

SHA256 = re.compile(r"[0-9a-f]{64}")
COLOUR = re.compile(r"#[0-9a-f]{6}")
DRAWABLE = re.compile(r"[ -~À-ÖØ-öø-ķĹ-ňŊ-ž]")
"""The characters that every worker can draw: ASCII and the letters of Latin scripts."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a filter: its type, default and bounds, and a sentence for the help.

    ``minimum`` and ``maximum`` of a text count characters. A text extends to the end of what the
    user wrote, so it comes last.
    """

    name: str
    help: str
    default: Value
    type: Literal["number", "choice", "colour", "sha256", "text"] = "number"
    minimum: float = 0.0
    maximum: float = 0.0
    choices: tuple[str, ...] = ()

    def parse(self, text: str, where: str) -> Value:
        """Parse a value as users write it; raise `UsageError` with what is allowed."""
        if self.type == "number":
            return self._number(text, where)
        if self.type == "text":
            return self._text(text, where)
        value = text.strip().lower()
        if self.type == "choice" and value not in self.choices:
            raise UsageError(f"{where}: {self.name}={text} is not one of {', '.join(self.choices)}")
        if self.type == "colour" and not COLOUR.fullmatch(value):
            raise UsageError(f"{where}: {self.name}={text} is not a colour like #ff8800")
        if self.type == "sha256" and not SHA256.fullmatch(value):
            raise UsageError(f"{where}: {self.name}={text} is not a sha256 in hexadecimal")
        return value

    def _text(self, text: str, where: str) -> str:
        # Composed, so that an accent counts as part of its letter.
        value = unicodedata.normalize("NFC", text).strip()
        if not self.minimum <= len(value) <= self.maximum:
            raise UsageError(
                f"{where}: {self.name} has {len(value)} characters, not {self.minimum:g} to "
                f"{self.maximum:g}"
            )
        undrawable = sorted({char for char in value if not DRAWABLE.fullmatch(char)})
        if undrawable:
            names = " ".join(map(_visible, undrawable))
            raise UsageError(f"{where}: {self.name} has characters that cannot be drawn: {names}")
        return value

    def _number(self, text: str, where: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise UsageError(f"{where}: {self.name}={text} is not a number") from None
        # Written so that NaN is refused: comparisons with it are false.
        if not self.minimum <= value <= self.maximum:
            raise UsageError(
                f"{where}: {self.name}={text} is not between {self.minimum:g} and {self.maximum:g}"
            )
        return value


def _visible(char: str) -> str:
    return char if char.isprintable() else f"U+{ord(char):04X}"


@dataclass(frozen=True, slots=True)
class FilterKind:
    """One filter of the catalogue; ``redacts`` if it makes the face unrecognizable."""

    name: str
    summary: str
    redacts: bool
    options: tuple[Option, ...]
    animated: bool = False

    def option(self, name: str) -> Option | None:
        """The option of that name; None if the filter has none."""
        return next((option for option in self.options if option.name == name), None)


COVERS = ("face", "head")
"""The areas that a redaction can cover."""

SCALE = Option("scale", "size relative to the default", 1.0, minimum=0.1, maximum=5.0)
AREA = Option(
    "scale", "size of the changed area relative to the default", 1.0, minimum=0.1, maximum=5.0
)
STRENGTH = Option(
    "strength", "0 changes nothing, 1 is the strongest", 0.7, minimum=0.0, maximum=1.0
)
OPACITY = Option("opacity", "1 is opaque, 0 invisible", 1.0, minimum=0.0, maximum=1.0)
SHAPE = Option(
    "shape", "outline of the covered area", "ellipse", type="choice", choices=("ellipse", "box")
)
COVER = Option(
    "cover",
    "the face, or the whole head with hair, ears and neck",
    "face",
    type="choice",
    choices=COVERS,
)
HOLD = Option(
    "hold",
    "seconds that stay covered before the first and after the last detection",
    0.3,
    minimum=0.0,
    maximum=0.7,
)
MARGIN = Option(
    "scale", "size of the covered area relative to the face", 1.3, minimum=1.0, maximum=3.0
)


def _sticker(name: str, summary: str, *, animated: bool = False) -> FilterKind:
    return FilterKind(name, summary, redacts=False, options=(SCALE, OPACITY), animated=animated)


def _effect(name: str, summary: str) -> FilterKind:
    return FilterKind(name, summary, redacts=False, options=(AREA, OPACITY))


def _warp(name: str, summary: str) -> FilterKind:
    return FilterKind(name, summary, redacts=False, options=(AREA, STRENGTH))


CATALOGUE: Mapping[str, FilterKind] = {
    kind.name: kind
    for kind in (
        _sticker("sunglasses", "dark sunglasses on the eyes"),
        _sticker("moustache", "a curled moustache under the nose"),
        _sticker("party-hat", "a striped party hat on the head"),
        _sticker("dog", "a dog's ears and nose"),
        _sticker("crown", "a golden crown on the head"),
        _sticker("me-gusta", "a wide, smug grin drawn over the whole face"),
        _sticker("cat", "a cat's ears, nose and whiskers"),
        _sticker("bunny", "a rabbit's tall ears, nose and teeth"),
        _sticker("clown", "a red nose and orange curls"),
        _sticker("pirate", "a pirate's bandana and eye patch"),
        _sticker("viking", "an iron helmet with horns"),
        _sticker("devil", "two red horns"),
        _sticker("round-glasses", "round glasses with a golden rim"),
        _sticker("flower-crown", "a wreath of flowers on the hair"),
        _sticker("halo", "a golden ring that floats above the head", animated=True),
        _sticker("hearts", "hearts that rise on both sides of the head", animated=True),
        _sticker("stars", "stars that circle above the head", animated=True),
        _sticker("flames", "a head on fire", animated=True),
        _sticker("tears", "tears that run down the cheeks", animated=True),
        FilterKind(
            "sticker",
            "your own image (PNG, WebP or JPEG) over the face: sticker:FILE",
            redacts=False,
            options=(
                Option("sha256", "the stored image; filled in from the file", "", type="sha256"),
                SCALE,
                OPACITY,
            ),
        ),
        _effect("cartoon", "draws the face in few tones and dark lines"),
        _effect("heat", "shows the face as a thermal camera would"),
        _warp("big-eyes", "eyes as large as in a cartoon"),
        _warp("big-mouth", "a mouth much too large"),
        _warp("tiny-face", "small eyes, nose and mouth in a large head"),
        FilterKind(
            "text",
            "words on a ribbon: text:WORDS",
            redacts=False,
            options=(
                Option("colour", "of the letters, #rrggbb", "#ffffff", type="colour"),
                Option("background", "of the ribbon, #rrggbb", "#c8283c", type="colour"),
                Option(
                    "place",
                    "position of the ribbon",
                    "chin",
                    type="choice",
                    choices=("chin", "forehead"),
                ),
                SCALE,
                OPACITY,
                Option(
                    "text",
                    "the words; the last option, may contain commas",
                    "HELLO",
                    type="text",
                    minimum=1,
                    maximum=40,
                ),
            ),
        ),
        FilterKind(
            "blur",
            "replaces the face by a strong blur",
            redacts=True,
            options=(
                COVER,
                MARGIN,
                SHAPE,
                HOLD,
                Option(
                    "size",
                    "blur radius as a share of the face's width",
                    0.7,
                    minimum=0.15,
                    maximum=1.0,
                ),
            ),
        ),
        FilterKind(
            "mosaic",
            "replaces the face by coarse tiles",
            redacts=True,
            options=(
                COVER,
                MARGIN,
                SHAPE,
                HOLD,
                Option("size", "tiles across the face's width", 4.0, minimum=2.0, maximum=12.0),
            ),
        ),
        FilterKind(
            "fill",
            "replaces the face by one colour",
            redacts=True,
            options=(
                COVER,
                MARGIN,
                SHAPE,
                HOLD,
                Option("colour", "of the covered area, #rrggbb", "#202020", type="colour"),
            ),
        ),
    )
}
