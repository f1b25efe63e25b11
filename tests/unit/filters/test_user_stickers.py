"""Users' images: decoded within bounds, cut out of a plain background, upright."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from facepaint.errors import InputError
from filters.cutout import MAX_SIDE_PX, read_sticker
from tests.support.image_files import encoded, png_claiming

WHITE, RED, BLUE = (255, 255, 255), (200, 30, 40), (20, 60, 200)


def ring(
    background: tuple[int, int, int] = WHITE, inside: tuple[int, int, int] = WHITE
) -> Image.Image:
    """A red ring of outer radius 60 with a filled inside, antialiased: 200 x 160 px."""
    large = Image.new("RGB", (800, 640), background)
    draw = ImageDraw.Draw(large)
    draw.ellipse((160, 80, 640, 560), fill=RED)
    draw.ellipse((280, 200, 520, 440), fill=inside)
    return large.resize((200, 160), Image.Resampling.LANCZOS)


def over(rgba: np.ndarray, behind: tuple[int, int, int]) -> np.ndarray:
    """Premultiplied RGBA over one colour."""
    return rgba[:, :, :3] + (255 - rgba[:, :, 3:].astype(int)) * np.array(behind) / 255


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("JPEG", {"quality": 90}), ("JPEG", {"quality": 60}), ("WEBP", {"quality": 80})],
    ids=str,
)
def test_a_plain_background_is_removed_but_not_inside_the_subject(
    kind: str, options: dict[str, object]
) -> None:
    rgba = read_sticker(encoded(ring(), kind, **options))
    assert rgba.shape == (160, 200, 4)
    assert rgba[:10, :, 3].max() == rgba[:, :30, 3].max() == 0
    # The white inside the ring does not touch the border.
    assert rgba[70:90, 90:110, 3].min() == 255
    assert rgba[70:90, 90:110, :3].min() > 240
    assert rgba[80, 55, 3] == 255


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("background", [WHITE, (0, 0, 0), (30, 200, 60)], ids=str)
def test_no_rim_of_the_old_background_shows_on_a_new_one(
    kind: str, background: tuple[int, int, int]
) -> None:
    rgba = read_sticker(
        encoded(ring(background), kind, **({"quality": 92} if kind == "JPEG" else {}))
    )
    y, x = np.indices((160, 200)) + 0.5
    edge = np.abs(np.hypot(x - 100, y - 80) - 60) < 4
    alpha = rgba[:, :, 3:].astype(int)
    # The edge is a mixture of the subject's red and the new blue alone.
    expected = (alpha * np.array(RED) + (255 - alpha) * np.array(BLUE)) / 255
    assert np.abs(over(rgba, BLUE) - expected)[edge].max() < 24
    soft = (alpha[:, :, 0] > 10) & (alpha[:, :, 0] < 245)
    assert np.count_nonzero(soft & edge) > 150
    assert not np.any(soft & (np.hypot(x - 100, y - 80) > 64))


def test_a_thin_gap_in_the_outline_does_not_let_the_background_in() -> None:
    image = ring()
    ImageDraw.Draw(image).line((40, 80, 72, 80), fill=WHITE, width=1)
    assert read_sticker(encoded(image))[70:90, 90:110, 3].min() == 255


def test_the_subject_may_touch_the_border() -> None:
    image = Image.new("RGB", (120, 120), WHITE)
    ImageDraw.Draw(image).rectangle((40, 40, 80, 119), fill=BLUE)
    rgba = read_sticker(encoded(image))
    assert rgba[60:, 50:70, 3].min() == 255
    assert rgba[:30, :, 3].max() == 0


def test_specks_in_the_background_are_removed() -> None:
    image = ring()
    image.putpixel((10, 10), (90, 90, 90))
    ImageDraw.Draw(image).rectangle((170, 10, 175, 15), fill=BLUE)
    rgba = read_sticker(encoded(image))
    assert rgba[10, 10, 3] == 0
    assert rgba[12, 172, 3] > 200


def test_thin_lines_are_kept() -> None:
    image = Image.new("RGB", (100, 100), WHITE)
    ImageDraw.Draw(image).line((10, 50, 90, 50), fill=(0, 0, 0), width=2)
    rgba = read_sticker(encoded(image))
    assert rgba[49:51, 30:70, 3].max() > 100
    assert rgba[:40, :, 3].max() == 0


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_an_image_without_a_plain_border_stays_whole(kind: str) -> None:
    noisy = np.random.default_rng(5).integers(0, 256, (80, 90, 3), np.uint8)
    ramp = np.broadcast_to(np.linspace(0, 255, 90).astype(np.uint8)[None, :, None], (80, 90, 3))
    for pixels in (noisy, ramp):
        assert (
            read_sticker(encoded(Image.fromarray(np.ascontiguousarray(pixels)), kind))[
                :, :, 3
            ].min()
            == 255
        )


def test_an_image_of_one_colour_stays_whole() -> None:
    assert read_sticker(encoded(Image.new("RGB", (40, 30), BLUE)))[:, :, 3].min() == 255


def test_existing_transparency_is_kept() -> None:
    pixels = np.full((40, 40, 4), 255, np.uint8)
    pixels[:20, :, 3] = 128
    rgba = read_sticker(encoded(Image.fromarray(pixels)))
    assert rgba[:20, :, 3].min() == rgba[:20, :, 3].max() == 128
    assert rgba[:20, :, :3].max() == 128
    assert rgba[20:].min() == 255


def test_a_transparent_palette_entry_is_read() -> None:
    image = Image.new("P", (30, 30), 0)
    image.putpalette([255, 0, 255, *RED])
    image.paste(1, (10, 10, 20, 20))
    rgba = read_sticker(encoded(image, transparency=0))
    assert rgba[5, 5, 3] == 0
    assert tuple(rgba[15, 15]) == (*RED, 255)


def test_16_bit_grey_is_scaled_not_clipped() -> None:
    ramp = (np.arange(64, dtype=np.uint16) * 1000)[None].repeat(64, 0)
    grey = read_sticker(encoded(Image.fromarray(ramp)))[:, :, 0].astype(int)
    assert np.all(np.diff(grey[32]) >= 0)
    assert grey[32, 32] == pytest.approx(32000 / 257, abs=2)


def test_the_exif_orientation_is_applied() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (20, 60, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    rgba = read_sticker(encoded(Image.fromarray(pixels), "PNG", exif=exif))
    assert np.array_equal(rgba[:, :, :3], np.rot90(pixels, -1))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_gives_its_first_frame(kind: str) -> None:
    first, second = Image.new("RGB", (32, 32), RED), Image.new("RGB", (32, 32), BLUE)
    options: dict[str, object] = {"lossless": True} if kind == "WEBP" else {}
    rgba = read_sticker(encoded(first, kind, save_all=True, append_images=[second], **options))
    assert tuple(rgba[16, 16]) == (*RED, 255)


def test_a_large_image_is_shrunk() -> None:
    image = Image.new("RGBA", (3000, 1500), (0, 0, 0, 0))
    ImageDraw.Draw(image).ellipse((500, 200, 2500, 1300), fill=(*RED, 255))
    rgba = read_sticker(encoded(image, compress_level=1))
    assert rgba.shape == (MAX_SIDE_PX // 2, MAX_SIDE_PX, 4)
    assert tuple(rgba[256, 512]) == (*RED, 255)


@pytest.mark.parametrize("size", [(60000, 60000), (8000, 5001), (12000, 12000)])
def test_an_image_that_claims_too_many_px_is_refused_before_it_is_decoded(
    size: tuple[int, int],
) -> None:
    with pytest.raises(InputError, match=r"too large|the limit is 40 megapixels"):
        read_sticker(png_claiming(*size))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a image",
        b"\x00" * 4096,
        png_claiming(64, 64),
        encoded(ring(), "JPEG")[:900],
        encoded(ring(), "GIF"),
    ],
    ids=["empty", "text", "zeros", "no data", "cut off", "GIF"],
)
def test_unreadable_data_is_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="not a readable image"):
        read_sticker(data)


def test_a_fully_transparent_image_is_refused() -> None:
    with pytest.raises(InputError, match="every pixel of it is transparent"):
        read_sticker(encoded(Image.new("RGBA", (20, 20), (255, 0, 0, 0))))
