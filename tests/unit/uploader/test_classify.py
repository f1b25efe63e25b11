"""Files are classified by their contents, not by their names; one bad file does not stop the
others."""

from pathlib import Path

import pytest
from PIL import Image

from benchmarks.clips import make_portrait_clip
from facepaint.errors import UnreadableMedia
from tests.support.image_files import png_claiming
from uploader.classify import classify, is_still_image


def image(path: Path, kind: str, colours: tuple[str, ...] = ("teal",), **options: object) -> Path:
    """An image of 80x60 px, animated if there are several colours."""
    first, *more = (Image.new("RGB", (80, 60), colour) for colour in colours)
    first.save(
        path, format=kind, **({"save_all": True, "append_images": more} if more else {}), **options
    )
    return path


def test_videos_and_images_are_classified_by_contents(tmp_path: Path) -> None:
    clip = make_portrait_clip(tmp_path / "clip.jpg.mp4", seconds=0.5, size=(64, 64))
    misnamed = clip.rename(tmp_path / "clip.jpg")
    stills = [image(tmp_path / f"{kind}.mp4", kind) for kind in ("JPEG", "PNG", "WEBP", "GIF")]
    videos, images, problems = classify([misnamed, *stills])
    assert (videos, images, problems) == ([misnamed], stills, [])


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_an_animation_is_a_video(kind: str, tmp_path: Path) -> None:
    moving = image(tmp_path / "moving", kind, ("red", "green", "blue"), duration=100)
    still = image(tmp_path / "still", kind, ("red",), save_all=True)
    assert classify([moving, still]) == ([moving], [still], [])


@pytest.mark.parametrize(
    ("kind", "called"), [("BMP", "BMP"), ("TIFF", "TIFF or raw"), ("JPEG2000", "JPEG 2000")]
)
def test_an_image_in_another_format_is_refused_with_advice(
    kind: str, called: str, tmp_path: Path
) -> None:
    path = image(tmp_path / "image.jpg", kind)
    videos, images, problems = classify([path])
    assert (videos, images) == ([], [])
    assert [str(problem) for problem in problems] == [
        f"{path} is a {called} image; save it as JPEG, PNG or WebP first"
    ]


def test_a_photograph_with_embedded_images_is_a_still(tmp_path: Path) -> None:
    """As phones write them: a gain map, the view of a second lens."""
    photograph = image(tmp_path / "photograph.jpg", "MPO", ("red", "green"))
    assert is_still_image(photograph)


def test_a_bad_file_is_named_and_the_others_continue(tmp_path: Path) -> None:
    good = image(tmp_path / "good.png", "PNG")
    empty = tmp_path / "empty.mp4"
    empty.touch()
    videos, images, problems = classify([empty, good, tmp_path / "nowhere.mp4", tmp_path])
    assert (videos, images) == ([], [good])
    assert [str(problem) for problem in problems] == [
        f"{empty} is empty; copy it again from its origin",
        f"{tmp_path / 'nowhere.mp4'} does not exist; check the name",
        f"{tmp_path} is a folder; name the files in it",
    ]


@pytest.mark.parametrize("size", [(60_000, 60_000), (17_000, 10), (16_000, 9_000)])
def test_an_implausible_size_is_refused_by_the_header(
    size: tuple[int, int], tmp_path: Path
) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(png_claiming(*size))
    with pytest.raises(UnreadableMedia, match=r"large\.png .*make it smaller"):
        is_still_image(path)


def test_a_large_image_is_accepted_without_a_warning(tmp_path: Path) -> None:
    """Pillow warns from 89 megapixels on, which here would be an error."""
    Image.new("1", (10_000, 9_500)).save(tmp_path / "large.png")
    assert is_still_image(tmp_path / "large.png")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_truncated_image_is_damaged(kind: str, tmp_path: Path) -> None:
    noise = Image.effect_noise((200, 200), 80).convert("RGB")
    noise.save(tmp_path / "whole", format=kind)
    data = (tmp_path / "whole").read_bytes()
    cut = tmp_path / "cut"
    cut.write_bytes(data[: len(data) // 2])
    with pytest.raises(UnreadableMedia, match="cut is damaged"):
        is_still_image(cut)
