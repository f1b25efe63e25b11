"""Encode records as JSON, and decode and validate them by their dataclasses."""

from functools import cache
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from facepaint.errors import RecordInvalid

Schema = Literal[1]


T = TypeVar("T")


# Compiling the validator of a class takes longer than validating a record.
@cache
def _adapter(cls: Any) -> TypeAdapter[Any]:
    # A base class has in RECORD the union of its subclasses and the key that discriminates them.
    return TypeAdapter(vars(cls).get("RECORD", cls))


def encode(record: Any) -> bytes:
    """A record as JSON. Bulky records, with a row per packet or face, omit fields at their
    default."""
    bulky: bool = getattr(record, "BULKY", False)
    adapter = _adapter(type(record))  # type: ignore[arg-type]
    body: bytes = adapter.dump_json(record, exclude_defaults=bulky)
    # The schema is at its default too, and every record has to state it.
    return b'{"schema":1,' + body[1:] if bulky else body


def decode(cls: type[T], data: bytes, key: str) -> T:
    """Decode a record.

    Raises:
        RecordInvalid: the bytes are not JSON, or not a record of this class. The message names
            ``key`` and the first fault.
    """
    try:
        record: T = _adapter(cls).validate_json(data)  # type: ignore[arg-type]
    except ValidationError as exc:
        fault = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, fault["loc"])) or "the record"
        name = cls.__name__.removesuffix("Record")
        raise RecordInvalid(
            f"{key} is not a {name} record: {where}: {fault['msg']}; it is damaged, or of another "
            "version of facepaint"
        ) from exc
    return record
