"""Verify that a saved file is its source with painted faces and that nothing else has changed.

`verify` decodes the source and the result side by side. `verify_saved` knows the source by the
records of its job, and decodes nothing. Both make the same report.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.stream import Stream

from facepaint.media.open import main_video, open_media
from facepaint.media.programs import streams_of_program
from facepaint.media.subtitles import text_streams
from facepaint.records.job import VideoJob
from facepaint.store import Store
from facepaint.text import counted
from viewer.save.mux import LATE_S
from viewer.verify.description import (
    chapters_check,
    colour_check,
    size_check,
    tags_check,
)
from viewer.verify.frames import FrameMatch, FrameReader, match_frames
from viewer.verify.job_records import RecordComparison
from viewer.verify.report import PropertyCheck, VerifyReport, seconds, summarized
from viewer.verify.tracks import MATROSKA_S, TrackMatch, audio_tracks, compare_audio, compare_text


def verify(source: Path, result: Path) -> VerifyReport:
    """Compare a result with its source: frames and their times, audio, size, colours, tags,
    chapters, subtitles.

    Both are decoded whole, with one frame of each in memory.

    Raises:
        InputError: there is no such file.
        UnreadableMedia: one of them holds no video.
    """
    with open_media(source) as source_file, open_media(result) as result_file:
        expected = FrameReader(source_file, main_video(source_file, source))
        found = FrameReader(result_file, main_video(result_file, result))
        slack_s = MATROSKA_S if "matroska" in result_file.format.name else Fraction(0)
        tolerance_s = max(expected.tick, found.tick)
        # Everything else that is known of the frames is collected while they are matched.
        match = match_frames(
            expected.times(),
            found.times(),
            tolerance_s,
            may_shift=_may_shift(source_file, expected.stream),
            refused_at=expected.refused_at,
        )
        shifts_s = match.shifts_s or [Fraction(0)]
        # A stream of a closed container no longer has its pixel aspect.
        first_frames = list(_first_frame_checks(expected, found))
        tags = tags_check(source_file, result_file)
        chapters = chapters_check(source_file, result_file, shifts_s[0])
    return VerifyReport(
        source=str(source),
        result=str(result),
        checks=(
            _decoded_frames_check(match, expected, found),
            _decoded_times_check(match, expected, tolerance_s),
            _copied_audio_check(source, result, shifts_s, slack_s),
            *first_frames,
            tags,
            chapters,
            _subtitles_check(source, result, shifts_s[0], slack_s),
        ),
        frames=match.matched,
        refused=expected.refused.count,
        concealed=expected.concealed.count,
        shift_s=shifts_s[0],
    )


def verify_saved(
    store: Store, job: VideoJob, look_id: str, path: Path, shift_s: Fraction = Fraction(0)
) -> VerifyReport:
    """Compare a saved file with the records of its job: frames, their times, and audio.

    Args:
        store: where the records are.
        job: the job that was saved.
        look_id: its look that was saved.
        path: the file.
        shift_s: how much later everything is in the file than in the source, in seconds.

    Raises:
        ObjectMissing: the job is not sealed, or one of its records is missing.
    """
    try:
        # With the prefix, a path may contain a colon.
        with av.open(f"file:{path}", "r") as container:
            comparison = RecordComparison(store, job, look_id, container, shift_s)
            match = comparison.run()
    except av.error.FFmpegError as exc:
        unreadable = PropertyCheck("file", "unreadable", (f"it cannot be read back: {exc}",))
        return VerifyReport(f"job {job.id}", str(path), (unreadable,), shift_s=shift_s)
    audio = (
        _audio_check(comparison.tracks)
        if comparison.has_all_tracks
        else _track_count_check("audio", comparison.tracks_found, len(job.audio))
    )
    return VerifyReport(
        source=f"job {job.id}",
        result=str(path),
        checks=(
            _frames_check(match, comparison.frames_due),
            _times_check(match, comparison.tolerance_s),
            audio,
        ),
        frames=match.matched,
        shift_s=shift_s,
    )


def _may_shift(source: InputContainer, video: Stream) -> bool:
    """Whether saving shifts everything: the video starts before 0, or everything starts late."""
    # The video comes first: only its negative start shifts everything, not that of the audio.
    starts_s = [
        stream.start_time * stream.time_base
        for stream in (video, *source.streams.audio)
        if stream.start_time is not None and stream.time_base is not None
    ]
    return bool(starts_s) and (starts_s[0] < 0 or min(starts_s) > LATE_S)


def _frames_check(
    match: FrameMatch, count: int, differences: Iterable[str] = (), notes: Iterable[str] = ()
) -> PropertyCheck:
    # A frame at another time is matched: that is a difference of the times.
    unmatched = summarized(
        (match.missing, "frame of the source missing"), (match.extra, "frame not in the source")
    )
    return PropertyCheck(
        "frames", f"{match.matched} of {count}", (*unmatched, *differences), tuple(notes)
    )


def _decoded_frames_check(
    match: FrameMatch, expected: FrameReader, found: FrameReader
) -> PropertyCheck:
    """The number of frames, and what decoding them has shown."""
    differences = list(
        summarized(
            (found.refused, "packet not decodable"),
            (found.concealed, "frame decoded with errors"),
            (found.repeated, "frame without a time of its own"),
        )
    )
    notes = list(
        summarized(
            (expected.refused, "packet of the source not decodable"),
            (match.stand_ins, "frame in the place of a packet that is not decodable"),
            (expected.concealed, "frame of the source decoded with errors"),
            (expected.repeated, "frame of the source without a time of its own"),
        )
    )
    if found.ends_early:
        differences.append(f"reading it stops: {found.ends_early}")
    if expected.ends_early:
        notes.append(f"reading the source stops: {expected.ends_early}")
    return _frames_check(match, expected.count, differences, notes)


def _times_check(
    match: FrameMatch, tolerance_s: Fraction, notes: Iterable[str] = ()
) -> PropertyCheck:
    differences = summarized((match.wrong, "frame at another time"))
    return PropertyCheck("times", f"within {tolerance_s} s", tuple(differences), tuple(notes))


def _decoded_times_check(
    match: FrameMatch, expected: FrameReader, tolerance_s: Fraction
) -> PropertyCheck:
    """The times of the frames, and how those of the source were found."""
    notes = []
    if expected.untimed:
        notes.append(
            "the source has no presentation times: its n-th frame is due at the time of its n-th "
            "packet"
        )
    shifts_s = [shift_s for shift_s in match.shifts_s if abs(shift_s) > tolerance_s]
    if expected.recordings > 1:
        notes.append(f"{expected.recordings} concatenated recordings are shown as one")
    elif shifts_s:
        direction = "earlier" if shifts_s[0] < 0 else "later"
        notes.append(f"everything comes {seconds(abs(shifts_s[0]))} {direction}")
    return _times_check(match, tolerance_s, notes)


def _first_frame_checks(expected: FrameReader, found: FrameReader) -> Iterator[PropertyCheck]:
    """The checks of the first frames, if there are any."""
    if expected.first is None or found.first is None:
        return
    yield size_check(expected, found)
    yield colour_check(expected.first, found.first)


def _copied_audio_check(
    source: Path, result: Path, shifts_s: Sequence[Fraction], slack_s: Fraction
) -> PropertyCheck:
    (expected, refused), (found, _) = audio_tracks(source), audio_tracks(result)
    notes = [f"a track in {codec} is left out: no container can hold it" for codec in refused]
    if len(expected) != len(found):
        return _track_count_check("audio", len(found), len(expected), notes)
    matches = [
        compare_audio(source, result, tracks, shifts_s, slack_s)
        for tracks in zip(expected, found, strict=True)
    ]
    return _audio_check(matches, notes)


def _audio_check(tracks: Sequence[TrackMatch], notes: Iterable[str] = ()) -> PropertyCheck:
    all_notes = list(notes)
    for number, match in enumerate(tracks, 1):
        if match.has_adts:
            all_notes.append(
                f"track {number}: the ADTS headers are removed, as MP4 and Matroska require"
            )
        if match.dropped:
            packets = counted(match.dropped, "packet")
            all_notes.append(f"track {number}: {packets} left out at a splice of two recordings")
    return _tracks_check("audio", tracks, "packet", all_notes)


def _subtitles_check(
    source: Path, result: Path, shift_s: Fraction, slack_s: Fraction
) -> PropertyCheck:
    expected, bitmaps = _text_tracks(source)
    found, _ = _text_tracks(result)
    # The uploader stores text subtitles only.
    notes = (f"{counted(bitmaps, 'bitmap track')} left out",) if bitmaps else ()
    if len(expected) != len(found):
        return _track_count_check("subtitles", len(found), len(expected), notes)
    matches = [
        compare_text(source, result, indexes, shift_s, slack_s)
        for indexes in zip(expected, found, strict=True)
    ]
    return _tracks_check("subtitles", matches, "line", notes)


def _tracks_check(
    name: str, tracks: Sequence[TrackMatch], noun: str, notes: Iterable[str]
) -> PropertyCheck:
    """The packets of all tracks of a kind, which ``noun`` names."""
    differences = (
        f"track {number}: {text}"
        for number, match in enumerate(tracks, 1)
        for text in match.differences(noun)
    )
    packets = ", ".join(counted(match.packets, noun) for match in tracks)
    found = f"{counted(len(tracks), 'track')}: {packets}" if tracks else "none"
    return PropertyCheck(name, found, tuple(differences), tuple(notes))


def _track_count_check(
    name: str, found: int, expected: int, notes: Iterable[str] = ()
) -> PropertyCheck:
    """A wrong number of tracks. They are not compared, since it is unknown which is missing."""
    count = counted(found, "track")
    return PropertyCheck(name, count, (f"{count} instead of {expected}",), tuple(notes))


def _text_tracks(path: Path) -> tuple[list[int], int]:
    """The stream indexes of the text subtitles, and the number of the other subtitle tracks."""
    with open_media(path) as container:
        program = streams_of_program(path, container, main_video(container, path))
        texts = [text.index for text in text_streams(container) if text.index in program]
        subtitles = [s for s in container.streams.subtitles if s.index in program]
        return texts, len(subtitles) - len(texts)
