"""Images to inspect: painted frames of real clips where stickers may go wrong, and stickers' edges
over time.

A contact sheet shows both sides of segment borders, the largest turns and tilts, the fastest
motion, and the frames in which a face is lost or found. The frames are painted by the function
behind the paint task, in segments of 2 s.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np

from benchmarks import motion
from benchmarks.clips import RgbImage
from benchmarks.jitter import corners, nearest
from benchmarks.motion import Motion
from benchmarks.pipeline import CutClip, cut_clip, detect_clip, paint_clip
from facepaint.looks.look import Look
from facepaint.looks.parser import parse_look
from facepaint.records.faces import Faces
from filters.face import Face, pose_of
from filters.planes import Planes
from filters.registry import Painter, make_painter
from tasks.tracking.tracker import STICKERS, Tracks

CLIPS = (
    "head-pose-two.mp4",
    "walking-up.mp4",
    "hall.mp4",
    "classroom.mp4",
    "portrait-720p.mp4",
    "appears-hevc-vfr.mov",
)
FILTERS = ("sunglasses", "party-hat", "dog", "blur")

COLUMNS = 4
TILE_PX = 480
LABEL_PX = 22

PER_KIND = 4
"""Frames of each kind on a sheet."""

APART_S = 0.4
"""Least distance between frames of one kind."""


@dataclass(frozen=True)
class Detected:
    """A clip and its detections, to be painted with one look after another."""

    clip: CutClip
    faces: Sequence[Faces]

    @cached_property
    def tracked(self) -> dict[int, list[Face]]:
        """The faces of each timestamp as stickers get them."""
        tracked: dict[int, list[Face]] = {}
        for index, record in enumerate(self.faces):
            near = [self.faces[other] for other in self.clip.reach(index)]
            tracks = Tracks(near, self.clip.job.video.time_base, STICKERS)
            tracked |= {frame.pts: tracks.faces_at(frame.pts) for frame in record.frames}
        return tracked

    def painted(self, look: Look) -> dict[int, RgbImage]:
        """The painted frames by timestamp: RGB (height, width, 3)."""
        painted: dict[int, RgbImage] = {}
        results = paint_clip(self.clip, self.faces, look)
        for record, result in zip(self.faces, results, strict=True):
            with av.open(BytesIO(result.data), "r", format="mp4") as container:
                decoded = container.decode(video=0)
                painted |= {
                    frame.pts: np.asarray(shown.to_ndarray(format="rgb24"), np.uint8)
                    for frame, shown in zip(record.frames, decoded, strict=False)
                }
        return painted


def moments(detected: Detected) -> list[tuple[int, str]]:
    """The timestamps to inspect and why, in order."""
    faces = detected.tracked
    times = sorted(faces)
    chosen: dict[int, str] = {}
    for segment in detected.clip.segments[1 : PER_KIND + 1]:
        start = segment.record.start
        row = times.index(min(times, key=lambda pts: abs(pts - start)))
        for near in times[max(0, row - 1) : row + 1]:
            chosen.setdefault(near, "border")
    pairs = list(pairwise(times))
    kinds = {
        "turn": {pts: max((abs(pose_of(f).yaw) for f in faces[pts]), default=0.0) for pts in times},
        "tilt": {
            pts: max((abs(pose_of(f).roll) for f in faces[pts]), default=0.0) for pts in times
        },
        "lost": {pts: float(len(faces[pts]) - len(faces[after])) for pts, after in pairs},
        "found": {after: float(len(faces[after]) - len(faces[pts])) for pts, after in pairs},
        "fast": {after: _speed(faces[pts], faces[after]) for pts, after in pairs},
    }
    apart = round(APART_S / detected.clip.job.video.time_base)
    for kind, values in kinds.items():
        for pts in _highest(values, apart):
            chosen.setdefault(pts, kind)
    return sorted(chosen.items())


def _highest(values: dict[int, float], apart: int) -> list[int]:
    """The timestamps of the highest positive values, at least ``apart`` ticks from each other."""
    chosen: list[int] = []
    for pts in sorted(values, key=lambda pts: -values[pts]):
        if values[pts] > 0 and all(abs(pts - other) >= apart for other in chosen):
            chosen.append(pts)
    return chosen[:PER_KIND]


def _speed(before: Sequence[Face], after: Sequence[Face]) -> float:
    """The largest motion of a face from one frame to the next, in its widths."""
    if not before:
        return 0.0
    motions = (
        min(float(np.hypot(*np.subtract(face.centre, other.centre))) for other in before)
        / face.width
        for face in after
    )
    return max(motions, default=0.0)


def contact_sheet(
    frames: dict[int, RgbImage], chosen: Sequence[tuple[int, str]], tick_s: float
) -> RgbImage:
    """The chosen frames side by side, each with its number, time and reason."""
    order = {pts: number for number, pts in enumerate(sorted(frames))}
    tiles = [
        _tile(frames[pts], f"{order[pts]}  {(pts - min(frames)) * tick_s:.2f} s  {why}")
        for pts, why in chosen
        if pts in frames
    ]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % COLUMNS)
    rows = [np.hstack(tiles[first : first + COLUMNS]) for first in range(0, len(tiles), COLUMNS)]
    return np.vstack(rows)


def _tile(frame: RgbImage, label: str) -> RgbImage:
    scale = TILE_PX / frame.shape[1]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    scaled = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=method)
    strip = np.full((LABEL_PX, TILE_PX, 3), 255, np.uint8)
    cv2.putText(strip, label, (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([strip, np.asarray(scaled, np.uint8)])


def kymograph(clip: Motion, faces: Iterable[Face | None], painter: Painter) -> RgbImage:
    """One row of pixels through the sunglasses' upper edge, frame below frame: jitter shows as a
    jagged outline.

    Painted on the frames before they are encoded; RGB (frames, width of the row, 3).
    """
    edges = np.stack([corners(face) for face in clip.faces])
    left, right = (int(value) for value in (edges[:, :, 0].min() - 12, edges[:, :, 0].max() + 12))
    row = round(float(edges[:, :, 1].mean()))
    lines = []
    for frame, face in zip(motion.motion_frames(clip), faces, strict=True):
        planes = Planes.from_rgb(frame)
        if face is not None:
            painter.paint(planes, [face])
        lines.append(planes.to_rgb()[row, max(0, left) : right])
    return np.stack(lines)


def both_kymographs(folder: Path, clip: Motion) -> RgbImage:
    """On each detection (left) and as tracked (right), enlarged three times."""
    cut, records = motion.detected(folder, clip)
    frames = [frame for record in records for frame in record.frames]
    tracks = Tracks(records, cut.job.video.time_base, STICKERS)
    unsmoothed, tracked = [], []
    for truth, frame in zip(clip.faces, frames, strict=True):
        detections = [Face(face.box, face.landmarks, face.score) for face in frame.faces]
        unsmoothed.append(nearest(truth, detections))
        tracked.append(nearest(truth, tracks.faces_at(frame.pts)))
    painter = make_painter(parse_look(["sunglasses"]), {})
    left, right = (kymograph(clip, faces, painter) for faces in (unsmoothed, tracked))
    joined = np.hstack([left, np.full((len(left), 8, 3), 255, np.uint8), right])
    enlarged = cv2.resize(joined, None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST)
    return np.asarray(enlarged, np.uint8)


def write_all(folder: Path, clips: Path | None) -> Iterator[str]:
    """Write every image into a folder; yields a line for each."""
    path = folder / "kymograph.png"
    _write(path, both_kymographs(folder, motion.breathing(160)))
    yield f"{path}: the sunglasses' edges over time, unsmoothed and tracked"
    if clips is None:
        yield "no contact sheets: set FACEPAINT_CLIPS to the folder of real clips"
        return
    for name in CLIPS:
        clip = cut_clip(clips / name)
        detected = Detected(clip, detect_clip(clip))
        chosen = moments(detected)
        for filter_name in FILTERS:
            painted = detected.painted(parse_look([filter_name]))
            path = folder / f"{Path(name).stem}-{filter_name}.png"
            _write(path, contact_sheet(painted, chosen, float(clip.job.video.time_base)))
            yield f"{path}: {len(chosen)} frames"


def _write(path: Path, image: RgbImage) -> None:
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
