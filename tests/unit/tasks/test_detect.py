"""The frames that the detector gets of a segment, and the record of its results."""

from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
import pytest
import skimage.data

from facepaint.records.colour import SDR, Colour, ColourRange
from facepaint.records.job import VideoStream
from models.detector import Size
from tasks.detect import small_frames
from tasks.video.normalize import Normalizer
from tasks.video.yuv import planes_of
from tests.support.colours import HLG, PQ


def portrait(pixel_format: str, width: int = 512, height: int = 256) -> av.VideoFrame:
    """The portrait's upper half in any format; as HDR it is as dim as it would be by mistake, which
    is no matter."""
    rgb = np.ascontiguousarray(skimage.data.astronaut()[:256])
    frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(
        width, height, pixel_format, dst_colorspace="ITU709", dst_color_range="MPEG"
    )
    if "a" in pixel_format and pixel_format != "gray":
        planes_of(frame)[3][:, :80] = 0
    frame.pts = 7
    return frame


@pytest.mark.parametrize(
    ("pixel_format", "more"),
    [
        ("yuv420p", {}),
        ("yuv420p", {"rotation": 90}),
        ("yuv422p10le", {"colour": SDR}),
        ("yuv420p10le", {"colour": PQ}),
        pytest.param(
            "yuv422p10le",
            {"colour": HLG, "rotation": 180, "mirrored": True},
            marks=pytest.mark.slow,
        ),
        ("yuva420p", {}),
        ("yuva444p12le", {}),
        ("gbrp", {}),
        ("gray", {"colour": Colour(range=ColourRange.LIMITED)}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value) or "as it is",
)
@pytest.mark.parametrize(
    "size", [(512, 256), (200, 256)], ids=["the stream's size", "another shape"]
)
def test_the_detector_gets_the_frame_that_is_painted(
    pixel_format: str, more: dict[str, Any], size: tuple[int, int]
) -> None:
    """The same frame, smaller: tone-mapped, on black, upright."""
    video = VideoStream("rawvideo", "", b"", 512, 256, pixel_format, Fraction(1, 25), **more)
    upright = Normalizer(video)
    shown = upright(portrait(pixel_format, *size))
    sides = (64, 128) if video.rotation % 180 else (128, 64)
    small = Size(*sides, *sides, 1.0, 1.0)
    (seen,) = small_frames(video, small, [portrait(pixel_format, *size)])
    y, u, v = (
        cv2.resize(plane, (small.width, small.height), interpolation=cv2.INTER_AREA)
        for plane in planes_of(shown)
    )
    full = [
        np.clip((plane - low) * 255 / span + base, 0, 255)
        for plane, low, span, base in (
            (y.astype(float), 16, 219, 0),
            (u.astype(float), 128, 224, 128),
            (v.astype(float), 128, 224, 128),
        )
    ]
    wanted = cv2.cvtColor(
        np.dstack([full[0], full[2], full[1]]).astype(np.uint8), cv2.COLOR_YCrCb2BGR
    )
    for plane, channel in zip(seen.planes, np.moveaxis(wanted, -1, 0), strict=True):
        assert np.abs(plane.astype(int) - channel).mean() < 3
    assert seen.pts == 7
