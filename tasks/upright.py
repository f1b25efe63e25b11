"""Bring decoded frames into the one form everything else works on: upright, 8-bit 4:2:0, even sides, one size."""

from dataclasses import replace
from typing import Literal

import av
import numpy as np
import numpy.typing as npt

from facepaint.jobs import Colour, VideoStream

Plane = npt.NDArray[np.uint8]

RGB_MATRIX = 0
BT709 = 1
UNSPECIFIED = 2
LIMITED, FULL = 1, 2

Matrix = Literal["bt601", "bt709", "bt2020"]
_MATRICES: dict[int, Matrix] = {1: "bt709", 9: "bt2020", 10: "bt2020"}


def plane_views(frame: av.VideoFrame) -> list[Plane]:
    """The planes of an 8-bit planar frame as uint8 arrays over the frame's own memory, padding cut off."""
    return [
        np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
        for plane in frame.planes
    ]


class Upright:
    """Makes frames of a stream upright yuv420p of one size, at least of work: most frames pass untouched.

    ``size`` is (width, height) of what comes out: the stream's upright size, an odd side padded by one line.
    ``format`` is its pixel format, ``colour`` its description: the stream's own, RGB turned to BT.709.
    ``notes`` collects, once each, what had to be changed.
    """

    def __init__(self, video: VideoStream) -> None:
        self._video = video
        width, height = video.upright_size
        self.size = (width + width % 2, height + height % 2)
        full = video.colour.range == FULL or video.pixel_format.startswith("yuvj")
        self.colour: Colour = replace(video.colour, range=FULL if full else video.colour.range)
        # By its pixels: few streams of RGB say so in their description.
        source = av.VideoFormat(video.pixel_format) if video.pixel_format else None
        self._from_rgb = source is not None and (source.is_rgb or source.has_palette)
        if self._from_rgb:
            full = False
            self.colour = replace(video.colour, matrix=BT709, range=LIMITED)
        elif video.colour.matrix == RGB_MATRIX:
            self.colour = replace(self.colour, matrix=UNSPECIFIED)
        self.format = "yuvj420p" if full else "yuv420p"
        # Where the source does not say, the matrix is taken by its size, as players do.
        unknown: Matrix = "bt709" if video.height >= 720 else "bt601"
        self.matrix = _MATRICES.get(self.colour.matrix, unknown if self.colour.matrix == UNSPECIFIED else "bt601")
        self.notes: dict[str, None] = {}

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame in the common form; its pts is kept. The same object where nothing had to change."""
        video = self._video
        resized = (frame.width, frame.height) != (video.width, video.height)
        if resized:
            self._note(f"frames of {frame.width}x{frame.height} scaled to {video.width}x{video.height}")
        if frame.format.name != self.format:
            bt709 = ", BT.709" if self._from_rgb else ""
            self._note(f"{frame.format.name} converted to 8-bit 4:2:0{bt709}")
        plain = frame
        if resized or frame.format.name != self.format:
            plain = frame.reformat(
                video.width,
                video.height,
                self.format,
                dst_colorspace="ITU709" if self._from_rgb else None,
                interpolation="BICUBIC" if resized else None,
                dst_color_range="MPEG" if self._from_rgb else None,
            )
        if video.rotation or video.mirrored or plain.width % 2 or plain.height % 2:
            plain = self._turned(plain)
        plain.pts = frame.pts
        return plain

    def _turned(self, frame: av.VideoFrame) -> av.VideoFrame:
        width, height = self.size
        turned = av.VideoFrame(width, height, frame.format.name)
        for source, target in zip(plane_views(frame), plane_views(turned), strict=True):
            _copy_padded(self._turn(source), target)
        turned.colorspace, turned.color_range = frame.colorspace, frame.color_range
        return turned

    def _turn(self, plane: Plane) -> Plane:
        if self._video.mirrored:
            plane = plane[:, ::-1]
        return np.rot90(plane, -self._video.rotation // 90)

    def _note(self, text: str) -> None:
        self.notes[text] = None


def _copy_padded(source: Plane, target: Plane) -> None:
    """Copy into the upper left corner and repeat the last line and column into what is left, if anything."""
    height, width = source.shape
    target[:height, :width] = source
    if target.shape[1] > width:
        target[:height, width:] = source[:, -1:]
    if target.shape[0] > height:
        target[height:] = target[height - 1]
