"""Labelled folders as training batches; seed and step determine a batch."""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facepaint.detectors.labels import LabelledImage, read_labels
from facepaint.errors import InputError, UsageError
from models.lab.evaluation.detections import read_image
from models.lab.training.augment import Augmentation, Pixels, Sample, augmented
from models.lab.training.losses import Targets

MEMORY_BYTES = 4 << 30
"""Decoded images are cached up to this size; the others are decoded each time."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A labelled folder, and how often its images are drawn relative to those of other folders."""

    path: Path
    weight: float = 1.0

    @classmethod
    def parse(cls, text: str) -> "Folder":
        """``FOLDER`` or ``FOLDER=WEIGHT``; raises `UsageError` for a weight that is not positive
        and finite."""
        path, equals, weight = text.rpartition("=")
        try:
            folder = cls(Path(path), float(weight)) if equals else cls(Path(text))
        except ValueError:
            return cls(Path(text))
        if not 0 < folder.weight < math.inf:
            raise UsageError(f"{text}: the weight of a folder must be above 0, such as {path}=2")
        return folder


class Images:
    """Labelled images with their pixels."""

    def __init__(
        self, folders: Sequence[Folder], images: Sequence[Sequence[LabelledImage]]
    ) -> None:
        self._entries = [
            (folder.path, image)
            for folder, some in zip(folders, images, strict=True)
            for image in some
        ]
        if not self._entries:
            named = ", ".join(str(folder.path) for folder in folders)
            raise InputError(f"{named}: no image to train on besides those kept for validation")
        chances = np.concatenate(
            [
                np.full(len(some), folder.weight)
                for folder, some in zip(folders, images, strict=True)
            ]
        )
        self.chances = chances / chances.sum()
        self._decoded: dict[int, Pixels] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def sample(self, row: int) -> Sample:
        """The image of that row with its faces.

        Raises:
            InputError: its file is missing, is no image, or differs in size from its labels.
        """
        faces = self._entries[row][1].faces
        points = [face.landmarks if face.landmarks else (np.nan,) * 10 for face in faces]
        return Sample(
            self._pixels(row),
            np.array([face.box for face in faces], np.float32).reshape(-1, 4),
            np.array(points, np.float32).reshape(-1, 5, 2),
            np.array([not face.ignore for face in faces], np.bool_),
        )

    def _pixels(self, row: int) -> Pixels:
        if row in self._decoded:
            return self._decoded[row]
        pixels = read_image(*self._entries[row])
        # Never evicted: images are drawn at random, so any eviction is as good as none.
        if self._bytes + pixels.nbytes <= MEMORY_BYTES:
            self._bytes += pixels.nbytes
            self._decoded[row] = pixels
        return pixels


def read_folders(folders: Sequence[Folder]) -> list[list[LabelledImage]]:
    """The labels of each folder."""
    return [read_labels(folder.path) for folder in folders]


@dataclass(frozen=True, slots=True)
class Batch:
    """Images n x 3 x size x size uint8 (B, G, R) and their faces."""

    images: Tensor
    targets: Targets


def make_batch(
    images: Images, size: int, augmentation: Augmentation, seed: int, step: int
) -> Batch:
    """The batch of a step, determined by seed and step alone: a resumed run gets the same
    batches."""
    random = np.random.default_rng((seed, step))
    samples = []
    for _ in range(size):
        rows = random.choice(len(images), 4, p=images.chances)
        # Decoding takes most of the time, so only a mosaic reads four images.
        needed = rows if random.random() < augmentation.mosaic else rows[:1]
        samples.append(augmented([images.sample(int(row)) for row in needed], augmentation, random))
    return collate(samples)


def collate(samples: Sequence[Sample]) -> Batch:
    """Samples of one size as a batch."""
    pixels = np.stack([sample.image for sample in samples])
    owners = np.concatenate([np.full(len(sample.boxes), row) for row, sample in enumerate(samples)])
    targets = Targets(
        torch.from_numpy(owners.astype(np.int64)),
        torch.from_numpy(np.concatenate([sample.boxes for sample in samples])),
        torch.from_numpy(np.concatenate([sample.points for sample in samples])),
        torch.from_numpy(np.concatenate([sample.learn for sample in samples])),
    )
    return Batch(torch.from_numpy(pixels).permute(0, 3, 1, 2), targets)


def batches(make: Callable[[int], Batch], steps: range, threads: int) -> Iterator[Batch]:
    """The batches of the steps in order, prepared by threads: OpenCV releases the GIL."""
    with ThreadPoolExecutor(threads, thread_name_prefix="batches") as pool:
        # Two batches per thread: none waits while the network trains.
        ahead = [pool.submit(make, step) for step in steps[: 2 * threads]]
        for step in steps:
            batch = ahead.pop(0).result()
            following = step + 2 * threads
            if following in steps:
                ahead.append(pool.submit(make, following))
            yield batch
