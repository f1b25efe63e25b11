"""Decode a segment: packets in, the frames of its window out. No container is involved.

Where a window lies behind others of its run, everything from the run's keyframe on has to be
decoded first. A process therefore keeps the decoder of a window that the run goes on behind, and
takes up a later one from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Protocol

import av
import av.error

from facepaint.errors import PartialProgress
from facepaint.media.decoder import open_decoder, packet_of
from facepaint.records.job import VideoStream
from facepaint.records.segment import Packet, Segment
from tasks.video.yuv import top_down

KEPT_DECODERS = 2
"""One of a detecting and one of a painting task, a little behind. Each holds up to 16 frames."""

LEAD_S = 30.0
"""How long one attempt may decode what lies before its window: within the time limit of a task, the
window itself and its painting have their time."""


class Bins(Protocol):
    """The bytes of each segment of a run, perhaps got only when asked for."""

    def __getitem__(self, number: int, /) -> bytes: ...


@dataclass(slots=True)
class DecodeReport:
    """What went wrong on the way without ending it, by times of frames.

    ``lost`` did not come out of the decoder, ``damaged`` came with parts made up; ``reasons`` are
    the decoder's words.
    """

    lost: list[int] = field(default_factory=list)
    damaged: list[int] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def notes(self, video: VideoStream, origin: int, times: Sequence[int]) -> list[str]:
        """In words, seconds counted from ``origin``; ``times`` are those of all frames of the
        window."""
        said = []
        if self.lost:
            why = f" ({'; '.join(self.reasons)})" if self.reasons else ""
            where = _spans(video, origin, times, self.lost)
            said.append(f"{_frames(len(self.lost))} could not be decoded, at {where}{why}")
        if self.damaged:
            where = _spans(video, origin, times, self.damaged)
            said.append(
                f"{_frames(len(self.damaged))} damaged, parts of them made up by the decoder, at "
                f"{where}"
            )
        return said


def decode_window(
    video: VideoStream,
    run: Sequence[Segment],
    bins: Bins,
    threads: int = 1,
    report: DecodeReport | None = None,
) -> Iterator[av.VideoFrame]:
    """Decode the segments of a run and give the frames of the last one's window, in order of
    presentation.

    Args:
        run: the records from the last one's ``decode_from`` to itself.
        bins: their bytes in the same order; only those that are needed are asked for, one at a
            time.
        report: told of every frame that did not come, or not whole.

    Raises:
        UnreadableMedia: the parameters make no decoder.
        NotYet: there is more before the window than one attempt may decode. What was done is kept.
    """
    report = report if report is not None else DecodeReport()
    decoder = _kept.take(video, run, threads)
    due, last, in_fields = set(window_times(run)), run[-1].start - 1, False
    for frame in decoder.decode(run, bins, due):
        # Of frames with one time a player shows one, and no encoder takes the other.
        if frame.pts is None or frame.pts <= last or frame.pts not in due:
            continue
        last = frame.pts
        due.discard(last)
        in_fields = in_fields or frame.interlaced_frame
        if frame.is_corrupt:
            report.damaged.append(last)
        yield top_down(frame)
    refused = {pts: why for pts, why in decoder.refused.items() if pts in due}
    # The second field of a frame may be a packet with a time of its own.
    report.lost += sorted(refused if in_fields else due)
    report.reasons += [why for why in dict.fromkeys(refused.values()) if why not in report.reasons]


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


_Told = tuple[str, int, int]


def _told(segment: Segment) -> _Told:
    """What tells a segment from others, of other jobs too: the same packets may be shown at other
    times there."""
    return segment.sha256, segment.start, segment.end


class RunDecoder:
    """An open decoder, and how far it has been fed of a run.

    ``refused`` says why the decoder refused a packet, by the time of its frame.
    """

    def __init__(self, video: VideoStream, threads: int) -> None:
        self._video, self._threads = video, threads
        self._context = open_decoder(video, threads)
        self._fed: list[_Told] = []
        """The segments whose own packets were all fed."""
        self._ahead = 0
        """How many packets behind those were fed as well."""
        self._begun: _Told | None = None
        """The segment which those are of, where it was not the overlap of the one before."""
        self._waiting: list[av.VideoFrame] = []
        self._complete_from: int | None = None
        """Frames before this time are gone."""
        self.refused: dict[int, str] = {}

    @property
    def position(self) -> tuple[int, int]:
        """Segments fed whole, and packets behind them."""
        return len(self._fed), self._ahead

    def fits(self, video: VideoStream, run: Sequence[Segment], threads: int) -> bool:
        """Whether it can go on to the last segment: it was fed the beginning of just this run, and
        no more."""
        count = len(self._fed)
        if count >= len(run) or (
            self._complete_from is not None and self._complete_from > run[-1].start
        ):
            return False
        fed, begun = [_told(segment) for segment in run[:count]], _told(run[count])
        fits = (self._video, self._threads, self._fed) == (video, threads, fed)
        return fits and self._begun in (None, begun)

    def decode(self, run: Sequence[Segment], bins: Bins, due: set[int]) -> Iterator[av.VideoFrame]:
        """The frames from here to the end of the last segment's window.

        None is left out of the decoding, not even those before the window that no other refers to:
        what a decoder puts in the place of damaged parts may come from any of them.

        ``due`` are the times that the caller still waits for. If none is left at the end, and the
        run goes on, the decoder is kept for the next window; otherwise it is flushed and done with.
        """
        target, until = run[-1], monotonic() + LEAD_S
        self._complete_from = target.start
        self.refused = {pts: why for pts, why in self.refused.items() if pts >= target.start}
        waiting, self._waiting = self._waiting, []
        yield from self._sorted_out(waiting, target)
        for number in range(len(self._fed), len(run)):
            segment, before = run[number], self._ahead
            packets = segment.packets if segment is target else segment.own_packets
            for packet, data in _pieces(packets, bins, number, before):
                if packet.pts is not None and packet.pts < target.start and monotonic() > until:
                    self._begun = _told(segment)
                    _kept.keep(self)
                    raise PartialProgress(
                        f"segment {target.index} lies far behind its keyframe; decoded up to "
                        f"{segment.index}"
                    )
                yield from self._sorted_out(self._feed(packet, data), target)
                self._ahead += 1
            self._ahead = max(before, len(packets)) - len(segment.own_packets)
            self._fed.append(_told(segment))
            self._begun = None
        if due - self.refused.keys() or not _goes_on_behind(target):
            yield from self._received(None)
        else:
            self._complete_from = target.end
            _kept.keep(self)

    def _sorted_out(
        self, frames: Iterable[av.VideoFrame], target: Segment
    ) -> Iterator[av.VideoFrame]:
        """The frames of the window; later ones wait for theirs."""
        for frame in frames:
            if frame.pts is not None and frame.pts >= target.end:
                self._waiting.append(frame)
            else:
                yield frame

    def _feed(self, description: Packet, data: bytes) -> list[av.VideoFrame]:
        packet = packet_of(data[: description.size], _side_data(description, data))
        packet.pts, packet.dts, packet.time_base = (
            description.pts,
            description.dts,
            self._video.time_base,
        )
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


class _KeptDecoders:
    """The decoders that a process keeps between tasks; who takes one has it alone."""

    def __init__(self) -> None:
        self._decoders: list[RunDecoder] = []

    def take(self, video: VideoStream, run: Sequence[Segment], threads: int) -> RunDecoder:
        """The decoder that has come furthest towards the last segment of a run, or a new one."""
        fitting = [decoder for decoder in self._decoders if decoder.fits(video, run, threads)]
        if not fitting:
            return RunDecoder(video, threads)
        best = max(fitting, key=lambda decoder: decoder.position)
        self._decoders.remove(best)
        return best

    def keep(self, decoder: RunDecoder) -> None:
        """Keep a decoder; of too many the one that was kept first goes."""
        self._decoders = [*self._decoders, decoder][-KEPT_DECODERS:]

    def clear(self) -> None:
        """Keep none."""
        self._decoders = []


_kept = _KeptDecoders()


def _pieces(
    packets: Sequence[Packet], bins: Bins, number: int, skip: int
) -> Iterator[tuple[Packet, bytes]]:
    """Each packet but the first few, with its bytes and those of its side data."""
    if skip >= len(packets):
        return
    data, position = bins[number], 0
    for place, packet in enumerate(packets):
        if place >= skip:
            yield packet, data[position : position + packet.stored_bytes]
        position += packet.stored_bytes


def _side_data(packet: Packet, data: bytes) -> dict[str, bytes]:
    """The pieces that lie behind the packet."""
    pieces, position = {}, packet.size
    for name, size in packet.side_data:
        pieces[name] = data[position : position + size]
        position += size
    return pieces


def _goes_on_behind(segment: Segment) -> bool:
    """Whether the run goes on: what lies behind a window that a keyframe ends begins with that."""
    return bool(segment.overlap) and not segment.packets[-segment.overlap].keyframe


def _spans(video: VideoStream, origin: int, times: Sequence[int], chosen: Sequence[int]) -> str:
    """Stretches of a window's times in seconds: neighbours are told as one."""
    place = {pts: number for number, pts in enumerate(times)}
    spans: list[list[int]] = []
    for pts in chosen:
        if spans and place[pts] == place[spans[-1][-1]] + 1:
            spans[-1].append(pts)
        else:
            spans.append([pts])
    seconds = [
        [f"{float((pts - origin) * video.time_base):.3f}" for pts in (span[0], span[-1])]
        for span in spans
    ]
    return (
        ", ".join(first if first == last else f"{first}-{last}" for first, last in seconds) + " s"
    )


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"
