"""Texts and names for people."""

from collections.abc import Iterable
from pathlib import PurePath


def unique_names(names: Iterable[str]) -> list[str]:
    """File names or paths in their order; those that repeat, in any case, get a number."""
    chosen: list[str] = []
    taken: set[str] = set()
    for name in names:
        path, choice, number = PurePath(name), name, 1
        while choice.casefold() in taken:
            number += 1
            choice = str(path.with_name(f"{path.stem}-{number}{path.suffix}"))
        taken.add(choice.casefold())
        chosen.append(choice)
    return chosen
