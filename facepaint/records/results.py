"""What tasks and workers store: painted segments, failure marks, claims and heartbeats."""

from dataclasses import dataclass, field
from datetime import datetime

from facepaint.records.codec import Schema


@dataclass(frozen=True, slots=True)
class Painted:
    """``painted/<look>/<n>.json``: names the result and tells what a player must know of it.

    ``name`` is the object's last path part; ``init_bytes`` the length of the part before the first
    ``moof`` (0 for a picture). ``blank``: given up on a hiding look, one plain picture for each
    pts. ``codec`` is the RFC 6381 string.
    """

    index: int
    name: str
    frames: int
    bytes: int
    sha256: str
    init_bytes: int
    start: int
    end: int
    codec: str
    encoder: str
    device: str = "cpu"
    worker: str = ""
    blank: bool = False
    faces: int = 0
    times_s: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    schema: Schema = 1


@dataclass(frozen=True, slots=True)
class Failed:
    """``<n>.failed.json``: the task gave up. A result beside it beats it."""

    index: int
    reason: str
    tries: int
    schema: Schema = 1


@dataclass(frozen=True, slots=True)
class Claim:
    """``claims/...json``: a task is at work; one found later than it should be means a crash."""

    worker: str
    tries: int
    at: datetime
    schema: Schema = 1


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """``workers/<name>.json``: a worker's heartbeat. ``frames_per_s`` is measured on its last
    segments, by task."""

    name: str
    at: datetime
    host: str
    device: str
    encoders: tuple[str, ...]
    queues: tuple[str, ...]
    frames_per_s: dict[str, float] = field(default_factory=dict)
    schema: Schema = 1
