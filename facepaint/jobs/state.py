"""The state of a job: a pure function of which of its keys exist."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from facepaint.records.keys import JOBS

ABANDONED_AFTER_S = 600.0
"""An unsealed job whose storage saw no new record for this long is called abandoned."""


State = Literal["uploading", "working", "complete", "incomplete", "abandoned"]


_SEGMENT_KEY = re.compile(
    r"(?P<kind>source|faces|painted/(?P<look>[0-9a-f]{12}))/(?P<index>\d{6})(?P<failed>\.failed)?\.json"
)


@dataclass(frozen=True, slots=True)
class JobKeys:
    """What a listing of a job's keys says: which segments are stored, have faces, are painted, or
    were given up.

    ``tracked`` says that the people are tracked, ``tracking_failed`` that this was given up.
    """

    stored: frozenset[int] = frozenset()
    detected: frozenset[int] = frozenset()
    detect_failed: frozenset[int] = frozenset()
    painted: dict[str, frozenset[int]] = field(default_factory=dict)
    paint_failed: dict[str, frozenset[int]] = field(default_factory=dict)
    looks: tuple[str, ...] = ()
    sealed: bool = False
    tracked: bool = False
    tracking_failed: bool = False

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
            detect_failed=of("faces", failed=True) - of("faces"),
            painted={look: of(look) for look in looks},
            paint_failed={look: of(look, failed=True) - of(look) for look in looks},
            looks=tuple(sorted(looks)),
            sealed="sealed.json" in top,
            tracked="tracks.json" in top,
            tracking_failed="tracks.failed.json" in top and "tracks.json" not in top,
        )

    @property
    def detection_finished(self) -> bool:
        """Whether the faces of every segment were found or given up: then it can be said who is
        where."""
        return self.sealed and self.stored <= self.detected | self.detect_failed

    def state(self, since_last_record_s: float, look: str | None = None) -> State:
        """The state of the job, or of one of its looks. Once sealed, every segment is stored by
        definition."""
        if not self.sealed:
            return "abandoned" if since_last_record_s > ABANDONED_AFTER_S else "uploading"
        wanted = self.looks if look is None else (look,)
        done = [self.painted.get(name, frozenset()) for name in wanted]
        failed = [self.paint_failed.get(name, frozenset()) for name in wanted]
        if any(self.stored - d - f for d, f in zip(done, failed, strict=True)):
            return "working"
        return "incomplete" if any(failed) else "complete"
