"""The queue: the one Celery configuration, shared by those who send tasks and the workers that run
them.

The broker holds only messages that can be lost: what is to be done follows from the storage, and
`resume` queues it again. Messages are JSON with keys of the storage, never data.
"""

from typing import Any

from celery import Celery
from kombu import Queue as KombuQueue
from kombu.exceptions import OperationalError

from facepaint.errors import QueueUnreachable
from facepaint.retry import RetryPolicy
from facepaint.settings import Settings

DETECT = "facepaint.detect"
PAINT = "facepaint.paint"
TRACK = "facepaint.track"
PORTRAITS = "facepaint.portraits"

QUEUES = ("paint", "detect")
"""In order of polling at equal priority: what is detected is painted before more is detected."""

QUEUE_OF = {DETECT: "detect", PAINT: "paint", TRACK: "detect", PORTRAITS: "paint"}

BROKER_RETRY = RetryPolicy(
    first_delay_s=0.2, longest_delay_s=1.0, growth=5.0, deadline_s=20.0, attempts=2
)
"""Short, since messages can be lost: `facepaint resume` queues what is stored at any time."""

PRIORITIES = 10

PRIORITY_CONTINUATION = 1
"""Priority of the rest of a task: only what a new job shows first goes before it."""

PRIORITY_INTERACTIVE = 3
"""Priority of what somebody waits for who looks at a job meanwhile: behind what is shown first."""


def priority(index: int) -> int:
    """Priority of a segment's tasks, 0 first: a new job's first picture never waits behind an old
    job's end."""
    return min(PRIORITIES - 1, index.bit_length())


def make_app(settings: Settings) -> Celery:
    """The Celery app; broker facts and every setting that must agree between producer and worker
    are set here."""
    broker = (
        settings.broker_url.get_secret_value() if settings.broker_url else "redis://127.0.0.1:1/0"
    )
    app = Celery("facepaint", broker=broker)
    # Unacked messages come back after the visibility timeout; the sweep that restores them runs
    # each interval x throttle, which at the defaults would add 100 s.
    transport = {
        "visibility_timeout": settings.visibility_timeout_s,
        "unacked_restore_throttle": 1,
        "priority_steps": list(range(PRIORITIES)),
        "sep": ":",
        "queue_order_strategy": "priority",
        "socket_timeout": 30,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "retry_on_timeout": True,
    }
    app.conf.update(
        visibility_timeout=settings.visibility_timeout_s,
        broker_transport_options=transport,
        result_backend_transport_options=transport,
        task_queues=[KombuQueue(name) for name in QUEUES],
        task_default_queue="detect",
        task_routes={task: {"queue": queue} for task, queue in QUEUE_OF.items()},
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_acks_on_failure=True,
        task_acks_on_timeout=False,
        task_time_limit=settings.task_time_limit_s,
        task_default_priority=PRIORITIES - 1,
        worker_prefetch_multiplier=1,
        worker_soft_shutdown_timeout=30,
        worker_enable_soft_shutdown_on_idle=False,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=5,
        event_queue_ttl=60,
    )
    return app


class Queue:
    """Sends tasks by name.

    Every method raises `QueueUnreachable` within seconds if the broker is unreachable, after
    ``retry.attempts``. Those who wait for it for longer do so by ``retry``.
    """

    def __init__(
        self, settings: Settings, app: Celery | None = None, retry: RetryPolicy = BROKER_RETRY
    ) -> None:
        settings.require_services()
        self.retry = retry
        self.app = app or make_app(settings)

    def detect(self, job: str, index: int) -> None:
        """Queue the detection of faces in a segment."""
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
        """Queue the rest of a task that stopped on its way, before others.

        Who did the first part has a decoder for it, and could not keep it beside those of much
        other work.
        """
        self._send(task, message, PRIORITY_CONTINUATION)

    def length(self) -> int:
        """Messages waiting in all queues, all priorities; those in work are not counted."""
        with self._mapped(), self.app.connection_for_read() as connection:
            channel: Any = connection.default_channel
            return sum(
                channel.client.llen(channel._q_for_pri(name, step))
                for name in QUEUES
                for step in range(PRIORITIES)
            )

    def check(self) -> None:
        """Return if the broker answers."""
        with self._mapped(), self.app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=self.retry.attempts - 1, timeout=5)

    def redeliver_unacked(self) -> None:
        """Put back every message that was handed out and not finished, without waiting for the
        visibility timeout.

        For a broker whose workers are known to be gone: of one that is at work, the task would be
        done twice.
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

    def _mapped(self) -> "_Mapped":
        return _Mapped(self.app)


class _Mapped:
    """Turns the broker library's errors into ours."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        if isinstance(exc, OperationalError | OSError) or type(exc).__module__.startswith("redis."):
            where = self._app.connection_for_write().as_uri()
            raise QueueUnreachable(
                f"the broker at {where} does not answer; `facepaint doctor` checks it"
            ) from exc
