"""Limits on a Protocol Buffers message, checked in its bytes before it is parsed.

Parsed, a message of many tiny fields takes much more memory than its bytes. And libraries disagree
on tags of more than 32 bits: some cut them off, and would see other fields than we checked.
The format is described at https://protobuf.dev/programming-guides/encoding/.
"""

from typing import Any

PACKED_BYTES = 64
"""Packed integers of this size count as a field: parsed, each takes up to eight times its bytes."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class WireFault(ValueError):
    """The bytes are no message, or one with too many fields."""


def check_fields(data: bytes, descriptor: Any, most: int) -> None:
    """Check the fields of a message and of the messages in it.

    Args:
        descriptor: the type of the message, as in ``onnx.ModelProto.DESCRIPTOR``.
        most: fields that are accepted, of all messages together.

    Raises:
        WireFault: there are more fields, a tag has more than 32 bits, or the bytes are no message.
    """
    fields = 0
    waiting = [(0, len(data), descriptor)]
    while waiting:
        at, end, message = waiting.pop()
        while at < end:
            number, kind, at = _tag(data, at, end)
            fields += 1
            if kind == _BYTES:
                size, at = _varint(data, at, end)
                field = message.fields_by_number.get(number)
                if field is not None and field.message_type is not None:
                    waiting.append((at, min(at + size, end), field.message_type))
                elif field is not None and field.is_packed:
                    fields += size // PACKED_BYTES
                at += size
            else:
                at = _skip(data, at, end, kind)
            if at > end:
                raise WireFault("it is cut off")
            if fields > most:
                raise WireFault(f"it has more than {most} fields")


def _tag(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    tag, at = _varint(data, at, end)
    if tag >> 32:
        raise WireFault("a tag has more than 32 bits")
    return tag >> 3, tag & 7, at


def _skip(data: bytes, at: int, end: int, kind: int) -> int:
    """The end of a number. Groups, which nothing writes any more, are refused."""
    if kind == _VARINT:
        return _varint(data, at, end)[1]
    if kind in (_FIXED64, _FIXED32):
        return at + (8 if kind == _FIXED64 else 4)
    raise WireFault("a field has an unknown type")


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise WireFault("it is cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise WireFault("a number is too long")
