"""Several inputs in one command: which is what, where each result goes; a bad one is named and the
others go on."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from facepaint.cli.progress import Display, make_display
from facepaint.client import Client, Snapshot
from facepaint.errors import FacepaintError, InputError, JobError, UsageError
from facepaint.jobs.people import check_numbers
from facepaint.jobs.status import JobStatus, LookStatus, find_job
from facepaint.looks.look import Look
from facepaint.records import keys
from facepaint.records.job import ImageJob
from facepaint.records.results import Failed
from facepaint.records.tracks import People
from facepaint.text import first_and_more, unique_names


@dataclass(frozen=True, slots=True)
class Item:
    """One job to be: a video, or all the pictures."""

    inputs: tuple[Path, ...]
    pictures: bool

    @property
    def name(self) -> str:
        """Its name in messages."""
        return first_and_more([path.name for path in self.inputs])


@dataclass(slots=True)
class Batch:
    """The inputs of a command as jobs, and the problems of the others."""

    items: list[Item]
    problems: list[FacepaintError] = field(default_factory=list)

    @classmethod
    def sort(cls, inputs: list[Path]) -> "Batch":
        """Classify the inputs: each video is a job, all images together are one."""
        from uploader.classify import classify

        videos, pictures, problems = classify(inputs)
        items = [Item((path,), pictures=False) for path in videos]
        if pictures:
            items.append(Item(tuple(pictures), pictures=True))
        return cls(items, list(problems))

    def targets(self, out: Path | None, *, overwrite: bool = False) -> list[Path]:
        """Where each item's result goes, known before any work is done.

        If two have the same name, the second gets a number.

        Raises:
            UsageError: one file was named for several results, a file exists, or its folder does
                not.
        """
        paths = [
            path
            if item.pictures
            else _container_for(item.inputs[0], path, any_container=named_by_us)
            for item, (path, named_by_us) in zip(self.items, self._paths(out), strict=True)
        ]
        targets = [Path(path) for path in unique_names(map(str, paths))]
        for target, item in zip(targets, self.items, strict=True):
            # The folder of images is made when they are saved.
            if not item.pictures:
                _check_target(target, overwrite)
        return targets

    def _paths(self, out: Path | None) -> list[tuple[Path, bool]]:
        """Each item's path, and whether we named it."""
        if out is None:
            return [(_beside(item), True) for item in self.items]
        if not self.items:
            # Every input is bad: there is nothing to save and no folder to make.
            return []
        if len(self.items) > 1 and out.suffix and not out.is_dir():
            raise UsageError(
                f"{len(self.items)} results do not fit in one file: name a folder with --out, not "
                f"{out}"
            )
        # Bad inputs count: a path for several results is a folder even if only one is left.
        several_inputs = len(self.items) + len(self.problems) > 1
        if not out.is_dir() and (out.suffix or not several_inputs):
            return [(out, False)]
        out.mkdir(parents=True, exist_ok=True)
        return [
            (out if one.pictures else out / _painted_name(one.inputs[0]), True)
            for one in self.items
        ]

    def each(self, work: Callable[[int, Item], None]) -> None:
        """Do the work for each item. An error of ours is kept, and the others continue."""
        for index, item in enumerate(self.items):
            try:
                work(index, item)
            except FacepaintError as exc:
                if len(self.items) == 1 and not self.problems:
                    raise
                self.problems.append(exc)

    def finish(self) -> None:
        """Print the problems on standard error and raise the last one, if there is any."""
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
    """Wait for a job, or for one of its looks, and show its progress.

    Args:
        supervise: called at every change; looks after the embedded workers.
        advice: what to do on failure, if the job cannot be resumed.

    Raises:
        JobError: a segment failed, or no segment could be searched for faces.
    """
    advice = advice or f"`facepaint resume {job_id}` retries it"

    def show(snapshot: Snapshot) -> None:
        display.job(snapshot)
        if supervise is not None:
            supervise()

    status = client.wait(job_id, look, on_change=show)
    looks = [one for one in status.looks if one.id == look or look is None]
    for one in looks:
        _warn_of_unknown_people(client, job_id, one.look, display)
    if any(one.state == "incomplete" for one in looks):
        raise JobError(f"{_failed_segments(status, looks)}; {advice}")
    if status.detect_failed:
        failure = _detection_failure(client, status)
        if status.detect_failed == status.total:
            raise JobError(f"{failure}; {advice}")
        display.say(f"facepaint: {failure}")


def _failed_segments(status: JobStatus, looks: Sequence[LookStatus]) -> str:
    """How many segments failed, and why the first one did."""
    reasons = {index: why for look in looks for index, why in look.reasons.items()}
    first, reason = next(iter(reasons.items()), (0, "unknown"))
    failed = sum(look.failed for look in looks)
    return (
        f"{failed} of {status.total} segments of job {status.job.id} failed "
        f"(segment {first}: {reason})"
    )


def _warn_of_unknown_people(
    client: Client, job_id: str, look: Look | None, display: Display
) -> None:
    """Warn of numbers that no person in the video has, which was not known before."""
    if look is None or not look.people:
        return
    people = client.store.find_record(keys.tracks(job_id), People)
    if people is None:
        return
    try:
        check_numbers(look, people)
    except UsageError as exc:
        display.say(f"facepaint: {exc}")


def _detection_failure(client: Client, status: JobStatus) -> str:
    """How many segments were not searched for faces, and why the first one was not."""
    first = min(status.keys.detect_failed)
    failed = client.store.find_record(keys.faces_failed(status.job.id, first), Failed)
    return (
        f"face detection failed in {status.detect_failed} of {status.total} segments of job "
        f"{status.job.id} (segment {first}: {failed.reason if failed else 'unknown'})"
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
    """Save a job and return the facts to print."""
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
        differences = "; ".join(report.check.differences)
        raise JobError(f"{report.path} is saved but not what was painted: {differences}")
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
    """Upload, wait for, save and delete one item; the input file is not touched."""
    with make_display(json=as_json) as display:
        job_id = upload_item(client, item, look, display)
        try:
            # With workers of our own, the job ends with this command.
            advice = "--allow-gaps saves the rest" if supervise is not None else None
            wait_item(client, job_id, display, supervise, advice)
        except JobError:
            if not saving.allow_gaps:
                raise
        saved = save_item(client, job_id, out, display, saving)
        client.delete(job_id)
    if as_json:
        print(json.dumps({"input": [str(path) for path in item.inputs], **saved}), flush=True)
    else:
        print(f"{item.name} -> {saved['saved'] if not item.pictures else out}", flush=True)


def _container_for(source: Path, path: Path, *, any_container: bool) -> Path:
    """The path, with the suffix of the container that its audio needs; prints a change."""
    from uploader.probe import probe
    from viewer.save.save import choose_target

    try:
        audio = probe(source).audio
    except InputError:
        return path  # reported when it is uploaded
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


def _check_target(file: Path, overwrite: bool) -> None:
    if file.exists() and not overwrite:
        raise UsageError(f"{file} exists: name another file with --out, or add --overwrite")
    if not file.parent.is_dir():
        raise UsageError(f"{file} cannot be written: there is no folder {file.parent}")
