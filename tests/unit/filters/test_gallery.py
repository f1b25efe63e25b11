"""The gallery shows every filter, and the page of filters matches the catalogue."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from facepaint.errors import UsageError
from facepaint.looks.catalogue import CATALOGUE
from facepaint.looks.parser import parse_filter
from filters.gallery import COLUMNS, PEOPLE, draw_gallery, portrait, portrait_face, save_gallery
from filters.planes import Pixels
from filters.reference import filters_page, options_tables
from tests.support.paths import ROOT

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def page() -> Pixels:
    """The gallery."""
    return draw_gallery()


def test_the_gallery_has_a_tile_for_every_filter(page: Pixels) -> None:
    rows = -(-len(CATALOGUE) // COLUMNS)
    tile = page.shape[1] // COLUMNS
    assert page.shape[0] >= rows * tile
    for place in range(len(CATALOGUE)):
        y, x = place // COLUMNS * (page.shape[0] // rows), place % COLUMNS * tile
        assert page[y : y + tile, x : x + tile].std() > 20


@pytest.mark.parametrize("person", range(len(PEOPLE)))
def test_the_landmarks_of_the_portrait_match_the_drawing(person: int) -> None:
    """The pupils are dark, with the white of the eye around them."""
    rgb, face = portrait(person, 480), portrait_face(480)
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    points = [
        (round(x), round(y))
        for x, y in zip(face.landmarks[0::2], face.landmarks[1::2], strict=True)
    ]
    for x, y in points[:2]:
        assert grey[y - 2 : y + 3, x - 2 : x + 3].mean() < 60
        assert grey[y - 12 : y + 13, x - 20 : x + 21].max() > 200
    x1, y1, x2, y2 = (round(side) for side in face.box)
    assert np.ptp(grey[y1:y2, x1:x2]) > 150
    assert not np.array_equal(rgb, portrait(person + 1, 480))


@pytest.mark.parametrize("name", ["gallery.jpg", "gallery"])
def test_the_suffix_selects_the_format_of_the_gallery(
    name: str, tmp_path: Path, page: Pixels
) -> None:
    save_gallery(tmp_path / name)
    assert cv2.imread(str(tmp_path / name)).shape == page.shape
    assert (
        (tmp_path / name)
        .read_bytes()
        .startswith(b"\xff\xd8" if name.endswith("jpg") else b"\x89PNG")
    )


def test_a_gallery_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the gallery is written as \.png"):
        save_gallery(tmp_path / "gallery.mp4")
    with pytest.raises(UsageError, match="cannot be written: No such file"):
        save_gallery(tmp_path / "nowhere" / "gallery.png")


def test_the_page_about_filters_is_up_to_date() -> None:
    assert (DOCS / "filters.md").read_text() == filters_page(), "run `make docs`"
    for kind in CATALOGUE.values():
        assert f"| `{kind.name}` | {kind.summary} |" in options_tables()


def test_the_pages_picture_is_the_gallery(page: Pixels) -> None:
    kept = cv2.cvtColor(cv2.imread(str(DOCS / "pictures" / "filters.jpg")), cv2.COLOR_BGR2RGB)
    assert kept.shape == page.shape
    # The kept one is a JPEG: single px differ, patches of them do not.
    small = page.shape[1] // 8, page.shape[0] // 8
    kept, drawn = (
        cv2.resize(each, small, interpolation=cv2.INTER_AREA).astype(int) for each in (kept, page)
    )
    assert np.mean(np.abs(kept - drawn).max(2) > 25) < 1e-3, (
        "run `facepaint filters --preview`, keep it there"
    )


def test_the_settings_recommended_as_stronger_are_stronger_than_the_defaults() -> None:
    redaction = filters_page().partition("## Redaction")[2]
    recommended = {
        text: parse_filter(text) for text in re.findall(r"`((?:blur|mosaic):[^`]+)`", redaction)
    }
    assert {spec.name for spec in recommended.values()} == {"blur", "mosaic"}
    for text, spec in recommended.items():
        size = CATALOGUE[spec.name].option("size")
        assert size is not None
        assert isinstance(size.default, float)
        stronger = (
            spec.number("size") > size.default
            if spec.name == "blur"
            else spec.number("size") < size.default
        )
        assert stronger, text
