"""Messages are checked where they arrive, and made anew."""

import base64
import json
import random

import pytest

from facepaint.queue import DETECT, QUEUE_OF
from facepaint.transport import NotOurs, checked_ping, checked_task
from tests.support.messages import HARMLESS, JOB, MALFORMED, encoded, mutated, task_message


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_message_is_refused(name: str) -> None:
    with pytest.raises(NotOurs, match=r"^it[s ]"):
        checked_task(MALFORMED[name])


@pytest.mark.parametrize("name", HARMLESS)
def test_only_the_fields_of_a_task_are_kept(name: str) -> None:
    message = checked_task(HARMLESS[name])
    assert json.loads(base64.b64decode(message["body"])) == [[], {"job": JOB, "index": 0}, {}]
    assert set(message["headers"]) == {"lang", "task", "id", "root_id", "retries"}
    assert message["headers"]["retries"] == 0
    assert set(message["properties"]) == {
        "correlation_id",
        "priority",
        "delivery_info",
        "body_encoding",
        "delivery_tag",
    }
    assert message["content-type"] == "application/json"


def test_redelivery_and_priority_are_kept_and_the_tag_is_new() -> None:
    sent = task_message()
    sent["properties"] |= {"priority": 4}
    sent["properties"]["delivery_info"]["redelivered"] = True
    first, second = (checked_task(json.dumps(sent).encode()) for _ in range(2))
    assert first["properties"]["priority"] == 4
    assert first["properties"]["delivery_info"]["redelivered"] is True
    tags = {message["properties"]["delivery_tag"] for message in (first, second, sent)}
    assert len(tags) == 3


def test_mutated_messages_are_refused_or_made_anew() -> None:
    rng = random.Random(5)
    kept = 0
    for _ in range(3000):
        try:
            message = checked_task(mutated(rng))
        except NotOurs:
            continue
        kept += 1
        assert message["headers"]["task"] in QUEUE_OF
        assert message["properties"]["priority"] in range(10)
    assert kept > 100


@pytest.mark.parametrize(
    "body",
    [
        {"method": "shutdown", "ticket": "t", "reply_to": {}},
        {"method": "pool_restart", "ticket": "t", "reply_to": {}},
        {"method": ["ping"], "ticket": "t", "reply_to": {}},
        {"method": "ping", "ticket": "t", "reply_to": {}, "pattern": "(a+)+$", "matcher": "pcre"},
        {"method": "ping"},
        5,
        [],
    ],
)
def test_remote_control_is_refused(body: object) -> None:
    with pytest.raises(NotOurs):
        checked_ping(task_message(DETECT) | {"body": encoded(body)})


@pytest.mark.parametrize("message", [5, None, [], {}, {"body": 5}])
def test_a_malformed_control_message_is_refused(message: object) -> None:
    with pytest.raises(NotOurs):
        checked_ping(message)
