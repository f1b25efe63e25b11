"""The retry policy: which errors are retried, at what pauses, and when it ends."""

import threading
from collections.abc import Callable

import pytest

from facepaint.errors import JobError, QueueUnreachable, ServiceError, StoreUnreachable
from facepaint.retry import RetryPolicy

QUICK = RetryPolicy(first_delay_s=0.001, longest_delay_s=0.001)


def failing(*errors: Exception) -> Callable[[], str]:
    """A call that raises each of the errors in turn, and then succeeds."""
    left = iter(errors)

    def call() -> str:
        error = next(left, None)
        if error is not None:
            raise error
        return "done"

    return call


def test_a_call_is_retried_until_it_succeeds() -> None:
    retried: list[str] = []
    action = failing(StoreUnreachable("first"), StoreUnreachable("second"))
    assert QUICK.call(action, StoreUnreachable, retried.append) == "done"
    assert retried == ["first", "second"]


@pytest.mark.parametrize("error", [QueueUnreachable("broker"), JobError("job"), ValueError("bug")])
def test_other_errors_are_raised_at_once(error: Exception) -> None:
    retried: list[str] = []
    with pytest.raises(type(error)):
        QUICK.call(failing(error), StoreUnreachable, retried.append)
    assert retried == []


def test_the_error_is_raised_once_the_deadline_is_over() -> None:
    policy = RetryPolicy(deadline_s=0.0)
    with pytest.raises(ServiceError, match="gone"):
        policy.call(failing(StoreUnreachable("gone")), StoreUnreachable, lambda _: None)


def test_stopping_ends_the_retries() -> None:
    stop = threading.Event()
    retried: list[str] = []

    def stop_at_first(why: str) -> None:
        retried.append(why)
        stop.set()

    action = failing(StoreUnreachable("first"), StoreUnreachable("second"))
    with pytest.raises(StoreUnreachable, match="second"):
        QUICK.call(action, StoreUnreachable, stop_at_first, stop)
    assert retried == ["first"]


def test_the_pauses_grow_up_to_the_longest() -> None:
    policy = RetryPolicy(first_delay_s=1.0, longest_delay_s=5.0, growth=2.0)
    delays = [policy.first_delay_s]
    for _ in range(4):
        delays.append(policy.next_delay_s(delays[-1]))
    assert delays == [1.0, 2.0, 4.0, 5.0, 5.0]
