"""Upload: what is stored and queued in which order, and how failures of services and files are
handled."""

import hashlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image
from pydantic import SecretStr

from benchmarks.clips import make_portrait_clip
from facepaint.errors import InputError, JobDeleted, QueueUnreachable, StoreUnreachable
from facepaint.jobs.maintenance import delete_job, resume_job
from facepaint.jobs.status import job_status
from facepaint.looks.look import Look
from facepaint.looks.parser import parse_look
from facepaint.queue import Queue
from facepaint.records import keys
from facepaint.records.job import Extras, JobRecord, Sealed
from facepaint.records.segment import Segment
from facepaint.retry import RetryPolicy
from facepaint.settings import Settings
from facepaint.store import Store
from tests.support.observed import ObservedQueue, ObservedStore
from uploader.upload import UploadProgress, UploadResult, upload

SEGMENTS = 12

BLUR = parse_look(["blur"])

IMPATIENT = RetryPolicy(first_delay_s=0.02, longest_delay_s=0.02, deadline_s=0.5)
"""Waits for the broker for less time than a user would want."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve segments of half a second, with audio."""
    path = tmp_path_factory.mktemp("clip") / "party.mp4"
    return make_portrait_clip(path, seconds=6, size=(160, 90), fps=20, gop=10, options={"bf": "2"})


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"segment_s": 0.5})


@pytest.fixture
def observed_services(
    settings: Settings, store: Store
) -> Iterator[tuple[ObservedStore, ObservedQueue, list[str]]]:
    """A store and a queue, and what is written to them in order, keys without the job's prefix."""
    events: list[str] = []
    observed = ObservedStore(settings, after_put=lambda key: events.append(key.split("/", 2)[-1]))
    queue = ObservedQueue(settings, events.append)
    yield observed, queue, events
    queue.app.close()


def segments_of(store: Store, job_id: str) -> list[Segment]:
    stored = sorted(job_status(store, job_id).keys.stored)
    return [store.get_record(keys.segment(job_id, index), Segment) for index in stored]


def assert_complete(store: Store, result: UploadResult, segments: int = SEGMENTS) -> None:
    """Everything that a worker needs is stored, with the recorded digests."""
    job = store.get_record(keys.job(result.job_id), JobRecord)
    records = segments_of(store, result.job_id)
    assert [record.index for record in records] == list(range(segments))
    assert job.start_pts == records[0].start
    assert (
        store.get_record(keys.sealed(result.job_id), Sealed).segments == segments == result.segments
    )
    assert store.get_record(keys.extras(result.job_id), Extras)
    for record in records:
        data = store.get(keys.source(result.job_id, record.index))
        assert hashlib.sha256(data).hexdigest() == record.sha256
        if record.audio:
            audio = store.get(keys.audio(result.job_id, record.index))
            assert hashlib.sha256(audio).hexdigest() == record.audio_sha256


def test_everything_is_stored_and_queued(
    clip: Path, store: Store, queue: Queue, settings: Settings
) -> None:
    shown: list[UploadProgress] = []
    result = upload(clip, BLUR, store, queue, settings, shown.append)
    assert_complete(store, result)
    assert result.warnings == ()
    assert queue.length() == SEGMENTS
    assert store.get_record(keys.look(result.job_id, BLUR.id), Look) == BLUR
    assert shown[-1] == UploadProgress(clip.stat().st_size, clip.stat().st_size, SEGMENTS)
    assert [progress.bytes for progress in shown] == sorted(progress.bytes for progress in shown)
    assert not any(progress.waiting for progress in shown)


def test_the_order_of_writing(
    clip: Path,
    observed_services: tuple[ObservedStore, ObservedQueue, list[str]],
    settings: Settings,
) -> None:
    """A record is stored after what it refers to."""
    store, queue, events = observed_services
    upload(clip, BLUR, store, queue, settings)
    at = {event: place for place, event in enumerate(events)}
    assert len(at) == len(events), "nothing twice"
    assert events[:2] == [f"looks/{BLUR.id}.json", "job.json"]
    for n in range(SEGMENTS):
        name = f"{n:06d}"
        assert at[f"source/{name}.bin"] < at[f"source/{name}.json"] < at[f"facepaint.detect {n}"]
        assert at[f"audio/{name}.bin"] < at[f"source/{name}.json"]
    assert [event for event in events if not event.startswith("facepaint.")][-2:] == [
        "extras.json",
        "sealed.json",
    ]


def test_a_segment_is_queued_once_all_before_it_are_stored(
    clip: Path, queue: Queue, settings: Settings
) -> None:
    """It may be decoded from them. Segments are stored concurrently, so a small one may overtake a
    large one."""
    overtaken = threading.Event()
    stored: list[str] = []
    queued: list[tuple[int, int]] = []

    def hold(key: str) -> None:
        if key.endswith("source/000001.bin"):
            assert overtaken.wait(30)

    def note(key: str) -> None:
        if "/source/" in key and key.endswith(".json"):
            stored.append(key.rpartition("/")[2])
            if stored[-1] == "000002.json":
                overtaken.set()

    def send(what: str) -> None:
        task, _, index = what.partition(" ")
        if task == "facepaint.detect":
            queued.append((int(index), sum(name <= f"{int(index):06d}.json" for name in stored)))

    observed = ObservedQueue(settings, send)
    upload(clip, BLUR, ObservedStore(settings, hold, note), observed, settings)
    observed.app.close()
    assert stored.index("000002.json") < stored.index("000001.json")
    assert queued == [(index, index + 1) for index in range(SEGMENTS)]


def test_the_first_segment_is_queued_while_the_file_is_being_read(
    clip: Path, store: Store, settings: Settings
) -> None:
    """No other segment is stored before: reading waits, with a few segments in memory."""
    queued = threading.Event()
    read: list[int] = []

    def hold(key: str) -> None:
        if key.endswith(".bin") and not key.endswith("000000.bin"):
            assert queued.wait(30)

    def send(what: str) -> None:
        if what == "facepaint.detect 0":
            seen.append(read[-1] if read else 0)
            queued.set()

    seen: list[int] = []
    queue = ObservedQueue(settings, send)
    result = upload(
        clip, BLUR, ObservedStore(settings, hold), queue, settings, lambda p: read.append(p.bytes)
    )
    queue.app.close()
    assert_complete(store, result)
    assert seen[0] < 0.7 * clip.stat().st_size


def test_a_sticker_is_stored_under_its_sha256(
    clip: Path, store: Store, queue: Queue, settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "my sticker.png"
    Image.new("RGBA", (40, 30), "gold").save(path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    result = upload(clip, parse_look([f"sticker:{path}"]), store, queue, settings)
    assert store.get(keys.sticker(sha256)) == path.read_bytes()
    (look,) = job_status(store, result.job_id).looks
    assert look.look is not None
    assert look.look.stickers == (sha256,)
    assert str(tmp_path) not in store.get(keys.look(result.job_id, look.id)).decode(), (
        "no name of the user's folders"
    )


def test_a_broker_that_stays_unreachable(
    clip: Path, store: Store, queue: Queue, settings: Settings
) -> None:
    """Everything is stored; `resume` queues it later."""
    shown: list[UploadProgress] = []
    away = ObservedQueue(
        settings.model_copy(update={"broker_url": SecretStr("redis://127.0.0.1:1/0")}),
        retry=IMPATIENT,
    )
    result = upload(clip, BLUR, store, away, settings, shown.append)
    away.app.close()
    assert_complete(store, result)
    assert len(result.warnings) == 1
    assert f"`facepaint resume {result.job_id}`" in result.warnings[0]
    assert any("127.0.0.1:1" in progress.waiting for progress in shown)
    assert queue.length() == 0
    resume_job(store, queue, result.job_id)
    assert queue.length() == SEGMENTS


def test_a_broker_that_comes_back(clip: Path, store: Store, settings: Settings) -> None:
    failures = iter(range(5))
    sent: list[str] = []

    def send(what: str) -> None:
        if next(failures, None) is not None:
            raise QueueUnreachable("the broker is being restarted")
        sent.append(what)

    queue = ObservedQueue(settings, send, IMPATIENT)
    result = upload(clip, BLUR, store, queue, settings)
    queue.app.close()
    assert_complete(store, result)
    assert result.warnings == ()
    assert sorted(sent) == sorted(f"facepaint.detect {n}" for n in range(SEGMENTS)), "each once"


def test_storage_that_is_unreachable_for_a_while(
    clip: Path, store: Store, queue: Queue, settings: Settings
) -> None:
    """At the start, in the middle and at the end."""
    outages = ["job.json", "source/000004.bin", "source/000006.json", "extras.json", "sealed.json"]
    shown: list[UploadProgress] = []

    def fail_once(key: str) -> None:
        ending = next((ending for ending in outages if key.endswith(ending)), None)
        if ending:
            outages.remove(ending)
            raise StoreUnreachable("the storage is being restarted")

    result = upload(clip, BLUR, ObservedStore(settings, fail_once), queue, settings, shown.append)
    assert outages == []
    assert_complete(store, result)
    assert result.warnings == ()
    assert any(progress.waiting == "the storage is being restarted" for progress in shown)
    assert shown[-1].waiting == ""


def test_storage_that_is_unreachable_at_the_start(
    clip: Path, store: Store, queue: Queue, settings: Settings
) -> None:
    away = Store(settings.model_copy(update={"s3_endpoint": "http://127.0.0.1:1"}))
    with pytest.raises(StoreUnreachable, match=r"does not answer.*`facepaint doctor` checks it"):
        upload(clip, BLUR, away, queue, settings)
    assert list(store.list("")) == []


def test_an_error_in_a_thread_is_raised_in_the_caller(
    clip: Path, store: Store, queue: Queue, settings: Settings
) -> None:
    def fail(key: str) -> None:
        if key.endswith("000003.json"):
            raise RuntimeError("an unexpected fault")

    with pytest.raises(RuntimeError, match="an unexpected fault"):
        upload(clip, BLUR, ObservedStore(settings, fail), queue, settings)
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("upload")]
    assert not any(row.key.endswith("sealed.json") for row in store.list("jobs/"))


def test_storage_that_stays_unreachable_ends_the_upload(
    clip: Path, queue: Queue, settings: Settings, store: Store
) -> None:
    def fail(key: str) -> None:
        if key.endswith("000003.json"):
            raise StoreUnreachable("the storage is gone")

    observed = ObservedStore(settings, fail, retry=RetryPolicy(deadline_s=0.0))
    with pytest.raises(StoreUnreachable, match="is gone"):
        upload(clip, BLUR, observed, queue, settings)


def test_an_interrupted_upload_can_be_resumed(
    clip: Path, store: Store, queue: Queue, settings: Settings
) -> None:
    whole = upload(clip, BLUR, store, queue, settings)

    def interrupt(progress: UploadProgress) -> None:
        if progress.segments >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upload(clip, BLUR, store, queue, settings, interrupt)
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("upload")]
    (job_id,) = {row.key.split("/")[1] for row in store.list("jobs/", folders=True)} - {
        whole.job_id
    }
    status = job_status(store, job_id)
    assert status.state == "uploading"
    assert 3 <= status.stored < SEGMENTS
    resumed = upload(clip, BLUR, store, queue, settings, resume=job_id)
    assert_complete(store, resumed)
    assert segments_of(store, job_id) == segments_of(store, whole.job_id)


def test_a_job_deleted_during_the_upload_leaves_no_objects(
    clip: Path, store: Store, queue: Queue, settings: Settings
) -> None:
    def delete(key: str) -> None:
        if key.endswith("000005.bin"):
            delete_job(store, key.split("/")[1])

    with pytest.raises(JobDeleted, match="deleted while it was being uploaded"):
        upload(clip, BLUR, ObservedStore(settings, delete), queue, settings)
    assert [row.key.split("/")[0] for row in store.list("")] == ["deleted"]


def with_subtitles(clip: Path, folder: Path, lines: list[str]) -> Path:
    """The clip with a subtitle line every tenth of a second, in Matroska."""
    text = "".join(
        f"{n + 1}\n00:00:0{n // 10},{n % 10}00 --> 00:00:0{n // 10},{n % 10}90\n{line}\n\n"
        for n, line in enumerate(lines)
    )
    (folder / "words.srt").write_text(text, encoding="utf-8")
    out = folder / "subtitled.mkv"
    with (
        av.open(str(clip)) as video,
        av.open(str(folder / "words.srt")) as words,
        av.open(str(out), "w") as target,
    ):
        sources = ((video, video.streams.video[0]), (words, words.streams.subtitles[0]))
        copies = [target.add_stream_from_template(stream) for _, stream in sources]
        for (source, stream), copy in zip(sources, copies, strict=True):
            for packet in source.demux(stream):
                if packet.size and packet.dts is not None:
                    packet.stream = copy
                    target.mux(packet)
    return out


@pytest.mark.parametrize(("rows", "kept"), [(1, 30), (2_000, 20)])
def test_subtitles_are_stored_whole_up_to_a_limit(
    rows: int,
    kept: int,
    clip: Path,
    store: Store,
    queue: Queue,
    settings: Settings,
    tmp_path: Path,
) -> None:
    lines = ["\n".join([f"Grüße {n}", *["." * 100] * (rows - 1)]) for n in range(30)]
    result = upload(with_subtitles(clip, tmp_path, lines), BLUR, store, queue, settings)
    (track,) = store.get_record(keys.extras(result.job_id), Extras).subtitles
    assert [data.decode() for _, _, data in track.packets] == lines[:kept]
    assert result.warnings == (
        (f"{30 - kept} subtitles are left out: there are too many",) if kept < 30 else ()
    )


def index_first(clip: Path, out: Path) -> Path:
    """The same MP4 with its index before the data, so that its beginning can be read alone."""
    with (
        av.open(str(clip)) as source,
        av.open(str(out), "w", options={"movflags": "faststart"}) as target,
    ):
        copies = {
            stream.index: target.add_stream_from_template(stream) for stream in source.streams
        }
        for packet in source.demux():
            if packet.size:
                packet.stream = copies[packet.stream.index]
                target.mux(packet)
    return out


@pytest.mark.parametrize("kind", ["mp4", "mkv", "flv", "ts", "avi"])
def test_data_that_ends_early(
    kind: str, store: Store, queue: Queue, settings: Settings, tmp_path: Path
) -> None:
    recipe: dict[str, Any] = {"codec": "mpeg4", "audio": None} if kind == "avi" else {}
    whole = tmp_path / f"whole.{kind}"
    make_portrait_clip(whole, seconds=4, size=(160, 90), fps=20, gop=10, **recipe)
    if kind == "mp4":
        whole = index_first(whole, tmp_path / "first.mp4")
    complete = upload(whole, BLUR, store, queue, settings)
    assert (complete.truncated, complete.warnings) == ("", ())
    cut = tmp_path / f"cut.{kind}"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    result = upload(cut, BLUR, store, queue, settings)
    assert 1 <= result.segments < complete.segments
    assert result.truncated
    assert result.warnings == (f"the file ended early: {result.truncated}",)
    assert_complete(store, result, result.segments)
    assert job_status(store, result.job_id).truncated == result.truncated
    kept, everything = (segments_of(store, job_id) for job_id in (result.job_id, complete.job_id))
    assert [record.sha256 for record in kept[:-1]] == [
        record.sha256 for record in everything[: len(kept) - 1]
    ]


def test_concatenated_recordings_are_one_job(
    store: Store, queue: Queue, settings: Settings, tmp_path: Path
) -> None:
    once = make_portrait_clip(tmp_path / "once.ts", seconds=2, size=(160, 90), fps=20, gop=10)
    twice = tmp_path / "twice.ts"
    twice.write_bytes(once.read_bytes() * 2)
    result = upload(twice, BLUR, store, queue, settings)
    assert result.warnings == (
        "the file holds 2 recordings, each with its own times: they are joined into one",
    )
    assert result.truncated == ""
    assert_complete(store, result, 8)


NAMES = [
    "a b.mp4",
    "Fest Ä ö ß 🎉.mp4",
    "-rf.mp4",
    "file:x.mp4",
    "concat:a|b.mp4",
    "100%03d.mp4",
    "what?*.mp4",
    "noending",
]


@pytest.mark.skipif(sys.platform == "win32", reason="such names are not allowed there")
@pytest.mark.parametrize("name", NAMES)
def test_any_name(
    name: str, store: Store, queue: Queue, settings: Settings, tmp_path: Path, clip: Path
) -> None:
    (tmp_path / name).symlink_to(clip)
    result = upload(tmp_path / name, BLUR, store, queue, settings)
    assert_complete(store, result)
    assert store.get_record(keys.job(result.job_id), JobRecord).source.name == name


def test_a_name_relative_to_the_working_folder(
    store: Store,
    queue: Queue,
    settings: Settings,
    tmp_path: Path,
    clip: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "-i.mp4").write_bytes(clip.read_bytes())
    (tmp_path / "-i.mp4").chmod(0o400)
    monkeypatch.chdir(tmp_path)
    assert_complete(store, upload(Path("-i.mp4"), BLUR, store, queue, settings))


def test_a_pipe_is_refused_at_once(
    store: Store, queue: Queue, settings: Settings, tmp_path: Path
) -> None:
    """Opening it would wait for a writer, and it cannot be read twice."""
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(InputError, match=r"pipe\.mp4 is a pipe or a device"):
        upload(tmp_path / "pipe.mp4", BLUR, store, queue, settings)
    with pytest.raises(InputError, match="/dev/null is a pipe or a device"):
        upload(Path("/dev/null"), BLUR, store, queue, settings)


def test_a_dangling_link_is_missing(
    store: Store, queue: Queue, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "link.mp4").symlink_to(tmp_path / "nowhere.mp4")
    with pytest.raises(InputError, match=r"link\.mp4 does not exist"):
        upload(tmp_path / "link.mp4", BLUR, store, queue, settings)
