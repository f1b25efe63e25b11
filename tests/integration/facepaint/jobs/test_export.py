"""The faces of a job as CSV, JSON and COCO, and as a contact sheet."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from facepaint.cli.people_sheet import save_sheet
from facepaint.errors import InputError
from facepaint.jobs.export import WRITERS, export
from facepaint.records import keys
from facepaint.records.faces import Candidate, Faces, FrameFaces
from facepaint.records.job import Job
from facepaint.records.tracks import People, Person, TrackedFace, TrackedFrame, TrackedSegment
from facepaint.store import Store
from tests.support.made_job import MadeJob, image_job, plain_job

BOX = (100.0, 40.0, 140.0, 90.0)
POINTS = (110.0, 60.0, 130.0, 60.0, 120.0, 70.0, 112.0, 80.0, 128.0, 80.0)


@pytest.fixture
def made(store: Store) -> MadeJob:
    """4 s in two segments: a person with landmarks, detected in every other frame, and one of low
    confidence."""
    made = plain_job(store, 4.0).begin()
    for index in range(2):
        times = [pts for pts in made.times if made.cuts[index] <= pts < made.cuts[index + 1]]
        frames = []
        for number, pts in enumerate(times):
            found = number % 2 == 0
            faces = [
                TrackedFace(
                    1, 0 if found else None, 0.9 if found else 0.0, BOX, POINTS, -12.0, 3.5, 1.25
                )
            ]
            if number == 7:
                faces.append(TrackedFace(2, 1, 0.3, (0.0, 0.0, 9.5, 12.0)))
            frames.append(TrackedFrame(pts, tuple(faces)))
        store.put_record(keys.tracked(made.id, index), TrackedSegment(index, tuple(frames)))
    people = (
        Person(1, made.times[0], made.times[-1], 50, 0.9, 0, made.times[0], BOX),
        Person(
            2,
            made.times[7],
            made.times[57],
            2,
            0.3,
            0,
            made.times[7],
            (0.0, 0.0, 9.5, 12.0),
            low_confidence=True,
        ),
    )
    store.put_record(keys.tracks(made.id), People(people, 2))
    return made


def written(
    made: MadeJob,
    kind: str,
    tmp_path: Path,
    *,
    low_confidence: bool = False,
    job: Job | None = None,
) -> str:
    out = tmp_path / f"faces.{kind}"
    people = made.store.find_record(keys.tracks(made.id), People) or People((), 1)
    export(made.store, job or made.job, people, kind, out, low_confidence=low_confidence)
    assert [path.name for path in tmp_path.iterdir()] == [out.name], "nothing half written is left"
    return out.read_text()


def test_csv_has_a_row_for_each_face_of_each_frame(made: MadeJob, tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(written(made, "csv", tmp_path))))
    assert [int(row["pts"]) for row in rows] == list(made.times)
    first, second = rows[:2]
    assert (first["time_s"], second["time_s"], second["segment"], second["person"]) == (
        "0.0",
        "0.04",
        "0",
        "1",
    )
    assert (first["detected"], second["detected"], first["score"]) == ("1", "0", "0.9")
    assert [float(first[name]) for name in ("x1", "y1", "x2", "y2")] == list(BOX)
    assert (first["right_eye_x"], first["left_mouth_corner_y"]) == ("110.0", "80.0")
    assert (first["yaw"], first["pitch"], first["roll"]) == ("-12.0", "3.5", "1.25")
    everyone = list(
        csv.DictReader(io.StringIO(written(made, "csv", tmp_path, low_confidence=True)))
    )
    (one, _) = (row for row in everyone if row["person"] == "2")
    assert (one["right_eye_x"], one["yaw"], one["detected"]) == ("", "", "1")


def test_json_has_people_and_frames(made: MadeJob, tmp_path: Path) -> None:
    exported = json.loads(written(made, "json", tmp_path, low_confidence=True))
    assert (exported["job"], exported["width"], exported["height"], exported["time_base"]) == (
        made.id,
        320,
        180,
        "1/12800",
    )
    assert [person["number"] for person in exported["people"]] == [1, 2]
    assert len(exported["frames"]) == len(made.times)
    frame = exported["frames"][7]
    assert (frame["pts"], frame["time_s"], frame["segment"]) == (made.times[7], 0.28, 0)
    assert [face["person"] for face in frame["faces"]] == [1, 2]
    assert frame["faces"][0]["landmarks"] == list(POINTS)


def test_json_omits_people_of_low_confidence(made: MadeJob, tmp_path: Path) -> None:
    exported = json.loads(written(made, "json", tmp_path))
    assert [person["number"] for person in exported["people"]] == [1]


def test_an_output_that_cannot_be_written_is_an_error(made: MadeJob, tmp_path: Path) -> None:
    people = made.store.get_record(keys.tracks(made.id), People)
    (tmp_path / "file").touch()
    for out in (
        tmp_path / "file" / "faces.csv",
        tmp_path / "none" / "faces.csv",
        tmp_path / ("x" * 300),
    ):
        with pytest.raises(InputError, match="cannot be written"):
            export(made.store, made.job, people, "csv", out, low_confidence=False)


def test_coco_has_images_annotations_and_keypoints(made: MadeJob, tmp_path: Path) -> None:
    exported: dict[str, Any] = json.loads(written(made, "coco", tmp_path))
    images = {image["id"]: image for image in exported["images"]}
    assert len(images) == len(exported["images"]) == len(made.times)
    assert {image["pts"] for image in images.values()} == set(made.times)
    assert {(image["width"], image["height"]) for image in images.values()} == {(320, 180)}
    (category,) = exported["categories"]
    ids = [note["id"] for note in exported["annotations"]]
    assert ids == list(range(1, len(made.times) + 1))
    for note in exported["annotations"]:
        assert note["image_id"] in images
        assert note["category_id"] == category["id"]
        assert note["bbox"] == [100.0, 40.0, 40.0, 50.0]
        assert note["area"] == 2000.0
        assert len(note["keypoints"]) == 3 * len(category["keypoints"])
        assert note["num_keypoints"] == 5
        assert note["track_id"] == 1


@pytest.mark.parametrize("kind", WRITERS)
def test_faces_of_images_have_no_track(kind: str, store: Store, tmp_path: Path) -> None:
    made = plain_job(store)
    job = image_job(made.job, "one.png")
    faces = (Candidate(0.8, BOX, POINTS), Candidate(0.4, (0.0, 0.0, 9.5, 12.0), ()))
    store.put_record(
        keys.faces(made.id, 0), Faces(0, (FrameFaces(0, faces=faces),), "facepaint-1", "cpu")
    )
    text = written(made, kind, tmp_path, job=job)
    if kind == "csv":
        (row,) = csv.DictReader(io.StringIO(text))
        assert (row["image"], row["person"], row["score"]) == ("one.png", "", "0.8")
    elif kind == "json":
        (frame,) = json.loads(text)["frames"]
        assert (frame["image"], frame["faces"][0]["person"]) == ("one.png", None)
    else:
        exported = json.loads(text)
        assert exported["images"] == [{"id": 1, "file_name": "one.png"}]
        assert [note["bbox"] for note in exported["annotations"]] == [[100.0, 40.0, 40.0, 50.0]]
    assert "9.5" in written(made, kind, tmp_path, low_confidence=True, job=job)


def test_a_sheet_shows_everyone_with_their_number(made: MadeJob, tmp_path: Path) -> None:
    people = made.store.get_record(keys.tracks(made.id), People)
    red = io.BytesIO()
    Image.new("RGB", (160, 160), "red").save(red, "JPEG")
    save_sheet(tmp_path / "sheet.png", made.job, people.people, {1: red.getvalue()})
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = sheet.convert("RGB")
        assert pixels.getpixel((90, 90))[0] > 240, "the first has a portrait"
        assert pixels.getpixel((90 + 174, 90)) == (229, 231, 235), "the second has none"
        captions = [pixels.crop((x, 176, x + 160, 220)).getcolors(1 << 16) for x in (14, 188)]
        assert all(len(colours or ()) > 3 for colours in captions), "there are words below both"
    save_sheet(tmp_path / "empty.png", made.job, (), {})
    assert (tmp_path / "empty.png").stat().st_size > 0
