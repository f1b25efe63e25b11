"""``facepaint doctor``: what is installed, which services answer, and how to fix the rest."""

import importlib.metadata
import json
import os
import platform
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from facepaint import __version__
from facepaint.detectors.registry import card_beside, find_detector, read_card
from facepaint.devices import EXTRAS, PROVIDERS
from facepaint.errors import FacepaintError, MissingExtra, StoreUnreachable
from facepaint.extras import has_extra
from facepaint.jobs.workers import is_alive, recorded_workers
from facepaint.queue import Queue
from facepaint.records.detector_card import DEFAULT_DETECTOR
from facepaint.records.results import WorkerInfo
from facepaint.settings import CONNECTION_NAME, Settings
from facepaint.stack.components import find_rclone, find_valkey
from facepaint.stack.stack import clear_runs, is_left_behind
from facepaint.store import Store
from facepaint.text import counted

MAX_SKEW_S = 10.0
"""A larger difference of clocks makes claims and heartbeats look much older or younger."""

MIN_FREE_BYTES = 2 * 2**30

_PROVIDER_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check. ``advice`` is for one that is not ``ok``; an optional part that is
    missing is ok."""

    name: str
    ok: bool
    detail: str
    advice: str = ""


def checks(
    settings: Settings,
    *,
    extras: Sequence[str] | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    min_free_bytes: int = MIN_FREE_BYTES,
) -> list[Check]:
    """Check everything, the installation first. Problems are results, not errors.

    Takes seconds, and more where a service does not answer.

    Args:
        extras: the installed extras, by default those found.
        now: this machine's clock.
        min_free_bytes: free disk space below which the disk is reported.
    """
    extras = installed_extras() if extras is None else extras
    results = [_installation(extras), _ffmpeg(), *_inference(settings)]
    results += [_disk(settings, min_free_bytes), _killed_runs(settings)]
    results.append(_services(settings, extras))
    if settings.broker_url is not None and settings.s3_endpoint is not None:
        results += _storage(settings, now)
        results.append(_broker(settings))
        results.append(_workers(settings, now()))
    return results


def _killed_runs(settings: Settings) -> Check:
    """What runs that were killed have left; it is removed."""
    removed = clear_runs(settings.home)
    if not removed:
        return Check("killed runs", True, "none has left anything")
    folders = counted(removed, "folder")
    return Check("killed runs", True, f"{folders} with videos left by killed runs: removed now")


def installed_extras() -> list[str]:
    """The extras whose packages are installed."""
    extras = []
    if has_extra("worker"):
        # The two differ only in their build of ONNX Runtime.
        extras.append("worker" if _version("onnxruntime-gpu") is None else "gpu")
    if _has_embedded_services():
        extras.append("embedded")
    return extras


def _has_embedded_services() -> bool:
    try:
        find_valkey()
        find_rclone()
    except MissingExtra:
        return False
    return True


def _installation(extras: Sequence[str]) -> Check:
    detail = (
        f"facepaint {__version__} on Python {platform.python_version()}, {sys.platform}; "
        f"extras: {', '.join(extras) or 'none'}"
    )
    if _version("onnxruntime") is None or _version("onnxruntime-gpu") is None:
        return Check("installation", True, detail)
    problem = f"{detail}; two builds of ONNX Runtime overwrite each other"
    advice = (
        "pip uninstall onnxruntime onnxruntime-gpu, then install the extra 'worker' or 'gpu', not "
        "both"
    )
    return Check("installation", False, problem, advice)


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _ffmpeg() -> Check:
    import av

    detail = f"PyAV {av.__version__} with FFmpeg {av.ffmpeg_version_info}"
    if "libx264" in av.codecs_available:
        return Check("video", True, f"{detail}, encoder libx264")
    advice = "install PyAV from its wheel: pip install --force-reinstall av"
    return Check("video", False, f"{detail} has no libx264", advice)


_PROVIDERS_SCRIPT = """
import json, sys
from models.session import load_libraries, ort
listed = ort.get_available_providers()
wanted = [name for name in sys.argv[2:] if name in listed]
load_libraries(wanted)
used = ort.InferenceSession(sys.argv[1], providers=wanted).get_providers()
print(json.dumps([ort.__version__, listed, used]))
"""


def _inference(settings: Settings) -> Iterator[Check]:
    """Which devices ONNX Runtime lists, and which it can load."""
    if not has_extra("worker"):
        return
    from models import WEIGHTS

    weights = WEIGHTS / f"{DEFAULT_DETECTOR}.onnx"
    by_name = settings.device not in ("auto", "cpu")
    device = settings.device if by_name else "cuda"
    providers = _query_providers(weights, list(dict.fromkeys([device, "cuda", "cpu"])))
    if providers.version is None:
        advice = "install the extra 'worker' again"
        yield Check("detector", False, f"ONNX Runtime does not run: {providers.error}", advice)
        return
    try:
        label = _detector_label(settings.detector, weights)
    except FacepaintError as exc:
        advice = "set FACEPAINT_DETECTOR; `facepaint detectors list` lists the names"
        yield Check("detector", False, str(exc), advice)
        return
    detail = f"{label}; ONNX Runtime {providers.version} runs on {' and '.join(providers.loaded)}"
    yield _device_check(device, providers, detail, by_name=by_name)


@dataclass(frozen=True, slots=True)
class _Providers:
    """ONNX Runtime's execution providers, by our names of their devices.

    ``version`` is None if ONNX Runtime does not run. ``error`` is its last message.
    """

    version: str | None
    listed: tuple[str, ...] = ()
    loaded: tuple[str, ...] = ()
    error: str = ""


def _query_providers(weights: Path, devices: Sequence[str]) -> _Providers:
    """Load a network on these devices in a process of its own.

    ONNX Runtime reports missing libraries on standard error and then continues on the CPU.
    """
    names = [PROVIDERS[device] for device in devices]
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", _PROVIDERS_SCRIPT, str(weights), *names],
        capture_output=True,
        text=True,
        timeout=_PROVIDER_TIMEOUT_S,
        check=False,
    )
    errors = done.stderr.splitlines()
    if done.returncode:
        return _Providers(None, error=_last_message(errors))
    # Some builds print their errors on standard output, before the answer.
    *printed, answer = done.stdout.splitlines()
    version, listed, used = json.loads(answer)
    reported = [line for line in [*printed, *errors] if "rror" in line]
    return _Providers(
        version,
        listed=tuple(device for device in devices if PROVIDERS[device] in listed),
        loaded=tuple(device for device in devices if PROVIDERS[device] in used),
        error=_last_message(reported or errors),
    )


def _last_message(lines: Sequence[str]) -> str:
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _detector_label(choice: str, weights: Path) -> str:
    """Name and checksum of the configured detector; raises as `find_detector`."""
    chosen = find_detector(choice)
    card = chosen.card if chosen else read_card(card_beside(weights.with_stem(choice)))
    return card.label


def _device_check(device: str, providers: _Providers, detail: str, *, by_name: bool) -> Check:
    if device in providers.loaded or not (by_name or device in providers.listed):
        return Check("detector", True, detail)
    if device in providers.listed:
        problem = f"{detail}; {device} is listed and does not load: {providers.error}"
        advice = (
            "install the library it names, and for a GPU its driver; FACEPAINT_DEVICE=cpu works "
            "until then"
        )
        return Check("detector", False, problem, advice)
    advice = (
        f"install the extra '{EXTRAS[device]}' in place of the installed one, or set "
        "FACEPAINT_DEVICE=auto"
    )
    problem = f"{detail}; device '{device}' is configured and not available"
    return Check("detector", False, problem, advice)


def _disk(settings: Settings, min_free_bytes: int) -> Check:
    home = settings.home.absolute()
    # The folder is created on first use.
    folder = next(path for path in (home, *home.parents) if path.exists())
    if not os.access(folder, os.W_OK):
        advice = "set FACEPAINT_HOME to a folder that you can write to"
        return Check("disk", False, f"{folder} cannot be written to", advice)
    free = shutil.disk_usage(folder).free
    detail = f"{free / 2**30:.1f} GiB free for {settings.home}"
    advice = (
        "free some space, or set FACEPAINT_HOME: a job needs about three times its input's size"
    )
    return Check("disk", free >= min_free_bytes, detail, advice)


def _services(settings: Settings, extras: Sequence[str]) -> Check:
    if settings.broker_url is not None and settings.s3_endpoint is not None:
        detail = f"found in {settings.found_in or 'the arguments'}"
        from_stack = settings.found_in == str(settings.home / CONNECTION_NAME)
        if from_stack and is_left_behind(settings.home):
            problem = f"{detail}, left by a stack that was killed"
            return Check("services", False, problem, "start it again: facepaint up")
        return Check("services", True, detail)
    if "embedded" in extras and {"worker", "gpu"} & set(extras):
        return Check("services", True, "none running; `facepaint run` starts its own")
    advice = (
        "start them with `facepaint up` or `docker compose up`, or set "
        "FACEPAINT_BROKER_URL and FACEPAINT_S3_ENDPOINT"
    )
    return Check("services", False, "none found", advice)


def _storage(settings: Settings, now: Callable[[], datetime]) -> Iterator[Check]:
    """Connection, permissions and clock, with one small object."""
    key = f"doctor-{secrets.token_hex(6)}"
    content = b"facepaint doctor"
    store = Store(settings)
    started = time.monotonic()
    try:
        store.make_bucket()
        before = now()
        store.put(key, content)
        after = now()
        try:
            read = store.get(key)
            stored = next(store.list(key)).modified
        finally:
            store.delete(key)
    except (FacepaintError, StopIteration) as exc:
        advice = "see its log, and check the access key and the secret key"
        if isinstance(exc, StoreUnreachable) and "TimeTooSkewed" in str(exc):
            advice = "set this machine's clock"
        yield Check("storage", False, str(exc) or f"{key} was stored and is not listed", advice)
        return
    took_ms = (time.monotonic() - started) * 1000
    where = f"{store.endpoint}, bucket {store.bucket}"
    if read != content:
        problem = f"{where} returns other bytes than were stored"
        yield Check("storage", False, problem, "use another storage")
        return
    yield Check("storage", True, f"{where}: put, get, list, delete in {took_ms:.0f} ms")
    if stored is not None:
        yield _clock(before, stored, after)


def _clock(before: datetime, stored: datetime, after: datetime) -> Check:
    """Compare clocks by an object that was stored between two readings of ours."""
    resolution = timedelta(seconds=1)  # of the times in a storage's listing
    if before - resolution <= stored <= after + resolution:
        return Check("clock", True, "in sync with the storage")
    skew_s = ((before if stored < before else after) - stored).total_seconds()
    detail = f"this machine's differs by {skew_s:+.0f} s from the storage's"
    advice = "synchronize both with NTP"
    return Check("clock", abs(skew_s) <= MAX_SKEW_S, detail, advice)


def _broker(settings: Settings) -> Check:
    queue = Queue(settings)
    try:
        queue.check()
        queue.check_rights()
        waiting = queue.length()
    except FacepaintError as exc:
        return Check(
            "broker", False, str(exc), "see its log; docs/deploy.md describes how to reach it"
        )
    return Check("broker", True, f"answers; {counted(waiting, 'task')} waiting")


def _workers(settings: Settings, now: datetime) -> Check:
    """The heartbeats in the storage."""
    try:
        recorded = recorded_workers(Store(settings))
    except FacepaintError as exc:
        return Check("workers", False, str(exc))
    alive = [worker for worker in recorded if is_alive(worker, now)]
    if not alive:
        silent = f"; no recent heartbeat: {_describe_all(recorded)}" if recorded else ""
        return Check("workers", False, f"none alive{silent}", "start one: facepaint worker")
    for queue, verb in (("paint", "paints"), ("detect", "detects faces")):
        if not any(queue in worker.queues for worker in alive):
            problem = f"{_describe_all(alive)}; no running worker {verb}"
            return Check("workers", False, problem, f"start one: facepaint worker --queues {queue}")
    return Check("workers", True, _describe_all(alive))


def _describe_all(workers: Iterable[WorkerInfo]) -> str:
    return "; ".join(_describe(worker) for worker in workers)


def _describe(worker: WorkerInfo) -> str:
    """One worker's name, queues, device, encoders and measured speed."""
    speeds = sorted(worker.frames_per_s.items())
    facts = [
        f"{worker.name}: {'+'.join(worker.queues)}",
        f"on {worker.device}",
        "+".join(worker.encoders),
        *(f"{task} {rate:.0f} frames/s" for task, rate in speeds),
    ]
    return ", ".join(facts)
