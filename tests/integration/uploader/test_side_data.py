"""Side data reaches the worker's decoder: transparency, palettes, new codec parameters."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from tasks.video.decode import RunSource, decode_window
from tests.support.clips.ordinary import decode_ordinarily
from tests.support.clips.write import Video, portrait, write_clip
from tests.support.cut_clip import CutClip, cut_clip

Plane = npt.NDArray[np.uint8]

FRAMES = 30


def worker_frames(cut: CutClip, index: int) -> list[av.VideoFrame]:
    """A segment's frames, decoded without the segments before it."""
    first = cut.records[index].decode_from
    bins = [segment.data for segment in cut.segments[first : index + 1]]
    return list(decode_window(cut.probed.video, RunSource(cut.records[first : index + 1], bins)))


@pytest.mark.parametrize("codec", [pytest.param("libvpx", marks=pytest.mark.slow), "libvpx-vp9"])
def test_transparency_in_webm(codec: str, tmp_path: Path) -> None:
    """A transparent window moves to the right; a decoder without the side data shows its pixels."""
    path = tmp_path / "alpha.webm"
    frames = []
    for number in range(FRAMES):
        alpha = np.full((64, 96), 255, np.uint8)
        alpha[16:48, number : number + 32] = 0
        pixels = av.VideoFrame.from_ndarray(
            np.vstack([np.full((64, 96), 120, np.uint8), np.full((32, 96), 128, np.uint8)]),
            "yuv420p",
        )
        frames.append(with_alpha(pixels, alpha))
    write_clip(
        path,
        frames,
        Video(
            codec, {"auto-alt-ref": "0", "deadline": "realtime", "cpu-used": "8"}, "yuva420p", 10
        ),
    )
    cut = cut_clip(path, 0.5)
    assert len({record.decode_from for record in cut.records}) > 1
    seen = [frame for index in range(len(cut.segments)) for frame in worker_frames(cut, index)]
    assert len(seen) == FRAMES
    for number, frame in enumerate(seen):
        assert frame.format.name == "yuva420p"
        alpha = plane(frame, 3)
        assert alpha[20:44, number + 4 : number + 28].max() < 40
        assert alpha[:8].min() > 215


def with_alpha(frame: av.VideoFrame, alpha: Plane) -> av.VideoFrame:
    made = av.VideoFrame(frame.width, frame.height, "yuva420p")
    for number in range(3):
        plane(made, number)[:] = plane(frame, number)
    plane(made, 3)[:] = alpha
    return made


def plane(frame: av.VideoFrame, number: int) -> Plane:
    """A plane as an array over the frame's memory."""
    source = frame.planes[number]
    return np.frombuffer(memoryview(source), np.uint8).reshape(-1, source.line_size)[
        : source.height, : source.width
    ]


def test_a_palette_that_only_the_first_packet_carries(tmp_path: Path) -> None:
    """Later segments are decoded by workers that never see that packet."""
    path = tmp_path / "palette.avi"
    palette = np.random.default_rng(3).integers(0, 255, (256, 4), np.uint8)
    palette[:, 0] = 255
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=20)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "pal8"
        for number in range(FRAMES):
            indexes = np.full((48, 64), number, np.uint8)
            frame = av.VideoFrame.from_ndarray((indexes, palette), format="pal8")
            frame.pts, frame.time_base = number, Fraction(1, 20)
            container.mux(stream.encode(frame))
    cut = cut_clip(path, 0.5)
    assert len(cut.segments) > 2
    seen = [frame for index in range(len(cut.segments)) for frame in worker_frames(cut, index)]
    with av.open(str(path)) as container:
        expected = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [frame.pts for frame in seen] == list(range(FRAMES))
    assert all(
        np.array_equal(frame.to_ndarray(format="rgb24"), shown)
        for frame, shown in zip(seen, expected, strict=True)
    )
    assert len({shown.tobytes() for shown in expected}) == FRAMES


def test_new_parameters_and_another_size_in_mid_stream(tmp_path: Path) -> None:
    """A sender that restarts at twice the size: FLV sends its new parameters once, as side data."""
    small, large, both = tmp_path / "small.flv", tmp_path / "large.flv", tmp_path / "both.flv"
    write_clip(small, portrait(1.5, (96, 64)), Video(options={"bf": "2"}))
    write_clip(
        large, portrait(1.5, (192, 128)), Video(options={"bf": "0", "x264-params": "cabac=0"})
    )
    both.write_bytes(small.read_bytes() + large.read_bytes()[13:])
    cut = cut_clip(both, 0.5)
    assert cut.truncated == ""
    pixels = [pixels for _, pixels in cut.all_frames()]
    assert pixels == [pixels for path in (small, large) for _, pixels in decode_ordinarily(path)]
    last = worker_frames(cut, len(cut.segments) - 1)
    assert {(frame.width, frame.height) for frame in last} == {(192, 128)}
