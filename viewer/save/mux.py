"""Write packets made elsewhere into one MP4 or Matroska file, every time kept exact."""

import io
import math
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import av
from av.stream import Disposition
from av.video.stream import VideoStream as InputVideo

from facepaint.media.codec_params import can_hold, open_codec_params
from facepaint.media.mp4 import delay_edit, read_moov
from facepaint.records.job import (
    AudioStream,
    Chapter,
    Extras,
    Subtitles,
    VideoJob,
    VideoStream,
)

if TYPE_CHECKING:
    from av.container.core import Chapter as ContainerChapter

LATE_S = 5
"""What starts later than this is moved to start at 0. Encoders start at a second or two, a camera's
picture a little after its sound; what starts later has a clock that ran long before, and players
would show nothing until then."""

LARGEST_TIMESCALE = 2**31 - 1

UNHEARD_S = 0.02
"""Sound this much early or late is not noticed."""

PLAIN_TEXT = frozenset({"subrip", "srt", "text", "webvtt", "mov_text"})
"""Subtitles that are lines of text, by FFmpeg's names for codec or decoder; they need no
template."""

STYLED_TEXT = frozenset({"ass", "ssa"})
"""Subtitles that are text with styles, which MP4 loses."""

_MARKS = re.compile(r"<[^>]*>|\{\\[^}]*\}")

OF_THE_CONTAINER = frozenset(
    {"major_brand", "minor_version", "compatible_brands", "encoder", "software", "duration"}
)
"""Tags that describe the source's container, not what is in it."""


@dataclass(slots=True)
class Track:
    """A stream of the output, the first and last times written to it in ticks of its own time base,
    samples to skip."""

    stream: Any
    skip_samples: int = 0
    first: int | None = None
    last: int | None = None


@dataclass(frozen=True, slots=True)
class Timed:
    """One packet on its way into the file, its times in seconds."""

    track: Track
    data: bytes
    pts: Fraction
    duration: Fraction
    keyframe: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """What the file is to be. ``shift_s`` is added to every time: see `viewer.save.save.shift_of`.

    ``late`` are the clocks, in ticks a second, of the tracks that begin after 0, and how many
    seconds after.
    """

    container: str
    job: VideoJob
    extras: Extras
    shift_s: Fraction = Fraction(0)
    late: Mapping[int, float] = field(default_factory=dict)


class Muxer:
    """An output file being written. ``first`` is a painted segment, whose codec parameters hold for
    all.

    ``video`` and ``audio`` are the tracks; ``notes`` tells what could not be taken along.
    """

    def __init__(self, path: Path, plan: Plan, first: bytes) -> None:
        self._plan, self._path = plan, path
        self.notes: list[str] = []
        # With the prefix, a path may hold a colon.
        self._out = av.open(f"file:{path}", "w", format=plan.container, options=_options(plan))
        try:
            tags = plan.extras.tags.items()
            self._out.metadata.update(
                {name: text for name, text in tags if name.lower() not in OF_THE_CONTAINER}
            )
            with av.open(io.BytesIO(first), "r", format="mp4") as painted:
                self.video = self._add_video(painted.streams.video[0])
            self._describe_video()
            self.audio = [self._add_audio(track) for track in plan.job.audio]
            self._texts = deque(sorted(self._add_subtitles(), key=lambda packet: packet.pts))
            self._out.set_chapters(list(_chapters(plan)))
            self._out.start_encoding()
        except BaseException:
            self._out.close()
            raise

    def __enter__(self) -> "Muxer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._write_texts(None)
        self._out.close()
        if kind is None and self._plan.container != "matroska":
            self._skip_starts()

    def write(self, packets: Iterable[Timed]) -> None:
        """Write the packets of one stretch of time, in order of time whatever order they come
        in."""
        for packet in sorted(packets, key=lambda packet: packet.pts):
            self._write_texts(packet.pts)
            self._write(packet)

    def _write_texts(self, until: Fraction | None) -> None:
        while self._texts and (until is None or self._texts[0].pts <= until):
            self._write(self._texts.popleft())

    def _write(self, timed: Timed) -> None:
        track, tick = timed.track, timed.track.stream.time_base
        packet = av.Packet(timed.data)
        time = round((timed.pts + self._plan.shift_s) / tick)
        # Two packets may share a tick of a coarse source clock; a muxer takes only times that grow.
        packet.pts = packet.dts = track.last = (
            time if track.last is None else max(time, track.last + 1)
        )
        track.first = packet.pts if track.first is None else track.first
        packet.duration = round(timed.duration / tick)
        packet.is_keyframe = timed.keyframe
        packet.time_base = tick
        packet.stream = track.stream
        self._out.mux_one(packet)

    def _describe_video(self) -> None:
        video, stream = self._plan.job.video, self.video.stream
        if self._plan.container == "matroska":
            # Else a tick of the source's clock would be told as the length of a frame.
            stream.codec_context.framerate = video.frame_rate or 0
        else:
            stream.time_base = Fraction(1, _timescales(self._plan)[0])
        _name(stream, video)

    def _add_video(self, painted: InputVideo) -> Track:
        # Opaque: of AV1, PyAV would look for an encoder of the name that the decoder has.
        stream = self._out.add_stream_from_template(painted, opaque=True)
        if self._plan.container != "matroska":
            # Else HEVC would be tagged hev1, which Apple's players refuse.
            stream.codec_tag = painted.codec_context.codec_tag
        return Track(stream)

    def _add_audio(self, audio: AudioStream) -> Track:
        with open_codec_params(audio.codec_params) as source:
            stream = self._out.add_stream_from_template(source.streams[0])
        _name(stream, audio, audio.disposition)
        return Track(stream, audio.skip_samples)

    def _skip_starts(self) -> None:
        """Say which samples at the start of late tracks are not played; the muxer knows it of those
        below 0 only."""
        late = [track for track in self.audio if track.skip_samples and (track.first or 0) > 0]
        if not late:
            return
        with self._path.open("rb+") as file:
            start, moov = read_moov(file)
            for track in late:
                moov = delay_edit(moov, track.stream.index, track.skip_samples)
            file.seek(start)
            file.write(moov)

    def _add_subtitles(self) -> Iterator[Timed]:
        into_matroska = self._plan.container == "matroska"
        for subtitles in self._plan.extras.subtitles:
            as_text = subtitles.codec in PLAIN_TEXT or (
                subtitles.codec in STYLED_TEXT and not into_matroska
            )
            if as_text:
                stream: Any = self._out.add_stream("subrip" if into_matroska else "mov_text")
                stream.codec_context.subtitle_header = b"[Script Info]\r\nScriptType: v4.00+\r\n"
            elif can_hold(self._plan.container, subtitles.codec_params):
                with open_codec_params(subtitles.codec_params) as source:
                    stream = self._out.add_stream_from_template(source.streams[0])
            else:
                self.notes.append(
                    f"{subtitles.codec} subtitles are left out: save as .mkv to keep them"
                )
                continue
            _name(stream, subtitles, subtitles.disposition)
            track = Track(stream)
            for pts, duration, data in subtitles.packets:
                body = data if not as_text else _text(subtitles.codec, data)
                if as_text and not into_matroska:
                    body = _timed_text(plain_text(subtitles.codec, data))
                start_s = max(pts * subtitles.time_base, -self._plan.shift_s)
                duration_s = (pts + duration) * subtitles.time_base - start_s
                if body and duration_s >= 0:
                    yield Timed(track, body, start_s, duration_s)


def _name(
    stream: Any, track: VideoStream | AudioStream | Subtitles, disposition: Iterable[str] = ()
) -> None:
    """Give a track the language, the title and the purpose that it has in the source."""
    if track.language:
        stream.metadata["language"] = track.language
    if track.title:
        stream.metadata["title"] = track.title
    stream.disposition = sum(
        Disposition[name] for name in disposition if name in Disposition.__members__
    )


def _text(codec: str, data: bytes) -> bytes:
    """The lines of a subtitle as SubRip has them."""
    if codec == "mov_text":
        return data[2 : 2 + int.from_bytes(data[:2])]
    if codec in STYLED_TEXT:
        return data.split(b",", 8)[-1].replace(b"\\N", b"\n")
    return data


def plain_text(codec: str, data: bytes) -> bytes:
    """The lines of a text subtitle in UTF-8, without marks of style; empty where nothing is
    shown."""
    return _MARKS.sub("", _text(codec, data).decode("utf-8", "replace")).strip().encode()


def _timed_text(text: bytes) -> bytes:
    """A sample of MP4 timed text: its length in two bytes, then its lines."""
    plain = text[:65535]
    return len(plain).to_bytes(2) + plain if plain else b""


def placed_chapters(chapters: Sequence[Chapter], shift_s: Fraction) -> Iterator[Chapter]:
    """The chapters on the clock of a file in which everything is that much later.

    Where all would end before it begins, they count from its beginning already. What is before 0 is
    left out.
    """
    if not shift_s or all(chapter.end_s + shift_s <= 0 for chapter in chapters):
        yield from chapters
        return
    for chapter in chapters:
        if chapter.end_s + shift_s > 0:
            yield Chapter(
                max(Fraction(0), chapter.start_s + shift_s), chapter.end_s + shift_s, chapter.title
            )


def _chapters(plan: Plan) -> Iterator["ContainerChapter"]:
    tick = Fraction(1, 1000)
    for number, chapter in enumerate(placed_chapters(plan.extras.chapters, plan.shift_s), 1):
        yield {
            "id": number,
            "start": round(chapter.start_s / tick),
            "end": round(chapter.end_s / tick),
            "time_base": tick,
            "metadata": {"title": chapter.title},
        }


def _options(plan: Plan) -> dict[str, str]:
    if plan.container == "matroska":
        # Else everything would move so that the encoder delay of AAC, at a negative time, starts at
        # 0.
        return {"avoid_negative_ts": "disabled", "cues_to_front": "1"}
    video_scale, movie_scale = _timescales(plan)
    # Phones give tags of their makers' own, which MP4 has room for only if all are written as
    # QuickTime has them.
    makers = any(name.startswith("com.") for name in plan.extras.tags)
    return {
        "movflags": "faststart+use_metadata_tags" if makers else "faststart",
        "video_track_timescale": str(video_scale),
        "movie_timescale": str(movie_scale),
    }


def _timescales(plan: Plan) -> tuple[int, int]:
    """Ticks a second of the video track, and of the movie, in which MP4 says how late a track
    begins.

    Firefox takes that number for ticks of the late track itself, so the movie counts by that
    track's clock, which keeps its start exact, too. Where picture and sound are late it counts by a
    multiple of the picture's clock, fine enough for every sample, if that puts the sound off by
    nothing one hears in Firefox. Else the picture counts by the sound's clock if that moves no
    frame by more than a tick of the source.
    """
    video = plan.job.video.time_base.denominator
    others = plan.late.keys() - {video}
    if not others:
        return video, video
    sound = max(others)
    if len(others) == 1 and video not in plan.late:
        return video, sound
    fine = video * math.ceil(2 * sound / video)
    if len(others) == 1 and abs(fine / sound - 1) * plan.late[sound] < UNHEARD_S:
        return fine, fine
    if len(others) == 1 and 2 * sound >= video:
        return sound, sound
    exact = math.lcm(video, *(track.sample_rate for track in plan.job.audio))
    return video, exact if exact <= LARGEST_TIMESCALE else video
