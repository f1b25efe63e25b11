"""The clock of a job's players. It starts at the first frame, or at the first audio if that is
earlier.

Painted segments are stored with times relative to the first frame. If audio starts earlier, they
are sent with later times, and the first frame is shown from 0 on while that audio plays: a gap at
the start would stop some players.
"""

import io
import math
from dataclasses import dataclass
from fractions import Fraction

import av

from facepaint.errors import UnreadableMedia
from facepaint.media.mp4 import init_length, shift_tfdt
from facepaint.records.job import VideoJob
from facepaint.records.segment import AudioPacket, Segment


@dataclass(frozen=True, slots=True)
class Clock:
    """``tick`` is the source's time base in seconds, ``start_pts`` the first frame's time in it.

    ``lead`` is the time from 0 to the first frame, in ticks.
    """

    tick: Fraction
    start_pts: int
    lead: int = 0

    @property
    def origin_s(self) -> Fraction:
        """The source's own time at 0 of this clock, in seconds."""
        return (self.start_pts - self.lead) * self.tick

    def window_s(self, segment: Segment) -> tuple[Fraction, Fraction]:
        """A segment's window in seconds; the first one starts at 0."""
        start_s = segment.start * self.tick - self.origin_s if segment.index else Fraction(0)
        return start_s, segment.end * self.tick - self.origin_s


def clock_of(job: VideoJob, first: Segment) -> Clock:
    """The clock of a video. Its first segment holds all audio from before the first frame."""
    tick = job.video.time_base
    frame_s = job.start_pts * tick
    earliest_s = min([frame_s, *_audio_starts_s(job, first)])
    # Rounded up to whole ticks, so that no audio comes before 0.
    return Clock(tick, job.start_pts, math.ceil((frame_s - earliest_s) / tick))


def _audio_starts_s(job: VideoJob, first: Segment) -> list[Fraction]:
    """When each track becomes audible: after its encoder's delay, in seconds of the source."""
    first_packets: dict[int, AudioPacket] = {}
    for packet in first.audio:
        if packet.pts is not None:
            first_packets.setdefault(packet.stream, packet)
    starts_s = []
    for number, packet in first_packets.items():
        assert packet.pts is not None
        track = job.audio[number]
        delay_s = Fraction(track.skip_samples, track.sample_rate)
        starts_s.append(packet.pts * track.time_base + delay_s)
    return starts_s


def on_clock(clock: Clock, index: int, data: bytes) -> bytes:
    """A painted segment, a complete fragmented MP4, with its times moved to the clock.

    Raises:
        UnreadableMedia: ``data`` is not such an MP4.
    """
    if not clock.lead:
        return data
    # The time base of a painted segment is one over whole ticks per second: `tasks.video.encode`.
    ticks = clock.lead * clock.tick.numerator
    return shift_tfdt(data, ticks) if index else _extend_first_frame(data, ticks)


def _extend_first_frame(data: bytes, ticks: int) -> bytes:
    """The first segment with its first frame shown ``ticks`` longer and the others that much
    later."""
    try:
        extended = _remux_extended(data, ticks)
    except av.FFmpegError as exc:
        raise UnreadableMedia(f"the first painted segment is not a readable MP4: {exc}") from exc
    # The initialization section stays as stored: other segments of the job are sent without theirs.
    return data[: init_length(data)] + extended[init_length(extended) :]


def _remux_extended(data: bytes, ticks: int) -> bytes:
    buffer = io.BytesIO()
    with av.open(io.BytesIO(data), "r", format="mp4") as source:
        stream = source.streams.video[0]
        assert stream.time_base is not None
        options = {
            "movflags": "cmaf+frag_keyframe",
            "video_track_timescale": str(stream.time_base.denominator),
        }
        with av.open(buffer, "w", format="mp4", options=options) as output:
            target = output.add_stream_from_template(stream)
            packets = (packet for packet in source.demux(stream) if packet.size)
            for number, packet in enumerate(packets):
                assert packet.pts is not None
                if number == 0:
                    packet.duration = (packet.duration or 0) + ticks
                else:
                    packet.pts = packet.dts = packet.pts + ticks
                packet.stream = target
                output.mux(packet)
    return buffer.getvalue()
