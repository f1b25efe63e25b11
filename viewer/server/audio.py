"""The source's audio of one segment as fragmented MP4, for playback beside the painted video.

Codecs that browsers play (AAC, MP3, Opus, FLAC) are copied packet by packet. Other codecs, and
segments with gaps in their audio, are encoded to AAC. This is for playback only: a saved file gets
the source's own packets.

Times are on the clock of `viewer.server.clock`. Encoded segments share one grid of 1,024 samples
for the whole job. Each is encoded with some frames before and after it, which are then dropped, so
segments that were encoded independently join without a gap or a shift.
"""

import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from itertools import zip_longest

import av
from av.audio.stream import AudioStream as AvAudioStream

from facepaint.errors import InputError, UnreadableMedia
from facepaint.media.codec_params import open_codec_params
from facepaint.media.decoder import make_packet
from facepaint.media.mp4 import shift_tfdt
from facepaint.records import keys
from facepaint.records.job import AudioStream, VideoJob
from facepaint.records.segment import AudioPacket, Segment, SegmentData
from facepaint.store import Store
from viewer.server.clock import Clock

FRAME_SAMPLES = 1024
"""Samples of an AAC frame."""

MARGIN_FRAMES = 8
"""Frames that are encoded before and after a segment and dropped, so that the encoder's state at
both ends is that of an encoder that never stopped."""

MAX_GAP_S = Fraction(1, 10)
"""Browsers play across shorter gaps. A segment with a longer one is encoded, filled with
silence."""

PREROLL_S = Fraction(1, 2)
"""Decoders of MP3 and AAC need the packets before the first sample that is used."""

AAC_RATES = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000})
AAC_BITS_PER_S = 96_000
"""Bit rate of each encoded channel."""

AAC_MIME = 'audio/mp4; codecs="mp4a.40.2"'

_LAYOUTS = {1: "mono", 2: "stereo"}
_SAMPLE_BYTES = 4
_MICROSECOND = Fraction(1, 1_000_000)


@dataclass(frozen=True, slots=True)
class AudioSegment:
    """The audio of one segment: a complete fragmented MP4. ``mime`` names its codec."""

    data: bytes
    mime: str


@dataclass(frozen=True, slots=True)
class TimedPacket:
    """A compressed packet. Presentation time and duration are seconds on the job's clock."""

    start_s: Fraction
    duration_s: Fraction
    data: bytes

    @property
    def end_s(self) -> Fraction:
        """The presentation time of the first sample after it."""
        return self.start_s + self.duration_s


@dataclass(frozen=True, slots=True)
class _TrackReader:
    """Reads the packets of one audio track of a job."""

    store: Store
    job: VideoJob
    clock: Clock
    track: int

    def packets_of(self, segment: Segment) -> list[TimedPacket]:
        """The packets of a segment, without ADTS headers."""
        # A track may start late or pause: then the object need not be read.
        if not any(packet.stream == self.track for packet in segment.audio):
            return []
        stream = self.job.audio[self.track]
        data = SegmentData(self.store.get(keys.audio(self.job.id, segment.index)))
        own = [row for row in data.unpack(segment.audio) if row[0].stream == self.track]
        durations = _durations([packet for packet, _ in own])
        found = []
        for (packet, body), duration in zip(own, durations, strict=True):
            # Without a time it has no place on the clock; its duration was needed above.
            if packet.pts is None:
                continue
            start_s = packet.pts * stream.time_base - self.clock.origin_s
            header = _adts_header(body) if stream.codec == "aac" else 0
            found.append(TimedPacket(start_s, duration * stream.time_base, body[header:]))
        return found

    def packets_at(self, index: int) -> list[TimedPacket]:
        """The packets of the segment with that number; none if it is not stored."""
        if index < 0:
            return []
        segment = self.store.find_record(keys.segment(self.job.id, index), Segment)
        return self.packets_of(segment) if segment is not None else []


def make_audio_segment(
    store: Store,
    job: VideoJob,
    clock: Clock,
    track: int,
    segment: Segment,
    *,
    encode: bool,
    last: bool,
) -> AudioSegment:
    """The audio of a segment's window.

    Args:
        encode: encode to AAC even if browsers play the source's codec.
        last: the job has no later segment, so all remaining audio belongs to this one. The segment
            after any other must be stored: its first packets are needed for the encoder's margin.

    Raises:
        InputError: the job has no such audio track.
        UnreadableMedia: the track cannot be decoded or muxed.
    """
    if not 0 <= track < len(job.audio):
        raise InputError(f"job {job.id} has no audio track {track}; it has {len(job.audio)}")
    reader = _TrackReader(store, job, clock, track)
    packets = reader.packets_of(segment)
    try:
        stream = without_adts(job.audio[track])
        mime = "" if encode else copy_mime(stream)
        if mime and _is_gapless(packets, *clock.window_s(segment)):
            return AudioSegment(copy_packets(stream, packets), mime)
        return _encode_segment(reader, stream, segment, packets, last=last)
    except av.FFmpegError as exc:
        raise UnreadableMedia(
            f"the audio of segment {segment.index} of job {job.id} cannot be read: {exc}"
        ) from exc


def _encode_segment(
    reader: _TrackReader,
    stream: AudioStream,
    segment: Segment,
    packets: list[TimedPacket],
    *,
    last: bool,
) -> AudioSegment:
    # The encoder's margin reaches into the neighbouring segments.
    before = reader.packets_at(segment.index - 1)
    after = reader.packets_at(segment.index + 1)
    around = sorted([*before, *packets, *after], key=lambda packet: packet.start_s)
    start_s, end_s = reader.clock.window_s(segment)
    if not around:
        return AudioSegment(encode_packets(stream, [], start_s, end_s, start_s), AAC_MIME)
    if last:
        end_s = max(end_s, around[-1].end_s)
    audible_s = around[0].start_s
    # The track begins with its encoder's delay, which is not played.
    if not before:
        audible_s += Fraction(stream.skip_samples, stream.sample_rate)
    return AudioSegment(encode_packets(stream, around, start_s, end_s, audible_s), AAC_MIME)


def audio_end_s(job: VideoJob, clock: Clock, segment: Segment) -> Fraction:
    """When the last audio packet of a segment ends, 0 if it has none."""
    latest_s = Fraction(0)
    for number, track in enumerate(job.audio):
        packets = [packet for packet in segment.audio if packet.stream == number]
        if not packets or packets[-1].pts is None:
            continue
        end_pts = packets[-1].pts + _durations(packets)[-1]
        latest_s = max(latest_s, end_pts * track.time_base - clock.origin_s)
    return latest_s


def _durations(packets: Sequence[AudioPacket]) -> list[int]:
    """The duration of each packet of one track, in the track's time base.

    Some containers store none. Then it is the time to the next packet, and for the last packet the
    duration of the one before.
    """
    durations: list[int] = []
    for packet, following in zip_longest(packets, packets[1:]):
        duration = packet.duration
        if duration <= 0:
            duration = durations[-1] if durations else 0
            next_pts = following.pts if following is not None else None
            if next_pts is not None and packet.pts is not None:
                duration = next_pts - packet.pts
        durations.append(duration)
    return durations


def _is_gapless(packets: Sequence[TimedPacket], start_s: Fraction, end_s: Fraction) -> bool:
    """Whether the packets cover the window without a gap that would stop a player."""
    covered_s = start_s
    # Packets may overlap by a rounding of the container, so the latest end counts.
    for packet in packets:
        if packet.start_s - covered_s > MAX_GAP_S:
            return False
        covered_s = max(covered_s, packet.end_s)
    return end_s - covered_s <= MAX_GAP_S


def _adts_header(packet: bytes) -> int:
    """Length of the ADTS header (ISO/IEC 13818-7) before a packet of AAC, 0 if there is none.

    Transport streams have one before each packet; MP4 allows none.
    """
    if int.from_bytes(packet[:2]) & 0xFFF6 != 0xFFF0:
        return 0
    without_crc = packet[1] & 1
    return 7 if without_crc else 9


# Each segment of a track needs it again, and it opens the codec parameters.
@lru_cache(64)
def without_adts(stream: AudioStream) -> AudioStream:
    """The track with the contents of its ADTS header as extradata; any other track unchanged."""
    with open_codec_params(stream.codec_params) as source:
        first = next(packet for packet in source.demux(audio=0) if packet.size)
        if stream.codec != "aac" or not _adts_header(bytes(first)):
            return stream
        buffer = io.BytesIO()
        # FFmpeg's Matroska muxer derives the AudioSpecificConfig from the first packet's header.
        with av.open(buffer, "w", format="matroska") as output:
            first.stream = output.add_stream_from_template(source.streams.audio[0])
            output.mux(first)
    return replace(stream, codec_params=buffer.getvalue())


def copy_mime(stream: AudioStream) -> str:
    """The MIME type of the track copied into MP4, or '' if no browser plays that."""
    if stream.codec == "aac":
        return _mp4_mime(f"mp4a.40.{_aac_object_type(stream)}")
    if stream.codec.startswith("mp3") and _is_layer_3(stream):
        return _mp4_mime("mp4a.6B" if stream.sample_rate >= 32000 else "mp4a.69")
    if stream.codec in {"opus", "flac"}:
        return _mp4_mime(stream.codec)
    return ""


def _mp4_mime(codec: str) -> str:
    return f'audio/mp4; codecs="{codec}"'


def _aac_object_type(stream: AudioStream) -> int:
    """The audio object type of ISO/IEC 14496-3: 2 is AAC-LC, 5 is HE-AAC."""
    with open_codec_params(stream.codec_params) as container:
        extradata = container.streams.audio[0].codec_context.extradata
    # The first five bits of the AudioSpecificConfig. Without one the profile is unknown, and
    # nearly always LC.
    return extradata[0] >> 3 if extradata else 2


def _is_layer_3(stream: AudioStream) -> bool:
    """Whether a track named MP3 is MPEG audio Layer III.

    Some files store Layer II under that name, which browsers do not play.
    """
    with open_codec_params(stream.codec_params) as source:
        header = next(bytes(packet) for packet in source.demux(audio=0) if packet.size)
    return header[1] & 0b110 == 0b010


def is_plain_aac(stream: AudioStream) -> bool:
    """Whether the track is AAC as `encode_packets` makes it.

    Copied and encoded segments of such a track share an initialization section.
    """
    return (
        copy_mime(stream) == AAC_MIME
        and stream.channels <= len(_LAYOUTS)
        and stream.sample_rate in AAC_RATES
    )


def copy_packets(stream: AudioStream, packets: Sequence[TimedPacket]) -> bytes:
    """Mux packets unchanged into one fragment, those before time 0 left out.

    At least one packet must start at 0 or later.
    """
    # Before 0 lies the encoder's delay, which is not played.
    packets = [packet for packet in packets if packet.start_s >= 0]
    rate = stream.sample_rate
    starts = _start_samples(stream, packets)
    end = starts[-1] + round(packets[-1].duration_s * rate)
    buffer = io.BytesIO()
    with open_codec_params(stream.codec_params) as codec_params, _open_output(buffer) as output:
        target = output.add_stream_from_template(codec_params.streams.audio[0])
        # Each packet lasts until the next one: rounded durations would leave gaps between them.
        for packet, start, until in zip(packets, starts, [*starts[1:], end], strict=True):
            copied = av.Packet(packet.data)
            copied.stream = target
            copied.time_base = Fraction(1, rate)
            copied.pts = copied.dts = start - starts[0]
            copied.duration = until - start
            output.mux(copied)
    return shift_tfdt(buffer.getvalue(), starts[0])


def _start_samples(stream: AudioStream, packets: Sequence[TimedPacket]) -> list[int]:
    """The start of each packet in samples.

    Matroska rounds times to milliseconds. Such packets are spaced evenly, as rounded times make
    them overlap or leave gaps between them.
    """
    rate = stream.sample_rate
    is_exact = stream.time_base <= Fraction(1, 8000)
    if is_exact or len(packets) < 3:
        return [round(packet.start_s * rate) for packet in packets]
    first_s = packets[0].start_s
    step_s = (packets[-1].start_s - first_s) / (len(packets) - 1)
    return [round((first_s + number * step_s) * rate) for number in range(len(packets))]


def encode_packets(
    stream: AudioStream,
    packets: Iterable[TimedPacket],
    start_s: Fraction,
    end_s: Fraction,
    audible_s: Fraction,
) -> bytes:
    """Encode to AAC exactly the frames of the job's grid that start in ``[start_s, end_s)``.

    Args:
        stream: the source's track.
        packets: the packets of the window and around it, in order.
        start_s: start of the window on the job's clock.
        end_s: its end.
        audible_s: everything before is silent, as is every time without packets.
    """
    rate = stream.sample_rate if stream.sample_rate in AAC_RATES else 48000
    # FFmpeg's resampler mixes surround down to stereo.
    layout = _LAYOUTS[1 if stream.channels == 1 else 2]
    first = math.ceil(start_s * rate / FRAME_SAMPLES)
    stop = math.ceil(end_s * rate / FRAME_SAMPLES)
    samples = _SampleBuffer(
        rate,
        layout,
        start=(first - MARGIN_FRAMES) * FRAME_SAMPLES,
        stop=(stop + MARGIN_FRAMES) * FRAME_SAMPLES,
        audible=round(audible_s * rate),
    )
    # Of the neighbouring segments only the packets next to the window matter.
    earliest_s = Fraction(samples.start, rate) - PREROLL_S
    latest_s = Fraction(samples.stop, rate)
    needed = [
        packet for packet in packets if packet.end_s > earliest_s and packet.start_s < latest_s
    ]
    for frame in _decode(stream, needed, rate, layout):
        samples.write(frame)
    return _encode_aac(samples, first * FRAME_SAMPLES, stop * FRAME_SAMPLES)


def _encode_aac(samples: "_SampleBuffer", start: int, stop: int) -> bytes:
    """Encode all samples and keep the packets that start in ``[start, stop)``."""
    buffer = io.BytesIO()
    with _open_output(buffer) as output:
        target = output.add_stream("aac", rate=samples.rate)
        assert isinstance(target, AvAudioStream)
        target.codec_context.layout = samples.layout
        target.codec_context.bit_rate = AAC_BITS_PER_S * samples.channels
        # None flushes the encoder.
        for frame in (*samples.frames(), None):
            for packet in target.encode(frame):
                assert packet.pts is not None
                if start <= packet.pts < stop:
                    packet.pts = packet.dts = packet.pts - start
                    output.mux(packet)
    return shift_tfdt(buffer.getvalue(), start)


def _decode(
    stream: AudioStream, packets: Iterable[TimedPacket], rate: int, layout: str
) -> Iterator[av.AudioFrame]:
    """Yield frames of planar 32-bit float at ``rate``; their pts count samples of the clock."""
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
    with open_codec_params(stream.codec_params) as codec_params:
        decoder = codec_params.streams.audio[0].codec_context
        for source in packets:
            packet = make_packet(source.data)
            packet.time_base = _MICROSECOND
            packet.pts = packet.dts = round(source.start_s / _MICROSECOND)
            try:
                decoded = decoder.decode(packet)
            except av.InvalidDataError:
                # One damaged packet is a moment of silence, not the end of the track.
                continue
            # A packet can hold several frames, and only its own time is known.
            time_s = source.start_s
            for frame in decoded:
                frame.pts, frame.time_base = round(time_s / _MICROSECOND), _MICROSECOND
                time_s += Fraction(frame.samples, frame.sample_rate)
                yield from resampler.resample(frame)
        # Converting the rate holds back samples until it is flushed.
        yield from resampler.resample(None)


class _SampleBuffer:
    """The samples ``[start, stop)`` of the clock as planar 32-bit floats, silent at first.

    Samples before ``audible`` stay silent.
    """

    def __init__(self, rate: int, layout: str, *, start: int, stop: int, audible: int) -> None:
        self.rate, self.layout = rate, layout
        self.channels = av.AudioLayout(layout).nb_channels
        self.start, self.stop = start, stop
        self._audible = audible
        size = (stop - start) * _SAMPLE_BYTES
        self._planes = [bytearray(size) for _ in range(self.channels)]

    def write(self, frame: av.AudioFrame) -> None:
        """Copy a frame to the place of its pts; what lies outside the buffer is dropped."""
        assert frame.pts is not None
        assert frame.time_base is not None
        frame_start = round(frame.pts * frame.time_base * frame.sample_rate)
        first = max(self.start, self._audible, frame_start)
        stop = min(self.stop, frame_start + frame.samples)
        if first >= stop:
            return
        target = _byte_slice(first - self.start, stop - self.start)
        source = _byte_slice(first - frame_start, stop - frame_start)
        for plane, frame_plane in zip(self._planes, frame.planes, strict=True):
            plane[target] = memoryview(frame_plane)[source]

    def frames(self) -> Iterator[av.AudioFrame]:
        """Cut the samples into frames for an AAC encoder."""
        for pts in range(self.start, self.stop, FRAME_SAMPLES):
            frame = av.AudioFrame(format="fltp", layout=self.layout, samples=FRAME_SAMPLES)
            frame.sample_rate = self.rate
            frame.time_base, frame.pts = Fraction(1, self.rate), pts
            source = _byte_slice(pts - self.start, pts - self.start + FRAME_SAMPLES)
            for frame_plane, plane in zip(frame.planes, self._planes, strict=True):
                frame_plane.update(bytes(plane[source]))
            yield frame


def _byte_slice(first: int, stop: int) -> slice:
    return slice(first * _SAMPLE_BYTES, stop * _SAMPLE_BYTES)


def _open_output(buffer: io.BytesIO) -> av.container.OutputContainer:
    """A fragmented MP4 whose single fragment is written when it is closed.

    The fragment's times must start at 0; callers move it to its place with `shift_tfdt`.
    """
    return av.open(
        buffer,
        "w",
        format="mp4",
        options={"movflags": "empty_moov+default_base_moof", "use_editlist": "0"},
    )
