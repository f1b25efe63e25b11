"""The clock of the players: it begins with a job's first picture, or with its first sound where
that comes before.

Painted segments are stored with times from the first picture on. Where sound comes before it they
are sent as much later, and the first picture is shown from 0 on while that sound plays: a player
gets one stretch without a hole.
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
    """``lead`` is how long after 0 the first picture is, in ticks of the source's time base
    ``tick`` (seconds)."""

    tick: Fraction
    start_pts: int
    lead: int = 0

    @property
    def origin_s(self) -> Fraction:
        """Where 0 lies on the source's own clock, in seconds."""
        return (self.start_pts - self.lead) * self.tick

    def window_s(self, segment: Segment) -> tuple[Fraction, Fraction]:
        """A segment's window in seconds; the first one begins at 0."""
        start_s = segment.start * self.tick - self.origin_s if segment.index else Fraction(0)
        return start_s, segment.end * self.tick - self.origin_s


def clock_of(job: VideoJob, first: Segment) -> Clock:
    """The clock of a video, by the record of its first segment: all sound from before the first
    picture is in it."""
    tick = job.video.time_base
    start_s = job.start_pts * tick
    lead = math.ceil((start_s - min([start_s, *_sound_starts_s(job, first)])) / tick)
    return Clock(tick, job.start_pts, lead)


def _sound_starts_s(job: VideoJob, first: Segment) -> list[Fraction]:
    """When each track begins to be heard: after what its encoder put before it."""
    starts: dict[int, AudioPacket] = {}
    for packet in first.audio:
        if packet.pts is not None:
            starts.setdefault(packet.stream, packet)
    found = []
    for number, packet in starts.items():
        track = job.audio[number]
        assert packet.pts is not None
        found.append(packet.pts * track.time_base + Fraction(track.skip_samples, track.sample_rate))
    return found


def on_clock(clock: Clock, index: int, data: bytes) -> bytes:
    """A painted segment, a whole fragmented MP4, with its times on the clock.

    Raises:
        UnreadableMedia: it is no such MP4.
    """
    if not clock.lead:
        return data
    # A painted segment counts in whole ticks a second: see `tasks.video.encode`.
    ticks = clock.lead * clock.tick.numerator
    return shift_tfdt(data, ticks) if index else _hold_first(data, ticks)


def _hold_first(data: bytes, ticks: int) -> bytes:
    """The first segment with its first picture shown ``ticks`` longer, and all others as much
    later."""
    buffer = io.BytesIO()
    try:
        with av.open(io.BytesIO(data), "r", format="mp4") as source:
            stream = source.streams.video[0]
            assert stream.time_base is not None
            options = {
                "movflags": "cmaf+frag_keyframe",
                "video_track_timescale": str(stream.time_base.denominator),
            }
            with av.open(buffer, "w", format="mp4", options=options) as output:
                target = output.add_stream_from_template(stream)
                for number, packet in enumerate(
                    packet for packet in source.demux(stream) if packet.size
                ):
                    assert packet.pts is not None
                    if number:
                        packet.pts = packet.dts = packet.pts + ticks
                    else:
                        packet.duration = (packet.duration or 0) + ticks
                    packet.stream = target
                    output.mux(packet)
    except av.FFmpegError as exc:
        raise UnreadableMedia(f"the first painted segment is no MP4: {exc}") from exc
    held = buffer.getvalue()
    return data[: init_length(data)] + held[init_length(held) :]
