"""The colour description of a stream and the brightness metadata of HDR."""

from dataclasses import dataclass
from enum import IntEnum


class ColourPrimaries(IntEnum):
    """The code points of ITU-T H.273, table 2, that are handled by name."""

    BT709 = 1
    UNSPECIFIED = 2
    BT2020 = 9
    DISPLAY_P3 = 12


class TransferCharacteristics(IntEnum):
    """The code points of ITU-T H.273, table 3, that are handled by name."""

    BT709 = 1
    UNSPECIFIED = 2
    PQ = 16
    """SMPTE ST 2084, in ITU-R BT.2100."""
    HLG = 18
    """ARIB STD-B67, in ITU-R BT.2100."""


class MatrixCoefficients(IntEnum):
    """The code points of ITU-T H.273, table 4, that are handled by name."""

    RGB = 0
    BT709 = 1
    UNSPECIFIED = 2
    BT2020 = 9
    """Non-constant luminance."""
    BT2020_CONSTANT = 10
    """Constant luminance."""


class ColourRange(IntEnum):
    """FFmpeg's AVColorRange. H.273 has a flag instead, which cannot be unspecified."""

    UNSPECIFIED = 0
    LIMITED = 1
    FULL = 2


HDR_TRANSFERS = frozenset({TransferCharacteristics.PQ, TransferCharacteristics.HLG})


@dataclass(frozen=True, slots=True)
class Colour:
    """A colour description.

    The fields hold the numbers that a file states, which need not be members of the enumerations.
    """

    primaries: int = ColourPrimaries.UNSPECIFIED
    transfer: int = TransferCharacteristics.UNSPECIFIED
    matrix: int = MatrixCoefficients.UNSPECIFIED
    range: int = ColourRange.UNSPECIFIED

    @property
    def is_full_range(self) -> bool:
        """Whether samples use all code values, as in JPEG. An unspecified range is limited."""
        return self.range == ColourRange.FULL


SDR = Colour(
    ColourPrimaries.BT709,
    TransferCharacteristics.BT709,
    MatrixCoefficients.BT709,
    ColourRange.LIMITED,
)
"""BT.709 in limited range: what tone mapping makes of HDR."""


@dataclass(frozen=True, slots=True)
class LightLevels:
    """The brightness that an HDR video was mastered for; 0 or empty is unknown.

    ``primaries`` (CIE 1931 x, y of red, green, blue and white) and the luminances, in cd/m2, are
    those of the mastering display (SMPTE ST 2086). ``max_content`` and ``max_average`` are MaxCLL
    and MaxFALL (CTA-861.3) in cd/m2: the brightest pixel, and the mean of the brightest frame.
    """

    primaries: tuple[float, ...] = ()
    min_luminance: float = 0.0
    max_luminance: float = 0.0
    max_content: int = 0
    max_average: int = 0
