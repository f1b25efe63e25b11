"""A clip of the set, and the table of all of them."""

import fcntl
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.clips.ordinary import Frame, decode_ordinarily
from tests.support.clips.write import MissingTool

Recipe = Callable[[Path], None]
"""Makes the clip under the path it is given."""

GROUPS = {
    "codecs": "Codecs and containers",
    "times": "Times",
    "geometry": "Shape",
    "colour": "Colour and depth",
    "audio": "Audio, subtitles, chapters",
    "damage": "Damage",
}
"""The files of the recipes and what the table in docs/ calls them."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip of the set.

    Args:
        name: of its file.
        title: what kind of clip it is, for docs/fidelity.md.
        group: the section of that page.
        make: writes the file.
        quick: `make test` cuts it too.
        truncated: how the uploader reports that it ends early.
        untimed: its packets have no presentation times, so only its pixels are compared.
        loses_audio: it has audio that no container can hold.
        decode: returns the frames that a player shows.
    """

    name: str
    title: str
    group: str
    make: Recipe
    quick: bool = False
    truncated: str = ""
    untimed: bool = False
    loses_audio: bool = False
    decode: Callable[[Path], list[Frame]] = decode_ordinarily


CLIPS: dict[str, Clip] = {}


def clip(name: str, title: str, **facts: Any) -> Callable[[Recipe], Recipe]:
    """Put a recipe into the set; ``facts`` are the other fields of `Clip`."""

    def add(make: Recipe) -> Recipe:
        assert name not in CLIPS
        assert make.__doc__
        CLIPS[name] = Clip(name, title, GROUPS[make.__module__.rpartition(".")[2]], make, **facts)
        return make

    return add


@dataclass(frozen=True, slots=True)
class Media:
    """Makes clips in a folder that the processes of a test session share; each is made once."""

    folder: Path

    def __call__(self, name: str) -> Path:
        """The path of a clip. Where a tool it needs is missing the test is skipped; on CI it
        fails."""
        try:
            return self.make(name)
        except MissingTool as exc:
            if os.environ.get("CI") == "true":
                pytest.fail(f"{exc}: on CI it is part of the set-up")
            pytest.skip(str(exc))

    def make(self, name: str) -> Path:
        """The path of a clip.

        Raises:
            MissingTool: it cannot be made here.
        """
        path = self.folder / name
        with (self.folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                workshop = self.folder / f"{name}.workshop"
                shutil.rmtree(workshop, ignore_errors=True)
                workshop.mkdir()
                CLIPS[name].make(workshop / name)
                (workshop / name).replace(path)
                shutil.rmtree(workshop)
        return path
