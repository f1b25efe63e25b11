"""Formulas of high dynamic range: from PQ and HLG to SDR and back.

They are plain NumPy in float64, exact and slow; `tasks.video.tonemap` makes tables of them. Samples
are Y'CbCr in the last axis, normalized: Y' of 0 to 1, Cb and Cr of -0.5 to 0.5. Light is relative
to diffuse white, which is 203 cd/m2 (ITU-R BT.2408) and the white of SDR.
"""

from collections.abc import Callable
from functools import cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from facepaint.records.colour import (
    HDR_TRANSFERS,
    Colour,
    ColourPrimaries,
    LightLevels,
    MatrixCoefficients,
    TransferCharacteristics,
)
from filters.planes import Matrix, rgb_to_yuv

Floats = npt.NDArray[np.float64]

WHITE = 203.0
"""Diffuse white in cd/m2, by ITU-R BT.2408."""

HLG_PEAK = 1000.0
"""HLG is relative. This is the peak in cd/m2 of the display for which BT.2408 puts diffuse white at
75 % of the signal."""

SDR_GAMMA = 2.4
"""Gamma of the SDR reference display (ITU-R BT.1886)."""

CHROMATICITIES: dict[int, tuple[tuple[float, float], ...]] = {
    ColourPrimaries.BT709: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), (0.3127, 0.3290)),
    ColourPrimaries.BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), (0.3127, 0.3290)),
    ColourPrimaries.DISPLAY_P3: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.3127, 0.3290)),
}
"""CIE x, y of red, green, blue and white by colour primaries."""

GAMUT_KNEE = 0.9
"""Saturation, as a share of the maximum of BT.709, above which wider gamuts are compressed."""

TOE = 0.003
"""Share of the brightest channel below which the steps of the others become coarser."""

WHITENING = 0.45
"""How far the brightest saturated lights are desaturated, as on film and in the eye."""


def is_hdr(colour: Colour) -> bool:
    """Whether an SDR display needs the samples tone-mapped."""
    return colour.transfer in HDR_TRANSFERS


def peak_of(colour: Colour, light: LightLevels) -> float:
    """The peak luminance of a stream in cd/m2; 1000 if it states none."""
    if colour.transfer == TransferCharacteristics.HLG:
        return HLG_PEAK
    stated = light.max_content or light.max_luminance or 1000.0
    # PQ ends at 10,000 cd/m2; some streams state more.
    return min(10_000.0, max(WHITE, stated))


def to_sdr(samples: Floats, colour: Colour, peak: float) -> Floats:
    """Tone-map HDR samples to BT.709. Each result depends on its own sample only.

    The largest of R, G and B goes through `tone_curve`, and the two others keep their ratio to it,
    so that no hue shifts and nothing clips. Colours beyond BT.709 are compressed softly, and lights
    far above white are desaturated.
    """
    primaries = _known_primaries(colour)
    light = _hdr_light(_rgb(samples, _matrix(colour)), colour)
    light = light @ _between(primaries, ColourPrimaries.BT709).T
    brightest = np.maximum(light.max(axis=-1, keepdims=True), 1e-9)
    # By the largest channel: a curve for each channel would shift hues, one by luminance would clip
    # saturated colours.
    shown = tone_curve(peak)(brightest)
    saturation = _saturation(light / brightest)
    most = saturation.max(axis=-1, keepdims=True)
    saturation *= compressed(most, primaries) / np.maximum(most, 1e-9)
    saturation *= 1 - WHITENING * (1 - shown / brightest) ** 2
    return _ycc((shown * _ratio(saturation)) ** (1 / SDR_GAMMA), "bt709")


def from_sdr(samples: Floats, colour: Colour) -> Floats:
    """Convert BT.709 samples to HDR that looks the same: their white becomes `WHITE` (BT.2408)."""
    primaries = _known_primaries(colour)
    light = _rgb(samples, "bt709") ** SDR_GAMMA @ _between(ColourPrimaries.BT709, primaries).T
    return _ycc(_hdr_signal(np.maximum(light, 0), colour), _matrix(colour))


def tone_curve(peak: float) -> Callable[[Floats], Floats]:
    """The EETF of ITU-R BT.2390 from light up to ``peak`` cd/m2 to light up to white, both relative
    to white.

    Light below the knee (0.43 of white for a peak of 1000) stays; the rest is compressed smoothly.
    """
    top = pq_signal(np.array(peak))
    white = pq_signal(np.array(WHITE)) / top
    knee = 1.5 * white - 0.5

    def shown(light: Floats) -> Floats:
        if peak <= WHITE:
            return np.minimum(light, 1.0)
        signal = np.minimum(pq_signal(light * WHITE) / top, 1.0)
        t = np.maximum(signal - knee, 0) / (1 - knee)
        spline = (
            (2 * t**3 - 3 * t**2 + 1) * knee
            + (t**3 - 2 * t**2 + t) * (1 - knee)
            + (3 * t**2 - 2 * t**3) * white
        )
        return np.where(signal < knee, light, pq_light(spline * top) / WHITE)

    return shown


def compressed(saturation: Floats, primaries: int) -> Floats:
    """Compress the saturation of a wider gamut to 0 to 1; up to `GAMUT_KNEE` it stays."""
    widest = _widest(primaries)
    if widest <= 1 + 1e-6:
        return np.minimum(saturation, 1.0)
    power, room = 1.2, 1 - GAMUT_KNEE
    scale = (widest - GAMUT_KNEE) / (((widest - GAMUT_KNEE) / room) ** power - 1) ** (1 / power)
    over = np.maximum(saturation - GAMUT_KNEE, 0)
    slope: Floats = (1 + (over / scale) ** power) ** (1 / power)
    result: Floats = np.minimum(saturation, GAMUT_KNEE) + over / slope
    return result


def _saturation(ratio: Floats) -> Floats:
    """How far a channel lies below the brightest: 0 if equal, 1 at 0, more if negative.

    The steps are roughly perceptual. The gamma of SDR itself is infinitely steep at 0, where it
    would amplify the rounding of 10 bits to noise.
    """
    low, high = TOE ** (1 / SDR_GAMMA), (1 + TOE) ** (1 / SDR_GAMMA)
    steps: Floats = ((np.abs(ratio) + TOE) ** (1 / SDR_GAMMA) - low) / (high - low)
    return 1 - np.sign(ratio) * steps


def _ratio(saturation: Floats) -> Floats:
    """The inverse of `_saturation` for 0 to 1."""
    low, high = TOE ** (1 / SDR_GAMMA), (1 + TOE) ** (1 / SDR_GAMMA)
    ratio: Floats = (high - (high - low) * saturation) ** SDR_GAMMA - TOE
    return np.maximum(ratio, 0)


def pq_light(signal: Floats) -> Floats:
    """The EOTF of SMPTE ST 2084: from a signal of 0 to 1 to cd/m2."""
    root = np.maximum(signal, 0) ** (32 / 2523)
    light: Floats = 10_000 * (
        np.maximum(root - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * root)
    ) ** (8192 / 1305)
    return light


def pq_signal(light: Floats) -> Floats:
    """The inverse EOTF of SMPTE ST 2084: from cd/m2 to a signal of 0 to 1."""
    root = (np.maximum(light, 0) / 10_000) ** (1305 / 8192)
    signal: Floats = ((107 / 128 + 2413 / 128 * root) / (1 + 2392 / 128 * root)) ** (2523 / 32)
    return signal


_A = 0.17883277
_B, _C = 1 - 4 * _A, 0.5 - _A * np.log(4 * _A)


def hlg_scene(signal: Floats) -> Floats:
    """The inverse OETF of HLG (BT.2100): from a signal to scene light, both 0 to 1."""
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - _C) / _A) + _B) / 12)


def hlg_signal(scene: Floats) -> Floats:
    """The OETF of HLG (BT.2100), the inverse of `hlg_scene`."""
    return np.where(
        scene <= 1 / 12, np.sqrt(3 * scene), _A * np.log(np.maximum(12 * scene - _B, 1e-9)) + _C
    )


def _hdr_light(rgb: Floats, colour: Colour) -> Floats:
    if colour.transfer == TransferCharacteristics.PQ:
        return pq_light(rgb) / WHITE
    scene = hlg_scene(rgb)
    # The OOTF of BT.2100 for a display of 1000 cd/m2.
    light: Floats = scene * _luminance(scene) ** 0.2 * HLG_PEAK / WHITE
    return light


def _hdr_signal(light: Floats, colour: Colour) -> Floats:
    if colour.transfer == TransferCharacteristics.PQ:
        return pq_signal(light * WHITE)
    display = light * WHITE / HLG_PEAK
    scene: Floats = display * np.maximum(_luminance(display), 1e-12) ** (1 / 1.2 - 1)
    return hlg_signal(scene)


def _luminance(rgb: Floats) -> Floats:
    """The luminance of BT.2020 light, as in the OOTF."""
    luminance: Floats = rgb @ np.array([[0.2627], [0.6780], [0.0593]])
    return luminance


def _known_primaries(colour: Colour) -> int:
    """The primaries of an HDR video; those of BT.2020 unless it states others of the table."""
    stated = colour.primaries
    return stated if stated in CHROMATICITIES else ColourPrimaries.BT2020


def _matrix(colour: Colour) -> Matrix:
    return "bt709" if colour.matrix == MatrixCoefficients.BT709 else "bt2020"


def _ycc(rgb: Floats, matrix: Matrix) -> Floats:
    return rgb @ (rgb_to_yuv(matrix, True)[:, :3]).T


def _rgb(samples: Floats, matrix: Matrix) -> Floats:
    return np.clip(samples @ np.linalg.inv(rgb_to_yuv(matrix, True)[:, :3]).T, 0, 1)


@cache
def _between(source: int, target: int) -> Floats:
    """The matrix from light in one set of primaries to another. All have the same white point."""
    return np.linalg.inv(_to_xyz(target)) @ _to_xyz(source)


def _to_xyz(primaries: int) -> Floats:
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in CHROMATICITIES[primaries]]).T
    return columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3])


@cache
def _widest(primaries: int) -> float:
    """The largest `_saturation` on the edges of a gamut."""
    share = np.linspace(0, 1, 65)[:, None]
    corners = np.array(
        [[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1], [1, 0, 0]], float
    )
    edges = np.vstack([a * (1 - share) + b * share for a, b in pairwise(corners)])
    light = edges @ _between(primaries, ColourPrimaries.BT709).T
    return float(_saturation(light / light.max(axis=1, keepdims=True)).max())
