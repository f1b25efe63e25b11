"""TLS to broker and storage: certificates are verified."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from benchmarks.clips import make_portrait_clip
from facepaint.client import Client
from facepaint.errors import QueueUnreachable, StoreUnreachable
from facepaint.queue import Queue
from facepaint.retry import RetryPolicy
from facepaint.settings import Settings
from facepaint.store import Store
from tests.conftest import StartWorker
from tests.support.tls import make_certificate, tls_proxy

ONCE = RetryPolicy(first_delay_s=0.01, longest_delay_s=0.01, attempts=1)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1."""
    return make_certificate(tmp_path, "127.0.0.1")


@pytest.fixture
def encrypted(settings: Settings, certificate: Path) -> Iterator[Settings]:
    """The settings of broker and storage behind TLS, without the certificate's authority."""
    assert settings.broker_url is not None
    broker = urlsplit(settings.broker_url.get_secret_value())
    storage = urlsplit(str(settings.s3_endpoint))
    with (
        tls_proxy(broker.port or 0, certificate) as broker_port,
        tls_proxy(storage.port or 0, certificate) as storage_port,
    ):
        yield Settings.load(
            broker_url=f"rediss://:{broker.password}@127.0.0.1:{broker_port}{broker.path}",
            s3_endpoint=f"https://127.0.0.1:{storage_port}",
            s3_access_key=settings.s3_access_key,
            s3_secret_key=settings.s3_secret_key,
            s3_bucket=settings.s3_bucket,
        )


def with_authority(settings: Settings, certificate: Path, **changes: object) -> Settings:
    """Settings that trust a certificate."""
    known = {name: getattr(settings, name) for name in settings.model_fields_set - {"found_in"}}
    return Settings.load(**(known | {"ca_file": certificate} | changes))


def test_a_certificate_of_an_unknown_authority_is_refused(encrypted: Settings) -> None:
    refused = r"certificate that is refused \(self-signed certificate\); FACEPAINT_CA_FILE names"
    with pytest.raises(QueueUnreachable, match=rf"^the broker at rediss://\S+ has a {refused}"):
        Queue(encrypted, retry=ONCE).check()
    with pytest.raises(StoreUnreachable, match=rf"storage at https://\S+ has a {refused}"):
        Store(encrypted, ONCE).make_bucket()


def test_a_certificate_is_accepted_with_its_authority(
    encrypted: Settings, certificate: Path
) -> None:
    trusting = with_authority(encrypted, certificate)
    queue, store = Queue(trusting), Store(trusting)
    queue.detect("20261122T120000-abcdefgh", 0)
    assert queue.length() == 1
    store.make_bucket()
    store.put("key", b"bytes")
    assert store.get("key") == b"bytes"


@pytest.mark.slow
def test_a_worker_paints_over_tls(
    encrypted: Settings, certificate: Path, start_worker: StartWorker, tmp_path: Path
) -> None:
    trusting = with_authority(encrypted, certificate, worker_name="encrypted")
    client = Client(trusting)
    client.store.make_bucket()
    start_worker(trusting)
    clip = make_portrait_clip(tmp_path / "clip.mp4", seconds=4)
    job_id = client.upload(clip, ["sunglasses"]).job_id
    assert client.wait(job_id, poll_s=0.2).state == "complete"


def test_a_certificate_for_another_host_is_refused(encrypted: Settings, certificate: Path) -> None:
    assert encrypted.broker_url is not None
    other = with_authority(
        encrypted,
        certificate,
        broker_url=encrypted.broker_url.get_secret_value().replace("127.0.0.1", "localhost"),
        s3_endpoint=str(encrypted.s3_endpoint).replace("127.0.0.1", "localhost"),
    )
    with pytest.raises(QueueUnreachable, match=r"is refused \(Hostname mismatch"):
        Queue(other, retry=ONCE).check()
    with pytest.raises(StoreUnreachable, match=r"is refused \(hostname 'localhost' doesn't match"):
        Store(other, ONCE).make_bucket()


def test_a_storage_without_tls_is_said_to_speak_none(settings: Settings) -> None:
    url = str(settings.s3_endpoint).replace("http://", "https://")
    encrypted = settings.model_copy(update={"s3_endpoint": url})
    with pytest.raises(StoreUnreachable, match="does not speak TLS as expected"):
        Store(encrypted, ONCE).make_bucket()
