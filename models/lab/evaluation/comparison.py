"""Several detectors in one table, measured on the same images."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from facepaint.detectors.labels import LabelledImage, read_labels
from facepaint.errors import InputError
from models import DetectorModel, find_model
from models.detector import Pixels
from models.lab.evaluation.average_precision import Curve
from models.lab.evaluation.detections import Options, read_image
from models.lab.evaluation.evaluate import THRESHOLDS, Evaluation, evaluate, split, truth_of
from models.lab.evaluation.landmarks import ROLL_CLASSES, roll
from models.lab.evaluation.stability import Stability, stability
from models.lab.evaluation.timing import SIZES, time_detectors

Floats = npt.NDArray[np.float64]

Part = Literal["all", "training", "validation"]
"""Of the images of a folder, as `split` divides them."""

MISSING = "-"


@dataclass(frozen=True, slots=True)
class Measure:
    """One row of the table: a value for each detector, NaN if there is none.

    ``best`` is max or min, whichever is better, or None.
    """

    name: str
    values: tuple[float, ...]
    digits: int
    best: Callable[[Sequence[float]], float] | None = None

    def shown(self) -> list[str]:
        """The values as text."""
        return [
            MISSING if math.isnan(value) else f"{value:.{self.digits}f}" for value in self.values
        ]

    def winners(self) -> list[bool]:
        """Which detectors have the best value, as shown; none if all are equal."""
        rounded = [round(value, self.digits) for value in self.values]
        known = {value for value in rounded if not math.isnan(value)}
        if self.best is None or len(known) < 2:
            return [False] * len(self.values)
        best = self.best(list(known))
        return [value == best for value in rounded]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The table: ``models`` are its columns. ``curves`` by detector and set of faces are for the
    plot."""

    models: tuple[str, ...]
    measures: tuple[Measure, ...]
    curves: Mapping[str, Mapping[str, Curve]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured besides average precision.

    Attributes:
        stability_images: images, at most, on which stability is measured; 0 skips it.
        rounds: how often each detector is timed at each of ``sizes`` (width and height in px); 0
            skips it.
    """

    stability_images: int = 40
    rounds: int = 30
    sizes: tuple[tuple[int, int], ...] = SIZES


def compare_named(
    choices: Sequence[str], folder: Path, part: Part, options: Options, plan: Plan
) -> Comparison:
    """Measure detectors, named as for `models.find_model`, on a labelled folder or a part of it.

    Raises:
        UsageError: there is no detector of that name.
        InputError: the folder or a detector's file cannot be used, or the part is empty.
    """
    models = [find_model(choice) for choice in choices]
    images = read_labels(folder)
    training, validation = split(images)
    chosen = {"all": images, "training": training, "validation": validation}[part]
    if not any(image.faces for image in chosen):
        raise InputError(
            f"{folder} has no labelled face in this part ({part}) of its {len(images)} images"
        )
    return compare(models, folder, chosen, options, plan)


def compare(
    models: Sequence[DetectorModel],
    folder: Path,
    images: Sequence[LabelledImage],
    options: Options,
    plan: Plan,
) -> Comparison:
    """Measure detectors on images of a labelled folder; errors are those of `detect_all`."""
    names = _unique([model.name for model in models])
    evaluations = [evaluate(model, folder, images, options) for model in models]
    unlabelled = np.zeros((0, 5, 2))
    points = np.concatenate([unlabelled, *(truth_of(image).points for image in images)])
    measures = [*_accuracy(evaluations), *_landmarks(evaluations, points)]
    sample = _sample(images, plan.stability_images)
    if sample:
        measures += _stability([stability(model, folder, sample, options) for model in models])
    if plan.rounds and images:
        # An image with many faces: decoding and suppression take time as well.
        crowded = max(images, key=lambda image: len(image.faces))
        measures += _times(models, read_image(folder, crowded), plan, options)
    curves = {name: evaluation.curves for name, evaluation in zip(names, evaluations, strict=True)}
    return Comparison(tuple(names), tuple(measures), curves)


def _times(
    models: Sequence[DetectorModel], image: Pixels, plan: Plan, options: Options
) -> Iterator[Measure]:
    """The times of all detectors at each size."""
    for width, height in plan.sizes:
        timings = time_detectors(models, image, (width, height), plan.rounds, options.runtime)
        name = f"{width}x{height}"
        yield Measure(f"ms per image, {name}", tuple(each.ms for each in timings), 1, min)
        shares = tuple(each.share for each in timings)
        yield Measure(f"time relative to the first, {name}", shares, 2)


def as_facts(comparison: Comparison) -> dict[str, dict[str, float | None]]:
    """For scripts: by detector and measure, None if there is no value."""
    return {
        name: {
            measure.name: None if math.isnan(measure.values[column]) else measure.values[column]
            for measure in comparison.measures
        }
        for column, name in enumerate(comparison.models)
    }


def as_markdown(comparison: Comparison) -> str:
    """A table for documents, the best of each row in bold."""
    lines = [f"| | {' | '.join(comparison.models)} |", "|---" * (len(comparison.models) + 1) + "|"]
    for measure in comparison.measures:
        cells = [
            f"**{text}**" if wins else text
            for text, wins in zip(measure.shown(), measure.winners(), strict=True)
        ]
        lines.append(f"| {measure.name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def as_rows(comparison: Comparison) -> list[list[str]]:
    """The cells as text, the first row being the head."""
    head = ["", *comparison.models]
    return [head, *([measure.name, *measure.shown()] for measure in comparison.measures)]


def _unique(names: Sequence[str]) -> list[str]:
    """Names that repeat get a number."""
    count: Counter[str] = Counter()
    unique = []
    for name in names:
        count[name] += 1
        unique.append(name if count[name] == 1 else f"{name} ({count[name]})")
    return unique


def _sample(images: Sequence[LabelledImage], most: int) -> list[LabelledImage]:
    """At most so many images, every nth of the folder."""
    step = -(-len(images) // most) if most else 0
    return list(images[::step]) if step else []


def _accuracy(evaluations: Sequence[Evaluation]) -> Iterator[Measure]:
    """Average precision, and recall and false positives at the thresholds."""
    for name, curve in evaluations[0].curves.items():
        precisions = tuple(each.curves[name].average_precision for each in evaluations)
        yield Measure(f"AP {name} ({curve.faces} faces)", precisions, 3, max)
    for use in THRESHOLDS:
        at = [each.at_threshold[use] for each in evaluations]
        yield Measure(f"threshold: {use}", tuple(each.threshold for each in at), 2)
        recalls = tuple(100 * each.recall for each in at)
        yield Measure(f"faces found: {use} (%)", recalls, 1, max)
        wrong = tuple(each.false_positives for each in at)
        yield Measure(f"false positives per image: {use}", wrong, 2, min)


def _landmarks(evaluations: Sequence[Evaluation], points: Floats) -> Iterator[Measure]:
    """Errors over the faces whose landmarks every detector found that gives any."""
    errors = np.stack([each.landmark_errors for each in evaluations])
    # Detectors that find fewer, easier faces must not look better.
    shared = _shared(errors)
    tilts = np.abs(roll(points))
    for name, (low, high) in {"": (0.0, 181.0), **ROLL_CLASSES}.items():
        rows = shared & (low <= tilts) & (tilts < high)
        if not rows.any():
            continue
        faces = f"{int(rows.sum())} faces" + (f", {name}" if name else "")
        for word, average in (("mean", np.mean), ("median", np.median)):
            values = tuple(float(100 * average(row[rows])) for row in errors)
            yield Measure(f"landmark error, {word} (% of eye distance; {faces})", values, 1, min)


def _stability(measured: Sequence[Stability]) -> list[Measure]:
    """Medians over the faces that every detector found again that gives landmarks."""
    jitter = np.stack([each.jitter for each in measured])
    drift = np.stack([each.drift for each in measured])
    followed = np.stack([each.followed for each in measured])
    shared = _shared(jitter) & _shared(drift) & _shared(followed)
    if not shared.any():
        return []
    faces = f"{int(shared.sum())} faces"

    def medians(values: Floats) -> tuple[float, ...]:
        return tuple(float(np.median(row[shared])) for row in values)

    # NaN where every transform moved the face over the border.
    again = tuple(float(100 * np.mean(each.found[np.isfinite(each.found)])) for each in measured)
    every = len(measured[0].found)
    unit = f"% of eye distance; {faces}"
    return [
        Measure(f"found again in the transformed image (%; {every} faces)", again, 1, max),
        Measure(f"landmark jitter ({unit})", medians(100 * jitter), 1, min),
        Measure(f"landmark drift, rotated by 10-30 degrees ({unit})", medians(100 * drift), 1, min),
        Measure(f"share of a rotation that landmarks follow ({faces})", medians(followed), 2, max),
    ]


def _shared(values: Floats) -> npt.NDArray[np.bool_]:
    """The columns with a number in every row; rows without any number do not count."""
    known = np.isfinite(values)
    giving = known.any(axis=1)
    return np.asarray(known[giving].all(axis=0) & giving.any())
