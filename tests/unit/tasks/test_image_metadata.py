"""Metadata after painting: of the colours only with a redacting look, otherwise most of it."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import ExifTags, Image, UnidentifiedImageError

from facepaint.looks.parser import parse_look
from tasks.image_metadata import orientation, upright_exif, upright_xmp
from tasks.images import paint_image
from tests.support.image_files import (
    PROFILE,
    SECRETS,
    encoded,
    exif,
    face_of,
    jpeg_with_everything,
    png_chunk,
    png_with_everything,
    webp_with_everything,
    xmp,
)

FILES: dict[str, Callable[..., bytes]] = {
    "JPEG": jpeg_with_everything,
    "PNG": png_with_everything,
    "WEBP": webp_with_everything,
}

THE_RESULT_LACKS = {
    "JPEG": {"thumbnail", "IPTC", "second image", "gain map", "depth", "appended video"},
    "PNG": {"thumbnail", "depth", "appended video"},
    "WEBP": {"thumbnail", "depth"},
}
"""Metadata that every look drops: it shows the unpainted face, or cannot be written again."""


def painted(data: bytes, *filters: str) -> bytes:
    return paint_image(parse_look(filters), 0, data, face_of(256, 256), {}).data


def planted(data: bytes) -> set[str]:
    return {name for name, secret in SECRETS.items() if secret in data}


@pytest.mark.parametrize("kind", FILES)
def test_a_redacting_look_keeps_only_the_colour_metadata(kind: str) -> None:
    source = FILES[kind](6)
    result = painted(source, "blur")
    assert planted(source) > THE_RESULT_LACKS[kind]
    assert planted(result) == set()
    with Image.open(io.BytesIO(result)) as image:
        assert image.format == kind
        assert image.info["icc_profile"] == PROFILE
        assert set(image.info) <= {
            "icc_profile",
            "jfif",
            "jfif_version",
            "jfif_unit",
            "jfif_density",
        } | {
            "loop",
            "background",
            "timestamp",
            "duration",
        }


@pytest.mark.parametrize("kind", FILES)
def test_a_redacting_look_drops_metadata_if_no_face_is_known(kind: str) -> None:
    result = paint_image(parse_look(["mosaic"]), 0, FILES[kind](), None, {}).data
    assert planted(result) == set()


@pytest.mark.parametrize("kind", FILES)
def test_a_sticker_keeps_all_metadata(kind: str) -> None:
    source = FILES[kind](6)
    result = painted(source, "sunglasses")
    assert planted(source) - planted(result) == THE_RESULT_LACKS[kind]
    with Image.open(io.BytesIO(result)) as image:
        image.load()
        assert image.info["icc_profile"] == PROFILE
        assert orientation(image.info["exif"]) == 1
        assert image.getexif().get_ifd(ExifTags.IFD.GPSInfo)[0x001B] == SECRETS["place"]
        assert b"<tiff:Orientation>1<" in result
        if kind != "WEBP":
            assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)


def test_the_colour_chunks_of_a_png_are_kept() -> None:
    plain = encoded(Image.new("RGB", (256, 256), "teal"), "PNG")
    primaries = png_chunk(b"cICP", bytes((12, 13, 0, 1))) + png_chunk(b"gAMA", (45455).to_bytes(4))
    for look in ("blur", "sunglasses"):
        assert primaries in painted(plain[:33] + primaries + plain[33:], look)


@pytest.mark.parametrize("kind", FILES)
def test_an_image_without_a_face_is_returned_unchanged(kind: str) -> None:
    source = FILES[kind](6)
    result = paint_image(parse_look(["sunglasses"]), 0, source, None, {})
    assert result.data == source
    assert result.record.name.endswith({"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}[kind])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("strips", [False, True], ids=["jpeg", "strips"])
def test_only_orientation_and_thumbnail_of_exif_change(order: str, strips: bool) -> None:
    before = exif(8, order, strips)
    after = upright_exif(before)
    assert SECRETS["thumbnail"] not in after
    image = Image.Exif()
    image.load(after)
    assert image[ExifTags.Base.Orientation] == 1
    assert image.get_ifd(ExifTags.IFD.Exif)[0x927C] == SECRETS["maker's note"]
    assert image.get_ifd(ExifTags.IFD.IFD1) == {}
    changed = [at for at, (old, new) in enumerate(zip(before, after, strict=False)) if old != new]
    value, link, directory = 6 + 8 + 2 + 12 + 8, 6 + 8 + 2 + 4 * 12, 6 + 300
    assert {at for at in changed if at < directory} <= {value, value + 1, *range(link, link + 4)}


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"Exif\0\0",
        b"Exif\0\0XX*\0\x08\0\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        exif()[:40],
        bytes(300),
    ],
    ids=["none", "empty", "no order", "nowhere", "cut off", "zeros"],
)
def test_unreadable_exif_is_dropped(block: bytes) -> None:
    assert upright_exif(block) == b""
    assert orientation(block) == 1


@pytest.mark.parametrize(
    "reference", [b"hdrgm:Version", b"GDepth:Data", b"Container:Directory", b"xmp:Thumbnails"]
)
def test_xmp_that_refers_to_other_images_is_dropped(reference: bytes) -> None:
    assert upright_xmp(xmp(reference)) == b""
    assert upright_xmp(xmp(b'tiff:Orientation="6"')) == xmp(b'tiff:Orientation="1"')


def test_metadata_too_large_for_a_segment_is_dropped_but_a_large_profile_is_kept() -> None:
    noise = np.random.default_rng(1).integers(0, 256, 200_000, np.uint8).tobytes()
    source = encoded(Image.new("RGB", (256, 256)), "JPEG", icc_profile=noise)
    many = b"".join(b"\xff\xe1\xff\xff" + (exif() + bytes(70_000))[:65_533] for _ in range(2))
    with Image.open(io.BytesIO(painted(source[:2] + many + source[2:], "sunglasses"))) as image:
        assert image.info["icc_profile"] == noise
        assert "exif" not in image.info


def test_colours_under_transparency_are_removed() -> None:
    """A program that drops the transparency would show them."""
    pixels = np.full((256, 256, 4), 77, np.uint8)
    pixels[:, :, 3] = 0
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True})):
        result = painted(encoded(Image.fromarray(pixels), kind, **options), "blur")
        assert not np.asarray(Image.open(io.BytesIO(result)))[..., :3].any()


def test_images_after_the_end_of_a_file_are_dropped() -> None:
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(painted(jpeg_with_everything(), "blur").partition(b"\xff\xd9")[2]))
