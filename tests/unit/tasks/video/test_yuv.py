"""From decoded to normalized planes: chroma, depth, alpha; exact where nothing must change."""

from pathlib import Path

import av
import numpy as np
import pytest

from tasks.video.yuv import (
    AnyPlane,
    YuvPlanes,
    code_range,
    planes_of,
    quantised,
    top_down,
    yuv_of,
)

SIZE = (66, 34)


def ramp(shifts: tuple[int, int], bits: int = 10) -> YuvPlanes:
    """Cb that grows by one 8-bit step a px to the right and by half of one a px down, read where
    H.264 sites it."""
    x = np.arange(-(-SIZE[0] // (1 << shifts[0]))) << shifts[0]
    y = (np.arange(-(-SIZE[1] // (1 << shifts[1]))) << shifts[1]) + (0.5 if shifts[1] else 0)
    scale = 1 << bits - 8
    u = np.rint((40 + x[None] + y[:, None] / 2) * scale).astype(np.uint16)
    luma = np.full(SIZE[::-1], 60 * scale, np.uint16)
    return YuvPlanes(luma, u, u.copy(), None, bits, *shifts, False)


@pytest.mark.parametrize(
    "target", [(1, 1), (1, 0), (0, 1), (0, 0)], ids=["420", "422", "440", "444"]
)
@pytest.mark.parametrize(
    "source", [(1, 1), (1, 0), (0, 1), (0, 0)], ids=["420", "422", "440", "444"]
)
def test_chroma_stays_where_it_was(source: tuple[int, int], target: tuple[int, int]) -> None:
    made = ramp(source).with_chroma(*target)
    wanted = ramp(target)
    assert made.u.shape == wanted.u.shape
    inner = (slice(2, -2), slice(2, -2))
    assert np.abs(made.u[inner].astype(int) - wanted.u[inner]).max() <= 1, "of 10 bits"
    assert (made.y == ramp(source).y).all()


@pytest.mark.parametrize("bits", [9, 10, 12, 16])
def test_depth_is_reduced_without_bias_and_whole_steps_exactly(bits: int) -> None:
    rng = np.random.default_rng(1)
    deep = rng.integers(1 << bits - 8, 254 << bits - 8, (320, 320), np.uint16)
    flat = quantised(deep, 1 / (1 << bits - 8), 8)
    error = flat - deep / (1 << bits - 8)
    assert abs(error.mean()) < 0.01
    assert np.abs(error).max() < 1
    whole = deep >> bits - 8 << bits - 8
    assert (quantised(whole, 1 / (1 << bits - 8), 8) == whole >> bits - 8).all()
    samples = YuvPlanes(flat, flat, flat, None, 8, 0, 0, False)
    assert (samples.with_bits(bits).with_bits(8).y == flat).all(), "there and back"


def test_dither_shows_a_slow_gradient_between_its_steps() -> None:
    gradient = np.linspace(400, 408, 512).astype(np.uint16)[None].repeat(64, 0)
    flat = quantised(gradient, 1 / 4, 8)
    means = flat.reshape(64, 8, 64).mean(axis=(0, 2))
    assert np.abs(means - gradient.reshape(64, 8, 64).mean(axis=(0, 2)) / 4).max() < 0.1


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12])
def test_alpha_is_composited_on_black(bits: int, full_range: bool) -> None:
    rng = np.random.default_rng(2)
    kind = np.uint8 if bits == 8 else np.uint16
    y, u, v, alpha = (rng.integers(0, 1 << bits, (16, 16)).astype(kind) for _ in range(4))
    alpha[:4], alpha[4:8] = 0, (1 << bits) - 1
    shown = YuvPlanes(y, u, v, alpha, bits, 0, 0, full_range).on_black()
    black = (code_range(bits, full_range)[0], 1 << bits - 1, 1 << bits - 1)
    for plane, before, base in zip((shown.y, shown.u, shown.v), (y, u, v), black, strict=True):
        assert (plane[:4] == base).all(), "nothing of what is transparent"
        assert (plane[4:8] == before[4:8]).all(), "all of what is not"
        share = alpha[8:] / ((1 << bits) - 1)
        assert np.abs(plane[8:] - (base + (before[8:].astype(float) - base) * share)).max() <= 0.51
    assert shown.alpha is None


RED, GREEN, BLUE = 200, 40, 90
LUMA = 0.2126 * RED + 0.7152 * GREEN + 0.0722 * BLUE
BT709_COLOUR = (
    16 + 219 / 255 * LUMA,
    128 + 224 / 255 * (BLUE - LUMA) / 1.8556,
    128 + 224 / 255 * (RED - LUMA) / 1.5748,
)
"""Y, Cb and Cr of the colour above in BT.709 of limited range, from H.273."""


def coloured(name: str, alpha: int) -> av.VideoFrame:
    """A frame of one colour, its left half of an alpha of 0-255, the right half opaque."""
    rgba = np.full((32, 64, 4), (RED, GREEN, BLUE, 255), np.uint8)
    rgba[:, :32, 3] = alpha
    frame = av.VideoFrame.from_ndarray(rgba, "rgba")
    if name == "pal8":
        frame = av.VideoFrame(64, 32, "pal8")
        indexes = np.zeros((32, 64), np.uint8)
        indexes[:, :32] = 1
        rows = np.frombuffer(memoryview(frame.planes[0]), np.uint8).reshape(32, -1)
        rows[:, :64] = indexes
        palette = np.zeros((256, 4), np.uint8)
        palette[0], palette[1] = (
            (BLUE, GREEN, RED, 255),
            (BLUE, GREEN, RED, alpha),
        )  # B, G, R, A in memory
        frame.planes[1].update(palette.tobytes())
        return frame
    return (
        frame
        if name == "rgba"
        else frame.reformat(format=name, dst_colorspace="ITU709", dst_color_range="MPEG")
    )


@pytest.mark.parametrize(
    "name",
    [
        "rgba",
        "bgra",
        "argb",
        "gbrap",
        "gbrap12le",
        "rgba64le",
        "pal8",
        "yuva420p",
        "yuva422p10le",
        "yuva444p12le",
    ],
)
def test_every_format_with_alpha(name: str) -> None:
    samples = yuv_of(coloured(name, 128), full_range=False)
    assert samples.transparent
    shown = samples.on_black().with_chroma(1, 1).with_bits(8)
    black = np.array([16, 128, 128])
    right = np.array([plane[8, -6] for plane in (shown.y, shown.u, shown.v)], float)
    left = np.array([plane[8, 4] for plane in (shown.y, shown.u, shown.v)], float)
    assert right == pytest.approx(BT709_COLOUR, abs=2)
    assert left == pytest.approx(black + (right - black) * 128 / 255, abs=2)


def test_opaque_alpha_changes_nothing() -> None:
    samples = yuv_of(coloured("yuva420p", 255), full_range=False)
    assert not samples.transparent
    assert samples.on_black().y is samples.y


@pytest.mark.parametrize("name", ["gray", "gray10le", "gray12le"])
@pytest.mark.parametrize("full_range", [False, True])
def test_grey_keeps_its_range(name: str, full_range: bool) -> None:
    frame = av.VideoFrame(64, 32, name)
    bits = frame.format.components[0].bits
    for plane in planes_of(frame):
        plane[:] = 16 << bits - 8
    samples = yuv_of(frame, full_range)
    assert (samples.y == 16 << bits - 8).all()
    assert (samples.u == 1 << bits - 1).all()
    assert samples.full_range == full_range


@pytest.mark.parametrize("name", ["nv12", "yuyv422", "uyvy422", "p010le", "y210le"])
def test_packed_formats_are_unpacked_exactly(name: str) -> None:
    planar = {"nv12": "yuv420p", "p010le": "yuv420p10le", "y210le": "yuv422p10le"}.get(
        name, "yuv422p"
    )
    source = av.VideoFrame(64, 32, planar)
    rng = np.random.default_rng(3)
    for plane in planes_of(source):
        plane[:] = rng.integers(1 << 4, 1 << source.format.components[0].bits, plane.shape)
    samples = yuv_of(source.reformat(format=name), full_range=True)
    for plane, before in zip((samples.y, samples.u, samples.v), planes_of(source), strict=True):
        assert (plane == before).all()


def test_a_smaller_frame_is_letterboxed() -> None:
    plane: AnyPlane = np.full((8, 8), 200, np.uint8)
    chroma: AnyPlane = np.full((4, 4), 90, np.uint8)
    framed = YuvPlanes(plane, chroma, chroma, None, 8, 1, 1, False).letterboxed(16, 8)
    assert framed.y[0].tolist() == [16] * 4 + [200] * 8 + [16] * 4
    assert framed.u[0].tolist() == [128] * 2 + [90] * 4 + [128] * 2


def test_frames_that_are_bottom_up_in_memory(tmp_path: Path) -> None:
    """As the decoder of AMV, the video of cheap players, has them."""
    path = tmp_path / "player.amv"
    made = av.VideoFrame(160, 128, "yuvj420p")
    for plane in planes_of(made):
        plane[:] = np.linspace(0, 255, plane.shape[0]).astype(np.uint8)[:, None]
    with av.open(path, "w", format="avi") as out:
        stream = out.add_stream("amv", 16, options={"strict": "experimental"})
        stream.width, stream.height, stream.pix_fmt = 160, 128, "yuvj420p"
        out.mux(stream.encode(made))
        out.mux(stream.encode(None))
    with av.open(path) as container:
        (frame,) = container.decode(video=0)
        assert frame.planes[0].line_size < 0
        y, u, _ = planes_of(top_down(frame))
        assert np.abs(y.mean(axis=1) - np.linspace(0, 255, 128)).max() < 4
        assert np.abs(u.mean(axis=1) - np.linspace(0, 255, 64)).max() < 4
        assert top_down(made) is made
