"""Normalize decoded frames: upright, one size with even sides, one pixel format.

The format is 8-bit 4:2:0, or the source's own if the job keeps it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction

import av

from facepaint.media.encoders import kept_format
from facepaint.records.colour import (
    SDR,
    Colour,
    ColourRange,
    MatrixCoefficients,
    TransferCharacteristics,
)
from facepaint.records.job import OutputProfile, VideoStream
from filters.planes import Matrix
from tasks.video.deinterlace import deinterlaced
from tasks.video.hdr import is_hdr, peak_of
from tasks.video.tonemap import in_sdr
from tasks.video.yuv import PLANAR, SHIFTS, YuvPlanes, converts_as_rgb, yuv_of

_MATRICES: dict[int, Matrix] = {
    MatrixCoefficients.BT709: "bt709",
    MatrixCoefficients.BT2020: "bt2020",
    MatrixCoefficients.BT2020_CONSTANT: "bt2020",
}


class Normalizer:
    """Makes upright frames of one size and format of the frames of a stream.

    Most frames need no change and are passed through.

    Attributes:
        size: (width, height) of the result: the stream's upright size, odd sides padded by one.
        stretch: the square px that one px of the result is (wide, high).
        format: its pixel format: 8-bit 4:2:0, or `kept_format` of the stream's own.
        colour: its description: the stream's own, but BT.709 for RGB, and for HDR unless kept.
        matrix: the one of ``colour``, as filters name it.
        bits, shifts: its depth, and 1 where chroma is halved in (x, y).
        hdr: whether the source is HDR.
        tone_mapped: whether the result of an HDR source is SDR.
        notes: what had to be changed, each sentence once, in order.
    """

    def __init__(self, video: VideoStream, output: OutputProfile | None = None) -> None:
        self._video = video
        self._keep = output is not None and output.keep_format
        width, height = video.upright_size
        self.size = (width + width % 2, height + height % 2)
        self.stretch = video.stretch
        self.light = video.light
        self.source = source_colour(video)
        self.hdr = is_hdr(self.source)
        self.tone_mapped = self.hdr and not self._keep
        self.colour = SDR if self.tone_mapped else self.source
        self.format = "yuvj420p" if self.colour.is_full_range else "yuv420p"
        if self._keep:
            self.format = kept_format(video.pixel_format or "yuv420p")
        match = PLANAR.fullmatch(self.format)
        assert match is not None
        self.bits, self.shifts = int(match[3] or 8), SHIFTS[match[2]]
        self.matrix = _matrix(self.colour, video.height)
        self.notes: dict[str, None] = {}

    def frames(self, decoded: Iterable[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        """Normalize decoded frames. Those that are flagged interlaced are deinterlaced first."""
        return map(self, deinterlaced(decoded, self._note))

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Normalize one frame. Its pts is kept; a frame that needs no change is returned itself."""
        if self._is_normal(frame):
            return frame
        video = self._video
        convert = self._in_own_format if self._keep else self._in_sdr
        yuv = convert(displayed_yuv(frame, video, self._note), frame.format.name)
        if self.size != video.upright_size:
            width, height = video.upright_size
            self._note(
                f"odd sides padded by one line: {width}x{height} made {self.size[0]}x{self.size[1]}"
            )
        normal = yuv.to_frame(self.format, *self.size)
        normal.pts = frame.pts
        normal.colorspace, normal.color_range = self.colour.matrix, self.colour.range
        normal.color_primaries, normal.color_trc = self.colour.primaries, self.colour.transfer
        return normal

    def _is_normal(self, frame: av.VideoFrame) -> bool:
        video = self._video
        same_pixels = frame.format.name == self.format and not self.tone_mapped
        is_upright = not video.rotation and not video.mirrored
        # Frames of other sizes occur in streams that change their resolution.
        same_size = (frame.width, frame.height) == (video.width, video.height) == self.size
        return same_pixels and is_upright and same_size

    def _in_sdr(self, yuv: YuvPlanes, name: str) -> YuvPlanes:
        """In 8-bit 4:2:0 of SDR."""
        if self.tone_mapped:
            peak = peak_of(self.source, self.light)
            kind = "PQ" if self.source.transfer == TransferCharacteristics.PQ else "HLG"
            self._note(f"HDR ({kind}, up to {peak:.0f} cd/m2) tone-mapped to 8-bit BT.709")
        elif name != self.format:
            self._note(f"{name} converted to 8-bit 4:2:0{', BT.709' if _is_rgb(name) else ''}")
        # Chroma first: it leaves fewer samples to tone-map.
        yuv = yuv.with_chroma(1, 1)
        yuv = in_sdr(yuv, self.source, self.light) if self.tone_mapped else yuv.with_bits(8)
        return yuv.turned(self._video.rotation, self._video.mirrored)

    def _in_own_format(self, yuv: YuvPlanes, name: str) -> YuvPlanes:
        """In the source's own depth and chroma sampling."""
        turned = yuv.turned(self._video.rotation, self._video.mirrored)
        if (yuv.shift_x, yuv.shift_y, yuv.bits) != (*self.shifts, self.bits):
            self._note(f"{name} converted to {self.format}")
        elif (turned.shift_x, turned.shift_y) != self.shifts:
            # Turned by 90 degrees, 4:2:2 would have halved lines instead of columns.
            self._note(f"chroma of {self.format} resampled, since the frame is rotated")
        return turned.with_chroma(*self.shifts).with_bits(self.bits)

    def _note(self, text: str) -> None:
        self.notes[text] = None


def source_colour(video: VideoStream) -> Colour:
    """The colour of a stream's `displayed_yuv`: as described, but for RGB, which becomes BT.709 of
    limited range."""
    if _is_rgb(video.pixel_format):
        return replace(video.colour, matrix=SDR.matrix, range=SDR.range)
    colour = video.colour
    # Some files are tagged as RGB although their samples are Y'CbCr.
    if colour.matrix == MatrixCoefficients.RGB:
        colour = replace(colour, matrix=MatrixCoefficients.UNSPECIFIED)
    # FFmpeg also marks full range by its yuvj pixel formats.
    if video.pixel_format.startswith("yuvj"):
        colour = replace(colour, range=ColourRange.FULL)
    return colour


def displayed_yuv(
    frame: av.VideoFrame, video: VideoStream, note: Callable[[str], None] = lambda _: None
) -> YuvPlanes:
    """The planes of a decoded frame as they are displayed, but for rotation: on black, in the
    stream's size.

    A frame of another size is scaled and letterboxed: stretched faces would not be detected.

    Args:
        note: called with a sentence for each change.
    """
    yuv = yuv_of(frame, source_colour(video).is_full_range)
    if yuv.transparent:
        note("transparent parts shown on black")
    yuv = yuv.on_black()
    width, height = video.width, video.height
    if (frame.width, frame.height) == (width, height):
        return yuv
    note(f"frames of {frame.width}x{frame.height} scaled to {width}x{height}")
    return yuv.scaled(*fitting(frame.width, frame.height, width, height)).letterboxed(width, height)


def fitting(width: int, height: int, into_width: int, into_height: int) -> tuple[int, int]:
    """The size to which a frame is scaled to fit into another one.

    The aspect is kept. Within 2 % of the whole size that size is taken: no borders of a few lines.
    """
    scale = min(Fraction(into_width, width), Fraction(into_height, height))
    fitted = max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)
    if fitted[0] * 50 >= into_width * 49 and fitted[1] * 50 >= into_height * 49:
        return into_width, into_height
    return fitted


def _matrix(colour: Colour, height: int) -> Matrix:
    # Players guess an unspecified matrix by the size of the video in the same way.
    unknown: Matrix = "bt709" if height >= 720 else "bt601"
    unspecified = colour.matrix == MatrixCoefficients.UNSPECIFIED
    return _MATRICES.get(colour.matrix, unknown if unspecified else "bt601")


def _is_rgb(pixel_format: str) -> bool:
    """By the pixel format: few streams of RGB describe their colours as such."""
    return bool(pixel_format) and converts_as_rgb(av.VideoFormat(pixel_format))
