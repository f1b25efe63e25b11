"""How well hidden faces are told apart by plain means: python -m benchmarks.recognition

The attack is the simplest of those that work (parrot recognition: Newton, Sweeney, Malin 2005). Who
looks for people has a picture of each, hides it in the same way, and takes the one most like the
hidden face, sample by sample. The pictures are from half a second or more before, in the same
scene, and stand among faces of strangers: an attacker who knows a lot and cannot do much.
FACEPAINT_CLIPS names the clips of the people, FACEPAINT_FACES the pictures of the strangers. Prints
the table of docs/privacy.md.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.clips import Picture
from benchmarks.motion import cut_clip, detect_clip
from facepaint.looks.parser import parse_look
from facepaint.records.faces import Box
from filters.face import Face
from filters.planes import Planes
from filters.registry import make_painter
from tasks.tracking.people import PersonTracker
from tasks.tracking.tracker import STICKERS

Floats = npt.NDArray[np.float64]

CLIPS = (
    "hall.mp4",
    "head-pose-two.mp4",
    "portrait-720p.mp4",
    "tall-no-audio.mp4",
    "single-face-mp3.mp4",
)

LOOKS = (
    "mosaic:size=12",
    "mosaic:size=6",
    "mosaic",
    "mosaic:size=3",
    "blur:size=0.15",
    "blur:size=0.35",
    "blur:size=0.5",
    "blur",
    "blur:size=1",
    "fill",
)

SMALLEST_PX = 28
APART_S = 0.5
SECRETS = 3
"""So many drawings of the noise are averaged."""

SIDE = 160
FACE = (30.0, 30.0, 130.0, 130.0)


def main() -> int:
    """Print the table."""
    try:
        clips, faces = Path(os.environ["FACEPAINT_CLIPS"]), Path(os.environ["FACEPAINT_FACES"])
    except KeyError as exc:
        print(f"{exc.args[0]} names no folder: nothing to measure", file=sys.stderr)
        return 2
    people = [person for name in CLIPS for person in seen(clips / name)]
    strangers = [crop for part in ("heldout", "wider") for crop in labelled(faces / part)]
    print(f"{len(people)} people among {len(strangers)} strangers\n")
    print("| look | first guess right | among the first ten |\n|---|---:|---:|")
    print("| not hidden | {:.0%} | {:.0%} |".format(*recognised(people, strangers, None)))
    for look in LOOKS:
        print(
            "| `{}` | {:.0%} | {:.0%} |".format(look, *recognised(people, strangers, look)),
            flush=True,
        )
    return 0


def recognised(
    people: list[list[Picture]], strangers: list[Picture], look: str | None
) -> tuple[float, float]:
    """The share of hidden pictures whose person is the first guess, and among the first ten; people
    count alike."""
    gallery = np.array(
        [features(crop, look, None) for crop in [person[0] for person in people] + strangers]
    )
    first, tenth = [], []
    for number, person in enumerate(people):
        for secret in range(SECRETS if look else 1):
            # Equals are no guess: the person comes behind everyone who is as like.
            likeness = [
                gallery @ features(crop, look, bytes([secret, number])) for crop in person[1:]
            ]
            ranks = [int((each >= each[number] - 1e-9).sum()) for each in likeness]
            first.append(np.mean([rank == 1 for rank in ranks]))
            tenth.append(np.mean([rank <= 10 for rank in ranks]))
    return float(np.mean(first)), float(np.mean(tenth))


def features(crop: Picture, look: str | None, secret: bytes | None) -> Floats:
    """What is compared: brightness without its mean, and colour; each of length 1."""
    planes = Planes.from_rgb(crop)
    if look:
        make_painter(parse_look([look]), {}).keyed(secret).paint(planes, [Face(FACE, (), 1.0)])
    x1, y1, x2, y2 = (int(n) for n in FACE)
    cut = [plane[y1:y2, x1:x2] for plane in (planes.y, planes.u, planes.v)]
    small = [cv2.resize(plane, (32, 32), interpolation=cv2.INTER_AREA) for plane in cut]
    brightness = small[0].astype(np.float64).ravel()
    parts = [
        brightness - brightness.mean(),
        np.concatenate([p.astype(np.float64).ravel() - 128 for p in small[1:]]),
    ]
    return np.concatenate([part / max(1e-6, float(np.linalg.norm(part))) for part in parts])


def seen(path: Path) -> Iterator[list[Picture]]:
    """Of each person of a clip some pictures, half a second or more apart."""
    clip = cut_clip(path, 2.0)
    identities, records = PersonTracker(clip.job.video.time_base, STICKERS), detect_clip(clip)
    for record in records:
        identities.add(record)
    wanted = {
        frame.pts: frame.faces
        for record in records
        for frame in identities.segment(record.index).frames
    }
    crops: dict[int, list[tuple[float, Picture]]] = {}
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            picture = None
            for face in wanted.get(frame.pts or 0, ()):
                before = crops.setdefault(face.person, [])
                sure = (
                    face.row is not None
                    and face.score >= 0.7
                    and face.box[2] - face.box[0] >= SMALLEST_PX
                )
                if sure and (not before or frame.time - before[-1][0] >= APART_S):
                    picture = frame.to_ndarray(format="rgb24") if picture is None else picture
                    before.append((frame.time, cropped(picture, face.box)))
    yield from ([picture for _, picture in person] for person in crops.values() if len(person) >= 3)


def labelled(folder: Path) -> Iterator[Picture]:
    """The larger faces of a folder of labelled pictures."""
    for line in (folder / "labels.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        boxes = [face["box"] for face in entry["faces"] if face["box"][2] - face["box"][0] >= 40]
        if boxes:
            picture = cv2.imread(str(folder / "images" / entry["image"]))
            assert picture is not None
            yield from (
                cropped(np.asarray(picture[..., ::-1], np.uint8), (b[0], b[1], b[2], b[3]))
                for b in boxes
            )


def cropped(picture: Picture, box: Box) -> Picture:
    """The face with what is around it, its box's longer side that of `FACE`."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    scale = (FACE[2] - FACE[0]) / max(box[2] - box[0], box[3] - box[1])
    matrix = np.array([[scale, 0, SIDE / 2 - scale * x], [0, scale, SIDE / 2 - scale * y]])
    crop = cv2.warpAffine(
        np.ascontiguousarray(picture),
        matrix,
        (SIDE, SIDE),
        flags=cv2.INTER_AREA,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(crop, np.uint8)


if __name__ == "__main__":
    sys.exit(main())
