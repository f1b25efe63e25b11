"""Messages as a worker gets them: a stranger's must neither become a key nor go round for ever."""

import pytest
from celery.exceptions import Reject

import tasks.worker
from facepaint.errors import DeviceError, RecordInvalid

JOB = "20260101T000000-aaaaaaaa"


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
def test_a_message_that_names_no_segment_is_dropped(
    message: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.worker, "context", lambda: pytest.fail("it was worked on"))
    tasks.worker.paint.run(**message)


@pytest.mark.parametrize("job", ["../../secrets", 5, None])
def test_a_message_that_names_no_job_is_dropped(
    job: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.worker, "context", lambda: pytest.fail("it was worked on"))
    tasks.worker.track.run(job=job)
    tasks.worker.portraits.run(job=job, index=0)
    tasks.worker.portraits.run(job=JOB, index=-1)


@pytest.mark.parametrize(
    ("error", "comes_back"),
    [
        (DeviceError("the GPU is gone"), True),
        (ZeroDivisionError(), True),
        (RecordInvalid("no record"), False),
    ],
)
def test_errors_say_whether_a_message_comes_back(
    error: Exception, comes_back: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(tasks.worker, "context", fail)
    monkeypatch.setattr(tasks.worker, "REQUEUE_PAUSE_S", 0.0)
    with pytest.raises(Reject) as raised:
        tasks.worker.paint(job=JOB, index=0, look="0123456789ab")
    assert raised.value.args[1] is comes_back


@pytest.mark.parametrize(
    "message", [{}, {"job": JOB}, {"job": JOB, "index": 0, "look": "0123456789ab", "more": 1}]
)
def test_a_message_of_another_shape_does_not_come_back(message: dict[str, object]) -> None:
    with pytest.raises(Reject) as raised:
        tasks.worker.paint(**message)
    assert raised.value.args[1] is False
