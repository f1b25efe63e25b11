"""The review page's server: what it saves, what it leaves alone, and what it refuses."""

import errno
import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from skimage import data

from facepaint.errors import InputError
from facepaint.labels import write_lines
from tests.helpers import eventually
from tests.live_viewer import live_app
from viewer import label_file
from viewer.label_file import LabelFile
from viewer.review import make_review_app

FACE = {"box": [178.0, 62.0, 270.0, 188.5], "score": 0.41}
OTHERS = {"camera": "left", "large": 2**60 + 1, "half a pair": "\ud800"}

LINES = [
    '{"image": "astronaut.jpg", "width": 512, "height": 512, "faces": [' + json.dumps(FACE | {"pose": OTHERS}) + "]}",
    '{ "faces":[],   "image":"day 1/Grün #2.jpg", "weather": "rain"}',
    '{"image": "turned.jpg", "faces": [{"box": [1, 2, 30, 40], "ignore": true}]}',
]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures made of the public-domain portrait; a phone's EXIF turns the last."""
    folder = tmp_path_factory.mktemp("pictures")
    portrait = Image.fromarray(data.astronaut())
    portrait.save(folder / "astronaut.jpg")
    (folder / "day 1").mkdir()
    portrait.resize((256, 256)).save(folder / "day 1" / "Grün #2.jpg", "PNG")
    exif = Image.Exif()
    exif[0x0112] = 6
    portrait.resize((320, 200)).save(folder / "turned.jpg", exif=exif)
    return folder


@pytest.fixture
def folder(tmp_path: Path, pictures: Path) -> Path:
    """A folder of labels; its pictures are elsewhere, as a link of the user's says."""
    folder = tmp_path / "faces"
    folder.mkdir()
    (folder / "images").symlink_to(pictures)
    (folder / "labels.jsonl").write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def client(folder: Path) -> Iterator[httpx.Client]:
    """A browser of the page."""
    with live_app(make_review_app(LabelFile(folder))) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


def read(client: httpx.Client, image: str) -> tuple[dict[str, Any], str]:
    """What the page is told of a picture, and the revision."""
    answer = client.get("/api/picture", params={"image": image})
    assert answer.status_code == 200, answer.text
    return answer.json(), answer.headers["etag"]


def save(
    client: httpx.Client, image: str, revision: str, faces: Any, reviewed: Any = False, **headers: str
) -> httpx.Response:
    headers = {"Content-Type": "application/json", "If-Match": revision} | headers
    body = json.dumps({"faces": faces, "reviewed": reviewed})
    return client.put("/api/picture", params={"image": image}, content=body, headers=headers)


def lines(folder: Path, name: str = "labels.jsonl") -> list[str]:
    return (folder / name).read_text(encoding="utf-8").splitlines()


def test_an_edit_changes_one_line_and_the_original_file_is_kept_once(client: httpx.Client, folder: Path) -> None:
    told, revision = read(client, "astronaut.jpg")
    moved = told["faces"][0] | {"box": [180.5, 62, 270, 188.5]}

    first = save(client, "astronaut.jpg", revision, [moved], reviewed=True)
    second = save(client, "astronaut.jpg", first.headers["etag"], [moved, {"box": [1, 1, 9, 9]}], reviewed=True)

    assert (first.status_code, second.status_code) == (200, 200)
    assert lines(folder)[1:] == LINES[1:]
    assert lines(folder, "labels.jsonl.orig") == LINES
    told, revision = read(client, "astronaut.jpg")
    assert revision == second.headers["etag"]
    assert told["reviewed"] is True
    assert [face["box"] for face in told["faces"]] == [[180.5, 62, 270, 188.5], [1, 1, 9, 9]]
    assert {path.name for path in folder.iterdir()} == {"images", "labels.jsonl", "labels.jsonl.orig"}


def test_what_the_page_does_not_know_survives(client: httpx.Client, folder: Path) -> None:
    told, revision = read(client, "astronaut.jpg")
    save(client, "astronaut.jpg", revision, told["faces"], reviewed=True)
    told, revision = read(client, "day 1/Grün #2.jpg")
    saved = save(client, "day 1/Grün #2.jpg", revision, [{"box": [1, 2, 3, 4], "landmarks": list(range(10))}], True)
    save(client, "day 1/Grün #2.jpg", saved.headers["etag"], [], False)

    rows = [json.loads(line) for line in lines(folder)]
    assert (rows[0]["width"], rows[0]["height"]) == (512, 512)
    assert rows[0]["faces"] == [FACE | {"attributes": {"pose": OTHERS}}]
    assert rows[1] == {"image": "day 1/Grün #2.jpg", "attributes": {"weather": "rain"}, "faces": []}


def test_who_comes_second_is_told_and_overwrites_nothing(client: httpx.Client, folder: Path) -> None:
    told, revision = read(client, "astronaut.jpg")
    assert save(client, "astronaut.jpg", revision, []).status_code == 200
    after = lines(folder)

    late = save(client, "astronaut.jpg", revision, told["faces"])

    assert late.status_code == 412
    assert late.json() == {"error": "the labels of astronaut.jpg were changed by another; read them again"}
    assert lines(folder) == after
    assert save(client, "astronaut.jpg", read(client, "astronaut.jpg")[1], told["faces"]).status_code == 200


def test_what_another_program_writes_is_seen_and_kept(client: httpx.Client, folder: Path) -> None:
    _, revision = read(client, "astronaut.jpg")
    added = '{"image": "new.jpg", "width": 9, "height": 9, "faces": []}'
    (folder / "labels.jsonl").write_text("\n".join([*reversed(LINES), added]) + "\n", encoding="utf-8")

    saved = save(client, "astronaut.jpg", revision, [])

    assert saved.status_code == 200
    assert lines(folder)[:2] == [LINES[2], LINES[1]]
    assert lines(folder)[3] == added
    assert read(client, "new.jpg")[0]["width"] == 9

    (folder / "labels.jsonl").write_text('{"image": "astron', encoding="utf-8")
    broken = save(client, "astronaut.jpg", saved.headers["etag"], [])
    assert broken.status_code == 503
    assert "labels.jsonl, line 1 is no JSON" in broken.json()["error"]
    assert lines(folder) == ['{"image": "astron']


def test_an_edit_that_cannot_be_written_can_be_tried_again(
    client: httpx.Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path, lines: Iterable[str]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    _, revision = read(client, "astronaut.jpg")
    with monkeypatch.context() as patch:
        patch.setattr(label_file, "write_lines", full)
        failed = save(client, "astronaut.jpg", revision, [])

    assert failed.status_code == 503
    assert failed.json() == {"error": f"{folder / 'labels.jsonl'} cannot be written: No space left on device"}
    assert lines(folder) == LINES
    assert save(client, "astronaut.jpg", revision, []).status_code == 200


NO_FACES: list[tuple[Any, str]] = [
    ([{"box": [1, 2, 3]}], "the edit: faces.0.box.3: Field required"),
    ([{"box": [30, 2, 3, 4]}], "x1, y1, x2, y2"),
    ([{"box": [1, 2, 3, 4], "landmarks": [1, 2]}], "the edit: faces.0.landmarks.2: Field required"),
    ([{"box": [1, 2, 3, float("nan")]}], "the edit is no JSON: NaN is no number there"),
    ([{"box": [1, 2, 3, 4], "attributes": '{"yaw": 1e999}'}], "the edit is no JSON: Infinity is no number there"),
    ([7], "an edit is faces and whether they are reviewed"),
    (None, "an edit is faces and whether they are reviewed"),
]


def test_what_is_no_face_is_refused_and_nothing_is_written(client: httpx.Client, folder: Path) -> None:
    _, revision = read(client, "astronaut.jpg")

    for faces, said in NO_FACES:
        answer = save(client, "astronaut.jpg", revision, faces)
        assert answer.status_code == 422
        assert said in answer.json()["error"]
    assert lines(folder) == LINES
    assert not (folder / "labels.jsonl.orig").exists()


def test_only_its_own_page_on_this_machine_is_served(client: httpx.Client, folder: Path) -> None:
    _, revision = read(client, "astronaut.jpg")

    assert client.get("/api/folder", headers={"Host": "faces.example"}).status_code == 421
    assert save(client, "astronaut.jpg", revision, [], Host="faces.example").status_code == 421
    assert save(client, "astronaut.jpg", revision, [], Origin="http://faces.example").status_code == 403
    assert save(client, "astronaut.jpg", revision, [], **{"Content-Type": "text/plain"}).status_code == 415
    assert save(client, "astronaut.jpg", "", []).status_code == 428
    assert lines(folder) == LINES
    page = client.get("/")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["cross-origin-resource-policy"] == "same-origin"


def test_only_pictures_that_the_labels_name_are_served(client: httpx.Client) -> None:
    for image in ("../labels.jsonl", "/etc/hostname", "other.jpg", "", "turned.jpg/../astronaut.jpg"):
        for path in ("/picture", "/thumbnail", "/api/picture"):
            assert client.get(path, params={"image": image}).status_code == 404


def test_a_folder_without_labels_or_with_such_that_lead_out_of_it_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "labels.jsonl").write_text(f'{LINES[0]}\n{{"image": "../secret.jpg", "faces": []}}\n')

    with pytest.raises(InputError, match=r"labels\.jsonl, line 2: '\.\./secret\.jpg' is no"):
        LabelFile(folder)
    (folder / "labels.jsonl").write_text('{"image": "a.jpg", "faces": [], "yaw": NaN}\n')
    with pytest.raises(InputError, match=r"labels\.jsonl, line 1 is no JSON: NaN is no number there"):
        LabelFile(folder)
    (folder / "labels.jsonl").write_text('{"image": "a.jpg", "faces": [], "yaw": 1e999}\n')
    with pytest.raises(InputError, match=r"labels\.jsonl, line 1 is no JSON: 1e999 is no number there"):
        LabelFile(folder)
    with pytest.raises(InputError, match=r"holds no labels\.jsonl; make one with"):
        LabelFile(tmp_path)


def test_pictures_come_by_the_type_of_their_data(client: httpx.Client, folder: Path, pictures: Path) -> None:
    png = client.get("/picture", params={"image": "day 1/Grün #2.jpg"})
    assert png.headers["content-type"] == "image/png"
    assert png.headers["x-content-type-options"] == "nosniff"
    assert png.content == (pictures / "day 1" / "Grün #2.jpg").read_bytes()

    small = Image.open(io.BytesIO(client.get("/thumbnail", params={"image": "turned.jpg"}).content))
    assert small.size == (80, 128)
    assert (read(client, "turned.jpg")[0]["width"], read(client, "turned.jpg")[0]["height"]) == (200, 320)

    script = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    (folder / "images").unlink()
    (folder / "images").mkdir()
    (folder / "images" / "astronaut.jpg").write_text(script)
    for path in ("/picture", "/thumbnail"):
        assert client.get(path, params={"image": "astronaut.jpg"}).status_code == 422
        assert client.get(path, params={"image": "turned.jpg"}).status_code == 422  # gone


def test_the_list_tells_what_its_filters_need(client: httpx.Client) -> None:
    told = client.get("/api/folder").json()

    assert told["name"] == "faces"
    assert told["pictures"] == [
        ["astronaut.jpg", 1, 0.41, False],
        ["day 1/Grün #2.jpg", 0, None, False],
        ["turned.jpg", 1, None, False],
    ]


@pytest.mark.slow
def test_ten_thousand_pictures_are_listed_and_edited(tmp_path: Path) -> None:
    face = '{"box": [1.5, 2.0, 30.0, 40.0], "score": 0.9}'
    many = [f'{{"image": "{index:05}.jpg", "width": 99, "height": 99, "faces": [{face}]}}' for index in range(10_000)]
    write_lines(tmp_path, many)

    with live_app(make_review_app(LabelFile(tmp_path))) as url, httpx.Client(base_url=url, timeout=30) as client:
        listed = client.get("/api/folder")
        _, revision = read(client, "05000.jpg")
        assert save(client, "05000.jpg", revision, []).status_code == 200

    assert len(listed.json()["pictures"]) == 10_000
    assert len(listed.content) < 500_000
    assert lines(tmp_path)[:5000] == many[:5000]
    assert lines(tmp_path)[5001:] == many[5001:]


def test_the_command_serves_a_folder_until_it_is_interrupted(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "facepaint", "detectors", "review", folder, "--no-open", "--port", "0"]
    log = tmp_path / "log"
    with log.open("w") as out, subprocess.Popen(command, stdout=out) as server:
        url = eventually(lambda: log.read_text().strip(), 30)
        assert eventually(lambda: httpx.get(url).status_code == 200, 20)
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0
