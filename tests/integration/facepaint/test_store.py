"""The storage's contract, against a real S3 server."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from facepaint.errors import ObjectMissing, RecordInvalid, StoreUnreachable
from facepaint.records.job import Sealed
from facepaint.records.results import Failed
from facepaint.settings import Settings
from facepaint.stack.components import free_port
from facepaint.store import ObjectInfo, Store, isolated_session


def test_an_object_comes_back_byte_for_byte(store: Store) -> None:
    data = bytes(range(256)) * 2000
    store.put("jobs/x/source/000000.bin", data)
    assert store.get("jobs/x/source/000000.bin") == data


def test_an_empty_object_is_an_object(store: Store) -> None:
    store.put("deleted/x", b"")
    assert store.get("deleted/x") == b""
    assert store.exists("deleted/x")


def test_a_second_put_replaces_the_whole_object(store: Store) -> None:
    store.put("k", b"long before")
    store.put("k", b"new")
    assert store.get("k") == b"new"


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(0, 4, b"0123"), (3, 7, b"3456"), (7, None, b"789"), (0, 1, b"0"), (8, 100, b"89")],
)
def test_a_range_is_half_open(store: Store, start: int, end: int | None, expected: bytes) -> None:
    store.put("k", b"0123456789")
    assert store.get("k", start, end) == expected


def test_a_missing_object_is_an_error_or_none(store: Store) -> None:
    with pytest.raises(ObjectMissing, match=r"^nothing is stored under jobs/x/job\.json$"):
        store.get("jobs/x/job.json")
    assert store.find("jobs/x/job.json") is None
    assert store.find_record("jobs/x/sealed.json", Sealed) is None
    assert not store.exists("jobs/x/job.json")


def test_listing_gives_keys_in_order_with_sizes_and_times(store: Store) -> None:
    before = datetime.now(UTC)
    for index in (2, 0, 1):
        store.put(f"jobs/x/source/{index:06d}.bin", b"x" * index)
    store.put("jobs/y/job.json", b"{}")
    found = list(store.list("jobs/x/"))
    assert [info.key for info in found] == [f"jobs/x/source/{index:06d}.bin" for index in range(3)]
    assert [info.bytes for info in found] == [0, 1, 2]
    for info in found:
        assert info.modified is not None
        assert abs(info.modified - before) < timedelta(minutes=1)


def test_listing_by_level_shows_folders(store: Store) -> None:
    for key in ("jobs/a/job.json", "jobs/a/source/000000.json", "jobs/b/job.json", "jobs/readme"):
        store.put(key, b"{}")
    found = list(store.list("jobs/", folders=True))
    assert {info.key for info in found} == {"jobs/a/", "jobs/b/", "jobs/readme"}
    assert ObjectInfo("jobs/a/") in found


def test_listing_starts_after_a_key(store: Store) -> None:
    for index in range(5):
        store.put(f"k/{index}", b"")
    assert [info.key for info in store.list("k/", start_after="k/2")] == ["k/3", "k/4"]
    assert list(store.list("k/", start_after="k/4")) == []


def test_listing_nothing(store: Store) -> None:
    assert list(store.list("jobs/none/")) == []


@pytest.mark.slow
def test_a_listing_continues_after_a_page(store: Store) -> None:
    expected = [f"k/{index:04d}" for index in range(1005)]
    for key in expected:
        store.put(key, b"")
    assert [info.key for info in store.list("k/")] == expected


def test_deleting_is_final_and_may_be_repeated(store: Store) -> None:
    store.put("k", b"x")
    store.delete("k")
    store.delete("k")
    assert not store.exists("k")


def test_records_come_back_equal(store: Store) -> None:
    record = Failed(index=3, reason="decoder: corrupt packet", tries=3)
    store.put_record("jobs/x/faces/000003.failed.json", record)
    assert store.get_record("jobs/x/faces/000003.failed.json", Failed) == record


def test_a_damaged_record_is_named_by_its_key(store: Store) -> None:
    store.put("jobs/x/sealed.json", b'{"segments": "many"}')
    with pytest.raises(
        RecordInvalid, match=r"^jobs/x/sealed\.json is not a Sealed record: segments: "
    ):
        store.get_record("jobs/x/sealed.json", Sealed)


def test_making_the_bucket_again_changes_nothing(store: Store, settings: Settings) -> None:
    store.put("k", b"x")
    Store(settings).make_bucket()
    assert store.get("k") == b"x"


def test_a_wrong_key_is_refused_in_one_line(store: Store, settings: Settings) -> None:
    refused = Store(Settings.load(**_connection(settings) | {"s3_secret_key": "wrong"}))
    store.put("k", b"x")
    for attempt in (
        lambda: refused.get("k"),
        lambda: refused.put("k", b"y"),
        refused.make_bucket,
    ):
        with pytest.raises(StoreUnreachable) as caught:
            attempt()
        line = str(caught.value)
        assert line.startswith(f"the object storage at {settings.s3_endpoint} refused (")
        assert "facepaint doctor" in line
        assert "\n" not in line
        assert "wrong" not in line
    assert store.get("k") == b"x"


def test_requests_without_a_key_are_refused(store: Store, settings: Settings) -> None:
    store.put("k", b"a secret")
    url = f"{settings.s3_endpoint}/{settings.s3_bucket}"
    for address in (f"{url}/k", url, str(settings.s3_endpoint)):
        answer = httpx.get(address, trust_env=False)
        assert answer.is_client_error
        assert b"a secret" not in answer.content
        assert b"<Key>" not in answer.content


def test_a_storage_that_does_not_listen_is_unreachable_in_one_line(settings: Settings) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    unreachable = Store(Settings.load(**_connection(settings) | {"s3_endpoint": endpoint}))
    with pytest.raises(StoreUnreachable) as caught:
        unreachable.get("jobs/x/job.json")
    assert str(caught.value) == (
        f"the object storage at {endpoint} does not answer for jobs/x/job.json; `facepaint "
        "doctor` checks it"
    )


def test_a_proxy_in_the_environment_does_not_catch_the_loopback(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    store = Store(settings)
    store.make_bucket()
    store.put("k", b"x")
    assert store.get("k") == b"x"


def test_a_profile_of_another_storage_is_ignored(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "of-another-storage")
    isolated_session.cache_clear()
    Store(settings).make_bucket()


def _connection(settings: Settings) -> dict[str, object]:
    return {
        "broker_url": settings.broker_url,
        "s3_endpoint": settings.s3_endpoint,
        "s3_access_key": settings.s3_access_key,
        "s3_secret_key": settings.s3_secret_key,
        "s3_bucket": settings.s3_bucket,
    }
