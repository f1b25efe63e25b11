"""The text filter: every accepted character is drawn, by any OpenCV, and long words fit."""

import cv2
import numpy as np
import pytest

from facepaint.looks.catalogue import DRAWABLE
from facepaint.looks.parser import parse_filter
from filters.gallery import PORTRAIT_FACE, portrait
from filters.planes import Planes
from filters.text import WIDEST, draw_words, ribbon_with_words
from tests.support.filter_cases import painter_of


def shape_of(character: str) -> tuple[bytes, tuple[int, ...]]:
    """The drawing of a character."""
    drawn = draw_words(character)
    return drawn.tobytes(), drawn.shape


def test_every_accepted_character_is_drawn() -> None:
    accepted = [chr(code) for code in range(0x2000) if DRAWABLE.fullmatch(chr(code))]
    assert len(accepted) > 250
    unknown = shape_of("?")
    assert [
        c for c in accepted if c not in " ?" and (shape_of(c) == unknown or not draw_words(c).any())
    ] == []


def test_an_older_opencv_draws_every_accepted_character(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "FontFace", raising=False)
    accepted = [chr(code) for code in range(0x2000) if DRAWABLE.fullmatch(chr(code))]
    assert [c for c in accepted if c != " " and not draw_words(c).any()] == []
    assert shape_of("\u00e9") == shape_of("e")


@pytest.mark.parametrize("text", ["i", "HELLO", "m" * 40])
def test_a_ribbon_is_never_wider_than_the_limit(text: str) -> None:
    ((_, (artwork,)),) = ribbon_with_words(parse_filter(f"text:{text}"), {}).layers
    assert artwork.width <= WIDEST + 36 + 2 * 34 + 1


def test_the_ribbon_has_the_requested_place_and_colours() -> None:
    for place, rows in (("chin", slice(400, 480)), ("forehead", slice(190, 260))):
        frame = Planes.from_rgb(portrait(0, 480))
        before = frame.to_rgb().astype(int)
        painter_of(f"text:place={place},background=#00ff00,colour=#0000ff,text=MMMM").paint(
            frame, [PORTRAIT_FACE]
        )
        after = frame.to_rgb().astype(int)
        changed = np.flatnonzero(np.abs(after - before).max(axis=(1, 2)) > 20)
        assert rows.start <= changed[0] <= changed[-1] < rows.stop
        for colour in ((0, 255, 0), (0, 0, 255)):
            assert np.any(np.abs(after[rows] - colour).max(axis=2) < 12)
