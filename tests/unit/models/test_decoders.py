"""Every decoder finds the planted face, with box and landmarks computed by hand; see
`tests.support.networks`."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from facepaint.detectors.registry import DEFAULT_CARDS
from facepaint.errors import UsageError
from facepaint.records.detector_card import DecoderName, DetectorCard, Thresholds
from models import DetectorModel
from models.decoders import DECODERS, Input, Outputs
from models.detector import Detector, Size
from models.providers import Runtime
from tests.support.networks import FACES, tiny_network

CPU = Runtime("cpu")

WIDTH, HEIGHT = 96, 64
WHOLE = Size(WIDTH, HEIGHT, WIDTH, HEIGHT, 1.0, 1.0)

Planes = npt.NDArray[np.uint8]


def image(decoder: str, *cells: tuple[int, int], channel: int | None = None) -> Planes:
    """B, G and R planes, black except for some cells (column, row)."""
    face = FACES[decoder]
    planes = np.zeros((3, HEIGHT, WIDTH), np.uint8)
    for column, row in cells:
        x, y = column * face.stride, row * face.stride
        planes[
            face.channel if channel is None else channel, y : y + face.stride, x : x + face.stride
        ] = 255
    return planes


def tiny(
    folder: Path, decoder: DecoderName, network: bytes | None = None, **card: object
) -> DetectorModel:
    """A detector of a tiny network, which finds only fully lit cells."""
    path = folder / f"{decoder}.onnx"
    path.write_bytes(network or tiny_network(decoder))
    strict = DetectorCard("tiny", decoder, redaction=Thresholds(0.7, 0.7))
    return DetectorModel(path, replace(strict, **card))  # type: ignore[arg-type]


def detect(detector: Detector, *images: Planes) -> list[list[tuple[float, ...]]]:
    found = detector.detect([tuple(planes) for planes in images])  # type: ignore[misc]
    return [[(*face.box, *face.landmarks) for face in faces] for faces in found]


def test_every_decoder_of_cards_exists_and_is_tested() -> None:
    names = set(get_args(DecoderName))
    assert set(DECODERS) == set(DEFAULT_CARDS) == set(FACES) == names


@pytest.mark.parametrize("decoder", DECODERS)
class TestEveryDecoder:
    """What every decoder must do."""

    def test_finds_the_planted_face(self, decoder: DecoderName, tmp_path: Path) -> None:
        face = FACES[decoder]
        ((found,),) = Detector(tiny(tmp_path, decoder), WHOLE, CPU).detect(
            [tuple(image(decoder, (3, 2)))]
        )  # type: ignore[list-item]
        assert found.box == pytest.approx(face.box, abs=0.02)
        assert found.landmarks == pytest.approx(face.landmarks, abs=0.02)
        assert found.score == pytest.approx(1, abs=0.01)

    def test_landmarks_are_in_the_common_order(self, decoder: DecoderName, tmp_path: Path) -> None:
        ((found,),) = detect(Detector(tiny(tmp_path, decoder), WHOLE, CPU), image(decoder, (3, 2)))
        right_eye, left_eye, nose, right_mouth, left_mouth = np.array(found[4:]).reshape(5, 2)
        assert right_eye[0] < nose[0] < left_eye[0]
        assert right_mouth[0] < left_mouth[0]
        assert right_eye[1] < nose[1] < right_mouth[1]

    def test_channels_are_in_the_right_order(self, decoder: DecoderName, tmp_path: Path) -> None:
        detector = Detector(tiny(tmp_path, decoder), WHOLE, CPU)
        others = {0, 1, 2} - {FACES[decoder].channel}
        assert detect(
            detector, *(image(decoder, (3, 2), channel=channel) for channel in others)
        ) == [[], []]

    def test_a_batch_gives_the_same_as_single_images(
        self, decoder: DecoderName, tmp_path: Path
    ) -> None:
        detector = Detector(tiny(tmp_path, decoder), WHOLE, CPU)
        images = [image(decoder, cell) for cell in ((3, 2), (0, 0), (5, 4), (1, 3), (4, 1), (2, 2))]
        images.insert(2, image(decoder))
        together = detect(detector, *images)
        assert [len(faces) for faces in together] == [1, 1, 0, 1, 1, 1, 1]
        assert together == [faces for one in images for faces in detect(detector, one)]

    def test_padding_neither_adds_nor_moves_faces(
        self, decoder: DecoderName, tmp_path: Path
    ) -> None:
        smaller = replace(WHOLE, width=WIDTH - 23, height=HEIGHT - 9)
        detector = Detector(tiny(tmp_path, decoder), smaller, CPU)
        cut = image(decoder, (3, 2))[:, : smaller.height, : smaller.width]
        ((found,), nothing) = detect(detector, cut, np.zeros_like(cut))
        assert found[:4] == pytest.approx(FACES[decoder].box, abs=0.02)
        assert nothing == []

    def test_a_face_at_the_border_is_not_clipped(
        self, decoder: DecoderName, tmp_path: Path
    ) -> None:
        stride = FACES[decoder].stride
        moved = np.array(FACES[decoder].box) - np.tile((3 * stride, 2 * stride), 2)
        ((found,),) = detect(Detector(tiny(tmp_path, decoder), WHOLE, CPU), image(decoder, (0, 0)))
        assert found[:4] == pytest.approx(moved, abs=0.02)
        last = (WIDTH // stride - 1, HEIGHT // stride - 1)
        ((found,),) = detect(Detector(tiny(tmp_path, decoder), WHOLE, CPU), image(decoder, last))
        assert found[:4] == pytest.approx(moved + np.tile(last, 2) * stride, abs=0.02)

    def test_boxes_and_points_are_in_px_of_the_frame(
        self, decoder: DecoderName, tmp_path: Path
    ) -> None:
        twice = replace(WHOLE, scale_x=2.0, scale_y=3.0)
        ((found,),) = detect(Detector(tiny(tmp_path, decoder), twice, CPU), image(decoder, (3, 2)))
        expected = np.array((*FACES[decoder].box, *FACES[decoder].landmarks)) * np.tile((2, 3), 7)
        assert found == pytest.approx(expected, abs=0.05)

    def test_landmarks_are_dropped_if_the_card_denies_them(
        self, decoder: DecoderName, tmp_path: Path
    ) -> None:
        ((found,),) = detect(
            Detector(tiny(tmp_path, decoder, landmarks=False), WHOLE, CPU), image(decoder, (3, 2))
        )
        assert len(found) == 4

    def test_outputs_of_another_decoder_are_refused(
        self, decoder: DecoderName, tmp_path: Path
    ) -> None:
        other = next(name for name in DECODERS if name not in (decoder, "facepaint"))
        with pytest.raises(
            UsageError,
            match=r"detector 'tiny' does not fit the decoder that its card names: .*output",
        ):
            Detector(tiny(tmp_path, decoder, tiny_network(other)), WHOLE, CPU)


@pytest.mark.parametrize("decoder", ["yunet", "scrfd", "centerface"])
@pytest.mark.parametrize("sides", [(1, 32, 32), (10, 32, 32), (1, 640, 640)], ids=str)
def test_a_network_of_a_fixed_size_takes_others_too(
    decoder: DecoderName, sides: tuple[int, int, int], tmp_path: Path
) -> None:
    detector = Detector(tiny(tmp_path, decoder, tiny_network(decoder, sides)), WHOLE, CPU)
    ((found,),) = detect(detector, image(decoder, (3, 2)))
    assert found == pytest.approx((*FACES[decoder].box, *FACES[decoder].landmarks), abs=0.02)


def test_a_network_that_fails_when_it_runs_is_refused(tmp_path: Path) -> None:
    """Its scores are reshaped to rows of seven, which fails only at run time."""
    model = onnx.load_from_string(tiny_network("yunet"))
    (shape,) = (tensor for tensor in model.graph.initializer if tensor.name == "cls_8.shape")
    shape.CopyFrom(numpy_helper.from_array(np.array([0, -1, 7], np.int64), "seven"))
    nodes = [
        helper.make_node("ReduceMax", ["image"], ["brightest"], keepdims=0),
        helper.make_node("Cast", ["brightest"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Add", ["seven", "whole"], ["cls_8.shape"]),
        *model.graph.node,
    ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    with pytest.raises(UsageError, match=r"^detector 'tiny' does not run: .*[Rr]eshape") as caught:
        Detector(tiny(tmp_path, "yunet", model.SerializeToString()), WHOLE, CPU)
    assert "\n" not in str(caught.value)


def test_scrfd_without_landmarks_gives_none(tmp_path: Path) -> None:
    network = tiny_network("scrfd", landmarks=False)
    ((found,),) = detect(
        Detector(tiny(tmp_path, "scrfd", network), WHOLE, CPU), image("scrfd", (3, 2))
    )
    assert found == pytest.approx(FACES["scrfd"].box, abs=0.02)


SCORES = {"facepaint": "map", "yunet": "map cls_8", "scrfd": "map 400", "centerface": "537"}
"""The convolution that gives the scores of a tiny network's finest stride."""


def scaled(network: bytes, name: str, factor: float) -> bytes:
    """A network with the weights of a convolution multiplied."""
    model = onnx.load_from_string(network)
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == f"{name}.weight")
    tensor.CopyFrom(
        numpy_helper.from_array(np.float32(factor) * numpy_helper.to_array(tensor), tensor.name)
    )
    data: bytes = model.SerializeToString()
    return data


@pytest.mark.parametrize("decoder", DECODERS)
class TestInvalidScores:
    """They must not count as an image without faces: nothing would be redacted in it."""

    def test_nan_scores_are_refused(self, decoder: DecoderName, tmp_path: Path) -> None:
        network = scaled(tiny_network(decoder), SCORES[decoder], np.nan)
        with pytest.raises(UsageError, match="scores from nan to nan where 0 to 1 is expected"):
            Detector(tiny(tmp_path, decoder, network), WHOLE, CPU)

    def test_scores_without_a_sigmoid_are_refused(
        self, decoder: DecoderName, tmp_path: Path
    ) -> None:
        network = scaled(tiny_network(decoder), SCORES[decoder], 5)
        with pytest.raises(
            UsageError, match=r"detector 'tiny' does not fit .*: there are scores from .* to "
        ):
            Detector(tiny(tmp_path, decoder, network), WHOLE, CPU).detect(
                [tuple(image(decoder, (3, 2)))]
            )  # type: ignore[list-item]


def test_a_face_without_finite_coordinates_is_refused(tmp_path: Path) -> None:
    network = scaled(tiny_network("yunet"), "map bbox_8", np.nan)
    detector = Detector(tiny(tmp_path, "yunet", network), WHOLE, CPU)
    with pytest.raises(
        UsageError, match="detector 'tiny' gives faces whose coordinates are not numbers"
    ):
        detect(detector, image("yunet", (3, 2), (6, 5)))


COARSE = {
    # Column 1, row 0 of stride 32: centre (1.5, 0.25) * 32, size (2, 3) * 32; and with the corner
    # as its anchor.
    "yunet": (16, -40, 80, 56),
    "scrfd": (0, -64, 128, 128),
}


@pytest.mark.parametrize("decoder", COARSE)
def test_all_strides_are_decoded(decoder: DecoderName) -> None:
    """A lit square of 32 px is 16 cells of stride 8, 4 of 16 and one of 32."""
    bright, size = np.zeros((1, 3, HEIGHT, WIDTH), np.float32), Input(WIDTH, HEIGHT)
    bright[0, 0, :32, 32:64] = 255 if decoder == "yunet" else 1
    raw = DECODERS[decoder].decode(_run(tiny_network(decoder), bright), 0, size, 0.9)
    assert len(raw.boxes) == len(raw.scores) == len(raw.landmarks) == 21
    assert raw.boxes[-1] == pytest.approx(COARSE[decoder], abs=0.02)
    assert raw.landmarks[-1, :2] == pytest.approx((1.25 * 32, 0.25 * 32))
    widths = (raw.boxes[:, 2] - raw.boxes[:, 0]).round().astype(int).tolist()
    assert sorted(widths) == sorted([widths[0]] * 16 + [2 * widths[0]] * 4 + [4 * widths[0]])


def _run(network: bytes, images: npt.NDArray[np.float32]) -> Outputs:
    import onnxruntime

    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"image": images}), strict=True))
