"""ONNX files read without ONNX Runtime: a client has none, and a stranger's file is looked at
before it is run.

An ONNX file is one Protocol Buffers message (https://onnx.ai/onnx/repo-docs/IR.html,
onnx/onnx.proto; https://protobuf.dev/programming-guides/encoding). Only its outermost layers are
read, the weights are skipped.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from facepaint.errors import InputError

Shape = tuple[int | None, ...]
"""A tensor's sides; None for one that is free."""

DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
"""Families of operators that ONNX Runtime brings along; all others come from libraries."""

FOREIGN_CODE = frozenset({"EPContext", "PyOp", "PythonOp"})
"""Operators of ONNX Runtime's own family that run what is compiled elsewhere, or read it from
another file."""

_DEEPEST = 16
"""Graphs within graphs: real ones have three or four."""

_WEIGHTS_APART = 4
"""The version of the format from which on weights need not be inputs."""


@dataclass(frozen=True, slots=True)
class Network:
    """What goes in and out of a network: by name, each with its shape, or None where it is not
    told."""

    inputs: dict[str, Shape | None]
    outputs: dict[str, Shape | None]

    @property
    def fixed_size(self) -> bool:
        """Whether it says to take one size of batch or picture only."""
        return any(
            shape is None or None not in (shape[:1] + shape[2:]) for shape in self.inputs.values()
        )


def read_network(data: bytes, where: str) -> Network:
    """Look at an ONNX file's graph; ``where`` names it in messages.

    Raises:
        InputError: the bytes are no ONNX file, or it needs other files or libraries beside it.
    """
    try:
        graph = _checked_graph(memoryview(data), where)
        weights = {_text(tensor, 8) for tensor in _all(graph, 5)}
        inputs = {_text(value, 1): _shape(value) for value in _all(graph, 11)}
        outputs = {_text(value, 1): _shape(value) for value in _all(graph, 12)}
    except (ValueError, IndexError, StopIteration) as exc:
        raise InputError(f"{where} is no ONNX file, or a damaged one") from exc
    # Files of before 2019 name their weights among the inputs.
    inputs = {name: shape for name, shape in inputs.items() if name not in weights}
    if not inputs or not outputs:
        raise InputError(
            f"{where} is no ONNX file of a network: nothing goes in, or nothing comes out"
        )
    return Network(inputs, outputs)


def with_sizes(data: bytes, batch: int | None, height: int, width: int) -> bytes:
    """An ONNX file that takes pictures n x 3 x h x w of this size and number, any number for None,
    whatever it said.

    Shapes of outputs and of what lies between are left out; ONNX Runtime finds them itself. That
    the network can do with other sizes is another matter: one of convolutions alone does. Weights
    are no inputs any more, which files of before 2019 make of them, and which keeps ONNX Runtime
    from folding them.
    """
    pictures = b"".join(_field(1, _side(side)) for side in (batch, 3, height, width))
    model = memoryview(data)
    graph = _last(model, 7)
    weights = {_text(tensor, 8) for tensor in _all(graph, 5)}
    kept = [bytes(raw) for number, raw, _ in _fields(graph) if number not in (11, 12, 13)]
    inputs = [value for value in _all(graph, 11) if _text(value, 1) not in weights]
    kept += [_field(11, _with_shape(value, pictures)) for value in inputs]
    kept += [_field(12, _with_shape(value, None)) for value in _all(graph, 12)]
    version = b"\x08" + bytes([max(_number(model, 1), _WEIGHTS_APART)])
    others = [bytes(raw) for number, raw, _ in _fields(model) if number not in (1, 7)]
    return b"".join([version, *others, _field(7, b"".join(kept))])


def _checked_graph(model: memoryview, where: str) -> memoryview:
    """The graph, once nothing in the model needs more than the file itself and ONNX Runtime."""
    graph = _last(model, 7)
    if not _all(model, 8):
        raise ValueError("no operator set")
    if _all(model, 25):
        raise InputError(f"{where} has functions of its own: export it with all of them inlined")
    for inner in _graphs(graph):
        nodes = _all(inner, 1)
        attributes = [attribute for node in nodes for attribute in _all(node, 5)]
        sparse = [*_all(inner, 15), *_each(attributes, 22, 23)]
        tensors = [*_all(inner, 5), *_each(attributes, 5, 10), *_each(sparse, 1, 2)]
        if any(_number(tensor, 14) or _all(tensor, 13) for tensor in tensors):
            raise InputError(
                f"{where} keeps weights in other files: save it as one, in Python with "
                "onnx.save_model(onnx.load(PATH), PATH, save_as_external_data=False)"
            )
        for node in nodes:
            domain, operator = _text(node, 7), _text(node, 4)
            if domain not in DOMAINS or operator in FOREIGN_CODE:
                name = f"{domain}.{operator}".strip(".")
                raise InputError(
                    f"{where} uses the operator {name}, which needs a library beside it: "
                    "export without"
                )
    return graph


def _graphs(graph: memoryview, depth: int = 0) -> Iterator[memoryview]:
    """A graph and those within it, as of loops and conditions."""
    if depth > _DEEPEST:
        raise ValueError("graphs within graphs without end")
    yield graph
    attributes = _each(_all(graph, 1), 5)
    for inner in _each(attributes, 6, 11):
        yield from _graphs(inner, depth + 1)


def _shape(value: memoryview) -> Shape | None:
    """The shape that a ValueInfoProto tells, if it does."""
    try:
        shape = _last(_last(_last(value, 2), 1), 2)
    except StopIteration:
        return None
    return tuple(_number(side, 1) or None for side in _all(shape, 1))


def _side(side: int | None) -> bytes:
    """A TensorShapeProto.Dimension: dim_value, or dim_param "n" for any."""
    return _field(2, b"n") if side is None else b"\x08" + _as_varint(side)


def _with_shape(value: memoryview, shape: bytes | None) -> bytes:
    """A ValueInfoProto with another shape, or none."""
    element = _number(_last(_last(value, 2), 1), 1)
    tensor = b"\x08" + bytes([element]) + (b"" if shape is None else _field(2, shape))
    return _field(1, _text(value, 1).encode()) + _field(2, _field(1, tensor))


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview, memoryview | int]]:
    """Each field of a message: its number, the bytes of all of it, its value."""
    at = 0
    while at < len(message):
        begin = at
        tag, at = _varint(message, at)
        value: memoryview | int
        match tag & 7:
            case 0:
                value, at = _varint(message, at)
            case 2:
                size, at = _varint(message, at)
                value, at = message[at : at + size], at + size
            case 1 | 5 as kind:
                at += 8 if kind == 1 else 4
                value = 0
            case _:
                raise ValueError("no Protocol Buffers message")
        if at > len(message):
            raise ValueError("cut off")
        yield tag >> 3, message[begin:at], value


def _all(message: memoryview, *numbers: int) -> list[memoryview]:
    """The values of a message's fields of these numbers that are messages, texts or bytes
    themselves."""
    return [
        value
        for number, _, value in _fields(message)
        if number in numbers and isinstance(value, memoryview)
    ]


def _each(messages: Iterable[memoryview], *numbers: int) -> list[memoryview]:
    return [value for message in messages for value in _all(message, *numbers)]


def _last(message: memoryview, number: int) -> memoryview:
    """The one field of that number; the last of several counts.

    Raises:
        StopIteration: there is none.
    """
    return next(reversed(_all(message, number)))


def _number(message: memoryview, number: int) -> int:
    """A field that is an integer, 0 if there is none."""
    found = [
        value for field, _, value in _fields(message) if field == number and isinstance(value, int)
    ]
    return found[-1] if found else 0


def _text(message: memoryview, number: int) -> str:
    """A field that is a text, empty if there is none."""
    found = _all(message, number)
    return str(found[-1], "utf-8") if found else ""


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number of 7 bits a byte at a place, and the place behind it."""
    number = shift = 0
    while True:
        byte = message[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def _field(number: int, value: bytes) -> bytes:
    """A field that holds a message, text or bytes."""
    return _as_varint(number << 3 | 2) + _as_varint(len(value)) + value


def _as_varint(number: int) -> bytes:
    written = bytearray()
    while number > 127:
        written.append(number & 127 | 128)
        number >>= 7
    return bytes([*written, number])
