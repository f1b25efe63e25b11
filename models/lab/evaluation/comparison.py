"""Several detectors in one table: what each is measured to do, over the same pictures."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from facepaint.detectors.labels import LabelledImage, read_labels
from facepaint.errors import InputError
from models import DetectorModel, find_model
from models.lab.evaluation.average_precision import Curve
from models.lab.evaluation.detections import Options, read_picture
from models.lab.evaluation.evaluate import WORKING_POINTS, Evaluation, evaluate, split, truth_of
from models.lab.evaluation.landmarks import ROLL_CLASSES, roll
from models.lab.evaluation.steadiness import Steadiness, steadiness
from models.lab.evaluation.timing import SIZES, time_detectors

Floats = npt.NDArray[np.float64]

Part = Literal["all", "training", "validation"]
"""Of the pictures of a folder, as `split` parts them."""

MISSING = "-"


@dataclass(frozen=True, slots=True)
class Measure:
    """One row of the table: a value for each detector, NaN where there is none.

    ``best`` is max or min, the better of two values, or None where neither is better.
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
        """Which detectors have the best value, as it is shown; none where all are equal."""
        known = [round(value, self.digits) for value in self.values if not math.isnan(value)]
        if self.best is None or len(set(known)) < 2:
            return [False] * len(self.values)
        best = self.best(known)
        return [
            not math.isnan(value) and round(value, self.digits) == best for value in self.values
        ]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The table: ``models`` are its columns. ``curves`` by detector and set of faces are for the
    plot."""

    models: tuple[str, ...]
    measures: tuple[Measure, ...]
    curves: Mapping[str, Mapping[str, Curve]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured beside average precision.

    Attributes:
        steady_pictures: how many pictures, at most, steadiness is measured on; 0 leaves it out.
        rounds: how often each detector is timed at each of ``sizes`` (width and height in px); 0
            leaves it out.
    """

    steady_pictures: int = 40
    rounds: int = 30
    sizes: tuple[tuple[int, int], ...] = SIZES


def compare_named(
    choices: Sequence[str], folder: Path, part: Part, options: Options, plan: Plan
) -> Comparison:
    """Measure detectors, named as `models.find_model` takes them, on a folder of labelled pictures
    or a part of it.

    Raises:
        UsageError: there is no detector of that name.
        InputError: the folder or a detector's file is no good, or no picture is in this part of it.
    """
    models = [find_model(choice) for choice in choices]
    pictures = read_labels(folder)
    training, validation = split(pictures)
    chosen = {"all": pictures, "training": training, "validation": validation}[part]
    if not any(picture.faces for picture in chosen):
        raise InputError(
            f"{folder} has no labelled face in this part ({part}) of its {len(pictures)} pictures"
        )
    return compare(models, folder, chosen, options, plan)


def compare(
    models: Sequence[DetectorModel],
    folder: Path,
    pictures: Sequence[LabelledImage],
    options: Options,
    plan: Plan,
) -> Comparison:
    """Measure detectors side by side on pictures of a labelled folder; see `detect_all` for
    errors."""
    names = _distinct([model.name for model in models])
    evaluations = [evaluate(model, folder, pictures, options) for model in models]
    points = np.concatenate(
        [np.zeros((0, 5, 2)), *(truth_of(picture).points for picture in pictures)]
    )
    measures = [*_found(evaluations), *_landmarks(evaluations, points)]
    some = _spread(pictures, plan.steady_pictures)
    if some:
        measures += _steady([steadiness(model, folder, some, options) for model in models])
    if plan.rounds and pictures:
        picture = read_picture(folder, max(pictures, key=lambda picture: len(picture.faces)))
        for size in plan.sizes:
            timings = time_detectors(models, picture, size, plan.rounds, options.runtime)
            name = f"{size[0]}x{size[1]}"
            measures.append(
                Measure(f"ms a picture, {name}", tuple(one.ms for one in timings), 1, min)
            )
            measures.append(
                Measure(
                    f"share of the first one's time, {name}", tuple(one.share for one in timings), 2
                )
            )
    curves = {name: evaluation.curves for name, evaluation in zip(names, evaluations, strict=True)}
    return Comparison(tuple(names), tuple(measures), curves)


def as_facts(comparison: Comparison) -> dict[str, dict[str, float | None]]:
    """For scripts: by detector and measure, None where there is no value."""
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
    return [
        ["", *comparison.models],
        *([measure.name, *measure.shown()] for measure in comparison.measures),
    ]


def _distinct(names: Sequence[str]) -> list[str]:
    """Several of one name get a number each, in the order they were given."""
    seen: Counter[str] = Counter()
    distinct = []
    for name in names:
        seen[name] += 1
        distinct.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return distinct


def _spread(pictures: Sequence[LabelledImage], count: int) -> list[LabelledImage]:
    """At most so many of the pictures, from all over the folder."""
    step = -(-len(pictures) // count) if count else 0
    return list(pictures[::step]) if step else []


def _found(evaluations: Sequence[Evaluation]) -> list[Measure]:
    """Average precision, and what comes of the working points."""
    measures = []
    for name, curve in evaluations[0].curves.items():
        values = tuple(one.curves[name].average_precision for one in evaluations)
        measures.append(Measure(f"AP {name} ({curve.faces} faces)", values, 3, max))
    for point in WORKING_POINTS:
        at = [one.at_score[point] for one in evaluations]
        measures.append(Measure(f"score from which on: {point}", tuple(one.score for one in at), 2))
        measures.append(
            Measure(f"faces found: {point} (%)", tuple(100 * one.recall for one in at), 1, max)
        )
        measures.append(
            Measure(
                f"false alarms a picture: {point}", tuple(one.false_alarms for one in at), 2, min
            )
        )
    return measures


def _landmarks(evaluations: Sequence[Evaluation], points: Floats) -> list[Measure]:
    """Errors of landmarks, over the faces whose points every detector found that gives any."""
    errors = np.stack([one.landmark_errors for one in evaluations])
    shared = _shared(errors)
    tilts = np.abs(roll(points))
    measures = []
    for name, (low, high) in {"": (0.0, 181.0), **ROLL_CLASSES}.items():
        rows = shared & (low <= tilts) & (tilts < high)
        faces = f"{int(rows.sum())} faces" + (f", {name}" if name else "")
        if rows.any():
            for word, average in (("mean", np.mean), ("median", np.median)):
                values = tuple(float(100 * average(row[rows])) for row in errors)
                measures.append(
                    Measure(f"landmark error, {word} (% of eye distance; {faces})", values, 1, min)
                )
    return measures


def _steady(measured: Sequence[Steadiness]) -> list[Measure]:
    """Medians over the faces that every detector found again that gives landmarks."""
    trembling, drift, followed = (
        np.stack([getattr(one, name) for one in measured])
        for name in ("trembling", "drift", "followed")
    )
    shared = _shared(trembling) & _shared(drift) & _shared(followed)
    if not shared.any():
        return []
    faces = f"{int(shared.sum())} faces"

    def medians(values: Floats) -> tuple[float, ...]:
        return tuple(float(np.median(row[shared])) for row in values)

    again = tuple(float(100 * np.mean(one.found[np.isfinite(one.found)])) for one in measured)
    return [
        Measure(
            f"found again in the changed picture (%; {len(measured[0].found)} faces)", again, 1, max
        ),
        Measure(
            f"landmarks tremble by (% of eye distance; {faces})", medians(100 * trembling), 1, min
        ),
        Measure(
            f"landmarks off when turned 10-30 degrees (% of eye distance; {faces})",
            medians(100 * drift),
            1,
            min,
        ),
        Measure(f"share of a turn that landmarks follow ({faces})", medians(followed), 2, max),
    ]


def _shared(values: Floats) -> npt.NDArray[np.bool_]:
    """The columns with a number in every row, rows without any number aside."""
    known = np.isfinite(values)
    giving = known.any(axis=1)
    return np.asarray(known[giving].all(axis=0) & giving.any())
