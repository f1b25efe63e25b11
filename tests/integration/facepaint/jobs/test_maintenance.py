"""Delete, resume and requeue, with a real storage and broker."""

import json
from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from facepaint.errors import JobError, StoreUnreachable, UnknownJob, UsageError
from facepaint.jobs.maintenance import delete_job, requeue_lost, requeue_stalled, resume_job
from facepaint.jobs.status import find_job, job_status, list_jobs
from facepaint.queue import PRIORITIES, QUEUES, Queue
from facepaint.records import keys
from facepaint.records.job import Sealed
from facepaint.records.results import Claim, Failed, Painted
from facepaint.retry import RetryPolicy
from facepaint.settings import Settings
from facepaint.store import Store
from tests.support.made_job import MadeJob, plain_job, sealed_job

Sent = set[tuple[str, int]]


def take_messages(queue: Queue) -> Sent:
    """Take all messages from the queues, as (task, segment)."""
    found: Sent = set()
    with queue.app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        for name in QUEUES:
            for step in range(PRIORITIES):
                while raw := channel.client.rpop(channel._q_for_pri(name, step)):
                    arguments = json.loads(b64decode(json.loads(raw)["body"]))[1]
                    found.add((name, arguments["index"]))
    return found


def names(store: Store, made: MadeJob) -> set[str]:
    return {row.key.removeprefix(keys.prefix(made.id)) for row in store.list(keys.prefix(made.id))}


def test_delete_leaves_only_a_tombstone(store: Store) -> None:
    made, other = sealed_job(store), sealed_job(store)
    made.detect(range(4))
    made.paint([0])
    assert delete_job(store, made.id) == 17
    assert [row.key for row in store.list("") if made.id in row.key] == [keys.deleted(made.id)]
    assert [row.id for row in list_jobs(store)] == [other.id]
    with pytest.raises(UnknownJob):
        find_job(store, made.id)
    with pytest.raises(UnknownJob, match="`facepaint jobs` lists them"):
        delete_job(store, made.id)


def test_delete_removes_what_is_stored_during_it(store: Store) -> None:
    """A worker that checked for the tombstone too early stores its result during the deletion."""
    made = sealed_job(store)

    class Racing(Store):
        late = True

        def delete(self, key: str) -> None:
            super().delete(key)
            if self.late:
                self.late = False
                made.paint([2])

    racing = Racing.__new__(Racing)
    racing.__dict__.update(store.__dict__)
    delete_job(racing, made.id)
    assert not names(store, made)


def test_resume_queues_only_what_is_missing(store: Store, queue: Queue) -> None:
    made = sealed_job(store)
    made.detect([0, 1, 2])
    made.paint([0])
    status = resume_job(store, queue, made.id)
    assert take_messages(queue) == {("detect", 3), ("paint", 1)}
    assert status.state == "working"
    made.detect([3])
    made.paint(range(4))
    assert resume_job(store, queue, made.id).state == "complete"
    assert take_messages(queue) == set()


def test_resume_retries_what_failed(store: Store, queue: Queue) -> None:
    made = sealed_job(store)
    made.detect([0, 1])
    store.put_record(keys.faces_failed(made.id, 2), Failed(2, "crashed", 3))
    made.detect([3])
    made.paint([0, 2])  # 2 was painted without knowing its faces
    made.fail_painting(1)
    made.fail_painting(3)
    store.put_record(
        keys.claim(made.id, "paint", 3, made.look.id), Claim("dead", 3, datetime.now(UTC))
    )
    assert job_status(store, made.id).state == "incomplete"
    resume_job(store, queue, made.id)
    assert take_messages(queue) == {("detect", 2)}, (
        "1 and 3 are woken once their neighbour has faces"
    )
    left = names(store, made)
    assert not [name for name in left if "failed" in name or "claims" in name]
    assert {name for name in left if name.endswith(".json") and "painted" in name} == {
        f"painted/{made.look.id}/000000.json"
    }
    assert len([name for name in left if name.endswith(".mp4")]) == 1


def test_resume_repaints_segments_that_are_blank_or_without_bytes(
    store: Store, queue: Queue
) -> None:
    made = sealed_job(store, filters=("blur",))
    made.detect(range(4))
    made.paint(range(4))
    blank, lost = (keys.painted(made.id, made.look.id, index) for index in (1, 2))
    store.put_record(blank, replace(store.get_record(blank, Painted), blank=True))
    store.delete(keys.painted_data(made.id, made.look.id, store.get_record(lost, Painted).name))
    resume_job(store, queue, made.id)
    assert take_messages(queue) == {("paint", 1), ("paint", 2)}
    assert job_status(store, made.id).keys.painted[made.look.id] == {0, 3}


def test_seal_finalizes_an_abandoned_job_before_its_first_gap(store: Store, queue: Queue) -> None:
    made = plain_job(store).begin()
    made.upload([0, 1, 3])
    made.detect([0, 1, 3])
    made.paint([0])
    with pytest.raises(UsageError, match=r"may still be uploading; .* in 10 minutes$"):
        resume_job(store, queue, made.id, seal=True)
    later = datetime.now(UTC) + timedelta(minutes=11)
    status = resume_job(store, queue, made.id, seal=True, now=later)
    assert (status.state, status.total, status.stored) == ("working", 2, 2)
    assert status.truncated == "the upload stopped after segment 1"
    assert store.get_record(keys.sealed(made.id), Sealed).segments == 2
    assert take_messages(queue) == {("paint", 1)}
    made.paint([1])
    assert job_status(store, made.id).state == "complete"
    assert not [name for name in names(store, made) if "000003" in name]


def test_a_job_without_a_first_segment_cannot_be_sealed(store: Store, queue: Queue) -> None:
    made = plain_job(store).begin()
    made.upload([1])
    later = datetime.now(UTC) + timedelta(minutes=11)
    with pytest.raises(JobError, match=f"`facepaint delete {made.id}` removes it"):
        resume_job(store, queue, made.id, seal=True, now=later)
    assert not store.exists(keys.sealed(made.id))


def test_requeue_sends_only_the_stalled_segment_while_queues_are_busy(
    store: Store, queue: Queue
) -> None:
    made = sealed_job(store)
    made.detect([0, 1, 2])
    queue.detect("20260101T000000-aaaaaaaa", 99)
    requeue_stalled(store, queue, made.id, made.look.id, 1)
    assert take_messages(queue) == {("detect", 99), ("paint", 1)}
    queue.detect("20260101T000000-aaaaaaaa", 99)
    requeue_stalled(store, queue, made.id, made.look.id, 2)
    assert take_messages(queue) == {("detect", 99), ("detect", 3)}, (
        "its neighbour's faces come first"
    )


def test_requeue_sends_everything_missing_to_empty_queues(store: Store, queue: Queue) -> None:
    made = sealed_job(store)
    made.detect([0, 1])
    requeue_stalled(store, queue, made.id, made.look.id, 0)
    assert take_messages(queue) == {("paint", 0), ("detect", 2), ("detect", 3)}


def test_a_broker_that_restarts_empty_gets_the_missing_messages_again(
    store: Store, queue: Queue, settings: Settings
) -> None:
    queue.unmark()
    made, done = sealed_job(store), sealed_job(store)
    done.detect(range(4))
    done.paint(range(4))
    assert requeue_lost(store, queue) == 4
    assert take_messages(queue) == {("detect", index) for index in range(4)}
    assert requeue_lost(store, queue) == 0, "nothing is lost"
    made.detect(range(4))
    assert settings.broker_url is not None
    with redis.Redis.from_url(settings.broker_url.get_secret_value()) as broker:
        broker.flushdb()
    assert requeue_lost(store, queue) == 4
    assert take_messages(queue) == {("paint", index) for index in range(4)}


def test_an_unreachable_storage_leaves_the_requeueing_to_another_call(
    store: Store, queue: Queue, settings: Settings
) -> None:
    queue.unmark()
    sealed_job(store)
    away = settings.model_copy(update={"s3_endpoint": "http://127.0.0.1:9"})
    with pytest.raises(StoreUnreachable):
        requeue_lost(Store(away, RetryPolicy(attempts=1)), queue)
    assert requeue_lost(store, queue) == 4
    take_messages(queue)
