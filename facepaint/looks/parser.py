"""Parse filters and looks as users write them."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from facepaint.errors import UsageError
from facepaint.looks.catalogue import CATALOGUE, Value
from facepaint.looks.look import FilterSpec, Look
from facepaint.looks.selection import EVERYONE, FaceSelection


def parse_look(texts: Iterable[str], selection: FaceSelection = EVERYONE) -> Look:
    """Parse the values of several ``--filter`` options; ``selection`` those are for that name no
    face themselves.

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
    """Parse one ``name@person:key=value,...``; the module's docstring has the grammar, `parse_look`
    the errors."""
    head, _, rest = text.partition(":")
    name, at, which = head.strip().partition("@")
    kind = CATALOGUE.get(name)
    if kind is None:
        near = difflib.get_close_matches(name, CATALOGUE, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(CATALOGUE)}"
        raise UsageError(f"unknown filter '{name}': {hint}")
    face = _face_number(which, text) if at else None
    bare_path = name == "sticker" and rest.partition("=")[0] not in {
        "path",
        *(option.name for option in kind.options),
    }
    words = next((option.name for option in kind.options if option.type == "text"), None)
    if bare_path:
        pairs: Sequence[tuple[str, str]] = [("path", rest)]
    elif words and rest and "=" not in rest.partition(",")[0]:
        pairs = [(words, rest)]
    else:
        pairs = _pairs(rest, text, words)
    options: dict[str, Value] = {option.name: option.default for option in kind.options}
    path = None
    for key, value in pairs:
        option = kind.option(key)
        if name == "sticker" and key == "path":
            path = value
        elif option is not None:
            options[key] = option.parse(value, f"filter {name}")
        else:
            allowed = ", ".join(option.name for option in kind.options if option.type != "sha256")
            raise UsageError(f"filter {name} has no option '{key}'; it has {allowed}")
    if name == "sticker" and not path and not options["sha256"]:
        raise UsageError("filter sticker needs a picture: sticker:FILE")
    return FilterSpec(name, options, face, path or None)


def _face_number(text: str, where: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"filter {where}: after @ comes the number of a person, 1 or more")
    return int(text)


def _pairs(text: str, where: str, words: str | None) -> Sequence[tuple[str, str]]:
    """The options and their values; the one called ``words`` takes the rest."""
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
