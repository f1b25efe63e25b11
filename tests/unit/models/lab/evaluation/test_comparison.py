"""Several detectors in one table, by the plain function and by the command."""

import io
import json
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image
from typer.testing import CliRunner

import benchmarks.detectors as benchmark
from facepaint.cli.app import app
from facepaint.cli.tables import print_figures
from facepaint.detectors.labels import write_labels
from facepaint.errors import InputError, MissingExtra
from facepaint.records.detector_card import DEFAULT_DETECTOR
from models import find_model
from models.lab.evaluation.average_precision import precision_recall
from models.lab.evaluation.comparison import (
    Comparison,
    Measure,
    Plan,
    as_facts,
    as_markdown,
    as_rows,
    compare,
    compare_named,
)
from models.lab.evaluation.detections import Options
from models.lab.evaluation.plots import plot_precision_recall
from models.lab.evaluation.timing import time_detectors
from models.providers import Runtime
from tests.support.portraits import write_portraits

CPU = Runtime("cpu")
MODEL = find_model(DEFAULT_DETECTOR)
OPTIONS = Options(side=320, runtime=CPU)
NOTHING = float("nan")
IN_VALIDATION = "36.jpg"
"""A name by which an image is left out of training."""

SMALL = ((64, 32), (96, 64))


def table(*measures: Measure) -> Comparison:
    return Comparison(("one", "two"), measures, {})


class TestTable:
    def test_the_best_value_is_the_largest_or_the_smallest(self) -> None:
        assert Measure("AP", (0.5, 0.75), 2, max).winners() == [False, True]
        assert Measure("ms", (0.5, 0.75), 2, min).winners() == [True, False]
        assert Measure("score", (0.5, 0.75), 2).winners() == [False, False]

    def test_values_that_are_shown_alike_have_no_best(self) -> None:
        assert Measure("AP", (0.5001, 0.5002), 3, max).winners() == [False, False]
        assert Measure("AP", (0.5, 0.7, 0.7001), 3, max).winners() == [False, True, True]

    def test_what_is_missing_is_neither_shown_nor_best(self) -> None:
        measure = Measure("AP", (NOTHING, 0.25, 0.5), 1, min)
        assert measure.shown() == ["-", "0.2", "0.5"]
        assert measure.winners() == [False, True, False]

    def test_for_documents_for_people_and_for_scripts(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        comparison = table(
            Measure("AP hard", (0.5, 0.75), 3, max), Measure("ms", (NOTHING, 12.0), 1, min)
        )
        assert as_markdown(comparison) == (
            "| | one | two |\n|---|---|---|\n| AP hard | 0.500 | **0.750** |\n| ms | - | 12.0 |\n"
        )
        print_figures(as_rows(comparison))
        assert (
            capsys.readouterr().out
            == "           one    two\nAP hard  0.500  0.750\nms           -   12.0\n"
        )
        assert as_facts(comparison) == {
            "one": {"AP hard": 0.5, "ms": None},
            "two": {"AP hard": 0.75, "ms": 12.0},
        }


class TestCompare:
    def test_a_detector_beside_itself(self, tmp_path: Path) -> None:
        images = write_portraits(tmp_path)
        comparison = compare([MODEL, MODEL], tmp_path, images, OPTIONS, Plan(1, 1, SMALL))
        assert comparison.models == (DEFAULT_DETECTOR, f"{DEFAULT_DETECTOR} (2)")
        rows = {measure.name: measure for measure in comparison.measures}
        assert rows["AP all (2 faces)"].values == (1, 1)
        assert rows["landmark error, mean (% of eye distance; 2 faces)"].values[0] < 20
        assert any(name.startswith("found again") for name in rows)
        for width, height in SMALL:
            assert rows[f"ms per image, {width}x{height}"].values[0] > 0
        for measure in comparison.measures:
            if not measure.name.startswith(("ms", "time relative")):
                assert measure.shown()[0] == measure.shown()[1], measure.name

    def test_only_what_is_asked_for_is_measured(self, tmp_path: Path) -> None:
        comparison = compare([MODEL], tmp_path, write_portraits(tmp_path), OPTIONS, Plan(0, 0))
        assert not [
            one for one in comparison.measures if one.name.startswith(("ms", "found again"))
        ]

    def test_a_part_without_faces_is_refused(self, tmp_path: Path) -> None:
        write_portraits(tmp_path)
        with pytest.raises(
            InputError, match=r"no labelled face in this part \(validation\) of its 3 images"
        ):
            compare_named([DEFAULT_DETECTOR], tmp_path, "validation", OPTIONS, Plan(0, 0))
        write_labels(tmp_path, [])
        with pytest.raises(InputError, match=r"\(all\) of its 0 images"):
            compare_named([DEFAULT_DETECTOR], tmp_path, "all", OPTIONS, Plan(0, 0))


def test_times_are_shares_of_the_first_ones() -> None:
    timings = time_detectors([MODEL, MODEL], skimage.data.astronaut(), (320, 192), 2, CPU)
    assert timings[0].share == 1
    assert all(timing.ms > 0 and timing.share > 0 for timing in timings)


class TestPlot:
    CURVE = precision_recall(np.array([0.9, 0.8]), np.array([True, False]), 2)
    EMPTY = precision_recall(np.zeros(0), np.zeros(0, bool), 0)
    MISSED = precision_recall(np.zeros(0), np.zeros(0, bool), 5)

    def test_a_plot_for_each_set_that_has_faces(self, tmp_path: Path) -> None:
        one = {"easy": self.CURVE, "hard": self.CURVE, "tilted": self.EMPTY}
        path = tmp_path / "plot.png"
        plot_precision_recall({"one": one, "two": {**one, "hard": self.MISSED}}, path)
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert 1.8 < image.width / image.height < 2.2

    def test_without_matplotlib_the_extra_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        with pytest.raises(MissingExtra, match="needs the extra 'train'"):
            plot_precision_recall({"one": {"easy": self.CURVE}}, tmp_path / "plot.png")

    def test_a_file_that_cannot_be_written_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"nowhere/plot\.png"):
            plot_precision_recall({"one": {"easy": self.CURVE}}, tmp_path / "nowhere" / "plot.png")


class TestCommand:
    def run(self, *arguments: object) -> str:
        done = CliRunner().invoke(
            app, ["detectors", "evaluate", *map(str, arguments)], catch_exceptions=False
        )
        assert done.exit_code == 0, done.output
        return done.stdout

    def test_without_the_runtime_of_networks_the_extra_is_named(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also where OpenCV is there, as it is on many machines."""
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        with pytest.raises(MissingExtra, match="needs the extra 'worker'"):
            self.run(DEFAULT_DETECTOR, "data")

    def test_figures_for_scripts_a_plot_and_a_table_for_documents(self, tmp_path: Path) -> None:
        write_portraits(tmp_path)
        plot, markdown = tmp_path / "plot.png", tmp_path / "table.md"
        less = ("--steady", 0, "--rounds", 0, "--side", 256, "--device", "cpu")
        files = ("--plot", plot, "--markdown", markdown)
        facts = json.loads(self.run(DEFAULT_DETECTOR, tmp_path, *less, *files, "--json"))
        assert facts[DEFAULT_DETECTOR]["AP all (2 faces)"] == 1
        assert facts[DEFAULT_DETECTOR]["AP <16 px (0 faces)"] is None
        assert plot.read_bytes().startswith(b"\x89PNG")
        assert "| AP all (2 faces) | 1.000 |" in markdown.read_text()

    def test_several_detectors_side_by_side(self, tmp_path: Path) -> None:
        write_portraits(tmp_path)
        less = ("--steady", 0, "--rounds", 0, "--side", 256, "--device", "cpu")
        head, first, *_ = self.run(DEFAULT_DETECTOR, DEFAULT_DETECTOR, tmp_path, *less).splitlines()
        assert head.split() == [DEFAULT_DETECTOR, DEFAULT_DETECTOR, "(2)"]
        assert first.split() == ["AP", "all", "(2", "faces)", "1.000", "1.000"]

    def test_a_table_that_cannot_be_written_is_named(self, tmp_path: Path) -> None:
        write_portraits(tmp_path)
        path = tmp_path / "nowhere" / "table.md"
        with pytest.raises(InputError, match=r"nowhere/table\.md cannot be written"):
            self.run(
                DEFAULT_DETECTOR,
                tmp_path,
                "--steady",
                0,
                "--rounds",
                0,
                "--device",
                "cpu",
                "--markdown",
                path,
            )


@pytest.mark.slow
def test_the_table_of_the_documents_and_the_drawn_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heldout, masks = tmp_path / "heldout", tmp_path / "masks"
    portrait = write_portraits(heldout)[0]
    write_portraits(masks)
    (masks / "images" / "b.png").rename(masks / "images" / IN_VALIDATION)
    write_labels(masks, [replace(portrait, image=IN_VALIDATION)])
    crowd = replace(portrait, faces=portrait.faces * benchmark.FEWEST_FACES)
    write_labels(heldout, [crowd])
    arguments = [
        "detectors",
        DEFAULT_DETECTOR,
        "--steady",
        "1",
        "--rounds",
        "1",
        "--draw",
        str(tmp_path / "drawn"),
    ]
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setenv("FACEPAINT_FACES", str(tmp_path))
    with redirect_stdout(io.StringIO()) as printed:
        assert benchmark.main() == 0
    table = printed.getvalue()
    assert f"on {DEFAULT_DETECTOR}: one thread" in table
    assert "| AP all (3 faces), longest side 640 | 0.333 |" in table
    assert "| AP all (1 faces), people with and without masks | 1.000 |" in table
    (drawn,) = (tmp_path / "drawn").iterdir()
    with Image.open(drawn) as image:
        assert image.size == (benchmark.PANEL_PX, benchmark.PANEL_PX + 28)


def test_the_table_needs_to_know_where_the_images_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FACEPAINT_FACES", raising=False)
    monkeypatch.setattr(sys, "argv", ["detectors", DEFAULT_DETECTOR])
    assert benchmark.main() == 2
    assert "FACEPAINT_FACES" in capsys.readouterr().err
