"""Face detectors side by side, the table of docs/detectors.md: python -m benchmarks.detectors
MODEL... > TABLE.md

FACEPAINT_FACES names the folder of labelled images: ``heldout/`` with the sets of WIDER FACE, on
which nothing was trained or tuned, and ``masks/``, of which only the validation part is used.
``--heldout`` names the same images with reference landmarks (see docs/detectors.md). A model is a
name or PATH.onnx, as ``facepaint detectors evaluate`` takes it; times are relative to the first.

``--draw FOLDER`` draws the held-out images in which the first model misses most, a panel for each
model, to inspect.
"""

import argparse
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from facepaint.detectors.labels import LabelledImage, read_labels
from facepaint.errors import FacepaintError, UsageError
from models import DetectorModel, find_model
from models.detector import Pixels
from models.lab.evaluation.average_precision import Bools, matched
from models.lab.evaluation.comparison import Comparison, Measure, Plan, as_markdown, compare
from models.lab.evaluation.detections import (
    Detections,
    Floats,
    Options,
    detect_all,
    read_image,
)
from models.lab.evaluation.evaluate import (
    Truth,
    false_positives,
    split,
    thresholds_of,
    truth_of,
)
from models.lab.evaluation.landmarks import POSES
from models.providers import Runtime

SIDES = (640, 320)

FOUND, UNSURE, MISSED, WRONG = (60, 200, 60), (0, 165, 255), (40, 40, 255), (255, 0, 200)
"""B, G, R of a face found at the stickers' threshold, at redaction's, missed, and of a false
positive."""

PANEL_PX = 720
"""Longest side of a drawn image, for one model."""

FEWEST_FACES = 3
"""A hard image has at least so many faces of the medium set: one missed face of one means
little."""


def main() -> int:
    """Print the table, and draw."""
    arguments = _arguments()
    try:
        models = [find_model(choice) for choice in arguments.models]
        heldout = arguments.heldout or _faces() / "heldout"
        masks = arguments.masks or _faces() / "masks"
        plan = Plan(arguments.steady, arguments.rounds)
        table = whole_table(models, heldout, masks, plan)
        print(_heading(arguments.models), as_markdown(table), sep="\n\n", end="")
        if arguments.draw:
            draw_hard(models, heldout, arguments.draw, arguments.images)
    except FacepaintError as exc:
        print(exc, file=sys.stderr)
        return exc.exit_code
    return 0


def whole_table(
    models: Sequence[DetectorModel], heldout: Path, masks: Path, plan: Plan
) -> Comparison:
    """Every figure of the table: held-out images at two sizes, and people with masks."""
    images = read_labels(heldout)
    large, small = (
        compare(
            models,
            heldout,
            images,
            Options(side, runtime=Runtime("cpu")),
            plan if side == SIDES[0] else Plan(0, 0),
        )
        for side in SIDES
    )
    _, masked = split(read_labels(masks))
    of_masks = compare(models, masks, masked, Options(runtime=Runtime("cpu")), Plan(0, 0))
    measures = [
        *_named(_precisions(large), f"longest side {SIDES[0]}"),
        *_named(_precisions(small), f"longest side {SIDES[1]}"),
        *_named(
            (one for one in _precisions(of_masks) if not _of_poses(one)),
            "people with and without masks",
        ),
        *(measure for measure in large.measures if not measure.name.startswith("AP ")),
    ]
    return replace(large, measures=tuple(measures))


def _precisions(comparison: Comparison) -> Iterator[Measure]:
    return (measure for measure in comparison.measures if measure.name.startswith("AP "))


def _of_poses(measure: Measure) -> bool:
    return any(measure.name.startswith(f"AP {pose}") for pose in POSES)


def _named(measures: Iterator[Measure], where: str) -> Iterator[Measure]:
    return (replace(measure, name=f"{measure.name}, {where}") for measure in measures)


def draw_hard(models: Sequence[DetectorModel], folder: Path, out: Path, count: int) -> None:
    """Draw the held-out images in which the first model misses the largest share of the medium
    set's faces."""
    images = read_labels(folder)
    options = Options(SIDES[0], runtime=Runtime("cpu"))
    hard = _hardest(images, detect_all(models[0], folder, images, options), models[0], count)
    by_model = [detect_all(model, folder, hard, options) for model in models]
    out.mkdir(parents=True, exist_ok=True)
    for row, image in enumerate(hard):
        pixels = read_image(folder, image)
        panels = [
            _panel(pixels, truth_of(image), found[row], model)
            for model, found in zip(models, by_model, strict=True)
        ]
        cv2.imwrite(str(out / f"{row:02}-{Path(image.image).stem}.png"), np.hstack(panels))


def _hardest(
    images: Sequence[LabelledImage],
    found: Sequence[Detections],
    model: DetectorModel,
    count: int,
) -> list[LabelledImage]:
    """The images in which the largest shares of the faces are missed."""
    threshold = thresholds_of(model.card)["redaction"]
    shares = []
    for image, detections in zip(images, found, strict=True):
        truth = truth_of(image)
        wanted = truth.sets.get("medium", ~truth.ignored)
        if wanted.sum() >= FEWEST_FACES:
            missed = ~_found(truth, detections.from_score(threshold)) & wanted
            shares.append((-float(missed.sum() / wanted.sum()), image.image, image))
    return [image for *_, image in sorted(shares)[:count]]


def _found(truth: Truth, detections: Detections) -> Bools:
    """Which of an image's faces are detected."""
    return matched(detections.boxes, detections.scores, truth.boxes)


def _panel(pixels: Pixels, truth: Truth, found: Detections, model: DetectorModel) -> Pixels:
    """An enlarged image with what one model finds and misses, and the model's name below."""
    scale = PANEL_PX / max(pixels.shape[:2])
    larger = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    panel = larger.astype(np.uint8, copy=False)
    thresholds = thresholds_of(model.card)
    shown = found.from_score(thresholds["redaction"])
    for box in truth.boxes[~_found(truth, shown) & truth.sets.get("hard", ~truth.ignored)]:
        _box(panel, box * scale, MISSED)
    wrong = false_positives(shown, truth)
    for box, score, is_wrong in zip(shown.boxes, shown.scores, wrong, strict=True):
        colour = FOUND if score >= thresholds["stickers"] else UNSURE
        _box(panel, box * scale, WRONG if is_wrong else colour)
    points = shown.points.reshape(-1, 2) * scale
    for x, y in points[np.isfinite(points).all(axis=1)]:
        cv2.circle(panel, (round(x), round(y)), 1, (255, 255, 0), -1, cv2.LINE_AA)
    strip = np.full((28, panel.shape[1], 3), 255, np.uint8)
    cv2.putText(
        strip, model.name, (6, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (0, 0, 0), 1, cv2.LINE_AA
    )
    return np.vstack([panel, strip]).astype(np.uint8, copy=False)


def _box(panel: Pixels, box: Floats, colour: tuple[int, int, int]) -> None:
    x1, y1, x2, y2 = (round(side) for side in box)
    cv2.rectangle(panel, (x1, y1), (x2, y2), colour, 1, cv2.LINE_AA)


def _heading(choices: Sequence[str]) -> str:
    named = ", ".join(Path(choice).name for choice in choices)
    return (
        f"Measured with `python -m benchmarks.detectors` on {named}: one thread of a "
        f"{platform.machine()} processor "
        f"with {os.cpu_count()} cores, ONNX Runtime {onnxruntime.__version__}."
    )


def _faces() -> Path:
    try:
        return Path(os.environ["FACEPAINT_FACES"])
    except KeyError:
        raise UsageError(
            "set FACEPAINT_FACES to the folder with heldout/ and masks/, or name them with "
            "--heldout and --masks"
        ) from None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Face detectors side by side: prints the table of docs/detectors.md."
    )
    parser.add_argument(
        "models", nargs="+", metavar="MODEL", help="name of a detector, or PATH.onnx"
    )
    parser.add_argument("--heldout", type=Path, help="labelled images that nothing was trained on")
    parser.add_argument("--masks", type=Path, help="labelled images of people with masks")
    parser.add_argument(
        "--steady", type=int, default=60, help="images that stability is measured on"
    )
    parser.add_argument("--rounds", type=int, default=50, help="how often each size is timed")
    parser.add_argument(
        "--draw", type=Path, metavar="FOLDER", help="draw hard images into this folder"
    )
    parser.add_argument("--images", type=int, default=12, help="how many are drawn")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
