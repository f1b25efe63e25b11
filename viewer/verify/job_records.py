"""Check a saved file against what the job's records say it must hold."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

from facepaint.jobs.people import require_video
from facepaint.jobs.status import find_job
from facepaint.parallel import in_parallel
from facepaint.records import keys
from facepaint.records.job import Sealed, VideoJob
from facepaint.records.results import Painted
from facepaint.records.segment import AudioPacket, Segment, SegmentData
from facepaint.store import Store

AT_ONCE = 16
"""Records read at once."""

ADTS_HEADERS = (7, 9)
"""Bytes that AAC from a transport stream or a .aac file has before each packet, and that no MP4 or
Matroska keeps."""

FIRST_PROBLEMS = 10


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome: every problem in a sentence (at most the first few)."""

    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the file is what the job's records promise."""
        return not self.problems


def check_saved(
    store: Store, job_id: str, look_id: str, path: Path, shift_s: Fraction = Fraction(0)
) -> Check:
    """Read a saved file's packets and compare: number and times of pictures, order, times and bytes
    of the sound.

    Segments without a painted record are gaps, of which the file holds the sound only. ``shift_s``
    is how much later everything is than in the source.

    Raises:
        UnknownJob: there is no such job.
        ObjectMissing: the job is not sealed, or one of its records is gone.
    """
    job = require_video(find_job(store, job_id))
    total = store.get_record(keys.sealed(job_id), Sealed).segments
    try:
        with av.open(f"file:{path}", "r") as container:
            comparison = _Comparison(
                job, container, shift_s, lambda n: store.get(keys.audio(job_id, n))
            )
            for start in range(0, total, AT_ONCE):
                indexes = range(start, min(total, start + AT_ONCE))
                segments = in_parallel(
                    lambda n: store.get_record(keys.segment(job_id, n), Segment), indexes
                )
                painted = in_parallel(
                    lambda n: store.find_record(keys.painted(job_id, look_id, n), Painted), indexes
                )
                for segment, record in zip(segments, painted, strict=True):
                    comparison.segment(segment, record)
            return comparison.finish()
    except av.FFmpegError as exc:
        return Check((f"the file cannot be read back: {exc}",), ())


@dataclass(frozen=True, slots=True)
class _Found:
    """A packet of the file: when it starts and how long it lasts in seconds, and its bytes if they
    are compared."""

    start_s: Fraction
    duration_s: Fraction
    data: bytes

    def joined(self, other: _Found) -> _Found:
        """With what comes right behind it."""
        return _Found(self.start_s, self.duration_s + other.duration_s, self.data + other.data)

    def cut(self, size: int) -> tuple[_Found, _Found | None]:
        """The first ``size`` bytes, and what is behind them."""
        if size >= len(self.data):
            return self, None
        part_s = self.duration_s * Fraction(size, len(self.data))
        behind = _Found(self.start_s + part_s, self.duration_s - part_s, self.data[size:])
        return _Found(self.start_s, part_s, self.data[:size]), behind


@dataclass(slots=True)
class _Packets:
    """The packets of one stream that were read and not yet compared; ``due_s`` is when the last one
    was to start."""

    waiting: deque[_Found] = field(default_factory=deque)
    due_s: Fraction | None = None


class _Comparison:
    """Goes through file and records side by side; the file is interleaved, so little of it waits in
    memory."""

    def __init__(
        self,
        job: VideoJob,
        container: InputContainer,
        shift_s: Fraction,
        source_sound: Callable[[int], bytes],
    ) -> None:
        self._job, self._shift_s, self._source_sound = job, shift_s, source_sound
        self._video = container.streams.video[0]
        self._streams = {
            self._video.index: _Packets(),
            **{s.index: _Packets() for s in container.streams.audio},
        }
        self._audio = [stream.index for stream in container.streams.audio]
        self._ticks = {s.index: Fraction(s.time_base or 1) for s in container.streams}
        self._slack_s = Fraction(1, 1000) if "matroska" in container.format.name else Fraction(0)
        self._demuxed = container.demux(self._video, *container.streams.audio)
        self._problems: list[str] = []
        self._without_header: set[int] = set()
        if len(self._audio) != len(job.audio):
            self._problem(f"there are {len(self._audio)} audio tracks instead of {len(job.audio)}")

    def segment(self, segment: Segment, record: Painted | None) -> None:
        """Compare what belongs to one segment."""
        if record is not None:
            self._pictures(segment, record)
        if len(self._audio) == len(self._job.audio):
            self._sound(segment)

    def finish(self) -> Check:
        """Whatever is left was not promised."""
        for packet in self._demuxed:
            if packet.size:
                self._streams[packet.stream_index].waiting.append(
                    _Found(Fraction(0), Fraction(0), b"")
                )
        for index, packets in self._streams.items():
            if packets.waiting:
                kind = "pictures" if index == self._video.index else "audio packets"
                self._problem(f"there are {len(packets.waiting)} {kind} more than the job has")
        notes = [
            f"audio track {track + 1}: the ADTS headers are taken off, as MP4 and Matroska want it"
            for track in sorted(self._without_header)
        ]
        return Check(tuple(self._problems[:FIRST_PROBLEMS]), tuple(notes))

    def _problem(self, text: str) -> None:
        if len(self._problems) < FIRST_PROBLEMS:
            self._problems.append(text)

    def _pictures(self, segment: Segment, record: Painted) -> None:
        tick = self._job.video.time_base
        promised = {packet.pts for packet in segment.packets if not packet.discard}
        times = sorted(
            pts for pts in promised if pts is not None and record.start <= pts < record.end
        )
        exact = len(times) == record.frames
        for number in range(record.frames):
            found = self._take(self._video.index)
            if found is None:
                self._problem(
                    f"segment {record.index} has {number} pictures instead of {record.frames}"
                )
                return
            near_s = min(max(found.start_s, record.start * tick), record.end * tick)
            wanted_s = times[number] * tick if exact else near_s
            if abs(found.start_s - wanted_s) > self._tolerance(self._video.index, tick):
                self._problem(
                    f"picture {number} of segment {record.index} "
                    f"is at {float(found.start_s):.6f} s "
                    "instead of "
                    f"{float(wanted_s):.6f} s"
                )

    def _sound(self, segment: Segment) -> None:
        pieces = []
        for packet in segment.audio:
            # A container cuts samples into packets as it likes.
            size = packet.size if self._job.audio[packet.stream].codec.startswith("pcm_") else None
            found = self._take(self._audio[packet.stream], size)
            if found is None:
                self._problem(
                    f"audio track {packet.stream + 1} ends before segment {segment.index} does"
                )
                return
            self._check_start(segment.index, packet, found)
            pieces.append(found.data)
        same = SegmentData.pack(pieces).sha256 == segment.audio_sha256
        if not same and not self._same_but_for_headers(segment, pieces):
            self._problem(f"the sound of segment {segment.index} is not the source's")

    def _same_but_for_headers(self, segment: Segment, pieces: list[bytes]) -> bool:
        """Whether ADTS headers are all that the pieces lack; which tracks had them is
        remembered."""
        source = SegmentData(self._source_sound(segment.index))
        for (packet, whole), piece in zip(source.unpack(segment.audio), pieces, strict=True):
            if whole != piece:
                is_adts = (
                    self._job.audio[packet.stream].codec == "aac"
                    and len(whole) - len(piece) in ADTS_HEADERS
                )
                if not is_adts or not whole.endswith(piece):
                    return False
                self._without_header.add(packet.stream)
        return True

    def _check_start(self, segment: int, packet: AudioPacket, found: _Found) -> None:
        if packet.pts is None:
            return
        index, tick = self._audio[packet.stream], self._job.audio[packet.stream].time_base
        packets = self._streams[index]
        due_s = packet.pts * tick
        if packets.due_s is not None:
            # Damaged sources have packets at one time, and a file wants times that grow.
            due_s = max(due_s, packets.due_s + self._ticks[index])
        packets.due_s = due_s
        if abs(found.start_s - due_s) > self._tolerance(index, tick):
            self._problem(
                f"sound of segment {segment} is at {float(found.start_s):.6f} s instead of "
                f"{float(due_s):.6f} s"
            )

    def _tolerance(self, index: int, tick: Fraction) -> Fraction:
        """One tick of the coarser of the two clocks; Matroska rounds a track's encoder delay on its
        own, too."""
        return max(self._ticks[index], tick) + self._slack_s

    def _take(self, index: int, size: int | None = None) -> _Found | None:
        """The next packet of a stream, or so many bytes of it."""
        packets = self._streams[index]
        if not self._fill(packets):
            return None
        found = packets.waiting.popleft()
        if size is None:
            return found
        while len(found.data) < size and self._fill(packets):
            found = found.joined(packets.waiting.popleft())
        found, behind = found.cut(size)
        if behind is not None:
            packets.waiting.appendleft(behind)
        return found

    def _fill(self, packets: _Packets) -> bool:
        """Read until the stream has a packet waiting; False at the end."""
        while not packets.waiting:
            packet = next(self._demuxed, None)
            if packet is None:
                return False
            if packet.size and packet.pts is not None:
                self._add(packet)
        return True

    def _add(self, packet: av.Packet[Any]) -> None:
        tick = self._ticks[packet.stream_index]
        start_s = (packet.pts or 0) * tick - self._shift_s
        is_video = packet.stream_index == self._video.index
        if is_video and packet.is_discard:
            self._problem(f"the picture at {float(start_s):.6f} s is cut away by the container")
        found = _Found(start_s, (packet.duration or 0) * tick, b"" if is_video else bytes(packet))
        self._streams[packet.stream_index].waiting.append(found)
