"""Who is who when people cross and are hidden for a moment: identities against the truth."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks import motion
from benchmarks.clips import Picture
from benchmarks.motion import FPS, CutClip, Placed
from facepaint.records.faces import Faces
from facepaint.records.tracks import TrackedFace
from filters.face import Face
from tasks.tracking.people import PersonTracker

WIDTH = 90.0
"""Of the faces, in px."""

SEEN = 0.6
"""A face counts as seen while no more than this of its width is covered."""

Way = Callable[[float], Placed]


@dataclass(frozen=True, slots=True)
class Meeting:
    """People that pass each other: their ways, later ones in front; ``post`` covers columns of the
    picture, in px."""

    name: str
    ways: tuple[Way, ...]
    seconds: float
    post: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """How well the numbers kept to the people of a meeting.

    ``seen`` counts the faces to be seen, ``missing`` those without a number, ``wrong`` those with
    another number than the person had most of the time; ``people`` are the numbers given, doubtful
    ones apart.
    """

    seen: int
    missing: int
    wrong: int
    people: int


def crossing() -> Meeting:
    """Two walk past each other at one and a half faces a second each: one is hidden for about half
    a second."""

    def one(t: float) -> Placed:
        return Placed(170 + 1.2 * WIDTH * t, 168, WIDTH)

    def other(t: float) -> Placed:
        return Placed(470 - 1.2 * WIDTH * t, 176, 1.08 * WIDTH, mirrored=True)

    return Meeting("crossing", (one, other), 2.8)


def touching() -> Meeting:
    """Two come together until the one covers half of the other, and go back: nobody crosses."""

    def apart(t: float) -> float:
        return 0.3 + 1.6 * abs(t - 1.5)

    return Meeting(
        "touching",
        (
            lambda t: Placed(320 - WIDTH * apart(t), 168, WIDTH),
            lambda t: Placed(320 + WIDTH * apart(t), 176, 1.05 * WIDTH, mirrored=True),
        ),
        3.0,
    )


def behind_a_post() -> Meeting:
    """One walks behind a post and is hidden for half a second while another stands beside it."""
    return Meeting(
        "behind a post",
        (
            lambda t: Placed(120 + 2.2 * WIDTH * t, 160, WIDTH),
            lambda _: Placed(560, 190, 0.9 * WIDTH, mirrored=True),
        ),
        1.9,
        post=(250, 250 + 1.6 * WIDTH),
    )


MEETINGS = (crossing, touching, behind_a_post)


def meeting_pictures(meeting: Meeting) -> Iterator[Picture]:
    """The frames of a meeting, with grain."""
    return motion.grainy(_scenes(meeting))


def _scenes(meeting: Meeting) -> Iterator[npt.NDArray[np.float32]]:
    for time in _times(meeting):
        scene = motion.scene([way(time) for way in meeting.ways])
        if meeting.post:
            first, last = map(round, meeting.post)
            scene[:, first:last] = (92, 84, 78)
        yield scene


def _times(meeting: Meeting) -> list[float]:
    return [number / FPS for number in range(round(meeting.seconds * FPS))]


def identity(meeting: Meeting, clip: CutClip, faces: Sequence[Faces]) -> Identity:
    """Number the people of a meeting and compare with the truth."""
    identities = PersonTracker(clip.job.video.time_base)
    for record in faces:
        identities.add(record)
    frames = [frame for record in faces for frame in identities.segment(record.index).frames]
    low_confidence = {person.number for person in identities.people if person.low_confidence}
    given: list[list[int | None]] = [[] for _ in meeting.ways]
    for time, frame in zip(_times(meeting), frames, strict=True):
        truth = [way(time).face for way in meeting.ways]
        sure = [face for face in frame.faces if face.person not in low_confidence]
        for number, face in enumerate(truth):
            if _visible(meeting, truth, number):
                given[number].append(_number(face, sure))
    kept = [_majority(numbers) for numbers in given]
    return Identity(
        sum(map(len, given)),
        sum(number is None for numbers in given for number in numbers),
        sum(
            number not in {None, most}
            for numbers, most in zip(given, kept, strict=True)
            for number in numbers
        )
        + sum(
            len(numbers) for numbers, most in zip(given, kept, strict=True) if kept.count(most) > 1
        ),
        len(identities.people) - len(low_confidence),
    )


def _majority(numbers: Sequence[int | None]) -> int | None:
    return Counter(filter(None, numbers)).most_common(1)[0][0] if any(numbers) else None


def _number(truth: Face, faces: Sequence[TrackedFace]) -> int | None:
    """The number of the face that is the true one."""
    apart = {
        face.person: np.hypot(*np.subtract(_centre(face), truth.centre)) / truth.width
        for face in faces
    }
    near = min(apart, key=lambda person: apart[person], default=None)
    return near if near is not None and apart[near] < 0.4 else None


def _centre(face: TrackedFace) -> tuple[float, float]:
    return (face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2


def _visible(meeting: Meeting, truth: Sequence[Face], number: int) -> bool:
    """Whether a face is in the picture and not covered by the post or by who is in front."""
    x1, _, x2, _ = truth[number].box
    covers = [(face.box[0], face.box[2]) for face in truth[number + 1 :]]
    if meeting.post:
        covers.append(meeting.post)
    hidden = max((min(x2, right) - max(x1, left) for left, right in covers), default=0.0)
    return hidden < SEEN * (x2 - x1) and x1 > 0 and x2 < motion.SIZE[0]


def table(out: Path) -> Iterator[str]:
    """Each meeting's numbers."""
    yield "| meeting | faces seen | without a number | with another's number | people counted, of |"
    yield "|---|---|---|---|---|"
    for make in MEETINGS:
        meeting = make()
        clip, faces = motion.detected(out, meeting.name, meeting_pictures(meeting))
        found = identity(meeting, clip, faces)
        yield (
            f"| {meeting.name} | {found.seen} | {found.missing} | {found.wrong} | "
            f"{found.people}, {len(meeting.ways)} |"
        )
