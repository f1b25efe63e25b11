"""Encode records as JSON and decode them, checked against their dataclasses."""

from functools import cache
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from facepaint.errors import RecordInvalid

Schema = Literal[1]


T = TypeVar("T")


@cache
def _adapter(cls: Any) -> TypeAdapter[Any]:
    # A base class says what its subclasses are and which key tells them apart.
    return TypeAdapter(vars(cls).get("RECORD", cls))


def encode(record: Any) -> bytes:
    """A record as JSON. The bulky ones, a row a packet or a face, leave out what stands at its
    default."""
    bulky: bool = getattr(record, "BULKY", False)
    body: bytes = _adapter(type(record)).dump_json(record, exclude_defaults=bulky)  # type: ignore[arg-type]
    return b'{"schema":1,' + body[1:] if bulky else body


def decode(cls: type[T], data: bytes, key: str) -> T:
    """Read a record back.

    Raises:
        RecordInvalid: the bytes are no JSON, or not of that class; the message names ``key`` and
            the first fault.
    """
    try:
        record: T = _adapter(cls).validate_json(data)  # type: ignore[arg-type]
    except ValidationError as exc:
        fault = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, fault["loc"])) or "the record"
        name = cls.__name__.removesuffix("Record")
        raise RecordInvalid(f"{key} is not a {name} record: {where}: {fault['msg']}") from exc
    return record
