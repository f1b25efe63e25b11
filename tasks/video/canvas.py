"""Let filters, which paint 8-bit SDR, paint on upright frames of any depth: what they do not touch
stays as it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import av
import numpy as np

from filters.planes import Pixels, Planes, Rect
from tasks.video.hdr import from_sdr
from tasks.video.normalize import Normalizer
from tasks.video.tonemap import back_to_hdr, in_sdr
from tasks.video.yuv import AnyPlane, YuvPlanes, code_range, planes_of

BLANK_GREY = (40, 128, 128)
"""Y, U, V in 8 bits of the plain frame that stands for what could not be painted and must not be
shown."""

Paint = Callable[[Planes], Sequence[Rect]]
"""Paints in place, and tells the regions it touched."""


class Canvas:
    """Paints on the frames an `Normalizer` gives, in place.

    Frames of 8-bit SDR are painted on as they are. Of others an 8-bit SDR copy is painted, and what
    is painted comes
    back: a sticker's white as bright as the white of SDR is in HDR (`tasks.video.hdr.WHITE`), with
    nothing of the original where it is covered, and as much of it as is left at soft edges, in its
    own depth.
    """

    def __init__(self, upright: Normalizer) -> None:
        self._upright = upright
        self._full_range = upright.colour.is_full_range
        self._hdr = upright.hdr and not upright.tone_mapped
        self._direct = upright.bits == 8 and not self._hdr

    def paint(self, frame: av.VideoFrame, paint: Paint) -> None:
        """Paint on an upright frame."""
        # The decoder still refers to the frame it gave: painting in place would spoil the frames
        # after it.
        frame.make_writable()
        upright = self._upright
        y, u, v = planes_of(frame)
        samples = YuvPlanes(y, u, v, None, upright.bits, *upright.shifts, self._full_range)
        if self._direct:
            paint(
                Planes(y, u, v, *upright.shifts, full_range=self._full_range, matrix=upright.matrix)
            )
            return
        shown = self._shown(samples)
        planes = Planes(
            shown.y.copy(),
            shown.u.copy(),
            shown.v.copy(),
            *upright.shifts,
            full_range=shown.full_range,
            matrix="bt709" if self._hdr else upright.matrix,
            kept_share=(_full(y), _full(u), _full(v)),
        )
        blocks = [
            planes.block(region.x1, region.y1, region.x2, region.y2) for region in paint(planes)
        ]
        # All before any is written: regions may overlap.
        done = [
            (block, self._brought_back(samples, shown, planes, block))
            for block in blocks
            if block is not None
        ]
        for block, written in done:
            for target, plane in zip(_under(samples, block), written, strict=True):
                target[...] = plane

    def blank(self) -> av.VideoFrame:
        """A plain frame."""
        upright = self._upright
        y, u, v = (value << upright.bits - 8 for value in BLANK_GREY)
        if self._hdr:
            black, span, _ = code_range(upright.bits, self._full_range)
            grey = from_sdr(np.array([[(BLANK_GREY[0] - 16) / 219, 0.0, 0.0]]), upright.colour)
            y = black + round(span * float(grey[0, 0]))
        frame = av.VideoFrame(*upright.size, upright.format)
        for plane, value in zip(planes_of(frame), (y, u, v), strict=True):
            plane[:] = value
        return frame

    def _shown(self, samples: YuvPlanes) -> YuvPlanes:
        """In 8-bit SDR."""
        if self._hdr:
            return in_sdr(samples, self._upright.colour, self._upright.light)
        return samples.with_bits(8)

    def _as_source(
        self, planes: tuple[AnyPlane, AnyPlane, AnyPlane]
    ) -> tuple[AnyPlane, AnyPlane, AnyPlane]:
        """From 8-bit SDR."""
        upright = self._upright
        samples = YuvPlanes(*planes, None, 8, *upright.shifts, self._full_range)
        if self._hdr:
            samples = back_to_hdr(upright.colour, upright.bits)(replace(samples, full_range=False))
        else:
            samples = samples.with_bits(upright.bits)
        return samples.y, samples.u, samples.v

    def _brought_back(
        self, samples: YuvPlanes, shown: YuvPlanes, planes: Planes, block: Rect
    ) -> list[AnyPlane]:
        """What the frame holds under a block once it is painted."""
        assert planes.kept_share is not None
        painted = self._as_source(_under(planes, block))
        paint_failed = self._as_source(_under(shown, block))
        left = _under(Planes(*planes.kept_share, *self._upright.shifts), block)
        most = (1 << self._upright.bits) - 1
        written = []
        for source, before, after, share in zip(
            _under(samples, block), paint_failed, painted, left, strict=True
        ):
            kept = (source.astype(np.float32) - before) * (share * np.float32(1 / 255))
            mixed = np.rint(np.clip(after + kept, 0, most)).astype(source.dtype)
            written.append(np.where(share == 255, source, mixed))
        return written


def _full(plane: AnyPlane) -> Pixels:
    return np.full(plane.shape, 255, np.uint8)


def _under(samples: YuvPlanes | Planes, block: Rect) -> tuple[AnyPlane, AnyPlane, AnyPlane]:
    """The views of the three planes under a block of `Planes.block`."""
    if isinstance(samples, YuvPlanes):
        samples = Planes(samples.y, samples.u, samples.v, samples.shift_x, samples.shift_y)
    return samples.luma(block), *samples.chroma(block)
