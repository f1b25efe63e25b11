"""Every clip of the set is uploaded, painted by workers, saved, and compared with its source."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from facepaint.errors import FacepaintError
from facepaint.looks.parser import parse_look
from facepaint.queue import Queue
from facepaint.settings import Settings
from facepaint.stack.processes import Child
from facepaint.store import Store
from tests.support.clips import Media
from tests.support.clips.registry import Clip
from tests.support.clips.table import DIFFERS, KEPT, NONE, PARTS, Row, page_of, section, start_of
from tests.support.clips.write import MissingTool
from tests.support.paths import ROOT
from uploader.classify import classify
from uploader.upload import UploadResult, upload
from viewer.save.video import save_video
from viewer.verify.report import PropertyCheck
from viewer.verify.verify import verify

PAGE = ROOT / "docs" / "fidelity.md"

LOOK = parse_look(["sunglasses"])

SEGMENT_S = 1.0
"""Short enough that clips of a few seconds have several segments."""


@dataclass(frozen=True, slots=True)
class Machine:
    """The services of the test, with running workers."""

    settings: Settings
    store: Store
    queue: Queue

    def upload(self, path: Path, *, keep_format: bool) -> UploadResult | str:
        """Upload a file; return the error message if it is refused."""
        videos, _, problems = classify([path])
        if not videos:
            return str(problems[0])
        settings = self.settings.model_copy(update={"keep_format": keep_format})
        try:
            return upload(path, LOOK, self.store, self.queue, settings)
        except FacepaintError as exc:
            return str(exc)

    def row(self, clip: Clip, source: Path, sent: UploadResult | str, folder: Path) -> Row:
        """Save the result and compare it with the source."""
        if isinstance(sent, str):
            return Row(clip, {}, f"refused: {sent.replace(f'{source}', source.name)}")
        out = folder / clip.name / "painted"
        out.parent.mkdir(parents=True)
        try:
            saved = save_video(self.store, sent.job_id, LOOK.id, out)
        except FacepaintError as exc:
            return Row(clip, {}, f"not saved: {exc}".replace(sent.job_id, "JOB"))
        report = verify(source, saved.path)
        # The other notes of `verify` repeat warnings; the first warning repeats a truncation.
        left_out = (text for check in report.checks if check.name == "tags" for text in check.notes)
        warnings = sent.warnings[bool(sent.truncated) :]
        remarks = (
            *saved.check.differences,
            *report.differences,
            *warnings,
            *saved.notes,
            *left_out,
        )
        cells = {check.name: cell(check) for check in report.checks}
        if clip.loses_audio:
            cells["audio"] = DIFFERS
        return Row(clip, cells, "; ".join(dict.fromkeys(remarks)))


def cell(check: PropertyCheck) -> str:
    if not check.passed:
        return DIFFERS
    return NONE if check.found == "none" else KEPT


@pytest.fixture
def machine(
    settings: Settings, store: Store, queue: Queue, start_worker: Callable[..., Child]
) -> Machine:
    quick = settings.model_copy(update={"segment_s": SEGMENT_S})
    start_worker(quick, processes=2)
    return Machine(quick, store, queue)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_results_match_the_page(
    machine: Machine, media: Media, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    sent = {}
    for part in PARTS:
        for clip in part.clips:
            with tools_may_be_missing():
                path = media.make(clip.name)
                sent[part, clip] = path, machine.upload(path, keep_format=part.keep_format)
    page = page_of(
        section(
            part,
            (
                machine.row(clip, *sent[part, clip], tmp_path / part.title)
                if (part, clip) in sent
                else documented_row(clip)
                for clip in part.clips
            ),
        )
        for part in PARTS
    )
    if request.config.getoption("--update-fidelity"):
        PAGE.write_text(page)
    assert page.splitlines() == PAGE.read_text().splitlines()


@contextmanager
def tools_may_be_missing() -> Iterator[None]:
    """Ignore a missing tool, but on CI: the rows of its clips are taken from the page."""
    try:
        yield
    except MissingTool:
        if os.environ.get("CI") == "true":
            raise


def documented_row(clip: Clip) -> str:
    """The row of a clip in the page."""
    return next(line for line in PAGE.read_text().splitlines() if line.startswith(start_of(clip)))


def test_the_page_has_a_row_for_every_clip() -> None:
    parts = PAGE.read_text().split("\n## ")[1:]
    assert len(parts) == len(PARTS)
    for part, text in zip(PARTS, parts, strict=True):
        rows = zip(text.splitlines()[4:], part.clips, strict=True)
        assert all(row.startswith(start_of(clip)) for row, clip in rows)
