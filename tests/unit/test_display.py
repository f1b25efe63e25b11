"""The bars that a person sees on a terminal of 80 columns."""

import io

import pytest
from rich.console import Console

from facepaint.display import Bars


def drawn(bars: Bars) -> list[str]:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(bars._progress.get_renderable())
    return [line.rstrip() for line in capture.get().splitlines()]


def test_a_small_file_says_how_much_of_it_is_there() -> None:
    bars = Bars()
    bars.uploaded(350_000, 700_000)
    bars.saved(1, 4)
    half, quarter = drawn(bars)
    assert "0.3/0.7 MB" in half or "0.4/0.7 MB" in half
    assert "1/4" in quarter
    bars.uploaded(700_000, 700_000)
    assert "0.7/0.7 MB" in drawn(bars)[0]


def test_a_long_note_stays_in_its_line() -> None:
    bars = Bars()
    bars.uploaded(350_000_000, 1_700_000_000, "the object storage does not answer; trying again " * 3)
    bars.saved(1, 4)
    assert len(drawn(bars)) == 2


def test_what_is_said_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    Bars().say("holiday [1080p].mp4: [ONNXRuntimeError] [/b]")
    assert capsys.readouterr().err == "holiday [1080p].mp4: [ONNXRuntimeError] [/b]\n"
