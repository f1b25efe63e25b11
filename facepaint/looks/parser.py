"""Parses filters and looks as users write them.

A filter is ``name`` or ``name:key=value,key=value``. ``name@2`` applies to person 2 only.
``sticker:PATH`` and ``text:WORDS`` are short for ``sticker:path=PATH`` and ``text:text=WORDS``.
"""

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
        texts: the filters, in order of painting.
        selection: the faces of the filters that name no person themselves.

    Raises:
        UsageError: no filter, an unknown one (the message names the nearest), an unknown option, or
            a value out of range.
    """
    specs = (parse_filter(text) for text in texts)
    look = Look(tuple(spec if spec.face else replace(spec, selection=selection) for spec in specs))
    if not look.filters:
        raise UsageError("no filter given; `facepaint filters` lists them")
    return look


def parse_filter(text: str) -> FilterSpec:
    """Parse one filter.

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
        raise UsageError("filter sticker needs an image: sticker:FILE")
    return FilterSpec(name, options, face, path or None)


def _kind(name: str) -> FilterKind:
    kind = CATALOGUE.get(name)
    if kind is None:
        near = difflib.get_close_matches(name, CATALOGUE, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"available: {', '.join(CATALOGUE)}"
        raise UsageError(f"unknown filter '{name}': {hint}")
    return kind


def _unknown_option(kind: FilterKind, key: str) -> UsageError:
    # The client fills in the checksum; users never write it.
    allowed = ", ".join(option.name for option in kind.options if option.type != "sha256")
    return UsageError(f"filter {kind.name} has no option '{key}'; it has {allowed}")


def _assignments(kind: FilterKind, rest: str, where: str) -> Sequence[tuple[str, str]]:
    """The options behind a filter's name, with their values."""
    names = {option.name for option in kind.options}
    # A path may contain any character: only a known option before the first "=" is none.
    if kind.name == "sticker" and rest.partition("=")[0] not in {"path", *names}:
        return [("path", rest)]
    text_option = next((option.name for option in kind.options if option.type == "text"), None)
    if text_option and rest and "=" not in rest.partition(",")[0]:
        return [(text_option, rest)]
    return _pairs(rest, where, text_option)


def _face_number(text: str, where: str) -> int:
    # Not int() alone, which accepts " 2", "+2" and "1_0".
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"filter {where}: after @ comes the number of a person, 1 or more")
    return int(text)


def _pairs(text: str, where: str, text_option: str | None) -> Sequence[tuple[str, str]]:
    """The options and their values; ``text_option`` takes the rest, commas included."""
    pairs: list[tuple[str, str]] = []
    rest = text
    while rest:
        pair, _, after = rest.partition(",")
        key, equals, value = pair.partition("=")
        if equals and key.strip() == text_option:
            return [*pairs, (key.strip(), rest.partition("=")[2])]
        if equals:
            pairs.append((key.strip(), value.strip()))
        elif pair.strip():
            raise UsageError(f"filter {where}: '{pair.strip()}' is not key=value")
        rest = after
    return pairs
