"""The paths of results are chosen, or refused, before any work is done."""

from pathlib import Path

import pytest

from facepaint.cli.batch import Batch, Item
from facepaint.errors import InputError, UsageError


def videos(*names: str) -> Batch:
    return Batch([Item((Path(name),), images=False) for name in names])


def test_one_result_is_saved_at_the_given_path(tmp_path: Path) -> None:
    assert videos("a.mp4").targets(tmp_path / "out.mp4") == [tmp_path / "out.mp4"]
    (in_folder,) = videos("a.mp4").targets(tmp_path)
    assert in_folder.parent == tmp_path


def test_results_of_the_same_name_are_numbered(tmp_path: Path) -> None:
    """Clips off two cameras, and one clip in two formats."""
    names = [
        path.name for path in videos("x/a.mp4", "y/A.mp4", "y/a.mov", "b.mp4").targets(tmp_path)
    ]
    assert names == ["a-painted.mp4", "A-painted-2.mp4", "a-painted-3.mp4", "b-painted.mp4"]


@pytest.mark.parametrize(
    ("names", "out", "message"),
    [
        (("a.mp4",), "there.mp4", "add --overwrite"),
        (("a.mp4",), "no/such/out.mp4", "there is no folder"),
        (("a.mp4", "b.mp4"), "out.mp4", "do not fit in one file"),
    ],
)
def test_a_path_that_cannot_be_written_is_refused(
    tmp_path: Path, names: tuple[str, ...], out: str, message: str
) -> None:
    (tmp_path / "there.mp4").touch()
    with pytest.raises(UsageError, match=message):
        videos(*names).targets(tmp_path / out)


@pytest.mark.parametrize("out", ["out.mp4", "results"])
def test_without_a_good_input_no_folder_is_created(tmp_path: Path, out: str) -> None:
    batch = Batch([], [InputError("a.mp4 is empty")])
    assert batch.targets(tmp_path / out) == []
    assert not list(tmp_path.iterdir())


def test_a_bad_input_counts_as_one_of_several(tmp_path: Path) -> None:
    batch = Batch([Item((Path("a.mp4"),), images=False)], [InputError("b.mp4 is empty")])
    assert batch.targets(tmp_path / "results") == [tmp_path / "results" / "a-painted.mp4"]
    assert batch.targets(tmp_path / "out.mp4") == [tmp_path / "out.mp4"]
