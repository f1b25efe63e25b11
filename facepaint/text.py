"""Texts and names for people."""

from collections.abc import Iterable, Sequence
from pathlib import PurePath


def counted(count: int, what: str) -> str:
    """A number with its noun, which comes first in ``what``: "1 frame missing", "2 faces"."""
    noun, space, rest = what.partition(" ")
    return f"{count} {noun if count == 1 else noun + 's'}{space}{rest}"


def first_and_more(names: Sequence[str]) -> str:
    """A short name for several files: "a.jpg", "a.jpg and 3 more"."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def unique_names(names: Iterable[str]) -> list[str]:
    """File names or paths in their order; those that repeat, in any case, get a number."""
    chosen: list[str] = []
    taken: set[str] = set()
    for name in names:
        path, choice, number = PurePath(name), name, 1
        # Not only the names given count: "a-2.mp4" may be taken by one of them.
        while choice.casefold() in taken:
            number += 1
            choice = str(path.with_name(f"{path.stem}-{number}{path.suffix}"))
        taken.add(choice.casefold())
        chosen.append(choice)
    return chosen
