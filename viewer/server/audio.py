"""A segment's sound as fragmented MP4 that a browser plays beside the painted picture.

What browsers can play (AAC, MP3, Opus, FLAC) is copied packet by packet; the rest, and pieces with
holes in them, become AAC. That is for playing only: the saved file has the source's own packets.
Times are those of `viewer.server.clock`. Encoded pieces lie on one grid of 1,024 samples for the
whole job: each is encoded with a lead-in and a look ahead which are then thrown away, so pieces
made apart join without gap or shift.
"""

import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

import av
from av.audio.stream import AudioStream as AvAudioStream

from facepaint.errors import InputError, UnreadableMedia
from facepaint.media.codec_params import open_codec_params
from facepaint.media.decoder import make_packet
from facepaint.media.mp4 import shift_tfdt
from facepaint.records import keys
from facepaint.records.job import AudioStream, ImageJob, VideoJob
from facepaint.records.segment import AudioPacket, Segment, SegmentData
from facepaint.store import Store
from viewer.server.clock import Clock

FRAME = 1024
"""Samples of an AAC frame."""

LEAD_FRAMES = 8
"""Frames encoded before a piece and thrown away, so that the encoder has settled; as many lie ahead
of its end."""

HOLE_S = Fraction(1, 10)
"""Players step over silence shorter than this by themselves; a piece that lacks more is encoded,
silence filled in."""

PREROLL_S = Fraction(1, 2)
"""Decoders of MP3 and AAC need packets from before the first sample that is wanted."""

AAC_RATES = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000})

AAC = 'audio/mp4; codecs="mp4a.40.2"'

_BYTES = 4
_LAYOUTS = {1: "mono", 2: "stereo"}


@dataclass(frozen=True, slots=True)
class Piece:
    """Sound of one segment as a fragmented MP4 of its own; ``mime`` names its codec."""

    data: bytes
    mime: str


@dataclass(frozen=True, slots=True)
class Coded:
    """A compressed packet, its presentation time and duration in seconds of the job's clock."""

    start_s: Fraction
    duration_s: Fraction
    data: bytes

    @property
    def end_s(self) -> Fraction:
        """When its sound ends."""
        return self.start_s + self.duration_s


def make_piece(
    store: Store,
    job: VideoJob,
    clock: Clock,
    track: int,
    segment: Segment,
    *,
    encode: bool,
    last: bool,
) -> Piece:
    """The sound of a segment's window.

    ``encode`` asks for AAC whatever the source has. ``last`` says that no segment follows: sound
    after the last picture then belongs to this piece. A piece that is not the last needs the
    segment after it to be stored.

    Raises:
        InputError: the job has no such audio track.
        UnreadableMedia: the track cannot be decoded or muxed.
    """
    if not 0 <= track < len(job.audio) or isinstance(job, ImageJob):
        raise InputError(f"job {job.id} has no audio track {track}; it has {len(job.audio)}")
    stream = job.audio[track]
    start_s, end_s = clock.window_s(segment)
    own = list(_load(store, job, clock, track, segment))
    try:
        stream = without_adts(stream)
        if not encode and copy_mime(stream) and _covers(own, start_s, end_s):
            return Piece(copy_packets(stream, own), copy_mime(stream))
        before, after = (
            _neighbour(store, job, clock, track, segment.index + step) for step in (-1, 1)
        )
        around = sorted([*before, *own, *after], key=lambda packet: packet.start_s)
        if last and around:
            end_s = max(end_s, around[-1].end_s)
        # Where the track begins, its encoder's delay is not played.
        skip_s = Fraction(0 if before else stream.skip_samples, stream.sample_rate)
        from_s = around[0].start_s + skip_s if around else start_s
        return Piece(encode_packets(stream, around, start_s, end_s, from_s), AAC)
    except av.FFmpegError as exc:
        raise UnreadableMedia(
            f"the sound of segment {segment.index} of job {job.id} cannot be read: {exc}"
        ) from exc


def _neighbour(store: Store, job: VideoJob, clock: Clock, track: int, index: int) -> list[Coded]:
    record = store.find_record(keys.segment(job.id, index), Segment) if index >= 0 else None
    return list(_load(store, job, clock, track, record)) if record is not None else []


def sound_ends_s(job: VideoJob, clock: Clock, segment: Segment) -> Fraction:
    """When the last sound of a segment ends, 0 if it has none."""
    ends = [Fraction(0)]
    for number, track in enumerate(job.audio):
        own = [row for row in _with_duration(segment.audio, number) if row[0].stream == number]
        ends += [
            (p.pts + lasts) * track.time_base - clock.origin_s
            for p, lasts in own[-1:]
            if p.pts is not None
        ]
    return max(ends)


def _load(
    store: Store, job: VideoJob, clock: Clock, track: int, segment: Segment
) -> Iterator[Coded]:
    if not any(packet.stream == track for packet in segment.audio):
        return
    tick = job.audio[track].time_base
    in_adts = job.audio[track].codec == "aac"
    audio = SegmentData(store.get(keys.audio(job.id, segment.index)))
    timed = _with_duration(segment.audio, track)
    for (packet, body), (_, duration) in zip(audio.unpack(segment.audio), timed, strict=True):
        if packet.stream == track and packet.pts is not None:
            begins = _adts_header(body) if in_adts else 0
            yield Coded(packet.pts * tick - clock.origin_s, duration * tick, body[begins:])


def _with_duration(packets: Sequence[AudioPacket], track: int) -> Iterator[tuple[AudioPacket, int]]:
    """Each packet with its duration; where the source does not say, the time to the track's next
    packet."""
    known = 0
    following: dict[int, int | None] = {}
    after = None
    for position in range(len(packets) - 1, -1, -1):
        if packets[position].stream == track:
            following[position] = after
            after = packets[position].pts
    for position, packet in enumerate(packets):
        duration = packet.duration
        if packet.stream == track and duration <= 0:
            until = following[position]
            duration = until - packet.pts if until is not None and packet.pts is not None else known
        known = duration if packet.stream == track else known
        yield packet, duration


def _covers(packets: Sequence[Coded], start_s: Fraction, end_s: Fraction) -> bool:
    """Whether the packets sound through the window without a hole that would stop a player."""
    reached = start_s
    for packet in packets:
        if packet.start_s - reached > HOLE_S:
            return False
        reached = max(reached, packet.end_s)
    return end_s - reached <= HOLE_S


def _adts_header(packet: bytes) -> int:
    """Length of the ADTS header (ISO/IEC 13818-7) that AAC in a transport stream has before each
    packet, else 0."""
    if int.from_bytes(packet[:2]) & 0xFFF6 != 0xFFF0:
        return 0
    return 7 if packet[1] & 1 else 9


@lru_cache(64)
def without_adts(stream: AudioStream) -> AudioStream:
    """The track with what its ADTS headers say in its parameters instead; any other track as it
    is."""
    with open_codec_params(stream.codec_params) as source:
        first = next(packet for packet in source.demux(audio=0) if packet.size)
        if stream.codec != "aac" or not _adts_header(bytes(first)):
            return stream
        buffer = io.BytesIO()
        with av.open(buffer, "w", format="matroska") as output:
            first.stream = output.add_stream_from_template(source.streams.audio[0])
            output.mux(first)
    return replace(stream, codec_params=buffer.getvalue())


def copy_mime(stream: AudioStream) -> str:
    """The MIME type of the track copied into MP4, or '' if no browser plays that."""
    if stream.codec == "aac":
        with open_codec_params(stream.codec_params) as container:
            extradata = container.streams.audio[0].codec_context.extradata or b"\x10"
        # The first five bits of the AudioSpecificConfig are the object type: 2 is AAC-LC, 5 HE-AAC.
        codec = f"mp4a.40.{extradata[0] >> 3}"
    elif stream.codec.startswith("mp3") and _is_layer_3(stream):
        codec = "mp4a.6B" if stream.sample_rate >= 32000 else "mp4a.69"
    elif stream.codec in {"opus", "flac"}:
        codec = stream.codec
    else:
        return ""
    return f'audio/mp4; codecs="{codec}"'


def _is_layer_3(stream: AudioStream) -> bool:
    """Whether what is called MP3 is: some files hold Layer II under that name, which browsers do
    not play."""
    with open_codec_params(stream.codec_params) as source:
        header = next(bytes(packet) for packet in source.demux(audio=0) if packet.size)
    return header[1] & 0b110 == 0b010


def plain_aac(stream: AudioStream) -> bool:
    """Whether the track is such AAC as `encode_packets` makes: copied and encoded pieces then share
    an init part."""
    return (
        copy_mime(stream) == AAC
        and stream.channels <= len(_LAYOUTS)
        and stream.sample_rate in AAC_RATES
    )


def copy_packets(stream: AudioStream, packets: Sequence[Coded]) -> bytes:
    """Packets as they are, from the first picture on, in one fragment. Needs at least one
    packet."""
    packets = [packet for packet in packets if packet.start_s >= 0]
    rate = stream.sample_rate
    times = _sample_times(stream, packets)
    buffer = io.BytesIO()
    with open_codec_params(stream.codec_params) as codec_params, _open_output(buffer) as output:
        target = output.add_stream_from_template(codec_params.streams.audio[0])
        for packet, time, until in zip(packets, times, [*times[1:], None], strict=True):
            copied = av.Packet(packet.data)
            copied.stream = target
            copied.time_base = Fraction(1, rate)
            copied.pts = copied.dts = time - times[0]
            copied.duration = until - time if until is not None else round(packet.duration_s * rate)
            output.mux(copied)
    return shift_tfdt(buffer.getvalue(), times[0])


def _sample_times(stream: AudioStream, packets: Sequence[Coded]) -> list[int]:
    """Start of each packet in samples. Times rounded to milliseconds by the source's container are
    spread evenly."""
    rate = stream.sample_rate
    first = packets[0].start_s
    if stream.time_base <= Fraction(1, 8000) or len(packets) < 3:
        return [round(packet.start_s * rate) for packet in packets]
    step = (packets[-1].start_s - first) / (len(packets) - 1)
    return [round((first + number * step) * rate) for number in range(len(packets))]


def encode_packets(
    stream: AudioStream,
    packets: Iterable[Coded],
    start_s: Fraction,
    end_s: Fraction,
    from_s: Fraction,
) -> bytes:
    """AAC of exactly the frames of the grid that start in ``[start_s, end_s)``.

    It is silent before ``from_s``, and where there are no packets.
    """
    rate = stream.sample_rate if stream.sample_rate in AAC_RATES else 48000
    channels = 1 if stream.channels == 1 else 2
    first, stop = math.ceil(start_s * rate / FRAME), math.ceil(end_s * rate / FRAME)
    sound = _Samples(
        (first - LEAD_FRAMES) * FRAME, (stop + LEAD_FRAMES) * FRAME, channels, round(from_s * rate)
    )
    earliest, latest = Fraction(sound.start, rate) - PREROLL_S, Fraction(sound.stop, rate)
    wanted = [packet for packet in packets if packet.end_s > earliest and packet.start_s < latest]
    for frame in _decode(stream, wanted, rate, _LAYOUTS[channels]):
        sound.place(frame)
    buffer = io.BytesIO()
    with _open_output(buffer) as output:
        target = output.add_stream("aac", rate=rate)
        assert isinstance(target, AvAudioStream)
        target.codec_context.layout = _LAYOUTS[channels]
        target.codec_context.bit_rate = 96_000 * channels
        for samples in (*sound.frames(rate, _LAYOUTS[channels]), None):
            for packet in target.encode(samples):
                assert packet.pts is not None
                if first * FRAME <= packet.pts < stop * FRAME:
                    packet.pts = packet.dts = packet.pts - first * FRAME
                    output.mux(packet)
    return shift_tfdt(buffer.getvalue(), first * FRAME)


def _decode(
    stream: AudioStream, packets: Iterable[Coded], rate: int, layout: str
) -> Iterator[av.AudioFrame]:
    """Frames of planar 32-bit float at ``rate``, pts in samples from the first picture."""
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
    tick = Fraction(1, 1_000_000)
    with open_codec_params(stream.codec_params) as codec_params:
        decoder = codec_params.streams.audio[0].codec_context
        for source in packets:
            packet = make_packet(source.data)
            packet.time_base = tick
            packet.pts = packet.dts = round(source.start_s / tick)
            try:
                decoded = decoder.decode(packet)
            except (
                av.InvalidDataError
            ):  # one damaged packet is a moment of silence, not the end of the sound
                continue
            time_s = source.start_s
            for frame in decoded:
                frame.pts, frame.time_base = round(time_s / tick), tick
                time_s += Fraction(frame.samples, frame.sample_rate)
                yield from resampler.resample(frame)
        yield from resampler.resample(None)


class _Samples:
    """A stretch ``[start, stop)`` of planar floats, 32 bits each; silent before ``loud`` and where
    none is placed."""

    def __init__(self, start: int, stop: int, channels: int, loud: int) -> None:
        self.start, self.stop, self._loud = start, stop, loud
        self._planes = [bytearray((stop - start) * _BYTES) for _ in range(channels)]

    def place(self, frame: av.AudioFrame) -> None:
        """Copy a frame's samples to where its pts says, as far as they lie inside."""
        assert frame.pts is not None
        assert frame.time_base is not None
        at = round(frame.pts * frame.time_base * frame.sample_rate) - self.start
        begin, end = (
            max(0, at, self._loud - self.start),
            min(self.stop - self.start, at + frame.samples),
        )
        if begin >= end:
            return
        for plane, source in zip(self._planes, frame.planes, strict=True):
            plane[begin * _BYTES : end * _BYTES] = memoryview(source)[
                (begin - at) * _BYTES : (end - at) * _BYTES
            ]

    def frames(self, rate: int, layout: str) -> Iterator[av.AudioFrame]:
        """The stretch cut into frames for an AAC encoder."""
        for at in range(self.start, self.stop, FRAME):
            frame = av.AudioFrame(format="fltp", layout=layout, samples=FRAME)
            frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), at
            offset = (at - self.start) * _BYTES
            for plane, source in zip(frame.planes, self._planes, strict=True):
                plane.update(bytes(source[offset : offset + FRAME * _BYTES]))
            yield frame


def _open_output(buffer: io.BytesIO) -> av.container.OutputContainer:
    """A fragmented MP4 whose one fragment is written at the end; times start at 0 and are shifted
    afterwards."""
    return av.open(
        buffer,
        "w",
        format="mp4",
        options={"movflags": "empty_moov+default_base_moof", "use_editlist": "0"},
    )
