"""Labelled images of the public-domain portrait, and hypothesis strategies for labels."""

from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from PIL import Image
from skimage import data

from facepaint.detectors.labels import IMAGES, LabelledFace, LabelledImage, write_labels
from tests.support.portraits import BOX, POINTS

ASTRONAUT_FACE = LabelledFace(BOX, POINTS)


def save_astronaut(path: Path, *, left: int = 0, scale: float = 1.0) -> None:
    """The portrait without its first ``left`` columns, in another size."""
    image = Image.fromarray(data.astronaut()[:, left:])
    path.parent.mkdir(parents=True, exist_ok=True)
    image.resize((round(image.width * scale), round(image.height * scale))).save(path)


def labelled_folder(folder: Path) -> list[LabelledImage]:
    """A folder of labels with the portrait and an image without faces."""
    save_astronaut(folder / IMAGES / "portrait.png")
    save_blank(folder / IMAGES / "event" / "empty.jpg", 64, 48)
    images = [
        LabelledImage("portrait.png", 512, 512, (ASTRONAUT_FACE,)),
        LabelledImage("event/empty.jpg", 64, 48),
    ]
    write_labels(folder, images)
    return images


def save_blank(path: Path, width: int, height: int) -> None:
    """An image of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), "grey").save(path)


def _px(limit: float) -> st.SearchStrategy[float]:
    return st.integers(0, round(limit * 100)).map(lambda hundredths: hundredths / 100)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=8),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=4), children, max_size=2)
    ),
    max_leaves=4,
)


@st.composite
def labelled_faces(draw: st.DrawFn, width: int, height: int) -> LabelledFace:
    """A face inside of an image, with any fields and attributes."""
    x1, y1 = draw(_px(width)), draw(_px(height))
    x2, y2 = (round(low + draw(_px(side - low)), 2) for low, side in ((x1, width), (y1, height)))
    points = [draw(_px(side)) for _ in range(5) for side in (width, height)]
    sets = {name: draw(st.none() | st.booleans()) for name in ("easy", "medium", "hard")}
    keys = st.sampled_from(["blur", "pose", "truncated", "note", "1", "occlusion"])
    attributes: dict[str, Any] = draw(st.dictionaries(keys, JSON_VALUES, max_size=3))
    kind = draw(st.sampled_from(["none", "all", "hidden", "some"]))
    if kind == "hidden":
        attributes["visibility"] = draw(st.permutations([1, 2, 2, 1, 1]))
    if kind == "some":
        rows = [
            (*points[2 * place : 2 * place + 2], 2) if place % 2 else (0.0, 0.0, 0)
            for place in range(5)
        ]
        attributes["keypoints"] = [value for row in rows for value in row]
    return LabelledFace(
        (x1, y1, x2, y2),
        tuple(points) if kind in ("all", "hidden") else None,
        ignore=draw(st.booleans()),
        score=draw(st.none() | st.integers(0, 1000).map(lambda thousandths: thousandths / 1000)),
        attributes=attributes,
        **sets,
    )


NAMES = st.lists(
    st.from_regex(
        r"([a-z0-9][a-z0-9 _.é-]{0,6}[a-z0-9]/)?[a-z0-9é][a-z0-9 _é-]{0,6}\.(jpg|png)",
        fullmatch=True,
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda name: name.rpartition(".")[0],
)


@st.composite
def labelled_images(draw: st.DrawFn) -> list[LabelledImage]:
    """A few images with faces."""
    images = []
    for name in draw(NAMES):
        width, height = draw(st.integers(1, 60)), draw(st.integers(1, 60))
        faces = draw(st.lists(labelled_faces(width, height), max_size=2))
        images.append(LabelledImage(name, width, height, tuple(faces)))
    return images
