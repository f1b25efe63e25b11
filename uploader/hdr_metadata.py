"""Read the HDR metadata of a video from the side data of a decoded frame."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any

import av

from facepaint.records.colour import LightLevels

DYNAMIC = {
    "DOVI_RPU_BUFFER": "Dolby Vision",
    "DOVI_METADATA": "Dolby Vision",
    "DYNAMIC_HDR_PLUS": "HDR10+",
    "DYNAMIC_HDR_VIVID": "HDR Vivid",
}
"""Dynamic metadata, which changes from frame to frame, by PyAV's name for the side data."""

_RATIONALS = 10
"""In FFmpeg's AVMasteringDisplayMetadata: x and y of red, green, blue and white, minimum and
maximum luminance."""


def light_levels(frame: av.VideoFrame) -> LightLevels:
    """The mastering display and the content light levels (SMPTE ST 2086, CTA-861.3).

    What the frame does not carry is unknown.
    """
    display = _side_data(frame, "MASTERING_DISPLAY_METADATA")
    content = _side_data(frame, "CONTENT_LIGHT_LEVEL")
    levels = _mastering_display(display) if display else LightLevels()
    if content:
        maximum, average = struct.unpack_from("=II", content)
        levels = replace(levels, max_content=maximum, max_average=average)
    return levels


def dynamic_metadata(frame: av.VideoFrame) -> tuple[str, ...]:
    """The names of the dynamic metadata that a frame carries; none of it reaches the result."""
    return tuple(sorted({name for kind, name in DYNAMIC.items() if kind in frame.side_data}))


def _side_data(frame: av.VideoFrame, kind: str) -> bytes | None:
    data: Any = frame.side_data.get(kind)
    return None if data is None else bytes(data)


def _mastering_display(data: bytes) -> LightLevels:
    # PyAV has no accessor, so the C struct is read: rationals, then two flags.
    numbers = struct.unpack_from(f"={2 * _RATIONALS}i", data)
    values = [
        numerator / denominator if denominator else 0.0
        for numerator, denominator in zip(numbers[::2], numbers[1::2], strict=True)
    ]
    has_primaries, has_luminance = struct.unpack_from("=ii", data, 8 * _RATIONALS)
    minimum, maximum = values[8:] if has_luminance else (0.0, 0.0)
    return LightLevels(tuple(values[:8]) if has_primaries else (), minimum, maximum)
