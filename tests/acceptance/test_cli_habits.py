"""What users of command lines expect: safe text, files that are checked first, short ids."""

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.clips import make_portrait_clip
from facepaint.cli.batch import MAX_STEM_BYTES
from facepaint.cli.completion import filter_names, job_ids
from facepaint.cli.reservation import reserved
from facepaint.client import Client
from facepaint.errors import InputError, UnknownJob, UsageError
from facepaint.settings import Settings
from facepaint.store import Store
from facepaint.text import cut_to_bytes, printable
from tests.support.made_job import sealed_job

MAIN = (sys.executable, "-c", "from facepaint.cli.app import main; main()")


def run(*arguments: object, **options: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*MAIN, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        **options,  # type: ignore[call-overload]
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Holiday [final].mp4", "Holiday [final].mp4"),
        ("x[/]y", "x[/]y"),
        ("a\x1b[2Jb\r\nc", r"a\x1b[2Jb\x0d\x0ac"),
        ("evil\u202egpj.exe", r"evil\u202egpj.exe"),
        ("\x9b31m", r"\x9b31m"),
        ("bad\udc80byte", r"bad\udc80byte"),
        ("👩‍👩‍👧 日本.mp4", "👩‍👩‍👧 日本.mp4"),
    ],
)
def test_names_of_strangers_control_no_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_names_are_cut_between_characters() -> None:
    cut = cut_to_bytes("日" * 100, MAX_STEM_BYTES)
    assert cut == "日" * (MAX_STEM_BYTES // 3)


def test_hostile_names_are_listed_as_they_are(store: Store, settings: Settings) -> None:
    made = sealed_job(store, name="x[/]y \x1b[31m[final].mp4")
    listed = run("jobs", env=os.environ | settings.environment())
    assert listed.returncode == 0
    assert r"x[/]y \x1b[31m[final].mp4" in listed.stdout
    assert "\x1b" not in listed.stdout
    assert made.id in listed.stdout


def test_ids_may_be_shortened(store: Store, settings: Settings) -> None:
    made = sealed_job(store)
    client = Client(settings)
    assert client.job_of(made.id[:20]) == made.id
    other = sealed_job(store)
    with pytest.raises(InputError, match=made.id):
        client.job_of(made.id[:4])
    assert other.id[:4] == made.id[:4]
    with pytest.raises(UnknownJob, match="no job begins with 1999"):
        client.job_of("1999")
    with pytest.raises(UsageError, match="is not a job id"):
        client.job_of("../x")


def test_deleting_needs_a_yes_without_a_terminal(store: Store, settings: Settings) -> None:
    made = sealed_job(store)
    environment = os.environ | settings.environment()
    refused = run("delete", made.id, env=environment, stdin=subprocess.DEVNULL)
    assert refused.returncode == 2
    assert "needs --yes" in refused.stderr
    assert run("delete", made.id, "--yes", env=environment).returncode == 0


def test_completion_knows_filters_and_jobs(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "sunglasses" in dict(filter_names("sun"))
    made = sealed_job(store)
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert dict(job_ids(made.id[:4]))[made.id] == "holiday.mp4"
    monkeypatch.setenv("FACEPAINT_S3_ENDPOINT", "http://127.0.0.1:9")
    assert job_ids("") == []


def test_an_output_is_written_by_one_command_at_a_time(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    same = tmp_path / ".." / tmp_path.name / "out.mp4"
    with (
        reserved([target]),
        pytest.raises(UsageError, match="is being written by another"),
        reserved([same]),
    ):
        pass
    with reserved([target]):
        assert list(tmp_path.iterdir()) == [], "nothing is left beside the result"


def test_an_output_is_written_without_locks_where_the_system_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    """As on some network file systems."""

    def refuse(_: int, __: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with reserved([tmp_path / "out.mp4"]), reserved([tmp_path / "out.mp4"]):
        pass
    assert not recwarn.list


@pytest.mark.parametrize("name", ["x" * 260 + ".mp4", "missing/x.mp4"])
def test_an_output_that_cannot_be_written_is_refused_before_work(name: str, tmp_path: Path) -> None:
    clip = make_portrait_clip(tmp_path / "clip.mp4", seconds=0.4, size=(160, 90), audio=None)
    refused = run("run", clip, "-o", tmp_path / name, env=os.environ)
    assert refused.returncode == 2
    assert "cannot be written: " in refused.stderr
    assert "painted" not in refused.stderr


def test_a_data_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    home = tmp_path / "file" / "home"
    refused = run("up", env=os.environ | {"FACEPAINT_HOME": str(home)}, timeout=60)
    assert refused.returncode == 2
    assert f"the data folder {home} cannot be written" in refused.stderr
    assert "FACEPAINT_HOME" in refused.stderr


def test_characters_that_a_terminal_lacks_are_replaced() -> None:
    done = run("status", "😀", env=os.environ | {"PYTHONIOENCODING": "cp1252"})
    assert done.returncode in {2, 4}
    assert "this is a bug" not in done.stderr


def test_closed_standard_streams_do_no_harm() -> None:
    command = [*MAIN, "filters"]
    for redirection in ("2>&-", ">&-"):
        quoted = " ".join(f"'{part}'" for part in command)
        done = subprocess.run(
            ["sh", "-c", f"{quoted} {redirection}"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    piped = subprocess.run(
        ["sh", "-c", " ".join(f"'{part}'" for part in command) + " | head -1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in piped.stderr
    assert "bug" not in piped.stderr


def test_short_help() -> None:
    assert "FILE..." in run("run", "-h").stdout
    bad = run("run", "x.mp4", "--quality", "99")
    assert bad.returncode == 2
    assert "--quality" in bad.stderr
    assert "FACEPAINT_CRF" not in bad.stderr
