"""Still pictures in all the kinds that cameras and programs write."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from facepaint.looks import parse_look
from tasks.pictures import paint_picture

RAMP = np.linspace(0, 255, 64).round().astype(np.uint8)[None].repeat(64, 0)


def painted(picture: Image.Image, kind: str, **options: Any) -> Image.Image:
    """The picture after a look that finds no faces."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    result = paint_picture(parse_look(["sunglasses"]), 0, file.getvalue(), None, {})
    return Image.open(io.BytesIO(result.data))


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "I;16"])
def test_brightness_is_kept(mode: str) -> None:
    grey = Image.fromarray(RAMP)
    picture = Image.fromarray(RAMP.astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
    after = painted(picture, "PNG")
    assert after.mode == ("RGBA" if "A" in mode else "RGB")
    assert np.abs(np.asarray(after.convert("L")).astype(int) - RAMP).max() <= 1


@pytest.mark.parametrize(("mode", "kept"), [("RGB", True), ("L", False), ("CMYK", False)])
def test_a_colour_profile_is_kept_where_it_still_fits(mode: str, kept: bool) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    after = painted(Image.fromarray(RAMP).convert(mode), "JPEG", icc_profile=profile)
    assert after.info.get("icc_profile") == (profile if kept else None)
