"""The page about filters, `docs/filters.md`, from the catalogue."""

from facepaint.looks.catalogue import CATALOGUE, FilterKind, Option

INTRODUCTION = """# Filters

![Every filter on a drawn face](pictures/filters.jpg)

A filter is written `name` or `name:option=value,option=value`. Give `--filter` several times to
paint several, in that order: `--filter blur --filter sunglasses` puts sunglasses on a blurred
face. `name@2` is for person 2 only, by the numbers of `facepaint faces JOB`
([people](people.md)). `facepaint filters --preview filters.jpg` draws the picture above.

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

These are animated: {moving}. The animation depends only on the time since the start of the video,
so segments fit together. A still image shows its first moment.

Your own picture (`sticker:FILE`) may be a PNG, WebP or JPEG of up to 40 megapixels. It covers
the face's box; one much wider or higher than a face is not enlarged all the way, use `scale`. A
picture without transparency on a plain background loses this background, from its border
inwards; inside it nothing is touched. One whose border has many colours stays whole. Of an
animation the first picture is taken.

Stickers take the brightness of the scene around the face, so they do not glow in a dark picture.
Halo and flames keep their own.

`text` takes ASCII and the letters of Latin scripts. The words take the rest, commas and all, so
they come last: `text:Hello, world` or `text:place=forehead,colour=#202020,text=Hello, world`.

## Effects

`cartoon` and `heat` change the colours of the face; `big-eyes`, `big-mouth` and `tiny-face` distort
it. None of them makes a face unrecognizable.

## Redaction

`fill` replaces the face by one colour and leaves nothing of it: choose it where recognition
would harm someone. `blur` and `mosaic` replace it by a few averages. These keep enough to
recognise some people by comparison with known pictures; fewer tiles (`mosaic:size=3`, the
default is {tiles}) or a larger blur (`blur:size=1`) keep less. [Privacy](privacy.md) has the
measurements. Cells are at least 4 px wide, however small the face. At the default scale of 1.3
every pixel of the detector's box is covered; the soft edge lies outside of it.

A redaction also covers uncertain faces: `name@2` covers a face whose person is unknown. A frame
whose faces could not be detected is covered completely.
"""


def filters_page() -> str:
    """The whole page, in Markdown."""
    moving = ", ".join(f"`{kind.name}`" for kind in CATALOGUE.values() if kind.animated)
    size = CATALOGUE["mosaic"].option("size")
    assert size is not None
    return (
        f"{INTRODUCTION}\n## "
        f"Options\n\n{options_table()}\n{NOTES.format(moving=moving, tiles=_default(size))}"
    )


def options_table() -> str:
    """A row for each option of each filter, in Markdown."""
    rows = ["| filter | what it does | option | default | values | |", "|---|---|---|---|---|---|"]
    for kind in CATALOGUE.values():
        rows += _rows(kind)
    return "\n".join(rows) + "\n"


def _rows(kind: FilterKind) -> list[str]:
    # The hash of a stored sticker is filled in by the client, not by people.
    options = [option for option in kind.options if option.type != "sha256"]
    rows = []
    for number, option in enumerate(options):
        name, summary = (f"`{kind.name}`", kind.summary) if number == 0 else ("", "")
        rows.append(
            f"| {name} | {summary} | `{option.name}` | `{_default(option)}` | {_values(option)} "
            f"| {option.help} |"
        )
    return rows


def _default(option: Option) -> str:
    return f"{option.default:g}" if isinstance(option.default, float) else str(option.default)


def _values(option: Option) -> str:
    if option.type == "text":
        return f"{option.minimum:g} to {option.maximum:g} characters"
    if option.type == "number":
        return f"{option.minimum:g} to {option.maximum:g}"
    return " or ".join(f"`{choice}`" for choice in option.choices) or "a colour"
