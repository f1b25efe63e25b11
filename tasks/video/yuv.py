"""The samples of a frame as arrays: out of a decoded frame of any format, changed step by step,
into a new one."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

import av
import av.filter
import cv2
import numpy as np
import numpy.typing as npt

from facepaint.media.encoders import kept_format

Plane = npt.NDArray[np.uint8]
AnyPlane = npt.NDArray[Any]
"""A plane of uint8 or, where samples have more than 8 bits, uint16."""

PLANAR = re.compile(r"yuv(j|a?)4(20|22|44|40)p(9|10|12|14|16)?(le)?")
SHIFTS = {"20": (1, 1), "22": (1, 0), "44": (0, 0), "40": (0, 1)}


def code_range(bits: int, full_range: bool) -> tuple[int, int, int]:
    """The code of black, how many lie between it and white, and how many between the ends of Cb and
    Cr (H.273)."""
    if full_range:
        return 0, (1 << bits) - 1, (1 << bits) - 1
    return 16 << bits - 8, 219 << bits - 8, 224 << bits - 8


def planes_of(frame: av.VideoFrame) -> list[AnyPlane]:
    """The planes of a planar frame as arrays over the frame's own memory, padding cut off: uint8 up
    to 8 bits, else uint16."""
    kind = np.uint8 if frame.format.components[0].bits <= 8 else np.uint16
    return [
        np.frombuffer(memoryview(plane), kind).reshape(-1, plane.line_size // kind().itemsize)[
            : plane.height, : plane.width
        ]
        for plane in frame.planes
    ]


def top_down(frame: av.VideoFrame) -> av.VideoFrame:
    """The frame with its lines in memory from the first to the last, as `planes_of` needs it; most
    are like that."""
    if all(plane.line_size > 0 for plane in frame.planes):
        return frame
    graph = av.filter.Graph()
    graph.link_nodes(
        graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1)
        ),
        graph.add("copy"),
        graph.add("buffersink"),
    ).configure()
    graph.push(frame)
    copied = graph.pull()
    assert isinstance(copied, av.VideoFrame)
    return copied


@dataclass(frozen=True, slots=True)
class Samples:
    """Y'CbCr samples of ``bits`` each: Y of shape (height, width), Cb and Cr with each side halved,
    rounded up, where its shift is 1, and alpha as Y, always of full range, or None. The arrays may
    be views of a frame's memory.
    """

    y: AnyPlane
    u: AnyPlane
    v: AnyPlane
    alpha: AnyPlane | None
    bits: int
    shift_x: int
    shift_y: int
    full_range: bool

    @property
    def black(self) -> tuple[int, int, int]:
        """Y, Cb and Cr of black."""
        return code_range(self.bits, self.full_range)[0], 1 << self.bits - 1, 1 << self.bits - 1

    @property
    def transparent(self) -> bool:
        """Whether anything shows through."""
        return self.alpha is not None and int(self.alpha.min()) < (1 << self.bits) - 1

    def on_black(self) -> Samples:
        """Without alpha: composited on black. Colours are taken to be straight, not
        premultiplied."""
        if self.alpha is None or not self.transparent:
            return replace(self, alpha=None)
        coarse = _halved(_halved(self.alpha, self.shift_x, 1, centred=True), self.shift_y, 0)
        black, most = self.black, (1 << self.bits) - 1
        y, u, v = (
            _shown(plane, alpha, base, most)
            for plane, alpha, base in zip(
                (self.y, self.u, self.v), (self.alpha, coarse, coarse), black, strict=True
            )
        )
        return replace(self, y=y, u=u, v=v, alpha=None)

    def with_chroma(self, shift_x: int, shift_y: int) -> Samples:
        """With chroma at another sampling, sited as H.264 and MPEG-2 have it: on the left px,
        between two lines."""
        u, v = self.u, self.v
        if (self.shift_x, self.shift_y) != (shift_x, shift_y):
            u, v = (self._chroma(plane, shift_x, shift_y) for plane in (u, v))
        return replace(self, u=u, v=v, shift_x=shift_x, shift_y=shift_y)

    def _chroma(self, plane: AnyPlane, shift_x: int, shift_y: int) -> AnyPlane:
        height, width = self.y.shape
        if shift_x < self.shift_x:
            # Every second sample is there already, the others lie in the middle between two.
            between = cv2.addWeighted(plane, 0.5, np.hstack([plane[:, 1:], plane[:, -1:]]), 0.5, 0)
            plane = np.dstack([plane, between]).reshape(plane.shape[0], -1)[:, :width]
        if shift_y < self.shift_y:
            plane = cv2.resize(
                plane, (plane.shape[1], 2 * plane.shape[0]), interpolation=cv2.INTER_LINEAR
            )[:height]
        if shift_x > self.shift_x:
            plane = _halved(plane, 1, 1)
        if shift_y > self.shift_y:
            plane = _halved(plane, 1, 0)
        return plane

    def with_bits(self, bits: int) -> Samples:
        """With samples of another depth; what is lost is dithered, and what needs no rounding stays
        exact."""
        y, u, v = (_in_bits(plane, self.bits, bits) for plane in (self.y, self.u, self.v))
        return replace(self, y=y, u=u, v=v, bits=bits)

    def turned(self, rotation: int, mirrored: bool) -> Samples:
        """Flipped left to right, if ``mirrored``, and turned clockwise by ``rotation`` degrees."""

        def turn(plane: AnyPlane) -> AnyPlane:
            return np.rot90(plane[:, ::-1] if mirrored else plane, -rotation // 90)

        y, u, v = turn(self.y), turn(self.u), turn(self.v)
        shift_x, shift_y = (
            (self.shift_y, self.shift_x) if rotation % 180 else (self.shift_x, self.shift_y)
        )
        return replace(self, y=y, u=u, v=v, shift_x=shift_x, shift_y=shift_y)

    def scaled(self, width: int, height: int) -> Samples:
        """In another size."""
        smaller = width * height < self.y.size
        how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC

        def resized(plane: AnyPlane, shift_x: int, shift_y: int) -> AnyPlane:
            size = -(-width // (1 << shift_x)), -(-height // (1 << shift_y))
            return np.asarray(cv2.resize(plane, size, interpolation=how), plane.dtype)

        u, v = (resized(plane, self.shift_x, self.shift_y) for plane in (self.u, self.v))
        return replace(self, y=resized(self.y, 0, 0), u=u, v=v)

    def amid_black(self, width: int, height: int) -> Samples:
        """In the middle of a black picture of at least its size."""
        step_x, step_y = 1 << self.shift_x, 1 << self.shift_y
        left = (width - self.y.shape[1]) // 2 // step_x * step_x
        top = (height - self.y.shape[0]) // 2 // step_y * step_y
        placed = []
        for number, plane in enumerate((self.y, self.u, self.v)):
            x, y = (self.shift_x, self.shift_y) if number else (0, 0)
            canvas = np.full(
                (-(-height // (1 << y)), -(-width // (1 << x))), self.black[number], plane.dtype
            )
            canvas[
                top >> y : (top >> y) + plane.shape[0], left >> x : (left >> x) + plane.shape[1]
            ] = plane
            placed.append(canvas)
        return replace(self, y=placed[0], u=placed[1], v=placed[2])

    def to_frame(self, pixel_format: str, width: int, height: int) -> av.VideoFrame:
        """A new frame of that format, which has these samples' depth and chroma; its last line and
        column are repeated where the frame is larger."""
        frame = av.VideoFrame(width, height, pixel_format)
        for source, target in zip((self.y, self.u, self.v), planes_of(frame), strict=True):
            _copy_padded(source, target)
        return frame


def samples_of(frame: av.VideoFrame, full_range: bool) -> Samples:
    """The samples of a frame; RGB becomes BT.709 4:4:4 of limited range, and what is packed planar.

    Args:
        full_range: of the frame, if it is not RGB.
    """
    found = frame.format
    if (
        found.name.startswith("gray")
        and found.components[0].bits <= 16
        and not found.name.endswith("be")
    ):
        return _grey(frame, full_range)
    alpha = found.has_palette or any(component.is_alpha for component in found.components)
    if found.is_rgb or found.has_palette or (alpha and len(found.components) == 2):
        frame, full_range = _from_rgb(frame, alpha), False
    elif PLANAR.fullmatch(found.name) is None:
        shown = "JPEG" if full_range else "MPEG"
        frame = frame.reformat(
            format=_planar_name(found.name, alpha), src_color_range=shown, dst_color_range=shown
        )
    match = PLANAR.fullmatch(frame.format.name)
    assert match is not None, frame.format.name
    planes = planes_of(frame)
    shift_x, shift_y = SHIFTS[match[2]]
    return Samples(
        planes[0],
        planes[1],
        planes[2],
        planes[3] if match[1] == "a" else None,
        int(match[3] or 8),
        shift_x,
        shift_y,
        full_range,
    )


def _planar_name(pixel_format: str, alpha: bool) -> str:
    name = kept_format(pixel_format)
    return name.replace("yuv", "yuva") if alpha else name


def _from_rgb(frame: av.VideoFrame, alpha: bool) -> av.VideoFrame:
    if frame.format.has_palette or len(frame.format.components) == 2:
        # Straight to YUV their alpha would be lost.
        frame = frame.reformat(
            format="rgba" if frame.format.components[0].bits <= 8 else "rgba64le"
        )
    name = _planar_name(frame.format.name, alpha)
    return frame.reformat(format=name, dst_colorspace="ITU709", dst_color_range="MPEG")


def _grey(frame: av.VideoFrame, full_range: bool) -> Samples:
    """Grey as it is, with chroma that says grey: FFmpeg would take it for full range, whatever its
    stream says."""
    y = planes_of(frame)[0]
    bits = frame.format.components[0].bits
    height, width = y.shape
    neutral = np.full((-(-height // 2), -(-width // 2)), 1 << bits - 1, y.dtype)
    return Samples(y, neutral, neutral, None, bits, 1, 1, full_range)


def _shown(plane: AnyPlane, alpha: AnyPlane, black: int, most: int) -> AnyPlane:
    lit = (plane.astype(np.float32) - black) * (alpha.astype(np.float32) / most) + black
    return np.rint(lit).astype(plane.dtype)


def _halved(plane: AnyPlane, halve: int, axis: int, *, centred: bool = False) -> AnyPlane:
    """Half the samples along an axis, if ``halve`` is 1: across, centred on every second; down,
    between two lines."""
    if not halve:
        return plane
    if plane.shape[axis] % 2:
        plane = np.concatenate([plane, plane.take([-1], axis)], axis)
    if axis == 0:
        return cv2.addWeighted(plane[::2], 0.5, plane[1::2], 0.5, 0)
    even, odd = plane[:, ::2], plane[:, 1::2]
    if centred:
        return cv2.addWeighted(even, 0.5, odd, 0.5, 0)
    beside = cv2.add(np.hstack([odd[:, :1], odd[:, :-1]]), odd, dtype=cv2.CV_32F)
    return cv2.addWeighted(
        even, 0.5, beside, 0.25, 0, dtype=cv2.CV_8U if plane.dtype == np.uint8 else cv2.CV_16U
    )


def _in_bits(plane: AnyPlane, bits: int, wanted: int) -> AnyPlane:
    if bits == wanted:
        return plane
    if bits < wanted:
        return plane.astype(np.uint16) << (wanted - bits)
    return quantised(plane, 1 / (1 << bits - wanted), wanted)


def quantised(
    plane: AnyPlane | npt.NDArray[np.float32], scale: float, bits: int, offset: float = 0.0
) -> AnyPlane:
    """``scale`` times samples plus ``offset`` in whole numbers of ``bits``, cut at 0 and the
    largest.

    An ordered dither decides what is between two; whole numbers it leaves alone.
    """
    kind = cv2.CV_8U if bits <= 8 else cv2.CV_16U
    height, width = plane.shape
    whole = cv2.addWeighted(plane, scale, _dither(height, width), 1.0, offset, dtype=kind)
    return np.asarray(whole) if bits in (8, 16) else np.minimum(whole, (1 << bits) - 1)


@lru_cache(maxsize=8)
def _dither(height: int, width: int) -> npt.NDArray[np.float32]:
    """Bayer's 8 x 8 pattern over a whole plane, from above -0.5 to below 0.5."""
    pattern = np.zeros((1, 1))
    for _ in range(3):
        pattern = np.block([[4 * pattern, 4 * pattern + 2], [4 * pattern + 3, 4 * pattern + 1]])
    tiles = np.tile((pattern + 0.5) / 64 - 0.5, (-(-height // 8), -(-width // 8)))
    return tiles[:height, :width].astype(np.float32)


def _copy_padded(source: AnyPlane, target: AnyPlane) -> None:
    """Copy into the upper left corner and repeat the last line and column into what is left, if
    anything."""
    height, width = source.shape
    target[:height, :width] = source
    if target.shape[1] > width:
        target[:height, width:] = source[:, -1:]
    if target.shape[0] > height:
        target[height:] = target[height - 1]
