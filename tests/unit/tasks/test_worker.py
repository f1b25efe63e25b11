"""Messages of a worker: invalid ones neither become keys nor return for ever."""

import pytest
from celery import Celery
from celery.exceptions import Reject

from facepaint.errors import DeviceError, RecordInvalid
from facepaint.queue import PAINT, PORTRAITS, TRACK
from facepaint.retry import RetryPolicy
from facepaint.settings import Settings
from tasks.context import WorkerContext
from tasks.worker import make_worker

JOB = "20260101T000000-aaaaaaaa"


def idle_worker() -> Celery:
    """A worker that no message may give work to."""

    def refuse(settings: Settings, app: Celery) -> WorkerContext:
        pytest.fail("the message was worked on")

    return make_worker(Settings.load(), refuse)


def failing_worker(error: Exception) -> Celery:
    """A worker whose every task fails with an error."""

    def fail(settings: Settings, app: Celery) -> WorkerContext:
        raise error

    return make_worker(Settings.load(), fail, RetryPolicy(first_delay_s=0.0))


@pytest.mark.parametrize(
    "message",
    [
        {"job": "../../secrets", "index": 0, "look": "0123456789ab"},
        {"job": 5, "index": 0, "look": "0123456789ab"},
        {"job": JOB, "index": "0", "look": "0123456789ab"},
        {"job": JOB, "index": -1, "look": "0123456789ab"},
        {"job": JOB, "index": 0, "look": "../../../abc"},
        {"job": JOB, "index": 0, "look": ["0"] * 12},
    ],
)
def test_a_message_that_names_no_segment_is_dropped(message: dict[str, object]) -> None:
    idle_worker().tasks[PAINT].run(**message)


@pytest.mark.parametrize("job", ["../../secrets", 5, None])
def test_a_message_that_names_no_job_is_dropped(job: object) -> None:
    tasks = idle_worker().tasks
    tasks[TRACK].run(job=job)
    tasks[PORTRAITS].run(job=job, index=0)
    tasks[PORTRAITS].run(job=JOB, index=-1)


@pytest.mark.parametrize(
    ("error", "requeued"),
    [
        (DeviceError("the GPU is gone"), True),
        (ZeroDivisionError(), True),
        (RecordInvalid("no record"), False),
    ],
)
def test_the_error_decides_whether_a_message_is_requeued(error: Exception, requeued: bool) -> None:
    with pytest.raises(Reject) as raised:
        failing_worker(error).tasks[PAINT](job=JOB, index=0, look="0123456789ab")
    assert raised.value.args[1] is requeued


@pytest.mark.parametrize(
    "message", [{}, {"job": JOB}, {"job": JOB, "index": 0, "look": "0123456789ab", "more": 1}]
)
def test_a_message_of_another_shape_is_not_requeued(message: dict[str, object]) -> None:
    with pytest.raises(Reject) as raised:
        idle_worker().tasks[PAINT](**message)
    assert raised.value.args[1] is False
