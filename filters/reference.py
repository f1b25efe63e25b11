"""Generates `docs/filters.md` from the catalogue."""

from collections.abc import Iterable, Sequence

from facepaint.looks.catalogue import CATALOGUE, FilterKind, Option
from filters.stickers_table import STICKERS

INTRODUCTION = """# Filters

![Every filter on a drawn face](pictures/filters.jpg)

A filter is written `name` or `name:option=value,option=value`. Give `--filter` several times to
paint several, in that order: `--filter blur --filter sunglasses` puts sunglasses on a blurred
face. `name@2` applies to person 2 only; `facepaint faces JOB` lists the people and their numbers
([people](people.md)). `facepaint filters --preview filters.jpg` draws the image above.

```
facepaint run party.mp4 --filter party-hat --filter moustache:scale=1.2
facepaint run street.mp4 --filter mosaic:size=3,shape=box
facepaint run talk.mp4 --filter sticker:logo.png
facepaint run talk.mp4 --filter sticker:path=logo.png,scale=1.3,opacity=0.9
```
"""

NOTES = """## Stickers

Stickers follow the position, size, roll, yaw and pitch of the head. Near faces are painted over
far ones.

These are animated: {animated}.
The animation depends only on the time since the start of the video: segments join without a jump.
A still image shows the start of the animation.

Your own image (`sticker:FILE`) is a PNG, WebP or JPEG of up to 40 megapixels. It covers the face's
box. An image that is much wider or higher than a face is scaled up less; use `scale`. An
opaque image on a plain background loses this background where it reaches the border. An image whose
border has many colours stays whole. Of an animation, the first frame is used.

Stickers take the brightness of the scene around the face, so they do not glow in the dark.
{glowing} keep their own brightness.

`text` draws ASCII and the letters of Latin scripts. The words may contain commas, so they come
last: `text:Hello, world` or `text:place=forehead,colour=#202020,text=Hello, world`.

## Effects

`cartoon` and `heat` change the colours of the face; `big-eyes`, `big-mouth` and `tiny-face` distort
it. None of them makes a face unrecognizable.

## Redaction

`fill` replaces the face by one colour and leaves nothing of it: choose it where recognition would
harm someone. `blur` and `mosaic` replace the face by a few averages. These suffice to recognize
some people by comparison with known photographs. Fewer tiles (`mosaic:size=3`, the default is
{tiles}) or a larger blur (`blur:size=1`) keep less; [privacy](privacy.md) has the measurements.
Cells are at least 4 px wide, however small the face. At the default scale of 1.3 every pixel of the
detector's box is covered; the soft edge lies outside of it.

When the identity of a face is unknown, a redaction of `name@2` covers it. A frame whose faces could
not be detected is covered completely.
"""


def filters_page() -> str:
    """The page in Markdown."""
    animated = _listed(kind.name for kind in CATALOGUE.values() if kind.animated)
    glowing = _listed(name for name, layers in STICKERS.items() if any(x.glows for x in layers))
    size = CATALOGUE["mosaic"].option("size")
    assert size is not None
    notes = NOTES.format(animated=animated, glowing=glowing, tiles=_default(size))
    return f"{INTRODUCTION}\n## Filters and options\n\n{options_tables()}\n{notes}"


def options_tables() -> str:
    """Two tables for each group of filters, in Markdown: the filters, and their options.

    A group is the filters with the same first option: stickers, effects, text, redactions.
    """
    groups: dict[Option, list[FilterKind]] = {}
    for kind in CATALOGUE.values():
        groups.setdefault(_documented(kind)[0], []).append(kind)
    return "\n".join(_tables(kinds) for kinds in groups.values())


def _tables(kinds: Sequence[FilterKind]) -> str:
    rows = ["| filter | what it does |", "|---|---|"]
    rows += [f"| `{kind.name}` | {kind.summary} |" for kind in kinds]
    rows += ["", "| option | default | values | meaning |", "|---|---|---|---|"]
    for option in dict.fromkeys(option for kind in kinds for option in _documented(kind)):
        owners = [kind.name for kind in kinds if option in kind.options]
        name = f"`{option.name}`"
        if len(owners) < len(kinds):
            name += f" of {_listed(owners)}"
        rows.append(f"| {name} | `{_default(option)}` | {_values(option)} | {option.help} |")
    return "\n".join(rows) + "\n"


def _documented(kind: FilterKind) -> Sequence[Option]:
    # The client fills in the hash of a stored sticker; users never write it.
    return [option for option in kind.options if option.type != "sha256"]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _default(option: Option) -> str:
    return f"{option.default:g}" if isinstance(option.default, float) else str(option.default)


def _values(option: Option) -> str:
    if option.type == "text":
        return f"{option.minimum:g} to {option.maximum:g} characters"
    if option.type == "number":
        return f"{option.minimum:g} to {option.maximum:g}"
    return " or ".join(f"`{choice}`" for choice in option.choices) or "a colour"
