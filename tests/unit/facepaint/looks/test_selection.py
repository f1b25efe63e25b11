"""Face selections: how they parse, which faces match, and that redactions fail closed."""

from dataclasses import replace

import pytest

from facepaint.cli.options import chosen_look
from facepaint.errors import UsageError
from facepaint.looks.look import Look
from facepaint.looks.parser import parse_look
from facepaint.looks.selection import EVERYONE, FaceSelection, Region, parse_selection
from facepaint.records.codec import decode, encode
from filters.face import Face
from filters.registry import make_painter
from tests.support.filter_cases import copy, noise, same

SIZE = (200, 100)
LEFT, RIGHT, ACROSS = (
    (10.0, 20.0, 50.0, 60.0),
    (140.0, 20.0, 180.0, 60.0),
    (85.0, 20.0, 125.0, 60.0),
)


def test_people_are_listed_in_one_or_several_options() -> None:
    assert parse_selection(keep=["2", " 1 , 3", "2"]).keep == (1, 2, 3)
    assert parse_selection(only=["4"]) == FaceSelection(only=(4,))
    assert parse_selection() == EVERYONE


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("0,0,50%,100%", Region(0, 0, "50%", "100%")),
        (" 10, 20.5 ,30,40", Region(10, 20.5, 30, 40)),
        ("0%,0.%,33.3%,9", Region(0, 0, "33.3%", 9)),
    ],
)
def test_regions_are_in_px_or_percent(text: str, region: Region) -> None:
    assert parse_selection(regions=[text]) == FaceSelection(regions=(region,))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"keep": ["0"]},
            "--keep 0: people are numbered from 1; `facepaint faces JOB` lists them",
        ),
        ({"only": ["1,"]}, "--only 1,: people are numbered from 1"),
        ({"only": ["Ann"]}, "--only Ann: people are numbered from 1"),
        ({"keep": ["1"], "only": ["2"]}, "give one of the two"),
        (
            {"regions": ["1,2,3"]},
            "--region 1,2,3: expected x,y,width,height in px of the upright frame or in percent",
        ),
        ({"regions": ["1,2,0,4"]}, "--region 1,2,0,4: expected"),
        ({"regions": ["-1,2,3,4"]}, "--region -1,2,3,4: expected"),
        ({"regions": ["1,2,inf,4"]}, "--region 1,2,inf,4: expected"),
    ],
)
def test_errors_in_a_selection_are_one_line(options: dict[str, list[str]], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_selection(**options)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("selection", "identity", "redacted", "painted"),
    [
        (EVERYONE, None, True, True),
        (EVERYONE, 1, True, True),
        (FaceSelection(keep=(1, 2)), 2, False, False),
        (FaceSelection(keep=(1, 2)), 3, True, True),
        (FaceSelection(keep=(1,)), None, True, False),
        (FaceSelection(only=(1,)), 1, True, True),
        (FaceSelection(only=(1,)), 2, False, False),
        (FaceSelection(only=(1,)), None, True, False),
    ],
)
def test_a_face_of_unknown_identity_is_redacted_but_gets_no_sticker(
    selection: FaceSelection, identity: int | None, redacted: bool, painted: bool
) -> None:
    assert selection.matches(identity, LEFT, SIZE, redacts=True) == redacted
    assert selection.matches(identity, LEFT, SIZE, redacts=False) == painted


def test_redactions_need_a_face_to_touch_the_region_and_stickers_its_centre() -> None:
    half = parse_selection(regions=["0,0,50%,100%"])
    assert [half.matches(None, box, SIZE, redacts=True) for box in (LEFT, ACROSS, RIGHT)] == [
        True,
        True,
        False,
    ]
    assert [half.matches(None, box, SIZE, redacts=False) for box in (LEFT, ACROSS, RIGHT)] == [
        True,
        False,
        False,
    ]
    assert half.matches(None, (105.0, 0.0, 120.0, 9.0), SIZE, margin=6, redacts=True), (
        "by its margin, it may be further left"
    )
    beyond = (-40.0, -30.0, 10.0, 20.0)
    assert half.matches(None, beyond, SIZE, redacts=False), (
        "a region at the edge of the frame extends beyond it"
    )
    both = parse_selection(only=["1"], regions=["0,0,50%,100%", "140,0,60,100"])
    assert [both.matches(1, box, SIZE, redacts=False) for box in (LEFT, ACROSS, RIGHT)] == [
        True,
        False,
        True,
    ]
    assert not both.matches(2, LEFT, SIZE, redacts=True)


def test_filters_with_a_person_of_their_own_ignore_the_selection() -> None:
    look = parse_look(["fill", "crown@2"], FaceSelection(keep=(1,)))
    assert [spec.applies_to for spec in look.filters] == [
        FaceSelection(keep=(1,)),
        FaceSelection(only=(2,)),
    ]
    assert look.people == (1, 2)
    assert str(look) == "fill + crown@2 without 1"
    assert (
        str(parse_look(["dog"], parse_selection(only=["2"], regions=["0,0,50%,9"])))
        == "dog only 2 in 0,0,50%,9"
    )
    assert parse_look(["dog"], parse_selection(regions=["0,0,9,9"])).people == ()
    with pytest.raises(UsageError, match="all of yours have one"):
        chosen_look(["dog@1"], ["2"], [], [], None)
    with pytest.raises(UsageError, match="--cover head needs a redaction"):
        chosen_look(["dog"], [], [], [], "head")
    assert chosen_look(["dog", "blur"], [], [], [], "head").filters[1].options["cover"] == "head"


def test_the_selection_is_part_of_the_id_of_a_look() -> None:
    selections = [
        EVERYONE,
        FaceSelection(keep=(1,)),
        FaceSelection(only=(1,)),
        FaceSelection(keep=(1, 2)),
        parse_selection(regions=["0,0,50%,50%"]),
    ]
    looks = [parse_look(["fill"], selection) for selection in selections]
    assert len({look.id for look in looks}) == len(looks)
    assert parse_look(["crown"], EVERYONE).id == parse_look(["crown"]).id
    spelled = [
        parse_look(["crown"], parse_selection(regions=[text]))
        for text in ("0,0,50%,9", "0%, 0, 50.0%, 9.0")
    ]
    assert spelled[0].id == spelled[1].id
    for look in looks:
        again = decode(Look, encode(look), "key")
        assert (again, again.id) == (look, look.id)


def test_a_painter_paints_the_selected_faces_only() -> None:
    before = noise(*SIZE)
    faces = [Face(LEFT, (), 0.9, 1), Face(RIGHT, (), 0.9, 2)]
    for selection, left, right in (
        (FaceSelection(keep=(1,)), False, True),
        (FaceSelection(only=(1,)), True, False),
        (parse_selection(regions=["70%,0,30%,100%"]), False, True),
    ):
        painter = replace(make_painter(parse_look(["fill:shape=box"], selection), {}), size=SIZE)
        frame = copy(before)
        painter.paint(frame, faces)
        assert bool((frame.y[30:50, 20:40] != before.y[30:50, 20:40]).any()) == left
        assert bool((frame.y[30:50, 150:170] != before.y[30:50, 150:170]).any()) == right
        assert painter.touches(faces)
    absent = make_painter(parse_look(["crown"], FaceSelection(only=(3,))), {})
    assert not absent.touches(faces)
    frame = copy(before)
    assert absent.paint(frame, faces) == []
    assert same(frame, before)
