"""The people of a video as the server sends them, and requests for tracking and new looks."""

import json
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from facepaint.looks.look import Look
from facepaint.queue import Queue
from facepaint.records import keys
from facepaint.records.job import VideoStream
from facepaint.records.results import Failed
from facepaint.settings import Settings
from facepaint.store import Store
from tests.support.live_viewer import live_viewer
from tests.support.made_job import MadeJob, make_audio, plain_job, stored_image_job

LEFT, RIGHT = (40.0, 30.0, 120.0, 130.0), (200.0, 45.0, 264.0, 135.0)


@pytest.fixture
def client(settings: Settings, store: Store) -> Iterator[httpx.Client]:
    """A client of a running viewer."""
    with live_viewer(settings, store) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


def people_of(client: httpx.Client, job_id: str) -> dict[str, Any]:
    answer = client.get(f"/api/jobs/{job_id}/people")
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def post(client: httpx.Client, path: str, body: Any, **headers: str) -> httpx.Response:
    return client.post(
        path, content=json.dumps(body), headers={"Content-Type": "application/json"} | headers
    )


def tracked_job(store: Store) -> MadeJob:
    """A job with two tracked people; nothing is painted yet."""
    made = detected_job(store)
    made.track([LEFT, RIGHT])
    return made


def detected_job(store: Store, **changes: Any) -> MadeJob:
    made = plain_job(store, 4.0, **changes).begin()
    made.upload(range(made.segments))
    made.seal()
    made.detect(range(made.segments))
    return made


def test_people_are_sent_with_their_times_and_portraits_of_the_source(
    client: httpx.Client, store: Store
) -> None:
    made = tracked_job(store)
    store.delete(keys.portrait(made.id, 2))

    content = people_of(client, made.id)

    assert content["state"] == "tracked"
    assert content["people"] == [
        {
            "number": 1,
            "first_s": 0,
            "last_s": 3.96,
            "best_s": 0,
            "low_confidence": False,
            "has_portrait": True,
        },
        {
            "number": 2,
            "first_s": 0,
            "last_s": 3.96,
            "best_s": 0,
            "low_confidence": False,
            "has_portrait": False,
        },
    ]
    assert {
        "name": "blur",
        "summary": "replaces the face by a strong blur",
        "redacts": True,
    } in content["filters"]
    assert "sticker" not in [row["name"] for row in content["filters"]]
    portrait = client.get(f"/api/jobs/{made.id}/people/1/portrait")
    assert portrait.content == store.get(keys.portrait(made.id, 1))
    assert (portrait.headers["content-type"], portrait.headers["cache-control"]) == (
        "image/jpeg",
        "no-store",
    )
    assert client.get(f"/api/jobs/{made.id}/people/2/portrait").status_code == 404


def test_boxes_are_shares_of_the_upright_frame_at_the_times_of_the_player(
    client: httpx.Client, store: Store
) -> None:
    made = detected_job(store, audio=[make_audio("aac", 4.0, Fraction(-1, 2))])
    turned = replace(
        made.job,
        video=VideoStream("h264", "avc1", b"", 180, 320, "yuv420p", made.time_base, rotation=90),
    )
    store.put_record(keys.job(made.id), turned)
    made.track([LEFT])
    lead_s = client.get(f"/api/jobs/{made.id}").json()["windows"]["times"][1][0] - 2

    first, second = (
        client.get(f"/api/jobs/{made.id}/tracks/{index}").json()["frames"] for index in range(2)
    )

    assert lead_s == pytest.approx(0.5, abs=0.03)
    face = [1, 0.125, 0.1667, 0.25, 0.5556]
    assert first[0] == [0, [face]]
    assert first[1] == [pytest.approx(0.04 + lead_s, abs=1e-5), [face]]
    assert second[0] == [pytest.approx(2 + lead_s, abs=1e-5), [face]]
    assert [len(first), len(second)] == [50, 50]


def test_the_reason_why_people_are_not_tracked_yet_is_sent(
    client: httpx.Client, store: Store
) -> None:
    made = plain_job(store, 4.0).begin()
    made.upload([0])
    uploading = people_of(client, made.id)
    other = plain_job(store, 4.0).begin()
    other.upload(range(2))
    other.seal()
    other.detect([0])

    assert (uploading["state"], uploading["people"]) == ("waiting", [])
    assert uploading["reason"] == "people are tracked when the upload is complete"
    assert people_of(client, other.id)["reason"].endswith(
        "face detection has finished: 1 of 2 segments"
    )
    assert post(client, f"/api/jobs/{other.id}/people", {}).status_code == 409


def test_people_are_requested_once_and_then_waited_for(
    client: httpx.Client, store: Store, queue: Queue
) -> None:
    made = detected_job(store)
    assert people_of(client, made.id)["state"] == "ready"

    answer = post(client, f"/api/jobs/{made.id}/people", {})

    assert (answer.status_code, answer.json()) == (202, {"state": "requested"})
    assert queue.length() == 1
    assert people_of(client, made.id) | {"filters": []} == {
        "state": "requested",
        "people": [],
        "filters": [],
        "reason": "",
        "workers": 0,
    }
    store.put_record(keys.tracks_failed(made.id), Failed(0, "the worker crashed 3 times", 3))
    failed = people_of(client, made.id)
    assert failed["state"] == "failed"
    assert f"`facepaint resume {made.id}` retries it" in failed["reason"]
    made.track([LEFT])
    assert people_of(client, made.id)["state"] == "tracked"


def test_a_request_that_the_broker_lost_is_repeated(
    settings: Settings, store: Store, queue: Queue
) -> None:
    made = detected_job(store)
    at_once = settings.model_copy(update={"visibility_timeout_s": 0})
    with live_viewer(at_once, store) as url, httpx.Client(base_url=url, timeout=30) as client:
        post(client, f"/api/jobs/{made.id}/people", {})
        queue.app.control.purge()
        assert people_of(client, made.id)["state"] == "requested"
        assert queue.length() == 1


def test_deleted_people_can_be_requested_again(client: httpx.Client, store: Store) -> None:
    made = detected_job(store)
    post(client, f"/api/jobs/{made.id}/people", {})
    made.track([LEFT])
    assert people_of(client, made.id)["state"] == "tracked"
    store.delete(keys.tracks(made.id))
    assert people_of(client, made.id)["state"] == "ready"


@pytest.mark.parametrize("selection", [{"keep": [2, 1, 2]}, {"only": [2]}], ids=["keep", "only"])
def test_a_new_look_names_the_selected_people_and_is_queued(
    client: httpx.Client, store: Store, queue: Queue, selection: dict[str, list[int]]
) -> None:
    made = tracked_job(store)

    answer = post(client, f"/api/jobs/{made.id}/looks", {"filters": ["mosaic:size=4"], **selection})

    assert answer.status_code == 201, answer.text
    look = store.get_record(keys.look(made.id, answer.json()["look"]), Look)
    assert (look.filters[0].name, look.filters[0].number("size")) == ("mosaic", 4)
    chosen = {name: sorted(set(numbers)) for name, numbers in selection.items()}
    assert look.people == tuple(*chosen.values())
    assert queue.length() == made.segments
    looks = client.get(f"/api/jobs/{made.id}", params={"look": look.id}).json()["looks"]
    added = next(row for row in looks if row["id"] == look.id)
    assert {"keep": added["keep"], "only": added["only"]} == {"keep": [], "only": []} | chosen
    again = post(client, f"/api/jobs/{made.id}/looks", {"filters": ["mosaic:size=4"], **selection})
    assert again.json() == {"look": look.id}


INVALID_LOOKS: list[tuple[Any, int, str]] = [
    ({"filters": ["blur"], "keep": [7]}, 422, "has no person 7"),
    ({"filters": ["blurr"]}, 422, "did you mean 'blur'?"),
    ({"filters": ["sticker:/etc/hostname"]}, 422, "use `facepaint repaint`"),
    ({"filters": []}, 422, "a look needs filters"),
    ({"filters": ["blur"] * 9}, 422, "a look needs filters"),
    ({"filters": "blur"}, 422, "a look needs filters"),
    ({"filters": ["blur"], "keep": ["1"]}, 422, "a look needs filters"),
    ({"filters": ["blur"], "keep": [True]}, 422, "a look needs filters"),
    ({"filters": ["blur"], "keep": [1], "only": [2]}, 422, "a look needs filters"),
    ([], 422, "a look needs filters"),
    ({"filters": ["x" * 20_000]}, 413, "exceeds 16 KiB"),
]


def test_an_invalid_look_is_refused_with_the_reason(
    client: httpx.Client, store: Store, queue: Queue
) -> None:
    made = tracked_job(store)

    for body, status, message in INVALID_LOOKS:
        answer = post(client, f"/api/jobs/{made.id}/looks", body)
        assert (answer.status_code, body) == (status, body)
        assert message in answer.json()["error"]

    assert [info.key for info in store.list(keys.looks(made.id))] == [
        keys.look(made.id, made.look.id)
    ]
    assert queue.length() == 0


FOREIGN_REQUESTS = [
    ({"Origin": "http://faces.example"}, 403),
    ({"Origin": "null"}, 403),
    ({"Sec-Fetch-Site": "cross-site"}, 403),
    ({"Sec-Fetch-Site": "same-site"}, 403),
    ({"Content-Type": "text/plain"}, 415),
    ({"Host": "faces.example"}, 421),
]


def test_requests_of_foreign_pages_are_refused(
    client: httpx.Client, store: Store, queue: Queue
) -> None:
    made = tracked_job(store)

    for headers, status in FOREIGN_REQUESTS:
        for path in ("looks", "people"):
            answer = post(client, f"/api/jobs/{made.id}/{path}", {"filters": ["crown"]}, **headers)
            assert (answer.status_code, headers) == (status, headers)

    assert queue.length() == 0


def test_a_viewer_that_is_not_on_loopback_shows_no_face_and_accepts_no_look(
    settings: Settings, store: Store
) -> None:
    made = tracked_job(store)
    published = settings.model_copy(update={"viewer_published_on": "192.0.2.1"})
    with live_viewer(published, store) as url, httpx.Client(base_url=url, timeout=30) as client:
        paths = ("people", "people/1/portrait", "tracks/0")
        answers = [client.get(f"/api/jobs/{made.id}/{path}") for path in paths]
        answers += [
            post(client, f"/api/jobs/{made.id}/{path}", {"filters": ["crown"]})
            for path in ("people", "looks")
        ]

        assert [answer.status_code for answer in answers] == [403] * 5
        assert "only in a viewer on a loopback address" in answers[0].json()["error"]
        assert client.get(f"/api/jobs/{made.id}").status_code == 200


def test_without_a_broker_a_look_is_refused_with_the_reason(
    settings: Settings, store: Store
) -> None:
    made = tracked_job(store)
    alone = settings.model_copy(update={"broker_url": SecretStr("redis://127.0.0.1:1/0")})
    with live_viewer(alone, store) as url, httpx.Client(base_url=url, timeout=30) as client:
        answer = post(client, f"/api/jobs/{made.id}/looks", {"filters": ["crown"], "only": [1]})

    assert answer.status_code == 503
    assert "127.0.0.1:1/0 does not answer; `facepaint doctor` checks it" in answer.json()["error"]


def test_images_have_no_people(client: httpx.Client, store: Store) -> None:
    job, _ = stored_image_job(store, ["one.png"])

    assert "not in images" in people_of(client, job.id)["reason"]
    assert client.get(f"/api/jobs/{job.id}/tracks/0").status_code == 404
    assert post(client, f"/api/jobs/{job.id}/people", {}).status_code == 409


def test_malformed_ids_never_become_keys(client: httpx.Client) -> None:
    for path in ("people", "people/1/portrait", "tracks/0"):
        assert client.get(f"/api/jobs/20260101T000000-AAAAAAAA/{path}").status_code == 404
        assert client.get(f"/api/jobs/20260101T000000-aaaaaaaa/{path}").status_code == 404


def test_a_look_with_a_sticker_that_is_not_stored_is_refused(
    client: httpx.Client, store: Store
) -> None:
    made = plain_job(store, 4.0).complete()
    path = f"/api/jobs/{made.id}/looks"
    answer = post(client, path, {"filters": [f"sticker:sha256={'a' * 64}"]})
    assert answer.status_code == 422
    assert "is not stored" in answer.json()["error"]
