"""Texts and names for people."""

from facepaint.text import counted, first_and_more, unique_names


def test_a_noun_follows_its_number() -> None:
    assert counted(1, "frame missing") == "1 frame missing"
    assert counted(2, "frame missing") == "2 frames missing"
    assert counted(0, "face") == "0 faces"


def test_several_files_are_called_by_the_first() -> None:
    assert first_and_more(["a.jpg"]) == "a.jpg"
    assert first_and_more(["a.jpg", "b.jpg", "c.jpg"]) == "a.jpg and 2 more"


def test_a_number_makes_names_unique_in_any_case() -> None:
    assert unique_names(["a.mp4", "A.mp4", "a-2.mp4"]) == ["a.mp4", "A-2.mp4", "a-2-2.mp4"]
