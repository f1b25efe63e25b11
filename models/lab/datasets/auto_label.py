"""`facepaint detectors label`: automatic labels for images and frames of videos, for people to
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
from facepaint.media.images import IMAGE_FORMATS, is_animated, open_image
from facepaint.media.open import check_file
from facepaint.text import counted
from models import DetectorModel, find_model
from models.boxes import iou
from models.detector import Detector, Pixels, Size
from models.lab.datasets.common import images_below
from models.lab.datasets.frames import sample_frames
from models.lab.datasets.voting import FusedFace, View, fuse, mirrored_back
from models.lab.evaluation.detections import Floats, Options, detect, open_detector, read_image
from models.lab.evaluation.evaluate import thresholds_of
from models.providers import Runtime

SIDES = (320, 640, 960, 1280)
"""Longest sides in px of an image's views; each is also mirrored."""

ENLARGED = 2.0
"""The most that an image is enlarged: small faces are found where they are larger, though no
sharper."""

SAVE_EVERY = 20
"""Images after which the labels are written, so that an interrupted run loses little."""

SAME_FACE_IOU = 0.5

TEACHER = "landmarks_from"
"""Attribute: the detector that gave a face its landmarks, if a person gave it its box."""

Report = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Work:
    """Counts of a run: images, their faces, the ignored ones, and faces given landmarks."""

    pictures: int
    faces: int
    ignored: int
    landmarks: int

    def report(self) -> str:
        """In one line."""
        return (
            f"{counted(self.pictures, 'image')}: {counted(self.faces, 'face')}, "
            f"{self.landmarks} of them given landmarks, {self.ignored} to be ignored"
        )


class Labeller:
    """Labels images with a detector, in views at several scales and mirrored, fused by voting; see
    `models.lab.datasets.voting.fuse`.

    A face that two views found, with a score from the accept threshold of stickers on, is labelled.
    One from halfway between that threshold and redaction's on is labelled as ignored: a quarter of
    those are faces, which would be taught to be background if they were left out, and whoever
    corrects the labels sees it. The others are dropped.

    Detectors are kept for images of one size, so pass images of the same size one after another.
    """

    def __init__(self, detector: str, device: Device = "auto", threads: int = 1) -> None:
        self.model = find_model(detector)
        thresholds = thresholds_of(self.model.card)
        self.accept = thresholds["stickers"]
        self._ignore = (thresholds["redaction"] + self.accept) / 2
        runtime = Runtime(device, threads)
        self._options = Options(lowest_score=thresholds["redaction"], runtime=runtime)
        self._detectors: list[Detector] = []
        self._shape: tuple[int, int] | None = None

    def views(self, pixels: Pixels) -> list[View]:
        """The detections in every view of an image h x w x 3 in B, G, R."""
        height, width = pixels.shape[:2]
        # Opening a detector takes longer than running it.
        if self._shape != (width, height):
            sides = dict.fromkeys(min(side, round(ENLARGED * max(width, height))) for side in SIDES)
            sizes = [_size(self.model, width, height, side) for side in sides]
            self._detectors = [open_detector(self.model, size, self._options) for size in sizes]
            self._shape = (width, height)
        views: list[View] = []
        for detector in self._detectors:
            scaled = _scaled(pixels, detector.size)
            flipped = np.ascontiguousarray(scaled[:, ::-1])
            found, mirrored = detect(detector, [scaled, flipped])
            scale = 1 / max(detector.size.scale_x, detector.size.scale_y)
            views += [View(found, scale), View(mirrored_back(mirrored, width), scale)]
        return views

    def fused(self, pixels: Pixels) -> list[FusedFace]:
        """The faces of an image that are labelled, ignored ones included, best first."""
        faces = fuse(self.views(pixels), self.model.smallest_face_px)
        return [face for face in faces if face.score >= self._ignore]

    def label(self, name: str, pixels: Pixels) -> LabelledImage:
        """An image with its labels, best face first."""
        height, width = pixels.shape[:2]
        faces = (
            _labelled(face, width, height, face.is_accepted(self.accept))
            for face in self.fused(pixels)
        )
        return LabelledImage(name, width, height, tuple(faces))


def label(
    inputs: Sequence[Path],
    out: Path,
    labeller: Labeller,
    *,
    every_s: float = 1.0,
    most: int | None = None,
    report: Report = lambda _: None,
) -> Work:
    """Label images, folders of images, and sampled frames of videos, into a folder of labels.

    Images are copied unchanged. An image that the folder has already is not labelled again, so that
    corrections stay and an interrupted run continues.

    Args:
        every_s, most: see `sample_frames`.
        report: called with one line for each input, and for each unusable one if there are several.

    Raises:
        InputError: no input can be used.
        UsageError: the folder is among the inputs.
    """
    if any(out.resolve() == path.resolve() for path in inputs):
        raise UsageError(f"{out} is among the inputs; name another folder with --out")
    folder = _Folder(out)
    hashes: list[int] = []
    problems: list[FacepaintError] = []
    for path in inputs:
        before = folder.work
        try:
            if _is_video(path):
                _label_video(path, folder, labeller, every_s, most, hashes)
            else:
                _label_images(path, folder, labeller)
        except InputError as exc:
            problems.append(exc)
            report(f"facepaint: {exc}")
        finally:
            folder.save()
        images = counted(folder.work.pictures - before.pictures, "image")
        faces = counted(folder.work.faces - before.faces, "face")
        report(f"{path}: {images}, {faces}")
    if problems and len(inputs) == len(problems):
        raise problems[-1]
    return folder.work


def fill_landmarks(data: Path, labeller: Labeller, report: Report = lambda _: None) -> Work:
    """Give the faces of a labelled folder that lack landmarks those that the detector finds.

    A face gets those of the fused face that it overlaps most, from IoU 0.5. Ignored faces get none,
    and nothing else changes.

    Raises:
        UsageError: the detector gives no landmarks.
    """
    if not labeller.model.card.landmarks:
        raise UsageError(
            f"detector '{labeller.model.name}' gives no landmarks; choose another with --detector"
        )
    images = read_labels(data)
    filled = visited = 0
    try:
        for place in _by_size([image_path(data, image) for image in images]):
            image = images[place]
            if not any(map(_lacks_landmarks, image.faces)):
                continue
            fused = labeller.fused(read_image(data, image))
            images[place], added = _filled(image, fused, labeller.model.name)
            filled, visited = filled + added, visited + 1
            if visited % SAVE_EVERY == 0:
                write_labels(data, images)
                report(f"{data}: {visited} images done, {filled} faces given landmarks")
    finally:
        write_labels(data, images)
    faces = [face for image in images for face in image.faces]
    return Work(visited, len(faces), sum(face.ignore for face in faces), filled)


def _filled(
    image: LabelledImage, fused: Sequence[FusedFace], teacher: str
) -> tuple[LabelledImage, int]:
    """The image with the landmarks it lacked, and how many faces got some."""
    steady = [(face, face.points) for face in fused if face.votes >= 2 and face.points is not None]
    if not steady:
        return image, 0
    faces, added = list(image.faces), 0
    boxes = np.array([face.box for face in faces], np.float64).reshape(-1, 4)
    overlaps = iou(boxes, np.stack([face.box for face, _ in steady]))
    for row, face in enumerate(faces):
        best = int(overlaps[row].argmax())
        # Of two labelled faces the nearer one gets the landmarks.
        is_nearest = int(overlaps[:, best].argmax()) == row
        if is_nearest and overlaps[row, best] >= SAME_FACE_IOU and _lacks_landmarks(face):
            attributes = {**face.attributes, TEACHER: teacher}
            landmarks = _landmarks(steady[best][1])
            faces[row] = replace(face, landmarks=landmarks, attributes=attributes)
            added += 1
    return replace(image, faces=tuple(faces)), added


class _Folder:
    """A folder of labels that grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._images = read_labels(path) if (path / LABELS).exists() else []
        self._names = {image.image for image in self._images}
        self._old = len(self._images)
        self._unsaved = 0

    @property
    def work(self) -> Work:
        """Counts of what was added."""
        added = self._images[self._old :]
        faces = [face for image in added for face in image.faces]
        with_landmarks = sum(face.landmarks is not None for face in faces)
        return Work(len(added), len(faces), sum(face.ignore for face in faces), with_landmarks)

    def place_for(self, name: str, content: bytes) -> Path | None:
        """A free path for an image; None if the same image is labelled already."""
        check_image_name(name, str(self.path))
        path, number, choice = Path(name), 1, name
        while (self.path / IMAGES / choice).exists():
            # An interrupted run may have copied an image that it did not label.
            if (self.path / IMAGES / choice).read_bytes() == content:
                break
            number += 1
            choice = path.with_name(f"{path.stem}-{number}{path.suffix}").as_posix()
        if choice in self._names:
            return None
        place = self.path / IMAGES / choice
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def name_of(self, place: Path) -> str:
        """The name under which labels have an image."""
        return place.relative_to(self.path / IMAGES).as_posix()

    def add(self, image: LabelledImage) -> None:
        """Add a labelled image."""
        self._images.append(image)
        self._names.add(image.image)
        self._unsaved += 1
        if self._unsaved >= SAVE_EVERY:
            self.save()

    def save(self) -> None:
        """Write the labels if there are new ones."""
        if self._unsaved:
            write_labels(self.path, self._images)
        self._unsaved = 0


def _label_images(path: Path, folder: _Folder, labeller: Labeller) -> None:
    root = path if path.is_dir() else path.parent
    files = list(images_below([path])) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path} holds no images (PNG, JPEG, WebP, GIF)")
    for row in _by_size(files):
        name = files[row].relative_to(root).as_posix()
        place = folder.place_for(name, files[row].read_bytes())
        if place is None:
            continue
        # Copied first, so that labels never name a missing image.
        shutil.copyfile(files[row], place)
        name = folder.name_of(place)
        pixels = read_image(folder.path, LabelledImage(name))
        folder.add(labeller.label(name, pixels))


def _label_video(
    path: Path,
    folder: _Folder,
    labeller: Labeller,
    every_s: float,
    most: int | None,
    hashes: list[int],
) -> None:
    for sampled in sample_frames(path, every_s, most, hashes):
        # High quality: compression artefacts would become part of the training data.
        encoded = cv2.imencode(".jpg", sampled.pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
        name = f"{path.stem.strip()}-{round(sampled.time_s * 1000):08d}ms.jpg"
        place = folder.place_for(name, encoded)
        if place is None:
            continue
        place.write_bytes(encoded)
        image = labeller.label(folder.name_of(place), sampled.pixels)
        origin = {"video": path.name, "time_s": round(sampled.time_s, 3)}
        folder.add(replace(image, attributes=origin))


def _labelled(face: FusedFace, width: int, height: int, accepted: bool) -> LabelledFace:
    x1, y1, x2, y2 = np.clip(face.box, 0, [width, height, width, height]).round(2).tolist()
    landmarks = _landmarks(face.points) if accepted and face.points is not None else None
    box = (x1, y1, x2, y2)
    return LabelledFace(box, landmarks, ignore=not accepted, score=round(face.score, 3))


def _landmarks(points: Floats) -> Landmarks:
    return tuple(points.round(2).ravel().tolist())  # type: ignore[return-value]  # ten numbers


def _lacks_landmarks(face: LabelledFace) -> bool:
    return face.landmarks is None and not face.ignore


def _size(model: DetectorModel, width: int, height: int, side: int) -> Size:
    """The size with a longest side of ``side`` px, larger or smaller than the image."""
    w, h = (max(1, round(length * side / max(width, height))) for length in (width, height))
    return Size.of((w, h), (width, height), model.stride)


def _scaled(pixels: Pixels, size: Size) -> Pixels:
    method = cv2.INTER_AREA if size.scale_x > 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(pixels, (size.width, size.height), interpolation=method)
    return np.asarray(scaled, np.uint8)


def _is_video(path: Path) -> bool:
    if path.is_dir():
        return False
    check_file(path)
    try:
        with open_image(path, str(path), formats=IMAGE_FORMATS) as image:
            return is_animated(image)
    except NotAnImage:
        return True


def _by_size(files: Sequence[Path]) -> Iterator[int]:
    """The rows of image files, those of one size together: a detector is opened for one size."""
    sizes = [header_size(file) for file in files]
    yield from sorted(range(len(files)), key=lambda row: sizes[row])
