"""How still stickers stand: python -m benchmarks.quality [PART...] [--out DIR]

Prints the tables of docs/quality.md. Clips of the portrait in known motion are encoded, cut,
detected and tracked as a job is, and the tracked faces are compared with the ground truth.
FACEPAINT_CLIPS names a folder of real clips for the contact sheets; ``--out`` keeps the clips,
their detections and the images.

``python -m benchmarks.leaks`` measures what redactions leave uncovered.
"""

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import onnxruntime

from benchmarks import motion, sheets
from benchmarks.jitter import measure_jitter, nearest
from benchmarks.motion import FAST, FPS, STILL, TALKING, Motion
from facepaint.records.faces import Faces
from filters.face import Face
from tasks.tracking.tracker import STICKERS, Tracks

MOTIONS = (
    *(motion.still(width) for width in (40, 80, 160)),
    *(motion.breathing(width) for width in (40, 80, 160)),
    motion.talking(100),
    motion.leaning(100),
    motion.walking(80),
    motion.stopping(100),
    motion.dashing(100),
)

SYNTHETIC = (
    (motion.still(100), STILL),
    (motion.talking(100), TALKING),
    (motion.dashing(100), FAST),
)

PARTS = ("jitter", "synthetic", "sheets")


@dataclass(frozen=True, slots=True)
class Detected:
    """A motion, the detections in its clip, and the time base of their timestamps."""

    motion: Motion
    faces: Sequence[Faces]
    time_base: Fraction

    @property
    def unsmoothed(self) -> list[Face | None]:
        """For each frame the detection of the true face."""
        detections = [
            [Face(face.box, face.landmarks, face.score) for face in frame.faces]
            for record in self.faces
            for frame in record.frames
        ]
        return self._nearest(detections)

    @property
    def tracked(self) -> list[Face | None]:
        """For each frame the tracked face that is the true one."""
        tracks = Tracks(self.faces, self.time_base, STICKERS)
        frames = [frame for record in self.faces for frame in record.frames]
        return self._nearest([tracks.faces_at(frame.pts) for frame in frames])

    def _nearest(self, frames: Sequence[Sequence[Face]]) -> list[Face | None]:
        return [
            nearest(truth, faces) for truth, faces in zip(self.motion.faces, frames, strict=True)
        ]


def main() -> int:
    """Print the tables asked for."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as temporary:
        out = arguments.out or Path(temporary)
        out.mkdir(parents=True, exist_ok=True)
        print(
            f"Measured with `python -m benchmarks.quality {' '.join(sys.argv[1:])}` on a "
            f"{platform.machine()} processor with {os.cpu_count()} cores, "
            f"ONNX Runtime {onnxruntime.__version__}."
        )
        writers: dict[str, Callable[[], Iterable[str]]] = {
            "jitter": lambda: jitter_table(_detected(out, arguments.only)),
            "synthetic": lambda: jitter_table(_synthetic()),
            "sheets": lambda: sheets.write_all(out, _clips()),
        }
        for part in arguments.parts:
            print("", *writers[part](), sep="\n", flush=True)
    return 0


def jitter_table(clips: Iterable[Detected]) -> Iterator[str]:
    """How far the sunglasses' corners are from where the true face would put them."""
    yield (
        "| clip | jitter, % of the face: unsmoothed, tracked | steadier | above 2 Hz: unsmoothed, "
        "tracked | lag, frames | worst, %: unsmoothed, tracked | missing |"
    )
    yield "|---|---|---|---|---|---|---|"
    for clip in clips:
        truth = clip.motion.faces
        raw = measure_jitter(truth, clip.unsmoothed, FPS)
        tracked = measure_jitter(truth, clip.tracked, FPS)
        yield (
            f"| {clip.motion.name} | {raw.percent:.2f}, {tracked.percent:.2f} "
            f"| {raw.percent / tracked.percent:.1f} x "
            f"| {raw.above_percent:.2f}, {tracked.above_percent:.2f} "
            f"| {tracked.lag_frames:.2f} "
            f"| {raw.worst_percent:.1f}, {tracked.worst_percent:.1f} | {tracked.missing} |"
        )


def _detected(out: Path, only: str) -> Iterator[Detected]:
    for each in MOTIONS:
        if only in each.name:
            clip, faces = motion.detected(out, each)
            yield Detected(each, faces, clip.job.video.time_base)


def _synthetic() -> Iterator[Detected]:
    for each, noise in SYNTHETIC:
        yield Detected(each, [motion.synthetic_detections(each, noise)], Fraction(1, FPS))


def _clips() -> Path | None:
    """The folder of real clips, if there is one."""
    folder = os.environ.get("FACEPAINT_CLIPS")
    return Path(folder) if folder and Path(folder).is_dir() else None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default"
    )
    parser.add_argument("--out", type=Path, help="keep clips, detections and images in this folder")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="only motions with this in their name"
    )
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown part {', '.join(sorted(unknown))}; choose from {', '.join(PARTS)}")
    arguments.parts = arguments.parts or list(PARTS)
    return arguments


if __name__ == "__main__":
    sys.exit(main())
