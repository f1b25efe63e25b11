"""Detectors by name and by file: cards, guessed cards, and the message for each fault."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from facepaint.detectors.registry import (
    DEFAULT_CARDS,
    REMOTE_DETECTORS,
    SHIPPED,
    card_beside,
    fetched_path,
    find_detector,
    read_card,
    write_card,
)
from facepaint.errors import InputError, UsageError
from facepaint.records.detector_card import (
    DEFAULT_DETECTOR,
    STICKER_THRESHOLDS,
    DetectorCard,
    Thresholds,
    thresholds_for,
)
from models import WEIGHTS, find_model, shipped_model
from models.detector import lowest_of
from tasks.tracking.tracker import REDACTION, STICKERS, tracking_options
from tests.support.networks import FACES, tiny_network
from tests.support.paths import ROOT


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "my faces (2).onnx"
    path.write_bytes(tiny_network("yunet"))
    return path


def card(path: Path, **words: object) -> Path:
    card_beside(path).write_text(json.dumps({"name": "mine", "decoder": "yunet", **words}))
    return path


def test_shipped_detectors_have_the_card_of_their_weights() -> None:
    assert DEFAULT_DETECTOR in SHIPPED
    files = {path.name for path in WEIGHTS.glob("*.onnx")}
    assert (
        {f"{name}.onnx" for name in SHIPPED}
        <= files
        <= {f"{name}{kind}.onnx" for name in SHIPPED for kind in ("", ".int8")}
    )
    assert {path.stem for path in WEIGHTS.glob("*.json")} == {*SHIPPED}
    assert all((WEIGHTS / name).stat().st_size < 2_000_000 for name in files)
    for name in SHIPPED:
        model = shipped_model(name)
        assert find_detector(name) is None
        assert find_model(name) == model
        assert model.name == name
        assert model.card.licence
        assert find_detector(str(model.weights)).card == model.card  # type: ignore[union-attr]


@pytest.mark.parametrize("decoder", FACES)
def test_the_outputs_decide_the_decoder_without_a_card(decoder: str, tmp_path: Path) -> None:
    path = tmp_path / "Some model.onnx"
    path.write_bytes(tiny_network(decoder))
    model = find_model(str(path))
    assert model.card == replace(
        DEFAULT_CARDS[decoder], name="Some-model", sha256=model.card.sha256
    )  # type: ignore[index]
    assert len(model.card.sha256) == 64
    assert model.card.label == f"Some-model@{model.card.sha256[:12]}"


def test_the_card_beside_a_file_is_used(weights: Path) -> None:
    card(weights, stride=64, redaction={"seed": 0.5, "keep": 0.25}, licence="MIT")
    found = find_model(str(weights)).card
    assert (found.name, found.stride, found.licence) == ("mine", 64, "MIT")
    assert found.redaction == Thresholds(0.5, 0.25)


def test_a_written_card_is_read_back_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for remote in REMOTE_DETECTORS.values():
        write_card(path, replace(remote.card, figures={"AP easy": 0.9}))
        assert read_card(path) == replace(remote.card, figures={"AP easy": 0.9})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            {"decoder": "yolo"},
            "decoder: Input should be 'facepaint', 'yunet', 'scrfd' or 'centerface'",
        ),
        ({"name": "../x"}, "name: String should match pattern"),
        ({"stikers": None}, "stikers: Unexpected keyword argument"),
        (
            {"redaction": {"accept": 0.2, "discard": 0.4}},
            "redaction: Value error, discard must not be above accept",
        ),
        (
            {"redaction": {"accept": 2, "discard": 0.4}},
            "redaction.accept: Input should be less than or equal to 1",
        ),
        (
            {"redaction": {"accept": 1, "discard": 1}},
            "Value error, redaction thresholds above 0.7 leave faces visible",
        ),
        (
            {"redaction": {"accept": 0.3, "discard": 0.1, "still": 0.99}},
            "Value error, redaction thresholds above 0.7 leave faces visible",
        ),
        ({"stride": 0}, "stride: Input should be greater than or equal to 1"),
        ({"schema": 2}, "schema: Input should be 1"),
        ({"figures": {"AP": float("nan")}}, "figures.AP: Input should be a finite number"),
        ({"sha256": "0" * 64}, "belongs to other weights: its sha256 is not that of "),
    ],
    ids=lambda words: next(iter(words)) if isinstance(words, dict) else "",
)
def test_an_invalid_card_is_refused(weights: Path, words: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        find_model(str(card(weights, **words)))
    assert str(caught.value).startswith(str(card_beside(weights)))
    assert message in str(caught.value)


def test_a_card_that_is_not_json_is_refused(weights: Path) -> None:
    card_beside(weights).write_text("decoder = yunet")
    with pytest.raises(InputError, match="is not a DetectorCard record: the record: Invalid JSON"):
        find_model(str(weights))


def test_outputs_that_fit_no_decoder_need_a_card(tmp_path: Path) -> None:
    path = tmp_path / "odd.onnx"
    path.write_bytes(tiny_network("scrfd", landmarks=False))
    with pytest.raises(
        InputError,
        match=r"write a card .*odd\.json like {\"name\": \"odd\", \"decoder\": \"yunet\"}",
    ):
        find_model(str(path))
    card_beside(path).write_text('{"name": "odd", "decoder": "scrfd", "landmarks": false}')
    assert find_model(str(path)).card.decoder == "scrfd"


def test_unusable_files_are_refused(tmp_path: Path, weights: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.onnx does not exist"):
        find_detector(str(tmp_path / "gone.onnx"))
    (tmp_path / "text.onnx").write_text("not at all")
    with pytest.raises(
        InputError, match=r"^detector .*text\.onnx is not an ONNX file, or is damaged"
    ):
        find_detector(str(tmp_path / "text.onnx"))
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        find_detector(str(tmp_path / "folder.onnx"))
    weights.write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(InputError, match="has more than 1 MiB; choose a smaller one"):
        find_detector(str(weights), max_bytes=1 << 20)


def test_unknown_and_missing_detectors_are_refused() -> None:
    with pytest.raises(
        UsageError, match=r"^unknown detector 'yolo'; there are facepaint-.*, yunet, .*PATH\.onnx$"
    ):
        find_detector("yolo")
    with pytest.raises(
        UsageError, match="not downloaded; `facepaint detectors pull yunet` fetches it"
    ):
        find_detector("yunet")


def test_a_damaged_download_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEPAINT_HOME", str(tmp_path))
    path = fetched_path(REMOTE_DETECTORS["yunet"])
    path.parent.mkdir(parents=True)
    path.write_bytes(tiny_network("yunet"))
    with pytest.raises(
        InputError, match="is damaged: its sha256 differs; `facepaint detectors pull yunet`"
    ):
        find_detector("yunet")


def test_a_shipped_model_is_found_by_name_only(weights: Path) -> None:
    for name in (str(weights), "yunet", "../facepaint-1"):
        with pytest.raises(UsageError, match="unknown detector"):
            shipped_model(name)


def test_thresholds_of_the_card_override_the_defaults() -> None:
    plain = DetectorCard("a", "yunet")
    assert tracking_options(False, None) == tracking_options(False, plain) == STICKERS
    assert tracking_options(True, None) == tracking_options(True, plain) == REDACTION
    assert (thresholds_for(False, plain).for_still, thresholds_for(True, None).for_still) == (
        STICKER_THRESHOLDS.still,
        REDACTION.accept,
    )
    own = replace(plain, stickers=Thresholds(0.8, 0.5), redaction=Thresholds(0.2, 0.1, still=0.15))
    assert tracking_options(False, own) == replace(STICKERS, accept=0.8, discard=0.5)
    assert tracking_options(True, own) == replace(REDACTION, accept=0.2, discard=0.1, context=None)
    assert (thresholds_for(False, own).for_still, thresholds_for(True, own).for_still) == (
        0.8,
        0.15,
    )


@pytest.mark.parametrize(
    ("points", "lowest"),
    [
        ({}, 0.15),
        ({"redaction": Thresholds(0.5, 0.3)}, 0.3),
        ({"redaction": Thresholds(0.5, 0.3), "stickers": Thresholds(0.6, 0.2)}, 0.2),
        ({"stickers": Thresholds(0.1, 0.05)}, 0.05),
        ({"redaction": Thresholds(0.5, 0.3, still=0.1)}, 0.1),
    ],
    ids=str,
)
def test_candidates_are_stored_down_to_the_lowest_threshold(
    points: dict[str, Thresholds], lowest: float
) -> None:
    assert lowest_of(replace(DetectorCard("a", "yunet"), **points)) == lowest


def test_a_client_without_onnx_needs_a_card(weights: Path) -> None:
    script = (
        "import sys; sys.modules['onnx'] = None; "
        "from facepaint.detectors.registry import find_detector; "
        "from facepaint.errors import MissingExtra\n"
        "try: find_detector(sys.argv[1])\n"
        "except MissingExtra as exc: print(exc)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script, str(weights)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert shown.stdout == (
        f"checking detector {weights} needs the extra 'worker': install it from a checkout with "
        f"`pip install '.[worker]'`, or write the card {card_beside(weights)}\n"
    )


def test_a_client_checks_a_detector_without_numpy_and_onnx_runtime(weights: Path) -> None:
    write_card(card_beside(weights), DetectorCard("own", "yunet"))
    script = (
        "import sys; from facepaint.detectors.registry import find_detector; "
        "find_detector(sys.argv[1]); "
        "print([name for name in ('numpy', 'onnx', 'onnxruntime', 'models') if name in "
        "sys.modules])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script, str(weights)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert (shown.stdout, shown.stderr) == ("[]\n", "")


def test_cards_with_earlier_key_names_are_read(tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_text(
        json.dumps(
            {
                "name": "old",
                "decoder": "yunet",
                "stickers": {"seed": 0.6, "keep": 0.3, "picture": 0.5},
                "hiding": {"seed": 0.25, "keep": 0.13, "in_company": 0.2},
            }
        )
    )
    card = read_card(path)
    assert card.stickers == Thresholds(accept=0.6, discard=0.3, still=0.5)
    assert card.redaction == Thresholds(accept=0.25, discard=0.13, near_confident=0.2)
    write_card(path, card)
    assert read_card(path) == card
    assert "seed" not in path.read_text()
