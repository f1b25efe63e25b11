"""Precision-recall curves of several detectors as one PNG. Needs matplotlib, from the extra
``train``."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from facepaint.errors import InputError, MissingExtra
from models.lab.evaluation.average_precision import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INCHES = 4.2
"""Side of each plot."""

DPI = 110


def check_plotting() -> None:
    """Raise `MissingExtra` without matplotlib: to be called before the long work, not after."""
    new_figure(1)


def plot_precision_recall(curves: Mapping[str, Mapping[str, Curve]], path: Path) -> None:
    """Draw curves by detector and set of faces: a plot for each set, with a line for each detector.

    Raises:
        MissingExtra: matplotlib is not installed.
        InputError: the file cannot be written.
    """
    names = [
        name
        for name in next(iter(curves.values()))
        if any(sets[name].faces for sets in curves.values())
    ]
    figure = new_figure(max(len(names), 1))
    for column, name in enumerate(names, start=1):
        axes = figure.add_subplot(1, len(names), column)
        for model, sets in curves.items():
            _draw(axes, model, sets[name])
        _label_axes(axes, name, sets[name].faces)
    try:
        figure.savefig(path, format="png", dpi=DPI)
    except OSError as exc:
        raise InputError(f"the plot cannot be written to {path}: {exc.strerror}") from exc


def new_figure(columns: int) -> "Figure":
    """An empty figure for so many plots side by side; raises `MissingExtra` without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as exc:
        raise MissingExtra("train", "a plot") from exc
    return Figure(figsize=(INCHES * columns, INCHES), layout="constrained")


def _draw(axes: "Axes", model: str, curve: Curve) -> None:
    """A step for each score: between two recalls the precision is that of the second."""
    recall = [0.0, *curve.recall]
    precision = [*curve.precision[:1], *curve.precision] or [0.0]
    axes.step(
        recall,
        precision,
        where="pre",
        linewidth=1.4,
        label=f"{model}  {curve.average_precision:.3f}",
    )


def _label_axes(axes: "Axes", name: str, faces: int) -> None:
    axes.set(
        title=f"{name} ({faces} faces)",
        xlabel="recall",
        ylabel="precision",
        xlim=(0, 1),
        ylim=(0, 1.02),
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", title="average precision", fontsize=8, title_fontsize=8)
