"""Decode a segment: packets in, the frames of its window out. No container is involved."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import av
import av.error

from facepaint.decoder import open_decoder, packet_of
from facepaint.errors import UnreadableMedia
from facepaint.jobs import Packet, Segment, VideoStream


@dataclass(slots=True)
class DecodeReport:
    """What went wrong on the way without ending it: packets the decoder refused."""

    refused_packets: int = 0
    reasons: list[str] = field(default_factory=list)

    def refuse(self, exc: Exception) -> None:
        """Count a refused packet and keep the first few reasons."""
        self.refused_packets += 1
        if len(self.reasons) < 3:
            self.reasons.append(str(exc))


def decode_window(
    video: VideoStream,
    run: Sequence[Segment],
    bins: Iterable[bytes],
    threads: int = 1,
    report: DecodeReport | None = None,
) -> Iterator[av.VideoFrame]:
    """Decode the segments of a run and give the frames of the last one's window, in order of presentation.

    Args:
        run: the records from the last one's ``decode_from`` to itself.
        bins: their bytes in the same order, taken one at a time.
        report: filled with what was refused.

    Raises:
        UnreadableMedia: the parameters make no decoder, or no frame at all came out.
    """
    target = run[-1]
    hidden = {packet.pts for segment in run for packet in segment.packets if packet.discard}
    context = open_decoder(video, threads)
    report = report if report is not None else DecodeReport()
    shown, last = 0, target.start - 1
    for packet in _packets(run, bins, target):
        for frame in _feed(context, video, packet, report):
            # Of frames with one time a player shows one, and no encoder takes the other.
            if frame.pts is not None and last < frame.pts < target.end and frame.pts not in hidden:
                shown, last = shown + 1, frame.pts
                yield frame
    if not shown and any(not packet.discard for packet in target.own_packets):
        why = "; ".join(report.reasons) or "the decoder gave no frame"
        raise UnreadableMedia(f"segment {target.index} cannot be decoded: {why}")


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


_Piece = tuple[Packet, bytes] | None


def _packets(run: Sequence[Segment], bins: Iterable[bytes], target: Segment) -> Iterator[_Piece]:
    """Each packet with its bytes, the overlap only of the last segment; None at the end flushes."""
    for segment, data in zip(run, bins, strict=True):
        position = 0
        for packet in segment.packets if segment is target else segment.own_packets:
            yield packet, data[position : position + packet.stored_bytes]
            position += packet.stored_bytes
    yield None


def _feed(
    context: av.VideoCodecContext, video: VideoStream, piece: _Piece, report: DecodeReport
) -> list[av.VideoFrame]:
    packet = None
    if piece is not None:
        description, data = piece
        packet = packet_of(data[: description.size], _side_data(description, data))
        packet.pts, packet.dts, packet.time_base = description.pts, description.dts, video.time_base
        packet.duration = description.duration
        packet.is_keyframe = description.keyframe
    try:
        return list(context.decode(packet))
    except av.error.FFmpegError as exc:
        report.refuse(exc)
        return []


def _side_data(packet: Packet, data: bytes) -> dict[str, bytes]:
    """The pieces that lie behind the packet."""
    pieces, position = {}, packet.size
    for name, size in packet.side_data:
        pieces[name] = data[position : position + size]
        position += size
    return pieces
