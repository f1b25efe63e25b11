"""Waiting for the job of a command: what it says when the job cannot end whole."""

import pytest

from facepaint.batch import wait_item
from facepaint.client import Client
from facepaint.display import Silent
from facepaint.errors import JobError
from facepaint.settings import Settings
from facepaint.store import Store
from tests.made_job import plain_job


@pytest.mark.parametrize("advice", [None, "--allow-gaps saves the rest"], ids=["lasting job", "job of one command"])
def test_what_was_given_up_is_named_with_what_can_be_done(store: Store, settings: Settings, advice: str | None) -> None:
    made = plain_job(store).begin()
    made.upload(range(4))
    made.seal()
    made.detect(range(4))
    made.paint([0, 1, 3])
    made.give_up(2, "it cannot be decoded")
    with pytest.raises(JobError, match=r"1 of 4 segments .* \(segment 2: it cannot be decoded\)") as raised:
        wait_item(Client(settings), made.id, Silent(), advice=advice)
    assert str(raised.value).endswith(advice or f"`facepaint resume {made.id}` tries again")
