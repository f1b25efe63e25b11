"""Looks: which filters a job is painted with. The parser and the canonical form.

A filter is written ``name:key=value,key=value``; ``name@2`` paints person 2 only, by the numbers of
``tracks.json``; several filters are painted in the order given. ``sticker:PATH`` takes the rest as
a path, ``text:WORDS`` and
``text=WORDS`` as words.
`facepaint.looks.catalogue` says which filters there are. Pure: nothing here reads a file or the
storage.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from facepaint.errors import UsageError
from facepaint.looks.catalogue import CATALOGUE, COVER, Value
from facepaint.looks.selection import EVERYONE, FaceSelection


@dataclass(frozen=True, slots=True)
class FilterSpec:
    """One filter as asked for, defaults filled in.

    ``face`` is the number of the one person to paint, None where ``selection`` says who is.
    ``path`` is the user's sticker file while the client has not stored it yet; a stored look has
    none.
    """

    name: str
    options: dict[str, Value] = field(default_factory=dict, hash=False)
    face: int | None = None
    path: str | None = None
    selection: FaceSelection = EVERYONE

    @property
    def applies_to(self) -> FaceSelection:
        """The faces it is for."""
        return self.selection if self.face is None else FaceSelection(only=(self.face,))

    @property
    def redacts(self) -> bool:
        """Whether this filter is there to hide the face."""
        return CATALOGUE[self.name].redacts

    def number(self, option: str) -> float:
        """A numeric option's value."""
        return float(self._option(option))

    def text(self, option: str) -> str:
        """A textual option's value."""
        return str(self._option(option))

    def _option(self, name: str) -> Value:
        if name in self.options:
            return self.options[name]
        # A look stored before there was this option means what it is by default.
        option = CATALOGUE[self.name].option(name)
        assert option is not None
        return option.default

    @property
    def shorthand(self) -> str:
        """The filter as one asks for it, without whom it is for: its name and what is not as by
        default."""
        defaults = {option.name: option.default for option in CATALOGUE[self.name].options}
        others = {name: value for name, value in self.options.items() if value != defaults[name]}
        pairs = (f"{name}={value}" for name, value in sorted(others.items()))
        return f"{self.name}:{','.join(pairs)}" if others else self.name

    def stored_as(self, sha256: str) -> "FilterSpec":
        """The same filter once its sticker is stored under that sha256."""
        return replace(self, options={**self.options, "sha256": sha256}, path=None)


@dataclass(frozen=True, slots=True)
class Look:
    """The filters a job is painted with, in order of painting."""

    filters: tuple[FilterSpec, ...]
    schema: Literal[1] = 1

    @property
    def redacts(self) -> bool:
        """Whether any filter hides: then what is in doubt is covered, and failures become blank
        pictures."""
        return any(spec.redacts for spec in self.filters)

    @property
    def people(self) -> tuple[int, ...]:
        """The people it selects, in order: such a look can be painted once people are tracked
        in the video."""
        return tuple(sorted({number for spec in self.filters for number in spec.applies_to.people}))

    @property
    def redacted_people(self) -> frozenset[int]:
        """The people whom, and nobody else, a filter that hides is for."""
        return frozenset(
            number for spec in self.filters if spec.redacts for number in spec.applies_to.only
        )

    @property
    def hold_s(self) -> float:
        """Seconds for which faces stay hidden before they are first and after they are last seen; 0
        for stickers."""
        return max((spec.number("hold") for spec in self.filters if spec.redacts), default=0.0)

    def require_regions_within(self, width: int, height: int) -> None:
        """Raise `UsageError` if a region lies beyond an upright frame of that size: nobody would
        ever be in it."""
        for region in (region for spec in self.filters for region in spec.applies_to.regions):
            if not region.intersects(width, height):
                raise UsageError(
                    f"--region {region} lies beyond the picture, which is {width}x{height} px"
                )

    def with_cover(self, cover: str | None) -> "Look":
        """The same with every filter that hides covering ``face`` or ``head``; None leaves them as
        they are.

        Raises:
            UsageError: it is neither.
        """
        if cover is None:
            return self
        value = COVER.parse(cover, "--cover")
        specs = (
            replace(s, options={**s.options, "cover": value}) if s.redacts else s
            for s in self.filters
        )
        return replace(self, filters=tuple(specs))

    @property
    def id(self) -> str:
        """The first 12 hex digits of the sha256 of the canonical form."""
        return hashlib.sha256(self.canonical()).hexdigest()[:12]

    @property
    def stickers(self) -> tuple[str, ...]:
        """The sha256 of every stored sticker picture this look uses."""
        return tuple(spec.text("sha256") for spec in self.filters if spec.name == "sticker")

    def canonical(self) -> bytes:
        """JSON with sorted keys and every default filled in: equal looks have equal bytes."""
        filters: list[dict[str, object]] = []
        for spec in self.filters:
            selection = {} if spec.selection == EVERYONE else {"selection": asdict(spec.selection)}
            filters.append(
                {
                    "name": spec.name,
                    "face": spec.face,
                    "options": dict(sorted(spec.options.items())),
                    **selection,
                }
            )
        return json.dumps({"filters": filters}, sort_keys=True, separators=(",", ":")).encode()

    def __str__(self) -> str:
        names = (
            spec.name if spec.face is None else f"{spec.name}@{spec.face}" for spec in self.filters
        )
        selection = next(
            (spec.selection for spec in self.filters if spec.selection != EVERYONE), EVERYONE
        )
        return f"{' + '.join(names)} {selection}".strip()
