"""The keys of stored objects. `docs/architecture.md` has a table of them.

Import the module and write ``keys.job(id)``.
"""

import base64
import re
import secrets
from datetime import UTC, datetime
from typing import Literal

from facepaint.errors import UsageError

JOB_ID = re.compile(r"\d{8}T\d{6}-[a-z2-7]{8}")
LOOK_ID = re.compile(r"[0-9a-f]{12}")

Task = Literal["detect", "paint", "track", "portraits"]


def new_job_id(now: datetime) -> str:
    """A job id: ``YYYYMMDDThhmmss-`` in UTC, so that ids sort by time, and 8 random characters."""
    unique = base64.b32encode(secrets.token_bytes(5)).decode().lower()
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%S}-{unique}"


def check_job_id(text: str) -> str:
    """Return ``text`` if it is a job id, else raise `UsageError`."""
    # Ids become parts of keys: text with a slash would address other objects.
    if not JOB_ID.fullmatch(text):
        raise UsageError(f"'{text}' is not a job id; `facepaint jobs` lists them")
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


# Numbers have six digits, so that listings are in the order of the segments.
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


# One claim per task and segment: two workers with the same message meet at the same key.
def claim(job: str, task: Task, index: int, look: str | None = None) -> str:
    return f"jobs/{job}/claims/{task}{f'-{look}' if look else ''}-{index:06d}.json"


# Stickers and weights are shared by all jobs and addressed by their content.
def sticker(sha256: str) -> str:
    return f"stickers/{sha256}"


def detector(sha256: str) -> str:
    return f"detectors/{sha256}.onnx"


def worker(name: str) -> str:
    return f"workers/{name}.json"


# The tombstone is outside the job's prefix, which a deletion empties.
def deleted(job: str) -> str:
    return f"deleted/{job}"
