"""The records that tasks and workers write: painted segments, failed marks, claims, heartbeats."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from pydantic import Field

from facepaint.records.bounds import Count, Index, Ticks
from facepaint.records.codec import Schema


@dataclass(frozen=True, slots=True)
class Painted:
    """``painted/<look>/<n>.json``: a painted segment.

    Args:
        name: the last part of the key of its bytes.
        init_bytes: length of the init segment, before the first ``moof``; 0 for an image.
        start, end: the window in ticks of the video.
        codec: the RFC 6381 string.
        blank: whether it stands in for a segment of a redacting look whose painting failed.
        without_faces: the segments within reach whose detection had failed.
        times_s: seconds by stage.
        notes: what was changed in the conversion, for users.
    """

    index: Index
    name: Annotated[str, Field(pattern=r"^\d{6}-[0-9a-f]{12}\.(mp4|jpg|png|webp)$")]
    frames: Count
    bytes: Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    init_bytes: Count
    start: Ticks
    end: Ticks
    codec: Annotated[str, Field(pattern=r"^[A-Za-z0-9._/+-]{0,64}$")]
    encoder: str
    device: str = "cpu"
    worker: str = ""
    blank: bool = False
    without_faces: tuple[Index, ...] = ()
    faces: Count = 0
    times_s: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    schema: Schema = 1


@dataclass(frozen=True, slots=True)
class Failed:
    """``<n>.failed.json``: the task gave up. A stored result overrides it."""

    index: int
    reason: str
    tries: int
    schema: Schema = 1


@dataclass(frozen=True, slots=True)
class Claim:
    """``claims/...json``: a task runs. If a redelivered message finds it, its worker crashed."""

    worker: str
    tries: int
    at: datetime
    schema: Schema = 1


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """``workers/<name>.json``: a worker's heartbeat. ``frames_per_s`` is the speed of its last
    segments by task."""

    name: str
    at: datetime
    host: str
    device: str
    encoders: tuple[str, ...]
    queues: tuple[str, ...]
    frames_per_s: dict[str, float] = field(default_factory=dict)
    schema: Schema = 1
