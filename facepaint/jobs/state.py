"""The state of a job, which follows from the existence of its keys alone."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from facepaint.records.keys import JOBS

ABANDONED_AFTER_S = 600.0
"""An unsealed job whose storage saw no new record for this long is called abandoned."""


State = Literal["uploading", "working", "complete", "incomplete", "abandoned", "damaged"]


_SEGMENT_KEY = re.compile(
    r"(?P<kind>source|faces|painted/(?P<look>[0-9a-f]{12}))/"
    r"(?P<index>\d{6})(?P<failed>\.failed)?\.json"
)


@dataclass(frozen=True, slots=True)
class JobKeys:
    """A listing of a job's keys, sorted.

    ``stored``, ``detected`` and ``detect_failed`` hold segment numbers: uploaded, with faces, with
    a failed mark instead. ``painted`` and ``paint_failed`` hold them by look id. A result overrides
    a failed mark. ``tracked`` and ``tracking_failed`` are those of person tracking.
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
        """Sort the keys of one job, which may be relative to its prefix."""
        numbers: dict[tuple[str, bool], set[int]] = {}
        looks = []
        others = set()
        for name in names:
            relative = name.split("/", 2)[2] if name.startswith(JOBS) else name
            match = _SEGMENT_KEY.fullmatch(relative)
            if match:
                kind = match["look"] or match["kind"]
                numbers.setdefault((kind, bool(match["failed"])), set()).add(int(match["index"]))
            elif relative.startswith("looks/"):
                looks.append(relative.removeprefix("looks/").removesuffix(".json"))
            else:
                others.add(relative)

        # A result overrides a failed mark, which a task may store while another one succeeds.
        def having(kind: str, failed: bool = False) -> frozenset[int]:
            return frozenset(numbers.get((kind, failed), ()))

        return cls(
            stored=having("source"),
            detected=having("faces"),
            detect_failed=having("faces", failed=True) - having("faces"),
            painted={look: having(look) for look in looks},
            paint_failed={look: having(look, failed=True) - having(look) for look in looks},
            looks=tuple(sorted(looks)),
            sealed="sealed.json" in others,
            tracked="tracks.json" in others,
            tracking_failed="tracks.failed.json" in others and "tracks.json" not in others,
        )

    @property
    def detection_finished(self) -> bool:
        """Whether the job is sealed and every segment has faces or a failed mark. Person tracking
        can then run."""
        return self.sealed and self.stored <= self.detected | self.detect_failed

    def painting_ended(self, look: str) -> frozenset[int]:
        """The segments that are painted with a look or have a failed mark."""
        return self.painted.get(look, frozenset()) | self.paint_failed.get(look, frozenset())

    def state(self, since_last_record_s: float, look: str | None = None) -> State:
        """The state of the job, or of one of its looks.

        Args:
            since_last_record_s: seconds since the uploader stored anything.
            look: the id of the look.
        """
        if not self.sealed:
            return "abandoned" if since_last_record_s > ABANDONED_AFTER_S else "uploading"
        wanted = self.looks if look is None else (look,)
        if any(self.stored - self.painting_ended(name) for name in wanted):
            return "working"
        any_failed = any(self.paint_failed.get(name) for name in wanted)
        return "incomplete" if any_failed else "complete"
