"""How often a redacted face is visible: python -m benchmarks.leaks [--out DIR] [--real]

Prints the tables of docs/privacy.md. Scenes with ground truth (`benchmarks.redaction_scenes`) are
encoded, cut, detected and filled with one colour; every pixel of another colour is uncovered. A
face leaks in a frame if an unobstructed eye, nose or corner of the mouth is uncovered, or more than
a tenth of the ellipse in its box.

FACEPAINT_DEFACE names the Python of an environment with deface (https://github.com/ORB-HD/deface)
and onnxruntime, to run deface on the same clips with its defaults. ``--real`` adds the clips in
FACEPAINT_CLIPS; their ground truth is what deface's network detects in frames 960 px wide, also
mirrored. Inspect it in the images of --out.
"""

import argparse
import io
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av
import cv2
import numpy as np

from benchmarks.clips import RgbImage
from benchmarks.deface import Deface
from benchmarks.motion import clip_file
from benchmarks.pipeline import CutClip, cut_clip, detect_clip, paint_clip
from benchmarks.redaction_scenes import SCENES, Mask, Shot
from facepaint.looks.parser import parse_look
from filters.face import Face

LOOK = parse_look(["fill:colour=#00ff00"])

SHOWN = 0.1
"""The share of the ellipse in a face's box that may be uncovered."""

HALF = 0.5
"""A face of which a smaller share is in the frame and unobstructed is counted apart."""

REAL = ("hall.mp4", "head-pose-two.mp4", "walking-up.mp4", "classroom.mp4")


@dataclass(frozen=True, slots=True)
class Truth:
    """The ground truth of a frame: its faces, and the pixels with nothing in front of them."""

    faces: tuple[Face, ...]
    unobstructed: Mask


@dataclass(slots=True)
class Score:
    """One clip's result: faces counted, the leaking frames (of whole faces and of parts), and the
    share of the pixels that is covered."""

    faces: int = 0
    leaking: list[int] = field(default_factory=list)
    partly: list[int] = field(default_factory=list)
    covered: float = 0.0
    seconds: float = 0.0

    def row(self) -> str:
        return f"{len(self.leaking)} | {len(self.partly)} | {self.covered:.1%} | {self.seconds:.1f}"


def scored(truth: Sequence[Truth], masks: Sequence[Mask], seconds: float) -> Score:
    """Compare the covered pixels of each frame with the ground truth."""
    assert len(truth) == len(masks)
    score = Score(seconds=seconds, covered=float(np.mean([mask.mean() for mask in masks])))
    for number, (frame, covered) in enumerate(zip(truth, masks, strict=True)):
        for face in frame.faces:
            share, leaks = _leaks(face, frame.unobstructed, covered)
            score.faces += share >= HALF
            if leaks:
                kind = score.leaking if share >= HALF else score.partly
                kind += [number] if number not in kind else []
    return score


def _leaks(face: Face, unobstructed: Mask, covered: Mask) -> tuple[float, bool]:
    """The share of a face that is unobstructed, and whether too much of it is uncovered."""
    height, width = covered.shape
    x = np.arange(width)[None] + 0.5 - face.centre[0]
    y = np.arange(height)[:, None] + 0.5 - face.centre[1]
    ellipse = (2 * x / face.width) ** 2 + (2 * y / face.height) ** 2 <= 1
    visible = ellipse & unobstructed
    uncovered = visible & ~covered
    # Of the whole ellipse, also where it leaves the frame.
    area = np.pi / 4 * face.width * face.height

    columns, rows = np.array(face.landmarks).astype(int).reshape(-1, 2).T
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    columns, rows = columns[inside], rows[inside]
    landmark_shows = (unobstructed[rows, columns] & ~covered[rows, columns]).any()
    return float(visible.sum() / area), bool(landmark_shows or uncovered.sum() > SHOWN * area)


def redacted(clip: CutClip) -> tuple[list[RgbImage], float]:
    """The redacted frames, RGB, and the seconds that detecting and painting took."""
    began = time.perf_counter()
    results = list(paint_clip(clip, detect_clip(clip), LOOK))
    seconds = time.perf_counter() - began
    return [frame for result in results for frame in frames_of(io.BytesIO(result.data))], seconds


def frames_of(file: Path | io.BytesIO) -> Iterator[RgbImage]:
    """The frames of a video, RGB."""
    with av.open(str(file) if isinstance(file, Path) else file) as container:
        yield from (frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))


def green(image: RgbImage) -> Mask:
    """The pixels of the fill's colour."""
    red, level, blue = (image[..., channel].astype(np.int16) for channel in range(3))
    return np.asarray(level - np.maximum(red, blue) > 80)


def sheet(
    source: Sequence[RgbImage], masks: Sequence[Mask], truth: Sequence[Truth], rows: Sequence[int]
) -> RgbImage:
    """Frames to inspect: covered pixels in green, true faces in red."""
    tiles = []
    for row in rows:
        tile = source[row].copy()
        tile[masks[row]] = tile[masks[row]] // 2 + np.array([0, 127, 0], np.uint8)
        for face in truth[row].faces:
            x1, y1, x2, y2 = (round(n) for n in face.box)
            cv2.rectangle(tile, (x1, y1), (x2, y2), (255, 0, 0), 1)
            for a, b in zip(face.landmarks[0::2], face.landmarks[1::2], strict=True):
                cv2.circle(tile, (round(a), round(b)), 2, (255, 255, 0), -1)
        cv2.putText(tile, str(row), (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1)
        tiles.append(tile)
    while len(tiles) % 4:
        tiles.append(np.zeros_like(tiles[0]))
    return np.asarray(
        np.vstack([np.hstack(tiles[i : i + 4]) for i in range(0, len(tiles), 4)]), np.uint8
    )


def compare(
    name: str, path: Path, truth: Sequence[Truth], out: Path, deface: Deface | None
) -> None:
    """Print one row of the table, and draw the leaking frames."""
    frames, seconds = redacted(cut_clip(path))
    masks = [green(frame) for frame in frames]
    ours = scored(truth, masks, seconds)
    row = f"| {name} | {ours.faces} | {ours.row()} |"
    if deface:
        theirs_masks, seconds = deface.covered(path)
        row += f" {scored(truth, theirs_masks, seconds).row()} |"
    print(row, flush=True)
    wrong = sorted({*ours.leaking, *ours.partly})
    if wrong:
        source = list(frames_of(path))
        image = sheet(source, masks, truth, wrong[:: max(1, len(wrong) // 12)])
        cv2.imwrite(str(out / f"leaks-{name.replace(' ', '-')}.png"), image[..., ::-1])


def main() -> int:
    """Print one row for each clip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="keep clips and images in this folder")
    parser.add_argument("--real", action="store_true", help="add the clips in FACEPAINT_CLIPS")
    parser.add_argument("--only", default="", help="only clips with this in their name")
    arguments = parser.parse_args()
    deface = Deface.find()
    if deface is None:
        print("skipping deface: FACEPAINT_DEFACE names no Python that has it", file=sys.stderr)
    columns = ["leaking", "of parts", "covered", "seconds"]
    heads = columns + (["deface: leaking", *columns[1:]] if deface else [])
    print(f"| clip | faces in frames | {' | '.join(heads)} |\n|---|{'---:|' * (len(heads) + 1)}")
    with tempfile.TemporaryDirectory() as temporary:
        out = arguments.out or Path(temporary)
        out.mkdir(parents=True, exist_ok=True)
        for scene in SCENES:
            if arguments.only in scene.name:
                path = clip_file(out, f"redacted {scene.name}", scene.frames())
                compare(scene.name, path, truth_of(scene.shots), out, deface)
        if arguments.real and deface and "FACEPAINT_CLIPS" in os.environ:
            for name in REAL:
                path = Path(os.environ["FACEPAINT_CLIPS"]) / name
                if arguments.only in name:
                    truth = [Truth(*frame) for frame in deface.truth(path)]
                    compare(name, path, truth, out, deface)
    return 0


def truth_of(shots: Sequence[Shot]) -> list[Truth]:
    """The ground truth of drawn frames."""
    return [Truth((shot.face,) if shot.face else (), shot.unobstructed()) for shot in shots]


if __name__ == "__main__":
    sys.exit(main())
