"""The queue: one Celery configuration for the senders of tasks and for the workers.

Messages may be lost: the work that is left follows from the storage, and `resume` queues it again.
They are JSON with keys of the storage, never data.
"""

import ssl
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from celery.loaders.app import AppLoader
from kombu import Connection
from kombu import Queue as KombuQueue
from kombu.exceptions import OperationalError
from kombu.transport import TRANSPORT_ALIASES

from facepaint.errors import QueueUnreachable
from facepaint.retry import RetryPolicy
from facepaint.service_urls import without_login
from facepaint.settings import Settings
from facepaint.tls import causes, tls_fault

DETECT = "facepaint.detect"
PAINT = "facepaint.paint"
TRACK = "facepaint.track"
PORTRAITS = "facepaint.portraits"

QUEUES = ("paint", "detect")
"""In order of polling at equal priority: painting comes before more detection."""

QUEUE_OF = {DETECT: "detect", PAINT: "paint", TRACK: "detect", PORTRAITS: "paint"}

KEY_PREFIX = "facepaint:"
"""Of every key and channel in the broker.

Another project may use the same database, with the default names of Celery: workers would redeliver
its unacknowledged messages and obey its remote control.
"""

MARK = "mark"
"""The key that shows that the broker has not lost its data."""

TRANSPORT = "facepaint"
TRANSPORT_ALIASES[TRANSPORT] = "facepaint.transport:Transport"

BROKER_RETRY = RetryPolicy(
    first_delay_s=0.2, longest_delay_s=1.0, growth=5.0, deadline_s=20.0, attempts=2
)
"""Short, since messages can be lost: `facepaint resume` queues what is stored at any time."""

PRIORITIES = 10

PRIORITY_CONTINUATION = 1
"""Priority of the rest of a task, behind only the first segment of a new job."""

PRIORITY_INTERACTIVE = 3
"""Priority of a user's request about a job, behind the first segments of other jobs."""


def priority(index: int) -> int:
    """Priority of a segment's tasks; 0 is the highest.

    It falls with the logarithm of the index, so the start of a new job never waits for the end of
    another one.
    """
    return min(PRIORITIES - 1, index.bit_length())


class _Loader(AppLoader):
    """Reads no configuration: Celery's own imports the module in ``CELERY_CONFIG_MODULE``."""

    def read_configuration(self, env: str = "") -> dict[str, Any]:
        return {}


class _App(Celery):
    """Ignores Celery's environment variables, which belong to other projects.

    In `Celery` they win over the arguments and the configuration.
    """

    backend_cls = "disabled"

    def __init__(self, broker: str) -> None:
        self._broker = broker
        # Not the current app of the process, which may belong to another project as well.
        super().__init__("facepaint", loader=_Loader, broker=broker, set_as_current=False)

    def connection_for_read(self, url: str | None = None, **options: Any) -> Connection:
        return super().connection_for_read(url or self._broker, **options)

    def connection_for_write(self, url: str | None = None, **options: Any) -> Connection:
        return super().connection_for_write(url or self._broker, **options)


def make_app(settings: Settings) -> Celery:
    """The Celery app, with every setting on which producers and workers must agree."""
    # Without a URL Celery would try amqp on localhost. Nothing listens on port 1.
    broker = settings.broker_url
    url = broker.get_secret_value() if broker is not None else "redis://127.0.0.1:1/0"
    app = _App(url)
    transport = {
        "global_keyprefix": KEY_PREFIX,
        # Unacknowledged messages are redelivered after this. The sweep that does it runs once in
        # interval x throttle, which at the defaults would add 100 s.
        "visibility_timeout": settings.visibility_timeout_s,
        "unacked_restore_throttle": 1,
        # One list for each queue and priority. The default has four steps, too few to play a long
        # video in order.
        "priority_steps": list(range(PRIORITIES)),
        "sep": ":",
        # Poll all queues at one priority before the next priority.
        "queue_order_strategy": "priority",
        # The default of 5 s fails while a broker loads its data or its disk is slow.
        "socket_timeout": 30,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "retry_on_timeout": True,
    }
    app.conf.update(
        # Celery reads it from three places, and the shortest one counts.
        visibility_timeout=settings.visibility_timeout_s,
        broker_transport=TRANSPORT,
        broker_transport_options=transport,
        broker_use_ssl=_tls(settings) if url.startswith("rediss://") else None,
        result_backend_transport_options=transport,
        task_queues=[KombuQueue(name) for name in QUEUES],
        task_default_queue="detect",
        task_routes={task: {"queue": queue} for task, queue in QUEUE_OF.items()},
        # Results are objects in the storage.
        task_ignore_result=True,
        # Never pickle: a message could run code.
        task_serializer="json",
        accept_content=["json"],
        # A dead worker's tasks are redelivered. Claims count the attempts, so a task that kills its
        # worker is not repeated for ever.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_acks_on_failure=True,
        # By default the time limit acknowledges the message of the task that it kills.
        task_acks_on_timeout=False,
        task_time_limit=settings.task_time_limit_s,
        task_default_priority=PRIORITIES - 1,
        # A prefetched message waits for its worker, even if others are idle.
        worker_prefetch_multiplier=1,
        worker_soft_shutdown_timeout=30,
        worker_enable_soft_shutdown_on_idle=False,
        worker_hijack_root_logger=False,
        # Tasks are idempotent: they may finish although their message is redelivered.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # Workers wait for a broker that is restarted, for as long as it takes.
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=5,
        event_queue_ttl=60,
    )
    return app


def _tls(settings: Settings) -> dict[str, Any]:
    """How to verify the broker's certificate; kombu's default is not to."""
    verified: dict[str, Any] = {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}
    if settings.ca_file:
        verified["ssl_ca_certs"] = str(settings.ca_file)
    return verified


class Queue:
    """Sends tasks by name.

    Every method raises `QueueUnreachable` within seconds, after ``retry.attempts``, if the broker
    is unreachable. Callers that wait for longer use ``retry``.
    """

    def __init__(
        self, settings: Settings, app: Celery | None = None, retry: RetryPolicy = BROKER_RETRY
    ) -> None:
        url = settings.require_services().broker_url
        assert url is not None
        self._where = without_login(url.get_secret_value())
        self.retry = retry
        self.app = app or make_app(settings)

    def detect(self, job: str, index: int) -> None:
        """Queue the face detection of a segment."""
        self._send(DETECT, {"job": job, "index": index}, priority(index))

    def paint(self, job: str, look: str, index: int) -> None:
        """Queue the painting of a segment with a look."""
        self._send(PAINT, {"job": job, "index": index, "look": look}, priority(index))

    def track(self, job: str) -> None:
        """Queue the person tracking of a job; looks that select people wait for it."""
        self._send(TRACK, {"job": job}, PRIORITY_CONTINUATION)

    def portraits(self, job: str, index: int) -> None:
        """Queue the portraits of the people whose best frame is in a segment."""
        self._send(PORTRAITS, {"job": job, "index": index}, PRIORITY_INTERACTIVE)

    def requeue_remainder(self, task: str, message: dict[str, object]) -> None:
        """Queue the rest of a task that has stored part of its result, ahead of other work.

        The worker that did the first part still has a decoder for it, and keeps only a few.
        """
        self._send(task, message, PRIORITY_CONTINUATION)

    def length(self) -> int:
        """Number of waiting messages in all queues; unacknowledged ones are not counted."""
        with self._mapped(), self.app.connection_for_read() as connection:
            channel: Any = connection.default_channel
            return sum(
                channel.client.llen(channel._q_for_pri(name, step))
                for name in QUEUES
                for step in range(PRIORITIES)
            )

    def mark(self) -> bool:
        """Leave a mark in the broker; returns whether there was none.

        A broker that restarts empty loses it, together with all messages.
        """
        with self._mapped(), self.app.connection_for_write() as connection:
            channel: Any = connection.default_channel
            return bool(channel.client.set(MARK, "1", nx=True))

    def unmark(self) -> None:
        """Remove the mark of `mark`."""
        with self._mapped(), self.app.connection_for_write() as connection:
            channel: Any = connection.default_channel
            channel.client.delete(MARK)

    def check(self) -> None:
        """Raise `QueueUnreachable` unless the broker answers."""
        with self._mapped(), self.app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=self.retry.attempts - 1, timeout=5)

    def check_rights(self) -> None:
        """Do what senders and workers do at the broker, with a queue of its own.

        Raises:
            QueueUnreachable: the broker does not answer, or its user lacks a right.
        """
        name = f"check-{uuid.uuid4()}"
        with self._mapped(), self.app.connection_for_read() as connection:
            channel: Any = connection.default_channel
            with connection.SimpleQueue(name) as scratch:
                scratch.put({})
                scratch.get(timeout=5).ack()
                scratch.queue.delete()
            channel.qos.restore_visible(num=0, interval=1)
            # Remote control, by which a worker shows that it runs; workers ignore empty messages.
            remote: Any = self.app.control
            control = f"{channel.keyprefix_fanout}{remote.mailbox.exchange.name}"
            channel.client.publish(control, "")
            with channel.client.pubsub() as subscription:
                subscription.psubscribe(control)
                subscription.parse_response()

    def redeliver_unacked(self) -> None:
        """Redeliver every unacknowledged message, without waiting for the visibility timeout.

        Call it only if no worker is running: a task in progress would run twice.
        """
        with self._mapped(), self.app.connection_for_write() as connection:
            channel: Any = connection.default_channel
            channel.visibility_timeout = 0
            channel.qos.restore_visible(num=-1, interval=1)

    def _send(self, name: str, message: dict[str, object], priority: int) -> None:
        with self._mapped():
            self.app.send_task(
                name,
                kwargs=message,
                queue=QUEUE_OF[name],
                priority=priority,
                retry=True,
                retry_policy={
                    "max_retries": self.retry.attempts - 1,
                    "interval_start": self.retry.first_delay_s,
                    "interval_max": self.retry.longest_delay_s,
                },
            )

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        """Turn the errors of the broker's libraries into ours."""
        try:
            yield
        except Exception as exc:
            # Not imported: redis is slow to import, and a client may never need it.
            is_redis_error = type(exc).__module__.startswith("redis.")
            if not (is_redis_error or isinstance(exc, OperationalError | OSError)):
                raise
            raise QueueUnreachable(f"the broker at {self._where} {_problem(exc)}") from exc


def _problem(fault: Exception) -> str:
    """Why a broker cannot be used, for the end of a sentence."""
    # By name: redis is slow to import.
    for exc in causes(fault):
        if type(exc).__name__ == "AuthenticationError":
            return "refuses the user name or password in FACEPAINT_BROKER_URL"
        if type(exc).__name__ == "NoPermissionError":
            return f"gives its user too few rights ({exc}); docs/deploy.md lists them"
    return tls_fault(fault) or "does not answer; `facepaint doctor` checks it"
