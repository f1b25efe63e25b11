"""Labels go into the formats of other tools and come back."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from facepaint.detectors.labels import LabelledFace, LabelledImage, read_labels
from facepaint.errors import InputError, UsageError
from models.lab.datasets import FORMATS, Source, detect_format
from models.lab.datasets.convert import Converted, convert, write
from models.lab.datasets.wider import GRADES
from tests.support.labelled import (
    ASTRONAUT_FACE,
    labelled_folder,
    labelled_images,
    save_blank,
)

OTHERS = [name for name in FORMATS if name != "facepaint"]


def storable(kind: str, face: LabelledFace) -> LabelledFace:
    """What a format can store of a face."""
    if kind != "wider":
        return face
    # Only box, ignored and the grades: whole numbers, of which 0 is the default.
    grades = {name: face.attributes.get(name) for name in GRADES}
    kept = {name: grade for name, grade in grades.items() if type(grade) is int and grade}
    return LabelledFace(face.box, ignore=face.ignore, attributes=kept)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=12)
@given(images=labelled_images())
def test_a_round_trip_keeps_what_the_format_can_store(
    name: str, images: list[LabelledImage], tmp_path_factory: pytest.TempPathFactory
) -> None:
    kind, folder = FORMATS[name], tmp_path_factory.mktemp("labels")
    files = {}
    for image in images:
        files[image.image] = folder / "before" / image.image
        assert image.width is not None
        assert image.height is not None
        save_blank(files[image.image], image.width, image.height)
    notes = write(kind, folder / "written", images, files)
    assert detect_format(folder / "written") is kind
    imported = kind.read(Source(folder / "written"))
    for image in images:
        read_back = imported.files[image.image].read_bytes()
        assert read_back == files[image.image].read_bytes()
    faces = {image.image: image.faces for image in images}
    stored = {image: tuple(storable(name, face) for face in some) for image, some in faces.items()}
    assert {image.image: image.faces for image in imported.images} == stored
    if not notes:
        assert without_zeros(stored) == without_zeros(faces), "no loss without a note"


def without_zeros(faces: dict[str, tuple[LabelledFace, ...]]) -> list[dict[str, Any]]:
    """All faces without grades of 0, the default."""
    rows = [asdict(face) for some in faces.values() for face in some]
    for row in rows:
        attributes = row["attributes"].items()
        row["attributes"] = {key: value for key, value in attributes if repr(value) != "0"}
    return rows


def converted(folder: Path, to: str, **options: Any) -> tuple[Converted, Path]:
    out = folder / f"as-{to}"
    return convert(Source(folder / "data"), out, to, **options), out


@pytest.mark.parametrize("name", OTHERS)
def test_convert_writes_images_and_labels_and_brings_them_back(name: str, tmp_path: Path) -> None:
    before = labelled_folder(tmp_path / "data")
    result, out = converted(tmp_path, name)
    assert (result.images, result.faces, result.kind) == (2, 1, "facepaint")
    again = convert(Source(out), tmp_path / "back", "facepaint", complete_from=tmp_path / "data")
    assert again.kind == name
    assert sorted(read_labels(tmp_path / "back"), key=lambda one: one.image) == sorted(
        before, key=lambda one: one.image
    )
    for image in before:
        there = (tmp_path / "back" / "images" / image.image).read_bytes()
        assert there == (tmp_path / "data" / "images" / image.image).read_bytes()


def test_a_note_counts_what_the_format_cannot_store(tmp_path: Path) -> None:
    labelled_folder(tmp_path / "data")
    result, _ = converted(tmp_path, "wider")
    assert result.notes == ["left out, because wider cannot store it: landmarks of 1 face"]
    assert converted(tmp_path, "coco")[0].notes == []


def test_files_are_not_overwritten_without_the_option(tmp_path: Path) -> None:
    labelled_folder(tmp_path / "data")
    out = tmp_path / "as-coco"
    out.mkdir()
    (out / "mine.txt").write_text("precious")
    with pytest.raises(UsageError, match=r"is not empty.*--overwrite"):
        converted(tmp_path, "coco")
    converted(tmp_path, "coco", overwrite=True)
    assert (out / "mine.txt").read_text() == "precious"
    with pytest.raises(UsageError, match="is the input"):
        convert(Source(tmp_path / "data"), tmp_path / "data", "coco", overwrite=True)


def test_images_can_be_linked(tmp_path: Path) -> None:
    labelled_folder(tmp_path / "data")
    _, out = converted(tmp_path, "coco", link=True)
    assert (out / "images" / "portrait.png").samefile(tmp_path / "data" / "images" / "portrait.png")


def test_images_missing_from_an_export_are_taken_from_another_folder(tmp_path: Path) -> None:
    labelled_folder(tmp_path / "data")
    _, out = converted(tmp_path, "coco")
    (out / "images" / "portrait.png").unlink()
    with pytest.raises(
        InputError, match=r"1 of 2 images not found, such as portrait\.png; .*--images"
    ):
        convert(Source(out), tmp_path / "back", "facepaint")
    done = convert(Source(out, images=tmp_path / "data" / "images"), tmp_path / "back", "facepaint")
    assert done.images == 2


def test_labels_of_another_image_are_refused(tmp_path: Path) -> None:
    labelled_folder(tmp_path / "data")
    save_blank(tmp_path / "data" / "images" / "portrait.png", 512, 511)
    with pytest.raises(InputError, match="is 512x511 px, but its labels are for 512x512"):
        converted(tmp_path, "coco")


WIDER = """\
0--Parade/0_Parade_a.jpg
1
449 330 122 149 0 0 0 0 0 0
0--Parade/0_Parade_b.jpg
0
0 0 0 0 0 0 0 0 0 0
1--Handshaking/c.jpg
2
10 20 8 9 2 1 1 1 2 1
30 20 8 9 1 0 0 0 1 0
"""


def test_wider_face_is_read_as_published(tmp_path: Path) -> None:
    (tmp_path / "wider_face_split").mkdir()
    (tmp_path / "wider_face_split" / "wider_face_val_bbx_gt.txt").write_text(WIDER)
    save_blank(tmp_path / "WIDER_val" / "images" / "1--Handshaking" / "c.jpg", 60, 60)
    found = FORMATS["wider"].read(Source(tmp_path))
    assert [len(image.faces) for image in found.images] == [1, 0, 2]
    assert found.images[0].faces[0] == LabelledFace((449.0, 330.0, 571.0, 479.0))
    grades = {"blur": 2, "expression": 1, "illumination": 1, "occlusion": 2, "pose": 1}
    assert found.images[2].faces[0] == LabelledFace(
        (10.0, 20.0, 18.0, 29.0), ignore=True, attributes=grades
    )
    assert list(found.files) == ["1--Handshaking/c.jpg"]


def test_wider_face_is_read_as_cvat_writes_it(tmp_path: Path) -> None:
    """With labels.txt: the last three columns in another order, and no count without faces."""
    (tmp_path / "wider_face_split").mkdir()
    (tmp_path / "labels.txt").write_text("face")
    lines = "no_label/a.jpg\n1\n1.5 2.0 8.0 9.0 - - - True 1 0 \nno_label/b.jpg\n"
    (tmp_path / "wider_face_split" / "wider_face_default_bbx_gt.txt").write_text(lines)
    first, second = FORMATS["wider"].read(Source(tmp_path)).images
    assert first.image == "a.jpg"
    assert first.faces == (
        LabelledFace((1.5, 2.0, 9.5, 11.0), attributes={"occlusion": 1, "pose": 1}),
    )
    assert second == LabelledImage("b.jpg")


def coco(folder: Path, content: dict[str, Any], name: str = "result.json") -> Source:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(content))
    return Source(folder)


def test_coco_is_read_as_label_studio_writes_it(tmp_path: Path) -> None:
    """Categories from 0, a path with images/ and the prefix of uploads, and ids from 0."""
    labelled_folder(tmp_path / "data")
    source = coco(
        tmp_path / "studio",
        {
            "images": [
                {"width": 512, "height": 512, "id": 0, "file_name": "images\\0a1b2c3d-portrait.png"}
            ],
            "categories": [{"id": 0, "name": "Face"}, {"id": 1, "name": "hand"}],
            "annotations": [
                {
                    "id": 0,
                    "image_id": 0,
                    "category_id": 0,
                    "segmentation": [],
                    "bbox": [179, 60, 95, 121],
                    "ignore": 0,
                },
                {
                    "id": 1,
                    "image_id": 0,
                    "category_id": 1,
                    "segmentation": [],
                    "bbox": [0, 0, 9, 9],
                    "iscrowd": 0,
                },
            ],
        },
    )
    (tmp_path / "studio" / "images").mkdir()
    (tmp_path / "data" / "images" / "portrait.png").rename(
        tmp_path / "studio" / "images" / "0a1b2c3d-portrait.png"
    )
    result = convert(source, tmp_path / "back", "facepaint", complete_from=tmp_path / "data")
    assert result.notes == ["1 annotation of other classes left out of result.json"]
    (image,) = read_labels(tmp_path / "back")
    assert image.image == "portrait.png"
    assert image.faces == (replace(ASTRONAUT_FACE, box=(179.0, 60.0, 274.0, 181.0)),)


def test_boxes_of_cvats_skeletons_become_the_original_ones(tmp_path: Path) -> None:
    labelled_folder(tmp_path / "data")
    points = ASTRONAUT_FACE.landmarks
    assert points is not None
    moved = (points[0] + 3, *points[1:])
    xs, ys = moved[0::2], moved[1::2]
    extent = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
    order = [1, 0, 2, 3, 4]  # a skeleton is drawn in any order
    keypoints = [value for place in order for value in (*moved[2 * place : 2 * place + 2], 2)]
    names = ["left eye", "right eye", "nose", "right mouth corner", "left mouth corner"]
    (tmp_path / "cvat" / "annotations").mkdir(parents=True)
    source = coco(
        tmp_path / "cvat",
        {
            "images": [
                {"width": 512, "height": 512, "id": 1, "file_name": "portrait.png", "license": 0}
            ],
            "categories": [{"id": 1, "name": "face", "keypoints": names}],
            "annotations": [
                {"id": 1, "image_id": 1, "category_id": 1, "bbox": extent, "keypoints": keypoints}
            ],
        },
        "annotations/person_keypoints_default.json",
    )
    source = replace(source, images=tmp_path / "data" / "images")
    alone = convert(source, tmp_path / "alone", "facepaint")
    assert alone.notes == [
        "1 box no larger than the extent of the landmarks, as CVAT exports skeletons; "
        "--complete-from DATA restores the original boxes"
    ]
    convert(source, tmp_path / "back", "facepaint", complete_from=tmp_path / "data")
    (image,) = read_labels(tmp_path / "back")
    assert image.faces == (replace(ASTRONAUT_FACE, landmarks=moved),)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../../etc/passwd.jpg", "is not a plain path below the folder"),
        ("/etc/passwd.jpg", "is not a plain path below the folder"),
        ("C:\\images\\a.jpg", "is not a plain path below the folder"),
    ],
)
def test_no_path_leaves_the_folder(name: str, message: str, tmp_path: Path) -> None:
    content = {
        "images": [{"id": 1, "file_name": name}],
        "categories": [{"id": 1, "name": "face"}],
        "annotations": [],
    }
    with pytest.raises(InputError, match=message):
        convert(coco(tmp_path / "coco", content), tmp_path / "out", "facepaint")
    (tmp_path / "wider.txt").write_text(f"{name}\n1\n1 2 3 4 0 0 0 0 0 0\n")
    with pytest.raises(InputError, match=message):
        convert(Source(tmp_path / "wider.txt"), tmp_path / "out", "facepaint")


def test_of_several_classes_the_face_classes_must_be_named(tmp_path: Path) -> None:
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "categories": [{"id": 1, "name": "with_mask"}, {"id": 2, "name": "without_mask"}],
        "annotations": [
            {"id": one, "image_id": 1, "category_id": one, "bbox": [1, 2, 3, 4]} for one in (1, 2)
        ],
    }
    source = coco(tmp_path / "coco", content)
    with pytest.raises(
        InputError, match="with_mask, without_mask; name those that are faces with --class"
    ):
        FORMATS["coco"].read(source)
    (image,) = FORMATS["coco"].read(replace(source, classes=("with_mask",))).images
    assert image.faces == (LabelledFace((1.0, 2.0, 4.0, 6.0), attributes={"class": "with_mask"}),)
    with pytest.raises(InputError, match="has no class head; it has with_mask, without_mask"):
        FORMATS["coco"].read(replace(source, classes=("head",)))


@pytest.mark.parametrize(
    "broken", ["[]", "{", '{"images": 1}', '{"images": [], "categories": [], "annotations": [1]}']
)
def test_broken_coco_is_refused_in_one_line(broken: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(broken)
    with pytest.raises(InputError, match=r"result\.json is not"):
        FORMATS["coco"].read(Source(tmp_path / "result.json"))


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        detect_format(tmp_path / "missing")
    (tmp_path / "labels.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match="unpack it first"):
        detect_format(tmp_path / "labels.zip")
    with pytest.raises(InputError, match="name it with --from: facepaint, coco, wider"):
        detect_format(tmp_path)
