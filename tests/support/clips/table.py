"""The page docs/fidelity.md: the outcome of each clip of the set, property by property."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tests.support.clips.registry import CLIPS, GROUPS, Clip

PROPERTIES = ("frames", "times", "audio", "size", "colour", "tags", "chapters", "subtitles")

KEPT, NONE, DIFFERS = "✓", "-", "✗"

INTRODUCTION = f"""\
# Fidelity

The result is the source with painted faces and nothing else changed. Each clip below is generated
(`tests/support/clips/`), uploaded, painted by real workers in segments of about a second, saved,
and compared with its source as `facepaint verify SOURCE RESULT` does. {KEPT}: as in the source.
{NONE}: the source has none. {DIFFERS}: different, for the reason in the last column, which also
lists what had to be changed.

| column | what is compared |
|---|---|
| frames | as many as an ordinary decode of the source gives |
| times | each within one tick of the source's time base |
| audio | every packet identical, at its time |
| size | upright size and pixel aspect |
| colour | primaries, transfer, matrix and range |
| tags | title and other tags; language and title of each audio track |
| chapters, subtitles | start, end and text of each |

Segment borders: every clip is cut at 0.5, 2 and 7 s, and its segments are decoded as workers do.
The frames on both sides of each border are those of the source, none repeated, none missing,
identical pixel for pixel (`tests/integration/uploader/test_cut_media.py`).

`pytest tests/acceptance/test_fidelity.py --update-fidelity` writes this page. Without the option
the test fails if the page is out of date.
"""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the page: its heading, its clips, and whether they are painted with
    ``--keep-format``."""

    title: str
    clips: tuple[Clip, ...]
    keep_format: bool = False


PARTS = (
    *(
        Part(group, tuple(clip for clip in CLIPS.values() if clip.group == group))
        for group in GROUPS.values()
    ),
    Part(
        "With --keep-format",
        tuple(
            CLIPS[name]
            for name in ("10bit.mp4", "10bit-422.mp4", "422.mp4", "444.mp4", "hlg.mp4", "pq.mp4")
        ),
        keep_format=True,
    ),
)


@dataclass(frozen=True, slots=True)
class Row:
    """The outcome of a clip: a cell for each property, none if there is no result, and remarks."""

    clip: Clip
    cells: Mapping[str, str]
    remarks: str

    def __str__(self) -> str:
        cells = [self.cells.get(name, "") for name in PROPERTIES]
        return f"{start_of(self.clip)} {' | '.join(cells)} | {self.remarks} |"


def start_of(clip: Clip) -> str:
    """The start of the row of a clip."""
    return f"| {clip.title} |"


def section(part: Part, rows: Iterable[Row | str]) -> str:
    """The text of a part."""
    head = f"| | {' | '.join(PROPERTIES)} | |\n|---|{':-:|' * len(PROPERTIES)}---|"
    return "\n".join([f"## {part.title}", "", head, *map(str, rows), ""])


def page_of(parts: Iterable[str]) -> str:
    """The page of these parts."""
    return "\n".join([INTRODUCTION, *parts])
