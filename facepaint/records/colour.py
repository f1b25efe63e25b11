"""How pixels are meant: the colour tags of a stream and the levels of an HDR master."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Colour:
    """Colour description by the code points of ITU-T H.273; ``range`` is 1 limited, 2 full, 0
    unspecified."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    range: int = 0


@dataclass(frozen=True, slots=True)
class LightLevels:
    """How bright an HDR video was mastered: SMPTE ST 2086 and CTA-861.3; 0 or empty is unknown.

    ``primaries`` are the CIE 1931 x, y of red, green, blue and white; luminances are in cd/m2.
    ``max_content`` and
    ``max_average`` are MaxCLL and MaxFALL, the brightest pixel and the brightest picture's mean.
    """

    primaries: tuple[float, ...] = ()
    min_luminance: float = 0.0
    max_luminance: float = 0.0
    max_content: int = 0
    max_average: int = 0
