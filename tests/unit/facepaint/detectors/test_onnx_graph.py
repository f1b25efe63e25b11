"""Reading and checking ONNX files: the package ``onnx`` agrees, forbidden content is refused."""

import contextlib

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from facepaint.detectors.onnx_graph import read_network, with_sizes
from facepaint.errors import InputError
from facepaint.records.detector_card import DEFAULT_DETECTOR
from models import shipped_model
from tests.support.networks import tiny_network

OPSETS = [helper.make_opsetid("", 17)]


def value(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def model(
    nodes: list[onnx.NodeProto],
    weights: list[onnx.TensorProto] | None = None,
    sparse_initializer: list[onnx.SparseTensorProto] | None = None,
    **more: object,
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "g",
        [value("image", "n", 3, 8, 8)],
        [value("out", "n", 3, 8, 8)],
        weights,
        sparse_initializer=sparse_initializer,
    )
    data: bytes = helper.make_model(graph, **{"opset_imports": OPSETS, **more}).SerializeToString()
    return data


def outside() -> onnx.TensorProto:
    tensor = numpy_helper.from_array(np.zeros(1, np.float32), "w")
    onnx.external_data_helper.set_external_data(tensor, "/etc/passwd")
    tensor.ClearField("raw_data")
    return tensor


RELU = helper.make_node("Relu", ["image"], ["out"])


@pytest.mark.parametrize(
    "network", [tiny_network(name) for name in ("yunet", "scrfd", "centerface", "facepaint")]
)
def test_inputs_and_outputs_match_those_of_onnx(network: bytes) -> None:
    def shapes(values: list[onnx.ValueInfoProto]) -> dict[str, tuple[int | None, ...]]:
        return {
            v.name: tuple(side.dim_value or None for side in v.type.tensor_type.shape.dim)
            for v in values
        }

    graph = onnx.load_from_string(network).graph
    found = read_network(network, "x")
    assert (found.inputs, found.outputs) == (shapes(graph.input), shapes(graph.output))
    assert not found.fixed_size


def test_weights_are_not_inputs() -> None:
    weights = numpy_helper.from_array(np.ones(1, np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Mul", ["image", "w"], ["out"])],
        "g",
        [value("image", 1, 3, 4, 4), value("w", 1)],
        [value("out", 1, 3, 4, 4)],
        [weights],
    )
    data = helper.make_model(graph, opset_imports=OPSETS, ir_version=3).SerializeToString()
    found = read_network(data, "x")
    assert list(found.inputs) == ["image"]
    assert found.fixed_size
    resized = with_sizes(data, 2, 8, 6)
    assert [v.name for v in onnx.load_from_string(resized).graph.input] == ["image"]
    session = onnxruntime.InferenceSession(resized, providers=["CPUExecutionProvider"])
    (out,) = session.run(None, {"image": np.full((2, 3, 8, 6), 7, np.float32)})
    assert out.shape == (2, 3, 8, 6)
    assert (out == 7).all()


def test_a_resized_network_computes_the_same() -> None:
    data = shipped_model(DEFAULT_DETECTOR).weights.read_bytes()
    picture = np.random.default_rng(0).uniform(0, 255, (1, 3, 64, 96)).astype(np.float32)
    runs = []
    for network in (data, with_sizes(data, 1, 64, 96), with_sizes(data, None, 64, 96)):
        session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
        runs.append(
            session.run(["boxes", "scores", "landmarks"], {session.get_inputs()[0].name: picture})
        )
    for run in runs[1:]:
        for here, there in zip(run, runs[0], strict=True):
            assert here == pytest.approx(there, rel=1e-3, abs=1e-3)


HOSTILE = {
    "weights in another file": (
        model([RELU], [outside()]),
        "keeps weights in other files: save it as one file",
    ),
    "an attribute in another file": (
        model([helper.make_node("Constant", [], ["c"], value=outside()), RELU]),
        "keeps weights in other files",
    ),
    "a branch in another file": (
        model(
            [
                helper.make_node(
                    "If",
                    ["image"],
                    ["out"],
                    then_branch=helper.make_graph(
                        [RELU], "then", [], [value("out", 1)], [outside()]
                    ),
                    else_branch=helper.make_graph([RELU], "else", [], [value("out", 1)]),
                )
            ]
        ),
        "uses the operator If, which runs a graph of its own",
    ),
    "a loop": (
        model(
            [
                helper.make_node(
                    "Loop",
                    ["image"],
                    ["out"],
                    body=helper.make_graph([RELU], "body", [], [value("out", 1)]),
                )
            ]
        ),
        "uses the operator Loop, which runs a graph of its own",
    ),
    "a sparse tensor in another file": (
        model(
            [RELU],
            sparse_initializer=[
                onnx.SparseTensorProto(values=outside(), indices=outside(), dims=[1])
            ],
        ),
        "keeps weights in other files",
    ),
    "an operator of a library": (
        model([helper.make_node("Spy", ["image"], ["out"], domain="com.example")]),
        "uses the operator com.example.Spy, which needs an additional library",
    ),
    "an operator that reads a file": (
        model([helper.make_node("EPContext", ["image"], ["out"], domain="com.microsoft")]),
        "uses the operator com.microsoft.EPContext",
    ),
    "functions": (
        model([RELU], functions=[helper.make_function("own", "F", ["a"], ["b"], [RELU], OPSETS)]),
        "defines functions",
    ),
    "nothing comes out": (
        helper.make_model(
            helper.make_graph([RELU], "g", [value("image", 1)], []), opset_imports=OPSETS
        ).SerializeToString(),
        "it has no inputs or no outputs",
    ),
    "a text": (b"no network at all, but a text\n" * 9, "is not an ONNX file, or is damaged"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), "is not an ONNX file, or is damaged"),
    "nothing": (b"", "is not an ONNX file, or is damaged"),
    "half of it": (
        tiny_network("yunet")[: len(tiny_network("yunet")) // 2],
        "is not an ONNX file, or is damaged",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_forbidden_content_is_refused(kind: str) -> None:
    data, message = HOSTILE[kind]
    with pytest.raises(InputError) as caught:
        read_network(data, "detector x.onnx")
    assert str(caught.value).startswith("detector x.onnx")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def field(number: int, payload: int | bytes, above: int = 0) -> bytes:
    """A field of a Protocol Buffers message, with bits of its tag from the 32nd on."""
    kind = 0 if isinstance(payload, int) else 2
    tag = varint((above << 32) | number << 3 | kind)
    if isinstance(payload, int):
        return tag + varint(payload)
    return tag + varint(len(payload)) + payload


def varint(number: int) -> bytes:
    low, high = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(high) if high else bytes([low])


GRAPH, INITIALIZER, DATA_LOCATION = 7, 5, 14


def test_a_tag_of_more_than_32_bits_is_refused() -> None:
    outside = field(GRAPH, field(INITIALIZER, field(DATA_LOCATION, 1, above=1)))
    with pytest.raises(InputError, match="a tag has more than 32 bits"):
        read_network(SMALL + outside, "x")


def test_unknown_fields_do_not_reach_the_runtime() -> None:
    unknown = field(900, b"unknown field")
    data = SMALL + unknown + field(GRAPH, field(INITIALIZER, unknown) + unknown)
    read_network(data, "x")
    assert b"unknown field" not in with_sizes(data, 1, 8, 8)


def test_metadata_and_training_do_not_reach_the_runtime() -> None:
    network = onnx.load_model_from_string(SMALL)
    network.metadata_props.add(key="ort_config", value="{}")
    network.training_info.add().initialization.initializer.append(outside())
    sized = onnx.load_model_from_string(with_sizes(network.SerializeToString(), 1, 8, 8))
    assert not sized.metadata_props
    assert not sized.training_info


@pytest.mark.parametrize("content", ["nodes", "fields", "integers"])
def test_a_file_of_many_tiny_fields_is_refused_unparsed(content: str) -> None:
    padding = {
        "nodes": field(1, b"") * 500_000,
        "fields": field(900, 0) * 500_000,
        "integers": field(INITIALIZER, field(7, bytes(40_000_000))),
    }[content]
    with pytest.raises(InputError, match="it has more than 400000 fields"):
        read_network(SMALL + field(GRAPH, padding), "x")


def test_a_network_of_too_many_operators_is_refused() -> None:
    with pytest.raises(InputError, match="more than 20000 operators"):
        read_network(model([RELU] * 20_001), "x")


SMALL = model([RELU])


@given(data=st.binary(max_size=200), at=st.integers(0, len(SMALL)))
def test_any_bytes_are_read_or_refused(data: bytes, at: int) -> None:
    with contextlib.suppress(InputError):
        read_network(SMALL[:at] + data + SMALL[at + len(data) :], "x")
