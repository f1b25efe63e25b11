"""Real services for the tests: Valkey and an S3 server on free ports, one pair for each session and
xdist worker.

``settings`` gives every test a bucket and a broker database of its own. Nothing of the developer's
is read or changed: environment, home and working folder are replaced for the whole session.
"""

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
import redis

from facepaint.queue import Queue
from facepaint.settings import Settings
from facepaint.stack import components
from facepaint.stack.processes import Child, Children, wait_until_ready
from facepaint.stack.stack import Stack
from facepaint.store import Store
from tests.support.clips import Media

# A deadline for each example would be a timed assert: it fails on a busy machine.
hypothesis.settings.register_profile("facepaint", deadline=None)
hypothesis.settings.load_profile("facepaint")

_numbers = itertools.count(1)

_DATABASES = 15
"""Valkey has databases 0 to 15; 0 is the stack's own."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that rewrites the fidelity page."""
    parser.addoption(
        "--update-fidelity", action="store_true", help="write docs/fidelity.md instead of comparing"
    )


@pytest.fixture(scope="session", autouse=True)
def _isolated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No variable, home folder or connection file of the developer is found."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # Started in the background of a shell, which children would inherit: Ctrl-C is tested too.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    folder = tmp_path_factory.mktemp("isolated")
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("FACEPAINT_", "AWS_", "RCLONE_")) and name != "FACEPAINT_CLIPS":
                patch.delenv(name)
        patch.setenv("HOME", str(folder))
        patch.setenv("XDG_DATA_HOME", str(folder / "data"))
        (folder / "work").mkdir()
        patch.chdir(folder / "work")
        yield


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A running broker and object storage; their settings. Tests take ``settings`` rather than
    this."""
    with Stack(
        tmp_path_factory.mktemp("services"), Settings.load(), workers=0, viewer=False
    ) as stack:
        yield stack.settings


@pytest.fixture
def settings(services: Settings, tmp_path: Path) -> Settings:
    """Settings of a bucket (not made yet) and an empty broker database that no other test sees."""
    number = next(_numbers)
    assert services.broker_url is not None
    broker = (
        f"{services.broker_url.get_secret_value().rpartition('/')[0]}/{1 + number % _DATABASES}"
    )
    with redis.Redis.from_url(broker) as client:
        client.flushdb()
    return Settings.load(
        home=tmp_path / "home",
        broker_url=broker,
        s3_endpoint=services.s3_endpoint,
        s3_access_key=services.s3_access_key,
        s3_secret_key=services.s3_secret_key,
        s3_bucket=f"test-{number:04d}",
        worker_name=f"test-{os.getpid()}-{number}",
    )


@pytest.fixture
def store(settings: Settings) -> Store:
    """The store of ``settings``, its bucket made."""
    store = Store(settings)
    store.make_bucket()
    return store


@pytest.fixture
def queue(settings: Settings) -> Iterator[Queue]:
    """The queue of ``settings``."""
    queue = Queue(settings)
    yield queue
    queue.app.close()


StartWorker = Callable[..., Child]


@pytest.fixture
def start_worker(settings: Settings, store: Store, tmp_path: Path) -> Iterator[StartWorker]:
    """Start real Celery workers: ``start_worker(settings, name="worker", queues=..., processes=1,
    pool=...)``.

    Returns, once the worker answers, the `Child`: its ``pid`` (the master's, and the process
    group's), ``recipe.log``,
    ``signal``, ``wait`` and ``kill``. Two at once need two names. All are killed at the end.
    """
    children = Children()
    (tmp_path / "logs").mkdir()

    def start(settings: Settings = settings, name: str = "worker", **options: object) -> Child:
        named = settings.model_copy(update={"worker_name": f"{settings.worker_name}-{name}"})
        child = children.start(
            components.worker(tmp_path, named, name, **{"processes": 1, **options})
        )
        wait_until_ready(child, 60)
        return child

    yield start
    children.close()


@pytest.fixture(scope="session")
def clips() -> Path:
    """The folder of real clips."""
    folder = os.environ.get("FACEPAINT_CLIPS")
    if not folder or not Path(folder).is_dir():
        pytest.skip("FACEPAINT_CLIPS does not name the folder of real clips")
    return Path(folder)


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Media:
    """Makes clips of the torture set by name, each once for all processes of a test session."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    (shared / "media").mkdir(exist_ok=True)
    return Media(shared / "media")
