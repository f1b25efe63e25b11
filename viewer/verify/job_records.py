"""Compare a saved file with the records of its job, packet by packet; nothing is decoded."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer

from facepaint.parallel import in_parallel
from facepaint.records import keys
from facepaint.records.job import Sealed, VideoJob
from facepaint.records.results import Painted
from facepaint.records.segment import AudioPacket, Segment, SegmentData
from facepaint.store import Store
from viewer.verify.frames import FrameMatch, Shown, match_frames
from viewer.verify.tracks import MATROSKA_S, IncreasingTimes, PacketData, TrackMatch

AT_ONCE = 16
"""Records that are read at once."""


class RecordComparison:
    """Goes through a saved file and the records of its job side by side.

    Both are in the order of time, so few packets wait in memory. A segment without a painted record
    is a gap: the file has its audio but no frames of it.

    Args:
        store: where the records are.
        job: the job that was saved.
        look_id: its look that was saved.
        container: the open file.
        shift_s: how much later everything is in the file than in the source, in seconds.
    """

    def __init__(
        self,
        store: Store,
        job: VideoJob,
        look_id: str,
        container: InputContainer,
        shift_s: Fraction,
    ) -> None:
        self._store, self._job, self._look_id = store, job, look_id
        self.tracks_found = len(container.streams.audio)
        self._file = _SavedPackets(container, shift_s, with_audio=self.has_all_tracks)
        self._due = [IncreasingTimes(self._file.ticks_s[index]) for index in self._file.audio]
        self.tracks = [TrackMatch() for _ in self._file.audio]
        self.frames_due = 0

    @property
    def has_all_tracks(self) -> bool:
        """Whether the file has as many audio tracks as the job; only then they are compared."""
        return self.tracks_found == len(self._job.audio)

    @property
    def tolerance_s(self) -> Fraction:
        """A difference in the time of a frame that is none."""
        return self._file.tolerance_s(self._file.video, self._job.video.time_base)

    def run(self) -> FrameMatch:
        """Compare everything; the outcome of the audio is in ``tracks``.

        Raises:
            ObjectMissing: the job is not sealed, or one of its records is missing.
            av.FFmpegError: the file cannot be read.
        """
        # The audio of a segment is compared while its frames are, which keeps both sides in step.
        frames = match_frames(
            self._expected_frames(), self._file.frames(), self.tolerance_s, may_shift=False
        )
        for index, match in zip(self._file.audio, self.tracks, strict=True):
            while (packet := self._file.take(index)) is not None:
                match.extra.add(str(packet))
        return frames

    def _expected_frames(self) -> Iterator[Shown]:
        for segment, painted in self._records():
            if painted is not None:
                self.frames_due += painted.frames
                yield from _frames_of(segment, painted, self._job.video.time_base)
            if self.has_all_tracks:
                self._compare_audio(segment)

    def _records(self) -> Iterator[tuple[Segment, Painted | None]]:
        store, job_id = self._store, self._job.id
        total = store.get_record(keys.sealed(job_id), Sealed).segments
        for start in range(0, total, AT_ONCE):
            indexes = range(start, min(total, start + AT_ONCE))
            segments = in_parallel(
                lambda n: store.get_record(keys.segment(job_id, n), Segment), indexes
            )
            painted = in_parallel(
                lambda n: store.find_record(keys.painted(job_id, self._look_id, n), Painted),
                indexes,
            )
            yield from zip(segments, painted, strict=True)

    def _compare_audio(self, segment: Segment) -> None:
        found = [self._take(packet) for packet in segment.audio]
        sources = self._source_data(segment, found)
        for packet, data, saved in zip(segment.audio, sources, found, strict=True):
            tick_s = self._job.audio[packet.stream].time_base
            time_s = None if packet.pts is None else packet.pts * tick_s
            due_s = self._due[packet.stream].of(time_s)
            expected = PacketData(due_s, data, packet.duration * tick_s)
            match, index = self.tracks[packet.stream], self._file.audio[packet.stream]
            if saved is None:
                match.add_missing(expected)
            else:
                match.compare_pair(expected, saved, self._file.tolerance_s(index, tick_s))

    def _take(self, packet: AudioPacket) -> PacketData | None:
        """The next audio packet of the file, for one of the job."""
        is_pcm = self._job.audio[packet.stream].codec.startswith("pcm_")
        # Containers put as many PCM samples into a packet as they like.
        return self._file.take(self._file.audio[packet.stream], packet.size if is_pcm else None)

    def _source_data(self, segment: Segment, found: Sequence[PacketData | None]) -> list[bytes]:
        """The bytes of a segment's audio packets, as the source has them."""
        saved = [b"" if packet is None else packet.data for packet in found]
        # The digest proves that they are the same, so the source's need not be fetched.
        if SegmentData.pack(saved).sha256 == segment.audio_sha256:
            return saved
        source = SegmentData(self._store.get(keys.audio(self._job.id, segment.index)))
        return [data for _, data in source.unpack(segment.audio)]


def _frames_of(segment: Segment, painted: Painted, tick_s: Fraction) -> Iterator[Shown]:
    """The frames that a painted segment must show."""
    shown = {packet.pts for packet in segment.packets if not packet.discard}
    times = sorted(pts for pts in shown if pts is not None and painted.start <= pts < painted.end)
    if len(times) == painted.frames:
        yield from (Shown(0, pts * tick_s) for pts in times)
        return
    # Some packets gave no frame of their own. The record does not state which.
    for _ in range(painted.frames):
        yield Shown(0, painted.start * tick_s, (painted.end - 1) * tick_s)


class _SavedPackets:
    """The packets of a saved file, stream by stream; times are in seconds on the source's clock.

    ``video`` and ``audio`` are stream indexes, ``ticks_s`` the time bases by stream index.
    """

    def __init__(self, container: InputContainer, shift_s: Fraction, *, with_audio: bool) -> None:
        self._shift_s = shift_s
        video, audio = container.streams.video[0], container.streams.audio if with_audio else ()
        self.video = video.index
        self.audio = [stream.index for stream in audio]
        self.ticks_s = {s.index: Fraction(s.time_base or 1) for s in container.streams}
        self._slack_s = MATROSKA_S if "matroska" in container.format.name else Fraction(0)
        self._waiting: dict[int, deque[PacketData]] = {
            index: deque() for index in (self.video, *self.audio)
        }
        # Packets of a stream that is not compared would fill the memory.
        self._demuxed = container.demux(video, *audio)

    def tolerance_s(self, index: int, tick_s: Fraction) -> Fraction:
        """A difference in time that is none: a tick of the coarser clock.

        Matroska rounds a track's encoder delay separately, too.
        """
        return max(self.ticks_s[index], tick_s) + self._slack_s

    def frames(self) -> Iterator[Shown]:
        """When each frame is shown."""
        while (packet := self.take(self.video)) is not None:
            if packet.time_s is not None:
                yield Shown(0, packet.time_s)

    def take(self, index: int, size: int | None = None) -> PacketData | None:
        """The next packet of a stream, or so many bytes of it; None at the end."""
        waiting = self._waiting[index]
        if not self._fill(waiting):
            return None
        packet = waiting.popleft()
        if size is None:
            return packet
        while len(packet.data) < size and self._fill(waiting):
            packet = packet.joined(waiting.popleft())
        packet, rest = packet.cut(size)
        if rest is not None:
            waiting.appendleft(rest)
        return packet

    def _fill(self, waiting: deque[PacketData]) -> bool:
        """Read until the stream has a packet waiting; False at the end."""
        while not waiting:
            packet = next(self._demuxed, None)
            if packet is None:
                return False
            self._add(packet)
        return True

    def _add(self, packet: av.Packet[Any]) -> None:
        is_video = packet.stream_index == self.video
        # Players do not show what an edit list cuts off, so such a frame counts as missing.
        if not packet.size or packet.pts is None or (is_video and packet.is_discard):
            return
        tick_s = self.ticks_s[packet.stream_index]
        self._waiting[packet.stream_index].append(
            PacketData(
                packet.pts * tick_s - self._shift_s,
                b"" if is_video else bytes(packet),
                (packet.duration or 0) * tick_s,
            )
        )
