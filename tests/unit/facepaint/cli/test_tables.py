"""Tables off a terminal, as scripts and logs get them."""

import pytest

from facepaint.cli.tables import print_detectors


def test_cells_are_neither_cut_nor_markup(capsys: pytest.CaptureFixture[str]) -> None:
    summary = "[/b] [1080p] " + "x" * 200
    print_detectors([{"name": "tiny", "here": "yes", "licence": "MIT", "summary": summary}])
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["detector", "installed", "licence", "description"]
    assert row.rstrip().endswith(summary)
