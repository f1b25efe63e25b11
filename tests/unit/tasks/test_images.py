"""Still images of every kind that cameras and programs write, before and after painting."""

import io
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw
from PIL.JpegImagePlugin import get_sampling

from facepaint.errors import UnreadableMedia
from facepaint.looks.parser import parse_look
from facepaint.media.images import is_lossless_webp
from facepaint.records.faces import Faces
from facepaint.records.job import DetectorSpec, ImageJob, OutputProfile, SourceFile
from models.providers import Runtime
from tasks.images import TRANSPOSES, detect_image, paint_image
from tests.support.image_files import (
    PROFILE,
    astronaut,
    encoded,
    exif,
    face_of,
    ink_profile,
    jpeg_segment,
)

RAMP = np.linspace(0, 255, 256).round().astype(np.uint8)[None].repeat(256, 0)
FAR = (slice(160, None), slice(None))
"""Rows outside everything that is painted on the face."""


def painted(data: bytes, look: str = "sunglasses", faces: Faces | None = None) -> bytes:
    return paint_image(parse_look([look]), 0, data, faces or face_of(256, 256), {}).data


def opened(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def psnr_db(one: Image.Image, other: Image.Image, where: tuple[slice, slice] = FAR) -> float:
    difference = (
        np.asarray(one.convert("RGB"), float)[where]
        - np.asarray(other.convert("RGB"), float)[where]
    )
    return float(10 * np.log10(255**2 / max(1e-9, (difference**2).mean())))


@pytest.mark.parametrize("look", ["sunglasses", "blur"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P", "I;16"])
def test_brightness_is_kept(mode: str, look: str) -> None:
    grey = Image.fromarray(RAMP)
    source = Image.fromarray(RAMP.astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
    after = opened(painted(encoded(source, "PNG"), look))
    grey_stays = mode in {"1", "L", "LA", "I;16"} and look == "blur"
    assert after.mode == ("L" if grey_stays else "RGB") + ("A" if "A" in mode else "")
    before = RAMP if mode != "1" else np.asarray(source.convert("L"))
    assert np.abs(np.asarray(after.convert("L"))[FAR].astype(int) - before[FAR]).max() <= 1


@pytest.mark.parametrize(
    ("kind", "turn"),
    [
        *(("JPEG", turn) for turn in range(1, 9)),
        *(("PNG", 6), ("WEBP", 6)),
        *(
            pytest.param(kind, turn, marks=pytest.mark.slow)
            for kind in ("PNG", "WEBP")
            for turn in (2, 3, 4, 5, 7, 8)
        ),
    ],
)
def test_every_exif_orientation_is_applied(kind: str, turn: int) -> None:
    """A rotated image becomes upright, in pixels and in EXIF, and is painted on its face."""
    upright = astronaut((256, 192))
    back = {6: 8, 8: 6}.get(turn, turn)
    stored = upright.transpose(TRANSPOSES[back]) if back in TRANSPOSES else upright
    options: dict[str, Any] = {"quality": 90} if kind == "JPEG" else {"lossless": True}
    source = encoded(stored, kind, exif=exif(turn), **options)
    for look in ("sunglasses", "blur"):
        after = opened(painted(source, look, face_of(256, 192)))
        assert after.size == (256, 192)
        assert after.getexif().get(0x0112, 1) == 1
        assert psnr_db(after, upright, (slice(130, None), slice(None))) > 30
        eyes = (
            np.asarray(after.convert("RGB"), int)[38:44, 104:120]
            - np.asarray(upright)[38:44, 104:120]
        )
        assert np.abs(eyes).mean() > 10


def test_only_exif_rotates_an_image() -> None:
    """As in browsers: XMP may repeat an orientation that a program has already applied."""
    source = encoded(astronaut((256, 192)), "JPEG", xmp=b"<tiff:Orientation>6</tiff:Orientation>")
    assert opened(painted(source, faces=face_of(256, 192))).size == (256, 192)


@pytest.mark.parametrize(("mode", "kept"), [("RGB", True), ("L", False), ("CMYK", False)])
def test_a_colour_profile_is_kept_where_it_still_fits(mode: str, kept: bool) -> None:
    after = opened(
        painted(encoded(Image.fromarray(RAMP).convert(mode), "JPEG", icc_profile=PROFILE))
    )
    assert after.info.get("icc_profile") == (PROFILE if kept else None)
    grey = opened(painted(encoded(Image.fromarray(RAMP), "JPEG", icc_profile=PROFILE), "blur"))
    assert (grey.mode, grey.info.get("icc_profile")) == ("L", PROFILE)


@pytest.mark.parametrize(
    "profile", [None, b"no profile" * 20, PROFILE], ids=["none", "broken", "of RGB"]
)
def test_cmyk_becomes_rgb(profile: bytes | None) -> None:
    source = encoded(Image.new("CMYK", (256, 256), (0, 255, 255, 0)), "JPEG", icc_profile=profile)
    assert np.asarray(opened(painted(source)))[200, 200] == pytest.approx((255, 0, 0), abs=3)


def test_cmyk_is_converted_by_its_profile() -> None:
    source = encoded(
        Image.new("CMYK", (256, 256), (0, 255, 255, 0)), "JPEG", icc_profile=ink_profile()
    )
    after = opened(painted(source))
    assert np.asarray(after)[200, 200] == pytest.approx((116, 0, 11), abs=3)
    assert "icc_profile" not in after.info


@pytest.mark.parametrize("quality", [60, 97])
@pytest.mark.parametrize(
    ("sampling", "progressive"), [(0, False), (1, True), (2, False), (2, True)]
)
def test_a_jpeg_keeps_its_quality_and_size(quality: int, sampling: int, progressive: bool) -> None:
    options = {"quality": quality, "subsampling": sampling, "progressive": progressive}
    source = encoded(astronaut(), "JPEG", **options)
    result = painted(source)
    before, after = opened(source), opened(result)
    assert get_sampling(after) == sampling
    assert after.quantization == before.quantization
    assert bool(after.info.get("progressive")) == progressive
    assert psnr_db(after, before) > 42
    assert 0.8 < len(result) / len(source) < 1.1


def test_a_rotated_jpeg_keeps_its_quality() -> None:
    stored = astronaut((256, 192)).transpose(TRANSPOSES[8])
    source = encoded(stored, "JPEG", quality=90, subsampling=1, exif=exif(6))
    after = opened(painted(source, faces=face_of(256, 192)))
    tables = opened(source).quantization
    assert [after.quantization[0][at] for at in (1, 2, 8)] == [tables[0][at] for at in (8, 16, 1)]
    upright = opened(source).transpose(TRANSPOSES[6])
    assert psnr_db(after, upright, (slice(130, None), slice(None))) > 44


def test_rare_jpeg_codings() -> None:
    rgb = encoded(astronaut(), "JPEG", quality=90, keep_rgb=True)
    inks = encoded(astronaut().convert("CMYK"), "JPEG", quality=90)
    for source in (rgb, inks):
        after = opened(painted(source))
        assert after.mode == "RGB"
        assert psnr_db(after, opened(source)) > 36


def test_a_jpeg_of_noise_at_full_quality() -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (256, 256, 3), np.uint8))
    source = encoded(noise, "JPEG", quality=100, subsampling=0)
    after = opened(painted(source))
    assert after.quantization == opened(source).quantization
    assert psnr_db(after, opened(source)) > 45


def test_a_jpeg_with_one_scan_per_component() -> None:
    """Each scan has its own tables, as ITU-T T.81 allows. Pillow reports those of the first."""
    data = b""
    for number, plane in enumerate(astronaut().convert("YCbCr").split(), 1):
        single = bytearray(encoded(plane, "JPEG", quality=90))
        tables, frame, scan = (
            single.index(mark) for mark in (b"\xff\xdb", b"\xff\xc0", b"\xff\xda")
        )
        codes = single.index(b"\xff\xc4")
        single[tables + 4] = number - 1  # the table's number
        single[scan + 5] = number  # the component's
        if number == 1:
            header = jpeg_segment(
                0xC0,
                bytes(single[frame + 4 : frame + 9]) + bytes((3, 1, 17, 0, 2, 17, 1, 3, 17, 2)),
            )
            data = bytes(single[:tables])
        data += (
            bytes(single[tables:frame]) + (header if number == 1 else b"") + bytes(single[codes:-2])
        )
    data += b"\xff\xd9"
    assert psnr_db(opened(data), astronaut()) > 35
    assert psnr_db(opened(painted(data)), opened(data)) > 36


def test_webp_stays_lossless_or_lossy() -> None:
    lossless = encoded(astronaut(), "WEBP", lossless=True, exif=exif())
    result = painted(lossless)
    assert is_lossless_webp(result)
    assert psnr_db(opened(result), opened(lossless)) > 80
    lossy = encoded(astronaut(), "WEBP", quality=80)
    result = painted(lossy)
    assert not is_lossless_webp(result)
    assert psnr_db(opened(result), opened(lossy)) > 38


def test_a_still_gif_becomes_a_png() -> None:
    source = astronaut().quantize(64)
    result = paint_image(
        parse_look(["sunglasses"]), 0, encoded(source, "GIF"), face_of(256, 256), {}
    )
    after = opened(result.data)
    assert (after.format, result.record.name[-4:]) == ("PNG", ".png")
    assert psnr_db(after, source) > 80
    untouched = paint_image(parse_look(["sunglasses"]), 0, encoded(source, "GIF"), None, {})
    assert opened(untouched.data).format == "PNG"


def cut_out(around: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """The portrait with everything but the face transparent."""
    mask = Image.new("L", (256, 256))
    ImageDraw.Draw(mask).ellipse((85, 25, 140, 95), fill=255)
    pixels = np.array(astronaut())
    pixels[np.asarray(mask) == 0] = around
    return np.dstack([pixels, np.asarray(mask)])


def test_transparency_is_kept_and_a_sticker_is_drawn_over_it() -> None:
    """A hat on a head that is cut out. Colours of transparent pixels have no effect."""
    shown = []
    for around in ((0, 0, 0), (255, 255, 255)):
        source = cut_out(around)
        after = np.asarray(opened(painted(encoded(Image.fromarray(source), "PNG"), "crown")))
        assert (after[FAR][..., 3] == 0).all()
        shown.append(after[..., :3].astype(int) * after[..., 3:] / 255)
        hat = after[:25, 90:140]
        assert (hat[..., 3] == 255).sum() > 100
        assert ((hat[..., 3] > 0) & (hat[..., 3] < 255)).any()
    assert np.abs(shown[0] - shown[1]).max() < 4


@pytest.mark.parametrize("look", ["blur", "mosaic", "fill"])
def test_a_redaction_also_covers_the_alpha_channel(look: str) -> None:
    """A face may be drawn in alpha alone. Outside the mask alpha is unchanged."""
    alpha = np.random.default_rng(1).integers(0, 256, (256, 256), np.uint8)
    source = np.dstack([np.full((256, 256, 3), 60, np.uint8), alpha])
    after = np.asarray(opened(painted(encoded(Image.fromarray(source), "PNG"), look)))
    face = (slice(30, 90), slice(90, 133))
    assert alpha[face].std() > 70
    assert after[face].std(axis=(0, 1)).max() < 20
    assert (after[FAR][..., 3] == alpha[FAR]).all()
    assert (after[..., 3] == alpha).mean() > 0.7


def test_an_image_without_reliable_faces_is_covered_completely() -> None:
    found = face_of(256, 256)
    (frame,) = found.frames
    nowhere = replace(frame.faces[0], box=(float("nan"), 30.0, 130.0, 90.0))
    for low_confidence in (
        replace(frame, status="failed"),
        replace(frame, pts=3),
        replace(frame, faces=(*frame.faces, nowhere)),
    ):
        after = opened(
            painted(
                encoded(astronaut((256, 256)), "PNG"),
                "fill",
                replace(found, frames=(low_confidence,)),
            )
        )
        assert np.asarray(after).std() == 0


def test_a_head_is_covered_in_an_image() -> None:
    source = encoded(astronaut((256, 256)), "PNG")
    beside, above = (56, 148), (11, 112)
    shown = {
        cover: np.asarray(opened(painted(source, f"fill:cover={cover},colour=#00ff00")))
        for cover in ("face", "head")
    }
    before = np.asarray(astronaut((256, 256)))
    for place in (beside, above):
        assert np.abs(shown["face"][place].astype(int) - before[place]).max() <= 3
        assert shown["head"][place][1] > 240


def image_job() -> ImageJob:
    return ImageJob(
        id="x",
        source=SourceFile("a.png", 1, ""),
        created=datetime.now(UTC),
        detector=DetectorSpec(),
        output=OutputProfile("pillow"),
        images=("a.png",),
    )


@pytest.mark.parametrize("ink", [0, 255], ids=["black", "white"])
def test_a_face_drawn_only_in_the_alpha_channel_is_detected(ink: int) -> None:
    """As in stencils: one colour with varying alpha."""
    grey = np.asarray(astronaut((512, 512)).convert("L"))
    alpha = grey if ink else 255 - grey
    source = encoded(
        Image.fromarray(np.dstack([np.full((512, 512, 3), ink, np.uint8), alpha])), "PNG"
    )
    found = detect_image(image_job(), 0, source, Runtime("cpu")).frames[0].faces
    assert any(
        face.box[0] < 222 < face.box[2] and face.box[1] < 125 < face.box[3] for face in found
    )


@pytest.mark.parametrize("ink", [0, 255], ids=["black", "white"])
def test_faces_in_colours_and_in_alpha_are_both_detected(ink: int) -> None:
    """A visible face on the left, a stencil on the right."""
    image = np.asarray(astronaut((512, 512)))
    grey = np.asarray(astronaut((512, 512)).convert("L"))
    left = np.dstack([image, np.full((512, 512), 255, np.uint8)])
    right = np.dstack([np.full((512, 512, 3), ink, np.uint8), grey if ink else 255 - grey])
    for pair, offsets in (((left, right), (0, 512)), ((right, left), (512, 0))):
        source = encoded(Image.fromarray(np.hstack(pair)), "PNG")
        found = detect_image(image_job(), 0, source, Runtime("cpu")).frames[0].faces
        for offset in offsets:
            assert any(
                face.box[0] < 222 + offset < face.box[2] and face.box[1] < 125 < face.box[3]
                for face in found
                if face.score > 0.3
            )


def test_a_blur_keeps_the_mean_of_alpha_and_visible_colour() -> None:
    """A head that is cut out. Colours of transparent pixels do not bleed in."""
    source = cut_out((10, 250, 10))
    after = np.asarray(opened(painted(encoded(Image.fromarray(source), "PNG"), "blur:size=0.35")))
    one, other = (
        pixels[..., :3].astype(float) * pixels[..., 3:] / 255 for pixels in (source, after)
    )
    assert np.abs(one.mean(axis=(0, 1)) - other.mean(axis=(0, 1))).max() < 1
    assert abs(source[..., 3].mean() - after[..., 3].mean()) < 1
    assert (after[..., 1].astype(int) - after[..., 0]).max() < 60


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (1, 300), (300, 1)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_tiny_images(size: tuple[int, int], kind: str) -> None:
    source = encoded(Image.new("RGB", size, "orange"), kind)
    for faces in (None, face_of(*size)):
        result = paint_image(parse_look(["blur"]), 0, source, faces, {})
        assert opened(result.data).size == size


@pytest.mark.slow
def test_an_image_of_many_megapixels() -> None:
    source = encoded(
        astronaut().resize((8_000, 6_000), Image.Resampling.NEAREST), "JPEG", quality=80
    )
    after = opened(painted(source, faces=face_of(8_000, 6_000)))
    assert after.size == (8_000, 6_000)
    corner = (0, 5_500, 500, 6_000)
    assert psnr_db(after.crop(corner), opened(source).crop(corner), (slice(None), slice(None))) > 40


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_damage_after_the_header_is_reported(kind: str) -> None:
    source = encoded(Image.effect_noise((200, 200), 80).convert("RGB"), kind)
    with pytest.raises(UnreadableMedia, match="image 7 is damaged"):
        paint_image(parse_look(["blur"]), 7, source[: len(source) // 2], None, {})
