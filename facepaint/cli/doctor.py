"""``facepaint doctor``: what is installed, what can be reached, and what to do about the rest."""

import importlib.metadata
import importlib.util
import json
import os
import platform
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from facepaint import __version__
from facepaint.detectors.registry import card_beside, find_detector, read_card
from facepaint.devices import EXTRAS, PROVIDERS
from facepaint.errors import FacepaintError, MissingExtra, StoreUnreachable
from facepaint.queue import Queue
from facepaint.records import keys
from facepaint.records.detector_card import DEFAULT_DETECTOR
from facepaint.records.results import WorkerInfo
from facepaint.settings import Settings
from facepaint.stack.components import find_rclone, find_valkey, require_worker_extra
from facepaint.stack.stack import is_left_behind
from facepaint.store import Store

ALIVE_S = 60.0
"""A worker whose last heartbeat is older is called dead; they come every 15 s."""

MOST_SKEW_S = 10.0
"""Clocks that differ by more make claims and heartbeats look older or younger than they are."""

LEAST_FREE_BYTES = 2 * 2**30

_PROVIDER_S = 60


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. ``advice`` says what to do if it is not ``ok``; what is merely absent is
    ok."""

    name: str
    ok: bool
    detail: str
    advice: str = ""


def checks(settings: Settings) -> list[Check]:
    """Look at everything, installation first; nothing is raised for what is wrong. Takes seconds,
    more if it is."""
    found = [_installation(), _ffmpeg(), *_inference(settings), _disk(settings)]
    services = _services(settings)
    found.append(services)
    if settings.broker_url is not None and settings.s3_endpoint is not None:
        found += _storage(settings)
        found.append(_broker(settings))
        found.append(_workers(settings))
    return found


def installed_extras() -> list[str]:
    """The extras whose packages are installed."""

    def has(requirement: Callable[[], object]) -> bool:
        try:
            requirement()
        except MissingExtra:
            return False
        return True

    embedded = has(find_valkey) and has(find_rclone)
    worker = has(require_worker_extra)
    gpu = worker and _version("onnxruntime-gpu") is not None
    return [
        name
        for name, there in (("gpu", gpu), ("worker", worker and not gpu), ("embedded", embedded))
        if there
    ]


def _installation() -> Check:
    extras = ", ".join(installed_extras()) or "none"
    detail = (
        f"facepaint {__version__} on Python {platform.python_version()}, {sys.platform}; "
        f"extras: {extras}"
    )
    if _version("onnxruntime") and _version("onnxruntime-gpu"):
        advice = (
            "pip uninstall onnxruntime onnxruntime-gpu, then install the extra 'worker' or "
            "'gpu', not both"
        )
        return Check(
            "installation",
            False,
            f"{detail}; two builds of ONNX Runtime overwrite each other",
            advice,
        )
    return Check("installation", True, detail)


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
    return Check(
        "video",
        False,
        f"{detail} has no libx264",
        "install PyAV from its wheel: pip install --force-reinstall av",
    )


_ASK_PROVIDERS = """
import json, sys
from models.session import load_libraries, ort
listed = ort.get_available_providers()
wanted = [name for name in sys.argv[2:] if name in listed]
load_libraries(wanted)
used = ort.InferenceSession(sys.argv[1], providers=wanted).get_providers()
print(json.dumps([ort.__version__, listed, used]))
"""


def _inference(settings: Settings) -> Iterator[Check]:
    """Which devices ONNX Runtime lists, and which it can load.

    A process of its own asks, because ONNX Runtime reports missing libraries on standard error.
    """
    package = importlib.util.find_spec("models")
    if importlib.util.find_spec("onnxruntime") is None or package is None:
        return
    folders = [Path(folder) for folder in package.submodule_search_locations or ()]
    weights = next(folder / "weights" / f"{DEFAULT_DETECTOR}.onnx" for folder in folders)
    by_name = settings.device not in ("auto", "cpu")
    device = settings.device if by_name else "cuda"
    answer = _ask_providers(weights, list(dict.fromkeys([device, "cuda", "cpu"])))
    if answer.version is None:
        advice = "install the extra 'worker' again"
        yield Check("detector", False, f"ONNX Runtime does not run: {answer.complaint}", advice)
        return
    try:
        label = _detector_label(settings.detector, weights)
    except FacepaintError as exc:
        advice = "set FACEPAINT_DETECTOR; `facepaint detectors list` lists the names"
        yield Check("detector", False, str(exc), advice)
        return
    detail = f"{label}; ONNX Runtime {answer.version} runs on {' and '.join(answer.loaded)}"
    yield _device_check(device, answer, detail, by_name=by_name)


@dataclass(frozen=True, slots=True)
class _Providers:
    """What ONNX Runtime answered: devices by our names. ``version`` is None if it does not run."""

    version: str | None
    listed: tuple[str, ...] = ()
    loaded: tuple[str, ...] = ()
    complaint: str = ""


def _ask_providers(weights: Path, devices: Sequence[str]) -> _Providers:
    asked = subprocess.run(  # noqa: S603 - our own script
        [
            sys.executable,
            "-c",
            _ASK_PROVIDERS,
            str(weights),
            *(PROVIDERS[name] for name in devices),
        ],
        capture_output=True,
        text=True,
        timeout=_PROVIDER_S,
        check=False,
    )
    complaint = next((line for line in reversed(asked.stderr.splitlines()) if line.strip()), "")
    if asked.returncode:
        return _Providers(None, complaint=complaint)
    # Lines before the answer may say that ONNX Runtime continues without a provider.
    *before, last = asked.stdout.splitlines()
    version, listed, used = json.loads(last)
    errors = [line for line in [*before, *asked.stderr.splitlines()] if "rror" in line]
    return _Providers(
        version,
        tuple(name for name in devices if PROVIDERS[name] in listed),
        tuple(name for name in devices if PROVIDERS[name] in used),
        (errors or [complaint])[-1].strip(),
    )


def _detector_label(choice: str, weights: Path) -> str:
    """Name and checksum of the configured detector; raises as `find_detector`."""
    chosen = find_detector(choice)
    card = chosen.card if chosen else read_card(card_beside(weights.with_stem(choice)))
    return card.label


def _device_check(device: str, answer: _Providers, detail: str, *, by_name: bool) -> Check:
    if device in answer.loaded or not (by_name or device in answer.listed):
        return Check("detector", True, detail)
    if device in answer.listed:
        advice = (
            "install what the line names, and for a GPU its driver; until then "
            "FACEPAINT_DEVICE=cpu works"
        )
        failure = f"{device} is listed and does not load: {answer.complaint}"
        return Check("detector", False, f"{detail}; {failure}", advice)
    advice = (
        f"install the extra '{EXTRAS[device]}' instead of the present one, or set "
        "FACEPAINT_DEVICE=auto"
    )
    return Check("detector", False, f"{detail}; device '{device}' is asked for", advice)


def _disk(settings: Settings) -> Check:
    folder = next(
        path for path in (settings.home, *settings.home.absolute().parents) if path.exists()
    )
    free = shutil.disk_usage(folder).free
    detail = f"{free / 2**30:.1f} GiB free for {settings.home}"
    writable = os.access(folder, os.W_OK)
    if not writable:
        return Check(
            "disk",
            False,
            f"{folder} cannot be written to",
            "set FACEPAINT_HOME to a folder of yours",
        )
    advice = (
        "free some space, or set FACEPAINT_HOME: a job needs about three times its input's size"
    )
    return Check("disk", free >= LEAST_FREE_BYTES, detail, advice)


def _services(settings: Settings) -> Check:
    if settings.broker_url is not None and settings.s3_endpoint is not None:
        detail = f"found in {settings.found_in or 'the arguments'}"
        if settings.found_in == str(settings.home / "connection.json") and is_left_behind(
            settings.home
        ):
            return Check(
                "services",
                False,
                f"{detail}, left by a stack that was killed",
                "start it again: facepaint up",
            )
        return Check("services", True, detail)
    advice = (
        "start them with `facepaint up` or `docker compose up`, or set "
        "FACEPAINT_BROKER_URL and FACEPAINT_S3_ENDPOINT"
    )
    extras = installed_extras()
    if "embedded" in extras and {"worker", "gpu"} & set(extras):
        return Check("services", True, "none running; `facepaint run` starts its own")
    return Check("services", False, "none found", advice)


def _storage(settings: Settings) -> Iterator[Check]:
    """Reach, rights and clock, with one small object."""
    key = f"doctor-{secrets.token_hex(6)}"
    store = Store(settings)
    started = time.monotonic()
    try:
        store.make_bucket()
        before = datetime.now(UTC)
        store.put(key, b"facepaint doctor")
        after = datetime.now(UTC)
        try:
            read = store.get(key)
            stored = next(store.list(key)).modified
        finally:
            store.delete(key)
    except (FacepaintError, StopIteration) as exc:
        advice = "see its log and the keys it was given"
        if isinstance(exc, StoreUnreachable) and "TimeTooSkewed" in str(exc):
            advice = "set this machine's clock"
        yield Check("storage", False, str(exc) or f"{key} was stored and is not listed", advice)
        return
    took_ms = (time.monotonic() - started) * 1000
    where = f"{store.endpoint}, bucket {store.bucket}"
    if read != b"facepaint doctor":
        yield Check(
            "storage",
            False,
            f"{where} gives back other bytes than were stored",
            "use another storage",
        )
        return
    yield Check("storage", True, f"{where}: put, get, list, delete in {took_ms:.0f} ms")
    if stored is not None:
        yield _clock(before, stored, after)


def _clock(before: datetime, stored: datetime, after: datetime) -> Check:
    """Compare clocks by the time under which the storage filed an object put between two looks at
    ours."""
    second = timedelta(seconds=1)  # what a storage tells times by
    if before - second <= stored <= after + second:
        return Check("clock", True, "this machine's agrees with the storage's")
    skew_s = ((before if stored < before else after) - stored).total_seconds()
    detail = f"this machine's differs by {skew_s:+.0f} s from the storage's"
    return Check("clock", abs(skew_s) <= MOST_SKEW_S, detail, "let both set their clocks by NTP")


def _broker(settings: Settings) -> Check:
    queue = Queue(settings)
    try:
        queue.check()
        waiting = queue.length()
    except FacepaintError as exc:
        return Check("broker", False, str(exc), "see its log, its password and its port")
    return Check("broker", True, f"answers; {waiting} tasks wait")


def _workers(settings: Settings) -> Check:
    """The heartbeats in the storage."""
    store = Store(settings)
    alive: list[WorkerInfo] = []
    dead: list[WorkerInfo] = []
    now = datetime.now(UTC)
    try:
        for info in list(store.list(keys.WORKERS)):
            record = store.find_record(info.key, WorkerInfo) if info.key.endswith(".json") else None
            if record is not None:
                age_s = (now - record.at).total_seconds()
                (alive if age_s <= ALIVE_S else dead).append(record)
    except FacepaintError as exc:
        return Check("workers", False, str(exc), "")
    if not alive:
        silent = f"; silent: {_listed(dead)}" if dead else ""
        return Check("workers", False, f"none alive{silent}", "start one: facepaint worker")
    for queue, verb in (("paint", "paints"), ("detect", "detects faces")):
        if not any(queue in record.queues for record in alive):
            detail = f"{_listed(alive)}; no running worker {verb}"
            return Check("workers", False, detail, f"start one: facepaint worker --queues {queue}")
    return Check("workers", True, _listed(alive))


def _listed(records: list[WorkerInfo]) -> str:
    return "; ".join(_described(record) for record in records)


def _described(record: WorkerInfo) -> str:
    speed = [f"{task} {rate:.0f} frames/s" for task, rate in sorted(record.frames_per_s.items())]
    return ", ".join(
        [
            f"{record.name}: {'+'.join(record.queues)}",
            f"on {record.device}",
            "+".join(record.encoders),
            *speed,
        ]
    )
