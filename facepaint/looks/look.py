"""Looks: the filters of a rendering, with their canonical form and their id.

`facepaint.looks.parser` parses them as users write them. Pure: no file or storage is read here.
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
    """One filter of a look, with all its options.

    ``face`` is the number of the person of ``name@person``; None leaves it to ``selection``.
    ``path`` is the user's sticker file until the client has stored it; a stored look has none.
    """

    name: str
    options: dict[str, Value] = field(default_factory=dict, hash=False)
    face: int | None = None
    path: str | None = None
    selection: FaceSelection = EVERYONE

    def __post_init__(self) -> None:
        kind = CATALOGUE.get(self.name)
        if kind is None:
            raise ValueError(f"unknown filter '{self.name}'")
        for name, value in self.options.items():
            option = kind.option(name)
            if option is None:
                raise ValueError(f"filter {self.name} has no option '{name}'")
            # The checksum of a sticker is empty until the client has stored it.
            if value == option.default:
                continue
            try:
                option.parse(str(value), f"filter {self.name}")
            except UsageError as exc:
                raise ValueError(str(exc)) from exc

    @property
    def applies_to(self) -> FaceSelection:
        """The faces that it is painted on."""
        return self.selection if self.face is None else FaceSelection(only=(self.face,))

    @property
    def redacts(self) -> bool:
        """Whether the filter is a redaction."""
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
        # Stored by a version without this option: the default is what that version painted.
        option = CATALOGUE[self.name].option(name)
        assert option is not None, f"the catalogue lists no option {name} of {self.name}"
        return option.default

    @property
    def shorthand(self) -> str:
        """The filter as users write it: its name and its options other than the defaults."""
        defaults = {option.name: option.default for option in CATALOGUE[self.name].options}
        # Sorted; "text", the one option that must come last, is the last by name as well.
        changed = sorted(
            (name, value) for name, value in self.options.items() if value != defaults[name]
        )
        pairs = ",".join(f"{name}={value}" for name, value in changed)
        return f"{self.name}:{pairs}" if pairs else self.name

    def stored_as(self, sha256: str) -> "FilterSpec":
        """The filter with its sticker stored under that sha256."""
        return replace(self, options={**self.options, "sha256": sha256}, path=None)


@dataclass(frozen=True, slots=True)
class Look:
    """The filters that a job is rendered with, in order of painting."""

    filters: tuple[FilterSpec, ...]
    schema: Literal[1] = 1

    @property
    def redacts(self) -> bool:
        """Whether any filter is a redaction: then the job fails closed."""
        return any(spec.redacts for spec in self.filters)

    @property
    def people(self) -> tuple[int, ...]:
        """The people that it names, in order; if any, it is painted once tracking has finished."""
        return tuple(sorted({number for spec in self.filters for number in spec.applies_to.people}))

    @property
    def redacted_people(self) -> frozenset[int]:
        """The people that a redaction is limited to."""
        return frozenset(
            number for spec in self.filters if spec.redacts for number in spec.applies_to.only
        )

    @property
    def hold_s(self) -> float:
        """Seconds that faces stay covered before their first and after their last detection.

        It is the longest of all redactions, 0 without one.
        """
        return max((spec.number("hold") for spec in self.filters if spec.redacts), default=0.0)

    def require_regions_within(self, width: int, height: int) -> None:
        """Raise `UsageError` if a region lies outside of an upright frame of that size."""
        for spec in self.filters:
            for region in spec.applies_to.regions:
                if not region.intersects(width, height):
                    raise UsageError(
                        f"--region {region} lies outside of the frame, which is {width}x{height} px"
                    )

    def with_cover(self, cover: str | None) -> "Look":
        """The look with all redactions covering ``face`` or ``head``; None changes nothing.

        Raises:
            UsageError: ``cover`` is neither.
        """
        if cover is None:
            return self
        value = COVER.parse(cover, "--cover")
        filters = (
            replace(spec, options={**spec.options, "cover": value}) if spec.redacts else spec
            for spec in self.filters
        )
        return replace(self, filters=tuple(filters))

    @property
    def id(self) -> str:
        """The first 12 hex digits of the sha256 of the canonical form."""
        return hashlib.sha256(self.canonical()).hexdigest()[:12]

    @property
    def stickers(self) -> tuple[str, ...]:
        """The sha256 of every stored sticker image that the look uses."""
        return tuple(spec.text("sha256") for spec in self.filters if spec.name == "sticker")

    def canonical(self) -> bytes:
        """JSON with sorted keys and all defaults filled in: equal looks have equal bytes."""
        filters: list[dict[str, object]] = []
        for spec in self.filters:
            # Omitted where it selects everyone: ids from before there were selections stay valid.
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
        # The parser gives all filters without a person of their own the same selection.
        selection = next(
            (spec.selection for spec in self.filters if spec.selection != EVERYONE), EVERYONE
        )
        return f"{' + '.join(names)} {selection}".strip()
