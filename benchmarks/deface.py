"""Runs deface (https://github.com/ORB-HD/deface) for comparison, in an environment of its own: it
is no dependency.

Its own code decides what is covered: it anonymizes noise, and the pixels that changed were covered.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.redaction_scenes import Mask
from filters.face import Face

COVERED = """
import sys, imageio, numpy as np
from deface.centerface import CenterFace
from deface.deface import anonymize_frame
network, masks = CenterFace(), []
for frame in imageio.get_reader(sys.argv[1], output_params=['-fps_mode', 'passthrough']):
    found, _ = network(frame, threshold=0.2)
    noise = np.random.default_rng(1).integers(0, 256, frame.shape, np.uint8)
    redacted = noise.copy()
    anonymize_frame(found, redacted, mask_scale=1.3, replacewith="blur",
                    ellipse=True, draw_scores=False,
                    replaceimg=None, mosaicsize=20)
    masks.append((redacted != noise).any(2))
np.save(sys.argv[2], np.packbits(np.array(masks), axis=2))
"""
"""With the defaults of its command line: threshold, scale of the mask, ellipse."""

TRUTH = """
import sys, imageio, numpy as np
from deface.centerface import CenterFace
rows = []
frames = imageio.get_reader(sys.argv[1], output_params=['-fps_mode', 'passthrough'])
for number, frame in enumerate(frames):
    height, width = frame.shape[:2]
    network = CenterFace(in_shape=(960, 960 * height // width)) if number == 0 else network
    for mirrored in (False, True):
        shown = np.ascontiguousarray(frame[:, ::-1]) if mirrored else frame
        found, points = network(shown, threshold=0.5)
        for box, point in zip(found, points):
            if mirrored:
                box[[0, 2]] = width - box[[2, 0]]
                point[0::2] = width - point[0::2]
                point[:] = point.reshape(5, 2)[[1, 0, 2, 4, 3]].ravel()
            rows.append([number, *box, *point])
np.save(sys.argv[2], np.array(rows).reshape(-1, 16))
np.save(sys.argv[3], [number + 1, height, width])
"""


@dataclass(frozen=True, slots=True)
class Deface:
    """deface in an environment of its own."""

    python: str

    @classmethod
    def find(cls) -> Deface | None:
        """The one that FACEPAINT_DEFACE names; None if there is none."""
        python = os.environ.get("FACEPAINT_DEFACE", "")
        check = [python, "-c", "import deface, onnx, onnxruntime"]
        if (
            not Path(python).is_file()
            or subprocess.run(check, capture_output=True, check=False).returncode
        ):
            return None
        return cls(python)

    def covered(self, clip: Path) -> tuple[list[Mask], float]:
        """The pixels it covers in each frame, and the seconds that its command takes."""
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            command = [
                str(Path(self.python).with_name("deface")),
                str(clip),
                "-o",
                f"{folder}/redacted.mp4",
            ]
            subprocess.run(command, capture_output=True, check=True)
            seconds = time.perf_counter() - began
            (packed,) = self._run(COVERED, clip, "masks")
        width = _width(clip)
        return list(np.unpackbits(packed, axis=2)[..., :width].astype(np.bool_)), seconds

    def truth(self, clip: Path) -> Iterator[tuple[tuple[Face, ...], Mask]]:
        """For each frame the faces that its network detects, 960 px wide, as it is and mirrored,
        and a mask without obstructions."""
        rows, (count, height, width) = self._run(TRUTH, clip, "rows", "size")
        for number in range(count):
            found = rows[rows[:, 0] == number]
            faces = [Face((r[1], r[2], r[3], r[4]), tuple(r[6:]), r[5]) for r in found.tolist()]
            yield _distinct(faces), np.ones((height, width), np.bool_)

    def _run(self, script: str, clip: Path, *names: str) -> list[npt.NDArray[Any]]:
        with tempfile.TemporaryDirectory() as folder:
            files = [f"{folder}/{name}.npy" for name in names]
            subprocess.run(
                [self.python, "-c", script, str(clip), *files], capture_output=True, check=True
            )
            return [np.load(file) for file in files]


def _distinct(faces: list[Face]) -> tuple[Face, ...]:
    """Without the duplicates from the mirrored frame."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(
            np.hypot(*np.subtract(face.centre, other.centre)) > 0.4 * other.width for other in kept
        ):
            kept.append(face)
    return tuple(kept)


def _width(clip: Path) -> int:
    import av

    with av.open(str(clip)) as container:
        return container.streams.video[0].width
