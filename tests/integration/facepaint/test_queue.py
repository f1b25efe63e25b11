"""The queue, with a real broker."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import celery
import pytest
import redis
from celery import Celery
from kombu import Message

from facepaint.errors import QueueUnreachable, ServiceError
from facepaint.queue import KEY_PREFIX, Queue, make_app, priority
from facepaint.settings import Settings
from facepaint.stack.components import child_environment, free_port, worker_environment
from tests.support.paths import ROOT

JOB = "20261122T120000-abcdefgh"
LOOK = "0123456789ab"

OTHER_PROJECT = 'raise SystemExit("the module of the other project is imported")'


@pytest.fixture
def other_app(settings: Settings) -> Iterator[Celery]:
    """The app of another project, in the same broker database, with a queue of a name of ours."""
    assert settings.broker_url is not None
    url = settings.broker_url.get_secret_value()
    with Celery("other", broker=url, set_as_current=False) as app:
        app.conf.broker_transport_options = {"priority_steps": list(range(10)), "sep": ":"}
        yield app


def test_a_message_is_json_with_keys_and_nothing_else(queue: Queue, settings: Settings) -> None:
    queue.detect(JOB, 0)
    queue.paint(JOB, LOOK, 5)
    detect, paint = _raw(settings, "detect"), _raw(settings, f"paint:{priority(5)}")
    for message, task in ((detect, "facepaint.detect"), (paint, "facepaint.paint")):
        assert message["content-type"] == "application/json"
        assert message["headers"]["task"] == task
        assert message["headers"]["eta"] is None
    assert _arguments(detect) == [[], {"job": JOB, "index": 0}]
    assert _arguments(paint) == [[], {"job": JOB, "index": 5, "look": LOOK}]


def test_length_counts_every_queue_and_priority(queue: Queue) -> None:
    assert queue.length() == 0
    for index in (0, 1, 2, 4, 8, 700):
        queue.detect(JOB, index)
        queue.paint(JOB, LOOK, index)
    assert queue.length() == 12


@pytest.mark.parametrize(
    ("index", "expected"),
    [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (255, 8), (256, 9), (511, 9), (100_000, 9)],
)
def test_the_beginning_of_a_video_comes_first(index: int, expected: int) -> None:
    assert priority(index) == expected


def test_messages_come_in_playing_order_and_painting_before_detecting(
    queue: Queue, settings: Settings
) -> None:
    for index in (300, 40, 9, 2, 0):  # the worst order to send them in
        queue.detect("first", index)
        queue.paint("first", LOOK, index)
    queue.detect("second", 0)  # a new job's beginning passes the first job's rest
    queue.paint("second", LOOK, 0)
    assert _consume(settings, 12) == [
        ("paint", "first", 0),
        ("paint", "second", 0),
        ("detect", "first", 0),
        ("detect", "second", 0),
        *[(task, "first", index) for index in (2, 9, 40, 300) for task in ("paint", "detect")],
    ]


def test_unacknowledged_messages_can_be_redelivered(queue: Queue, settings: Settings) -> None:
    queue.detect(JOB, 0)
    queue.detect(JOB, 1)
    with make_app(settings).connection_for_read() as connection:
        held = connection.SimpleQueue("detect").get(timeout=5)  # never acknowledged
        assert queue.length() == 1
        queue.redeliver_unacked()
        assert queue.length() == 2
        assert [index for _, _, index in _consume(settings, 2)] == [0, 1]
        held.reject()


def test_only_our_own_messages_are_redelivered(
    queue: Queue, settings: Settings, other_app: Celery
) -> None:
    other_app.send_task("charge", queue="detect")
    with other_app.connection_for_read() as connection:
        held = connection.SimpleQueue("detect").get(timeout=5)
        queue.redeliver_unacked()
        with redis.Redis.from_url(other_app.conf.broker_url) as client:
            assert client.hlen("unacked") == 1
            assert client.llen("detect") == 0
        assert queue.length() == 0
        held.ack()


def test_another_projects_environment_changes_nothing(
    settings: Settings, queue: Queue, tmp_path: Path
) -> None:
    (tmp_path / "other.py").write_text(OTHER_PROJECT)
    elsewhere = "redis://127.0.0.1:1/0"
    names = ("BROKER_URL", "BROKER_READ_URL", "BROKER_WRITE_URL", "RESULT_BACKEND")
    theirs = {f"CELERY_{name}": elsewhere for name in names}
    theirs |= {"CELERY_CONFIG_MODULE": "other", "CELERY_LOADER": "other:Loader"}
    script = (
        "from facepaint.queue import Queue; from facepaint.settings import Settings; "
        f"Queue(Settings.load()).detect({JOB!r}, 0)"
    )
    environment = child_environment(settings, PYTHONPATH=f"{ROOT}:{tmp_path}", **theirs)
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert queue.length() == 1


def test_the_current_app_of_another_project_stays(settings: Settings) -> None:
    with Celery("other") as app:
        assert make_app(settings).main == "facepaint"
        assert celery.current_app.main == app.main


def test_a_worker_takes_nothing_from_another_projects_environment(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERY_WORKER_PURGE", "1")
    assert "CELERY_WORKER_PURGE" not in worker_environment(settings)


def test_acknowledged_messages_are_not_redelivered(queue: Queue, settings: Settings) -> None:
    queue.detect(JOB, 0)
    _consume(settings, 1)
    queue.redeliver_unacked()
    assert queue.length() == 0


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "method",
    [
        "detect",
        "check",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("length", "redeliver_unacked")),
    ],
)
def test_an_unreachable_broker_is_an_error_of_one_line(settings: Settings, method: str) -> None:
    url = f"redis://:secret@127.0.0.1:{free_port()}/0"
    queue = Queue(
        settings.model_copy(update={"broker_url": Settings.load(broker_url=url).broker_url})
    )
    with pytest.raises(QueueUnreachable) as caught:
        getattr(queue, method)(*((JOB, 0) if method == "detect" else ()))
    line = str(caught.value)
    assert line.startswith("the broker at redis://")
    assert line.endswith("does not answer; `facepaint doctor` checks it")
    assert "\n" not in line
    assert "secret" not in line


def test_a_wrong_password_is_refused(settings: Settings) -> None:
    assert settings.broker_url is not None
    host = settings.broker_url.get_secret_value().rpartition("@")[2]
    refused = Queue(
        Settings.load(broker_url=f"redis://:guess@{host}", s3_endpoint="http://127.0.0.1:1")
    )
    with pytest.raises(QueueUnreachable, match=r"^the broker at redis://") as caught:
        refused.detect(JOB, 0)
    assert str(caught.value).endswith("refuses the user name or password in FACEPAINT_BROKER_URL")
    anonymous = Queue(Settings.load(broker_url=f"redis://{host}", s3_endpoint="http://127.0.0.1:1"))
    with pytest.raises(QueueUnreachable, match="refuses the user name or password"):
        anonymous.check()


@pytest.mark.parametrize(
    ("keys", "channel", "sufficient"),
    [
        ("~facepaint:*", "&facepaint:/{}.celery.pidbox", True),
        ("~facepaint:*", "resetchannels", False),
        ("~other:*", "&facepaint:/{}.celery.pidbox", False),
    ],
)
def test_a_user_needs_the_rights_that_the_docs_list(
    keys: str, channel: str, sufficient: bool, settings: Settings
) -> None:
    assert settings.broker_url is not None
    url = settings.broker_url.get_secret_value()
    where, database = url.rpartition("@")[2], url.rpartition("/")[2]
    name = f"limited-{database}"
    rights = (keys, channel.format(database), "+@all", "-@dangerous")
    with redis.Redis.from_url(url) as client:
        client.execute_command("ACL", "SETUSER", name, "reset", "on", ">pass", *rights)
        limited = Settings.load(
            broker_url=f"redis://{name}:pass@{where}", s3_endpoint=settings.s3_endpoint
        )
        queue = Queue(limited)
        try:
            if sufficient:
                queue.check_rights()
                queue.redeliver_unacked()
                assert client.keys("*check-*") == []
            else:
                with pytest.raises(QueueUnreachable, match="gives its user too few rights"):
                    queue.check_rights()
        finally:
            client.execute_command("ACL", "DELUSER", name)


def test_a_queue_needs_services() -> None:
    with pytest.raises(
        ServiceError, match=r"^no facepaint services found: start them with `facepaint up`"
    ):
        Queue(Settings.load())


def _raw(settings: Settings, key: str) -> dict[str, Any]:
    """The only message in a list of the broker, as stored."""
    assert settings.broker_url is not None
    with redis.Redis.from_url(settings.broker_url.get_secret_value()) as client:
        (message,) = client.lrange(KEY_PREFIX + key, 0, -1)
    decoded: dict[str, Any] = json.loads(message)
    return decoded


def _arguments(message: dict[str, Any]) -> list[Any]:
    """Positional and named arguments of a task's message."""
    return list(json.loads(base64.b64decode(message["body"]))[:2])


def _consume(settings: Settings, count: int) -> list[tuple[str, str, int]]:
    """Take messages one by one with the configuration of a worker: task, job and index of each."""
    taken: list[tuple[str, str, int]] = []

    def take(body: Any, message: Message) -> None:
        _, named, _ = body
        taken.append(
            (message.headers["task"].removeprefix("facepaint."), named["job"], named["index"])
        )
        message.ack()

    app = make_app(settings)
    with app.connection_for_read() as connection:
        consumer = app.amqp.TaskConsumer(connection.default_channel)
        consumer.qos(prefetch_count=1)
        consumer.register_callback(take)
        with consumer:
            while len(taken) < count:
                connection.drain_events(timeout=5)
    return taken
