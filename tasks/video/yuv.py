"""Y'CbCr planes as arrays: from a decoded frame of any pixel format, through conversions, to a new
frame.
"""

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
"""A plane of uint8, or of uint16 if samples have more than 8 bits."""

PLANAR = re.compile(r"yuv(j|a?)4(20|22|44|40)p(9|10|12|14|16)?(le)?")
"""FFmpeg's names of the planar formats that are used as they are. Native byte order only."""

SHIFTS = {"20": (1, 1), "22": (1, 0), "44": (0, 0), "40": (0, 1)}
"""By the chroma sampling in such a name: 1 where chroma has half the samples, in x and y."""


def code_range(bits: int, full_range: bool) -> tuple[int, int, int]:
    """The code of black, the codes from black to white, and those between the ends of Cb and Cr
    (ITU-T H.273)."""
    if full_range:
        return 0, (1 << bits) - 1, (1 << bits) - 1
    return 16 << bits - 8, 219 << bits - 8, 224 << bits - 8


def planes_of(frame: av.VideoFrame) -> list[AnyPlane]:
    """The planes of a planar frame as arrays over the frame's own memory, without padding: uint8 up
    to 8 bits, else uint16."""
    dtype = np.dtype(np.uint8 if frame.format.components[0].bits <= 8 else np.uint16)

    def array(plane: av.video.plane.VideoPlane) -> AnyPlane:
        lines = np.frombuffer(memoryview(plane), dtype)
        lines = lines.reshape(-1, plane.line_size // dtype.itemsize)
        return lines[: plane.height, : plane.width]

    return [array(plane) for plane in frame.planes]


def top_down(frame: av.VideoFrame) -> av.VideoFrame:
    """The frame with its lines in memory from first to last, as `planes_of` needs it.

    Some decoders give frames bottom up, with a negative line size. FFmpeg's ``copy`` filter returns
    them in order; most frames are returned as they are.
    """
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
class YuvPlanes:
    """The planes of a frame. The arrays may be views of the frame's memory.

    Args:
        y: (height, width) luma.
        u, v: Cb and Cr. A side is halved, rounded up, where its shift is 1.
        alpha: (height, width), always of full range; None if opaque.
        bits: depth of all samples.
        full_range: whether black to white take all codes, as in JPEG.
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
        """Whether any pixel is not opaque."""
        return self.alpha is not None and int(self.alpha.min()) < (1 << self.bits) - 1

    def on_black(self) -> YuvPlanes:
        """Composited on black, without alpha. Colours are straight, not premultiplied."""
        if self.alpha is None or not self.transparent:
            return replace(self, alpha=None)
        coarse = _halved(_halved(self.alpha, self.shift_x, 1, centred=True), self.shift_y, 0)
        most = (1 << self.bits) - 1
        black_y, black_u, black_v = self.black
        return replace(
            self,
            y=_composited(self.y, self.alpha, black_y, most),
            u=_composited(self.u, coarse, black_u, most),
            v=_composited(self.v, coarse, black_v, most),
            alpha=None,
        )

    def with_chroma(self, shift_x: int, shift_y: int) -> YuvPlanes:
        """With chroma resampled, sited as in H.264 and MPEG-2: on the left px, between two
        lines."""
        if (self.shift_x, self.shift_y) == (shift_x, shift_y):
            return self
        u, v = (self._resampled(plane, shift_x, shift_y) for plane in (self.u, self.v))
        return replace(self, u=u, v=v, shift_x=shift_x, shift_y=shift_y)

    def _resampled(self, plane: AnyPlane, shift_x: int, shift_y: int) -> AnyPlane:
        height, width = self.y.shape
        if shift_x < self.shift_x:
            # Every second sample exists, the others lie in the middle between two.
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

    def with_bits(self, bits: int) -> YuvPlanes:
        """With samples of another depth. Lost bits are dithered; values that need no rounding stay
        exact."""
        y, u, v = (_in_bits(plane, self.bits, bits) for plane in (self.y, self.u, self.v))
        return replace(self, y=y, u=u, v=v, bits=bits)

    def turned(self, rotation: int, mirrored: bool) -> YuvPlanes:
        """Flipped left to right, if ``mirrored``, and turned clockwise by ``rotation`` degrees."""

        def turn(plane: AnyPlane) -> AnyPlane:
            return np.rot90(plane[:, ::-1] if mirrored else plane, -rotation // 90)

        y, u, v = turn(self.y), turn(self.u), turn(self.v)
        shift_x, shift_y = (
            (self.shift_y, self.shift_x) if rotation % 180 else (self.shift_x, self.shift_y)
        )
        return replace(self, y=y, u=u, v=v, shift_x=shift_x, shift_y=shift_y)

    def scaled(self, width: int, height: int) -> YuvPlanes:
        """Scaled to another size."""
        smaller = width * height < self.y.size
        interpolation = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC

        def resized(plane: AnyPlane, shift_x: int, shift_y: int) -> AnyPlane:
            size = -(-width // (1 << shift_x)), -(-height // (1 << shift_y))
            return np.asarray(cv2.resize(plane, size, interpolation=interpolation), plane.dtype)

        u, v = (resized(plane, self.shift_x, self.shift_y) for plane in (self.u, self.v))
        return replace(self, y=resized(self.y, 0, 0), u=u, v=v)

    def letterboxed(self, width: int, height: int) -> YuvPlanes:
        """In the middle of a black frame of at least its size."""
        # Whole chroma samples, so that chroma and luma move by the same.
        step_x, step_y = 1 << self.shift_x, 1 << self.shift_y
        left = (width - self.y.shape[1]) // 2 // step_x * step_x
        top = (height - self.y.shape[0]) // 2 // step_y * step_y

        def placed(plane: AnyPlane, black: int, shift_x: int, shift_y: int) -> AnyPlane:
            size = -(-height // (1 << shift_y)), -(-width // (1 << shift_x))
            canvas = np.full(size, black, plane.dtype)
            x, y = left >> shift_x, top >> shift_y
            canvas[y : y + plane.shape[0], x : x + plane.shape[1]] = plane
            return canvas

        black_y, black_u, black_v = self.black
        return replace(
            self,
            y=placed(self.y, black_y, 0, 0),
            u=placed(self.u, black_u, self.shift_x, self.shift_y),
            v=placed(self.v, black_v, self.shift_x, self.shift_y),
        )

    def to_frame(self, pixel_format: str, width: int, height: int) -> av.VideoFrame:
        """A new frame of a format with the same depth and chroma sampling.

        The last line and column are repeated where the frame is larger.
        """
        frame = av.VideoFrame(width, height, pixel_format)
        for source, target in zip((self.y, self.u, self.v), planes_of(frame), strict=True):
            _copy_padded(source, target)
        return frame


def yuv_of(frame: av.VideoFrame, full_range: bool) -> YuvPlanes:
    """The planes of a frame. RGB becomes BT.709 4:4:4 of limited range, packed formats planar.

    Args:
        full_range: of the frame, unless it is RGB.
    """
    if _is_grey(frame.format):
        return _grey(frame, full_range)
    has_alpha = _has_alpha(frame.format)
    if converts_as_rgb(frame.format):
        return _planar(_from_rgb(frame, has_alpha), full_range=False)
    if PLANAR.fullmatch(frame.format.name) is None:
        # The same range on both sides: without it FFmpeg would compress full range.
        same_range = "JPEG" if full_range else "MPEG"
        frame = frame.reformat(
            format=_planar_name(frame.format.name, has_alpha),
            src_color_range=same_range,
            dst_color_range=same_range,
        )
    return _planar(frame, full_range)


def _planar(frame: av.VideoFrame, full_range: bool) -> YuvPlanes:
    match = PLANAR.fullmatch(frame.format.name)
    assert match is not None, frame.format.name
    y, u, v, *rest = planes_of(frame)
    alpha = rest[0] if match[1] == "a" else None
    return YuvPlanes(y, u, v, alpha, int(match[3] or 8), *SHIFTS[match[2]], full_range)


def _is_grey(pixel_format: av.VideoFormat) -> bool:
    """Whether a frame is one plane of grey that NumPy can read: no floats, no foreign bytes."""
    name = pixel_format.name
    return (
        name.startswith("gray")
        and pixel_format.components[0].bits <= 16
        and not name.endswith("be")
    )


def _has_alpha(pixel_format: av.VideoFormat) -> bool:
    return pixel_format.has_palette or any(
        component.is_alpha for component in pixel_format.components
    )


def converts_as_rgb(pixel_format: av.VideoFormat) -> bool:
    """Whether a frame is RGB, or is converted by way of RGB: palettes, and grey with alpha."""
    grey_alpha = _has_alpha(pixel_format) and len(pixel_format.components) == 2
    return pixel_format.is_rgb or pixel_format.has_palette or grey_alpha


def _planar_name(pixel_format: str, alpha: bool) -> str:
    name = kept_format(pixel_format)
    return name.replace("yuv", "yuva") if alpha else name


def _from_rgb(frame: av.VideoFrame, alpha: bool) -> av.VideoFrame:
    if frame.format.has_palette or len(frame.format.components) == 2:
        # Converted to YUV at once, they would lose their alpha.
        deep = frame.format.components[0].bits > 8
        frame = frame.reformat(format="rgba64le" if deep else "rgba")
    name = _planar_name(frame.format.name, alpha)
    return frame.reformat(format=name, dst_colorspace="ITU709", dst_color_range="MPEG")


def _grey(frame: av.VideoFrame, full_range: bool) -> YuvPlanes:
    """Grey as it is, with neutral chroma. FFmpeg would convert it as full range, whatever the range
    of its stream."""
    y = planes_of(frame)[0]
    bits = frame.format.components[0].bits
    height, width = y.shape
    neutral = np.full((-(-height // 2), -(-width // 2)), 1 << bits - 1, y.dtype)
    return YuvPlanes(y, neutral, neutral, None, bits, 1, 1, full_range)


def _composited(plane: AnyPlane, alpha: AnyPlane, black: int, most: int) -> AnyPlane:
    shown = (plane.astype(np.float32) - black) * (alpha.astype(np.float32) / most) + black
    return np.rint(shown).astype(plane.dtype)


def _halved(plane: AnyPlane, halve: int, axis: int, *, centred: bool = False) -> AnyPlane:
    """Half the samples along an axis, if ``halve`` is 1: columns at every second one, lines between
    two.

    Args:
        centred: place columns between two as well.
    """
    if not halve:
        return plane
    if plane.shape[axis] % 2:
        plane = np.concatenate([plane, plane.take([-1], axis)], axis)
    if axis == 0:
        return cv2.addWeighted(plane[::2], 0.5, plane[1::2], 0.5, 0)
    even, odd = plane[:, ::2], plane[:, 1::2]
    if centred:
        return cv2.addWeighted(even, 0.5, odd, 0.5, 0)
    # The filter 1-2-1 around every second column.
    neighbours = cv2.add(np.hstack([odd[:, :1], odd[:, :-1]]), odd, dtype=cv2.CV_32F)
    dtype = cv2.CV_8U if plane.dtype == np.uint8 else cv2.CV_16U
    return cv2.addWeighted(even, 0.5, neighbours, 0.25, 0, dtype=dtype)


def _in_bits(plane: AnyPlane, bits: int, wanted: int) -> AnyPlane:
    if bits == wanted:
        return plane
    if bits < wanted:
        return plane.astype(np.uint16) << (wanted - bits)
    return quantised(plane, 1 / (1 << bits - wanted), wanted)


def quantised(
    plane: AnyPlane | npt.NDArray[np.float32], scale: float, bits: int, offset: float = 0.0
) -> AnyPlane:
    """``scale`` times samples plus ``offset`` as whole numbers of ``bits``, clipped.

    Fractions are rounded by an ordered dither, which leaves whole numbers as they are.
    """
    dtype = cv2.CV_8U if bits <= 8 else cv2.CV_16U
    height, width = plane.shape
    whole = cv2.addWeighted(plane, scale, _dither(height, width), 1.0, offset, dtype=dtype)
    # OpenCV clips to its types only.
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
    """Copy into the upper left corner, and repeat the last column and line in the rest."""
    height, width = source.shape
    target[:height, :width] = source
    if target.shape[1] > width:
        target[:height, width:] = source[:, -1:]
    if target.shape[0] > height:
        target[height:] = target[height - 1]
