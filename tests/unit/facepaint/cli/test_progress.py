"""Progress bars on a terminal of 80 columns."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from facepaint.cli.progress import Bars
from facepaint.jobs.state import JobKeys
from facepaint.jobs.status import JobStatus
from tests.support.made_job import plain_job


def drawn(bars: Bars) -> list[str]:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(bars)
    return [line.rstrip() for line in capture.get().splitlines()]


def test_small_amounts_are_shown_with_a_decimal() -> None:
    bars = Bars()
    bars.uploaded(350_000, 700_000)
    bars.saved(1, 4)
    half, quarter = drawn(bars)
    assert "0.3/0.7 MB" in half or "0.4/0.7 MB" in half
    assert "1/4" in quarter
    bars.uploaded(700_000, 700_000)
    assert "0.7/0.7 MB" in drawn(bars)[0]


def test_a_long_note_does_not_wrap() -> None:
    bars = Bars()
    bars.uploaded(
        350_000_000, 1_700_000_000, "the object storage does not answer; trying again " * 3
    )
    bars.saved(1, 4)
    assert len(drawn(bars)) == 2


def test_person_tracking_is_shown_after_detection() -> None:
    made = plain_job(None, id="20261122T120000-aaaaaaaa")  # type: ignore[arg-type]
    found = JobKeys(frozenset({0, 1}), detected=frozenset({0}), sealed=True)
    status = JobStatus(made.job, found, "working", (), 2, 2, 1, 0, "", 1.0, frozenset())
    bars = Bars()
    bars.people(status)
    (detected,) = drawn(bars)
    assert "1/2" in detected
    bars.people(replace(status, keys=replace(found, detected=frozenset({0, 1})), detected=2))
    detected, tracking = drawn(bars)
    assert "2/2" in detected
    assert "people in the whole video" in tracking


def test_lines_are_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    Bars().say("holiday [1080p].mp4: [ONNXRuntimeError] [/b]")
    assert capsys.readouterr().err == "holiday [1080p].mp4: [ONNXRuntimeError] [/b]\n"
