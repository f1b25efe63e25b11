"""The outcome of a comparison, property by property."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from fractions import Fraction

from facepaint.text import counted

MAX_NAMED = 5
"""Of many occurrences so many are named; all are counted."""


@dataclass(frozen=True, slots=True)
class PropertyCheck:
    """One property of the result: what was found in a few words, and every difference and note in a
    sentence."""

    name: str
    found: str
    differences: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether there is no difference."""
        return not self.differences


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The outcome of a comparison.

    Args:
        source: the file, or the job, that ``result`` is compared with.
        result: the file that was checked.
        checks: its properties.
        frames: how many frames were found in both.
        refused: packets of the source that FFmpeg does not decode.
        concealed: frames of the source that are decoded with errors.
        shift_s: how much later everything is in the result, in seconds.
    """

    source: str
    result: str
    checks: tuple[PropertyCheck, ...]
    frames: int = 0
    refused: int = 0
    concealed: int = 0
    shift_s: Fraction = Fraction(0)

    @property
    def differences(self) -> tuple[str, ...]:
        """Every difference, after the name of its property."""
        return tuple(f"{check.name}: {text}" for check in self.checks for text in check.differences)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is no difference and still worth a sentence, after the name of its property."""
        return tuple(f"{check.name}: {text}" for check in self.checks for text in check.notes)

    @property
    def passed(self) -> bool:
        """Whether no property differs."""
        return not self.differences

    def lines(self) -> Iterator[str]:
        """A line for each property, followed by its differences and notes."""
        for check in self.checks:
            yield f"{'ok  ' if check.passed else 'FAIL'} {check.name}: {check.found}"
            yield from (f"     {text}" for text in (*check.differences, *check.notes))

    def facts(self) -> dict[str, object]:
        """The report for scripts, as JSON has it."""
        return {
            "source": self.source,
            "result": self.result,
            "passed": self.passed,
            "frames": self.frames,
            "refused": self.refused,
            "concealed": self.concealed,
            "shift_s": float(self.shift_s),
            "checks": [{**asdict(check), "passed": check.passed} for check in self.checks],
        }


@dataclass(slots=True)
class Occurrences:
    """A count of occurrences, with the names of the first few and their reasons if known."""

    count: int = 0
    names: list[str] = field(default_factory=list)
    reasons: dict[str, None] = field(default_factory=dict)

    def add(self, name: str) -> None:
        """Count one more."""
        self.count += 1
        if len(self.names) < MAX_NAMED:
            self.names.append(name)

    def __str__(self) -> str:
        more = [f"and {self.count - len(self.names)} more"] if self.count > len(self.names) else []
        reasons = f" ({'; '.join(self.reasons)})" if self.reasons else ""
        return ", ".join([*self.names, *more]) + reasons


def summarized(*kinds: tuple[Occurrences, str]) -> Iterator[str]:
    """A sentence for each kind of occurrence that was seen; the second items are its nouns."""
    for seen, what in kinds:
        if seen.count:
            yield f"{counted(seen.count, what)}: {seen}"


def seconds(time_s: Fraction) -> str:
    """A time to read."""
    return f"{float(time_s):.3f} s"
