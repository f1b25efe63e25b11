"""Cut a file as the uploader does and decode it as the workers do, beside an ordinary decode of the same file."""

import contextlib
import hashlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error

from facepaint.jobs import AudioPacket, Segment
from tasks.decode import decode_window
from uploader.cut import CutSegment
from uploader.probe import Probe, probe
from uploader.read import Reader

Frame = tuple[int | None, str]
"""Time in ticks and the md5 of the picture."""


@dataclass(frozen=True)
class CutClip:
    """A file that was cut: what is known of it and its segments."""

    probed: Probe
    segments: list[CutSegment]
    truncated: str

    @property
    def records(self) -> list[Segment]:
        return [segment.record for segment in self.segments]

    def frames(self, index: int) -> list[Frame]:
        """What a worker sees of a segment."""
        first = self.records[index].decode_from
        bins = (segment.data for segment in self.segments[first : index + 1])
        window = decode_window(self.probed.video, self.records[first : index + 1], bins)
        return [(frame.pts, digest(frame)) for frame in window]

    def all_frames(self) -> list[Frame]:
        return [frame for index in range(len(self.segments)) for frame in self.frames(index)]

    def sounds(self) -> list[list[tuple[AudioPacket, str]]]:
        """Each track's packets with their md5, put together again."""
        tracks: list[list[tuple[AudioPacket, str]]] = [[] for _ in self.probed.audio]
        for segment in self.segments:
            position = 0
            for packet in segment.record.audio:
                data = segment.audio[position : position + packet.size]
                tracks[packet.stream].append((packet, hashlib.md5(data).hexdigest()))
                position += packet.size
        return tracks


def cut_clip(path: Path, segment_s: float) -> CutClip:
    """Cut a file."""
    probed = probe(path)
    reader = Reader(path, probed, segment_s)
    segments = list(reader.segments())
    return CutClip(probed, segments, reader.truncated)


def decode_ordinarily(path: Path, decoder: str = "") -> list[Frame]:
    """The frames of the first video as a player sees them, which goes on behind a packet that cannot be decoded.

    ``decoder`` is the one to use where FFmpeg's first choice is not.
    """
    frames: list[Frame] = []
    with av.open(str(path)) as container:
        context = av.CodecContext.create(decoder, "r") if decoder else container.streams.video[0].codec_context
        assert isinstance(context, av.VideoCodecContext)
        for packet in container.demux(video=0):
            with contextlib.suppress(av.error.InvalidDataError):
                frames += [(frame.pts, digest(frame)) for frame in context.decode(packet if packet.size else None)]
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
    """The md5 of a picture, its planes without padding whatever its format."""
    raw = av.CodecContext.create("rawvideo", "w")
    assert isinstance(raw, av.VideoCodecContext)
    raw.width, raw.height, raw.pix_fmt = frame.width, frame.height, frame.format.name
    # Encoding counts a frame's time anew where it is counted otherwise.
    raw.time_base = frame.time_base or Fraction(1, 1000)
    (packet,) = raw.encode(frame)
    return hashlib.md5(bytes(packet)).hexdigest()
