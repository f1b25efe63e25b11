"""Settings with their units and defaults, and how a command finds its services.

The first of these that names the services wins:

1. ``FACEPAINT_*`` variables and ``.env``
2. the file that ``FACEPAINT_CONNECTION_FILE`` names
3. ``.facepaint/connection.json`` in the working folder or a parent; compose writes it
4. ``connection.json`` in ``FACEPAINT_HOME``; ``facepaint up`` writes it
"""

import json
import os
import socket
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from facepaint.devices import Device
from facepaint.errors import ServiceError, UsageError
from facepaint.media.encoders import EncoderName
from facepaint.records.detector_card import DEFAULT_DETECTOR
from facepaint.service_urls import broker_url, storage_url
from facepaint.tls import check_authorities

Preset = Literal[
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
]

CONNECTION_NAME = "connection.json"
ENV_FILE = ".env"
ENV_ENCODING = "utf-8-sig"
"""Editors on Windows may write a byte order mark, which would become part of the first name."""

CONNECTION_FIELDS = frozenset(
    {
        "broker_url",
        "s3_endpoint",
        "s3_access_key",
        "s3_secret_key",
        "s3_region",
        "s3_bucket",
        "viewer_url",
    }
)
"""Settings that a connection file may contain; others in it are ignored."""


def default_home() -> Path:
    """The data folder: ``FACEPAINT_HOME``, else the platform's user data folder."""
    return Path(
        os.environ.get("FACEPAINT_HOME") or platformdirs.user_data_dir("facepaint", appauthor=False)
    )


def cache_folder() -> Path:
    """Folder of downloaded files: below ``FACEPAINT_HOME``, else the platform's cache folder."""
    home = os.environ.get("FACEPAINT_HOME")
    if home:
        return Path(home) / "cache"
    return Path(platformdirs.user_cache_dir("facepaint", appauthor=False))


def find_connection_file() -> Path | None:
    """The connection file to read, in the order above, or None.

    Raises:
        UsageError: the file that ``FACEPAINT_CONNECTION_FILE`` names does not exist.
    """
    named = os.environ.get("FACEPAINT_CONNECTION_FILE")
    if named:
        if not Path(named).is_file():
            raise UsageError(f"FACEPAINT_CONNECTION_FILE names {named}, which is not a file")
        return Path(named)
    here = Path.cwd()
    candidates = [folder / ".facepaint" / CONNECTION_NAME for folder in (here, *here.parents)]
    candidates.append(default_home() / CONNECTION_NAME)
    return next((path for path in candidates if path.is_file()), None)


class _ConnectionFileSource(PydanticBaseSettingsSource):
    """Reads the connection file, unless the environment already names a broker and a store."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        state = self.current_state
        # All or nothing: the keys of one storage must not be sent to another.
        if "broker_url" in state and "s3_endpoint" in state:
            return {"found_in": "FACEPAINT_* variables"}
        path = find_connection_file()
        if path is None:
            return {}
        return _read_connection(path) | {"found_in": str(path)}


def _read_connection(path: Path) -> dict[str, str]:
    """The settings in a connection file.

    Raises:
        UsageError: it cannot be read, or is not what the services write.
    """
    try:
        facts = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as exc:
        problem = exc.strerror if isinstance(exc, OSError) else "not JSON"
        raise UsageError(
            f"{path} cannot be read ({problem}); stop the services that wrote it and start them "
            "again"
        ) from exc
    if not isinstance(facts, dict):
        raise UsageError(f"{path} is not a connection file: it has no JSON object")
    connection = {name: facts[name] for name in CONNECTION_FIELDS if name in facts}
    for name, value in connection.items():
        if not isinstance(value, str):
            raise UsageError(f"{path}: {name} must be text in quotation marks")
    return connection


def _check_env_file() -> None:
    """Raise `UsageError` if there is a ``.env`` that is not text in UTF-8."""
    path = Path(ENV_FILE)
    try:
        if not path.is_file():
            return
        text = path.read_text(ENV_ENCODING)
        problem = "it is not text in UTF-8" if "\0" in text else ""
    except UnicodeDecodeError:
        problem = "it is not text in UTF-8"
    except OSError as exc:
        problem = str(exc.strerror)
    if problem:
        raise UsageError(
            f"{path.absolute()} cannot be read ({problem}): save it as UTF-8, or move it away"
        )


class Settings(BaseSettings):
    """All settings, read once at the entry point and passed down."""

    model_config = SettingsConfigDict(
        env_prefix="FACEPAINT_",
        env_file=ENV_FILE,
        env_file_encoding=ENV_ENCODING,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    home: Path = Field(
        default_factory=default_home, description="data folder of the embedded services"
    )
    found_in: str = Field("", description="where the services were found; filled in, not set")

    broker_url: SecretStr | None = Field(
        None, description="redis://:password@host:port/0 of Redis or Valkey; rediss:// with TLS"
    )
    s3_endpoint: str | None = Field(
        None, description="URL of the object storage as this machine reaches it"
    )
    s3_access_key: SecretStr = Field(SecretStr(""), description="access key of the object storage")
    s3_secret_key: SecretStr = Field(SecretStr(""), description="secret key of the object storage")
    s3_region: str = Field(
        "us-east-1",
        pattern=r"^[A-Za-z][A-Za-z0-9-]{0,61}[A-Za-z0-9]$",
        description="region the requests are signed for",
    )
    s3_bucket: str = Field(
        "facepaint",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$",
        description="bucket; created if missing",
    )
    ca_file: Path | None = Field(
        None,
        description="PEM file of who signed the certificates of broker and storage",
    )
    viewer_url: str | None = Field(
        None, description="URL of a running viewer; `view` opens its page there"
    )

    segment_s: float = Field(
        2.0, gt=0, le=60, description="shortest length of a segment, in seconds"
    )
    upload_parallel: int = Field(4, ge=1, le=32, description="objects uploaded at once")
    detector: str = Field(
        DEFAULT_DETECTOR, description="face detector: a name, or a file PATH.onnx"
    )
    min_face: float = Field(
        0.06,
        gt=0.005,
        le=0.5,
        description="smallest face to detect, as a share of the frame's height",
    )
    device: Device = Field(
        "auto",
        description="where a worker runs the detector; auto: cuda if available, else the CPU",
    )
    detect_batch: int | None = Field(
        None, ge=1, le=256, description="frames detected at once; unset: 4 on a CPU, 16 on a GPU"
    )
    float16: bool = Field(
        False, description="run the detector in half precision; needs cuda or tensorrt"
    )
    encoder: EncoderName | None = Field(
        None,
        description="video encoder; unset: libx264, or libx265 if more than 8 bits are kept",
    )
    crf: int = Field(
        20,
        ge=0,
        le=51,
        description="quality on x264's scale, for every encoder; lower is better and larger",
    )
    preset: Preset = Field(
        "superfast",
        description="preset by x264's names, for every encoder; slower gives smaller files",
    )
    keep_format: bool = Field(False, description="keep the source's bit depth, chroma and HDR")

    worker_name: str = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}",
        description="name of a worker, unique among the workers; unset: host and process id",
    )
    threads: int = Field(
        1, ge=1, le=64, description="threads of each worker process's detector and codecs"
    )
    # Celery's default of an hour would stop a player for an hour when a worker dies.
    visibility_timeout_s: int = Field(
        120, ge=2, description="an unfinished task is redelivered after this, in seconds"
    )
    task_time_limit_s: int = Field(
        100,
        ge=1,
        description="a task is killed after this, in seconds; less than the visibility timeout",
    )
    max_tries: int = Field(
        3, ge=1, description="attempts at a task that crashes before it is marked as failed"
    )

    viewer_host: str = Field("127.0.0.1", description="address the viewer listens on")
    viewer_published_on: str | None = Field(
        None,
        description="address a container's viewer is published on, where it listens on another",
    )
    viewer_port: int = Field(
        8471, ge=0, le=65535, description="port the viewer listens on; 0 for a free one"
    )

    @field_validator("broker_url")
    @classmethod
    def _check_broker_url(cls, value: SecretStr | None) -> SecretStr | None:
        return value and SecretStr(broker_url(value.get_secret_value()))

    @field_validator("s3_endpoint")
    @classmethod
    def _check_s3_endpoint(cls, value: str | None) -> str | None:
        return value and storage_url(value)

    @field_validator("s3_access_key")
    @classmethod
    def _check_access_key(cls, value: SecretStr) -> SecretStr:
        # It is part of a header.
        key = value.get_secret_value()
        if not (key.isascii() and key.isprintable()):
            raise ValueError("must have only printable ASCII characters")
        return value

    @field_validator("ca_file")
    @classmethod
    def _check_ca_file(cls, value: Path | None) -> Path | None:
        if value is None:
            return None
        check_authorities(value)
        # Workers run in other folders.
        return value.absolute()

    @property
    def requeue_after_s(self) -> float:
        """Seconds without progress after which a client queues work again, in case its message is
        lost.

        The broker redelivers a dead worker's tasks within one visibility timeout. The second one
        is for the next worker to finish them.
        """
        return 2.0 * self.visibility_timeout_s

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """In order of precedence: arguments, variables, ``.env``, the connection file."""
        return (
            init_settings,
            env_settings,
            dotenv_settings,
            file_secret_settings,
            _ConnectionFileSource(settings_cls),
        )

    @classmethod
    def load(cls, **overrides: Any) -> "Settings":
        """Read the settings. ``overrides`` that are None count as not given.

        Raises:
            UsageError: a value is invalid; the message names its variable.
        """
        _check_env_file()
        try:
            return cls(**{name: value for name, value in overrides.items() if value is not None})
        except ValidationError as exc:
            fault = exc.errors(include_url=False)[0]
            field = "_".join(str(part) for part in fault["loc"])
            shown = "" if field in _SECRETS else f"={fault.get('input')}"
            problem = fault["msg"].removeprefix("Value error, ")
            # Without the cause, which contains the value.
            raise UsageError(f"FACEPAINT_{field.upper()}{shown}: {problem}") from None

    def require_services(self) -> "Settings":
        """Return self if broker and storage are configured.

        Raises:
            ServiceError: neither variables nor a connection file name them.
        """
        if self.broker_url is None or self.s3_endpoint is None:
            raise ServiceError(
                "no facepaint services found: start them with `facepaint up` or "
                "`docker compose up`, or set FACEPAINT_BROKER_URL and FACEPAINT_S3_ENDPOINT"
            )
        return self

    def environment(self) -> dict[str, str]:
        """The settings that are not defaults, with secrets, as variables for a child process."""
        variables = {}
        for name in sorted(self.model_fields_set - {"found_in"}):
            value = getattr(self, name)
            if value is not None:
                plain = value.get_secret_value() if isinstance(value, SecretStr) else value
                variables[f"FACEPAINT_{name.upper()}"] = str(plain)
        return variables


_SECRETS = frozenset({"broker_url", "s3_endpoint", "s3_access_key", "s3_secret_key"})
"""Settings whose values are never shown; a user may have put a password into the endpoint."""
