"""How often a face that was to be hidden shows: python -m benchmarks.leaks [--out DIR] [--real]

Prints the tables of docs/privacy.md. Scenes with known truth (`benchmarks.hidden_scenes`) are
drawn, encoded, cut, detected and painted by the functions behind the tasks, with a fill in one
colour; where that colour is not, the source shows. In a frame a face leaks if an eye, the nose or a
corner of the mouth that is seen there is not covered, or more than a tenth of the ellipse in its
box.

FACEPAINT_DEFACE names the Python of an environment with deface (https://github.com/ORB-HD/deface)
and onnxruntime: the same clips are then given to it with its defaults. ``--real`` takes the clips
in FACEPAINT_CLIPS too; their truth is what deface's network finds in frames 960 px wide, also
mirrored, and is to be looked at: see the pictures in --out.
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

from benchmarks.clips import Picture
from benchmarks.deface import Deface
from benchmarks.hidden_scenes import SCENES, Mask
from benchmarks.motion import CutClip, cut_clip, detect_clip, drawn
from benchmarks.seams import reach
from facepaint.looks.parser import parse_look
from facepaint.records.faces import Faces
from filters.face import Face
from tasks.paint import Inputs, paint_segment
from tasks.video.decode import RunSource

LOOK = parse_look(["fill:colour=#00ff00"])

SHOWN = 0.1
"""The share of the ellipse in a face's box that may show."""

HALF = 0.5
"""A face of which less is in the picture and in sight is counted apart."""

REAL = ("hall.mp4", "head-pose-two.mp4", "walking-up.mp4", "classroom.mp4")


@dataclass(frozen=True, slots=True)
class Seen:
    """What is truly in a frame: faces, and where nothing stands before them."""

    faces: tuple[Face, ...]
    unobstructed: Mask


@dataclass(slots=True)
class Score:
    """Of one clip: how many faces were in how many frames, which frames leak, and how much was
    covered."""

    faces: int = 0
    leaking: list[int] = field(default_factory=list)
    partly: list[int] = field(default_factory=list)
    covered: float = 0.0
    seconds: float = 0.0

    def row(self) -> str:
        return f"{len(self.leaking)} | {len(self.partly)} | {self.covered:.1%} | {self.seconds:.1f}"


def scored(truth: Sequence[Seen], masks: Sequence[Mask], seconds: float) -> Score:
    """Hold what was covered in each frame against what is there."""
    assert len(truth) == len(masks)
    score = Score(seconds=seconds, covered=float(np.mean([mask.mean() for mask in masks])))
    for number, (seen, covered) in enumerate(zip(truth, masks, strict=True)):
        for face in seen.faces:
            share, leaks = _leaks(face, seen.unobstructed, covered)
            score.faces += share >= HALF
            if leaks:
                kind = score.leaking if share >= HALF else score.partly
                kind += [number] if number not in kind else []
    return score


def _leaks(face: Face, unobstructed: Mask, covered: Mask) -> tuple[float, bool]:
    """The share of a face that is in sight, and whether too much of it shows."""
    height, width = covered.shape
    x, y = (
        np.arange(width)[None] + 0.5 - face.centre[0],
        np.arange(height)[:, None] + 0.5 - face.centre[1],
    )
    in_sight = ((2 * x / face.width) ** 2 + (2 * y / face.height) ** 2 <= 1) & unobstructed
    whole = np.pi / 4 * face.width * face.height
    points = [
        (int(a), int(b)) for a, b in zip(face.landmarks[0::2], face.landmarks[1::2], strict=True)
    ]
    inside = [
        (a, b) for a, b in points if 0 <= a < width and 0 <= b < height and unobstructed[b, a]
    ]
    shows = any(not covered[b, a] for a, b in inside) or (in_sight & ~covered).sum() > SHOWN * whole
    return float(in_sight.sum() / whole), bool(shows)


def painted(clip: CutClip) -> tuple[list[Picture], float]:
    """The frames as facepaint hides them, RGB, and the seconds it took."""
    began = time.perf_counter()
    faces: list[Faces] = detect_clip(clip)
    results = []
    for number in range(len(clip.segments)):
        near = {faces[other].index: faces[other] for other in reach(clip, number)}
        results.append(paint_segment(clip.job, LOOK, RunSource(*clip.run(number)), Inputs(near)))
    seconds = time.perf_counter() - began
    return [picture for result in results for picture in pictures(io.BytesIO(result.data))], seconds


def pictures(file: Path | io.BytesIO) -> Iterator[Picture]:
    """The frames of a video, RGB."""
    with av.open(str(file) if isinstance(file, Path) else file) as container:
        yield from (frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))


def green(picture: Picture) -> Mask:
    """Where the fill is."""
    red, level, blue = (picture[..., channel].astype(np.int16) for channel in range(3))
    return np.asarray(level - np.maximum(red, blue) > 80)


def sheet(
    source: Sequence[Picture], masks: Sequence[Mask], truth: Sequence[Seen], rows: Sequence[int]
) -> Picture:
    """Frames to look at: what is covered in green, true faces in red."""
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


def compare(name: str, path: Path, truth: Sequence[Seen], out: Path, deface: Deface | None) -> None:
    """One row of the table; leaking frames become a picture."""
    frames, seconds = painted(cut_clip(path, 2.0))
    masks = [green(frame) for frame in frames]
    ours = scored(truth, masks, seconds)
    row = f"| {name} | {ours.faces} | {ours.row()} |"
    if deface:
        theirs_masks, seconds = deface.covered(path)
        row += f" {scored(truth, theirs_masks, seconds).row()} |"
    print(row, flush=True)
    wrong = sorted({*ours.leaking, *ours.partly})
    if wrong:
        source = list(pictures(path))
        picture = sheet(source, masks, truth, wrong[:: max(1, len(wrong) // 12)])
        cv2.imwrite(str(out / f"leaks-{name.replace(' ', '-')}.png"), picture[..., ::-1])


def main() -> int:
    """Print a row a clip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="Folder for clips and pictures.")
    parser.add_argument(
        "--real", action="store_true", help="Take the clips in FACEPAINT_CLIPS too."
    )
    parser.add_argument("--only", default="", help="Scenes whose name holds this.")
    arguments = parser.parse_args()
    deface = Deface.find()
    if deface is None:
        print("deface is left out: FACEPAINT_DEFACE names no Python that has it", file=sys.stderr)
    columns = ["leaking", "of parts", "covered", "seconds"]
    heads = columns + (["deface: leaking", *columns[1:]] if deface else [])
    print(f"| clip | faces in frames | {' | '.join(heads)} |\n|---|{'---:|' * (len(heads) + 1)}")
    with tempfile.TemporaryDirectory() as temporary:
        out = arguments.out or Path(temporary)
        out.mkdir(parents=True, exist_ok=True)
        for one in SCENES:
            if arguments.only in one.name:
                path = drawn(out, f"hidden {one.name}", one.pictures())
                truth = [
                    Seen((shot.face,) if shot.face else (), shot.unobstructed())
                    for shot in one.shots
                ]
                compare(one.name, path, truth, out, deface)
        if arguments.real and deface and "FACEPAINT_CLIPS" in os.environ:
            for name in REAL:
                path = Path(os.environ["FACEPAINT_CLIPS"]) / name
                if arguments.only in name:
                    compare(
                        name,
                        path,
                        [Seen(faces, seen) for faces, seen in deface.truth(path)],
                        out,
                        deface,
                    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
