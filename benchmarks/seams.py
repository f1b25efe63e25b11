"""Seams: the same clip cut at other places, detected and tracked piece by piece, must give the same
faces."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks import crossing, motion
from benchmarks.motion import CutClip, cut_clip, detect_clip
from benchmarks.trembling import corners
from facepaint.records.faces import Box, Faces
from facepaint.records.segment import REACH_S
from filters.face import Face
from tasks.tracking.people import PersonTracker
from tasks.tracking.tracker import STICKERS, TrackingOptions, Tracks

Floats = npt.NDArray[np.float64]

LENGTHS_S = (0.5, 2.0, 7.0, 1e6)
"""Segments of so many seconds; the last leaves the clip whole."""

GOP = 15
"""Frames from keyframe to keyframe of our own clips, so that they can be cut every half second."""

REAL = ("head-pose-two.mp4", "walking-up.mp4", "hall.mp4")


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between the faces of a clip that was cut in two ways.

    ``frames`` counts those with another number of faces, ``px`` is the largest difference of any
    corner of a box, of a landmark, or of the sunglasses, in px.
    """

    frames: int
    px: float


def reach(clip: CutClip, number: int) -> list[int]:
    """The segments within `REACH_S` of a segment's window, as the paint task gets them."""
    ticks = REACH_S / clip.job.video.time_base
    own = clip.segments[number].record
    return [
        other
        for other, segment in enumerate(clip.segments)
        if own.start - segment.record.end < ticks and segment.record.start - own.end < ticks
    ]


def tracked(
    clip: CutClip, faces: Sequence[Faces], point: TrackingOptions = STICKERS
) -> dict[int, list[Face]]:
    """The faces of each pts, each segment's from the records within its reach."""
    found: dict[int, list[Face]] = {}
    for number, record in enumerate(faces):
        tracks = Tracks(
            [faces[other] for other in reach(clip, number)], clip.job.video.time_base, point
        )
        found |= {frame.pts: tracks.faces_at(frame.pts) for frame in record.frames}
    return found


def compare(one: dict[int, list[Face]], other: dict[int, list[Face]]) -> Difference:
    """The differences of two trackings of the same clip."""
    frames = 0
    px = 0.0
    for pts in one.keys() | other.keys():
        here, there = one.get(pts, []), other.get(pts, [])
        if len(here) != len(there):
            frames += 1
            continue
        for a, b in zip(here, there, strict=True):
            px = max(px, float(np.abs(_points(a) - _points(b)).max()))
    return Difference(frames, px)


def bends(clip: CutClip, faces: dict[int, list[Face]]) -> tuple[float, float]:
    """The largest change of the corners' velocity from frame to frame: at borders of segments, and
    inside.

    In % of the face's width. A jump of a still sticker is seen here in full, one of a moving
    sticker likewise.
    """
    starts = {segment.record.start for segment in clip.segments[1:]}
    times = sorted(faces)
    at_borders, inside = [0.0], [0.0]
    for before, here, after in zip(times, times[1:], times[2:], strict=False):
        for face in faces[here]:
            others = [_same(face, faces[pts]) for pts in (before, after)]
            if others[0] is not None and others[1] is not None:
                bend = corners(others[0]) - 2 * corners(face) + corners(others[1])
                jump = 100 * float(np.linalg.norm(bend, axis=1).max()) / face.width
                (at_borders if {here, after} & starts else inside).append(jump)
    return max(at_borders), max(inside)


def _same(face: Face, faces: Sequence[Face]) -> Face | None:
    """The face of a neighbouring frame that is this one."""
    near = min(
        faces,
        key=lambda other: float(np.hypot(*np.subtract(other.centre, face.centre))),
        default=None,
    )
    if near is None or float(np.hypot(*np.subtract(near.centre, face.centre))) > 0.3 * face.width:
        return None
    return near


def _points(face: Face) -> Floats:
    return np.array([*face.box, *face.landmarks, *corners(face).ravel(), face.opacity, face.margin])


def table(out: Path, clips: Path | None) -> Iterator[str]:
    """The comparison for clips of ours and real ones."""
    yield (
        "| clip | cut every | segments | frames with more or fewer faces | largest difference, px "
        "| other numbers | bend at borders, inside |"
    )
    yield "|---|---|---|---|---|---|---|"
    for path in _paths(out, clips):
        cuts = [cut_clip(path, length) for length in LENGTHS_S]
        detected = [detect_clip(clip) for clip in cuts]
        found = [tracked(clip, faces) for clip, faces in zip(cuts, detected, strict=True)]
        people = [numbered(clip, faces) for clip, faces in zip(cuts, detected, strict=True)]
        for number, clip in enumerate(cuts):
            difference = compare(found[number], found[-1])
            others = sum(people[number].get(pts) != numbers for pts, numbers in people[-1].items())
            at_borders, inside = bends(clip, found[number])
            yield (
                f"| {path.stem} | "
                f"{'never' if number + 1 == len(cuts) else f'{LENGTHS_S[number]:g} s'} "
                f"| {len(clip.segments)} | {difference.frames} | {difference.px:.2g} | {others} "
                f"| {at_borders:.2f} %, {inside:.2f} % |"
            )


def numbered(clip: CutClip, faces: Sequence[Faces]) -> dict[int, list[tuple[int, Box]]]:
    """The people of each pts over the whole clip: their numbers and boxes."""
    identities = PersonTracker(clip.job.video.time_base)
    for record in faces:
        identities.add(record)
    return {
        frame.pts: [(face.person, face.box) for face in frame.faces]
        for record in faces
        for frame in identities.segment(record.index).frames
    }


def _paths(out: Path, clips: Path | None) -> Iterator[Path]:
    talking, meeting = motion.talking(100), crossing.crossing()
    yield motion.drawn(out, talking.name, motion.pictures(talking), GOP)
    yield motion.drawn(out, meeting.name, crossing.meeting_pictures(meeting), GOP)
    if clips:
        yield from (clips / name for name in REAL)
