"""What a comparison of two files has to say, thing by thing."""

from dataclasses import dataclass, field
from fractions import Fraction

NAMED = 5
"""Of what is found in many places, so many are named; all are counted."""


@dataclass(frozen=True, slots=True)
class Guarantee:
    """One thing promised: what was found in a few words, every difference in a sentence, and what
    else is to say."""

    name: str
    found: str
    differences: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def kept(self) -> bool:
        """Whether there is no difference."""
        return not self.differences


@dataclass(slots=True)
class Named:
    """Things counted, the first few of them by name, and why they are so if that is known."""

    count: int = 0
    names: list[str] = field(default_factory=list)
    reasons: dict[str, None] = field(default_factory=dict)

    def add(self, name: str) -> None:
        """Count one more."""
        self.count += 1
        if len(self.names) < NAMED:
            self.names.append(name)

    def __str__(self) -> str:
        more = [f"and {self.count - len(self.names)} more"] if self.count > len(self.names) else []
        why = f" ({'; '.join(self.reasons)})" if self.reasons else ""
        return ", ".join([*self.names, *more]) + why


def seconds(time_s: Fraction) -> str:
    """A time to read."""
    return f"{float(time_s):.3f} s"
