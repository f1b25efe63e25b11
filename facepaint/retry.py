"""Retrying while a service is unreachable: one policy for every layer that does it."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from facepaint.errors import ServiceError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, at what pauses and for how long something is tried again.

    Args:
        first_delay_s: pause before the first retry.
        longest_delay_s: what the pause grows to.
        growth: factor from each pause to the next.
        deadline_s: seconds of failure after which the error is raised.
        attempts: how often a client library sends one request before it reports an error.
    """

    first_delay_s: float = 0.5
    longest_delay_s: float = 10.0
    growth: float = 2.0
    deadline_s: float = 600.0
    attempts: int = 1

    def next_delay_s(self, delay_s: float) -> float:
        """The pause after one of ``delay_s``."""
        return min(self.longest_delay_s, self.growth * delay_s)

    def is_over(self, since: float) -> bool:
        """Whether what has failed since a time of `time.monotonic` is not tried again."""
        return time.monotonic() - since >= self.deadline_s

    def call(
        self,
        action: Callable[[], T],
        error: type[ServiceError],
        on_retry: Callable[[str], None],
        stop: threading.Event | None = None,
    ) -> T:
        """Call ``action`` until it succeeds.

        Args:
            error: the errors that are worth a retry; every other one is raised at once.
            on_retry: called with the message of each error that is retried.
            stop: ends the retries when set: the next error is raised.

        Raises:
            ServiceError: the last ``error``, once the deadline is over.
        """
        stop = stop or threading.Event()
        since, delay_s = time.monotonic(), self.first_delay_s
        while True:
            try:
                return action()
            except error as exc:
                if stop.is_set() or self.is_over(since):
                    raise
                on_retry(str(exc))
            stop.wait(delay_s)
            delay_s = self.next_delay_s(delay_s)
