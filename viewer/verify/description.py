"""Compare what is said about the pictures of two videos, their tags and their chapters."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from fractions import Fraction

import av
from av.container import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from facepaint.media.open import chapters_of, orientation, track_title
from facepaint.records.colour import HDR_TRANSFERS, SDR, ColourRange, MatrixCoefficients
from viewer.save.mux import CONTAINER_TAGS, PLAIN_TEXT, STYLED_TEXT, placed_chapters
from viewer.verify.frames import FrameReader
from viewer.verify.report import Guarantee, seconds

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
"""ISO 639-2 has two codes for these languages; Matroska takes the former, others the latter."""

CHAPTER_S = Fraction(1, 1000)
"""Chapters are counted in thousandths of a second."""


def size_guarantee(source: FrameReader, result: FrameReader) -> Guarantee:
    """The upright size and the aspect of a pixel; an odd side may be longer by a line."""
    assert source.first is not None
    assert result.first is not None
    width, height, aspect = _upright(source.stream, source.first)
    found = _upright(result.stream, result.first)
    differences, notes = [], []
    padded = (width + width % 2, height + height % 2)
    if found[:2] not in {(width, height), padded}:
        differences.append(f"{found[0]}x{found[1]} instead of {width}x{height}")
    elif found[:2] != (width, height):
        notes.append(
            f"an odd side is longer by a line: {width}x{height} became {found[0]}x{found[1]}"
        )
    if found[2] != aspect:
        differences.append(f"pixels are shown {found[2]} wide instead of {aspect}")
    if len(source.sizes) > 1:
        notes.append(
            f"the source has frames of {len(source.sizes)} sizes; they are scaled to the first"
        )
    if len(result.sizes) > 1:
        differences.append(f"there are frames of {len(result.sizes)} sizes")
    shown = Fraction(width, height) * aspect
    return Guarantee(
        "picture",
        f"{found[0]}x{found[1]}, shown {float(shown):.3f}:1",
        tuple(differences),
        tuple(notes),
    )


def _upright(stream: VideoStream, frame: av.VideoFrame) -> tuple[int, int, Fraction]:
    """Width, height and pixel aspect as players show them, turned by the display matrix."""
    aspect = stream.sample_aspect_ratio or Fraction(1)
    if orientation(frame)[0] % 180:
        return frame.height, frame.width, 1 / aspect
    return frame.width, frame.height, aspect


def colour_guarantee(first: av.VideoFrame, copied: av.VideoFrame) -> Guarantee:
    """The colour description, by the code points of ITU-T H.273, and the range."""
    found, copied_full = _colour(copied), _is_full(copied)
    bits = copied.format.components[0].bits
    wanted, full, notes = _expected_colour(first, bits)
    differences = []
    if wanted[1] in HDR_TRANSFERS and _brightness(first) - _brightness(copied):
        differences.append("the mastering metadata is missing")
    for name, there, here in zip(("primaries", "transfer", "matrix"), wanted, found, strict=True):
        if there != here:
            differences.append(f"{name} {here} instead of {there}")
    if full != copied_full:
        differences.append(f"{_range(copied_full)} instead of {_range(full)}")
    if first.format.components[0].bits > bits:
        notes.append(f"{first.format.name} became {copied.format.name}")
    tags = "/".join(str(code) for code in found)
    detail = f"{tags} {_range(copied_full)}"
    return Guarantee("colour", detail, tuple(differences), tuple(notes))


def _expected_colour(first: av.VideoFrame, bits: int) -> tuple[CodePoints, bool, list[str]]:
    """The code points and full range that a result of some bits should have, and notes."""
    wanted, full = _colour(first), _is_full(first)
    if first.format.is_rgb or first.format.has_palette:
        return (wanted[0], wanted[1], SDR.matrix), False, ["RGB became BT.709"]
    if wanted[1] in HDR_TRANSFERS and bits == 8:
        return (SDR.primaries, SDR.transfer, SDR.matrix), False, ["HDR became BT.709"]
    if wanted[2] == MatrixCoefficients.RGB:
        wanted = (wanted[0], wanted[1], MatrixCoefficients.UNSPECIFIED)
    return wanted, full, []


def _range(full: bool) -> str:
    return f"{'full' if full else 'limited'} range"


def _colour(frame: av.VideoFrame) -> CodePoints:
    return int(frame.color_primaries), int(frame.color_trc), int(frame.colorspace)


def _brightness(frame: av.VideoFrame) -> set[str]:
    """Which of SMPTE ST 2086 and CTA-861.3 a frame carries."""
    kinds = {data.type.name for data in frame.side_data}  # type: ignore[attr-defined]  # the stub says str
    return kinds & {"MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"}


def _is_full(frame: av.VideoFrame) -> bool:
    # FFmpeg names full range by its JPEG formats too; what is not said is limited.
    return int(frame.color_range) == ColourRange.FULL or frame.format.name.startswith("yuvj")


def tags_guarantee(source: InputContainer, result: InputContainer) -> Guarantee:
    """The file's tags, and the language and title of each track.

    A redacting look removes every tag and title, so a missing one is no difference. Languages
    stay.
    """
    wanted, found = _tags(source.metadata), _tags(result.metadata)
    kept = [name for name in wanted if name in found]
    left_out = [name for name in wanted if name not in found]
    differences = [
        f"{name} is {found[name]!r} instead of {wanted[name]!r}"
        for name in kept
        if not _alike(found[name], wanted[name])
    ]
    for kind, there, here in (
        ("picture", source.streams.video[:1], result.streams.video[:1]),
        ("sound", source.streams.audio, result.streams.audio),
        ("text", text_streams(source), text_streams(result)),
    ):
        for number, (track, copy) in enumerate(zip(there, here, strict=False), 1):
            name = f"{kind} track {number}"
            differences += _track_differences(name, track, copy)
            if track_title(track) and not track_title(copy):
                left_out.append(f"title of {name}")
    if kept and "title" in left_out:
        differences.append("the title is missing, though other tags are kept")
    notes = (f"left out: {', '.join(left_out)}",) if left_out else ()
    return Guarantee("tags", ", ".join(kept) or "none", tuple(differences), notes)


def _track_differences(name: str, track: Stream, copy: Stream) -> Iterator[str]:
    """Differences in the language and title of a track."""
    language, copied = language_of(track), language_of(copy)
    if language not in {"", copied}:
        yield f"the language of {name} is {copied or 'missing'} instead of {language}"
    title, copied_title = track_title(track), track_title(copy)
    if copied_title not in {"", title}:
        yield f"the title of {name} is {copied_title!r} instead of {title!r}"


def text_streams(container: InputContainer) -> list[Stream]:
    """The tracks of subtitles that are text."""
    return [
        stream
        for stream in container.streams.subtitles
        if stream.codec_context is not None
        and stream.codec_context.codec.canonical_name in PLAIN_TEXT | STYLED_TEXT
    ]


def language_of(track: Stream) -> str:
    """A track's language by its terminological code; empty where it is not said."""
    language = track.metadata.get("language", "")
    return "" if language == "und" else TERMINOLOGICAL.get(language, language)


def _tags(metadata: dict[str, str]) -> dict[str, str]:
    return {
        name.lower(): text for name, text in metadata.items() if name.lower() not in CONTAINER_TAGS
    }


def _alike(one: str, other: str) -> bool:
    """Whether two values are the same text, or the same moment."""
    if one.strip() == other.strip():
        return True
    try:
        return datetime.fromisoformat(one) == datetime.fromisoformat(other)
    except (TypeError, ValueError):
        return False


def chapters_guarantee(
    source: InputContainer, result: InputContainer, shift_s: Fraction
) -> Guarantee:
    """The chapters: begin, end and title of each."""
    wanted = list(placed_chapters(chapters_of(source), shift_s))
    found = chapters_of(result)
    differences = []
    if len(found) != len(wanted):
        differences.append(f"{len(found)} instead of {len(wanted)}")
    for number, (there, here) in enumerate(zip(wanted, found, strict=False), 1):
        if there.title != here.title:
            differences.append(
                f"chapter {number} is called {here.title!r} instead of {there.title!r}"
            )
        times = {"begins": (there.start_s, here.start_s), "ends": (there.end_s, here.end_s)}
        for what, (time_s, copied_s) in times.items():
            if abs(time_s - copied_s) > CHAPTER_S:
                differences.append(
                    f"chapter {number} {what} at {seconds(copied_s)} instead of {seconds(time_s)}"
                )
    return Guarantee("chapters", str(len(found)) if found else "none", tuple(differences))
