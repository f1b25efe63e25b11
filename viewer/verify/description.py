"""Compare the frame size, the colour description, the tags and the chapters of two videos."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from fractions import Fraction

import av
from av.container import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from facepaint.media.open import chapters_of, orientation, projections, track_title
from facepaint.media.subtitles import text_streams
from facepaint.records.colour import HDR_TRANSFERS, SDR, ColourRange, MatrixCoefficients
from facepaint.records.job import Chapter
from viewer.save.mux import CONTAINER_TAGS, placed_chapters
from viewer.verify.frames import FrameReader
from viewer.verify.report import PropertyCheck, seconds

CodePoints = tuple[int, int, int]
"""Primaries, transfer characteristics and matrix coefficients, by ITU-T H.273."""

TERMINOLOGICAL = {
    "alb": "sqi",
    "arm": "hye",
    "baq": "eus",
    "bur": "mya",
    "chi": "zho",
    "cze": "ces",
    "dut": "nld",
    "fre": "fra",
    "geo": "kat",
    "ger": "deu",
    "gre": "ell",
    "ice": "isl",
    "mac": "mkd",
    "mao": "mri",
    "may": "msa",
    "per": "fas",
    "rum": "ron",
    "slo": "slk",
    "tib": "bod",
    "wel": "cym",
}
"""ISO 639-2 has two codes for these languages; Matroska uses the former, others the latter."""

CHAPTER_S = Fraction(1, 1000)
"""The resolution of chapters."""


def size_check(source: FrameReader, result: FrameReader) -> PropertyCheck:
    """The upright size and the pixel aspect; an odd side may be longer by a line."""
    assert source.first is not None
    assert result.first is not None
    width, height, aspect = _upright(source.stream, source.first)
    found_width, found_height, found_aspect = _upright(result.stream, result.first)
    size, found_size = f"{width}x{height}", f"{found_width}x{found_height}"
    differences, notes = [], []
    # Encoders of 4:2:0 refuse odd sides.
    padded_size = f"{width + width % 2}x{height + height % 2}"
    if found_size not in {size, padded_size}:
        differences.append(f"{found_size} instead of {size}")
    elif found_size != size:
        notes.append(f"odd sides are padded by a line: {size} became {found_size}")
    if found_aspect != aspect:
        differences.append(f"pixel aspect {found_aspect} instead of {aspect}")
    kept = projections(result.first)
    notes += [
        f"the result is not marked as {projection}: players show it flat"
        for projection in projections(source.first)
        if projection not in kept
    ]
    if len(source.sizes) > 1:
        notes.append(
            f"the source has frames of {len(source.sizes)} sizes; they are scaled to the first"
        )
    if len(result.sizes) > 1:
        differences.append(f"frames of {len(result.sizes)} sizes")
    shown = Fraction(width, height) * aspect
    return PropertyCheck(
        "size",
        f"{found_size}, shown {float(shown):.3f}:1",
        tuple(differences),
        tuple(notes),
    )


def _upright(stream: VideoStream, frame: av.VideoFrame) -> tuple[int, int, Fraction]:
    """Width, height and pixel aspect as players show them, rotated by the display matrix."""
    aspect = stream.sample_aspect_ratio or Fraction(1)
    if orientation(frame)[0] % 180:
        return frame.height, frame.width, 1 / aspect
    return frame.width, frame.height, aspect


def colour_check(first: av.VideoFrame, copied: av.VideoFrame) -> PropertyCheck:
    """The colour description, by the code points of ITU-T H.273, and the range.

    Args:
        first: the first frame of the source.
        copied: the first frame of the result.
    """
    found, copied_full = _colour(copied), _is_full(copied)
    bits = copied.format.components[0].bits
    expected, full, notes = _expected_colour(first, bits)
    differences = []
    if expected[1] in HDR_TRANSFERS and _static_hdr(first) - _static_hdr(copied):
        differences.append("the HDR metadata is missing")
    for name, code, copied_code in zip(
        ("primaries", "transfer", "matrix"), expected, found, strict=True
    ):
        if code != copied_code:
            differences.append(f"{name} {copied_code} instead of {code}")
    if full != copied_full:
        differences.append(f"{_range(copied_full)} instead of {_range(full)}")
    if first.format.components[0].bits > bits:
        notes.append(f"{first.format.name} became {copied.format.name}")
    tags = "/".join(str(code) for code in found)
    detail = f"{tags} {_range(copied_full)}"
    return PropertyCheck("colour", detail, tuple(differences), tuple(notes))


def _expected_colour(first: av.VideoFrame, bits: int) -> tuple[CodePoints, bool, list[str]]:
    """The code points that a result of that bit depth must have, whether its range is full, and
    notes."""
    expected, full = _colour(first), _is_full(first)
    # The painter converts RGB and palettes with BT.709's matrix.
    if first.format.is_rgb or first.format.has_palette:
        return (expected[0], expected[1], SDR.matrix), False, ["RGB became BT.709"]
    if expected[1] in HDR_TRANSFERS and bits == 8:
        # HDR is tone-mapped unless its format is kept.
        return (SDR.primaries, SDR.transfer, SDR.matrix), False, ["HDR became BT.709"]
    if expected[2] == MatrixCoefficients.RGB:
        expected = (expected[0], expected[1], MatrixCoefficients.UNSPECIFIED)
    return expected, full, []


def _range(full: bool) -> str:
    return f"{'full' if full else 'limited'} range"


def _colour(frame: av.VideoFrame) -> CodePoints:
    return int(frame.color_primaries), int(frame.color_trc), int(frame.colorspace)


def _static_hdr(frame: av.VideoFrame) -> set[str]:
    """The static HDR metadata of a frame: SMPTE ST 2086, CTA-861.3."""
    # PyAV's stub says that the type is a string.
    kinds = {data.type.name for data in frame.side_data}  # type: ignore[attr-defined]
    return kinds & {"MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"}


def _is_full(frame: av.VideoFrame) -> bool:
    # FFmpeg's JPEG pixel formats imply full range; without a statement it is limited.
    return int(frame.color_range) == ColourRange.FULL or frame.format.name.startswith("yuvj")


def tags_check(source: InputContainer, result: InputContainer) -> PropertyCheck:
    """The file's tags, and the language and title of each track.

    A redacting look removes every tag and title, so a missing one is no difference. Languages
    stay.
    """
    expected, found = _tags(source.metadata), _tags(result.metadata)
    kept = [name for name in expected if name in found]
    left_out = [name for name in expected if name not in found]
    differences = list(_tag_differences(kept, expected, found))
    for name, track, copy in _paired_tracks(source, result):
        differences += _track_differences(name, track, copy)
        if track_title(track) and not track_title(copy):
            left_out.append(f"title of {name}")
    notes = (f"left out: {', '.join(left_out)}",) if left_out else ()
    return PropertyCheck("tags", ", ".join(kept) or "none", tuple(differences), notes)


def _tag_differences(
    kept: Collection[str], expected: Mapping[str, str], found: Mapping[str, str]
) -> Iterator[str]:
    for name in kept:
        if not _alike(found[name], expected[name]):
            yield f"{name} is {found[name]!r} instead of {expected[name]!r}"
    # Redaction removes all tags, other looks none.
    if kept and "title" in expected and "title" not in found:
        yield "the title is missing, though other tags are kept"


def _paired_tracks(
    source: InputContainer, result: InputContainer
) -> Iterator[tuple[str, Stream, Stream]]:
    """The name, the stream of the source and the stream of the result of every track of both."""
    for kind, tracks, copies in (
        ("video", source.streams.video[:1], result.streams.video[:1]),
        ("audio", source.streams.audio, result.streams.audio),
        ("subtitle", text_streams(source), text_streams(result)),
    ):
        for number, (track, copy) in enumerate(zip(tracks, copies, strict=False), 1):
            yield f"{kind} track {number}", track, copy


def _track_differences(name: str, track: Stream, copy: Stream) -> Iterator[str]:
    """Differences in the language and title of a track."""
    language, copied = language_of(track), language_of(copy)
    if language not in {"", copied}:
        yield f"the language of {name} is {copied or 'missing'} instead of {language}"
    title, copied_title = track_title(track), track_title(copy)
    if copied_title not in {"", title}:
        yield f"the title of {name} is {copied_title!r} instead of {title!r}"


def language_of(track: Stream) -> str:
    """A track's language by its terminological code; empty if it is unknown."""
    language = track.metadata.get("language", "")
    return "" if language == "und" else TERMINOLOGICAL.get(language, language)


def _tags(metadata: dict[str, str]) -> dict[str, str]:
    return {
        name.lower(): text for name, text in metadata.items() if name.lower() not in CONTAINER_TAGS
    }


def _alike(one: str, other: str) -> bool:
    """Whether two values are the same text, or the same point in time."""
    if one.strip() == other.strip():
        return True
    # MP4 and Matroska write the creation time in different formats.
    try:
        return datetime.fromisoformat(one) == datetime.fromisoformat(other)
    except (TypeError, ValueError):
        return False


def chapters_check(
    source: InputContainer, result: InputContainer, shift_s: Fraction
) -> PropertyCheck:
    """The start, end and title of each chapter."""
    expected = list(placed_chapters(chapters_of(source), shift_s))
    found = chapters_of(result)
    differences = []
    if len(found) != len(expected):
        differences.append(f"{len(found)} instead of {len(expected)}")
    for number, pair in enumerate(zip(expected, found, strict=False), 1):
        differences += (f"chapter {number} {text}" for text in _chapter_differences(*pair))
    return PropertyCheck("chapters", str(len(found)) if found else "none", tuple(differences))


def _chapter_differences(expected: Chapter, found: Chapter) -> Iterator[str]:
    if found.title != expected.title:
        yield f"is called {found.title!r} instead of {expected.title!r}"
    if abs(found.start_s - expected.start_s) > CHAPTER_S:
        yield f"starts at {seconds(found.start_s)} instead of {seconds(expected.start_s)}"
    if abs(found.end_s - expected.end_s) > CHAPTER_S:
        yield f"ends at {seconds(found.end_s)} instead of {seconds(expected.end_s)}"
