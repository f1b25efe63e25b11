"""Bring decoded frames into the one form everything else works on: upright, even sides, one size,
one pixel format.

That format is 8-bit 4:2:0, or the source's own where the job keeps it.
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
from tasks.video.yuv import PLANAR, SHIFTS, YuvPlanes, yuv_of

_MATRICES: dict[int, Matrix] = {
    MatrixCoefficients.BT709: "bt709",
    MatrixCoefficients.BT2020: "bt2020",
    MatrixCoefficients.BT2020_CONSTANT: "bt2020",
}


class Normalizer:
    """Makes the frames of a stream upright frames of one size and format, at least of work: most
    pass untouched.

    ``size`` is (width, height) of what comes out: the stream's upright size, an odd side padded by
    one line.
    ``format`` is its pixel format: 8-bit 4:2:0, or what `kept_format` makes of the stream's own.
    ``colour`` is its
    description: the stream's own, RGB turned to BT.709, and HDR too unless it is kept. ``matrix``
    is that of its samples, which have ``bits`` and chroma halved where ``shifts`` (x, y) are 1.
    ``hdr`` says that the source is,
    ``tone_mapped`` that what comes out is not. ``notes`` collects, once each, what had to be
    changed.
    """

    def __init__(self, video: VideoStream, output: OutputProfile | None = None) -> None:
        self._video = video
        self._keep = output is not None and output.keep_format
        width, height = video.upright_size
        self.size = (width + width % 2, height + height % 2)
        self.light = video.light
        self.source = source_colour(video)
        self.hdr = is_hdr(self.source)
        self.tone_mapped = self.hdr and not self._keep
        self.colour = SDR if self.tone_mapped else self.source
        full = self.colour.is_full_range
        self.format = (
            kept_format(video.pixel_format or "yuv420p") if self._keep else f"yuv{'j' * full}420p"
        )
        match = PLANAR.fullmatch(self.format)
        assert match is not None
        self.bits, self.shifts = int(match[3] or 8), SHIFTS[match[2]]
        self.matrix = _matrix(self.colour, video.height)
        self.notes: dict[str, None] = {}

    def frames(self, decoded: Iterable[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        """Every decoded frame in the common form, those flagged interlaced deinterlaced before."""
        return map(self, deinterlaced(decoded, self._note))

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame in the common form; its pts is kept. The same object where nothing had to
        change."""
        video = self._video
        turned = bool(video.rotation) or video.mirrored
        as_it_is = frame.format.name == self.format and not self.tone_mapped and not turned
        if as_it_is and (frame.width, frame.height) == (video.width, video.height) == self.size:
            return frame
        samples = displayed_yuv(frame, video, self._note)
        samples = (self._kept if self._keep else self._plain)(samples, frame.format.name)
        if self.size != video.upright_size:
            self._note(
                "odd sides padded by one line: {}x{} made {}x{}".format(
                    *video.upright_size, *self.size
                )
            )
        made = samples.to_frame(self.format, *self.size)
        made.pts = frame.pts
        made.colorspace, made.color_range = self.colour.matrix, self.colour.range
        made.color_primaries, made.color_trc = self.colour.primaries, self.colour.transfer
        return made

    def _plain(self, samples: YuvPlanes, name: str) -> YuvPlanes:
        """In 8-bit 4:2:0 of SDR."""
        if self.tone_mapped:
            peak = peak_of(self.source, self.light)
            kind = "PQ" if self.source.transfer == TransferCharacteristics.PQ else "HLG"
            self._note(f"HDR ({kind}, up to {peak:.0f} cd/m2) tone-mapped to 8-bit BT.709")
        elif name != self.format:
            self._note(f"{name} converted to 8-bit 4:2:0{', BT.709' if _is_rgb(name) else ''}")
        samples = samples.with_chroma(1, 1)
        samples = (
            in_sdr(samples, self.source, self.light) if self.tone_mapped else samples.with_bits(8)
        )
        return samples.turned(self._video.rotation, self._video.mirrored)

    def _kept(self, samples: YuvPlanes, name: str) -> YuvPlanes:
        """In the source's own depth and chroma."""
        turned = samples.turned(self._video.rotation, self._video.mirrored)
        if (samples.shift_x, samples.shift_y, samples.bits) != (*self.shifts, self.bits):
            self._note(f"{name} converted to {self.format}")
        elif (turned.shift_x, turned.shift_y) != self.shifts:
            self._note(f"chroma of {self.format} resampled, since the picture is turned")
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
    """The samples of a decoded frame as the stream is shown before it is turned: on black, and of
    the stream's size.

    A frame of another size is scaled to fit into it, its aspect kept, in the middle of black:
    nobody's face is stretched. ``note`` is told what had to be changed.
    """
    samples = yuv_of(frame, source_colour(video).is_full_range)
    if samples.transparent:
        note("what is transparent shown on black")
    samples = samples.on_black()
    width, height = video.width, video.height
    if (frame.width, frame.height) != (width, height):
        note(f"frames of {frame.width}x{frame.height} scaled to {width}x{height}")
        samples = samples.scaled(*fitting(frame.width, frame.height, width, height)).letterboxed(
            width, height
        )
    return samples


def fitting(width: int, height: int, into_width: int, into_height: int) -> tuple[int, int]:
    """The size a picture is scaled to, to fit into another with its aspect kept; all of it where
    they hardly differ."""
    scale = min(Fraction(into_width, width), Fraction(into_height, height))
    fitted = max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)
    if fitted[0] * 50 >= into_width * 49 and fitted[1] * 50 >= into_height * 49:
        return into_width, into_height
    return fitted


def _matrix(colour: Colour, height: int) -> Matrix:
    # Where the source does not say, the matrix is taken by its size, as players do.
    unknown: Matrix = "bt709" if height >= 720 else "bt601"
    unspecified = colour.matrix == MatrixCoefficients.UNSPECIFIED
    return _MATRICES.get(colour.matrix, unknown if unspecified else "bt601")


def _is_rgb(pixel_format: str) -> bool:
    """By its pixels: few streams of RGB say so in their description."""
    if not pixel_format:
        return False
    found = av.VideoFormat(pixel_format)
    return (
        found.is_rgb
        or found.has_palette
        or (len(found.components) == 2 and found.components[1].is_alpha)
    )
