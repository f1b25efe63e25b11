"""The syntax of filters, its error messages, and ids of looks that never change."""

import contextlib
import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facepaint.errors import UsageError
from facepaint.looks.catalogue import CATALOGUE, Option
from facepaint.looks.look import FilterSpec, Look
from facepaint.looks.parser import parse_filter, parse_look
from facepaint.records.codec import decode, encode

SHA = "0f" * 32


def test_the_catalogue_has_the_promised_filters() -> None:
    redactions = {name for name, kind in CATALOGUE.items() if kind.redacts}
    others = set(CATALOGUE) - redactions
    assert redactions == {"blur", "mosaic", "fill"}
    assert {"sunglasses", "moustache", "party-hat", "dog", "crown", "me-gusta", "sticker"} <= others
    assert {"cartoon", "heat", "big-eyes", "big-mouth", "tiny-face", "text"} <= others


@pytest.mark.parametrize(
    ("text", "name", "options", "face"),
    [
        ("sunglasses", "sunglasses", {}, None),
        ("sunglasses:", "sunglasses", {}, None),
        (" crown : scale = 2 ", "crown", {"scale": 2.0}, None),
        ("dog@2", "dog", {}, 2),
        ("dog@12:opacity=.5,scale=1e0", "dog", {"opacity": 0.5, "scale": 1.0}, 12),
        ("blur:shape=BOX,,scale=1.5,", "blur", {"shape": "box", "scale": 1.5}, None),
        ("fill:colour=#FF8800", "fill", {"colour": "#ff8800"}, None),
        ("crown:scale=2,scale=3", "crown", {"scale": 3.0}, None),
        (f"sticker:sha256={SHA.upper()}", "sticker", {"sha256": SHA}, None),
    ],
)
def test_filters_parse_to_their_options(
    text: str, name: str, options: dict[str, Any], face: int | None
) -> None:
    spec = parse_filter(text)
    defaults = {option.name: option.default for option in CATALOGUE[name].options}
    assert spec == FilterSpec(name, {**defaults, **options}, face)


@pytest.mark.parametrize(
    ("text", "path", "scale"),
    [
        ("sticker:cat.png", "cat.png", 1.0),
        ("sticker:/tmp/my cats/a,b=c.png", "/tmp/my cats/a,b=c.png", 1.0),
        ("sticker:C:\\pictures\\cat.png", "C:\\pictures\\cat.png", 1.0),
        ("sticker:path=cat.png,scale=1.2", "cat.png", 1.2),
        ("sticker:scale=1.2,path=cat.png", "cat.png", 1.2),
        ("sticker@2:cat.png", "cat.png", 1.0),
    ],
)
def test_a_sticker_takes_a_path(text: str, path: str, scale: float) -> None:
    spec = parse_filter(text)
    assert (spec.path, spec.number("scale")) == (path, scale)
    stored = spec.stored_as(SHA)
    assert (stored.path, stored.text("sha256"), stored.number("scale")) == (None, SHA, scale)
    assert Look((stored,)).stickers == (SHA,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sunglases", "unknown filter 'sunglases': did you mean 'sunglasses'?"),
        ("mustache", "unknown filter 'mustache': did you mean 'moustache'?"),
        ("partyhat", "unknown filter 'partyhat': did you mean 'party-hat'?"),
        ("Blur", "unknown filter 'Blur': did you mean 'blur'?"),
        ("zzz", f"unknown filter 'zzz': available: {', '.join(CATALOGUE)}"),
        ("", f"unknown filter '': available: {', '.join(CATALOGUE)}"),
        ("crown:scale=0.09", "filter crown: scale=0.09 is not between 0.1 and 5"),
        ("crown:scale=5.1", "filter crown: scale=5.1 is not between 0.1 and 5"),
        ("crown:scale=nan", "filter crown: scale=nan is not between 0.1 and 5"),
        ("crown:scale=big", "filter crown: scale=big is not a number"),
        ("crown:colour=#ffffff", "filter crown has no option 'colour'; it has scale, opacity"),
        ("crown:scale", "filter crown:scale: 'scale' is not key=value"),
        ("blur:shape=star", "filter blur: shape=star is not one of ellipse, box"),
        ("fill:colour=red", "filter fill: colour=red is not a colour like #ff8800"),
        ("sticker:sha256=12", "filter sticker: sha256=12 is not a sha256 in hexadecimal"),
        ("sticker", "filter sticker needs an image: sticker:FILE"),
        ("sticker:", "filter sticker needs an image: sticker:FILE"),
        ("sticker:scale=2", "filter sticker needs an image: sticker:FILE"),
        ("sticker:path=a.png,size=2", "filter sticker has no option 'size'; it has scale, opacity"),
        ("dog@0", "filter dog@0: after @ comes the number of a person, 1 or more"),
        ("dog@x", "filter dog@x: after @ comes the number of a person, 1 or more"),
        ("dog@", "filter dog@: after @ comes the number of a person, 1 or more"),
    ],
)
def test_errors_in_a_filter_are_one_line(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_filter(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("filter_name", "option"),
    [(kind.name, option) for kind in CATALOGUE.values() for option in kind.options],
)
def test_options_accept_their_default_and_bounds_and_nothing_beyond(
    filter_name: str, option: Option
) -> None:
    if option.type == "text":
        with pytest.raises(UsageError, match="characters, not 1 to 40"):
            option.parse("x" * 41, filter_name)
    if option.type != "number":
        assert (
            option.type == "sha256"
            or option.parse(str(option.default), filter_name) == option.default
        )
        return
    assert option.minimum <= float(option.default) <= option.maximum
    for bound in (option.minimum, option.maximum):
        assert option.parse(str(bound), filter_name) == bound
    for outside in (option.minimum - 0.001, option.maximum + 0.001):
        with pytest.raises(UsageError, match="is not between"):
            option.parse(str(outside), filter_name)


def test_several_filters_keep_their_order() -> None:
    look = parse_look(["blur@2", "crown"])
    assert [spec.name for spec in look.filters] == ["blur", "crown"]
    assert look.redacts
    assert str(look) == "blur@2 + crown"
    assert not parse_look(["crown", "dog"]).redacts
    with pytest.raises(UsageError, match="no filter given; `facepaint filters` lists them"):
        parse_look([])


def test_equal_looks_have_equal_ids() -> None:
    spellings = ["crown:scale=1,opacity=1.0", "crown:opacity=1", " crown", "crown:scale=1e0"]
    assert len({parse_look([text]).id for text in spellings}) == 1
    different = ["crown", "crown@1", "crown:scale=1.1", "dog", f"sticker:sha256={SHA}"]
    looks = [parse_look([text]) for text in different] + [
        parse_look(["crown", "dog"]),
        parse_look(["dog", "crown"]),
    ]
    assert len({look.id for look in looks}) == len(looks)


@pytest.mark.parametrize(
    ("texts", "look_id"),
    [
        (["sunglasses"], "8f9152d29174"),
        (["blur:shape=box,size=0.5"], "2044af7376ce"),
        (["dog@2", "fill:colour=#ff8800"], "29b0e1f4416f"),
    ],
)
def test_ids_of_looks_never_change(texts: list[str], look_id: str) -> None:
    """Painted segments are stored under them: a change would orphan the objects of every bucket."""
    assert parse_look(texts).id == look_id


def test_a_stored_look_without_a_newer_option_uses_its_default_and_keeps_its_id() -> None:
    older = FilterSpec("blur", {"scale": 1.3, "shape": "box", "size": 0.5})
    assert Look((older,)).id == "325993c09fef"
    assert (older.text("cover"), older.number("hold")) == ("face", 0.3)


def test_the_shorthand_of_a_filter_is_what_users_write() -> None:
    for text in (
        "blur",
        "blur:cover=head",
        "mosaic:cover=head,hold=0.5",
        "fill:colour=#ff8800",
        "dog:scale=1.2",
    ):
        spec = parse_filter(text)
        assert spec.shorthand == text
    assert parse_filter("dog@2:scale=1").shorthand == "dog", "without the person and defaults"


def test_cover_applies_to_all_redactions() -> None:
    look = parse_look(["blur", "sunglasses", "fill:cover=face"])
    assert look.with_cover(None) == look
    assert [spec.options.get("cover") for spec in look.with_cover("head").filters] == [
        "head",
        None,
        "head",
    ]
    with pytest.raises(UsageError, match="cover=body is not one of face, head"):
        look.with_cover("body")


def test_hold_of_a_look_is_the_longest_of_its_redactions() -> None:
    assert parse_look(["blur:hold=0.1", "fill:hold=0.6", "dog"]).hold_s == 0.6
    assert parse_look(["dog"]).hold_s == 0.0


def test_an_id_is_a_hash_of_the_canonical_form() -> None:
    look = parse_look(["dog@2:scale=2"])
    assert look.id == hashlib.sha256(look.canonical()).hexdigest()[:12]
    filters = [{"face": 2, "name": "dog", "options": {"opacity": 1.0, "scale": 2.0}}]
    assert json.loads(look.canonical()) == {"filters": filters}


def test_the_path_of_a_sticker_does_not_change_the_id() -> None:
    spec = parse_filter("sticker:cat.png").stored_as(SHA)
    assert Look((spec,)).id == Look((replace(spec, path="/elsewhere/cat.png"),)).id


@given(st.sampled_from(sorted(CATALOGUE)), st.integers(1, 9) | st.none(), st.floats(1.0, 3.0))
def test_a_stored_look_reads_back_with_its_id(name: str, face: int | None, scale: float) -> None:
    at = f"@{face}" if face else ""
    sticker = f"sha256={SHA}," if name == "sticker" else ""
    look = parse_look([f"{name}{at}:{sticker}scale={scale!r}"])
    again = decode(Look, encode(look), "key")
    assert again == look
    assert again.id == look.id


@given(st.text(max_size=40))
def test_any_text_is_a_filter_or_a_usage_error(text: str) -> None:
    for given_text in (text, f"blur:{text}", f"dog@{text}"):
        with contextlib.suppress(UsageError):
            assert parse_filter(given_text).name in CATALOGUE


@pytest.mark.parametrize(
    ("given_text", "words"),
    [
        ("text", "HELLO"),
        ("text:Hello, world", "Hello, world"),
        ("text:place=forehead,text=2 + 2 = 4, really", "2 + 2 = 4, really"),
        ("text@2: Zo\u0065\u0308 , a=b ", "Zo\u00eb , a=b"),
        ("text:scale=2", "HELLO"),
        ("text:scale=2,text=a, scale=3", "a, scale=3"),
    ],
)
def test_words_take_the_rest(given_text: str, words: str) -> None:
    spec = parse_filter(given_text)
    assert spec.text("text") == words
    assert parse_filter(spec.shorthand).options == spec.options


@pytest.mark.parametrize(
    ("given_text", "message"),
    [
        ("text:text=", "filter text: text has 0 characters, not 1 to 40"),
        ("text:" + 41 * "x", "filter text: text has 41 characters, not 1 to 40"),
        (
            "text:a\u0007b \u5b57",
            "filter text: text has characters that cannot be drawn: U+0007 \u5b57",
        ),
        (
            "text:color=#ffffff",
            "filter text has no option 'color'; it has colour, background, place, scale, "
            "opacity, text",
        ),
    ],
)
def test_words_that_cannot_be_drawn_are_refused(given_text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_filter(given_text)
    assert str(caught.value) == message
