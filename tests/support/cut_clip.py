"""Cuts a file as the uploader does and decodes it as workers do."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from facepaint.records.segment import AudioPacket, Segment
from tasks.video.decode import RunSource, decode_window
from tests.support.clips.ordinary import Frame, digest
from uploader.cutter import CutSegment
from uploader.probe import Probe, probe
from uploader.reader import Reader


@dataclass(frozen=True)
class CutClip:
    """A cut file: its probe and its segments."""

    probed: Probe
    segments: list[CutSegment]
    truncated: str

    @property
    def records(self) -> list[Segment]:
        return [segment.record for segment in self.segments]

    def frames(self, index: int) -> list[Frame]:
        """The frames of a segment, as a worker decodes them."""
        first = self.records[index].decode_from
        bins = [segment.data for segment in self.segments[first : index + 1]]
        window = decode_window(self.probed.video, RunSource(self.records[first : index + 1], bins))
        return [(frame.pts, digest(frame)) for frame in window]

    def all_frames(self) -> list[Frame]:
        return [frame for index in range(len(self.segments)) for frame in self.frames(index)]

    def audio(self) -> list[list[tuple[AudioPacket, str]]]:
        """Each track's packets with their md5, over all segments."""
        tracks: list[list[tuple[AudioPacket, str]]] = [[] for _ in self.probed.audio]
        for segment in self.segments:
            position = 0
            for packet in segment.record.audio:
                data = segment.audio[position : position + packet.size]
                tracks[packet.stream].append((packet, hashlib.md5(data).hexdigest()))
                position += packet.size
        return tracks


def cut_clip(path: Path, segment_s: float, probed: Probe | None = None) -> CutClip:
    """Cut a file; ``probed`` saves probing it again."""
    probed = probed or probe(path)
    reader = Reader(path, probed, segment_s)
    segments = list(reader.segments())
    return CutClip(probed, segments, reader.truncated)
