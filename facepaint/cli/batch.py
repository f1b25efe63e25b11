"""Several inputs in one command: which is what, where each result goes; a bad one is named and the
others go on."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from facepaint.cli.progress import Display, make_display
from facepaint.client import Client, Snapshot
from facepaint.errors import FacepaintError, InputError, JobError, UsageError
from facepaint.jobs.people import check_numbers
from facepaint.jobs.status import JobStatus, find_job
from facepaint.looks.look import Look
from facepaint.records import keys
from facepaint.records.job import ImageJob
from facepaint.records.results import Failed
from facepaint.records.tracks import People
from facepaint.text import unique_names


@dataclass(frozen=True, slots=True)
class Item:
    """One job to be: a video, or all the pictures."""

    inputs: tuple[Path, ...]
    pictures: bool

    @property
    def name(self) -> str:
        """What the user calls it."""
        first = self.inputs[0].name
        return (
            first if len(self.inputs) == 1 else f"{first} and {len(self.inputs) - 1} more pictures"
        )


@dataclass(slots=True)
class Batch:
    """The inputs of a command as jobs, and what was wrong with the others or went wrong later."""

    items: list[Item]
    problems: list[FacepaintError] = field(default_factory=list)

    @classmethod
    def sort(cls, inputs: list[Path]) -> "Batch":
        """Look at every input: each video is a job, all pictures together are one."""
        from uploader.classify import classify

        videos, pictures, problems = classify(inputs)
        items = [Item((path,), pictures=False) for path in videos]
        if pictures:
            items.append(Item(tuple(pictures), pictures=True))
        return cls(items, list(problems))

    def targets(self, out: Path | None, *, overwrite: bool = False) -> list[Path]:
        """Where each item's result goes, known before any work is done; of two with one name the
        second gets a number.

        Raises:
            UsageError: one file was named for several results, a file is there already, or its
                folder is not.
        """
        fitting = [
            path
            if item.pictures
            else _container_for(item.inputs[0], path, any_container=named_by_us)
            for item, (path, named_by_us) in zip(self.items, self._targets(out), strict=True)
        ]
        targets = [Path(path) for path in unique_names(map(str, fitting))]
        files = [
            target for target, item in zip(targets, self.items, strict=True) if not item.pictures
        ]
        there = next((file for file in files if file.exists()), None)
        if there is not None and not overwrite:
            raise UsageError(
                f"{there} is already there: name another file with --out, or add --overwrite"
            )
        nowhere = next((file for file in files if not file.parent.is_dir()), None)
        if nowhere is not None:
            raise UsageError(f"{nowhere} cannot be written: there is no folder {nowhere.parent}")
        return targets

    def _targets(self, out: Path | None) -> list[tuple[Path, bool]]:
        """Each item's path, and whether its name is of our making."""
        if out is None:
            return [(_beside(item), True) for item in self.items]
        if not self.items:
            return []  # every input is bad: there is nothing to save and no folder to make
        if len(self.items) > 1 and out.suffix and not out.is_dir():
            raise UsageError(
                f"{len(self.items)} results do not fit in one file: give a folder after --out, not "
                f"{out}"
            )
        # Bad inputs count as well: a path given for several results is a folder even if only one is
        # left.
        several_inputs = len(self.items) + len(self.problems) > 1
        if out.is_dir() or (several_inputs and not out.suffix):
            out.mkdir(parents=True, exist_ok=True)
            return [
                (out if item.pictures else out / _painted_name(item.inputs[0]), True)
                for item in self.items
            ]
        return [(out, False)]

    def each(self, work: Callable[[int, Item], None]) -> None:
        """Do the work for each item; what fails with an error of ours is kept, the others go on."""
        for index, item in enumerate(self.items):
            try:
                work(index, item)
            except FacepaintError as exc:
                if len(self.items) == 1 and not self.problems:
                    raise
                self.problems.append(exc)

    def finish(self) -> None:
        """Name every problem on standard error, and raise the last one if there was any."""
        for problem in self.problems[:-1]:
            print(f"facepaint: {problem}", file=sys.stderr)
        if self.problems:
            raise self.problems[-1]


def upload_item(
    client: Client, item: Item, look: Look, display: Display, resume: str | None = None
) -> str:
    """Upload one item and return its job's id."""
    from uploader.upload import UploadProgress

    def show(progress: UploadProgress) -> None:
        display.uploaded(progress.bytes, progress.total_bytes, progress.waiting)

    if item.pictures:
        result = client.upload_images(item.inputs, look, on_progress=show)
    else:
        result = client.upload(item.inputs[0], look, on_progress=show, resume=resume)
    for warning in result.warnings:
        display.say(f"facepaint: {item.name}: {warning}")
    return result.job_id


def wait_item(
    client: Client,
    job_id: str,
    display: Display,
    supervise: Callable[[], object] | None = None,
    advice: str | None = None,
    look: str | None = None,
) -> None:
    """Wait for a job, or one of its looks, showing how far it is; ``supervise`` looks after the
    workers meanwhile.

    ``advice`` says what to do if it fails, where it cannot be resumed.

    Raises:
        JobError: a segment was given up, or the faces of none could be found.
    """

    def show(snapshot: Snapshot) -> None:
        display.job(snapshot)
        if supervise is not None:
            supervise()

    status = client.wait(job_id, look, on_change=show)
    waited = [one for one in status.looks if one.id == look or look is None]
    for one in waited:
        _say_who_is_missing(client, job_id, one.look, display)
    if any(one.state == "incomplete" for one in waited):
        reasons = {n: reason for one in waited for n, reason in one.reasons.items()}
        first, reason = next(iter(reasons.items()), (0, "unknown"))
        failed = sum(one.failed for one in waited)
        raise JobError(
            f"{failed} of {status.total} segments of job {job_id} were given up (segment "
            f"{first}: {reason}); " + (advice or f"`facepaint resume {job_id}` tries again")
        )
    if status.detect_failed:
        said = _without_faces(client, status)
        if status.detect_failed == status.total:
            raise JobError(f"{said}; " + (advice or f"`facepaint resume {job_id}` tries again"))
        display.say(f"facepaint: {said}")


def _say_who_is_missing(client: Client, job_id: str, look: Look | None, display: Display) -> None:
    """Warn of numbers that nobody in the video has: they could not be known before."""
    people = (
        client.store.find_record(keys.tracks(job_id), People)
        if look is not None and look.numbers
        else None
    )
    if look is not None and people is not None:
        try:
            check_numbers(look, people)
        except UsageError as exc:
            display.say(f"facepaint: {exc}")


def _without_faces(client: Client, status: JobStatus) -> str:
    """What to tell of segments whose detection was given up: they are painted as if nothing were
    known of them."""
    first = min(status.keys.detect_failed)
    failed = client.store.find_record(keys.faces_failed(status.job.id, first), Failed)
    return (
        f"the faces in {status.detect_failed} of {status.total} segments of job "
        f"{status.job.id} could not be looked for "
        f"(segment {first}: {failed.reason if failed else 'unknown'})"
    )


@dataclass(frozen=True, slots=True)
class Saving:
    """How a result is saved."""

    look: str | None = None
    allow_gaps: bool = False
    overwrite: bool = False


def save_item(
    client: Client, job_id: str, out: Path, display: Display, saving: Saving
) -> dict[str, Any]:
    """Save a job and return what to tell of it."""
    options: dict[str, Any] = {
        **asdict(saving),
        "on_progress": display.saved,
        "on_trouble": lambda why: display.say(f"facepaint: {why}"),
    }
    if isinstance(find_job(client.store, job_id), ImageJob):
        files = client.save_images(job_id, out, **options)
        return {"job": job_id, "saved": [str(file) for file in files]}
    report = client.save(job_id, out, **options)
    for note in report.notes:
        display.say(f"facepaint: {note}")
    if not report.check.passed:
        raise JobError(
            f"{report.path} is saved but not what was painted: {'; '.join(report.check.problems)}"
        )
    return {
        "job": job_id,
        "saved": str(report.path),
        "frames": report.frames,
        "notes": list(report.notes),
    }


def run_item(
    client: Client,
    item: Item,
    out: Path,
    look: Look,
    *,
    as_json: bool,
    saving: Saving,
    supervise: Callable[[], object] | None = None,
) -> None:
    """Upload, wait, save and tidy up one item; the original stays where it is."""
    with make_display(json=as_json) as display:
        job_id = upload_item(client, item, look, display)
        try:
            # With workers of our own, the job ends with this command.
            advice = "--allow-gaps saves the rest" if supervise is not None else None
            wait_item(client, job_id, display, supervise, advice)
        except JobError:
            if not saving.allow_gaps:
                raise
        said = save_item(client, job_id, out, display, saving)
        client.delete(job_id)
    if as_json:
        print(json.dumps({"input": [str(path) for path in item.inputs], **said}), flush=True)
    else:
        print(f"{item.name} -> {said['saved'] if not item.pictures else out}", flush=True)


def _container_for(source: Path, path: Path, *, any_container: bool) -> Path:
    """The path with the suffix of the container that its sound needs; a change is said."""
    from uploader.probe import probe
    from viewer.save.save import choose_target

    try:
        audio = probe(source).audio
    except InputError:
        return path  # what is wrong with it is said when its turn comes
    target, _, notes = choose_target(audio, path, any_container=any_container)
    if target != path:
        for note in notes:
            print(f"facepaint: {source.name}: {note}", file=sys.stderr)
    return target


def _painted_name(source: Path) -> str:
    suffix = source.suffix if source.suffix.lower() in {".mp4", ".mkv", ".mov", ".m4v"} else ".mp4"
    return f"{source.stem}-painted{'.mp4' if suffix.lower() in {'.mov', '.m4v'} else suffix}"


def _beside(item: Item) -> Path:
    first = item.inputs[0]
    if item.pictures:
        return first.parent / "painted"
    return first.parent / _painted_name(first)
