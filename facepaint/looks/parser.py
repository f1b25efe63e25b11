"""Parse filters and looks as users write them."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from facepaint.errors import UsageError
from facepaint.looks.catalogue import CATALOGUE, FilterKind, Value
from facepaint.looks.look import FilterSpec, Look
from facepaint.looks.selection import EVERYONE, FaceSelection


def parse_look(texts: Iterable[str], selection: FaceSelection = EVERYONE) -> Look:
    """Parse the values of several ``--filter`` options.

    Args:
        selection: the faces of the filters that name no person themselves.

    Raises:
        UsageError: an unknown filter (naming the nearest), an unknown option, a value out of range,
            or no filter.
    """
    specs = (parse_filter(text) for text in texts)
    look = Look(tuple(spec if spec.face else replace(spec, selection=selection) for spec in specs))
    if not look.filters:
        raise UsageError("no filter given; `facepaint filters` lists them")
    return look


def parse_filter(text: str) -> FilterSpec:
    """Parse one ``name@person:key=value,...``.

    A sticker takes the rest as its file, and a text its words, if no option is named.

    Raises:
        UsageError: see `parse_look`.
    """
    head, _, rest = text.partition(":")
    name, at, person = head.strip().partition("@")
    kind = _kind(name)
    face = _face_number(person, text) if at else None
    options: dict[str, Value] = {option.name: option.default for option in kind.options}
    path = None
    for key, value in _assignments(kind, rest, text):
        option = kind.option(key)
        if name == "sticker" and key == "path":
            path = value
        elif option is not None:
            options[key] = option.parse(value, f"filter {name}")
        else:
            raise _unknown_option(kind, key)
    if name == "sticker" and not path and not options["sha256"]:
        raise UsageError("filter sticker needs a picture: sticker:FILE")
    return FilterSpec(name, options, face, path or None)


def _kind(name: str) -> FilterKind:
    kind = CATALOGUE.get(name)
    if kind is None:
        near = difflib.get_close_matches(name, CATALOGUE, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(CATALOGUE)}"
        raise UsageError(f"unknown filter '{name}': {hint}")
    return kind


def _unknown_option(kind: FilterKind, key: str) -> UsageError:
    # The checksum is filled in from the file; nobody writes it.
    allowed = ", ".join(option.name for option in kind.options if option.type != "sha256")
    return UsageError(f"filter {kind.name} has no option '{key}'; it has {allowed}")


def _assignments(kind: FilterKind, rest: str, where: str) -> Sequence[tuple[str, str]]:
    """The options that are written behind a filter's name, with their values."""
    names = {option.name for option in kind.options}
    if kind.name == "sticker" and rest.partition("=")[0] not in {"path", *names}:
        return [("path", rest)]
    words = next((option.name for option in kind.options if option.type == "text"), None)
    if words and rest and "=" not in rest.partition(",")[0]:
        return [(words, rest)]
    return _pairs(rest, where, words)


def _face_number(text: str, where: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"filter {where}: after @ comes the number of a person, 1 or more")
    return int(text)


def _pairs(text: str, where: str, words: str | None) -> Sequence[tuple[str, str]]:
    """The options and their values. The option ``words`` takes the rest, commas included."""
    pairs: list[tuple[str, str]] = []
    rest = text
    while rest:
        part, _, after = rest.partition(",")
        key, equals, value = part.partition("=")
        if words and key.strip() == words and equals:
            return [*pairs, (words, rest.partition("=")[2])]
        if part.strip() and not equals:
            raise UsageError(f"filter {where}: '{part.strip()}' is not key=value")
        if equals:
            pairs.append((key.strip(), value.strip()))
        rest = after
    return pairs
