"""The log of a training run as a picture."""

import json
from pathlib import Path
from typing import Any

from models.lab.evaluation.plots import new_figure
from models.lab.training.loop import LOG

PARTS = ("object", "class", "box", "landmarks")


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The entries of a run's log, by step; where a run was resumed, what came after its checkpoint
    counts."""
    entries: list[dict[str, Any]] = []
    for line in (folder / LOG).read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        while entries and entries[-1]["step"] > entry["step"]:
            entries.pop()
        entries.append(entry)
    return entries


def draw_curve(folder: Path, path: Path) -> None:
    """Draw a run's losses, those of validation dotted, and its learning rate, as a PNG."""
    entries = read_log(folder)
    learnt = [entry for entry in entries if "pictures_per_s" in entry]
    validated = [entry for entry in entries if "validation" in entry]
    figure = new_figure(columns=2)
    axes = figure.add_subplot(1, 2, 1)
    for colour, part in enumerate(PARTS):
        steps, values = [entry["step"] for entry in learnt], [entry[part] for entry in learnt]
        axes.plot(steps, _smooth(values), color=f"C{colour}", linewidth=1.2, label=part)
        marks = [entry["validation"][part] for entry in validated]
        axes.plot(
            [entry["step"] for entry in validated],
            marks,
            f"C{colour}o:",
            markersize=3,
            linewidth=0.8,
        )
    axes.set(title="losses (dotted: validation, averaged weights)", xlabel="step", yscale="log")
    axes.legend(frameon=False)
    rates = figure.add_subplot(1, 2, 2)
    rates.plot(
        [entry["step"] for entry in entries],
        [entry["learning_rate"] for entry in entries],
        linewidth=1.2,
    )
    rates.set(title="learning rate", xlabel="step")
    figure.savefig(path, format="png", dpi=110)


def _smooth(values: list[float], share: float = 0.8) -> list[float]:
    """A running average, so that four noisy lines can be told apart."""
    smoothed: list[float] = []
    for value in values:
        smoothed.append(value if not smoothed else share * smoothed[-1] + (1 - share) * value)
    return smoothed
