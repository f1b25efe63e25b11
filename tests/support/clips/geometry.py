"""How frames are to be turned, flipped, stretched, and put together from two fields."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.filter import Graph

from tests.support.clips.registry import clip
from tests.support.clips.write import FPS, SIZE, AudioTrack, Video, encode, portrait, write_clip

TURNED = {"bf": "2"}


@clip("turned-90.mp4", "rotation 90")
def turned_90(path: Path) -> None:
    """A phone held upright: stored on its side, with the display matrix that turns it by 90 degrees
    clockwise."""
    _turned(path, 90)


@clip("turned-180.mp4", "rotation 180")
def turned_180(path: Path) -> None:
    """A phone held upside down."""
    _turned(path, 180)


@clip("turned-270.mov", "rotation 270")
def turned_270(path: Path) -> None:
    """A phone held upright the other way, in MOV."""
    _turned(path, 270)


@clip("mirrored.mp4", "mirrored matrix")
def mirrored(path: Path) -> None:
    """A front camera: stored as the sensor sees it, with a matrix that flips it left to right."""
    images = [np.ascontiguousarray(image[:, ::-1]) for image in portrait()]
    write_clip(path, images, Video(options=TURNED, shown=(0, True)))


@clip("mirrored-90.mp4", "mirrored matrix, rotation 90")
def mirrored_90(path: Path) -> None:
    """A front camera held upright: the matrix turns and flips."""
    images = [np.ascontiguousarray(np.rot90(image[:, ::-1], -1)) for image in portrait()]
    write_clip(path, images, Video(options=TURNED, shown=(90, True)))


@clip("sar.mp4", "sample aspect ratio 4:3")
def stretched(path: Path) -> None:
    """HDV and DVD widescreen: 240x180 px shown as 320x180."""
    write_clip(
        path,
        portrait(size=(240, 180)),
        Video(options=TURNED, aspect=Fraction(4, 3)),
        audio=[AudioTrack()],
    )


@clip("sar-turned.mp4", "sample aspect ratio 4:3, rotation 90")
def stretched_and_turned(path: Path) -> None:
    """The ratio is of the stored pixels: turned upright it is 3:4."""
    images = [np.ascontiguousarray(np.rot90(image)) for image in portrait(size=(240, 180))]
    write_clip(path, images, Video(options=TURNED, aspect=Fraction(4, 3), shown=(-90, False)))


@clip("odd.webm", "odd width and height")
def odd(path: Path) -> None:
    """321x181 px, which VP9 has in 4:2:0 and H.264 has not."""
    video = Video("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"})
    write_clip(path, portrait(size=(321, 181)), video)


@clip("odd-444.mp4", "odd width and height, 4:4:4")
def odd_444(path: Path) -> None:
    """A screen recording of a window of 321x181 px, which H.264 has in 4:4:4 alone."""
    write_clip(path, portrait(size=(321, 181)), Video(pixel_format="yuv444p", options={"bf": "2"}))


@clip("interlaced-mpeg2.ts", "interlaced MPEG-2, top field first")
def interlaced_mpeg2(path: Path) -> None:
    """40 fields a second woven into 20 frames while the camera pans, coded as fields and flagged,
    as DVB sends it."""
    options = {"flags": "+ildct+ilme", "bf": "2", "b": "2M"}
    write_clip(path, _woven("tff"), Video("mpeg2video", options), audio=[AudioTrack("mp2")])


@clip("interlaced-h264.mp4", "interlaced H.264, bottom field first")
def interlaced_h264(path: Path) -> None:
    """The same in H.264 (MBAFF), the lower field shown first, as camcorders have it."""
    write_clip(path, _woven("bff"), Video(options={"bf": "2", "x264-params": "bff=1"}))


@clip("resized.ts", "size change in mid-stream, H.264")
def resized_h264(path: Path) -> None:
    """A broadcast that goes over from 320x180 to 240x136 after 1.25 s, its parameter sets in the
    stream."""
    half = len(portrait()) // 2
    first, second = path.with_name("first.ts"), path.with_name("second.ts")
    write_clip(first, portrait()[:half], Video(options={"bf": "0"}))
    times = range(half, len(portrait()))
    write_clip(second, portrait(size=(240, 136))[half:], Video(options={"bf": "0"}), times=times)
    path.write_bytes(first.read_bytes() + second.read_bytes())


@clip("resized.webm", "size change in mid-stream, VP9")
def resized_vp9(path: Path) -> None:
    """A video call whose sender goes down from 320x180 to 160x90 px after 1.25 s, and back."""
    video = Video("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"})
    thirds = [portrait()[:17], portrait(size=(160, 90))[17:34], portrait()[34:]]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=FPS, options=dict(video.options))
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.codec_context.time_base = video.tick
        container.start_encoding()
        at = 0
        for images in thirds:
            encoder = av.CodecContext.create("libvpx-vp9", "w")
            encoder.height, encoder.width = images[0].shape[:2]
            encoder.pix_fmt, encoder.time_base, encoder.framerate = (
                "yuv420p",
                video.tick,
                Fraction(FPS),
            )
            encoder.options = dict(video.options)
            for packet in encode(encoder, images, video, range(at, at + len(images))):
                packet.stream, packet.time_base = stream, video.tick
                container.mux_one(packet)
            at += len(images)


def _turned(path: Path, clockwise: int) -> None:
    """Stored so that turning it clockwise by so many degrees makes it upright; upright it is taller
    than wide."""
    size = (180, 320) if clockwise % 180 else SIZE
    images = [
        np.ascontiguousarray(np.rot90(image, clockwise // 90)) for image in portrait(size=size)
    ]
    write_clip(path, images, Video(options=TURNED, shown=(-clockwise, False)), audio=[AudioTrack()])


def _woven(order: str) -> Iterator[av.VideoFrame]:
    """Interlaced frames, flagged so, of the portrait while the camera pans; ``order`` is tff or
    bff.

    Two images at twice the rate make one frame: the first gives every other line of it, from the
    top or the second line on, the second gives the lines between.
    """
    graph = Graph()
    source = graph.add_buffer(None, *SIZE, av.VideoFormat("yuv420p"), time_base=Fraction(1, FPS))
    flag, sink = graph.add("setfield", order), graph.add("buffersink")
    source.link_to(flag)
    flag.link_to(sink)
    graph.configure()
    wide = portrait(size=(2 * SIZE[0], SIZE[1]), fps=2 * FPS)
    fields = [image[:, SIZE[0] * n // len(wide) :][:, : SIZE[0]] for n, image in enumerate(wide)]
    parities = (0, 1) if order == "tff" else (1, 0)
    for number in range(len(fields) // 2):
        frame = av.VideoFrame(*SIZE, "yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, FPS)
        for parity, field in zip(parities, fields[2 * number :], strict=False):
            # Converted on its own: a field has chroma lines of its own.
            half = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(field[parity::2]), format="rgb24"
            )
            for lines, target in zip(
                half.reformat(format="yuv420p").planes, frame.planes, strict=True
            ):
                _rows(target)[parity::2, : lines.width] = _rows(lines)[:, : lines.width]
        graph.push(frame)
        flagged = graph.pull()
        assert isinstance(flagged, av.VideoFrame)
        yield flagged


def _rows(plane: Any) -> Any:
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height]
