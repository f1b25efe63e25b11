"""A redacting look keeps only audio, subtitles, chapters and languages; a sticker also keeps tags.

Secrets are planted in everything else, and must not be among the bytes of the result.
"""

from collections.abc import Callable
from pathlib import Path

import av
import pytest

from facepaint.client import Client
from facepaint.looks.parser import parse_look
from facepaint.queue import Queue
from facepaint.records import keys
from facepaint.records.job import Extras, JobRecord
from facepaint.settings import Settings
from facepaint.store import Store
from tasks.context import WorkerContext
from tasks.detect import run_detect
from tasks.paint import run_paint
from tests.support.videos_with_secrets import (
    CREATED,
    KEPT,
    LACKING,
    SECRETS,
    mkv_with_secrets,
    mov_with_secrets,
    mp4_with_secrets,
)

SOURCES: dict[str, Callable[[Path], Path]] = {
    "mp4": mp4_with_secrets,
    "mov": mov_with_secrets,
    "mkv": mkv_with_secrets,
}

Paint = Callable[..., Path]


@pytest.fixture
def paint(store: Store, queue: Queue, settings: Settings, tmp_path: Path) -> Paint:
    """Upload, detect, paint and save: ``paint(source, look, suffix)``; the looks after the first
    are added later."""
    client, context = Client(settings), WorkerContext(store, queue, settings)

    def paint(source: Path, look: str, suffix: str = ".mp4", later: str = "") -> Path:
        result = client.upload(source, [look])
        shown = parse_look([later or look])
        store.put_record(keys.look(result.job_id, shown.id), shown)
        for task in (run_detect, lambda *where: run_paint(*where, shown.id)):
            for index in range(result.segments):
                task(context, result.job_id, index)
        return client.save(result.job_id, tmp_path / f"painted{suffix}", look=shown.id).path

    return paint


def found(path: Path, planted: dict[str, bytes] = SECRETS) -> set[str]:
    data = path.read_bytes()
    return {name for name, secret in planted.items() if secret in data}


@pytest.mark.parametrize("kind", SOURCES)
def test_everything_is_planted(kind: str, tmp_path: Path) -> None:
    assert SECRETS.keys() - found(SOURCES[kind](tmp_path / f"source.{kind}")) == LACKING[kind]


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [
        ("mp4", ".mp4"),
        ("mkv", ".mkv"),
        *(
            pytest.param(*pair, marks=pytest.mark.slow)
            for pair in (("mp4", ".mkv"), ("mov", ".mp4"), ("mkv", ".mp4"))
        ),
    ],
)
def test_a_redacting_look_lets_nothing_through(
    kind: str, suffix: str, tmp_path: Path, paint: Paint
) -> None:
    source = SOURCES[kind](tmp_path / f"SecretName.{kind}")
    result = paint(source, "blur", suffix)
    assert found(result) == set()
    assert b"SecretName" not in result.read_bytes()
    assert found(result, KEPT) == found(source, KEPT)
    with av.open(str(result)) as container, av.open(str(source)) as before:
        assert len(container.streams.video) == 1
        assert len(container.streams.audio) == len(before.streams.audio)
        assert not container.streams.attachments
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["KeptChapter"]
        assert "creation_time" not in container.metadata


@pytest.mark.parametrize("kind", ["mov", pytest.param("mkv", marks=pytest.mark.slow)])
def test_with_a_sticker_the_tags_are_kept(kind: str, tmp_path: Path, paint: Paint) -> None:
    source = SOURCES[kind](tmp_path / f"source.{kind}")
    result = paint(source, "sunglasses", ".mp4" if kind == "mov" else ".mkv")
    tags = {
        "title",
        "comment",
        "location",
        "com.apple.quicktime.location.ISO6709",
        "com.apple.quicktime.make",
    }
    assert found(result) >= tags | {"captions"}
    assert found(result).isdisjoint({"SEI", "second video", "attachment"})
    with av.open(str(result)) as container:
        assert container.metadata["creation_time"] == CREATED


def test_a_job_that_starts_with_redaction_stores_no_tags(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    """Where a video was taken stays with its owner, whatever look is added later."""
    job_id = Client(settings).upload(mp4_with_secrets(tmp_path / "source.mp4"), ["blur"]).job_id
    assert store.get_record(keys.extras(job_id), Extras).tags == {}
    assert [track.title for track in store.get_record(keys.job(job_id), JobRecord).audio] == [""]
    records = b"".join(
        store.get(row.key) for row in store.list(keys.prefix(job_id)) if row.key.endswith(".json")
    )
    assert not [secret for secret in SECRETS.values() if secret in records]


def test_ignored_tracks_are_reported(settings: Settings, store: Store, tmp_path: Path) -> None:
    result = Client(settings).upload(mp4_with_secrets(tmp_path / "source.mp4"), ["sunglasses"])
    expected = "left out: a cover image, which is not painted, a second video track, a data track"
    assert expected in result.warnings


@pytest.mark.slow
def test_a_redacting_look_that_is_added_later_lets_nothing_through(
    tmp_path: Path, paint: Paint
) -> None:
    assert (
        found(paint(mp4_with_secrets(tmp_path / "source.mp4"), "sunglasses", later="mosaic"))
        == set()
    )
