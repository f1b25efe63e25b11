"""`facepaint detectors label`: automatic labels for pictures and frames of videos, for people to
correct."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from facepaint.detectors.labels import (
    IMAGES,
    LABELS,
    LabelledFace,
    LabelledImage,
    Landmarks,
    check_image_name,
    header_size,
    image_path,
    read_labels,
    write_labels,
)
from facepaint.devices import Device
from facepaint.errors import FacepaintError, InputError, NotAnImage, UsageError
from facepaint.files import write_bytes
from facepaint.media.images import IMAGE_FORMATS, is_animated, open_image
from facepaint.media.open import check_file
from facepaint.text import counted
from models import DetectorModel, find_model
from models.detector import Detector, Pixels, Size
from models.lab.datasets.common import pictures_below
from models.lab.datasets.frames import sample_frames
from models.lab.datasets.voting import Agreed, Look, agree, mirrored_back
from models.lab.evaluation.average_precision import iou
from models.lab.evaluation.detections import Floats, Options, detect, open_detector, read_picture
from models.lab.evaluation.evaluate import working_points
from models.providers import Runtime

SIDES = (320, 640, 960, 1280)
"""Longest sides in px at which a picture is looked at, each time as it is and mirrored."""

ENLARGED = 2.0
"""How far a picture is enlarged at most: small faces are found where they are larger, though no
sharper."""

SAVE_EVERY = 20
"""Pictures after which the labels are written: what is labelled survives what comes later."""

SAME_FACE_IOU = 0.5

TEACHER = "landmarks_from"
"""Attribute: the detector that gave a face its landmarks, where a person gave it its box."""

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Work:
    """What was done: pictures looked at, faces in them, those of the faces to be ignored, landmarks
    given to faces."""

    pictures: int
    faces: int
    ignored: int
    landmarks: int

    def report(self) -> str:
        """In one line."""
        faces = (
            f"{counted(self.faces, 'face')}, {self.landmarks} of them given landmarks, "
            f"{self.ignored} to be ignored"
        )
        return f"{counted(self.pictures, 'picture')}: {faces}"


class Labeller:
    """Labels pictures by a detector at several scales, mirrored too, agreed by voting; see
    `models.lab.datasets.voting.agree`.

    What two looks saw and reaches the detector's working point of stickers is a face. What comes
    near it, halfway from that of hiding, is labelled to be ignored: a quarter of it are faces,
    which would be taught to be background if they were left out, and a person who corrects the
    labels sees it. The rest is dropped: the looks spoke against it.

    Detectors are kept for one size of pictures: come with alike ones in a row.
    """

    def __init__(self, detector: str, device: Device = "auto", threads: int = 1) -> None:
        self.model = find_model(detector)
        points = working_points(self.model.card)
        self.sure = points["stickers"]
        self._likely = (points["redaction"] + self.sure) / 2
        self._options = Options(lowest_score=points["redaction"], runtime=Runtime(device, threads))
        self._detectors: list[Detector] = []
        self._shape: tuple[int, int] | None = None

    def looks(self, pixels: Pixels) -> list[Look]:
        """Every look at a picture h x w x 3 in B, G, R."""
        height, width = pixels.shape[:2]
        if self._shape != (width, height):
            sides = dict.fromkeys(min(side, round(ENLARGED * max(width, height))) for side in SIDES)
            sizes = [_size(self.model, width, height, side) for side in sides]
            self._detectors = [open_detector(self.model, size, self._options) for size in sizes]
            self._shape = (width, height)
        found: list[Look] = []
        for detector in self._detectors:
            scaled = _scaled(pixels, detector.size)
            as_it_is, mirrored = detect(detector, [scaled, np.ascontiguousarray(scaled[:, ::-1])])
            scale = _scale(detector.size)
            found += [Look(as_it_is, scale), Look(mirrored_back(mirrored, width), scale)]
        return found

    def agreed(self, pixels: Pixels) -> list[Agreed]:
        """The likely faces of a picture, best first."""
        agreed = agree(self.looks(pixels), self.model.smallest_face_px)
        return [one for one in agreed if one.score >= self._likely]

    def faces(self, pixels: Pixels) -> tuple[LabelledFace, ...]:
        """The labels of a picture, best first."""
        height, width = pixels.shape[:2]
        return tuple(
            _label(one, width, height, one.is_sure(self.sure)) for one in self.agreed(pixels)
        )


def label(
    inputs: Sequence[Path],
    out: Path,
    labeller: Labeller,
    *,
    every_s: float = 1.0,
    most: int | None = None,
    say: Say = lambda _: None,
) -> Work:
    """Label pictures, those in folders, and sampled frames of videos, into a folder of labels.

    Pictures are copied as they are. What the folder holds already stays as it is, labels that a
    person corrected above all: a picture that is there is not labelled again, and a broken-off run
    goes on.

    Args:
        every_s, most: seconds of a video to a frame, and frames of a video at most; see
            `sample_frames`.
        say: is told of each input in one line, and of each that is no good where there are several.

    Raises:
        InputError: an input is no good, and the only one.
        UsageError: the folder is among the inputs.
    """
    if any(out.resolve() == path.resolve() for path in inputs):
        raise UsageError(f"{out} is what is to be labelled; give another folder to --out")
    folder = _Folder(out)
    seen: list[int] = []
    problems: list[FacepaintError] = []
    for path in inputs:
        before = folder.work
        try:
            if _is_video(path):
                _label_video(path, folder, labeller, every_s, most, seen)
            else:
                _label_pictures(path, folder, labeller)
        except InputError as exc:
            problems.append(exc)
            say(f"facepaint: {exc}")
        finally:
            folder.save()
        now = folder.work
        counts = (
            counted(now.pictures - before.pictures, "picture"),
            counted(now.faces - before.faces, "face"),
        )
        say(f"{path}: {', '.join(counts)}")
    if problems and len(inputs) == len(problems):
        raise problems[-1]
    return folder.work


def fill_landmarks(data: Path, labeller: Labeller, say: Say = lambda _: None) -> Work:
    """Give the faces of a labelled folder that have none the landmarks that the detector finds; all
    else stays.

    A face gets those of the agreed face that it overlaps most, from IoU 0.5. Faces to be ignored
    get none.
    """
    if not labeller.model.card.landmarks:
        raise UsageError(
            f"detector '{labeller.model.name}' gives no landmarks; choose another with --detector"
        )
    pictures = read_labels(data)
    filled = looked = 0
    try:
        for place in _by_size(data, pictures):
            picture = pictures[place]
            if not any(_wants_landmarks(face) for face in picture.faces):
                continue
            pictures[place], added = _filled(
                picture, labeller.agreed(read_picture(data, picture)), labeller.model.name
            )
            filled, looked = filled + added, looked + 1
            if looked % SAVE_EVERY == 0:
                write_labels(data, pictures)
                say(f"{data}: {looked} pictures looked at, {filled} faces given landmarks")
    finally:
        write_labels(data, pictures)
    faces = [face for picture in pictures for face in picture.faces]
    return Work(looked, len(faces), sum(face.ignore for face in faces), filled)


def _filled(
    picture: LabelledImage, agreed: Sequence[Agreed], teacher: str
) -> tuple[LabelledImage, int]:
    steady = [(one, one.points) for one in agreed if one.votes >= 2 and one.points is not None]
    faces, added = list(picture.faces), 0
    if not steady:
        return picture, 0
    boxes = np.array([face.box for face in faces], np.float64).reshape(-1, 4)
    overlaps = iou(boxes, np.stack([one.box for one, _ in steady]))
    for place, face in enumerate(faces):
        best = int(overlaps[place].argmax())
        # Of two faces the one that lies nearer to what was found has it.
        is_its = overlaps[place, best] >= SAME_FACE_IOU and int(overlaps[:, best].argmax()) == place
        if is_its and _wants_landmarks(face):
            attributes = {**face.attributes, TEACHER: teacher}
            faces[place] = replace(
                face, landmarks=_landmarks(steady[best][1]), attributes=attributes
            )
            added += 1
    return replace(picture, faces=tuple(faces)), added


class _Folder:
    """A folder of labels that grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pictures = read_labels(path) if (path / LABELS).exists() else []
        self._names = {picture.image for picture in self._pictures}
        self._old = len(self._pictures)
        self._unsaved = 0

    @property
    def work(self) -> Work:
        """What was added."""
        added = self._pictures[self._old :]
        faces = [face for picture in added for face in picture.faces]
        points = sum(face.landmarks is not None for face in faces)
        return Work(len(added), len(faces), sum(face.ignore for face in faces), points)

    def place_for(self, name: str, content: bytes) -> str | None:
        """A free name for a picture; None where the same picture is labelled under it already."""
        check_image_name(name, str(self.path))
        path, number, choice = Path(name), 1, name
        while (self.path / IMAGES / choice).exists():
            if (self.path / IMAGES / choice).read_bytes() == content:
                return None if choice in self._names else choice
            number += 1
            choice = path.with_name(f"{path.stem}-{number}{path.suffix}").as_posix()
        return choice

    def add(self, picture: LabelledImage) -> None:
        """Take a labelled picture in."""
        self._pictures.append(picture)
        self._names.add(picture.image)
        self._unsaved += 1
        if self._unsaved >= SAVE_EVERY:
            self.save()

    def save(self) -> None:
        """Write the labels, if there are new ones."""
        if self._unsaved:
            write_labels(self.path, self._pictures)
        self._unsaved = 0


def _label_pictures(path: Path, folder: _Folder, labeller: Labeller) -> None:
    root = path if path.is_dir() else path.parent
    files = list(pictures_below([path])) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path} holds no pictures (PNG, JPEG, WebP, GIF)")
    pictures = [LabelledImage(file.relative_to(root).as_posix()) for file in files]
    for place in _by_size_of(files):
        file, name = files[place], pictures[place].image
        choice = folder.place_for(name, file.read_bytes())
        if choice is None:
            continue
        target = folder.path / IMAGES / choice
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        pixels = read_picture(folder.path, LabelledImage(choice))
        folder.add(_labelled(choice, pixels, labeller))


def _label_video(
    path: Path,
    folder: _Folder,
    labeller: Labeller,
    every_s: float,
    most: int | None,
    seen: list[int],
) -> None:
    for sampled in sample_frames(path, every_s, most, seen):
        encoded = cv2.imencode(".jpg", sampled.pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
        choice = folder.place_for(
            f"{path.stem.strip()}-{round(sampled.time_s * 1000):08d}ms.jpg", encoded
        )
        if choice is None:
            continue
        target = folder.path / IMAGES / choice
        target.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(target, encoded)
        picture = _labelled(choice, sampled.pixels, labeller)
        folder.add(
            replace(picture, attributes={"video": path.name, "time_s": round(sampled.time_s, 3)})
        )


def _labelled(name: str, pixels: Pixels, labeller: Labeller) -> LabelledImage:
    height, width = pixels.shape[:2]
    return LabelledImage(name, width, height, labeller.faces(pixels))


def _label(one: Agreed, width: int, height: int, sure: bool) -> LabelledFace:
    x1, y1, x2, y2 = np.clip(one.box, 0, [width, height, width, height]).round(2).tolist()
    landmarks = None if one.points is None or not sure else _landmarks(one.points)
    return LabelledFace((x1, y1, x2, y2), landmarks, ignore=not sure, score=round(one.score, 3))


def _landmarks(points: Floats) -> Landmarks:
    return tuple(points.round(2).ravel().tolist())  # type: ignore[return-value]  # ten of them


def _wants_landmarks(face: LabelledFace) -> bool:
    return face.landmarks is None and not face.ignore


def _size(model: DetectorModel, width: int, height: int, side: int) -> Size:
    """A picture with its longest side made ``side`` px, larger or smaller."""
    w, h = (max(1, round(length * side / max(width, height))) for length in (width, height))
    padded = [-(-length // model.stride) * model.stride for length in (w, h)]
    return Size(w, h, padded[0], padded[1], width / w, height / h)


def _scaled(pixels: Pixels, size: Size) -> Pixels:
    kind = cv2.INTER_AREA if size.scale_x > 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (size.width, size.height), interpolation=kind), np.uint8)


def _scale(size: Size) -> float:
    return 1 / max(size.scale_x, size.scale_y)


def _is_video(path: Path) -> bool:
    if path.is_dir():
        return False
    check_file(path)
    try:
        with open_image(path, str(path), formats=IMAGE_FORMATS) as picture:
            return is_animated(picture)
    except NotAnImage:
        return True


def _by_size(data: Path, pictures: Sequence[LabelledImage]) -> Iterator[int]:
    return _by_size_of([image_path(data, picture) for picture in pictures])


def _by_size_of(files: Sequence[Path]) -> Iterator[int]:
    """Places in a list of pictures so that those of one size follow each other: a detector is made
    for a size."""
    sizes = [header_size(file) for file in files]
    yield from sorted(range(len(files)), key=lambda place: sizes[place])
