"""`follow` yields painted segments in order while they are being painted, and survives failures."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from facepaint.errors import (
    InputError,
    JobDeleted,
    JobError,
    QueueUnreachable,
    StoreUnreachable,
    UnknownJob,
)
from facepaint.records import keys
from facepaint.records.results import Failed, Painted
from facepaint.retry import RetryPolicy
from facepaint.settings import Settings
from facepaint.store import ObjectInfo, Store
from tests.support.helpers import eventually
from tests.support.made_job import MadeJob, plain_job
from viewer.follow import FollowOptions, Gap, PaintedSegment, follow, wait_until_sealed

QUICK = FollowOptions(retry=RetryPolicy(0.05, 0.1))


class ObservedStore(Store):
    """Notes when each key was requested, and can be made unreachable.

    ``before_get`` is called with the key of each object that is read.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.requests: dict[str, list[float]] = defaultdict(list)
        self.listed = False
        self.unreachable = threading.Event()
        self.before_get: Callable[[str], None] = lambda _: None

    def list(
        self, prefix: str, *, folders: bool = False, start_after: str = ""
    ) -> Iterator[ObjectInfo]:
        self.listed = True
        return super().list(prefix, folders=folders, start_after=start_after)

    def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        self._note(key)
        self.before_get(key)
        return super().get(key, start, end)

    def exists(self, key: str) -> bool:
        self._note(key)
        return super().exists(key)

    def _note(self, key: str) -> None:
        if self.unreachable.is_set():
            raise StoreUnreachable("the object storage is unreachable")
        self.requests[key].append(time.monotonic())


class Following:
    """A `follow` running in a thread, and what it has yielded so far."""

    def __init__(
        self,
        made: MadeJob,
        store: Store | None = None,
        options: FollowOptions | None = None,
        start: int = 0,
    ) -> None:
        self.items: list[PaintedSegment | Gap] = []
        self.error: Exception | None = None
        self.troubles: list[str] = []
        self.stop = threading.Event()
        options = replace(options or QUICK, on_trouble=self.troubles.append, stop=self.stop)
        self._items = follow(store or made.store, made.id, made.look.id, start, options)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.items.extend(iter(self._items))
        except Exception as exc:  # noqa: BLE001 - for the test to look at
            self.error = exc

    @property
    def indexes(self) -> list[int]:
        return [item.index for item in self.items]

    def end(self) -> "Following":
        self.thread.join(30)
        assert not self.thread.is_alive()
        return self


@pytest.fixture
def observed(settings: Settings, store: Store) -> ObservedStore:
    return ObservedStore(settings)


@pytest.fixture
def made(store: Store) -> MadeJob:
    """A sealed job of four segments, none painted."""
    made = plain_job(store).begin()
    made.upload(range(4))
    made.seal()
    return made


def data_key(made: MadeJob, index: int) -> str:
    record = made.store.get_record(keys.painted(made.id, made.look.id, index), Painted)
    return keys.painted_data(made.id, made.look.id, record.name)


def test_segments_come_in_order_while_later_ones_are_painted(made: MadeJob) -> None:
    following = Following(made)
    made.paint([2])
    made.paint([0])
    eventually(lambda: following.indexes == [0])
    made.paint([1])
    eventually(lambda: following.indexes == [0, 1, 2])
    assert following.thread.is_alive()
    made.paint([3])
    assert following.end().indexes == [0, 1, 2, 3]
    assert following.error is None
    for item in following.items:
        assert isinstance(item, PaintedSegment)
        assert len(item.data) == item.record.bytes


def test_the_end_comes_with_the_seal(store: Store) -> None:
    made = plain_job(store).begin()
    made.upload(range(4))
    made.paint(range(4))
    following = Following(made)
    eventually(lambda: following.indexes == [0, 1, 2, 3])
    assert following.thread.is_alive(), "a fifth segment may still come"
    made.seal()
    assert following.end().error is None


def test_nothing_is_listed_and_no_key_requested_too_often(
    made: MadeJob, observed: ObservedStore
) -> None:
    following = Following(made, observed, options=FollowOptions(retry=RetryPolicy(0.2, 0.4)))
    eventually(lambda: observed.requests[keys.sealed(made.id)])
    made.paint([1])
    first = keys.painted(made.id, made.look.id, 0)
    eventually(lambda: len(observed.requests[first]) >= 4)
    made.paint([0, 2, 3])
    following.end()
    assert following.indexes == [0, 1, 2, 3]
    assert not observed.listed
    painted = {
        key: times
        for key, times in observed.requests.items()
        if "/painted/" in key and key.endswith(".json")
    }
    for key, times in painted.items():
        assert len(times) - 2 <= (times[-1] - times[0]) / 0.2, key
    assert max(painted) < keys.painted_data(made.id, made.look.id, "000004"), (
        "a sealed job's end is known"
    )


def test_a_failed_segment_is_a_gap_and_a_result_takes_precedence(made: MadeJob) -> None:
    made.paint([0, 1, 3])
    made.fail_painting(1, "crashed")
    made.fail_painting(2, "crashed 3 times")
    following = Following(made, start=1).end()
    assert following.indexes == [1, 2, 3]
    assert isinstance(following.items[0], PaintedSegment)
    assert following.items[1] == Gap(2, "crashed 3 times")


def test_the_storage_may_be_unreachable_for_a_while(made: MadeJob, observed: ObservedStore) -> None:
    following = Following(made, observed)
    made.paint([0])
    eventually(lambda: following.indexes == [0])
    observed.unreachable.set()
    eventually(lambda: len(following.troubles) >= 2)
    made.paint([1, 2, 3])
    observed.unreachable.clear()
    following.end()
    assert following.indexes == [0, 1, 2, 3]
    assert following.troubles[0] == "the object storage is unreachable; trying again"


def test_a_storage_that_stays_unreachable_is_an_error(
    made: MadeJob, observed: ObservedStore
) -> None:
    options = FollowOptions(retry=RetryPolicy(0.05, 0.05, deadline_s=0.3))
    following = Following(made, observed, options=options)
    observed.unreachable.set()
    assert isinstance(following.end().error, StoreUnreachable)


def test_bytes_replaced_by_a_later_writer_are_read_from_there(made: MadeJob) -> None:
    """The bytes of the record that was read are gone, because a later record replaced it."""
    made.paint(range(4))
    key = data_key(made, 0)
    data = made.store.get(key)
    made.store.delete(key)
    following = Following(
        made, options=FollowOptions(retry=RetryPolicy(0.05, 0.1), damaged_tries=1000)
    )
    record = made.store.get_record(keys.painted(made.id, made.look.id, 0), Painted)
    later = replace(record, name="000000-0123456789ab.mp4")
    made.store.put(keys.painted_data(made.id, made.look.id, later.name), data)
    made.store.put_record(keys.painted(made.id, made.look.id, 0), later)
    following.end()
    assert following.indexes == [0, 1, 2, 3]
    assert isinstance(following.items[0], PaintedSegment)
    assert following.items[0].record.name == "000000-0123456789ab.mp4"


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_bytes_that_stay_damaged_are_an_error_that_names_them(damage: str, made: MadeJob) -> None:
    made.paint(range(4))
    key = data_key(made, 1)
    if damage == "gone":
        made.store.delete(key)
    else:
        made.store.put(key, made.store.get(key)[:-1])
    following = Following(made).end()
    assert following.indexes == [0]
    assert isinstance(following.error, JobError)
    assert key in str(following.error)
    assert f"`facepaint resume {made.id}` paints it again" in str(following.error)


def test_a_deleted_job_ends_the_wait(made: MadeJob) -> None:
    following = Following(made)
    made.paint([0])
    eventually(lambda: following.indexes == [0])
    made.store.put(keys.deleted(made.id), b"")
    assert isinstance(following.end().error, JobDeleted)


def test_an_abandoned_upload_ends_the_waiting(store: Store) -> None:
    made = plain_job(store).begin()
    made.upload([0])
    made.paint([0])
    options = FollowOptions(retry=RetryPolicy(0.05, 0.05), abandoned_s=0.3)
    following = Following(made, options=options).end()
    assert following.indexes == [0]
    assert f"`facepaint resume {made.id} --seal`" in str(following.error)
    with pytest.raises(JobError, match="stopped before its end"):
        wait_until_sealed(store, made.id, options=options)


def test_slow_workers_do_not_make_an_upload_abandoned(store: Store) -> None:
    """The awaited segment is stored, so the workers are late and not the upload."""
    made = plain_job(store).begin()
    made.upload(range(2))
    requeued = threading.Event()
    options = FollowOptions(retry=RetryPolicy(0.05, 0.05), abandoned_s=0.2, requeue_after_s=0.8)
    following = Following(
        made, options=replace(options, requeue_stalled=lambda index: requeued.set())
    )
    assert requeued.wait(20), "that comes well after the upload is taken to be abandoned"
    made.upload([2, 3])
    made.paint(range(4))
    made.seal()
    assert following.end().indexes == [0, 1, 2, 3]


def test_the_awaited_segment_is_requeued_whatever_the_broker_does(made: MadeJob) -> None:
    requeued: list[int] = []

    def requeue_stalled(index: int) -> None:
        requeued.append(index)
        if len(requeued) == 1:
            raise QueueUnreachable("the broker is unreachable")
        made.paint([index])

    made.paint([0, 2, 3])
    options = FollowOptions(retry=RetryPolicy(0.05, 0.05), requeue_after_s=0.2)
    following = Following(made, options=replace(options, requeue_stalled=requeue_stalled)).end()
    assert following.indexes == [0, 1, 2, 3]
    assert requeued == [1, 1]
    assert following.troubles == ["the broker is unreachable; trying again"]


def test_stopping_ends_the_iteration(made: MadeJob) -> None:
    following = Following(made)
    following.stop.set()
    assert following.end().error is None
    assert following.items == []


def test_a_missing_job_or_look_cannot_be_followed(made: MadeJob) -> None:
    with pytest.raises(UnknownJob, match="`facepaint jobs` lists them"):
        next(follow(made.store, "20260101T000000-aaaaaaaa", made.look.id))
    with pytest.raises(InputError, match=f"`facepaint status {made.id}` lists them"):
        next(follow(made.store, made.id, "0" * 12))


def test_a_mark_replaced_by_a_result_is_no_gap(made: MadeJob, observed: ObservedStore) -> None:
    """The result is stored between the request for the record and that for the mark."""
    made.store.put_record(keys.painted_failed(made.id, made.look.id, 0), Failed(0, "crashed", 3))
    made.paint(range(1, 4))
    record = keys.painted(made.id, made.look.id, 0)
    once = iter([True])

    def paint_late(key: str) -> None:
        if key.endswith("000000.failed.json") and next(once, False):
            made.paint([0])

    observed.before_get = paint_late
    following = Following(made, observed).end()
    assert [type(item) for item in following.items] == [PaintedSegment] * 4
    assert observed.requests[record]
