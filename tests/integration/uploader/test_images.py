"""A list of images becomes one job: each file, unchanged, is a segment."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from facepaint.errors import InputError, UsageError
from facepaint.jobs.state import JobKeys
from facepaint.looks.look import Look
from facepaint.looks.parser import parse_look
from facepaint.queue import Queue
from facepaint.records import keys
from facepaint.records.job import ImageJob, JobRecord, Sealed
from facepaint.records.segment import Segment
from facepaint.settings import Settings
from facepaint.store import Store
from uploader.images import image_names, upload_images
from uploader.upload import UploadProgress, UploadResult

LOOK = parse_look(["sunglasses"])

Upload = Callable[..., UploadResult]


@pytest.fixture
def upload(store: Store, queue: Queue, settings: Settings) -> Upload:
    def upload(paths: list[Path], look: Look = LOOK, **options: object) -> UploadResult:
        return upload_images(paths, look, store, queue, settings, **options)

    return upload


def images(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for number, path in enumerate(paths):
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (60 + number, 40), (9 * number, 80, 120)).save(path)
    return paths


def test_each_image_is_a_segment_that_holds_the_file(
    tmp_path: Path, upload: Upload, store: Store, queue: Queue
) -> None:
    paths = images(tmp_path, "one.jpg", "two.png", "three.webp")
    result = upload(paths)
    job = store.get_record(keys.job(result.job_id), JobRecord)
    assert isinstance(job, ImageJob)
    assert job.kind == "images"
    assert job.images == ("one.jpg", "two.png", "three.webp")
    assert job.source.name == "one.jpg and 2 more"
    assert store.get_record(keys.look(job.id, LOOK.id), Look) == LOOK
    for index, path in enumerate(paths):
        segment = store.get_record(keys.segment(job.id, index), Segment)
        assert (segment.start, segment.end, segment.decode_from) == (index, index + 1, index)
        assert [packet.size for packet in segment.packets] == [path.stat().st_size]
        assert store.get(keys.source(job.id, index)) == path.read_bytes()
    assert store.get_record(keys.sealed(job.id), Sealed) == Sealed(3)
    assert (result.segments, result.truncated, result.warnings) == (3, "", ())
    assert queue.length() == 3


def test_progress_counts_bytes_and_images(tmp_path: Path, upload: Upload) -> None:
    seen: list[UploadProgress] = []
    paths = images(tmp_path, "one.png", "two.png")
    upload(paths, on_progress=seen.append)
    assert [progress.bytes for progress in seen] == [
        paths[0].stat().st_size,
        sum(p.stat().st_size for p in paths),
    ]
    assert all(progress.total_bytes == seen[-1].bytes for progress in seen)


def test_repeated_names_get_a_number(tmp_path: Path) -> None:
    paths = images(
        tmp_path,
        "a/face.jpg",
        "b/face.jpg",
        "c/FACE.jpg",
        "face-2.jpg",
        "d/other.png",
        "e/other.gif",
    )
    assert image_names(paths) == (
        "face.jpg",
        "face-2.jpg",
        "FACE-3.jpg",
        "face-2-2.jpg",
        "other.png",
        "other-2.png",
    )


def test_a_sticker_is_stored_before_it_is_named(
    tmp_path: Path, upload: Upload, store: Store
) -> None:
    paths = images(tmp_path, "one.png", "sticker.png")
    result = upload(paths[:1], parse_look([f"sticker:{paths[1]}"]))
    (row,) = store.list(f"{keys.prefix(result.job_id)}looks/")
    (sha256,) = store.get_record(row.key, Look).stickers
    assert store.get(keys.sticker(sha256)) == paths[1].read_bytes()


def test_a_bad_sticker_leaves_no_job(tmp_path: Path, upload: Upload, store: Store) -> None:
    (tmp_path / "sticker.png").write_text("no image")
    with pytest.raises(InputError, match=r"sticker\.png"):
        upload(images(tmp_path, "one.png"), parse_look([f"sticker:{tmp_path / 'sticker.png'}"]))
    assert not list(store.list(keys.JOBS))


def test_an_empty_list_is_a_usage_error(upload: Upload, store: Store) -> None:
    with pytest.raises(UsageError, match="no image given"):
        upload([])
    assert not list(store.list(keys.JOBS))


def test_an_image_that_is_removed_during_the_upload_is_named(
    tmp_path: Path, upload: Upload, store: Store
) -> None:
    paths = images(tmp_path, "one.png", "two.png")

    def remove_the_second(_: UploadProgress) -> None:
        paths[1].unlink(missing_ok=True)

    with pytest.raises(
        InputError, match=r"two\.png cannot be read any more.*upload the images again"
    ):
        upload(paths, on_progress=remove_the_second)
    (job,) = store.list(keys.JOBS, folders=True)
    assert not JobKeys.read(row.key for row in store.list(job.key)).sealed
