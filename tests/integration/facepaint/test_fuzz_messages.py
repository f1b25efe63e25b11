"""A real worker and malformed messages in every place that it reads."""

import json
import random
from pathlib import Path

import psutil
import pytest
import redis

from benchmarks.clips import make_portrait_clip
from facepaint.client import Client
from facepaint.queue import DETECT, KEY_PREFIX, PAINT
from facepaint.settings import Settings
from tests.conftest import StartWorker
from tests.support.helpers import eventually
from tests.support.messages import (
    FOREIGN_ARGUMENTS,
    HARMLESS,
    MALFORMED,
    encoded,
    mutated,
    task_message,
)

SEEDS = (1, 2, 3)
MESSAGES = 300

SHUTDOWN = task_message() | {"body": encoded({"method": "shutdown", "ticket": "t"})}
CONTROL = (b"5", b"[]", b"not JSON", b"{}", json.dumps(SHUTDOWN).encode())


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_a_worker_survives_every_message(
    pool: str, settings: Settings, start_worker: StartWorker, tmp_path: Path
) -> None:
    # Short, so that the sweep for unacknowledged messages meets the malformed ones.
    patient = settings.model_copy(update={"visibility_timeout_s": 20, "task_time_limit_s": 15})
    worker = start_worker(patient, pool=pool)
    assert not list(Path(psutil.Process(worker.pid).cwd()).iterdir()), "it works in an empty folder"
    children = {child.pid for child in psutil.Process(worker.pid).children(recursive=True)}
    foreign = [
        json.dumps(task_message(task, **arguments)).encode()
        for task in (DETECT, PAINT)
        for arguments in FOREIGN_ARGUMENTS
    ]
    fuzzed = [
        mutated(rng) for rng in map(random.Random, SEEDS) for _ in range(MESSAGES // len(SEEDS))
    ]
    assert settings.broker_url is not None
    with redis.Redis.from_url(settings.broker_url.get_secret_value()) as broker:
        database = broker.connection_pool.connection_kwargs["db"]
        for raw in CONTROL:
            broker.publish(f"{KEY_PREFIX}/{database}.celery.pidbox", raw)
        for tag, raw in enumerate((b"5", b"not JSON", b"[1, 2, 3]", b'[{}, "", "detect"]', b"{}")):
            broker.hset(f"{KEY_PREFIX}unacked", str(tag), raw)
            broker.zadd(f"{KEY_PREFIX}unacked_index", {str(tag): 1})
        for raw in (*MALFORMED.values(), *HARMLESS.values(), *foreign, *fuzzed):
            broker.lpush(f"{KEY_PREFIX}detect", raw)
        client = Client(patient)
        job_id = client.upload(
            make_portrait_clip(tmp_path / "clip.mp4", seconds=2), ["sunglasses"]
        ).job_id
        assert client.wait(job_id, poll_s=0.2).state == "complete"
        eventually(lambda: not broker.hlen(f"{KEY_PREFIX}unacked"), timeout_s=60)
    assert {child.pid for child in psutil.Process(worker.pid).children(recursive=True)} == children
    log = worker.recipe.log.read_text()
    assert "Unrecoverable error" not in log
    assert "Warm shutdown" not in log
    assert log.count("a message in the queue is dropped") >= len(MALFORMED)
    assert "a control message is dropped" in log
