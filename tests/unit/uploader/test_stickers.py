"""A user's sticker is checked before it is stored, and stored once, under its sha256."""

import hashlib
from pathlib import Path

import pytest
from PIL import Image

from facepaint.errors import InputError, ObjectMissing
from facepaint.looks.parser import parse_look
from facepaint.records import keys
from facepaint.store import Store
from uploader.stickers import store_stickers


class Shelf(Store):
    """A store of ours in memory."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.puts = 0

    def put(self, key: str, data: bytes, content_type: str = "") -> None:
        self.objects[key] = data
        self.puts += 1

    def exists(self, key: str) -> bool:
        return key in self.objects

    def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        if key not in self.objects:
            raise ObjectMissing(key)
        return self.objects[key][start:end]


def sticker(path: Path, kind: str = "PNG") -> Path:
    Image.new("RGB", (40, 30), "orange").save(path, format=kind)
    return path


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_it_is_stored_under_its_sha256_which_the_look_names(kind: str, tmp_path: Path) -> None:
    path, shelf = sticker(tmp_path / "sticker.any", kind), Shelf()
    look = store_stickers(parse_look([f"sticker:path={path},scale=1.5", "blur"]), shelf)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert look.stickers == (sha256,)
    assert shelf.get(keys.sticker(sha256)) == path.read_bytes()
    assert look.filters[0].path is None
    assert look.filters[0].number("scale") == 1.5
    assert look.filters[1] == parse_look(["blur"]).filters[0]


def test_the_same_image_under_two_names_is_one_look_and_one_object(tmp_path: Path) -> None:
    shelf = Shelf()
    looks = [
        store_stickers(parse_look([f"sticker:{sticker(tmp_path / name)}"]), shelf)
        for name in ("a.png", "b.png")
    ]
    assert looks[0].id == looks[1].id
    assert shelf.puts == 1


def test_a_look_without_stickers_is_unchanged() -> None:
    look = parse_look(["sunglasses", "blur"])
    assert store_stickers(look, Shelf()) == look


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"no image", "is not a PNG, WebP or JPEG image"),
        (
            b"GIF89a\x01\0\x01\0\x80\0\0\xff\xff\xff\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;",
            "is not a PNG, WebP or JPEG image",
        ),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not a PNG"),
    ],
    ids=["empty", "text", "gif", "postscript"],
)
def test_a_file_that_is_no_image_is_refused_and_not_stored(
    content: bytes, words: str, tmp_path: Path
) -> None:
    path, shelf = tmp_path / "sticker.png", Shelf()
    path.write_bytes(content)
    look = parse_look([f"sticker:{path}"])
    with pytest.raises(InputError, match=words) as refused:
        store_stickers(look, shelf)
    assert str(path) in str(refused.value)
    assert not shelf.objects


def test_a_sticker_too_large_is_refused(tmp_path: Path) -> None:
    Image.new("1", (7000, 6000)).save(tmp_path / "large.png")
    with pytest.raises(InputError, match=r"large\.png has 7000x6000 px.*make it smaller"):
        store_stickers(parse_look([f"sticker:{tmp_path / 'large.png'}"]), Shelf())
