"""Keys: what a job's objects are called in the bucket, and the state that follows from which of them exist.

`docs/architecture.md` has the table. Read as ``keys.job(id)``. Pure.
"""

import base64
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from facepaint.errors import UsageError

ABANDONED_AFTER_S = 600.0
"""An unsealed job whose storage saw no new record for this long is called abandoned."""

JOB_ID = re.compile(r"\d{8}T\d{6}-[a-z2-7]{8}")
LOOK_ID = re.compile(r"[0-9a-f]{12}")

Task = Literal["detect", "paint", "link", "portraits"]


def new_job_id(now: datetime) -> str:
    """``YYYYMMDDThhmmss-`` in UTC and 8 random base32 characters: sorts by time."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%S}-{base64.b32encode(secrets.token_bytes(5)).decode().lower()}"


def check_job_id(text: str) -> str:
    """Return ``text`` if it is a job id, else raise `UsageError`: ids become keys, so nothing else may pass."""
    if not JOB_ID.fullmatch(text):
        raise UsageError(f"'{text}' is no job id; `facepaint jobs` lists them")
    return text


JOBS = "jobs/"
WORKERS = "workers/"


def prefix(job: str) -> str:
    return f"jobs/{job}/"


def job(job: str) -> str:
    return f"jobs/{job}/job.json"


def looks(job: str) -> str:
    return f"jobs/{job}/looks/"


def look(job: str, look: str) -> str:
    return f"jobs/{job}/looks/{look}.json"


def source(job: str, index: int) -> str:
    return f"jobs/{job}/source/{index:06d}.bin"


def audio(job: str, index: int) -> str:
    return f"jobs/{job}/audio/{index:06d}.bin"


def segment(job: str, index: int) -> str:
    return f"jobs/{job}/source/{index:06d}.json"


def extras(job: str) -> str:
    return f"jobs/{job}/extras.json"


def sealed(job: str) -> str:
    return f"jobs/{job}/sealed.json"


def all_faces(job: str) -> str:
    return f"jobs/{job}/faces/"


def faces(job: str, index: int) -> str:
    return f"jobs/{job}/faces/{index:06d}.json"


def faces_failed(job: str, index: int) -> str:
    return f"jobs/{job}/faces/{index:06d}.failed.json"


def tracks(job: str) -> str:
    return f"jobs/{job}/tracks.json"


def tracks_failed(job: str) -> str:
    return f"jobs/{job}/tracks.failed.json"


def tracked(job: str, index: int) -> str:
    return f"jobs/{job}/tracks/{index:06d}.json"


def tracks_before(job: str) -> str:
    return f"jobs/{job}/tracks.before.json"


def portraits(job: str) -> str:
    return f"jobs/{job}/portraits/"


def portrait(job: str, person: int) -> str:
    return f"jobs/{job}/portraits/{person:06d}.jpg"


def portraits_failed(job: str, index: int) -> str:
    return f"jobs/{job}/portraits/segment-{index:06d}.failed.json"


def painted(job: str, look: str, index: int) -> str:
    return f"jobs/{job}/painted/{look}/{index:06d}.json"


def painted_failed(job: str, look: str, index: int) -> str:
    return f"jobs/{job}/painted/{look}/{index:06d}.failed.json"


def painted_data(job: str, look: str, name: str) -> str:
    return f"jobs/{job}/painted/{look}/{name}"


def claim(job: str, task: Task, index: int, look: str | None = None) -> str:
    return f"jobs/{job}/claims/{task}{f'-{look}' if look else ''}-{index:06d}.json"


def sticker(sha256: str) -> str:
    return f"stickers/{sha256}"


def detector(sha256: str) -> str:
    return f"detectors/{sha256}.onnx"


def worker(name: str) -> str:
    return f"workers/{name}.json"


def deleted(job: str) -> str:
    return f"deleted/{job}"


State = Literal["uploading", "working", "complete", "incomplete", "abandoned"]

_SEGMENT_KEY = re.compile(
    r"(?P<kind>source|faces|painted/(?P<look>[0-9a-f]{12}))/(?P<index>\d{6})(?P<failed>\.failed)?\.json"
)


@dataclass(frozen=True, slots=True)
class JobKeys:
    """What a listing of a job's keys says: which segments are stored, have faces, are painted, or were given up.

    ``linked`` says that it is known who is where, ``unlinked`` that this was given up.
    """

    stored: frozenset[int] = frozenset()
    detected: frozenset[int] = frozenset()
    undetected: frozenset[int] = frozenset()
    painted: dict[str, frozenset[int]] = field(default_factory=dict)
    unpainted: dict[str, frozenset[int]] = field(default_factory=dict)
    looks: tuple[str, ...] = ()
    sealed: bool = False
    linked: bool = False
    unlinked: bool = False

    @classmethod
    def read(cls, names: Iterable[str]) -> "JobKeys":
        """Sort the keys of one job (relative to its prefix, or whole) into what they mean."""
        found: dict[tuple[str, bool], set[int]] = {}
        looks = []
        top = set()
        for name in names:
            relative = name.split("/", 2)[2] if name.startswith(JOBS) else name
            match = _SEGMENT_KEY.fullmatch(relative)
            if match:
                kind = match["look"] or match["kind"]
                found.setdefault((kind, bool(match["failed"])), set()).add(int(match["index"]))
            elif relative.startswith("looks/"):
                looks.append(relative.removeprefix("looks/").removesuffix(".json"))
            else:
                top.add(relative)

        def of(kind: str, failed: bool = False) -> frozenset[int]:
            return frozenset(found.get((kind, failed), ()))

        return cls(
            stored=of("source"),
            detected=of("faces"),
            undetected=of("faces", failed=True) - of("faces"),
            painted={look: of(look) for look in looks},
            unpainted={look: of(look, failed=True) - of(look) for look in looks},
            looks=tuple(sorted(looks)),
            sealed="sealed.json" in top,
            linked="tracks.json" in top,
            unlinked="tracks.failed.json" in top and "tracks.json" not in top,
        )

    @property
    def all_looked_at(self) -> bool:
        """Whether the faces of every segment were found or given up: then it can be said who is where."""
        return self.sealed and self.stored <= self.detected | self.undetected

    def state(self, since_last_record_s: float, look: str | None = None) -> State:
        """The state of the job, or of one of its looks. Once sealed, every segment is stored by definition."""
        if not self.sealed:
            return "abandoned" if since_last_record_s > ABANDONED_AFTER_S else "uploading"
        wanted = self.looks if look is None else (look,)
        done = [self.painted.get(name, frozenset()) for name in wanted]
        failed = [self.unpainted.get(name, frozenset()) for name in wanted]
        if any(self.stored - d - f for d, f in zip(done, failed, strict=True)):
            return "working"
        return "incomplete" if any(failed) else "complete"
