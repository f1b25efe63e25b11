"""Let filters, which paint 8-bit SDR, paint on normalized frames of any depth.

Pixels that they do not touch stay exactly as they were.
"""

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
"""Y, U, V in 8 bits of a blank frame, in place of one that must not be shown."""

Paint = Callable[[Planes], Sequence[Rect]]
"""Paints in place and returns the regions that it touched."""


class Canvas:
    """Paints in place on the frames of a `Normalizer`.

    Frames of 8-bit SDR are painted on directly. Of others an 8-bit SDR copy is painted, and the
    painted regions are converted back. The white of a sticker becomes the white of SDR in HDR
    (`tasks.video.hdr.WHITE`). Where paint is opaque nothing of the original remains; at soft edges
    the original is blended in its own depth.
    """

    def __init__(self, normalizer: Normalizer) -> None:
        self._normalizer = normalizer
        self._full_range = normalizer.colour.is_full_range
        self._hdr = normalizer.hdr and not normalizer.tone_mapped
        self._direct = normalizer.bits == 8 and not self._hdr

    def paint(self, frame: av.VideoFrame, paint: Paint) -> None:
        """Paint on a normalized frame."""
        # The decoder still refers to the frame that it returned: painting in place would spoil the
        # frames after it.
        frame.make_writable()
        normalizer, shifts = self._normalizer, self._normalizer.shifts
        y, u, v = planes_of(frame)
        if self._direct:
            paint(Planes(y, u, v, *shifts, full_range=self._full_range, matrix=normalizer.matrix))
            return
        source = YuvPlanes(y, u, v, None, normalizer.bits, *shifts, self._full_range)
        sdr = self._in_sdr(source)
        planes = Planes(
            sdr.y.copy(),
            sdr.u.copy(),
            sdr.v.copy(),
            *shifts,
            full_range=sdr.full_range,
            matrix="bt709" if self._hdr else normalizer.matrix,
            kept_share=(_untouched(y), _untouched(u), _untouched(v)),
        )
        regions = paint(planes)
        blocks = [planes.block(rect.x1, rect.y1, rect.x2, rect.y2) for rect in regions]
        # All are computed before any is written: regions may overlap.
        painted = [
            (block, self._painted(source, sdr, planes, block))
            for block in blocks
            if block is not None
        ]
        for block, values in painted:
            for target, value in zip(_under(source, block), values, strict=True):
                target[...] = value

    def blank(self) -> av.VideoFrame:
        """A blank frame."""
        normalizer = self._normalizer
        y, u, v = (value << normalizer.bits - 8 for value in BLANK_GREY)
        if self._hdr:
            black, span, _ = code_range(normalizer.bits, self._full_range)
            grey = from_sdr(np.array([[(BLANK_GREY[0] - 16) / 219, 0.0, 0.0]]), normalizer.colour)
            y = black + round(span * float(grey[0, 0]))
        frame = av.VideoFrame(*normalizer.size, normalizer.format)
        for plane, value in zip(planes_of(frame), (y, u, v), strict=True):
            plane[:] = value
        return frame

    def _in_sdr(self, source: YuvPlanes) -> YuvPlanes:
        """In 8-bit SDR."""
        if self._hdr:
            return in_sdr(source, self._normalizer.colour, self._normalizer.light)
        return source.with_bits(8)

    def _as_source(
        self, planes: tuple[AnyPlane, AnyPlane, AnyPlane]
    ) -> tuple[AnyPlane, AnyPlane, AnyPlane]:
        """Convert 8-bit SDR to the frame's own format."""
        normalizer = self._normalizer
        yuv = YuvPlanes(*planes, None, 8, *normalizer.shifts, self._full_range)
        if self._hdr:
            # The table takes limited range, which tone-mapping gives.
            to_hdr = back_to_hdr(normalizer.colour, normalizer.bits)
            yuv = to_hdr(replace(yuv, full_range=False))
        else:
            yuv = yuv.with_bits(normalizer.bits)
        return yuv.y, yuv.u, yuv.v

    def _painted(
        self, source: YuvPlanes, sdr: YuvPlanes, planes: Planes, block: Rect
    ) -> list[AnyPlane]:
        """The values of a block after painting, in the frame's own format."""
        assert planes.kept_share is not None
        painted = self._as_source(_under(planes, block))
        unpainted = self._as_source(_under(sdr, block))
        shares = _under(Planes(*planes.kept_share, *self._normalizer.shifts), block)
        most = (1 << self._normalizer.bits) - 1
        values = []
        for original, before, after, share in zip(
            _under(source, block), unpainted, painted, shares, strict=True
        ):
            # The detail that 8 bits lost comes back, by the share of the original that remains.
            detail = (original.astype(np.float32) - before) * (share * np.float32(1 / 255))
            mixed = np.rint(np.clip(after + detail, 0, most)).astype(original.dtype)
            values.append(np.where(share == 255, original, mixed))
        return values


def _untouched(plane: AnyPlane) -> Pixels:
    """A plane that keeps all of the original."""
    return np.full(plane.shape, 255, np.uint8)


def _under(planes: YuvPlanes | Planes, block: Rect) -> tuple[AnyPlane, AnyPlane, AnyPlane]:
    """The views of the three planes under a block of `Planes.block`."""
    if isinstance(planes, YuvPlanes):
        planes = Planes(planes.y, planes.u, planes.v, planes.shift_x, planes.shift_y)
    return planes.luma(block), *planes.chroma(block)
