"""Waiting for a job: the error and its advice when segments failed."""

import re

import pytest

from facepaint.cli.batch import wait_item
from facepaint.cli.progress import Display
from facepaint.client import Client
from facepaint.errors import JobError
from facepaint.records import keys
from facepaint.records.results import Failed
from facepaint.settings import Settings
from facepaint.store import Store
from tests.support.made_job import plain_job


@pytest.mark.parametrize(
    "advice", [None, "--allow-gaps saves the rest"], ids=["lasting job", "job of one command"]
)
def test_failed_segments_are_an_error_with_advice(
    store: Store, settings: Settings, advice: str | None
) -> None:
    made = plain_job(store).begin()
    made.upload(range(4))
    made.seal()
    made.detect(range(4))
    made.paint([0, 1, 3])
    made.fail_painting(2, "it cannot be decoded")
    with pytest.raises(
        JobError, match=r"1 of 4 segments .* \(segment 2: it cannot be decoded\)"
    ) as raised:
        wait_item(Client(settings), made.id, Display(), advice=advice)
    assert str(raised.value).endswith(advice or f"`facepaint resume {made.id}` retries it")


class Recorded(Display):
    """Records the lines that are printed."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.mark.parametrize("failed", [1, 4])
def test_failed_detection_is_an_error_only_if_every_segment_failed(
    store: Store, settings: Settings, failed: int
) -> None:
    """As with a detector whose card names another decoder."""
    made = plain_job(store).begin()
    made.upload(range(4))
    made.seal()
    made.detect(range(4 - failed))
    for index in range(4 - failed, 4):
        store.put_record(
            keys.faces_failed(made.id, index), Failed(index, "the detector does not fit", 1)
        )
    made.paint(range(4))
    message = (
        rf"face detection failed in {failed} of 4 segments .* "
        rf"\(segment {4 - failed}: the detector does not fit\)"
    )
    display = Recorded()
    if failed == 4:
        with pytest.raises(JobError, match=message):
            wait_item(Client(settings), made.id, display)
    else:
        wait_item(Client(settings), made.id, display)
        line, summary = display.lines
        assert re.fullmatch(r"\d+ s of video painted in \d+ s, no faces found", summary)
        assert re.match(f"facepaint: {message}$", line)
