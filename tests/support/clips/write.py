"""Write a clip of images and tones with every option of FFmpeg's encoders and muxers."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks.clips import RgbImage, scenes
from tasks.video.scheduling import drop_realtime_scheduling

SIZE = (320, 180)
FPS = 20
SECONDS = 2.5
GOP = 16
"""Frames from keyframe to keyframe: no divisor of any segment length."""

X264 = {"preset": "veryfast", "crf": "24"}
X265 = {"preset": "ultrafast", "x265-params": "log-level=none"}


class MissingTool(Exception):
    """A program or one of its encoders that a recipe needs is not there."""


@cache
def portrait(
    seconds: float = SECONDS, size: tuple[int, int] = SIZE, fps: Fraction | int = FPS
) -> tuple[RgbImage, ...]:
    """The images of the portrait clip: RGB, shape (height, width, 3), uint8; not to be written
    to."""
    return tuple(scenes(seconds, size, Fraction(fps)))


@dataclass(frozen=True)
class Video:
    """How the frames are encoded. ``time_base`` is 1 / fps unless it is given.

    ``shown`` is the counter-clockwise turn in degrees and the flip that the display matrix asks
    for. ``colour`` are the code points of ITU-T H.273 for primaries, transfer and matrix, and 1 or
    2 for limited or full range.
    ``tag`` is the codec tag of the container.
    """

    codec: str = "libx264"
    options: Mapping[str, str] = field(default_factory=dict)
    pixel_format: str = "yuv420p"
    gop: int = GOP
    fps: Fraction | int = FPS
    time_base: Fraction | None = None
    aspect: Fraction | None = None
    shown: tuple[float, bool] | None = None
    colour: tuple[int, int, int, int] | None = None
    tag: str = ""

    @property
    def tick(self) -> Fraction:
        """What times are counted in, in seconds."""
        return self.time_base or 1 / Fraction(self.fps)


@dataclass(frozen=True)
class AudioTrack:
    """A track of tones from ``start_s`` on, ``seconds`` long."""

    codec: str = "aac"
    seconds: float = SECONDS
    start_s: float = 0
    rate: int = 48_000
    language: str = ""
    title: str = ""
    pitch_hz: float = 330
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Extras:
    """What else is in the container. Subtitles are lines with their start and length in seconds, by
    language."""

    options: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    chapters: Sequence[tuple[float, float, str]] = ()
    subtitles: Mapping[str, Sequence[tuple[float, float, str]]] = field(default_factory=dict)


Frames = Iterable[Any]
"""RGB images, or frames in the pixel format of the video."""


def write_clip(
    path: Path,
    frames: Frames | None = None,
    video: Video = Video(),
    audio: Sequence[AudioTrack] = (),
    extras: Extras = Extras(),
    *,
    times: Iterable[int] | None = None,
) -> None:
    """Write a clip of the portrait, or of ``frames``.

    Args:
        frames: RGB images, or frames in the pixel format of the video.
        times: pts of each frame in ticks of ``video.time_base``; 0, 1, 2 ... unless given.
    """
    shown = list(portrait() if frames is None else frames)
    with av.open(str(path), "w", options=dict(extras.options)) as container:
        container.metadata.update(extras.tags)
        if extras.chapters:
            container.set_chapters(
                [_chapter(number, *row) for number, row in enumerate(extras.chapters, 1)]
            )
        stream = _video_stream(container, video, shown[0])
        tracks = [_audio_stream(container, track) for track in audio]
        packets = [
            *_subtitle_packets(container, extras),
            *encode(stream, shown, video, times),
            *(
                packet
                for stream, track in zip(tracks, audio, strict=True)
                for packet in _tones(stream, track)
            ),
        ]
        container.start_encoding()
        # A muxer wants what is decoded first to come first, whatever track it is of.
        for packet in sorted(packets, key=lambda packet: (packet.dts or 0) * packet.time_base):
            container.mux_one(packet)


def encode(
    stream: Any, frames: Frames, video: Video, times: Iterable[int] | None = None
) -> list[av.Packet[Any]]:
    """All packets of a stream's frames."""
    packets = []
    for number, frame in zip(times if times is not None else range(10**9), frames, strict=False):
        plain = (
            frame
            if isinstance(frame, av.VideoFrame)
            else av.VideoFrame.from_ndarray(frame, format="rgb24")
        )
        plain = _coloured(plain, video)
        plain.pts, plain.time_base = number, video.tick
        packets += stream.encode(plain)
    packets += stream.encode(None)
    return packets


def _coloured(frame: av.VideoFrame, video: Video) -> av.VideoFrame:
    """The frame in the video's pixel format, its pixels by the matrix and range that its tags tell
    of."""
    if frame.format.name == video.pixel_format:
        return frame
    primaries, transfer, matrix, extent = video.colour or (2, 2, 2, 0)
    turned = frame.reformat(
        format=video.pixel_format,
        dst_colorspace="ITU709" if matrix == 1 else "ITU601",
        dst_color_range="JPEG" if extent == 2 or video.pixel_format.startswith("yuvj") else "MPEG",
    )
    turned.color_primaries, turned.color_trc, turned.colorspace = primaries, transfer, matrix
    turned.color_range = extent
    return turned


def _video_stream(
    container: av.container.OutputContainer, video: Video, first: RgbImage | av.VideoFrame
) -> Any:
    options = {
        **(X264 if video.codec == "libx264" else X265 if video.codec == "libx265" else {}),
        **video.options,
    }
    stream = container.add_stream(
        video.codec, rate=Fraction(video.fps), options={"g": str(video.gop), **options}
    )
    assert isinstance(stream, av.VideoStream)
    if isinstance(first, av.VideoFrame):
        stream.width, stream.height = first.width, first.height
    else:
        stream.height, stream.width = first.shape[:2]
    stream.pix_fmt = video.pixel_format
    context = stream.codec_context
    context.time_base = video.tick
    if video.aspect:
        context.sample_aspect_ratio = video.aspect
    if video.colour:
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = (
            video.colour
        )
    if video.shown:
        stream.set_display_rotation(video.shown[0], hflip=video.shown[1])
    if video.tag:
        context.codec_tag = video.tag
    context.open()
    drop_realtime_scheduling()
    return stream


def _audio_stream(container: av.container.OutputContainer, audio: AudioTrack) -> av.AudioStream:
    # FFmpeg's own Vorbis encoder must be asked for so.
    options = {"strict": "experimental", **audio.options}
    stream = container.add_stream(audio.codec, rate=audio.rate, layout="stereo", options=options)
    assert isinstance(stream, av.AudioStream)
    if audio.language:
        stream.metadata["language"] = audio.language
    if audio.title:
        stream.metadata["title"] = audio.title
    stream.codec_context.open()
    return stream


def _tones(stream: av.AudioStream, audio: AudioTrack) -> list[av.Packet[Any]]:
    """A tone whose pitch changes every half second."""
    context = stream.codec_context
    at = np.arange(int(audio.seconds * audio.rate)) / audio.rate
    pitch = audio.pitch_hz * (1 + (at * 2).astype(int) % 5 / 4)
    wave = (0.15 * np.sin(2 * np.pi * pitch * at)).astype(np.float32)
    resampler = av.AudioResampler(
        context.format, "stereo", audio.rate, frame_size=context.frame_size or 1024
    )
    whole = av.AudioFrame.from_ndarray(np.stack([wave, wave]), format="fltp", layout="stereo")
    whole.sample_rate, whole.time_base = audio.rate, Fraction(1, audio.rate)
    whole.pts = round(audio.start_s * audio.rate)
    packets = []
    for frame in (*resampler.resample(whole), *resampler.resample(None), None):
        packets += stream.encode(frame)
    return packets


def _chapter(number: int, start_s: float, end_s: float, title: str) -> Any:
    tick = Fraction(1, 1000)
    times = {"start": round(start_s * 1000), "end": round(end_s * 1000)}
    return {"id": number, **times, "time_base": tick, "metadata": {"title": title}}


def _subtitle_packets(
    container: av.container.OutputContainer, extras: Extras
) -> list[av.Packet[Any]]:
    in_mp4 = container.format.name in {"mp4", "mov"}
    packets = []
    for language, lines in extras.subtitles.items():
        stream: Any = container.add_stream("mov_text" if in_mp4 else "subrip")
        stream.codec_context.subtitle_header = b"[Script Info]\r\nScriptType: v4.00+\r\n"
        stream.metadata["language"] = language
        for start_s, length_s, line in lines:
            data = line.encode()
            packet = av.Packet(len(data).to_bytes(2) + data if in_mp4 else data)
            packet.stream, packet.time_base = stream, Fraction(1, 1000)
            packet.pts = packet.dts = round(start_s * 1000)
            packet.duration, packet.is_keyframe = round(length_s * 1000), True
            packets.append(packet)
    return packets


def debian_ffmpeg(
    path: Path, *options: str, encoder: str, second_input: Sequence[str] = ()
) -> None:
    """Encode the portrait with Debian's ffmpeg, for what PyAV's FFmpeg has no encoder for.

    ``second_input`` are the arguments of a second input.

    Raises:
        MissingTool: there is no ffmpeg, or it lacks the encoder.
    """
    program = shutil.which("ffmpeg")
    if program is None:
        raise MissingTool("this clip is made by the program ffmpeg, which is not here")
    known = subprocess.run(
        [program, "-v", "error", "-encoders"], capture_output=True, text=True, check=True
    )
    if f" {encoder} " not in known.stdout:
        raise MissingTool(f"this clip is made by {encoder}, which the ffmpeg here lacks")
    raw = [
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-s",
        f"{SIZE[0]}x{SIZE[1]}",
        "-r",
        str(FPS),
        "-i",
        "-",
    ]
    images = b"".join(image.tobytes() for image in portrait())
    command = [
        program,
        "-v",
        "error",
        "-y",
        *raw,
        *second_input,
        "-pix_fmt",
        "yuv420p",
        *options,
        str(path),
    ]
    subprocess.run(command, input=images, check=True)
