"""Several inputs in one command: how they become jobs, and where each result goes.

A bad input is reported, and the rest is processed.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from facepaint.cli.progress import Display, make_display
from facepaint.cli.terminal import say
from facepaint.client import Client, Snapshot
from facepaint.errors import FacepaintError, InputError, JobError, UsageError
from facepaint.files import require_writable
from facepaint.jobs.people import check_numbers
from facepaint.jobs.status import JobStatus, LookStatus, find_job
from facepaint.looks.look import Look
from facepaint.records import keys
from facepaint.records.job import ImageJob, VideoJob
from facepaint.records.results import Failed
from facepaint.records.tracks import People
from facepaint.text import counted, cut_to_bytes, first_and_more, printable, unique_names

MAX_STEM_BYTES = 230
"""Of names of our making: file systems allow 255 bytes, and a suffix and a number are added."""


@dataclass(frozen=True, slots=True)
class Item:
    """The inputs of one job: a video, or all images."""

    inputs: tuple[Path, ...]
    images: bool

    @property
    def name(self) -> str:
        """Its name in messages."""
        return first_and_more([path.name for path in self.inputs])


@dataclass(slots=True)
class Batch:
    """The inputs of a command: those that become jobs, and the problems of the rest."""

    items: list[Item]
    problems: list[FacepaintError] = field(default_factory=list)

    @classmethod
    def classify(cls, inputs: list[Path]) -> "Batch":
        """Each video becomes a job; all images together become one."""
        from uploader.classify import classify

        videos, images, problems = classify(inputs)
        items = [Item((path,), images=False) for path in videos]
        if images:
            items.append(Item(tuple(images), images=True))
        return cls(items, list(problems))

    def targets(self, out: Path | None, *, overwrite: bool = False) -> list[Path]:
        """The path of each item's result, before any work is done.

        If two have the same name, the second gets a number.

        Raises:
            UsageError: several results have one file, a file exists, or its folder does not.
        """
        paths = [
            path if item.images else _choose_container(item.inputs[0], path, named_by_us)
            for item, (path, named_by_us) in zip(self.items, self._paths(out), strict=True)
        ]
        targets = [Path(path) for path in unique_names(map(str, paths))]
        for target, item in zip(targets, self.items, strict=True):
            # A folder for images is created when they are saved.
            if not item.images:
                _check_target(target, overwrite)
        return targets

    def _paths(self, out: Path | None) -> list[tuple[Path, bool]]:
        """Each item's path, and whether we chose its name."""
        if out is None:
            return [(_default_path(item), True) for item in self.items]
        if not self.items:
            # Every input is bad: there is nothing to save and no folder to create.
            return []
        if self._is_folder(out):
            out.mkdir(parents=True, exist_ok=True)
            return [
                (out if item.images else out / _painted_name(item.inputs[0]), True)
                for item in self.items
            ]
        if len(self.items) > 1:
            raise UsageError(
                f"{len(self.items)} results do not fit in one file: name a folder with --out, not "
                f"{out}"
            )
        return [(out, False)]

    def _is_folder(self, out: Path) -> bool:
        """Whether ``--out`` names a folder: an existing one, or one for several results."""
        # Bad inputs count: a path for several results is a folder even if only one is left.
        several = len(self.items) + len(self.problems) > 1
        # `Path.is_dir` fails for names that are too long.
        return os.path.isdir(out) or (several and not out.suffix)  # noqa: PTH112

    def for_each(self, process: Callable[[int, Item], None]) -> None:
        """Process each item with its index. An error is kept, and the rest is processed.

        Raises:
            FacepaintError: the error of a single item.
        """
        for index, item in enumerate(self.items):
            try:
                process(index, item)
            except FacepaintError as exc:
                if len(self.items) == 1 and not self.problems:
                    raise
                self.problems.append(exc)

    def finish(self) -> None:
        """Print the problems to standard error, and raise the last one if there is any."""
        for problem in self.problems[:-1]:
            say(f"facepaint: {problem}")
        if self.problems:
            raise self.problems[-1]


def upload_item(
    client: Client, item: Item, look: Look, display: Display, resume: str | None = None
) -> str:
    """Upload one item, print warnings, and return the job's id."""
    from uploader.upload import UploadProgress

    def show(progress: UploadProgress) -> None:
        display.uploaded(progress.bytes, progress.total_bytes, progress.waiting)

    if item.images:
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
    since: float | None = None,
) -> None:
    """Wait for a job, or for one of its looks, and show its progress and a summary.

    Args:
        supervise: called at every change; supervises the embedded workers.
        advice: what to do on failure; by default to resume the job.
        look: the look's id; None waits for the newest.
        since: when the work began, on the clock of `time.monotonic`; by default now.

    Raises:
        JobError: a segment failed, or face detection failed in every segment.
    """
    advice = advice or f"`facepaint resume {job_id}` retries it"
    since = time.monotonic() if since is None else since
    faces = 0

    def show(snapshot: Snapshot) -> None:
        nonlocal faces
        faces = snapshot.faces
        display.job(snapshot)
        if supervise is not None:
            supervise()

    status = client.wait(job_id, look, on_change=show)
    looks = [state for state in status.looks if look in (None, state.id)]
    for state in looks:
        _warn_of_unknown_people(client, job_id, state.look, display)
    if any(state.state == "incomplete" for state in looks):
        raise JobError(f"{_failed_segments(status, looks)}; {advice}")
    if status.detect_failed:
        failure = _detection_failure(client, status)
        # With faces from some segments the result may be what the user wants.
        if status.detect_failed == status.total:
            raise JobError(f"{failure}; {advice}")
        display.say(f"facepaint: {failure}")
    display.say(_summary(status, faces, time.monotonic() - since))


def _summary(status: JobStatus, faces: int, seconds: float) -> str:
    """What was painted, and how long it took."""
    if isinstance(status.job, ImageJob):
        what = counted(len(status.job.images), "image")
    else:
        what = _length(status.job)
    found = "" if faces else ", no faces found"
    return f"{what} painted in {seconds:.0f} s{found}"


def _length(job: VideoJob) -> str:
    return "video" if job.duration_s is None else f"{job.duration_s:.0f} s of video"


@contextmanager
def going_on(job_id: str) -> Iterator[None]:
    """If the user interrupts the waiting, say what becomes of the job."""
    try:
        yield
    except KeyboardInterrupt:
        say(
            f"facepaint: interrupted; the workers go on with job {job_id}: "
            f"`facepaint status {job_id}` shows it, `facepaint delete {job_id}` ends it"
        )
        raise


def _failed_segments(status: JobStatus, looks: Sequence[LookStatus]) -> str:
    """How many segments failed, and the reason of the first failure."""
    reasons = {index: reason for look in looks for index, reason in look.reasons.items()}
    first, reason = next(iter(reasons.items()), (0, "unknown"))
    failed = sum(look.failed for look in looks)
    return (
        f"{failed} of {status.total} segments of job {status.job.id} failed "
        f"(segment {first}: {reason})"
    )


def _warn_of_unknown_people(
    client: Client, job_id: str, look: Look | None, display: Display
) -> None:
    """Warn of selected numbers that no person has, which is known only after tracking."""
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
    """In how many segments face detection failed, and the reason of the first failure."""
    first = min(status.keys.detect_failed)
    failed = client.store.find_record(keys.faces_failed(status.job.id, first), Failed)
    reason = failed.reason if failed else "unknown"
    return (
        f"face detection failed in {status.detect_failed} of {status.total} segments of job "
        f"{status.job.id} (segment {first}: {reason})"
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
    """Save a job and return the facts that ``--json`` prints.

    Raises:
        JobError: a segment failed, or the check of the saved file found a difference.
    """
    options: dict[str, Any] = {
        **asdict(saving),
        "on_progress": display.saved,
        "on_trouble": lambda problem: display.say(f"facepaint: {problem}"),
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
    """Upload one item, wait for it, save the result, and delete the job."""
    since = time.monotonic()
    with make_display(json=as_json) as display, _unsaved(item):
        job_id = upload_item(client, item, look, display)
        try:
            # A job on an embedded stack cannot be resumed: it ends with this command.
            advice = "--allow-gaps saves the rest" if supervise is not None else None
            wait_item(client, job_id, display, supervise, advice, since=since)
        except JobError:
            if not saving.allow_gaps:
                raise
        facts = save_item(client, job_id, out, display, saving)
        client.delete(job_id)
    if as_json:
        print(json.dumps({"input": [str(path) for path in item.inputs], **facts}), flush=True)
    else:
        print(printable(f"{item.name} -> {saved_path(facts, out)}"), flush=True)


@contextmanager
def _unsaved(item: Item) -> Iterator[None]:
    """If the user interrupts a run, say that there is no result."""
    try:
        yield
    except KeyboardInterrupt:
        say(f"facepaint: interrupted; no result of {item.name} is saved")
        raise


def saved_path(facts: Mapping[str, object], out: Path) -> object:
    """Where a result of `save_item` is.

    A video may have been saved with another suffix than ``out``; images are in that folder.
    """
    return facts["saved"] if isinstance(facts["saved"], str) else out


def _choose_container(source: Path, path: Path, any_container: bool) -> Path:
    """The path with the suffix of a container that can hold the source's audio; prints a change."""
    from uploader.probe import probe
    from viewer.save.video import choose_target

    try:
        audio = probe(source).audio
    except InputError:
        # The upload reports it.
        return path
    target, _, notes = choose_target(audio, path, any_container=any_container)
    if target != path:
        for note in notes:
            say(f"facepaint: {source.name}: {note}")
    return target


def _painted_name(source: Path) -> str:
    suffix = source.suffix if source.suffix.lower() in {".mp4", ".mkv"} else ".mp4"
    return f"{cut_to_bytes(source.stem, MAX_STEM_BYTES)}-painted{suffix}"


def _default_path(item: Item) -> Path:
    """The result's path without ``--out``: in the folder of the first input."""
    first = item.inputs[0]
    if item.images:
        return first.parent / "painted"
    return first.parent / _painted_name(first)


def _check_target(file: Path, overwrite: bool) -> None:
    """Refuse a file that cannot be written, before any work is done."""
    if not file.parent.is_dir():
        raise UsageError(f"{file} cannot be written: there is no folder {file.parent}")
    try:
        require_writable(file)
    except OSError as exc:
        reason = (exc.strerror or "unknown error").lower()
        raise UsageError(
            f"{file} cannot be written: {reason}; name another file with --out"
        ) from exc
    if file.exists() and not overwrite:
        raise UsageError(f"{file} exists: name another file with --out, or add --overwrite")
