"""Sharp frames that differ are sampled from a video."""

from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest
from skimage import data

from facepaint.errors import InputError, UnreadableMedia
from models.lab.datasets.frames import difference_hash, sample_frames
from tests.support.clips.write import Video, write_clip

Pixels = npt.NDArray[np.uint8]

RATE = 10


def portrait(side: str = "left") -> Pixels:
    """One of two sharp images, 160 x 120 in B, G, R."""
    pixels = data.astronaut()[:384, ::-1] if side == "right" else data.astronaut()[:384]
    return np.asarray(
        cv2.resize(pixels, (160, 120), interpolation=cv2.INTER_AREA)[:, :, ::-1], np.uint8
    )


def blurred(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), 4), np.uint8)


def write_video(path: Path, images: Sequence[Pixels]) -> None:
    """Ten images a second in MPEG-4, beginning at 3 s."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", RATE)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = images[0].shape[1], images[0].shape[0]
        stream.bit_rate = 4_000_000
        for number, pixels in enumerate(images):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="bgr24")
            frame.pts = number + 3 * RATE
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def test_the_sharpest_frame_of_every_slot_is_taken(tmp_path: Path) -> None:
    left, right = portrait("left"), portrait("right")
    shots = [[blurred(left)] * 10, [blurred(right)] * 10]
    shots[0][6], shots[1][4] = left, right
    write_video(tmp_path / "a.mp4", [*shots[0], *shots[1]])
    first, second = sample_frames(tmp_path / "a.mp4", 1.0, None, [])
    assert (round(first.time_s, 3), round(second.time_s, 3)) == (0.6, 1.4)
    assert np.abs(first.pixels.astype(int) - left).mean() < 6
    assert np.abs(second.pixels.astype(int) - right).mean() < 6


def test_duplicates_of_earlier_frames_are_skipped(tmp_path: Path) -> None:
    left, right = [portrait("left")] * 10, [portrait("right")] * 10
    write_video(tmp_path / "a.mp4", [*left, *left, *right, *left])
    write_video(tmp_path / "b.mp4", left)
    hashes: list[int] = []
    assert [int(one.time_s) for one in sample_frames(tmp_path / "a.mp4", 1.0, None, hashes)] == [
        0,
        2,
    ]
    assert list(sample_frames(tmp_path / "b.mp4", 1.0, None, hashes)) == []


def test_a_slot_of_blurred_frames_is_skipped(tmp_path: Path) -> None:
    left, right = portrait("left"), portrait("right")
    write_video(tmp_path / "a.mp4", [*[left] * 10, *[blurred(right)] * 10, *[right] * 10])
    assert [int(one.time_s) for one in sample_frames(tmp_path / "a.mp4", 1.0, None, [])] == [0, 2]


def test_a_limit_spreads_over_the_video(tmp_path: Path) -> None:
    images = [np.asarray(np.roll(portrait(), 12 * second, axis=1), np.uint8) for second in range(8)]
    write_video(tmp_path / "a.mp4", [one for one in images for _ in range(RATE)])
    times = [one.time_s for one in sample_frames(tmp_path / "a.mp4", 1.0, 4, [])]
    assert len(times) == 4
    assert times[-1] >= 5


def test_a_truncated_file_gives_the_frames_it_has(tmp_path: Path) -> None:
    write_video(tmp_path / "a.avi", [*[portrait("left")] * 10, *[portrait("right")] * 10])
    content = (tmp_path / "a.avi").read_bytes()
    (tmp_path / "b.avi").write_bytes(content[: len(content) // 2])
    assert [int(one.time_s) for one in sample_frames(tmp_path / "b.avi", 1.0, None, [])] == [0]


def test_a_file_that_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("nothing of the kind")
    with pytest.raises(UnreadableMedia, match="is not a readable video"):
        list(sample_frames(tmp_path / "a.mp4", 1.0, None, []))
    with pytest.raises(InputError, match="does not exist"):
        list(sample_frames(tmp_path / "b.mp4", 1.0, None, []))


def test_the_hash_tolerates_noise_and_differs_between_images() -> None:
    grey = np.asarray(cv2.cvtColor(portrait(), cv2.COLOR_BGR2GRAY), np.uint8)
    noise = np.random.default_rng(1).normal(0, 3, grey.shape)
    noisy = np.clip(grey + noise, 0, 255).astype(np.uint8)
    assert (difference_hash(grey) ^ difference_hash(noisy)).bit_count() <= 6
    assert (
        difference_hash(grey) ^ difference_hash(np.ascontiguousarray(grey[:, ::-1]))
    ).bit_count() > 40


@pytest.mark.parametrize(
    ("turn", "mirrored"), [(0, False), (-90, False), (180, False), (0, True), (90, True)]
)
def test_frames_are_upright_as_a_player_shows_them(
    turn: int, mirrored: bool, tmp_path: Path
) -> None:
    upright = portrait()[:, :, ::-1]
    stored = np.rot90(upright[:, ::-1] if mirrored else upright, -turn // 90)
    write_clip(
        tmp_path / "a.mp4", [np.ascontiguousarray(stored)] * 3, Video(shown=(turn, mirrored))
    )
    (sampled,) = sample_frames(tmp_path / "a.mp4", 1.0, None, [])
    assert sampled.pixels.shape == (120, 160, 3)
    assert np.abs(sampled.pixels.astype(int) - portrait()).mean() < 8
