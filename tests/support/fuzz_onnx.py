"""Open mutated networks: ``python -m tests.support.fuzz_onnx SEED COUNT``.

A process of its own, since a network may end it. Prints how many of each outcome there were.
"""

import collections
import random
import resource
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx

from facepaint.errors import InputError, UsageError
from facepaint.records.detector_card import DetectorCard
from models import WEIGHTS, DetectorModel
from models.detector import Detector, Size
from tests.support.networks import tiny_network

MAX_MEMORY = 6 * 2**30
SIDE = 64
OPERATORS = ("Relu", "Conv", "Reshape", "Add", "Concat", "Loop", "ConstantOfShape", "Tile", "Nope")
NUMBERS = (-(2**63), -1, 0, 1, 7, 2**31, 2**40, 2**63 - 1)
DECODERS = ("facepaint", "yunet", "scrfd", "centerface")


def sources() -> list[tuple[str, bytes]]:
    """Decoders and networks that work."""
    shipped = [(WEIGHTS / f"facepaint-1{kind}.onnx").read_bytes() for kind in ("", ".int8")]
    tiny = [(decoder, tiny_network(decoder)) for decoder in DECODERS]
    return [*(("facepaint", data) for data in shipped), *tiny]


def mutate(rng: random.Random, data: bytes) -> bytes:
    """One to four changes of the bytes or of the graph."""
    if rng.random() < 0.4:
        raw = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            # Most of a file is weights, whose changes are of little interest.
            at = rng.randrange(len(raw)) if rng.random() < 0.3 else -rng.randrange(1, 2000)
            raw[max(at, -len(raw))] = rng.randrange(256)
        return bytes(raw[: rng.randrange(len(raw))]) if rng.random() < 0.1 else bytes(raw)
    model = onnx.load_model_from_string(data)
    for _ in range(rng.randint(1, 4)):
        change(rng, model)
    return bytes(model.SerializeToString())


def change(rng: random.Random, model: onnx.ModelProto) -> None:
    """One change of a graph."""
    graph = model.graph
    node, tensor = rng.choice(graph.node), rng.choice(graph.initializer)
    names = [name for other in graph.node for name in (*other.input, *other.output)]
    match rng.randrange(9):
        case 0:
            node.op_type = rng.choice(OPERATORS)
        case 1:
            graph.node.remove(node)
        case 2 if node.input:
            node.input[rng.randrange(len(node.input))] = rng.choice(names)
        case 3 if tensor.dims:
            tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(NUMBERS)
        case 4:
            tensor.data_type = rng.randrange(24)
        case 5 if node.attribute:
            attribute = rng.choice(node.attribute)
            attribute.i = rng.choice(NUMBERS)
            del attribute.ints[:]
            attribute.ints.extend(rng.choice(NUMBERS) for _ in range(rng.randrange(4)))
        case 6:
            graph.output[rng.randrange(len(graph.output))].name = rng.choice(names)
        case 7:
            model.opset_import[0].version = rng.choice((-1, 0, 1, 9, 30, 2**40))
        case _:
            graph.node.add().CopyFrom(node)


def outcome(data: bytes, decoder: str, folder: Path) -> str:
    """What becomes of a network; raises what no network may cause."""
    path = folder / "mutated.onnx"
    path.write_bytes(data)
    card = DetectorCard("mutated", decoder)  # type: ignore[arg-type]
    plane = np.full((SIDE, SIDE), 90, np.uint8)
    try:
        detector = Detector(DetectorModel(path, card), Size(SIDE, SIDE, SIDE, SIDE, 1.0, 1.0))
        detector.detect([(plane, plane, plane)])
    except (InputError, UsageError) as exc:
        if "\n" in str(exc):
            raise
        return type(exc).__name__
    return "works"


def main(seed: int, count: int) -> None:
    """Open ``count`` mutated networks."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    rng, known = random.Random(seed), sources()
    outcomes: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            decoder, data = rng.choice(known)
            print(f"network {number}", file=sys.stderr, flush=True)
            outcomes[outcome(mutate(rng, data), decoder, Path(folder))] += 1
    print(dict(outcomes))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
