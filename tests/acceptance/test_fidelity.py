"""Every clip of the set through the real thing: uploaded, painted by workers, saved, and compared with its source."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from facepaint.errors import FacepaintError
from facepaint.looks import parse_look
from facepaint.processes import Child
from facepaint.queue import Queue
from facepaint.settings import Settings
from facepaint.store import Store
from tests.media import Media
from tests.media.registry import Clip
from tests.media.table import DIFFERS, KEPT, NONE, PARTS, Part, Row, begin_of, page_of, section, sections
from tests.media.write import MissingTool
from uploader.inputs import classify
from uploader.upload import UploadResult, upload
from viewer.guarantee import Guarantee
from viewer.save import save
from viewer.verify import verify

PAGE = Path(__file__).parents[2] / "docs" / "fidelity.md"

LOOK = parse_look(["sunglasses"])

SEGMENT_S = 1.0
"""Short enough that clips of a few seconds have seams."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where the clips go: a storage, a queue and a worker that are running."""

    settings: Settings
    store: Store
    queue: Queue

    def upload(self, path: Path, *, keep_format: bool) -> UploadResult | str:
        """The upload, or the line that refuses the file."""
        videos, _, problems = classify([path])
        if not videos:
            return str(problems[0])
        settings = self.settings.model_copy(update={"keep_format": keep_format})
        try:
            return upload(path, LOOK, self.store, self.queue, settings)
        except FacepaintError as exc:
            return str(exc)

    def row(self, clip: Clip, source: Path, sent: UploadResult | str, folder: Path) -> Row:
        """Save what was uploaded and compare it with its source."""
        if isinstance(sent, str):
            return Row(clip, {}, f"refused: {sent.replace(f'{source}', source.name)}")
        out = folder / clip.name / "painted"
        out.parent.mkdir()
        try:
            saved = save(self.store, sent.job_id, LOOK.id, out)
        except FacepaintError as exc:
            return Row(clip, {}, f"not saved: {exc}".replace(sent.job_id, "JOB"))
        promises = verify(source, saved.path).guarantees
        differences = (f"{promise.name}: {text}" for promise in promises for text in promise.differences)
        # What else verifying notes has been said on the way.
        seen = (text for promise in promises if promise.name in {"frames", "tags"} for text in promise.notes)
        remarks = (*saved.check.problems, *differences, *sent.warnings, *saved.notes, *seen)
        return Row(clip, {promise.name: cell(promise) for promise in promises}, "; ".join(dict.fromkeys(remarks)))


def cell(promise: Guarantee) -> str:
    if not promise.kept:
        return DIFFERS
    return NONE if promise.found == "none" else KEPT


@pytest.fixture
def machine(settings: Settings, store: Store, queue: Queue, start_worker: Callable[..., Child]) -> Machine:
    quick = settings.model_copy(update={"segment_s": SEGMENT_S})
    start_worker(quick, processes=2)
    return Machine(quick, store, queue)


@pytest.mark.slow
@pytest.mark.parametrize("part", [pytest.param(part, id=part.title) for part in PARTS])
def test_what_comes_back_is_what_the_page_says(
    part: Part, machine: Machine, media: Media, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    sent = {}
    for clip in part.clips:
        with tools_may_be_missing():
            path = media.make(clip.name)
            sent[clip] = path, machine.upload(path, keep_format=part.keep_format)
    rows = [machine.row(clip, *sent[clip], tmp_path) if clip in sent else told_row(part, clip) for clip in part.clips]
    made = section(part, rows)
    if request.config.getoption("--update-fidelity"):
        write(part, made)
    assert made.splitlines() == told_of(part).splitlines()


@contextmanager
def tools_may_be_missing() -> Iterator[None]:
    """On CI they may not; elsewhere the page is believed about clips that cannot be made."""
    try:
        yield
    except MissingTool:
        if os.environ.get("CI") == "true":
            raise


def told_of(part: Part) -> str:
    """What the page says."""
    return sections(PAGE.read_text())[part.title]


def told_row(part: Part, clip: Clip) -> str:
    return next(line for line in told_of(part).splitlines() if line.startswith(begin_of(clip)))


def write(part: Part, made: str) -> None:
    """Replace one part of the page; another process may be about to replace another."""
    with PAGE.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        told = sections(file.read())
        file.truncate(0)
        file.write(page_of({**told, part.title: made}))


def test_the_page_tells_of_every_clip_once() -> None:
    page = PAGE.read_text()
    assert page == page_of(sections(page))
    for part in PARTS:
        rows = told_of(part).splitlines()
        for clip in part.clips:
            assert sum(row.startswith(begin_of(clip)) for row in rows) == 1
