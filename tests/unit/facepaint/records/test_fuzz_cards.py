"""Mutated detector cards are read, or refused in one line."""

import contextlib
import copy
import json
import math
import random
from pathlib import Path
from typing import Any

import pytest

from facepaint.detectors.registry import read_card
from facepaint.errors import InputError
from models import DetectorModel
from models.detector import lowest_of, size_for

CARD: dict[str, Any] = {
    "name": "mine",
    "decoder": "yunet",
    "stride": 32,
    "smallest_face_px": 10.0,
    "landmarks": True,
    "stickers": {"accept": 0.6, "discard": 0.3, "still": 0.5},
    "redaction": {"accept": 0.25, "discard": 0.13, "near_confident": 0.2},
    "sha256": "0" * 64,
    "licence": "MIT",
    "figures": {"recall": 0.5},
    "schema": 1,
}

VALUES: tuple[object, ...] = (
    None, True, 0, -1, 1, 2, 10**400, 1e-300, 1e308, math.nan, math.inf, "", "x", "../a", "\x00",
    "\ud800", "\n", [], [1], {}, {"accept": 0.5}, {"a": {"b": []}}, "9" * 100_000,
)  # fmt: skip


def mutated(rng: random.Random) -> bytes:
    card = json.loads(json.dumps(CARD))
    for _ in range(rng.randint(1, 3)):
        target = rng.choice(
            [card, *(value for value in card.values() if isinstance(value, dict) and value)]
        )
        target[rng.choice([*target, "new"])] = copy.deepcopy(rng.choice(VALUES))
    raw = bytearray(json.dumps(card).encode())
    if rng.random() < 0.3:
        raw[rng.randrange(len(raw))] = rng.randrange(256)
    return bytes(raw)


@pytest.mark.parametrize("raw", [b"", b"5", b"[]", b"null", b"\xff", b"[" * 100_000, b"9" * 5000])
def test_what_is_no_card_is_refused(raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_bytes(raw)
    with pytest.raises(InputError, match="describes detector cards") as caught:
        read_card(path)
    assert "\n" not in str(caught.value)


def test_a_mutated_card_is_read_or_refused(tmp_path: Path) -> None:
    rng, path = random.Random(3), tmp_path / "mine.json"
    read = 0
    for _ in range(1500):
        path.write_bytes(mutated(rng))
        with contextlib.suppress(InputError):
            card = read_card(path)
            read += 1
            assert 0 <= lowest_of(card) <= 1
            size = size_for(DetectorModel(path, card), 1920, 1080, 0.06)
            assert 0 < size.width <= size.input_width <= 1920 + 256
            assert "\n" not in card.label
    assert read > 50
