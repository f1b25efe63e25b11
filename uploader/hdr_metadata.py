"""Read how bright an HDR video was mastered, and what else of HDR it carries, from the side data of
a decoded frame."""

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
"""Metadata that changes from picture to picture, by PyAV's name for the side data."""

_RATIONALS = 10
"""Of FFmpeg's AVMasteringDisplayMetadata: red, green, blue and white as x, y, the least and the
greatest luminance."""


def light_levels(frame: av.VideoFrame) -> LightLevels:
    """The mastering display and the content's light levels (SMPTE ST 2086, CTA-861.3); those not
    told are unknown."""
    display, content = (
        _side_data(frame, "MASTERING_DISPLAY_METADATA"),
        _side_data(frame, "CONTENT_LIGHT_LEVEL"),
    )
    levels = _mastering_display(display) if display else LightLevels()
    if content:
        most, average = struct.unpack_from("=II", content)
        levels = replace(levels, max_content=most, max_average=average)
    return levels


def dynamic_metadata(frame: av.VideoFrame) -> tuple[str, ...]:
    """The names of the metadata of single pictures that a frame carries, which nothing here can
    carry on."""
    return tuple(sorted({name for kind, name in DYNAMIC.items() if kind in frame.side_data}))


def _side_data(frame: av.VideoFrame, kind: str) -> bytes | None:
    found: Any = frame.side_data.get(kind)
    return None if found is None else bytes(found)


def _mastering_display(data: bytes) -> LightLevels:
    numbers = struct.unpack_from(f"={2 * _RATIONALS}i", data)
    values = [
        over / under if under else 0.0
        for over, under in zip(numbers[::2], numbers[1::2], strict=True)
    ]
    has_primaries, has_luminance = struct.unpack_from("=ii", data, 8 * _RATIONALS)
    least, greatest = values[8:] if has_luminance else (0.0, 0.0)
    return LightLevels(tuple(values[:8]) if has_primaries else (), least, greatest)
