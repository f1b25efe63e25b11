"""Pictures to look at: painted frames of real clips where trouble is likely, and stickers' edges
over time.

A contact sheet shows the moments of a clip at which a sticker may sit wrong: on both sides of a
segment's border, at the largest turns, where a face is lost and found again, and at the fastest
moves. Everything is painted by the plain function behind the paint task, in segments of 2 s.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np

from benchmarks import motion
from benchmarks.clips import Picture
from benchmarks.motion import CutClip, Motion, cut_clip, detect_clip
from benchmarks.seams import reach, tracked
from benchmarks.trembling import corners, nearest
from facepaint.looks.look import Look
from facepaint.looks.parser import parse_look
from facepaint.records.faces import Faces
from filters.face import Face, pose_of
from filters.planes import Planes
from filters.registry import Painter, make_painter
from tasks.paint import Inputs, paint_segment
from tasks.tracking.tracker import STICKERS, Tracks
from tasks.video.decode import RunSource

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

EACH = 4
"""So many moments of each kind are shown."""

APART_S = 0.4
"""Moments of one kind are no closer together than this."""


@dataclass(frozen=True)
class Painted:
    """A clip with what was found in it, to be painted with one look after another."""

    clip: CutClip
    faces: Sequence[Faces]

    @cached_property
    def tracked(self) -> dict[int, list[Face]]:
        """The faces of each pts as stickers get them."""
        return tracked(self.clip, self.faces)

    def frames(self, look: Look) -> dict[int, Picture]:
        """The painted frames by pts: RGB (height, width, 3)."""
        found: dict[int, Picture] = {}
        for number in range(len(self.clip.segments)):
            near = {
                self.faces[other].index: self.faces[other] for other in reach(self.clip, number)
            }
            result = paint_segment(
                self.clip.job, look, RunSource(*self.clip.run(number)), Inputs(near)
            )
            times = iter(frame.pts for frame in self.faces[number].frames)
            with av.open(io.BytesIO(result.data), "r", format="mp4") as container:
                found |= {next(times): _rgb(frame) for frame in container.decode(video=0)}
        return found


def _rgb(frame: av.VideoFrame) -> Picture:
    return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def moments(painted: Painted) -> list[tuple[int, str]]:
    """The times to look at and why, in order: borders, turns, losses, fast moves."""
    times = sorted(painted.tracked)
    starts = [segment.record.start for segment in painted.clip.segments[1:]]
    chosen: dict[int, str] = {}
    for start in starts[:EACH]:
        row = times.index(min(times, key=lambda pts: abs(pts - start)))
        for near in times[max(0, row - 1) : row + 1]:
            chosen.setdefault(near, "border")
    faces = painted.tracked
    for why, worth in (
        (
            "turn",
            {
                pts: max((abs(pose_of(face).yaw) for face in faces[pts]), default=0.0)
                for pts in times
            },
        ),
        (
            "tilt",
            {
                pts: max((abs(pose_of(face).roll) for face in faces[pts]), default=0.0)
                for pts in times
            },
        ),
        (
            "lost",
            {pts: float(len(faces[pts]) - len(faces[after])) for pts, after in pairwise(times)},
        ),
        (
            "found",
            {after: float(len(faces[after]) - len(faces[pts])) for pts, after in pairwise(times)},
        ),
        ("fast", {after: _speed(faces[pts], faces[after]) for pts, after in pairwise(times)}),
    ):
        for pts in _highest(painted, worth):
            chosen.setdefault(pts, why)
    return sorted(chosen.items())


def _highest(painted: Painted, worth: dict[int, float]) -> list[int]:
    """The times of the highest positive values that are far enough apart."""
    apart = APART_S / painted.clip.job.video.time_base
    chosen: list[int] = []
    for pts in sorted(worth, key=lambda pts: -worth[pts]):
        if worth[pts] > 0 and all(abs(pts - other) >= apart for other in chosen):
            chosen.append(pts)
        if len(chosen) == EACH:
            break
    return chosen


def _speed(before: Sequence[Face], after: Sequence[Face]) -> float:
    """The longest way of a face from one frame to the next, in its widths."""
    return max(
        (
            min(float(np.hypot(*np.subtract(face.centre, other.centre))) for other in before)
            / face.width
            for face in after
            if before
        ),
        default=0.0,
    )


def contact_sheet(
    frames: dict[int, Picture], chosen: Sequence[tuple[int, str]], seconds: float
) -> Picture:
    """The chosen frames side by side, each with its number, time and reason; ``seconds`` a tick."""
    order = {pts: number for number, pts in enumerate(sorted(frames))}
    tiles = [
        _tile(frames[pts], f"{order[pts]}  {(pts - min(frames)) * seconds:.2f} s  {why}")
        for pts, why in chosen
        if pts in frames
    ]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % COLUMNS)
    rows = [np.hstack(tiles[first : first + COLUMNS]) for first in range(0, len(tiles), COLUMNS)]
    return np.vstack(rows)


def _tile(picture: Picture, label: str) -> Picture:
    scale = TILE_PX / picture.shape[1]
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    scaled = (
        picture if scale == 1 else cv2.resize(picture, None, fx=scale, fy=scale, interpolation=kind)
    )
    strip = np.full((LABEL_PX, TILE_PX, 3), 255, np.uint8)
    cv2.putText(strip, label, (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([strip, np.asarray(scaled, np.uint8)])


def kymograph(one: Motion, faces: Iterable[Face | None], painter: Painter) -> Picture:
    """A row of px through the sunglasses' upper edge, frame below frame: what trembles has a jagged
    outline.

    Painted on the frames as they were drawn; RGB of shape (frames, width of the row, 3), the row
    the same throughout.
    """
    truth = one.faces
    edges = np.stack([corners(face) for face in truth])
    left, right = (int(value) for value in (edges[:, :, 0].min() - 12, edges[:, :, 0].max() + 12))
    row = round(float(edges[:, :, 1].mean()))
    lines = []
    for picture, face in zip(motion.pictures(one), faces, strict=True):
        planes = Planes.from_rgb(picture)
        if face is not None:
            painter.paint(planes, [face])
        lines.append(planes.to_rgb()[row, max(0, left) : right])
    return np.stack(lines)


def both_kymographs(out: Path, one: Motion) -> Picture:
    """Unsmoothed on the left, as tracked on the right, twice as large."""
    clip, faces = motion.detected(out, one.name, motion.pictures(one))
    frames = [frame for record in faces for frame in record.frames]
    tracks = Tracks(faces, clip.job.video.time_base, STICKERS)
    unsmoothed = [
        nearest(truth, [Face(face.box, face.landmarks, face.score) for face in frame.faces])
        for truth, frame in zip(one.faces, frames, strict=True)
    ]
    smoothed = [
        nearest(truth, tracks.faces_at(frame.pts))
        for truth, frame in zip(one.faces, frames, strict=True)
    ]
    painter = make_painter(parse_look(["sunglasses"]), {})
    pair = [kymograph(one, ways, painter) for ways in (unsmoothed, smoothed)]
    gap = np.full((pair[0].shape[0], 8, 3), 255, np.uint8)
    joined = np.hstack([pair[0], gap, pair[1]])
    return np.asarray(
        cv2.resize(joined, None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST), np.uint8
    )


def write_all(out: Path, clips: Path | None) -> Iterator[str]:
    """Write every picture into a folder; a line for each."""
    path = out / "kymograph.png"
    _write(path, both_kymographs(out, motion.breathing(160)))
    yield f"{path}: the sunglasses' edges over time, unsmoothed and smoothed"
    if clips is None:
        yield "FACEPAINT_CLIPS names no folder of real clips: no contact sheets"
        return
    for name in CLIPS:
        clip = cut_clip(clips / name, 2.0)
        painted = Painted(clip, detect_clip(clip))
        chosen = moments(painted)
        for filter_name in FILTERS:
            sheet = contact_sheet(
                painted.frames(parse_look([filter_name])), chosen, float(clip.job.video.time_base)
            )
            path = out / f"{Path(name).stem}-{filter_name}.png"
            _write(path, sheet)
            yield f"{path}: {len(chosen)} moments"


def _write(path: Path, picture: Picture) -> None:
    cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
