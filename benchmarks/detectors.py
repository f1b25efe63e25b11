"""Face detectors side by side, the table of docs/detectors.md: python -m benchmarks.detectors
MODEL... > TABLE.md

FACEPAINT_FACES names the folder of labelled pictures: ``heldout/`` with the sets of WIDER FACE, on
which nothing was trained or tuned, and ``masks/``, of which only the validation part is used.
``--heldout`` names the same images with reference landmarks (see docs/detectors.md). A model is a
name or PATH.onnx, as ``facepaint detectors evaluate`` takes it; times are relative to the first.

``--draw FOLDER`` draws held-out pictures in which the first model misses most, one panel a model:
to be looked at.
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
from models.lab.evaluation.average_precision import Bools, iou, match
from models.lab.evaluation.comparison import Comparison, Measure, Plan, as_markdown, compare
from models.lab.evaluation.detections import Floats, Found, Options, detect_all, read_picture
from models.lab.evaluation.evaluate import ALARM_IOU, Truth, split, truth_of, working_points
from models.lab.evaluation.landmarks import POSES
from models.providers import Runtime

SIDES = (640, 320)

FOUND, UNSURE, MISSED, ALARM = (60, 200, 60), (0, 165, 255), (40, 40, 255), (255, 0, 200)
"""B, G, R of a face found for a sticker, found for hiding, missed, and of a false alarm."""

PANEL_PX = 720
"""Longest side of a drawn picture, for one model."""

FEWEST_FACES = 3
"""A hard picture has at least so many faces of the medium set: one face missed of one says
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
            draw_hard(models, heldout, arguments.draw, arguments.pictures)
    except FacepaintError as exc:
        print(exc, file=sys.stderr)
        return exc.exit_code
    return 0


def whole_table(
    models: Sequence[DetectorModel], heldout: Path, masks: Path, plan: Plan
) -> Comparison:
    """Every figure of the table: held-out pictures at two sizes, and people with masks."""
    pictures = read_labels(heldout)
    large, small = (
        compare(
            models,
            heldout,
            pictures,
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
    """Draw the held-out pictures in which the first model misses the largest share of the medium
    set's faces."""
    pictures = read_labels(folder)
    options = Options(SIDES[0], runtime=Runtime("cpu"))
    hard = _hardest(pictures, detect_all(models[0], folder, pictures, options), models[0], count)
    by_model = [detect_all(model, folder, hard, options) for model in models]
    out.mkdir(parents=True, exist_ok=True)
    for row, picture in enumerate(hard):
        pixels = read_picture(folder, picture)
        panels = [
            _panel(pixels, truth_of(picture), found[row], model)
            for model, found in zip(models, by_model, strict=True)
        ]
        cv2.imwrite(str(out / f"{row:02}-{Path(picture.image).stem}.png"), np.hstack(panels))


def _hardest(
    pictures: Sequence[LabelledImage], found: Sequence[Found], model: DetectorModel, count: int
) -> list[LabelledImage]:
    score = working_points(model.card)["redaction"]
    shares = []
    for picture, one in zip(pictures, found, strict=True):
        truth = truth_of(picture)
        wanted = truth.sets.get("medium", ~truth.ignored)
        if wanted.sum() >= FEWEST_FACES:
            shares.append(
                (
                    float((~_hit(truth, one.from_score(score)) & wanted).sum() / wanted.sum()),
                    picture,
                )
            )
    return [
        picture for _, picture in sorted(shares, key=lambda pair: (-pair[0], pair[1].image))[:count]
    ]


def _hit(truth: Truth, found: Found) -> Bools:
    """Which of a picture's faces are found."""
    chosen, first = match(found.boxes, found.scores, truth.boxes)
    hit = np.zeros(len(truth.boxes), bool)
    hit[chosen[first]] = True
    return hit


def _panel(pixels: Pixels, truth: Truth, found: Found, model: DetectorModel) -> Pixels:
    """A picture, larger, with what one model finds and misses in it, and the model's name below."""
    scale = PANEL_PX / max(pixels.shape[:2])
    larger = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    panel = larger.astype(np.uint8, copy=False)
    points = working_points(model.card)
    seen = found.from_score(points["redaction"])
    for box in truth.boxes[~_hit(truth, seen) & truth.sets.get("hard", ~truth.ignored)]:
        _box(panel, box * scale, MISSED)
    alarms = iou(seen.boxes, truth.boxes).max(axis=1, initial=0) < ALARM_IOU
    for box, score, five, alarm in zip(seen.boxes, seen.scores, seen.points, alarms, strict=True):
        _box(
            panel, box * scale, ALARM if alarm else FOUND if score >= points["stickers"] else UNSURE
        )
        for x, y in five[np.isfinite(five).all(axis=1)] * scale:
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
    parser.add_argument(
        "--heldout", type=Path, help="labelled pictures that nothing was trained on"
    )
    parser.add_argument("--masks", type=Path, help="labelled pictures of people with masks")
    parser.add_argument(
        "--steady", type=int, default=60, help="pictures that steadiness is measured on"
    )
    parser.add_argument("--rounds", type=int, default=50, help="how often each size is timed")
    parser.add_argument(
        "--draw", type=Path, metavar="FOLDER", help="draw hard pictures into this folder"
    )
    parser.add_argument("--pictures", type=int, default=12, help="how many are drawn")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
