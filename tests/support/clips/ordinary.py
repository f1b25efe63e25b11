"""What a player sees and hears of a file: an ordinary decode of it."""

import contextlib
import hashlib
from fractions import Fraction
from pathlib import Path

import av
import av.error

from facepaint.records.segment import AudioPacket

Frame = tuple[int | None, str]
"""Time in ticks and the md5 of the image."""


def decode_ordinarily(path: Path, decoder: str = "") -> list[Frame]:
    """The frames of the first video as a player sees them, which goes on behind a packet that
    cannot be decoded.

    ``decoder`` is the one to use where FFmpeg's first choice is not.
    """
    frames: list[Frame] = []
    with av.open(str(path)) as container:
        context = (
            av.CodecContext.create(decoder, "r")
            if decoder
            else container.streams.video[0].codec_context
        )
        assert isinstance(context, av.VideoCodecContext)
        for packet in container.demux(video=0):
            with contextlib.suppress(av.error.InvalidDataError):
                frames += [
                    (frame.pts, digest(frame))
                    for frame in context.decode(packet if packet.size else None)
                ]
    return frames


def audio_packets(path: Path) -> list[list[tuple[AudioPacket, str]]]:
    """The packets of every audio track of a file."""
    with av.open(str(path)) as container:
        tracks = {stream.index: n for n, stream in enumerate(container.streams.audio)}
        found: list[list[tuple[AudioPacket, str]]] = [[] for _ in tracks]
        for packet in container.demux(*container.streams.audio) if tracks else ():
            if packet.size:
                track = tracks[packet.stream.index]
                row = AudioPacket(track, packet.size, packet.pts, packet.dts, packet.duration or 0)
                found[track].append((row, hashlib.md5(bytes(packet)).hexdigest()))
    return found


def digest(frame: av.VideoFrame) -> str:
    """The md5 of an image, its planes without padding whatever its format."""
    raw = av.CodecContext.create("rawvideo", "w")
    assert isinstance(raw, av.VideoCodecContext)
    raw.width, raw.height, raw.pix_fmt = frame.width, frame.height, frame.format.name
    # Encoding counts a frame's time anew where it is counted otherwise.
    raw.time_base = frame.time_base or Fraction(1, 1000)
    (packet,) = raw.encode(frame)
    return hashlib.md5(bytes(packet)).hexdigest()
