"""Write existing packets into one MP4 or Matroska file, with exact times."""

import io
import math
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
from facepaint.media.mp4 import delay_track, read_moov
from facepaint.media.subtitles import PLAIN_TEXT, STYLED_TEXT, subrip, timed_text
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
"""A source that starts later than this is moved to start at 0.

Encoders start at a second or two, and a camera's video a little after its audio. A later start
comes from a clock that was running long before, and players would show nothing until then.
"""

LARGEST_TIMESCALE = 2**31 - 1

INAUDIBLE_S = 0.02
"""An audio offset of this much is not noticed."""

CONTAINER_TAGS = frozenset(
    {"major_brand", "minor_version", "compatible_brands", "encoder", "software", "duration"}
)
"""Tags that describe the source's container, not its contents."""


@dataclass(slots=True)
class OutputTrack:
    """A stream of the output.

    ``first`` and ``last`` are the first and last pts written to it, in ticks of its time base.
    """

    stream: Any
    skip_samples: int = 0
    first: int | None = None
    last: int | None = None


@dataclass(frozen=True, slots=True)
class OutputPacket:
    """A packet to write; its times are in seconds on the source's clock."""

    track: OutputTrack
    data: bytes
    pts: Fraction
    duration: Fraction
    keyframe: bool = True


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """What the file is to contain.

    Args:
        container: its format, by the muxer's name.
        job: the job whose tracks it gets.
        extras: tags, chapters and subtitles.
        shift_s: added to every time, see `viewer.save.video.shift_of`.
        late: the start in seconds of the tracks that start after 0, by the ticks per second of
            their clocks.
    """

    container: str
    job: VideoJob
    extras: Extras
    shift_s: Fraction = Fraction(0)
    late: Mapping[int, float] = field(default_factory=dict)


class Muxer:
    """An output file being written.

    ``first`` is a painted segment, whose codec parameters hold for all segments. ``video`` and
    ``audio`` are the tracks; ``notes`` name what could not be copied.
    """

    def __init__(self, path: Path, spec: OutputSpec, first: bytes) -> None:
        self._spec, self._path = spec, path
        self.notes: list[str] = []
        # With the prefix, a path may contain a colon.
        self._out = av.open(f"file:{path}", "w", format=spec.container, options=_options(spec))
        try:
            tags = spec.extras.tags.items()
            self._out.metadata.update(
                {name: text for name, text in tags if name.lower() not in CONTAINER_TAGS}
            )
            with av.open(io.BytesIO(first), "r", format="mp4") as painted:
                self.video = self._add_video(painted.streams.video[0])
            self._describe_video()
            self.audio = [self._add_audio(track) for track in spec.job.audio]
            self._texts = deque(sorted(self._add_subtitles(), key=lambda packet: packet.pts))
            self._out.set_chapters(list(_chapters(spec)))
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
        if kind is None and not self._is_matroska:
            self._skip_starts()

    @property
    def _is_matroska(self) -> bool:
        return self._spec.container == "matroska"

    def write(self, packets: Iterable[OutputPacket]) -> None:
        """Write the packets of one segment, sorted by time."""
        for packet in sorted(packets, key=lambda packet: packet.pts):
            self._write_texts(packet.pts)
            self._write(packet)

    def _write_texts(self, until: Fraction | None) -> None:
        """Write the subtitles up to a time, or all, so that the file stays interleaved."""
        while self._texts and (until is None or self._texts[0].pts <= until):
            self._write(self._texts.popleft())

    def _write(self, source: OutputPacket) -> None:
        track, tick = source.track, source.track.stream.time_base
        time = round((source.pts + self._spec.shift_s) / tick)
        if track.last is not None:
            # Two packets may share a tick of a coarse source clock, but muxers need increasing
            # times.
            time = max(time, track.last + 1)
        track.first = time if track.first is None else track.first
        track.last = time
        packet = av.Packet(source.data)
        # Painted segments have no B-frames, so the dts is the pts.
        packet.pts = packet.dts = time
        packet.duration = round(source.duration / tick)
        packet.is_keyframe = source.keyframe
        packet.time_base = tick
        packet.stream = track.stream
        self._out.mux_one(packet)

    def _describe_video(self) -> None:
        video, stream = self._spec.job.video, self.video.stream
        if self._is_matroska:
            # Otherwise the muxer writes a tick of the source's clock as the duration of a frame.
            stream.codec_context.framerate = video.frame_rate or 0
        else:
            stream.time_base = Fraction(1, _timescales(self._spec)[0])
        _name(stream, video)

    def _add_video(self, painted: InputVideo) -> OutputTrack:
        # Opaque: for AV1, PyAV would otherwise look for an encoder of the decoder's name.
        stream = self._out.add_stream_from_template(painted, opaque=True)
        if not self._is_matroska:
            # Otherwise HEVC is tagged hev1, which Apple's players refuse.
            stream.codec_tag = painted.codec_context.codec_tag
        return OutputTrack(stream)

    def _add_audio(self, audio: AudioStream) -> OutputTrack:
        with open_codec_params(audio.codec_params) as source:
            stream = self._out.add_stream_from_template(source.streams[0])
        _name(stream, audio, audio.disposition)
        return OutputTrack(stream, audio.skip_samples)

    def _skip_starts(self) -> None:
        """Mark the samples at the start of late tracks that are not played.

        The muxer does so only for tracks that start before 0.
        """
        late = [track for track in self.audio if track.skip_samples and (track.first or 0) > 0]
        if not late:
            return
        with self._path.open("rb+") as file:
            start, moov = read_moov(file)
            for track in late:
                moov = delay_track(moov, track.stream.index, track.skip_samples)
            file.seek(start)
            file.write(moov)

    def _add_subtitles(self) -> Iterator[OutputPacket]:
        """Add the subtitle tracks and yield their packets."""
        for subtitles in self._spec.extras.subtitles:
            stream = self._subtitle_stream(subtitles)
            if stream is None:
                self.notes.append(
                    f"{subtitles.codec} subtitles are left out: save as .mkv to keep them"
                )
                continue
            _name(stream, subtitles, subtitles.disposition)
            track = OutputTrack(stream)
            for pts, duration, data in subtitles.packets:
                body = self._subtitle_body(subtitles.codec, data)
                # What is shown across the file's start begins there.
                start_s = max(pts * subtitles.time_base, -self._spec.shift_s)
                duration_s = (pts + duration) * subtitles.time_base - start_s
                if body and duration_s >= 0:
                    yield OutputPacket(track, body, start_s, duration_s)

    def _subtitle_stream(self, subtitles: Subtitles) -> Any:
        """A new stream for a subtitle track; None if the container cannot hold it."""
        if self._is_rewritten(subtitles.codec):
            stream: Any = self._out.add_stream("subrip" if self._is_matroska else "mov_text")
            stream.codec_context.subtitle_header = b"[Script Info]\r\nScriptType: v4.00+\r\n"
            return stream
        if not can_hold(self._spec.container, subtitles.codec_params):
            return None
        with open_codec_params(subtitles.codec_params) as source:
            return self._out.add_stream_from_template(source.streams[0])

    def _subtitle_body(self, codec: str, data: bytes) -> bytes:
        """A subtitle packet as the output's codec stores it."""
        if not self._is_rewritten(codec):
            return data
        return subrip(codec, data) if self._is_matroska else timed_text(codec, data)

    def _is_rewritten(self, codec: str) -> bool:
        """Whether subtitles are converted to the container's own text codec."""
        return codec in PLAIN_TEXT or (codec in STYLED_TEXT and not self._is_matroska)


def _name(
    stream: Any, track: VideoStream | AudioStream | Subtitles, disposition: Iterable[str] = ()
) -> None:
    """Give a track the language, the title and the disposition that it has in the source."""
    if track.language:
        stream.metadata["language"] = track.language
    if track.title:
        stream.metadata["title"] = track.title
    stream.disposition = sum(
        Disposition[name] for name in disposition if name in Disposition.__members__
    )


def placed_chapters(chapters: Sequence[Chapter], shift_s: Fraction) -> Iterator[Chapter]:
    """The chapters of a file in which everything is ``shift_s`` seconds later.

    What is before 0 is left out.
    """
    # If all would end before 0, they count from the start of the file and not from its clock's 0.
    if not shift_s or all(chapter.end_s + shift_s <= 0 for chapter in chapters):
        yield from chapters
        return
    for chapter in chapters:
        if chapter.end_s + shift_s > 0:
            yield Chapter(
                max(Fraction(0), chapter.start_s + shift_s), chapter.end_s + shift_s, chapter.title
            )


def _chapters(spec: OutputSpec) -> Iterator["ContainerChapter"]:
    tick = Fraction(1, 1000)
    for number, chapter in enumerate(placed_chapters(spec.extras.chapters, spec.shift_s), 1):
        yield {
            "id": number,
            "start": round(chapter.start_s / tick),
            "end": round(chapter.end_s / tick),
            "time_base": tick,
            "metadata": {"title": chapter.title},
        }


def _options(spec: OutputSpec) -> dict[str, str]:
    if spec.container == "matroska":
        # Otherwise everything moves until the encoder delay of AAC, at a negative time, starts at
        # 0.
        return {"avoid_negative_ts": "disabled", "cues_to_front": "1"}
    video_scale, movie_scale = _timescales(spec)
    # MP4 stores the tags of phone makers only if all tags are written as QuickTime stores them.
    has_maker_tags = any(name.startswith("com.") for name in spec.extras.tags)
    return {
        "movflags": "faststart+use_metadata_tags" if has_maker_tags else "faststart",
        "video_track_timescale": str(video_scale),
        "movie_timescale": str(movie_scale),
    }


def _timescales(spec: OutputSpec) -> tuple[int, int]:
    """Ticks per second of the video track, and of the movie.

    MP4 states the start of a late track in ticks of the movie. Firefox reads that number as ticks
    of the track itself, so the movie uses the clock of the late track where that is possible.
    """
    video = spec.job.video.time_base.denominator
    other_clocks = spec.late.keys() - {video}
    if not other_clocks:
        return video, video
    audio = max(other_clocks)
    is_only_one = len(other_clocks) == 1
    if is_only_one and video not in spec.late:
        return video, audio
    # Video and audio are late: a multiple of the video's clock, fine enough for every sample, if
    # the audio's offset in Firefox is inaudible.
    fine = video * math.ceil(2 * audio / video)
    if is_only_one and abs(fine / audio - 1) * spec.late[audio] < INAUDIBLE_S:
        return fine, fine
    # The audio's clock for the video, if that moves no frame by more than a tick of the source.
    if is_only_one and 2 * audio >= video:
        return audio, audio
    # Audio tracks of several clocks: exact in every player but Firefox.
    exact = math.lcm(video, *(track.sample_rate for track in spec.job.audio))
    return video, exact if exact <= LARGEST_TIMESCALE else video
