"""The speed report and README's speed table: each ratio is the ratio of the rates beside it."""

import re
from collections import Counter

import pytest

from benchmarks.offload import Timing, report
from tests.support.paths import ROOT

README = ROOT / "README.md"


def test_ratios_are_those_of_the_printed_rates(capsys: pytest.CaptureFixture[str]) -> None:
    """The median of the ratios within a round would be 1.00."""
    rounds = [
        (Timing("offloaded", 1.0, ours), Timing("plain transcode", 1.0, theirs))
        for ours, theirs in [(100, 100), (150, 400), (500, 500)]
    ]
    report(rounds, Counter({"paint: decode": 1.0}), cores=2)
    offloaded = next(
        line for line in capsys.readouterr().out.splitlines() if line.startswith("offloaded")
    )
    assert "150.0 frames/s   0.38 of the transcode (within a round 0.38 to 1.00)" in offloaded


def test_the_table_of_the_readme_adds_up() -> None:
    rows = re.findall(r"^\| [^|]+ \| (\d+) \| (\d\.\d\d) \|$", README.read_text(), re.MULTILINE)
    assert len(rows) == 3
    transcode = int(rows[-1][0])
    for rate, ratio in rows:
        assert f"{int(rate) / transcode:.2f}" == ratio
