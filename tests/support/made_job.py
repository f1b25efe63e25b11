"""Jobs for tests of readers: stored step by step, as uploader and workers store them.

Frames are a moving crop of the public-domain portrait `skimage.data.astronaut`; the painted ones
have a stripe across. The audio is a tone with a beep at every full second. Both are encoded.
"""

import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fractions import Fraction
from functools import cache
from typing import Any

import av
import numpy as np
import skimage.data
from PIL import Image

from facepaint.looks.look import Look
from facepaint.looks.parser import parse_look
from facepaint.media.codec_params import open_codec_params, write_codec_params
from facepaint.records import keys
from facepaint.records.colour import Colour
from facepaint.records.faces import Box, Faces
from facepaint.records.job import (
    AudioStream,
    DetectorSpec,
    ImageJob,
    Job,
    OutputProfile,
    Sealed,
    SourceFile,
    VideoJob,
    VideoStream,
)
from facepaint.records.keys import new_job_id
from facepaint.records.results import Failed, Painted, WorkerInfo
from facepaint.records.segment import AudioPacket, Packet, Segment
from facepaint.records.tracks import People, Person, TrackedFace, TrackedFrame, TrackedSegment
from facepaint.store import Store
from tasks.video.encode import Encoded, EncodeSpec, SegmentEncoder
from tests.support.flashes import beeping

SIZE = (320, 180)
ULTRAFAST = OutputProfile(preset="ultrafast")
RATE = 48_000


@dataclass
class MadeJob:
    """A video job.

    ``times`` are the frames' pts. ``cuts`` are the pts at which segments start, and the end of the
    last one.
    """

    store: Store
    times: tuple[int, ...]
    cuts: tuple[int, ...]
    time_base: Fraction = Fraction(1, 12_800)
    audio: tuple["MadeAudio", ...] = ()
    name: str = "holiday.mp4"
    filters: tuple[str, ...] = ("sunglasses",)
    size: tuple[int, int] = SIZE
    output: OutputProfile = ULTRAFAST
    id: str = field(default_factory=lambda: new_job_id(datetime.now(UTC)))

    @property
    def look(self) -> Look:
        """The one look of the job."""
        return parse_look(self.filters)

    @property
    def segments(self) -> int:
        """The number of segments of the whole video."""
        return len(self.cuts) - 1

    @property
    def job(self) -> VideoJob:
        """The record of the job."""
        return VideoJob(
            id=self.id,
            source=SourceFile(self.name, 1_000_000, "0" * 64),
            created=datetime.now(UTC),
            detector=DetectorSpec(),
            output=self.output,
            video=VideoStream(
                "h264", "avc1", b"", *self.size, "yuv420p", self.time_base, Fraction(25)
            ),
            audio=tuple(track.stream for track in self.audio),
            start_pts=self.times[0],
            duration_s=float((self.cuts[-1] - self.times[0]) * self.time_base),
        )

    def begin(self) -> "MadeJob":
        """Store the job and its look."""
        self.store.put_record(keys.job(self.id), self.job)
        self.store.put_record(keys.look(self.id, self.look.id), self.look)
        return self

    def upload(self, indexes: Iterable[int]) -> None:
        """Store segments of the source and their audio."""
        for index in indexes:
            frames = self.times_of(index)
            rows, data = self._audio_of(index)
            if data:
                self.store.put(keys.audio(self.id, index), data)
            body = b"\0" * len(frames)
            record = Segment(
                index=index,
                start=self.cuts[index],
                end=self.cuts[index + 1],
                packets=tuple(Packet(1, pts, pts) for pts in frames),
                sha256=hashlib.sha256(body).hexdigest(),
                audio=rows,
                audio_sha256=hashlib.sha256(data).hexdigest() if data else "",
            )
            self.store.put(keys.source(self.id, index), body)
            self.store.put_record(keys.segment(self.id, index), record)

    def detect(self, indexes: Iterable[int]) -> None:
        """Store the results of detection: no faces."""
        for index in indexes:
            self.store.put_record(
                keys.faces(self.id, index), Faces(index, (), "facepaint-1", "cpu")
            )

    def track(self, boxes: Sequence[Box], drift: float = 0.0) -> None:
        """Store the results of tracking: a person with a portrait for each box.

        The boxes are those of the first frame; they move right by ``drift`` px from frame to frame.
        """

        def moved(box: Box, number: int) -> Box:
            return (box[0] + drift * number, box[1], box[2] + drift * number, box[3])

        for index in range(self.segments):
            frames = []
            for pts in self.times_of(index):
                now = [moved(box, self.times.index(pts)) for box in boxes]
                faces = (
                    TrackedFace(person, person - 1, 0.9, box) for person, box in enumerate(now, 1)
                )
                frames.append(TrackedFrame(pts, tuple(faces)))
            self.store.put_record(
                keys.tracked(self.id, index), TrackedSegment(index, tuple(frames))
            )
        frame = Image.fromarray(_frame(0, self.size))
        people = []
        for number, box in enumerate(boxes, 1):
            people.append(
                Person(
                    number,
                    self.times[0],
                    self.times[-1],
                    len(self.times),
                    0.9,
                    0,
                    self.times[0],
                    box,
                )
            )
            portrait = io.BytesIO()
            frame.crop([round(side) for side in box]).resize((160, 160)).save(portrait, "JPEG")
            self.store.put(keys.portrait(self.id, number), portrait.getvalue(), "image/jpeg")
        self.store.put_record(keys.tracks(self.id), People(tuple(people), self.segments))

    def paint(self, indexes: Iterable[int], look: str | None = None) -> None:
        """Store painted segments of a look, by default that of the job."""
        look = look or self.look.id
        for index in indexes:
            encoded = self._encode(index)
            sha256 = hashlib.sha256(encoded.data).hexdigest()
            record = Painted(
                index=index,
                name=f"{index:06d}-{sha256[:12]}.mp4",
                frames=encoded.frames,
                bytes=len(encoded.data),
                sha256=sha256,
                init_bytes=encoded.init_bytes,
                start=self.cuts[index],
                end=self.cuts[index + 1],
                codec=encoded.codec,
                encoder=self.output.encoder,
            )
            self.store.put(keys.painted_data(self.id, look, record.name), encoded.data)
            self.store.put_record(keys.painted(self.id, look, index), record)

    def fail_painting(self, index: int, reason: str = "the worker crashed 3 times") -> None:
        """Store that the painting of a segment failed."""
        self.store.put_record(
            keys.painted_failed(self.id, self.look.id, index), Failed(index, reason, 3)
        )

    def seal(self) -> None:
        """Store that the upload is complete."""
        self.store.put_record(keys.sealed(self.id), Sealed(self.segments))

    def complete(self) -> "MadeJob":
        """Store the whole job, painted."""
        self.begin()
        every = range(self.segments)
        self.upload(every)
        self.seal()
        self.detect(every)
        self.paint(every)
        return self

    def times_of(self, index: int) -> list[int]:
        """The presentation times of a segment, in ticks."""
        return [pts for pts in self.times if self.cuts[index] <= pts < self.cuts[index + 1]]

    def _audio_of(self, index: int) -> tuple[tuple[AudioPacket, ...], bytes]:
        """The packets that start inside the window; the first and the last window also take those
        outside of the video."""
        start = Fraction(self.cuts[index]) * self.time_base if index else Fraction(-1000)
        end = (
            Fraction(self.cuts[index + 1]) * self.time_base
            if index + 1 < self.segments
            else Fraction(10**6)
        )
        rows, data = [], []
        for number, track in enumerate(self.audio):
            for packet, body in track.packets:
                assert packet.pts is not None
                if start <= packet.pts * track.stream.time_base < end:
                    rows.append(replace(packet, stream=number))
                    data.append(body)
        return tuple(rows), b"".join(data)

    def _encode(self, index: int) -> Encoded:
        spec = EncodeSpec(
            self.size, "yuv420p", self.time_base, Fraction(25), Fraction(1), Colour(), self.output
        )
        with SegmentEncoder(spec, self.times[0], self.cuts[index + 1]) as encoder:
            for pts in self.times_of(index):
                frame = av.VideoFrame.from_ndarray(
                    _frame(self.times.index(pts), self.size), "rgb24"
                )
                frame = frame.reformat(format="yuv420p")
                frame.pts = pts
                encoder.write(frame)
            return encoder.finish()


@dataclass(frozen=True)
class MadeAudio:
    """An audio track: its entry in `job.json`, and its packets with times relative to the first
    frame."""

    stream: AudioStream
    packets: tuple[tuple[AudioPacket, bytes], ...]


def plain_job(
    store: Store, seconds: float = 8.0, audio: Sequence[MadeAudio] = (), **changes: Any
) -> MadeJob:
    """25 frames a second, a segment every 2 s, first frame at 1.5 s of the source's clock."""
    tick = Fraction(1, 12_800)
    first, step = 19_200, 12_800 // 25
    times = tuple(first + number * step for number in range(round(seconds * 25)))
    end = times[-1] + step
    cuts = (*range(first, end, 2 * 12_800), end)
    return MadeJob(store, times, cuts, tick, tuple(audio), **changes)


def sealed_job(store: Store, **changes: Any) -> MadeJob:
    """Four segments, all stored."""
    made = plain_job(store, **changes).begin()
    made.upload(range(4))
    made.seal()
    return made


def uneven_job(store: Store, **changes: Any) -> MadeJob:
    """Variable frame rate in a time base of 1/1000, uneven windows, one frame shown for 9 s."""
    times = [40]
    for number in range(60):
        times.append(times[-1] + (33, 51, 20, 100)[number % 4])
    times.append(times[-1] + 9000)
    times += [times[-1] + 40 * number for number in range(1, 20)]
    cuts = (times[0], times[25], times[58], times[70], times[-1] + 40)
    return MadeJob(store, tuple(times), cuts, Fraction(1, 1000), **changes)


@cache
def make_audio(
    codec: str = "aac", seconds: float = 8.0, start_s: Fraction = Fraction(0), shift: int = 19_200
) -> MadeAudio:
    """A tone with a beep at every full second from ``start_s`` on, on the clock of `plain_job`."""
    origin_s = Fraction(shift, 12_800) + start_s
    buffer = io.BytesIO()
    found: list[tuple[AudioPacket, bytes]] = []
    with av.open(buffer, "w", format="nut") as output:
        stream: Any = output.add_stream(codec, rate=RATE)
        stream.codec_context.layout = "stereo"
        tick = Fraction(1, RATE)
        for samples in (*_tone_frames(seconds, stream, origin_s), None):
            for packet in stream.encode(samples):
                if not packet.size:
                    # FLAC's encoder ends with an empty packet that updates the header.
                    continue
                pts = round(packet.pts * packet.time_base / tick)
                found.append(
                    (AudioPacket(0, packet.size, pts, pts, packet.duration or 0), bytes(packet))
                )
                if len(found) == 1:
                    output.mux(packet)
    name = {"libmp3lame": "mp3float", "libopus": "opus"}.get(codec, codec)
    before = round(origin_s * RATE) - (found[0][0].pts or 0)
    return MadeAudio(
        AudioStream(name, tick, RATE, 2, buffer.getvalue(), "eng", "Main", before), tuple(found)
    )


def in_adts(plain: MadeAudio) -> MadeAudio:
    """A track of AAC as transport streams have it: a header of 7 bytes before each packet, and no
    extradata."""
    buffer = io.BytesIO()
    with (
        open_codec_params(plain.stream.codec_params) as source,
        av.open(buffer, "w", format="adts") as output,
    ):
        stream = output.add_stream_from_template(source.streams[0])
        for row, body in plain.packets:
            packet = av.Packet(body)
            packet.pts, packet.dts, packet.time_base, packet.stream = (
                row.pts,
                row.dts,
                plain.stream.time_base,
                stream,
            )
            output.mux(packet)
    with av.open(buffer, format="aac") as container:
        packets = [packet for packet in container.demux(audio=0) if packet.size]
        codec_params = write_codec_params(container.streams[0], packets[0])
    rows = (
        (replace(row, size=packet.size), bytes(packet))
        for (row, _), packet in zip(plain.packets, packets, strict=True)
    )
    return MadeAudio(replace(plain.stream, codec_params=codec_params), tuple(rows))


def _tone_frames(seconds: float, stream: Any, origin_s: Fraction) -> Iterable[av.AudioFrame]:
    samples = beeping(seconds)
    size = stream.codec_context.frame_size or 1024
    wanted = stream.codec_context.format.name
    resampler = av.AudioResampler(format=wanted, layout="stereo", rate=RATE)
    for at in range(0, len(samples) - size + 1, size):
        frame = av.AudioFrame.from_ndarray(
            np.tile(samples[at : at + size], (2, 1)), format="fltp", layout="stereo"
        )
        frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
        frame.pts = at + round(origin_s * RATE)
        yield from resampler.resample(frame)


@cache
def _portrait() -> "np.ndarray[Any, np.dtype[np.uint8]]":
    return np.asarray(Image.fromarray(skimage.data.astronaut()).resize((768, 768)))


def _frame(number: int, size: tuple[int, int]) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """A crop of the portrait that moves with the number, with the stripe of painted frames."""
    width, height = size
    left = round((768 - width) * (0.3 + 0.2 * np.sin(number / 40)))
    top = round((768 - height) * 0.1)
    frame = np.array(_portrait()[top : top + height, left : left + width])
    frame[height // 2 : height // 2 + height // 12, width // 4 : 3 * width // 4] = (226, 74, 51)
    return frame


def image_job(like: Job, *names: str) -> ImageJob:
    """A job of images with the id, source and detector of another job."""
    return ImageJob(
        id=like.id,
        source=like.source,
        created=like.created,
        detector=like.detector,
        output=like.output,
        images=names,
    )


def stored_image_job(
    store: Store, names: Sequence[str], filters: tuple[str, ...] = ("sunglasses",)
) -> tuple[ImageJob, Look]:
    """A job of images, stored whole as source; `paint_image` adds the painted ones."""
    look = parse_look(filters)
    job = ImageJob(
        id=new_job_id(datetime.now(UTC)),
        source=SourceFile(names[0], 1000, "0" * 64),
        created=datetime.now(UTC),
        detector=DetectorSpec(),
        output=OutputProfile(),
        images=tuple(names),
    )
    store.put_record(keys.job(job.id), job)
    store.put_record(keys.look(job.id, look.id), look)
    for index in range(len(names)):
        store.put_record(
            keys.segment(job.id, index),
            Segment(index, 0, 1, (Packet(1, 0, 0, keyframe=True),), "0" * 64),
        )
    store.put_record(keys.sealed(job.id), Sealed(len(names)))
    return job, look


def paint_image(store: Store, job: Job, look: Look, index: int) -> None:
    """Store a painted image."""
    buffer = io.BytesIO()
    Image.fromarray(_frame(index * 60, (480, 360 if index % 2 else 640))).save(buffer, "JPEG")
    data = buffer.getvalue()
    sha256 = hashlib.sha256(data).hexdigest()
    name = f"{index:06d}-{sha256[:12]}.jpg"
    store.put(keys.painted_data(job.id, look.id, name), data)
    store.put_record(
        keys.painted(job.id, look.id, index),
        Painted(index, name, 1, len(data), sha256, 0, 0, 1, "jpeg", "pillow"),
    )


def heartbeat(store: Store, name: str = "worker-1") -> None:
    """Store the heartbeat of a live worker."""
    info = WorkerInfo(
        name, datetime.now(UTC), "host", "cpu", ("libx264",), ("detect", "paint"), {"detect": 120.0}
    )
    store.put_record(keys.worker(name), info)
