"""Check an ONNX file before it is run, and fix the size of its input.

Requires the package ``onnx``, which workers have; a client without it relies on the detector's
card. The format is described at https://onnx.ai/onnx/repo-docs/IR.html.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facepaint.detectors.wire_format import WireFault, check_fields
from facepaint.errors import InputError, MissingExtra

if TYPE_CHECKING:
    import onnx

Shape = tuple[int | None, ...]
"""The sizes of a tensor; None for a dynamic one."""

DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
"""The operator domains that ONNX Runtime implements. All others come from libraries."""

FOREIGN_CODE = frozenset({"EPContext", "PyOp", "PythonOp"})
"""Operators of ONNX Runtime that run foreign code or load it from another file."""

MAX_NODES = 20_000
"""Operators of a network; facepaint-1 has fewer than 200."""

MAX_FIELDS = 400_000
"""Fields of a file; facepaint-1 has fewer than 5,000."""

INITIALIZERS_NEED_NO_INPUT = 4
"""The first IR version in which weights need not be listed among the inputs."""


@dataclass(frozen=True, slots=True)
class Network:
    """The inputs and outputs of a network by name, with their shapes if the file has them."""

    inputs: dict[str, Shape | None]
    outputs: dict[str, Shape | None]

    @property
    def fixed_size(self) -> bool:
        """Whether the file fixes the batch or the image size."""
        return any(
            shape is None or None not in (shape[:1] + shape[2:]) for shape in self.inputs.values()
        )


def read_network(data: bytes, where: str) -> Network:
    """Check an ONNX file and read its inputs and outputs; ``where`` names it in messages.

    Raises:
        InputError: the bytes are not an ONNX file, or it needs other files or libraries.
        MissingExtra: the package ``onnx`` is not installed.
    """
    model = _parsed(data, where)
    _check(model, where)
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    # Files from before 2019 list their weights among the inputs.
    inputs = {value.name: _shape(value) for value in graph.input if value.name not in weights}
    outputs = {value.name: _shape(value) for value in graph.output}
    if not inputs or not outputs:
        raise InputError(f"{where} is not a network: it has no inputs or no outputs")
    return Network(inputs, outputs)


def with_sizes(data: bytes, batch: int | None, height: int, width: int) -> bytes:
    """An ONNX file whose inputs are n x 3 x ``height`` x ``width``, any n if ``batch`` is None.

    Shapes of outputs and intermediate values are removed, because ONNX Runtime infers them. Only a
    network of convolutions works at another size than it was made for. Weights are removed from
    the inputs, where they would keep ONNX Runtime from folding constants.
    """
    model = _parsed(data, "the network")
    # An older IR version requires the weights among the inputs.
    model.ir_version = max(model.ir_version, INITIALIZERS_NEED_NO_INPUT)
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    del graph.input[:]
    graph.input.extend(inputs)
    for value in graph.input:
        tensor = value.type.tensor_type
        tensor.ClearField("shape")
        for side in (batch, 3, height, width):
            dimension = tensor.shape.dim.add()
            if side is None:
                dimension.dim_param = "n"
            else:
                dimension.dim_value = side
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    del graph.value_info[:]
    # ONNX Runtime sees what was checked, and nothing else.
    for ignored in ("metadata_props", "training_info"):
        model.ClearField(ignored)
    model.DiscardUnknownFields()
    return bytes(model.SerializeToString())


def _parsed(data: bytes, where: str) -> "onnx.ModelProto":
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as exc:
        raise MissingExtra("worker", f"checking {where}") from exc
    try:
        check_fields(data, onnx.ModelProto.DESCRIPTOR, MAX_FIELDS)
        model = onnx.load_model_from_string(data)
    except WireFault as exc:
        raise InputError(f"{where} is not an ONNX file, or is damaged: {exc}") from exc
    except (DecodeError, ValueError) as exc:
        raise InputError(f"{where} is not an ONNX file, or is damaged") from exc
    # Almost any bytes are a valid Protocol Buffers message; a model has operators and a graph.
    if not model.opset_import or not model.HasField("graph"):
        raise InputError(f"{where} is not an ONNX file, or is damaged")
    return model


def _check(model: "onnx.ModelProto", where: str) -> None:
    """Refuse a model that needs anything besides this file and ONNX Runtime, or may never end."""
    graph = model.graph
    if model.functions:
        raise InputError(f"{where} defines functions: export it with all of them inlined")
    if len(graph.node) > MAX_NODES:
        raise InputError(f"{where} has more than {MAX_NODES} operators: choose a smaller network")
    for node in graph.node:
        _check_node(node, where)
    # A file from elsewhere must not make a worker read other files.
    if any(map(_is_external, _tensors(graph))):
        raise InputError(
            f"{where} keeps weights in other files: save it as one file, in Python with "
            "onnx.save_model(onnx.load(PATH), PATH, save_as_external_data=False)"
        )


def _check_node(node: Any, where: str) -> None:
    name = f"{node.domain}.{node.op_type}".strip(".")
    if node.domain not in DOMAINS or node.op_type in FOREIGN_CODE:
        raise InputError(
            f"{where} uses the operator {name}, which needs an additional library: export it "
            "without"
        )
    # A loop of a stranger's network may have no end, and a face detector needs none.
    if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
        raise InputError(
            f"{where} uses the operator {name}, which runs a graph of its own: export it without "
            "loops and conditions"
        )


def _tensors(graph: Any) -> Iterator[Any]:
    """The tensors of a graph: weights, constants, and the components of sparse tensors."""
    sparse = list(graph.sparse_initializer)
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors
            sparse += [attribute.sparse_tensor, *attribute.sparse_tensors]
    for tensor in sparse:
        yield tensor.values
        yield tensor.indices


def _is_external(tensor: Any) -> bool:
    return bool(tensor.data_location or tensor.external_data)


def _shape(value: Any) -> Shape | None:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return tuple(side.dim_value or None for side in tensor.shape.dim)
