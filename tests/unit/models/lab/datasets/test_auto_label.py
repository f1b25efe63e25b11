"""Images and videos are labelled by the detector, for people to correct; labels are drawn."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from facepaint.cli.detectors import app
from facepaint.detectors.labels import (
    LabelledFace,
    LabelledImage,
    image_path,
    read_labels,
    write_labels,
)
from facepaint.errors import InputError, UsageError
from facepaint.records.detector_card import DEFAULT_DETECTOR
from models.boxes import iou
from models.lab.datasets.auto_label import TEACHER, Labeller, fill_landmarks, label
from models.lab.datasets.contact_sheet import (
    IGNORED,
    LEFT,
    RIGHT,
    Layout,
    draw_labels,
    save_contact_sheet,
)
from tests.support.labelled import ASTRONAUT_FACE, labelled_folder, save_astronaut, save_blank
from tests.unit.models.lab.datasets.test_frames import portrait, write_video


@pytest.fixture(scope="module")
def labeller() -> Labeller:
    """Its detectors are kept while images are of one size."""
    return Labeller(DEFAULT_DETECTOR, "cpu")


def halved(face: LabelledFace) -> LabelledFace:
    """As in the portrait at half its size."""
    assert face.landmarks is not None
    points = tuple(value / 2 for value in face.landmarks)
    x1, y1, x2, y2 = face.box
    return LabelledFace((x1 / 2, y1 / 2, x2 / 2, y2 / 2), points)


def check_is_astronaut(face: LabelledFace) -> None:
    true = halved(ASTRONAUT_FACE)
    assert iou(np.array([face.box]), np.array([true.box]))[0, 0] > 0.7
    assert face.landmarks is not None
    assert true.landmarks is not None
    assert np.abs(np.subtract(face.landmarks, true.landmarks)).max() < 6


def test_a_folder_of_images_is_labelled(tmp_path: Path, labeller: Labeller) -> None:
    save_astronaut(tmp_path / "in" / "trip" / "portrait.png", scale=0.5)
    save_blank(tmp_path / "in" / "grey.jpg", 256, 256)
    (tmp_path / "in" / "notes.txt").write_text("no image")
    work = label([tmp_path / "in"], tmp_path / "out", labeller)
    assert (work.pictures, work.faces, work.landmarks) == (2, 1, 1)
    by_name = {image.image: image for image in read_labels(tmp_path / "out")}
    assert by_name["grey.jpg"].faces == ()
    (face,) = by_name["trip/portrait.png"].faces
    check_is_astronaut(face)
    assert face.score is not None
    assert face.score > labeller.accept
    copy = image_path(tmp_path / "out", by_name["trip/portrait.png"])
    assert copy.read_bytes() == (tmp_path / "in" / "trip" / "portrait.png").read_bytes()


def test_corrections_stay_and_new_images_are_added(tmp_path: Path, labeller: Labeller) -> None:
    save_astronaut(tmp_path / "a" / "one.png", scale=0.5)
    save_astronaut(tmp_path / "b" / "one.png", scale=0.5, left=20)
    label([tmp_path / "a"], tmp_path / "out", labeller)
    corrected = [LabelledImage("one.png", 256, 256, (LabelledFace((1.0, 2.0, 3.0, 4.0)),))]
    write_labels(tmp_path / "out", corrected)
    again = label([tmp_path / "a", tmp_path / "b" / "one.png"], tmp_path / "out", labeller)
    assert again.pictures == 1
    first, second = read_labels(tmp_path / "out")
    assert first == corrected[0]
    assert second.image == "one-2.png"


def test_frames_of_a_video_have_their_origin_as_attributes(
    tmp_path: Path, labeller: Labeller
) -> None:
    write_video(tmp_path / "clip.mp4", [*[portrait("left")] * 10, *[portrait("right")] * 10])
    label([tmp_path / "clip.mp4"], tmp_path / "out", labeller, most=2)
    images = read_labels(tmp_path / "out")
    assert [image.attributes["video"] for image in images] == ["clip.mp4"] * 2
    for image in images:
        assert image.image == f"clip-{round(image.attributes['time_s'] * 1000):08d}ms.jpg"
        assert (image.width, image.height) == (160, 120)
    assert label([tmp_path / "clip.mp4"], tmp_path / "out", labeller, most=2).pictures == 0


def test_an_unusable_input_is_reported_and_the_others_are_labelled(
    tmp_path: Path, labeller: Labeller
) -> None:
    save_blank(tmp_path / "a.png", 64, 64)
    (tmp_path / "b.mp4").write_text("nothing of the kind")
    lines: list[str] = []
    label([tmp_path / "b.mp4", tmp_path / "a.png"], tmp_path / "out", labeller, report=lines.append)
    assert lines[0].startswith(f"facepaint: {tmp_path / 'b.mp4'} is not a readable video")
    assert lines[-1] == f"{tmp_path / 'a.png'}: 1 image, 0 faces"
    with pytest.raises(InputError, match="is not a readable video"):
        label([tmp_path / "b.mp4"], tmp_path / "out", labeller)
    with pytest.raises(UsageError, match="is among the inputs"):
        label([tmp_path / "out"], tmp_path / "out", labeller)


def test_landmarks_are_filled_and_nothing_else_changes(tmp_path: Path, labeller: Labeller) -> None:
    save_astronaut(tmp_path / "images" / "a.png", scale=0.5)
    bare = replace(halved(ASTRONAUT_FACE), landmarks=None, hard=True)
    ignored, elsewhere = replace(bare, ignore=True), LabelledFace((5.0, 5.0, 40.0, 40.0))
    own = LabelledFace((150.0, 150.0, 190.0, 190.0), tuple(map(float, range(10))))
    image = LabelledImage("a.png", 256, 256, (elsewhere, bare, own))
    write_labels(tmp_path, [image])
    work = fill_landmarks(tmp_path, labeller)
    assert (work.pictures, work.landmarks) == (1, 1)
    (filled,) = read_labels(tmp_path)
    check_is_astronaut(filled.faces[1])
    assert replace(filled.faces[1], landmarks=None, attributes={}) == bare
    assert filled.faces[1].attributes == {TEACHER: DEFAULT_DETECTOR}
    assert (filled.faces[0], filled.faces[2]) == (elsewhere, own)
    write_labels(tmp_path, [replace(image, faces=(ignored,))])
    assert fill_landmarks(tmp_path, labeller).landmarks == 0


def test_a_contact_sheet_has_a_cell_for_each_image(tmp_path: Path) -> None:
    labelled_folder(tmp_path / "data")
    layout = Layout(columns=3, cell=100, most=5)
    assert save_contact_sheet(tmp_path / "data", tmp_path / "sheet.png", layout) == 2
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None
    assert sheet.shape == (6 + 100 + 16 + 6, 2 * 106 + 6, 3)
    assert save_contact_sheet(tmp_path / "data", tmp_path / "faces.png", layout, faces=True) == 1
    write_labels(tmp_path / "data", [LabelledImage("event/empty.jpg")])
    with pytest.raises(InputError, match="has no faces to draw"):
        save_contact_sheet(tmp_path / "data", tmp_path / "faces.png", layout, faces=True)


def test_right_and_left_have_different_colours() -> None:
    grey = np.full((100, 100, 3), 128, np.uint8)
    points = (30.0, 30.0, 70.0, 30.0, 50.0, 50.0, 35.0, 70.0, 65.0, 70.0)
    drawn = draw_labels(grey, [LabelledFace((10.0, 10.0, 90.0, 90.0), points)], 2.0)
    assert drawn.shape == (200, 200, 3)
    assert tuple(drawn[60, 60]) == RIGHT
    assert tuple(drawn[60, 140]) == LEFT
    ignored = draw_labels(grey, [LabelledFace((10.0, 10.0, 90.0, 90.0), ignore=True)], 1.0)
    assert ignored[50, 10].tolist() == pytest.approx(IGNORED, abs=4)


def test_the_commands_label_convert_and_draw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_astronaut(Path("in") / "portrait.png", scale=0.5)

    def run(*words: str) -> tuple[str, str]:
        done = CliRunner().invoke(app, list(words), catch_exceptions=False)
        assert done.exit_code == 0
        return done.stdout, done.stderr

    out, err = run("label", "in", "--out", "set", "--device", "cpu")
    assert (out, err) == (
        "1 image: 1 face, 1 of them given landmarks, 0 to be ignored\n",
        "in: 1 image, 1 face\n",
    )
    out, err = run("convert", "set", "coco", "--to", "coco")
    assert (out, err) == ("coco: 1 image, 1 face, from facepaint\n", "")
    out, err = run("convert", "set", "wider", "--to", "wider")
    assert (
        err == "facepaint: left out, because wider cannot store it: landmarks of 1 face, "
        "score of 1 face\n"
    )
    out, _ = run("sheet", "set", "--out", "sheet.png")
    assert out == "sheet.png: 1 image\n"
    out, _ = run("label", "set", "--fill", "landmarks", "--device", "cpu", "--json")
    assert json.loads(out)["landmarks"] == 0


@pytest.mark.parametrize("words", [["in"], ["in", "--out", "set", "--fill", "landmarks"]])
def test_label_needs_a_folder_to_write_or_to_fill(words: list[str]) -> None:
    with pytest.raises(UsageError, match="--out FOLDER to create one, or --fill landmarks FOLDER"):
        CliRunner().invoke(app, ["label", *words], catch_exceptions=False)
