"""The log of a training run as an image."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.lab.evaluation.plots import new_figure
from models.lab.training.loop import LOG

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Entry = dict[str, Any]

PARTS = ("object", "class", "box", "landmarks")


def read_log(folder: Path) -> list[Entry]:
    """The entries of a run's log by step; a resumed run replaces those after its checkpoint."""
    entries: list[Entry] = []
    for line in (folder / LOG).read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        # A resumed run starts at its checkpoint, which is older than the last entries.
        while entries and entries[-1]["step"] > entry["step"]:
            entries.pop()
        entries.append(entry)
    return entries


def draw_curve(folder: Path, path: Path) -> None:
    """Draw a run's losses, those of validation dotted, and its learning rate, as a PNG."""
    entries = read_log(folder)
    figure = new_figure(columns=2)
    _draw_losses(figure.add_subplot(1, 2, 1), entries)
    rates = figure.add_subplot(1, 2, 2)
    rates.plot(_column(entries, "step"), _column(entries, "learning_rate"), linewidth=1.2)
    rates.set(title="learning rate", xlabel="step")
    figure.savefig(path, format="png", dpi=110)


def _draw_losses(axes: "Axes", entries: Sequence[Entry]) -> None:
    trained = [entry for entry in entries if "pictures_per_s" in entry]
    validated = [entry for entry in entries if "validation" in entry]
    for number, part in enumerate(PARTS):
        colour = f"C{number}"
        losses = _smooth(_column(trained, part))
        axes.plot(_column(trained, "step"), losses, color=colour, linewidth=1.2, label=part)
        marks = [entry["validation"][part] for entry in validated]
        steps = _column(validated, "step")
        axes.plot(steps, marks, f"{colour}o:", markersize=3, linewidth=0.8)
    axes.set(title="losses (dotted: validation, averaged weights)", xlabel="step", yscale="log")
    axes.legend(frameon=False)


def _column(entries: Sequence[Entry], key: str) -> list[float]:
    return [entry[key] for entry in entries]


def _smooth(values: list[float], share: float = 0.8) -> list[float]:
    """A running average, so that four noisy lines can be distinguished."""
    smoothed = values[:1]
    for value in values[1:]:
        smoothed.append(share * smoothed[-1] + (1 - share) * value)
    return smoothed
