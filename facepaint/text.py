"""Texts and names for people."""

import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import PurePath


def printable(text: str) -> str:
    """Text in one line without characters that control a terminal, for names of strangers.

    A newline, an escape sequence, or a mark that reverses the direction of the text could make a
    terminal show something else.
    """
    return "".join(char if _is_shown(char) else _escaped(char) for char in text)


def _is_shown(char: str) -> bool:
    # Cc: control characters; Cf: marks of direction and joiners; Cs: lone surrogates; Zl, Zp:
    # separators of lines. Joiners make emoji.
    return char == "\u200d" or unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def _escaped(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def cut_to_bytes(text: str, limit: int) -> str:
    """The beginning of a text that has at most so many bytes in UTF-8."""
    return text.encode("utf-8", "surrogateescape")[:limit].decode("utf-8", "ignore")


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
