"""Decode a segment: packets in, the frames of its window out. No container is involved.

A window in the middle of a run can only be decoded from the run's keyframe on. A worker process
therefore keeps the decoder of a window whose run continues, and resumes it for a later window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Protocol

import av
import av.error

from facepaint.errors import PartialProgress
from facepaint.media.decoder import make_packet, open_decoder
from facepaint.records.job import VideoStream
from facepaint.records.segment import Packet, Segment, SegmentData
from tasks.video.yuv import top_down


class SegmentBytes(Protocol):
    """The bytes of each segment of a run, by its position in the run; may be fetched on demand."""

    def __getitem__(self, number: int, /) -> bytes: ...


@dataclass(slots=True)
class DecodeReport:
    """Frames that the decoder lost or damaged, by their pts, and its reasons."""

    lost: list[int] = field(default_factory=list)
    damaged: list[int] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def notes(self, video: VideoStream, origin: int, times: Sequence[int]) -> list[str]:
        """Sentences about what is missing or damaged.

        Args:
            origin: the pts that seconds are counted from.
            times: the pts of all frames of the window.
        """
        notes = []
        if self.lost:
            why = f" ({'; '.join(self.reasons)})" if self.reasons else ""
            where = _spans(video, origin, times, self.lost)
            notes.append(f"{_frames(len(self.lost))} could not be decoded, at {where}{why}")
        if self.damaged:
            where = _spans(video, origin, times, self.damaged)
            notes.append(
                f"{_frames(len(self.damaged))} damaged and concealed by the decoder, at {where}"
            )
        return notes


class DecoderPool:
    """Open decoders that a process keeps between tasks. A taken decoder has one user.

    Args:
        kept: decoders kept at most: one of a detect and one of a paint task that lags behind it.
            Each holds up to 16 frames.
        lead_s: seconds that one attempt may spend on packets before its window. The window itself
            and its painting need the rest of a task's time limit.
        clock: gives seconds.

    ``packets`` counts those that its decoders were given.
    """

    def __init__(
        self, kept: int = 2, lead_s: float = 30.0, clock: Callable[[], float] = monotonic
    ) -> None:
        self._kept = kept
        self.lead_s = lead_s
        self.clock = clock
        self.packets = 0
        self._decoders: list[RunDecoder] = []

    def take(self, video: VideoStream, source: RunSource) -> RunDecoder:
        """The kept decoder that is closest to the last segment of a run, or a new one."""
        usable = [decoder for decoder in self._decoders if decoder.fits(video, source)]
        if not usable:
            return RunDecoder(video, source.threads)
        best = max(usable, key=lambda decoder: decoder.position)
        # The next window would find it in another state than it was kept in.
        self._decoders.remove(best)
        return best

    def keep(self, decoder: RunDecoder) -> None:
        """Keep a decoder. If there are too many, the oldest is dropped."""
        self._decoders = [*self._decoders, decoder][-self._kept :]

    def clear(self) -> None:
        """Drop all decoders."""
        self._decoders = []


@dataclass(frozen=True, slots=True)
class RunSource:
    """What a segment is decoded from.

    Args:
        segments: the records from the segment's ``decode_from`` to itself.
        data: their bytes in the same order, read one at a time and only if needed.
        threads: threads of a new decoder.
        decoders: where open decoders are kept between tasks.
    """

    segments: Sequence[Segment]
    data: SegmentBytes
    threads: int = 1
    decoders: DecoderPool = field(default_factory=DecoderPool)

    @property
    def target(self) -> Segment:
        """The segment whose window is decoded."""
        return self.segments[-1]


def decode_window(
    video: VideoStream, source: RunSource, report: DecodeReport | None = None
) -> Iterator[av.VideoFrame]:
    """Decode a run and yield the frames of its last segment's window in presentation order.

    Args:
        report: records every frame that is missing or damaged.

    Raises:
        UnreadableMedia: the stream parameters make no decoder.
        PartialProgress: more lies before the window than one attempt may decode; the decoder is
            kept.
    """
    report = report if report is not None else DecodeReport()
    decoder = source.decoders.take(video, source)
    due = set(window_times(source.segments))
    in_fields = False
    for pts, frame in _due_frames(decoder.decode(source, due), due):
        in_fields = in_fields or frame.interlaced_frame
        if frame.is_corrupt:
            report.damaged.append(pts)
        yield top_down(frame)
    refused = {pts: reason for pts, reason in decoder.refused.items() if pts in due}
    # The second field of a frame may be a packet with a time of its own, which shows no frame. So
    # of interlaced video only refused packets count as lost.
    report.lost += sorted(refused if in_fields else due)
    report.reasons += [
        reason for reason in dict.fromkeys(refused.values()) if reason not in report.reasons
    ]


def _due_frames(
    frames: Iterable[av.VideoFrame], due: set[int]
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield the frames at times that are due, in ascending order, and remove their times.

    A player shows one of several frames with the same time, and no encoder takes the others.
    """
    last: int | None = None
    for frame in frames:
        if frame.pts not in due or (last is not None and frame.pts <= last):
            continue
        last = frame.pts
        due.discard(last)
        yield last, frame


def window_times(run: Sequence[Segment]) -> list[int]:
    """The presentation times of the frames in the last segment's window, from the records alone."""
    target = run[-1]
    times = {
        packet.pts
        for segment in run
        for packet in segment.packets
        if packet.pts is not None and target.start <= packet.pts < target.end and not packet.discard
    }
    return sorted(times)


_Identity = tuple[str, int, int]


def _identity(segment: Segment) -> _Identity:
    """Identifies a segment across jobs: another job may show the same packets at other times."""
    return segment.sha256, segment.start, segment.end


class RunDecoder:
    """An open decoder and its position in a run.

    ``refused`` maps the time of a frame to the reason why the decoder refused its packet.
    """

    def __init__(self, video: VideoStream, threads: int) -> None:
        self._video, self._threads = video, threads
        self._context = open_decoder(video, threads)
        self._fed: list[_Identity] = []
        """The segments whose own packets were all fed."""
        self._ahead = 0
        """Packets after these that were fed as well."""
        self._begun: _Identity | None = None
        """The segment of these packets, unless they are the overlap of the one before."""
        self._later: list[av.VideoFrame] = []
        """Frames after the last window."""
        self._complete_from: int | None = None
        """Frames before this time were yielded or dropped."""
        self.refused: dict[int, str] = {}

    @property
    def position(self) -> tuple[int, int]:
        """Segments that were fed completely, and packets after them."""
        return len(self._fed), self._ahead

    def fits(self, video: VideoStream, source: RunSource) -> bool:
        """Whether it can continue to the last segment: it was fed the start of this same run."""
        run, count = source.segments, len(self._fed)
        if count >= len(run):
            return False
        if self._complete_from is not None and self._complete_from > run[-1].start:
            return False
        start = [_identity(segment) for segment in run[:count]]
        same = (self._video, self._threads, self._fed) == (video, source.threads, start)
        return same and self._begun in (None, _identity(run[count]))

    def decode(self, source: RunSource, due: set[int]) -> Iterator[av.VideoFrame]:
        """Yield the frames from here to the end of the last segment's window.

        Every packet is decoded, even of frames before the window that no other frame refers to: a
        decoder conceals damaged parts with any of them.

        Args:
            due: the times that the caller still waits for. If none is left at the end and the run
                continues, the decoder is kept for the next window; otherwise it is flushed.

        Raises:
            PartialProgress: the time for packets before the window is over; the decoder is kept.
        """
        run, target, pool = source.segments, source.target, source.decoders
        until = pool.clock() + pool.lead_s
        self._complete_from = target.start
        self.refused = {pts: why for pts, why in self.refused.items() if pts >= target.start}
        later, self._later = self._later, []
        yield from self._until_window_end(later, target)
        for number in range(len(self._fed), len(run)):
            segment, before = run[number], self._ahead
            # Only the last segment's overlap is fed: the next segment starts with the same packets.
            packets = segment.packets if segment is target else segment.own_packets
            for packet, stored in _unread(source.data, number, packets, before):
                if _is_before(packet, target) and pool.clock() > until:
                    self._begun = _identity(segment)
                    pool.keep(self)
                    raise PartialProgress(
                        f"segment {target.index} is far behind its keyframe; decoded up to "
                        f"{segment.index}"
                    )
                pool.packets += 1
                yield from self._until_window_end(self._feed(packet, stored), target)
                self._ahead += 1
            self._ahead = max(before, len(packets)) - len(segment.own_packets)
            self._fed.append(_identity(segment))
            self._begun = None
        # A frame that is still due may sit in the decoder, which gives it when flushed. A flushed
        # decoder cannot continue.
        if due - self.refused.keys() or not _run_continues(target):
            yield from self._received(None)
        else:
            self._complete_from = target.end
            pool.keep(self)

    def _until_window_end(
        self, frames: Iterable[av.VideoFrame], target: Segment
    ) -> Iterator[av.VideoFrame]:
        """Yield the frames before the window's end; keep later ones for their own window."""
        for frame in frames:
            if frame.pts is not None and frame.pts >= target.end:
                self._later.append(frame)
            else:
                yield frame

    def _feed(self, description: Packet, stored: bytes) -> list[av.VideoFrame]:
        packet = make_packet(*description.split(stored))
        packet.pts, packet.dts = description.pts, description.dts
        packet.time_base = self._video.time_base
        packet.duration = description.duration
        packet.is_keyframe = description.keyframe
        try:
            return self._received(packet)
        except av.error.FFmpegError as exc:
            if description.pts is not None:
                self.refused[description.pts] = (exc.strerror or str(exc)).lower()
            return []

    def _received(self, packet: av.Packet[av.VideoStream] | None) -> list[av.VideoFrame]:
        return list(self._context.decode(packet))


def _unread(
    data: SegmentBytes, number: int, packets: Sequence[Packet], skip: int
) -> Iterator[tuple[Packet, bytes]]:
    """The packets of a segment from ``skip`` on, with their stored bytes."""
    # Nothing is read for nothing: the bytes may have to be fetched.
    if skip < len(packets):
        yield from SegmentData(data[number]).unpack(packets, skip)


def _is_before(packet: Packet, target: Segment) -> bool:
    return packet.pts is not None and packet.pts < target.start


def _run_continues(segment: Segment) -> bool:
    """Whether the run continues after a segment: a keyframe would start a new one."""
    return bool(segment.overlap) and not segment.packets[-segment.overlap].keyframe


def _spans(video: VideoStream, origin: int, times: Sequence[int], chosen: Sequence[int]) -> str:
    """Times of a window in seconds, with neighbouring frames joined to spans."""
    place = {pts: number for number, pts in enumerate(times)}
    spans: list[list[int]] = []
    for pts in chosen:
        if spans and place[pts] == place[spans[-1][-1]] + 1:
            spans[-1].append(pts)
        else:
            spans.append([pts])

    def seconds(pts: int) -> str:
        return f"{float((pts - origin) * video.time_base):.3f}"

    texts = [
        seconds(span[0]) if len(span) == 1 else f"{seconds(span[0])}-{seconds(span[-1])}"
        for span in spans
    ]
    return f"{', '.join(texts)} s"


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"
