"""Deinterlacing: no combs in moving parts, full detail in still ones."""

import io
from fractions import Fraction
from functools import cache
from itertools import pairwise

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest
import skimage.data

from tasks.video.deinterlace import deinterlaced
from tasks.video.yuv import planes_of

WIDTH, HEIGHT, FRAMES = 320, 176, 10

Luma = npt.NDArray[np.uint8]


def field_of(time: int, speed: float) -> Luma:
    """The portrait, panned by ``speed`` px a field."""
    portrait = cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2GRAY)
    shift = np.array([[1, 0, -60 - speed * time], [0, 1, -20]], np.float32)
    return np.asarray(cv2.warpAffine(portrait, shift, (WIDTH, HEIGHT)), np.uint8)


@cache
def clip(speed: float, *, interlaced: bool = True) -> list[av.VideoFrame]:
    """Frames of two fields each, encoded as interlaced H.264 and decoded: flagged as such streams
    are."""
    flags = {"flags": "+ilme+ildct"} if interlaced else {}
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264", rate=25, options={"crf": "6", "preset": "ultrafast", "bf": "0", **flags}
        )
        stream.width, stream.height = WIDTH, HEIGHT
        for number in range(FRAMES):
            frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
            y, u, v = planes_of(frame)
            u[:], v[:] = 128, 128
            # The libx264 of FFmpeg sends the bottom field first unless a frame says otherwise.
            y[1::2] = field_of(2 * number, speed)[1::2]
            y[::2] = field_of(2 * number + interlaced, speed)[::2]
            frame.pts = 3 * number
            frame.time_base = Fraction(1, 75)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as container:
        return list(container.decode(video=0))


def psnr(frame: av.VideoFrame, truth: Luma) -> float:
    error = (planes_of(frame)[0].astype(float) - truth)[8:-8, 8:-8]
    return float(10 * np.log10(255**2 / np.mean(error**2)))


def combs(luma: Luma) -> float:
    """How much lines stick out from those above and below."""
    rows = luma.astype(float)
    return float(np.maximum((rows[1:-1] - rows[:-2]) * (rows[1:-1] - rows[2:]), 0).mean())


@pytest.mark.parametrize("borders", [(), (3, 7)], ids=["one segment", "three segments"])
def test_moving_parts_have_no_combs(borders: tuple[int, ...]) -> None:
    decoded = clip(3.0)
    assert decoded[4].interlaced_frame
    times = [frame.pts for frame in decoded]
    before = [combs(planes_of(frame)[0]) for frame in decoded]
    cuts = [0, *borders, FRAMES]
    made = [frame for a, b in pairwise(cuts) for frame in deinterlaced(decoded[a:b])]
    assert [frame.pts for frame in made] == times
    assert not any(frame.interlaced_frame for frame in made)
    for number, frame in enumerate(made):
        truth = field_of(2 * number, 3.0)
        assert combs(planes_of(frame)[0]) < 2 * combs(truth) < before[number] / 3
        assert psnr(frame, truth) > 30 > psnr(decoded[number], truth) + 4


@pytest.mark.parametrize("borders", [(), (3, 7)], ids=["one segment", "three segments"])
def test_still_parts_keep_their_detail(borders: tuple[int, ...]) -> None:
    """The first frame of a segment too: bwdif left alone gives it half the lines, a flicker every
    two seconds."""
    decoded = clip(0.0)
    cuts = [0, *borders, FRAMES]
    for a, b in pairwise(cuts):
        for source, frame in zip(decoded[a:b], deinterlaced(decoded[a:b]), strict=True):
            assert np.abs(planes_of(frame)[0].astype(int) - planes_of(source)[0]).mean() < 0.2


def test_progressive_frames_pass_unchanged_and_at_once() -> None:
    decoded = clip(2.0, interlaced=False)
    made = []
    for frame in decoded:
        made += list(deinterlaced([frame]))
    assert all(a is b for a, b in zip(made, decoded, strict=True))


def test_only_flagged_frames_of_a_mixture_change() -> None:
    """As after telecine: some frames are flagged, some are not."""
    mixed = [*clip(2.0, interlaced=False)[:4], *clip(2.0)[4:7], *clip(2.0, interlaced=False)[7:]]
    flags = [frame.interlaced_frame for frame in mixed]
    before = [planes_of(frame)[0].copy() for frame in mixed]
    notes: list[str] = []
    made = list(deinterlaced(mixed, notes.append))
    assert len(made) == FRAMES
    assert [frame.pts for frame in made] == [frame.pts for frame in mixed]
    for flag, frame, source in zip(flags, made, before, strict=True):
        assert (planes_of(frame)[0] == source).all() != flag
    assert notes == ["interlaced frames deinterlaced"]


def test_a_change_of_size_in_mid_stream() -> None:
    small = [frame.reformat(160, 96) for frame in clip(0.0)[:3]]
    large = clip(1.0)[3:]
    made = list(deinterlaced([*large, *small]))
    assert [frame.width for frame in made] == [WIDTH] * len(large) + [160] * 3


def test_frames_too_small_for_bwdif_pass_unchanged() -> None:
    tiny = [frame.reformat(6, 6) for frame in clip(0.0)[:2]]
    assert list(deinterlaced(tiny)) == tiny
