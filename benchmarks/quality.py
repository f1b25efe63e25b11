"""How well stickers sit and how still they stand: python -m benchmarks.quality [--out DIR]
[--before REVISION]

Prints the tables of docs/quality.md. Clips of the portrait in known motion are drawn, encoded, cut,
detected and tracked as a job's would be; what comes out is compared with where the face truly was.
``--before`` names a revision whose tracking is measured beside today's. FACEPAINT_CLIPS names a
folder of real clips, for the seams and the contact sheets; ``--out`` keeps the clips, what was
detected in them, and the pictures.

What hiding filters leave uncovered is measured by ``python -m benchmarks.leaks``.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import onnxruntime

from benchmarks import crossing, motion, seams, sheets
from benchmarks.motion import FPS, Motion
from benchmarks.residuals import FAST, STILL, WANDERING, made_up, residuals
from benchmarks.trembling import nearest, trembling
from facepaint.records.faces import Faces
from filters.face import Face
from tasks.tracking import tracker

MOTIONS = (
    *(motion.still(width) for width in (40, 80, 160)),
    *(motion.breathing(width) for width in (40, 80, 160)),
    motion.talking(100),
    motion.leaning(100),
    motion.walking(80),
    motion.stopping(100),
    motion.dashing(100),
)

MADE_UP = (
    (motion.still(100), STILL),
    (motion.talking(100), WANDERING),
    (motion.dashing(100), FAST),
)

PARTS = ("errors", "trembling", "made-up", "seams", "crossing", "sheets")


@dataclass(frozen=True, slots=True)
class Seen:
    """A motion and what was detected in its clip."""

    motion: Motion
    faces: tuple[Faces, ...]
    time_base: Fraction

    @property
    def unsmoothed(self) -> list[Face | None]:
        """For each frame the candidate that is the true face."""
        return [
            nearest(truth, [Face(face.box, face.landmarks, face.score) for face in frame.faces])
            for truth, frame in zip(self.motion.faces, _frames(self.faces), strict=True)
        ]

    def tracked(self, tracking: Any) -> list[Face | None]:
        """For each frame the tracked face that is the true one; ``tracking`` is the module that
        tracks."""
        tracks = tracking.Tracks(self.faces, self.time_base, tracking.STICKERS)
        return [
            nearest(truth, tracks.faces_at(frame.pts))
            for truth, frame in zip(self.motion.faces, _frames(self.faces), strict=True)
        ]


def main() -> int:
    """Print the tables asked for."""
    arguments = _arguments()
    before = _tracking_of(arguments.before) if arguments.before else None
    with tempfile.TemporaryDirectory() as temporary:
        out = arguments.out or Path(temporary)
        out.mkdir(parents=True, exist_ok=True)
        print(_heading(sys.argv[1:]))
        seen = _see(out, arguments.only) if {"errors", "trembling"} & set(arguments.parts) else []
        writers: dict[str, Callable[[], Iterable[str]]] = {
            "errors": lambda: errors_table(seen),
            "trembling": lambda: trembling_table(seen, before),
            "made-up": lambda: trembling_table(list(_made_up()), before),
            "seams": lambda: seams.table(out, _clips()),
            "crossing": lambda: crossing.table(out),
            "sheets": lambda: sheets.write_all(out, _clips()),
        }
        for part in arguments.parts:
            print("", *writers[part](), sep="\n", flush=True)
    return 0


def errors_table(seen: Sequence[Seen]) -> Iterator[str]:
    """What the detector's faces differ from the true ones by."""
    yield (
        "| clip | widths/s | box: bias, slow, fast, kept | landmarks: bias, slow, fast, "
        "kept | missed |"
    )
    yield "|---|---|---|---|---|"
    for one in seen:
        found = residuals(one.motion.faces, one.unsmoothed)
        box, landmarks = (
            f"{part.bias:.2f} %, {part.slow:.2f} %, {part.fast:.2f} %, {part.kept:.2f}"
            for part in (found.box, found.landmarks)
        )
        yield (
            f"| {one.motion.name} | {one.motion.speed:.1f} | {box} | {landmarks} | "
            f"{100 * found.missed:.1f} % |"
        )


def trembling_table(seen: Sequence[Seen], before: Any = None) -> Iterator[str]:
    """How far the sunglasses' corners are from where the true face would put them."""
    names = ["unsmoothed", *(["before"] if before else []), "now"]
    yield (
        f"| clip | trembling, % of the face: {', '.join(names)} | steadier | above 2 Hz: "
        f"{', '.join(names)} "
        f"| lag, frames | worst, %: {', '.join(names)} | missing |"
    )
    yield "|---|---|---|---|---|---|---|"
    for one in seen:
        truth = one.motion.faces
        ways = [one.unsmoothed, *([one.tracked(before)] if before else []), one.tracked(tracker)]
        raw, *others = (trembling(truth, found, FPS) for found in ways)
        now = others[-1]
        every = (raw, *others)
        yield (
            f"| {one.motion.name} | {', '.join(f'{each.percent:.2f}' for each in every)} "
            f"| {raw.percent / now.percent:.1f} x | "
            f"{', '.join(f'{each.above_percent:.2f}' for each in every)} "
            f"| {now.lag_frames:.2f} | "
            f"{', '.join(f'{each.worst_percent:.1f}' for each in every)} | {now.missing} |"
        )


def _see(out: Path, only: str) -> list[Seen]:
    found = []
    for one in MOTIONS:
        if only in one.name:
            clip, faces = motion.detected(out, one.name, motion.pictures(one))
            found.append(Seen(one, tuple(faces), clip.job.video.time_base))
    return found


def _made_up() -> Iterator[Seen]:
    for one, noise in MADE_UP:
        yield Seen(one, (made_up(one, noise),), Fraction(1, FPS))


def _frames(faces: Sequence[Faces]) -> list[Any]:
    return [frame for record in faces for frame in record.frames]


def _clips() -> Path | None:
    """The folder of real clips, if there is one."""
    folder = os.environ.get("FACEPAINT_CLIPS")
    return Path(folder) if folder and Path(folder).is_dir() else None


def _tracking_of(revision: str) -> Any:
    """The tracking of an older revision, as a module that is in no file."""
    source = next(
        filter(
            None,
            (
                _source(revision, name)
                for name in ("tasks/tracking/tracker.py", "tasks/tracking.py")
            ),
        ),
        None,
    )
    if source is None:
        raise SystemExit(f"{revision} has neither tasks/tracking/tracker.py nor tasks/tracking.py")
    module = types.ModuleType("benchmarks.before")
    sys.modules[module.__name__] = module  # dataclasses look their module up
    exec(compile(source, revision, "exec"), module.__dict__)
    return module


def _source(revision: str, path: str) -> str | None:
    shown = subprocess.run(
        ["git", "show", f"{revision}:{path}"], capture_output=True, text=True, check=False
    )
    return None if shown.returncode else shown.stdout


def _heading(arguments: Sequence[str]) -> str:
    return (
        f"Measured with `python -m benchmarks.quality {' '.join(arguments)}` on a "
        f"{platform.machine()} processor with "
        f"{os.cpu_count()} cores, ONNX Runtime {onnxruntime.__version__}."
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all if none is named"
    )
    parser.add_argument(
        "--out", type=Path, help="keep clips, detections and pictures in this folder"
    )
    parser.add_argument(
        "--before", metavar="REVISION", help="measure this revision's tracking as well"
    )
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="only motions with this in their name"
    )
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    arguments.parts = arguments.parts or list(PARTS)
    return arguments


if __name__ == "__main__":
    sys.exit(main())
