"""Lookup tables that apply the formulas of `tasks.video.hdr` to a frame in a few milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from facepaint.records.colour import Colour, LightLevels
from tasks.video.hdr import Floats, from_sdr, peak_of, to_sdr
from tasks.video.yuv import AnyPlane, YuvPlanes, code_range, quantised

NODES = 65
"""Nodes along Cb and Cr, denser near grey: see `_nodes`. Values between them are interpolated."""

LEVELS = 256
"""Levels of Y', in `_TILES` rows of as many tiles of `NODES` x `NODES`."""

_TILES = 16

_DEPTHS = (8, 10, 12)
"""Bits for which tables are made."""

LIFT = 0.03
"""Added to Y' before ratios of it are taken, which would be unbounded at black."""

Singles = npt.NDArray[np.float32]


class ColourTable:
    """A colour conversion as tables: exact for greys, within half a step of 8 bits for most
    colours.

    At a given Cb and Cr, Y' changes as it does for greys, times a factor that changes slowly. So do
    Cb and Cr. The curve of greys is looked up for each px, the factors for each chroma sample.

    Args:
        change: converts Y'CbCr samples, normalized as in `tasks.video.hdr`.
        bits, full_range: of the source samples.
        to_bits, to_full_range: of the results.
    """

    def __init__(
        self,
        change: Callable[[Floats], Floats],
        bits: int,
        full_range: bool,
        to_bits: int,
        to_full_range: bool = False,
    ) -> None:
        self._bits, self._to_bits, self._to_full_range = bits, to_bits, to_full_range
        black, span, chroma_span = code_range(bits, full_range)
        self._to_black, self._to_span, self._to_chroma_span = code_range(to_bits, to_full_range)
        codes = np.arange(1 << bits)
        grey = change(_samples((codes - black) / span, 0.0, 0.0))[:, 0] + LIFT
        self._grey = grey.astype(np.float32)
        step = (1 << bits) // LEVELS
        nodes = _nodes(bits)
        self._place = np.minimum(
            np.rint(np.interp(codes, nodes, np.arange(NODES)) * 32), 32 * NODES - 33
        )
        self._place = self._place.astype(np.uint16)
        # Every second level is computed, the others are means of two: half the time, as accurate.
        level = np.arange(0, LEVELS + 1, 2) * step + (step - 1) / 2
        chroma = (nodes - (1 << bits - 1)) / chroma_span
        y, v, u = np.meshgrid((level - black) / span, chroma, chroma, indexing="ij", sparse=True)
        changed = change(_samples(y, u, v))
        changed[..., 0] += LIFT
        changed /= np.interp(level, codes, grey)[:, None, None, None]
        levels = np.stack([changed[:-1], (changed[:-1] + changed[1:]) / 2], axis=1).reshape(
            LEVELS, NODES, NODES, 3
        )
        self._factors = [_tiled(levels[..., number]) for number in range(3)]

    def __call__(self, samples: YuvPlanes) -> YuvPlanes:
        """Convert the planes of a frame. The chroma sampling stays, alpha is dropped."""
        assert samples.bits == self._bits, samples.bits
        size = samples.u.shape[::-1]
        subsampled = samples.u.shape != samples.y.shape
        coarse = samples.y
        if subsampled:
            coarse = np.asarray(
                cv2.resize(samples.y, size, interpolation=cv2.INTER_AREA), samples.y.dtype
            )
        at, between = self._places(coarse, samples.u, samples.v)
        factors = [cv2.remap(table, at, between, cv2.INTER_LINEAR) for table in self._factors]
        grey = self._grey.take(coarse, mode="clip")
        neutral = 1 << self._to_bits - 1
        u, v = (self._coded(grey * factor, self._to_chroma_span, neutral) for factor in factors[1:])
        luma = factors[0]
        if subsampled:
            grey = self._grey.take(samples.y, mode="clip")
            luma = cv2.resize(luma, samples.y.shape[::-1], interpolation=cv2.INTER_LINEAR)
        offset = self._to_black - LIFT * self._to_span
        y = self._coded(cv2.multiply(grey, luma), self._to_span, offset)
        return YuvPlanes(
            y, u, v, None, self._to_bits, samples.shift_x, samples.shift_y, self._to_full_range
        )

    def _places(self, y: AnyPlane, u: AnyPlane, v: AnyPlane) -> tuple[AnyPlane, AnyPlane]:
        """The place of each sample in a table: whole columns and rows, and 32nds beyond them.

        These are the fixed-point maps of `cv2.remap`.
        """
        level = (y >> (self._bits - 8)).astype(np.int16)
        u, v = self._place.take(u, mode="clip"), self._place.take(v, mode="clip")
        column = (level & (_TILES - 1)) * NODES + (u >> 5).view(np.int16)
        row = (level // _TILES) * NODES + (v >> 5).view(np.int16)
        return np.asarray(cv2.merge((column, row))), (v & 31) << 5 | u & 31

    def _coded(self, samples: AnyPlane, scale: float, offset: float) -> AnyPlane:
        return quantised(samples, scale, self._to_bits, offset)


def in_sdr(samples: YuvPlanes, colour: Colour, light: LightLevels) -> YuvPlanes:
    """Tone-map HDR planes to BT.709 of 8 bits and limited range. The chroma sampling stays."""
    if samples.bits not in _DEPTHS:
        samples = samples.with_bits(10 if samples.bits == 9 else 12)
    return tone_map(colour, light, samples.bits)(samples)


@lru_cache(maxsize=2)
def tone_map(colour: Colour, light: LightLevels, bits: int) -> ColourTable:
    """The table from HDR of ``bits`` to BT.709 of 8 bits and limited range."""
    peak = peak_of(colour, light)
    return ColourTable(lambda samples: to_sdr(samples, colour, peak), bits, colour.is_full_range, 8)


@lru_cache(maxsize=2)
def back_to_hdr(colour: Colour, bits: int) -> ColourTable:
    """The table from BT.709 of 8 bits and limited range to HDR of ``bits``."""
    return ColourTable(
        lambda samples: from_sdr(samples, colour), 8, False, bits, colour.is_full_range
    )


def _nodes(bits: int) -> Floats:
    """The codes of Cb and Cr at the nodes. Most colours lie near grey, in PQ and HLG more than in
    SDR."""
    half = np.concatenate([np.arange(0, 144, 8), np.linspace(144, 512, 15)])
    return np.concatenate([512 - half[:0:-1], 512 + half]) * (1 << bits) / 1024


def _samples(y: npt.ArrayLike, u: npt.ArrayLike, v: npt.ArrayLike) -> Floats:
    return np.stack(np.broadcast_arrays(y, u, v), axis=-1).astype(np.float64)


def _tiled(levels: Floats) -> Singles:
    """The tables of all levels (levels, Cr, Cb) as tiles of one image, which `cv2.remap` needs."""
    rows = levels.reshape(LEVELS // _TILES, _TILES, NODES, NODES).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(rows.reshape(-1, _TILES * NODES), np.float32)
