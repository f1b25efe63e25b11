"""Let filters, which paint 8-bit SDR in square px, paint on normalized frames of any kind.

Pixels that they do not touch stay exactly as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

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

    Frames of 8-bit SDR and square px are painted on directly. Of others a copy in these is painted,
    and the painted regions are converted back. The white of a sticker becomes the white of SDR in
    HDR (`tasks.video.hdr.WHITE`). Where paint is opaque nothing of the original remains; at soft
    edges the original is blended in its own depth.
    """

    def __init__(self, normalizer: Normalizer) -> None:
        self._normalizer = normalizer
        self._full_range = normalizer.colour.is_full_range
        self._hdr = normalizer.hdr and not normalizer.tone_mapped
        self._is_square = normalizer.stretch == (Fraction(1), Fraction(1))
        self._direct = normalizer.bits == 8 and not self._hdr and self._is_square

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
        unpainted = self._in_square_px(self._in_sdr(source))
        shares = replace(
            unpainted,
            y=_untouched(unpainted.y),
            u=_untouched(unpainted.u),
            v=_untouched(unpainted.v),
        )
        painted = replace(
            unpainted, y=unpainted.y.copy(), u=unpainted.u.copy(), v=unpainted.v.copy()
        )
        regions = paint(
            Planes(
                painted.y,
                painted.u,
                painted.v,
                *shifts,
                full_range=painted.full_range,
                matrix="bt709" if self._hdr else normalizer.matrix,
                kept_share=(shares.y, shares.u, shares.v),
            )
        )
        if not regions:
            return
        # The same conversions for both: what they change besides the paint cancels out.
        before, after, shares = map(self._in_stored_px, (unpainted, painted, shares))
        blocks = self._blocks(source, regions)
        # All are computed before any is written: regions may overlap.
        values = [self._mixed(source, before, after, shares, block) for block in blocks]
        for block, mixed in zip(blocks, values, strict=True):
            for target, value in zip(_under(source, block), mixed, strict=True):
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

    def _in_square_px(self, yuv: YuvPlanes) -> YuvPlanes:
        """Enlarged so that its px are square."""
        if self._is_square:
            return yuv
        (width, height), (x, y) = self._normalizer.size, self._normalizer.stretch
        return yuv.scaled(round(width * x), round(height * y))

    def _in_stored_px(self, yuv: YuvPlanes) -> YuvPlanes:
        """At the frame's own size again."""
        return yuv if self._is_square else yuv.scaled(*self._normalizer.size)

    def _blocks(self, source: YuvPlanes, regions: Sequence[Rect]) -> list[Rect]:
        """The blocks of the frame under regions in square px."""
        planes = _planes(source)
        x, y = self._normalizer.stretch
        # Scaling spreads the paint at a region's edge over the px beside it.
        around = 0 if self._is_square else planes.chroma_step[0]
        blocks = (
            planes.block(
                float(region.x1 / x) - around,
                float(region.y1 / y) - around,
                float(region.x2 / x) + around,
                float(region.y2 / y) + around,
            )
            for region in regions
        )
        return [block for block in blocks if block is not None]

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

    def _mixed(
        self,
        source: YuvPlanes,
        before: YuvPlanes,
        after: YuvPlanes,
        shares: YuvPlanes,
        block: Rect,
    ) -> list[AnyPlane]:
        """The values of a block after painting, in the frame's own format.

        Args:
            source: the frame.
            before, after: 8-bit SDR without and with paint.
            shares: of each sample, the share of the original that is still visible, of 255.
        """
        unpainted = self._as_source(_under(before, block))
        painted = self._as_source(_under(after, block))
        most = (1 << self._normalizer.bits) - 1
        values = []
        for original, without, with_paint, share in zip(
            _under(source, block), unpainted, painted, _under(shares, block), strict=True
        ):
            # The detail that the copy lost comes back, by the share of the original that remains.
            detail = (original.astype(np.float32) - without) * (share * np.float32(1 / 255))
            mixed = np.rint(np.clip(with_paint + detail, 0, most)).astype(original.dtype)
            values.append(np.where(share == 255, original, mixed))
        return values


def _untouched(plane: AnyPlane) -> Pixels:
    """A plane that keeps all of the original."""
    return np.full(plane.shape, 255, np.uint8)


def _under(yuv: YuvPlanes, block: Rect) -> tuple[AnyPlane, AnyPlane, AnyPlane]:
    """The views of the three planes under a block of `Planes.block`."""
    planes = _planes(yuv)
    return planes.luma(block), *planes.chroma(block)


def _planes(yuv: YuvPlanes) -> Planes:
    return Planes(yuv.y, yuv.u, yuv.v, yuv.shift_x, yuv.shift_y)
