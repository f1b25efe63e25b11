"""The viewer's server on a real storage: JSON, media with ranges and caching, HLS, refused
requests."""

import contextlib
import hashlib
import io
import itertools
import math
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
import httpx
import numpy as np
import pytest

from facepaint.media.mp4 import init_length
from facepaint.records import keys
from facepaint.records.results import Painted
from facepaint.settings import Settings
from facepaint.store import Store
from tests.support.flashes import beeping
from tests.support.helpers import eventually
from tests.support.live_viewer import live_viewer
from tests.support.made_job import (
    RATE,
    MadeJob,
    heartbeat,
    in_adts,
    make_audio,
    paint_image,
    plain_job,
    stored_image_job,
    uneven_job,
)
from viewer.server.audio import copy_mime
from viewer.server.response import media_type
from viewer.server.serve import LimitedProtocol


@pytest.fixture
def client(settings: Settings, store: Store) -> Iterator[httpx.Client]:
    """A client of a running viewer."""
    with live_viewer(settings, store) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


def state_of(client: httpx.Client, made: MadeJob, **query: int | str) -> dict[str, Any]:
    answer = client.get(f"/api/jobs/{made.id}", params=query)
    assert answer.status_code == 200, answer.text
    state: dict[str, Any] = answer.json()
    return state


def test_the_state_of_a_job_lists_segments_by_stage_and_says_what_it_waits_for(
    client: httpx.Client, store: Store
) -> None:
    made = plain_job(store, audio=[make_audio()], filters=("sunglasses:scale=1.2", "crown")).begin()
    made.upload(range(3))
    made.detect(range(2))
    made.paint(range(1))

    state = state_of(client, made)

    assert state["state"] == "uploading"
    assert state["total"] is None
    assert state["segments"] == {
        "stored": [[0, 2]],
        "detected": [[0, 1]],
        "painted": [[0, 0]],
        "failed": [],
    }
    assert state["windows"] == {"from": 0, "times": [[0, 2], [2, 4], [4, 6]]}
    assert state["video"]["mime"].startswith('video/mp4; codecs="avc1.')
    assert state["video"]["aspect"] == pytest.approx(320 / 180)
    assert state["looks"] == [
        {
            "id": made.look.id,
            "title": "sunglasses + crown",
            "filters": ["sunglasses:scale=1.2", "crown"],
            "keep": [],
            "only": [],
            "state": "uploading",
            "painted": 1,
            "failed": 0,
            "blank": 0,
        }
    ]
    assert state["waiting"] == "No worker is running: `facepaint worker` starts one."


def test_only_windows_from_the_requested_segment_on_are_sent(
    client: httpx.Client, store: Store
) -> None:
    made = plain_job(store).complete()

    assert state_of(client, made, **{"from": 3})["windows"] == {"from": 3, "times": [[6, 8]]}


def test_the_segment_that_a_player_waits_for_is_looked_up_without_a_new_listing(
    client: httpx.Client, store: Store
) -> None:
    made = plain_job(store).begin()
    made.upload(range(4))
    made.detect(range(4))
    assert state_of(client, made, wait=0)["segments"]["painted"] == []
    made.paint([0])

    assert state_of(client, made, wait=0)["segments"]["painted"] == [[0, 0]]


def test_the_list_has_the_newest_job_first_and_no_deleted_ones(
    client: httpx.Client, store: Store
) -> None:
    made = [
        plain_job(store, id=f"20260101T00000{n}-aaaaaaaa", name=f"{n}.mp4").begin()
        for n in range(3)
    ]
    store.put(keys.deleted(made[1].id), b"")
    heartbeat(store)

    answer = client.get("/api/jobs").json()

    assert [row["name"] for row in answer["jobs"]] == ["2.mp4", "0.mp4"]
    assert answer["workers"] == 1


def test_an_unreadable_record_does_not_break_the_list_of_jobs(
    client: httpx.Client, store: Store
) -> None:
    made = plain_job(store).begin()
    store.put(keys.job("20200101T000000-aaaaaaaa"), b"{}")

    rows = client.get("/api/jobs").json()["jobs"]

    assert rows[0]["id"] == made.id
    assert "is not a Job record" in rows[1]["error"]


def test_a_painted_segment_is_served_whole_in_ranges_and_from_the_browsers_cache(
    client: httpx.Client, store: Store
) -> None:
    made = plain_job(store, 4.0).complete()
    url = f"/api/jobs/{made.id}/looks/{made.look.id}/segments/1"
    record = store.get_record(keys.painted(made.id, made.look.id, 1), Painted)

    whole = client.get(url)

    assert hashlib.sha256(whole.content).hexdigest() == record.sha256
    assert whole.headers["content-type"] == "video/mp4"
    assert "immutable" in whole.headers["cache-control"]
    part = client.get(url, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{record.bytes}"
    assert client.get(url, headers={"Range": "bytes=-5"}).content == whole.content[-5:]
    assert client.get(url, headers={"Range": f"bytes={record.bytes}-"}).status_code == 416
    assert client.get(url, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
    assert client.head(url).headers["content-length"] == str(record.bytes)


def test_a_segment_that_was_painted_again_is_found_under_its_new_name(
    client: httpx.Client, store: Store
) -> None:
    made = plain_job(store, 4.0).complete()
    url = f"/api/jobs/{made.id}/looks/{made.look.id}/segments/1"
    before = client.get(url)
    record = store.get_record(keys.painted(made.id, made.look.id, 1), Painted)
    moved = Painted(
        **{name: getattr(record, name) for name in Painted.__slots__}
        | {"name": "000001-abcdefabcdef.mp4"}
    )
    store.put(keys.painted_data(made.id, made.look.id, moved.name), before.content)
    store.put_record(keys.painted(made.id, made.look.id, 1), moved)
    store.delete(keys.painted_data(made.id, made.look.id, record.name))

    assert client.get(url).content == before.content


def joined_audio(client: httpx.Client, made: MadeJob, query: str = "") -> tuple[bytes, str]:
    """All segments of the first audio track behind one initialization section, and their MIME
    type."""
    answers = [
        client.get(f"/api/jobs/{made.id}/audio/0/{index}{query}") for index in range(made.segments)
    ]
    assert [answer.status_code for answer in answers] == [200] * made.segments
    data = [answer.content for answer in answers]
    joined = data[0] + b"".join(later[init_length(later) :] for later in data[1:])
    return joined, answers[0].headers["content-type"]


@pytest.mark.parametrize(
    ("codec", "mime"),
    [
        ("aac", 'audio/mp4; codecs="mp4a.40.2"'),
        ("libopus", 'audio/mp4; codecs="opus"'),
        pytest.param("libmp3lame", 'audio/mp4; codecs="mp4a.6B"', marks=pytest.mark.slow),
        pytest.param("flac", 'audio/mp4; codecs="flac"', marks=pytest.mark.slow),
    ],
)
def test_audio_that_browsers_play_is_copied_packet_by_packet_at_its_time(
    client: httpx.Client, store: Store, codec: str, mime: str
) -> None:
    made = plain_job(store, audio=[make_audio(codec)]).complete()

    joined, served_as = joined_audio(client, made)

    assert served_as == mime
    origin = round(Fraction(made.times[0]) * made.time_base * RATE)
    wanted = [
        (packet.pts - origin, body)
        for packet, body in made.audio[0].packets
        if (packet.pts or 0) >= origin
    ]
    with av.open(io.BytesIO(joined)) as container:
        found = [(packet.pts, bytes(packet)) for packet in container.demux(audio=0) if packet.size]
    assert found == wanted


@pytest.mark.parametrize(
    "codec",
    ["aac", *(pytest.param(name, marks=pytest.mark.slow) for name in ("pcm_s16le", "libmp3lame"))],
)
def test_encoded_audio_has_no_seam_no_shift_and_the_whole_length(
    client: httpx.Client, store: Store, codec: str
) -> None:
    made = plain_job(store, audio=[make_audio(codec)]).complete()

    joined, mime = joined_audio(client, made, "?as=aac")

    assert mime == 'audio/mp4; codecs="mp4a.40.2"'
    with av.open(io.BytesIO(joined)) as container:
        times = [packet.pts for packet in container.demux(audio=0) if packet.size]
    assert times == list(range(0, len(times) * 1024, 1024))
    assert 0 <= len(times) * 1024 - 8 * RATE <= 2 * 1024
    with av.open(io.BytesIO(joined)) as container:
        heard = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    middle = slice(4096, 8 * RATE - 8192)
    error = heard[middle] - beeping(8.0)[middle]
    assert np.sqrt(np.mean(error**2)) < 0.012
    seams = [2 * RATE * n for n in (1, 2, 3)]
    assert all(np.sqrt(np.mean(error[s - 6144 : s - 2048] ** 2)) < 0.03 for s in seams)


def test_audio_that_starts_late_and_ends_early_is_filled_with_silence(
    client: httpx.Client, store: Store
) -> None:
    made = plain_job(store, audio=[make_audio("aac", 3.0, Fraction(5, 2))]).complete()

    joined, _ = joined_audio(client, made)

    with av.open(io.BytesIO(joined)) as container:
        heard = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    loud = np.flatnonzero(np.abs(heard) > 0.2)
    assert loud[0] / RATE == pytest.approx(2.5, abs=0.03)
    assert loud[-1] / RATE == pytest.approx(2.5 + 2.1, abs=0.03)
    assert len(heard) / RATE == pytest.approx(8.0, abs=0.05)


def beeps(joined: bytes) -> list[float]:
    """When the beeps of a track begin, in seconds of the players' clock."""
    found: list[float] = []
    with av.open(io.BytesIO(joined)) as container:
        for frame in container.decode(audio=0):
            loud = np.flatnonzero(np.abs(frame.to_ndarray()[0]) > 0.2)
            if loud.size:
                time = float(frame.pts * frame.time_base) + int(loud[0]) / RATE
                if not found or time - found[-1] > 0.5:
                    found.append(time)
    return found


@pytest.mark.parametrize("query", ["", "?as=aac"])
def test_audio_before_the_first_frame_plays_while_that_frame_is_shown(
    client: httpx.Client, store: Store, query: str
) -> None:
    early = make_audio("aac", 5.0, Fraction(-844, 1000))
    made = plain_job(store, 4.0, audio=[early]).complete()
    lead = float(math.ceil(Fraction(844, 1000) / made.time_base) * made.time_base)

    state = state_of(client, made)
    joined, _ = joined_audio(client, made, query)

    assert state["windows"]["times"] == [
        [0, round(2 + lead, 6)],
        [round(2 + lead, 6), round(4 + lead, 6)],
    ]
    assert state["end_s"] == pytest.approx(5.0, abs=0.03)
    assert beeps(joined)[-4:] == pytest.approx([1, 2, 3, 4], abs=0.002)
    segments = [
        client.get(f"/api/jobs/{made.id}/looks/{made.look.id}/segments/{n}").content
        for n in range(2)
    ]
    with av.open(io.BytesIO(segments[0] + segments[1][init_length(segments[1]) :])) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    times = [float(packet.pts * packet.time_base) for packet in packets]
    assert times == pytest.approx([0, *(lead + number / 25 for number in range(1, 100))], abs=1e-6)
    assert float(packets[0].duration * packets[0].time_base) == pytest.approx(lead + 0.04, abs=1e-6)


@pytest.mark.parametrize("query", ["", "?as=aac"])
def test_aac_from_a_transport_stream_is_played(
    client: httpx.Client, store: Store, query: str
) -> None:
    plain = make_audio("aac", 4.0)
    made = plain_job(store, 4.0, audio=[in_adts(plain)]).complete()

    joined, mime = joined_audio(client, made, query)

    assert mime == 'audio/mp4; codecs="mp4a.40.2"'
    assert beeps(joined)[1:] == pytest.approx([1, 2, 3], abs=0.002)
    if not query:
        with av.open(io.BytesIO(joined)) as container:
            found = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
        assert found == [body for row, body in plain.packets][-len(found) :]
        assert len(plain.packets) - len(found) <= 1


def test_layer_2_under_the_name_of_mp3_is_not_copied(store: Store) -> None:
    real, other = make_audio("libmp3lame", 1.0).stream, make_audio("mp2", 1.0).stream

    assert copy_mime(replace(other, codec="mp3float")) == ""
    assert copy_mime(real) == 'audio/mp4; codecs="mp4a.6B"'


def test_the_encoder_delay_of_a_late_track_is_not_played(
    client: httpx.Client, store: Store
) -> None:
    late = make_audio("aac", 3.0, Fraction(5, 2))
    cut = replace(late, stream=replace(late.stream, skip_samples=RATE // 2))
    made = plain_job(store, audio=[cut]).complete()

    joined, _ = joined_audio(client, made)

    with av.open(io.BytesIO(joined)) as container:
        heard = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    # The first beep lies in the half second that is skipped, the second a second after it.
    assert np.flatnonzero(np.abs(heard) > 0.2)[0] / RATE == pytest.approx(3.5, abs=0.03)


def test_audio_is_not_served_before_the_next_segment_is_stored(
    client: httpx.Client, store: Store
) -> None:
    made = plain_job(store, audio=[make_audio()]).begin()
    made.upload(range(2))

    assert client.get(f"/api/jobs/{made.id}/audio/0/0").status_code == 200
    assert client.get(f"/api/jobs/{made.id}/audio/0/1").status_code == 404
    assert client.get(f"/api/jobs/{made.id}/audio/1/0").status_code == 404


def frame_times(url: str, kind: str = "video") -> list[Fraction]:
    """The packet times that FFmpeg reads from a playlist; it must not log a warning."""
    with av.logging.Capture() as logs, av.open(url) as container:
        stream = getattr(container.streams, kind)[0]
        times = [packet.pts * packet.time_base for packet in container.demux(stream) if packet.size]
    assert [text for level, _, text in logs if level <= av.logging.WARNING] == []
    return times


@pytest.mark.parametrize("make", [plain_job, uneven_job])
def test_an_hls_player_gets_every_frame_at_its_time(
    client: httpx.Client, store: Store, make: Any
) -> None:
    made = make(store).complete()

    times = frame_times(f"{client.base_url}jobs/{made.id}/{made.look.id}/master.m3u8")

    assert times == [(pts - made.times[0]) * made.time_base for pts in made.times]


def test_hls_has_the_audio_as_a_rendition_in_sync_with_the_video(
    client: httpx.Client, store: Store
) -> None:
    made = plain_job(store, audio=[make_audio("pcm_s16le")]).complete()
    url = f"{client.base_url}jobs/{made.id}/{made.look.id}/master.m3u8"

    frames, audio = frame_times(url), frame_times(url, "audio")

    assert frames[0] == audio[0] == 0
    assert len(frames) == 200
    assert [later - earlier for earlier, later in itertools.pairwise(audio)] == [
        Fraction(1024, RATE)
    ] * (len(audio) - 1)
    assert float(audio[-1]) == pytest.approx(8.0, abs=0.05)


def test_the_playlist_grows_at_its_end_and_is_closed_when_all_is_painted(
    client: httpx.Client, store: Store
) -> None:
    made = plain_job(store).begin()
    made.upload(range(4))
    made.detect(range(4))
    made.paint([0, 2])
    url = f"/jobs/{made.id}/{made.look.id}/video.m3u8"

    early = client.get(url).text
    made.paint([1, 3])
    made.seal()
    late = eventually(lambda: (text := client.get(url).text).endswith("#EXT-X-ENDLIST\n") and text)

    assert early.count("#EXTINF:2.000000,") == 1
    assert "ENDLIST" not in early
    assert late.startswith(early)
    assert late.count("#EXTINF:2.000000,") == 4


def test_a_failed_segment_is_a_gap_in_the_playlist(client: httpx.Client, store: Store) -> None:
    made = plain_job(store).begin()
    made.upload(range(4))
    made.paint([0, 2, 3])
    made.fail_painting(1)
    made.seal()

    lines = client.get(f"/jobs/{made.id}/{made.look.id}/video.m3u8").text.splitlines()

    assert lines[lines.index("#EXT-X-GAP") + 2] == "1.m4s"
    assert lines.count("#EXT-X-GAP") == 1
    assert lines[-1] == "#EXT-X-ENDLIST"


def test_images_are_served_with_their_own_type(client: httpx.Client, store: Store) -> None:
    job, look = stored_image_job(store, ["one.png", "two.png"])
    paint_image(store, job, look, 1)

    state = client.get(f"/api/jobs/{job.id}").json()
    image = client.get(f"/api/jobs/{job.id}/looks/{look.id}/segments/1")

    assert (state["kind"], state["video"], state["images"]) == (
        "images",
        None,
        ["one.png", "two.png"],
    )
    assert state["name"] == "one.png and 1 more"
    assert state["segments"]["painted"] == [[1, 1]]
    assert image.headers["content-type"] == "image/jpeg"
    assert client.get(f"/jobs/{job.id}/{look.id}/master.m3u8").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/api/jobs/20260101T000000-aaaaaaaa",
        "/api/jobs/..%2F..%2Fetc",
        "/jobs/20260101T000000-aaaaaaaa",
        "/jobs/nothing",
        "/api/jobs/20260101T000000-aaaaaaaa/looks/..%2f..%2fworkers/segments/0",
        "/api/jobs/20260101T000000-aaaaaaaa/looks/0123456789ab/segments/0",
        "/api/jobs/20260101T000000-aaaaaaaa/looks/0123456789ab/segments/-1",
        "/static/../web.py",
        "/static/%2e%2e/web.py",
        "/elsewhere",
        "/api/jobs/20260101T000000-aaaaaaaa/looks/0123456789ab/segments/" + "1" * 5000,
        "/api/jobs/20260101T000000-aaaaaaaa/people/" + "9" * 5000 + "/portrait",
    ],
)
def test_unknown_paths_jobs_and_looks_are_404(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_the_error_of_an_unknown_job_or_look_is_a_sentence(
    client: httpx.Client, store: Store
) -> None:
    made = plain_job(store).begin()

    job = client.get("/api/jobs/20260101T000000-aaaaaaaa")
    look = client.get(f"/api/jobs/{made.id}?look=0123456789ab")

    assert job.json() == {
        "error": "there is no job 20260101T000000-aaaaaaaa; `facepaint jobs` lists them"
    }
    assert look.status_code == 404
    assert look.json()["error"].startswith(f"job {made.id} has no look 0123456789ab")


def test_an_unreachable_storage_is_503_in_health_and_state(settings: Settings) -> None:
    away = settings.model_copy(update={"s3_endpoint": "http://127.0.0.1:9"})
    with live_viewer(away, Store(away)) as url, httpx.Client(base_url=url, timeout=30) as client:
        health = client.get("/healthz")
        jobs = client.get("/api/jobs")

    assert (health.status_code, jobs.status_code) == (503, 503)
    assert "does not answer" in health.json()["error"]


def test_health_is_ok_while_the_storage_answers(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8471", 200),
        ("localhost", 200),
        ("[::1]:8471", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example:8471", 421),
        ("evil.example:127.0.0.1", 421),
    ],
)
def test_on_loopback_only_loopback_host_names_are_accepted(
    client: httpx.Client, host: str, status: int
) -> None:
    assert client.get("/api/jobs", headers={"Host": host}).status_code == status


@pytest.mark.parametrize("path", ["/", "/static/logo.svg", "/api/jobs", "/elsewhere"])
def test_every_response_forbids_foreign_content(client: httpx.Client, path: str) -> None:
    headers = client.get(path).headers

    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_the_module_prints_its_address_serves_and_stops_on_sigterm(
    settings: Settings, store: Store
) -> None:
    command = [sys.executable, "-m", "viewer"]
    environment = {**settings.environment(), "FACEPAINT_VIEWER_PORT": "0"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[-1]
        try:
            assert eventually(lambda: httpx.get(f"{url}healthz").status_code) == 200
        finally:
            server.terminate()
        _, complaints = server.communicate(timeout=20)

    assert (server.returncode, complaints) == (0, "")


def test_the_error_of_a_taken_port_is_one_line_with_the_remedy(
    settings: Settings, client: httpx.Client
) -> None:
    environment = {**settings.environment(), "FACEPAINT_VIEWER_PORT": str(client.base_url.port)}

    ended = subprocess.run(
        [sys.executable, "-m", "viewer"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 2
    assert "FACEPAINT_VIEWER_PORT" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_complete_video_is_downloaded_as_one_file_under_its_name(
    client: httpx.Client, store: Store
) -> None:
    made = plain_job(store, 4.0, audio=[make_audio("aac", 4.0)], name='fête "1".mov').complete()

    answer = client.get(f"/jobs/{made.id}/download", params={"look": made.look.id})

    assert answer.status_code == 200, answer.text
    assert (
        answer.headers["content-disposition"]
        == "attachment; filename*=utf-8''f%C3%AAte%20%221%22-painted.mp4"
    )
    with av.open(io.BytesIO(answer.content)) as container:
        assert sum(1 for packet in container.demux(video=0) if packet.size) == 100
        assert len(container.streams.audio) == 1


def test_the_download_of_an_unfinished_video_fails_with_the_reason(
    client: httpx.Client, store: Store
) -> None:
    made = plain_job(store, 4.0).begin()
    made.upload(range(2))

    answer = client.get(f"/jobs/{made.id}/download", params={"look": made.look.id})

    assert answer.status_code == 409
    assert answer.json()["error"].startswith(
        f"job {made.id} is not complete yet: No worker is running"
    )


def test_a_file_that_differs_from_the_painted_segments_is_not_downloaded(
    client: httpx.Client, store: Store
) -> None:
    made = plain_job(store, 4.0).complete()
    key = keys.painted(made.id, made.look.id, 1)
    store.put_record(key, replace(store.get_record(key, Painted), frames=51))

    answer = client.get(f"/jobs/{made.id}/download", params={"look": made.look.id})

    assert answer.status_code == 409
    assert "frames: 1 frame of the source missing" in answer.json()["error"]


def test_media_run_nothing_when_they_are_opened_as_a_page(
    client: httpx.Client, store: Store
) -> None:
    made = plain_job(store, 4.0).complete()
    answer = client.get(f"/api/jobs/{made.id}/looks/{made.look.id}/segments/1")
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "script-src" in client.get(f"/jobs/{made.id}").headers["content-security-policy"]


@pytest.mark.parametrize("name", ["x.html", "x.svg", "x", "x.mp4.htm", ".mp4"])
def test_other_names_have_no_type_that_a_browser_shows(name: str) -> None:
    assert media_type(name) == "application/octet-stream"


def test_no_browser_keeps_the_segments_of_a_redacting_look(
    client: httpx.Client, store: Store
) -> None:
    for filters, cached in ((("blur",), "no-store"), (("dog",), "private, max-age=600, immutable")):
        made = plain_job(store, 4.0, filters=filters).complete()
        answer = client.get(f"/api/jobs/{made.id}/looks/{made.look.id}/segments/1")
        assert answer.headers["cache-control"] == cached


def test_connections_without_a_request_are_closed(
    settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LimitedProtocol, "header_s", 0.3)
    with live_viewer(settings, store) as url:
        address = httpx.URL(url)
        for first_bytes in (b"", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"):
            with socket.create_connection((address.host, address.port), timeout=10) as idle:
                idle.sendall(first_bytes)
                assert idle.recv(1) == b"", "closed by the server"
        assert httpx.get(url).status_code == 200


def test_idle_connections_do_not_make_the_server_deaf(
    settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LimitedProtocol, "max_connections", 20)
    monkeypatch.setattr(LimitedProtocol, "header_s", 1.0)
    with live_viewer(settings, store) as url, contextlib.ExitStack() as stack:
        address = httpx.URL(url)
        for _ in range(60):
            connection = socket.create_connection((address.host, address.port), timeout=10)
            stack.enter_context(connection)

        def answers() -> bool:
            try:
                return httpx.get(url, timeout=5).status_code == 200
            except httpx.HTTPError:
                return False

        eventually(answers, timeout_s=15)
