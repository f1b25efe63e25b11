"""The object storage; the only module that uses S3.

Objects are written whole and read whole or by range. Nothing relies on conditional puts or object
metadata, which some S3-compatible storages ignore or lose.
"""

import hashlib
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import urlsplit

import boto3
import botocore.exceptions
import botocore.session
from botocore.config import Config

from facepaint.errors import ObjectDamaged, ObjectMissing, RecordInvalid, StoreUnreachable
from facepaint.records.codec import decode, encode
from facepaint.retry import RetryPolicy
from facepaint.settings import Settings
from facepaint.tls import tls_fault

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

STORE_RETRY = RetryPolicy(
    first_delay_s=0.5, longest_delay_s=10.0, growth=2.0, deadline_s=600.0, attempts=8
)
"""A request is sent up to eight times within seconds: one in three may fail, and a task still gets
its hundred requests through. Uploads wait as long as a storage takes to be restarted."""

REQUEST_DELAY_S, LONGEST_REQUEST_DELAY_S = 0.05, 2.0
"""The longest pause before a request is sent again, which doubles each time up to the second. The
pause is a random part of that, so that many workers do not come back at once."""

_TRANSIENT = {"429", "500", "502", "503", "504", "InternalError", "ServiceUnavailable", "SlowDown"}
"""Answers to a request that may succeed when it is sent again."""

READS = 3
"""How often an object is read whose checksum differs: a proxy or a network may have damaged it."""

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_MISSING = {"404", "NoSuchKey", "NotFound", "NoSuchBucket"}
_PAST_END = {"416", "InvalidRange"}


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One entry of a listing. A common prefix, listed with ``folders``, has no size and no time."""

    key: str
    bytes: int = 0
    modified: datetime | None = None


@dataclass(frozen=True, slots=True)
class Stored(Generic[T]):
    """A record and the bytes that it was decoded from."""

    record: T
    data: bytes

    @property
    def sha256(self) -> str:
        """The checksum of the bytes."""
        return hashlib.sha256(self.data).hexdigest()


class Store:
    """A bucket. Threads may share it; after a fork each process creates its own.

    A request is sent up to ``retry.attempts`` times. Callers that wait for longer use ``retry``.
    Every method raises `StoreUnreachable` if the storage does not answer or refuses.
    """

    def __init__(self, settings: Settings, retry: RetryPolicy = STORE_RETRY) -> None:
        settings.require_services()
        self.retry = retry
        self.endpoint = str(settings.s3_endpoint)
        self.bucket = settings.s3_bucket
        # Some older storages write CRC trailers into the object. Our records contain a sha256.
        config = Config(
            signature_version="s3v4",
            # A bucket in the host name would need an entry in the DNS.
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            # Retried here: botocore stops once it has retried a small part of all requests.
            retries={"total_max_attempts": 1},
            connect_timeout=5,
            read_timeout=60,
            max_pool_connections=max(10, 2 * settings.upload_parallel),
            # A web proxy cannot reach this machine's loopback. For other hosts the environment's
            # proxy settings apply.
            proxies={} if urlsplit(self.endpoint).hostname in _LOOPBACK else None,
        )
        self._s3: S3Client = isolated_session().client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=settings.s3_region,
            aws_access_key_id=settings.s3_access_key.get_secret_value(),
            aws_secret_access_key=settings.s3_secret_key.get_secret_value(),
            verify=str(settings.ca_file) if settings.ca_file else None,
            config=config,
        )

    def make_bucket(self) -> None:
        """Create the bucket unless it exists."""
        try:
            self._s3.head_bucket(Bucket=self.bucket)
        except botocore.exceptions.ClientError as exc:
            if _code(exc) not in _MISSING:
                raise self._unreachable(exc, self.bucket) from exc
            try:
                self._s3.create_bucket(Bucket=self.bucket)
            except botocore.exceptions.ClientError as raced:
                # Another client may have created it since.
                if _code(raced) not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                    raise self._unreachable(raced, self.bucket) from raced
        except botocore.exceptions.BotoCoreError as exc:
            raise self._unreachable(exc, self.bucket) from exc

    def put(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        """Write an object, replacing an existing one. Readers see the old or the new one, whole."""
        self._call(key, self._s3.put_object, Key=key, Body=data, ContentType=content_type)

    def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """The bytes ``[start, end)`` of an object, by default all; empty if ``start`` is past its
        end.

        Raises:
            ObjectMissing: there is no such object.
        """
        extra: Any = {}
        if start or end is not None:
            # HTTP's ranges include their last byte.
            extra["Range"] = f"bytes={start}-{'' if end is None else end - 1}"

        def read() -> bytes:
            answer = self._s3.get_object(Bucket=self.bucket, Key=key, **extra)
            return bytes(answer["Body"].read())

        try:
            return self._send(key, read)
        except StoreUnreachable as exc:
            cause = exc.__cause__
            if isinstance(cause, botocore.exceptions.ClientError) and _code(cause) in _PAST_END:
                return b""
            raise

    def get_verified(self, key: str, sha256: str, end: int | None = None) -> bytes:
        """The bytes of an object with a known checksum. Bytes that are damaged on the way are read
        again.

        Args:
            sha256: in hexadecimal; empty for an object without bytes.
            end: as for `get`.

        Raises:
            ObjectMissing: there is no such object.
            ObjectDamaged: its checksum is another one.
        """
        for _ in range(READS):
            data = self.get(key, end=end)
            is_empty = not data and not sha256
            if is_empty or hashlib.sha256(data).hexdigest() == sha256:
                return data
        raise ObjectDamaged(key)

    def find(self, key: str) -> bytes | None:
        """An object's bytes, or None if there is none."""
        try:
            return self.get(key)
        except ObjectMissing:
            return None

    def exists(self, key: str) -> bool:
        """Whether the object exists."""
        try:
            self._call(key, self._s3.head_object, Key=key)
        except ObjectMissing:
            return False
        return True

    def list(
        self, prefix: str, *, folders: bool = False, start_after: str = ""
    ) -> Iterator[ObjectInfo]:
        """All objects under a prefix, in the order of their keys.

        Args:
            folders: list only the next level, with common prefixes that end in "/".
            start_after: list only keys greater than this one.
        """
        extra: dict[str, Any] = {"Delimiter": "/"} if folders else {}
        if start_after:
            extra["StartAfter"] = start_after
        while True:
            page = self._call(prefix, self._s3.list_objects_v2, Prefix=prefix, **extra)
            for folder in page.get("CommonPrefixes", ()):
                yield ObjectInfo(folder["Prefix"])
            for row in page.get("Contents", ()):
                yield ObjectInfo(row["Key"], row["Size"], row["LastModified"])
            if not page.get("IsTruncated"):
                return
            extra["ContinuationToken"] = page["NextContinuationToken"]

    def delete(self, key: str) -> None:
        """Delete an object, if it exists."""
        try:
            self._call(key, self._s3.delete_object, Key=key)
        except ObjectMissing:
            return

    def put_record(self, key: str, record: object) -> None:
        """Write a record of `facepaint.records` as JSON."""
        self.put(key, encode(record), "application/json")

    def get_record(self, key: str, cls: type[T]) -> T:
        """Read a record; raises the errors of `get` and `facepaint.records.codec.decode`."""
        return self.get_stored(key, cls).record

    def find_record(self, key: str, cls: type[T]) -> T | None:
        """Read a record, or None if there is none."""
        stored = self.find_stored(key, cls)
        return None if stored is None else stored.record

    def get_stored(self, key: str, cls: type[T]) -> "Stored[T]":
        """Read a record with its bytes; raises as `get_record`.

        One that is damaged on the way is read again.
        """
        data = self.get(key)
        try:
            return Stored(decode(cls, data, key), data)
        except RecordInvalid:
            again = self.get(key)
            if again == data:
                raise
        return Stored(decode(cls, again, key), again)

    def find_stored(self, key: str, cls: type[T]) -> "Stored[T] | None":
        """Read a record with its bytes, or None if there is none."""
        try:
            return self.get_stored(key, cls)
        except ObjectMissing:
            return None

    def _call(self, key: str, method: Any, **arguments: Any) -> Any:
        return self._send(key, lambda: method(Bucket=self.bucket, **arguments))

    def _send(self, key: str, request: Callable[[], T]) -> T:
        """Send a request until it is answered, up to ``retry.attempts`` times."""
        delay_s = REQUEST_DELAY_S
        for left in reversed(range(self.retry.attempts)):
            try:
                return request()
            except botocore.exceptions.ClientError as exc:
                if _code(exc) in _MISSING:
                    raise ObjectMissing(key) from exc
                fault: Exception = exc
            except (botocore.exceptions.BotoCoreError, OSError) as exc:
                fault = exc
            if not left or not _is_transient(fault):
                break
            time.sleep(random.uniform(0, delay_s))  # noqa: S311 - no secret
            delay_s = min(2 * delay_s, LONGEST_REQUEST_DELAY_S)
        raise self._unreachable(fault, key) from fault

    def _unreachable(self, exc: Exception, key: str) -> StoreUnreachable:
        where = f"the object storage at {self.endpoint}"
        if isinstance(exc, botocore.exceptions.ClientError):
            problem = f"refused ({_code(exc)})"
        elif fault := tls_fault(exc):
            return StoreUnreachable(f"{where} {fault}")
        else:
            problem = "does not answer"
        return StoreUnreachable(f"{where} {problem} for {key}; `facepaint doctor` checks it")


@cache
def isolated_session() -> boto3.Session:
    """A session that ignores ``~/.aws`` and ``AWS_PROFILE``, which are of another storage."""
    nothing = {
        "profile": (None, None, None, None),
        "config_file": (None, None, os.devnull, None),
        "credentials_file": (None, None, os.devnull, None),
    }
    return boto3.Session(botocore_session=botocore.session.Session(session_vars=nothing))


def _is_transient(fault: Exception) -> bool:
    """Whether a request may succeed when it is sent again."""
    if isinstance(fault, botocore.exceptions.ClientError):
        status = fault.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500 or _code(fault) in _TRANSIENT
    return tls_fault(fault) is None


def _code(exc: botocore.exceptions.ClientError) -> str:
    return str(exc.response.get("Error", {}).get("Code", ""))
