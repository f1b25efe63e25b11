"""Waiting for the job of a command: what it says when the job cannot end whole."""

import re

import pytest

from facepaint.cli.batch import wait_item
from facepaint.cli.progress import Silent
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
def test_what_was_given_up_is_named_with_what_can_be_done(
    store: Store, settings: Settings, advice: str | None
) -> None:
    made = plain_job(store).begin()
    made.upload(range(4))
    made.seal()
    made.detect(range(4))
    made.paint([0, 1, 3])
    made.give_up(2, "it cannot be decoded")
    with pytest.raises(
        JobError, match=r"1 of 4 segments .* \(segment 2: it cannot be decoded\)"
    ) as raised:
        wait_item(Client(settings), made.id, Silent(), advice=advice)
    assert str(raised.value).endswith(advice or f"`facepaint resume {made.id}` retries it")


class Said(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.mark.parametrize("failed", [1, 4])
def test_failed_detection_is_reported_and_fails_the_job_if_no_segment_was_searched(
    store: Store, settings: Settings, failed: int
) -> None:
    """As with a detector whose card names another decoder: the result shows everything, or nothing
    at all."""
    made = plain_job(store).begin()
    made.upload(range(4))
    made.seal()
    made.detect(range(4 - failed))
    for index in range(4 - failed, 4):
        store.put_record(
            keys.faces_failed(made.id, index), Failed(index, "the detector does not fit", 1)
        )
    made.paint(range(4))
    told = (
        rf"face detection failed in {failed} of 4 segments .* "
        rf"\(segment {4 - failed}: the detector does not fit\)"
    )
    said = Said()
    if failed == 4:
        with pytest.raises(JobError, match=told):
            wait_item(Client(settings), made.id, said)
    else:
        wait_item(Client(settings), made.id, said)
        (line,) = said.lines
        assert re.match(f"facepaint: {told}$", line)
