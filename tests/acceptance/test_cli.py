"""The commands as users and scripts run them: their output and exit codes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.clips import make_portrait_clip
from facepaint.settings import Settings
from facepaint.stack.processes import Child
from facepaint.store import Store
from tests.support.helpers import eventually
from tests.support.media_compare import changed_share, read_video
from tests.support.paths import ROOT
from tests.support.programs import FACEPAINT, run_facepaint

StartWorker = Callable[..., Child]
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def facepaint(settings: Settings, store: Store, tmp_path: Path) -> Command:
    def run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = run_facepaint(*arguments, environment=settings.environment(), cwd=tmp_path)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_portrait_clip(tmp_path / "party.mp4", seconds=3, size=(320, 180))


@pytest.mark.slow
def test_a_job_from_upload_to_delete(
    facepaint: Command, clip: Path, start_worker: StartWorker, tmp_path: Path
) -> None:
    start_worker()
    job = facepaint("upload", clip, "--filter", "sunglasses", "--wait").stdout.strip()
    (row,) = json.loads(facepaint("jobs", "--json").stdout)
    assert (row["job"], row["state"], row["input"]) == (job, "complete", "party.mp4")
    assert [look["filters"] for look in row["looks"]] == ["sunglasses"]
    assert job in facepaint("jobs").stdout
    status = json.loads(facepaint("status", job, "--json").stdout)
    assert status["state"] == "complete"
    assert status["looks"][0]["filters"] == "sunglasses"
    assert "painted" in facepaint("status", job).stdout
    saved = json.loads(facepaint("view", job, "--save", tmp_path / "out.mp4", "--json").stdout)
    assert saved["frames"] == 90
    refused = facepaint("view", job, "--save", tmp_path / "out.mp4", code=2)
    assert "--overwrite" in refused.stderr
    facepaint("view", job, "--save", tmp_path / "out.mp4", "--overwrite")
    assert "deleted" in facepaint("delete", job, "--yes").stdout
    assert facepaint("status", job, code=3).stderr.startswith(f"facepaint: there is no job {job}")
    assert json.loads(facepaint("jobs", "--json").stdout) == []


@pytest.mark.slow
def test_repaint_excludes_a_person_of_the_contact_sheet(
    facepaint: Command, clip: Path, start_worker: StartWorker, tmp_path: Path
) -> None:
    start_worker()
    job = facepaint("upload", clip, "--wait").stdout.strip()
    table = facepaint("faces", job, "--sheet", "sheet.png").stdout.splitlines()
    assert [line.split()[0] for line in table] == ["person", "1", "2", "sheet.png"]
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width == 2 * 174 + 14
        boxes = [sheet.crop((14 + 174 * place, 14, 174 + 174 * place, 174)) for place in (0, 1)]
        assert all(len(box.getcolors(1 << 16) or ()) > 500 for box in boxes), "both have a portrait"
    faces = json.loads(facepaint("faces", job, "--json").stdout)
    assert len(faces["frames"]) == 90
    facepaint("faces", job, "--csv", "--out", "faces.csv")
    columns = (tmp_path / "faces.csv").read_text().partition(",x1,")[0]
    assert columns == "pts,time_s,segment,person,score,detected"
    assert "--overwrite" in facepaint("faces", job, "--coco", "-o", "faces.csv", code=2).stderr
    refused = facepaint("repaint", job, "-f", "dog@7", code=2).stderr
    assert "has no person 7" in refused
    repaint = ("repaint", job, "-f", "fill", "--keep", 1)
    look = json.loads(facepaint(*repaint, "--save", "kept.mp4", "--json").stdout)["look"]
    status = json.loads(facepaint("status", job, "--json").stdout)
    filters = {row["look"]: row["filters"] for row in status["looks"]}
    assert filters[look] == "fill without 1"
    before, after = read_video(clip), read_video(tmp_path / "kept.mp4")
    boxes = {
        face["person"]: [round(side) for side in face["box"]]
        for face in faces["frames"][30]["faces"]
    }
    for person, (x1, y1, x2, y2) in boxes.items():
        share = changed_share(before.luma[30][y1:y2, x1:x2], after.luma[30][y1:y2, x1:x2])
        assert share < 0.05 if person == 1 else share > 0.3
    assert facepaint(*repaint, "--wait").stdout.strip() == look, "the same look has the same id"
    assert len(json.loads(facepaint("status", job, "--json").stdout)["looks"]) == 2


def test_painted_images_keep_their_names(
    facepaint: Command, start_worker: StartWorker, tmp_path: Path
) -> None:
    start_worker()
    names = ["one.png", "two.jpg", "three.webp"]
    for name in names:
        Image.new("RGB", (160, 120), "teal").save(tmp_path / name)
    job = json.loads(facepaint("upload", *names, "-f", "fill", "--wait", "--json").stdout)["job"]
    facepaint("view", job, "--save", tmp_path / "painted")
    assert sorted(path.name for path in (tmp_path / "painted").iterdir()) == sorted(names)


@pytest.mark.slow
def test_status_explains_what_a_resumed_job_waits_for(facepaint: Command, clip: Path) -> None:
    job = facepaint("upload", clip).stdout.strip()
    assert "No worker is running" in facepaint("status", job).stdout
    assert json.loads(facepaint("resume", job, "--json").stdout)["state"] == "working"


@pytest.mark.slow
def test_filters_lists_and_draws_the_catalogue(facepaint: Command, tmp_path: Path) -> None:
    listed = {row["name"] for row in json.loads(facepaint("filters", "--json").stdout)}
    assert {"sunglasses", "me-gusta", "blur", "sticker"} <= listed
    assert "moustache" in facepaint("filters").stdout
    facepaint("filters", "--preview", tmp_path / "gallery.png")
    with Image.open(tmp_path / "gallery.png") as gallery:
        assert gallery.width > 1000


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("status", "nonsense"), 2, "is not a job id"),
        (("status", "20260101T000000-aaaaaaaa"), 3, "facepaint jobs"),
        (("delete", "20260101T000000-aaaaaaaa", "--yes"), 3, "facepaint jobs"),
        (("view", "20260101T000000-aaaaaaaa", "--save", "x.mp4"), 3, "facepaint jobs"),
        (("worker", "--queues", "paint,draw"), 2, "paint, detect"),
        (("upload", "--filter", "blur:shape=star", "party.mp4"), 2, "ellipse, box"),
        (("upload", "--filter", "sunglases", "party.mp4"), 2, "did you mean 'sunglasses'?"),
        (
            ("repaint", "20260101T000000-aaaaaaaa", "-f", "dog", "--keep", "x"),
            2,
            "people are numbered from 1",
        ),
        (("faces", "20260101T000000-aaaaaaaa", "--csv", "--coco"), 2, "use one at a time"),
        (
            ("faces", "20260101T000000-aaaaaaaa", "--sheet", "nowhere/x.png"),
            2,
            "there is no folder nowhere",
        ),
        (("nonsense",), 2, "nonsense"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_usage_error_states_the_remedy(
    facepaint: Command, arguments: tuple[str, ...], code: int, words: str
) -> None:
    assert words in facepaint(*arguments, code=code).stderr


def test_an_unexpected_exception_is_reported_as_a_bug(clip: Path) -> None:
    broken = (
        "import facepaint.cli.app as c, facepaint.cli.paint as p; p.chosen_look = None; c.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", broken, "run", str(clip)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "this is a bug" in done.stderr


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_an_interrupted_run_stops_everything(
    number: signal.Signals, clip: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    process = subprocess.Popen(
        [*FACEPAINT, "run", str(clip), "-o", str(tmp_path / "out.mp4")],
        env={**os.environ, "FACEPAINT_HOME": str(home)},
        stderr=subprocess.PIPE,
    )
    states = eventually(lambda: list(home.glob("runs/*/connection.json")), 60)
    children = [
        child["pid"]
        for child in json.loads((states[0].parent / "stack.json").read_text())["children"]
    ]
    assert children
    process.send_signal(number)
    assert process.wait(60) == 130
    assert process.stderr is not None
    process.stderr.close()
    assert not list(home.glob("runs/*"))
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    assert not (tmp_path / "out.mp4").exists()


def test_help_and_version_need_no_services() -> None:
    assert "upload" in run_facepaint("--help").stdout
    assert run_facepaint("--version").stdout == "facepaint 0.1.0\n"


@pytest.mark.parametrize("shape", ["models/__init__.py", "tasks.py"])
def test_a_package_that_shadows_one_of_ours_is_an_error(tmp_path: Path, shape: str) -> None:
    """Another distribution has a package of the same name, earlier on the path."""
    other = tmp_path / shape
    other.parent.mkdir(exist_ok=True)
    other.write_text("")
    path = os.pathsep.join((str(tmp_path), str(ROOT)))
    shown = run_facepaint("jobs", environment={"PYTHONPATH": path}, cwd=tmp_path.parent)
    name = shape.partition("/")[0].removesuffix(".py")
    assert shown.returncode == 2
    assert shown.stderr.count("\n") == 1
    assert f"shadows facepaint's package '{name}'" in shown.stderr
    assert "pipx" in shown.stderr
