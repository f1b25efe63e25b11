"""The real store and queue with an observer of each write, which may record it, wait, or raise the
error of an outage."""

from collections.abc import Callable
from typing import Any

from facepaint.queue import BROKER_RETRY, Queue
from facepaint.retry import RetryPolicy
from facepaint.settings import Settings
from facepaint.store import STORE_RETRY, Store

Observer = Callable[[str], None]


def ignore(_: str) -> None:
    """Observe nothing."""


class ObservedStore(Store):
    """``before_put`` and ``after_put`` are called with the key."""

    def __init__(
        self,
        settings: Settings,
        before_put: Observer = ignore,
        after_put: Observer = ignore,
        retry: RetryPolicy = STORE_RETRY,
    ) -> None:
        super().__init__(settings, retry)
        self.before_put, self.after_put = before_put, after_put

    def put(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        self.before_put(key)
        super().put(key, data, content_type)
        self.after_put(key)


class ObservedQueue(Queue):
    """``before_send`` is called with the task and the segment, such as ``facepaint.detect 3``."""

    def __init__(
        self, settings: Settings, before_send: Observer = ignore, retry: RetryPolicy = BROKER_RETRY
    ) -> None:
        super().__init__(settings, retry=retry)
        self.before_send = before_send

    def _send(self, name: str, message: dict[str, Any], priority: int) -> None:
        self.before_send(f"{name} {message['index']}")
        super()._send(name, message, priority)
