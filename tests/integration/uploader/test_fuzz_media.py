"""Damaged and forged media end in an error of ours, or in a job of what can be read."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest

from facepaint.errors import FacepaintError
from tests.support.clips.write import AudioTrack, Video, portrait, write_clip
from tests.support.cut_clip import cut_clip
from uploader.probe import probe

KINDS: dict[str, Video] = {
    "mp4": Video(),
    "mkv": Video("libx265", {"x265-params": "log-level=error"}),
    "webm": Video("libvpx-vp9"),
    "ts": Video(),
    "avi": Video("mpeg4"),
    "mov": Video("mjpeg", pixel_format="yuvj420p"),
}
EVERY = 24
"""Mutations of each kind and seed."""


def flipped(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.randrange(1, 40)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def cut_off(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(1, len(data)) :]


def zeroed(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    length = min(len(data) - start, chance.randrange(1, 4096))
    data[start : start + length] = bytes(length)


def swapped(data: bytearray, chance: random.Random) -> None:
    size = min(512, len(data) // 4)
    a, b = (chance.randrange(len(data) - size) for _ in range(2))
    data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]


def huge_numbers(data: bytearray, chance: random.Random) -> None:
    """In the header, where sizes and counts are."""
    for _ in range(4):
        at = chance.randrange(min(2048, len(data) - 8))
        data[at : at + 4] = b"\x7f\xff\xff\xff"


MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    flipped,
    cut_off,
    zeroed,
    swapped,
    huge_numbers,
)


def mutated(data: bytes, seed: int) -> Iterator[bytes]:
    chance = random.Random(seed)
    for number in range(EVERY):
        changed = bytearray(data)
        MUTATIONS[number % len(MUTATIONS)](changed, chance)
        yield bytes(changed)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("originals")
    files = {}
    for suffix, video in KINDS.items():
        path = folder / f"clip.{suffix}"
        codec = "libopus" if suffix == "webm" else "aac" if suffix != "avi" else "mp3"
        audio = [AudioTrack(codec, seconds=1.0)]
        write_clip(path, portrait(seconds=1.0, size=(160, 90)), video, audio)
        files[suffix] = path.read_bytes()
    return files


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("suffix", KINDS)
def test_mutated_media_end_in_errors_of_ours(
    suffix: str, seed: int, originals: dict[str, bytes], tmp_path: Path
) -> None:
    av.logging.set_level(None)
    readable, messages = 0, []
    for number, data in enumerate(mutated(originals[suffix], seed)):
        path = tmp_path / f"{number}.{suffix}"
        path.write_bytes(data)
        try:
            clip = cut_clip(path, 0.5, probe(path))
            for index in range(len(clip.segments)):
                clip.frames(index)
        except FacepaintError as exc:
            messages.append(str(exc))
        else:
            readable += 1
    assert readable, "some damage leaves the video readable"
    assert not [message for message in messages if "\n" in message]
