"""Tone mapping: the formulas against their standards, and the tables against the formulas."""

from itertools import pairwise

import numpy as np
import pytest
import skimage.data

from facepaint.records.colour import Colour, LightLevels
from tasks.video.hdr import (
    WHITE,
    Floats,
    from_sdr,
    hlg_scene,
    hlg_signal,
    peak_of,
    pq_light,
    pq_signal,
    to_sdr,
    tone_curve,
)
from tasks.video.tonemap import back_to_hdr, in_sdr
from tasks.video.yuv import YuvPlanes
from tests.support.colours import HLG, PQ

COLOURS = {"PQ": PQ, "HLG": HLG}
each_colour = pytest.mark.parametrize("colour", COLOURS.values(), ids=COLOURS)

TO_YCC = {1: (0.2126, 0.0722), 9: (0.2627, 0.0593)}
"""The shares of red and blue in luma (H.273), by matrix."""


def ycc(rgb: Floats, matrix: int = 1) -> Floats:
    """Y'CbCr of R'G'B', written out from H.273."""
    red, blue = TO_YCC[matrix]
    y = rgb @ np.array([red, 1 - red - blue, blue])
    return np.stack([y, (rgb[..., 2] - y) / (2 - 2 * blue), (rgb[..., 0] - y) / (2 - 2 * red)], -1)


def rgb(samples: Floats, matrix: int = 1) -> Floats:
    """The inverse of `ycc`."""
    red, blue = TO_YCC[matrix]
    y, u, v = np.moveaxis(samples, -1, 0)
    r, b = y + (2 - 2 * red) * v, y + (2 - 2 * blue) * u
    return np.stack([r, (y - red * r - blue * b) / (1 - red - blue), b], -1)


def coded(samples: Floats, bits: int) -> YuvPlanes:
    """Limited-range 4:4:4 samples of normalised ones."""
    scale = 1 << bits - 8
    y, u, v = (
        np.rint(plane).astype(np.uint8 if bits == 8 else np.uint16)
        for plane in (
            (16 + 219 * samples[..., 0]) * scale,
            *np.moveaxis((128 + 224 * samples[..., 1:]) * scale, -1, 0),
        )
    )
    return YuvPlanes(y, u, v, None, bits, 0, 0, False)


def decoded(samples: YuvPlanes) -> Floats:
    """The inverse of `coded`."""
    scale = 1 << samples.bits - 8
    y, u, v = (plane.astype(np.float64) / scale for plane in (samples.y, samples.u, samples.v))
    return np.stack([(y - 16) / 219, (u - 128) / 224, (v - 128) / 224], -1)


@pytest.fixture(scope="module")
def portrait() -> Floats:
    """The public-domain portrait, R'G'B' of 0 to 1."""
    return skimage.data.astronaut()[::2, ::2] / 255.0


@pytest.mark.parametrize(
    ("light", "signal"), [(0, 0), (100, 0.5081), (203, 0.5807), (1000, 0.7518), (10000, 1)]
)
def test_pq_follows_its_standard(light: float, signal: float) -> None:
    """The levels ITU-R BT.2408 lists in its table of reference levels."""
    assert float(pq_signal(np.array(light, float))) == pytest.approx(signal, abs=5e-5)
    assert float(pq_light(np.array(float(pq_signal(np.array(light, float)))))) == pytest.approx(
        light, rel=1e-4, abs=1e-3
    )


def test_hlg_follows_its_standard() -> None:
    signal = np.linspace(0, 1, 201)
    assert hlg_scene(np.array([0.5, 1.0])) == pytest.approx([1 / 12, 1], abs=1e-6)
    assert hlg_signal(hlg_scene(signal)) == pytest.approx(signal, abs=1e-9)


@each_colour
def test_diffuse_white_is_where_bt2408_puts_it(colour: Colour) -> None:
    """58 % of PQ's signal, 75 % of HLG's."""
    white = from_sdr(np.array([[1.0, 0, 0]]), colour)
    assert white[0] == pytest.approx([0.5807 if colour == PQ else 0.75, 0, 0], abs=2e-4)


@pytest.mark.parametrize("peak", [203.0, 400.0, 1000.0, 4000.0, 10000.0])
def test_the_curve_rises_smoothly_to_white_and_keeps_dark_parts(peak: float) -> None:
    light = np.linspace(0, peak / WHITE, 4000)
    shown = tone_curve(peak)(light)
    assert (np.diff(shown) >= -1e-6).all()
    assert shown[-1] == pytest.approx(1, abs=1e-3)
    dark = light < (0.1 if peak > 4000 else 0.2)
    assert shown[dark] == pytest.approx(light[dark], abs=2e-3)
    assert (shown <= light + 1e-6).all(), "nothing is made brighter"


def test_the_peak_is_the_one_that_the_stream_states() -> None:
    assert peak_of(COLOURS["PQ"], LightLevels(max_content=600, max_luminance=4000)) == 600
    assert peak_of(COLOURS["PQ"], LightLevels(max_luminance=4000)) == 4000
    assert peak_of(COLOURS["PQ"], LightLevels()) == 1000
    assert peak_of(COLOURS["PQ"], LightLevels(max_content=65535)) == 10_000
    assert peak_of(COLOURS["HLG"], LightLevels(max_content=4000)) == 1000, "HLG is relative"


@each_colour
def test_no_hue_shifts_and_nothing_clips(colour: Colour) -> None:
    """Whatever the colour, the order of R, G and B stays, and none but the brightest reaches 1."""
    light = np.random.default_rng(1).random((20_000, 3)) ** 3 * 1000 / WHITE
    signal = pq_signal(light * WHITE) if colour == PQ else hlg_signal(light * WHITE / 1000)
    shown = rgb(to_sdr(ycc(signal, 9), colour, 1000))
    assert shown.min() > -1e-6
    assert shown.max() < 1 + 1e-6
    if colour == PQ:
        to_709 = np.array(
            [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
        )
        wanted = light @ to_709.T
        for a, b in ((0, 1), (1, 2), (0, 2)):
            apart = np.abs(wanted[:, a] - wanted[:, b]) > 1e-3 * wanted.max(axis=1)
            turned = (wanted[:, a] - wanted[:, b]) * (shown[:, a] - shown[:, b]) < -1e-9
            assert not (turned & apart).any()


def test_colours_beyond_bt709_stay_distinct() -> None:
    """From BT.709's green out to BT.2020's: more saturated all the way, where clipping would make
    them one."""
    share = np.linspace(0, 1, 9)[:, None]
    green = (1 - share) * np.array([0.3293, 0.9195, 0.0880]) + share * np.array([0.0, 1.0, 0.0])
    shown = rgb(to_sdr(ycc(pq_signal(green * 100), 9), COLOURS["PQ"], 1000))
    reds = shown[:, 0] / shown[:, 1]
    assert all(after < before for before, after in pairwise(reds))


@each_colour
@pytest.mark.parametrize(
    "light",
    [1.0, *(pytest.param(light, marks=pytest.mark.slow) for light in (0.05, 3.0))],
    ids=["as it is", "dark", "bright"],
)
def test_tables_match_the_formulas(portrait: Floats, colour: Colour, light: float) -> None:
    """Rounded and dithered to 8 bits, which alone is 0.33 steps on average."""
    linear = np.maximum((portrait**2.4 * light) @ TO_2020.T, 0)
    scene = linear * WHITE / 1000
    signal = pq_signal(linear * WHITE) if colour == PQ else hlg_signal(np.minimum(scene, 1))
    samples = coded(ycc(signal, 9), 10)
    exact = to_sdr(decoded(samples), colour, 1000)
    error = np.abs(decoded(in_sdr(samples, colour, LightLevels())) - exact) * (219, 224, 224)
    assert error.mean() < 0.45
    assert np.percentile(error, 99) < 2.5
    assert error.max() < 6


TO_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
"""From BT.709 light: ITU-R BT.2087."""


@each_colour
def test_a_portrait_survives_the_way_to_hdr_and_back(portrait: Floats, colour: Colour) -> None:
    """The same tables the worker uses: to 10 bits with white at 203 cd/m2, and tone-mapped back.

    Only what is brighter than the knee of the curve changes, for there highlights need their room.
    """
    hdr = back_to_hdr(colour, 10)(coded(ycc(portrait), 8))
    back = rgb(decoded(in_sdr(hdr, colour, LightLevels())))
    error = np.abs(back - portrait) * 255
    face = (slice(30, 90), slice(90, 135))
    assert np.abs(back[face].mean((0, 1)) - portrait[face].mean((0, 1))).max() * 255 < 6, "skin"
    assert error.mean() < 4
    dark = portrait.max(axis=2) < 0.68
    assert error[dark].mean() < 1.5


@each_colour
def test_greys_stay_grey_to_the_last_step(colour: Colour) -> None:
    grey = np.arange(64, 941, dtype=np.uint16)[None].repeat(2, 0)
    neutral = np.full_like(grey, 512)
    shown = in_sdr(YuvPlanes(grey, neutral, neutral, None, 10, 0, 0, False), colour, LightLevels())
    assert (shown.u == 128).all()
    assert (shown.v == 128).all()
    assert (np.diff(shown.y.astype(int).mean(axis=0)) >= -1).all(), "but for its dither"
    assert (int(shown.y.min()), int(shown.y.max())) == (16, 235)


@pytest.mark.slow
def test_twelve_bits_look_like_ten() -> None:
    signal = ycc(np.array([[[0.5, 0.45, 0.4], [0.3, 0.35, 0.4]]]).repeat(8, 0), 9)
    shown = decoded(in_sdr(coded(signal, 12), COLOURS["PQ"], LightLevels()))
    assert np.abs(shown - to_sdr(signal, COLOURS["PQ"], 1000)).max() * 219 < 2
