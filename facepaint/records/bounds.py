"""The bounds of numbers in records. A record may be damaged or forged; numbers within these bounds
overflow nothing and fill no memory by themselves."""

from fractions import Fraction
from typing import Annotated, Literal

from annotated_types import Interval

Ticks = Annotated[int, Interval(ge=-(2**62), le=2**62)]
"""A time in ticks. FFmpeg's are of 64 bits; a sum or difference of two of these is, too."""

MAX_SEGMENTS = 1_000_000
"""Keys have six digits for the number of a segment."""

Index = Annotated[int, Interval(ge=0, lt=MAX_SEGMENTS)]
"""The number of a segment."""

Count = Annotated[int, Interval(ge=0, le=2**40)]
"""A number of bytes or of things."""

Side = Annotated[int, Interval(ge=1, le=65_535)]
"""A side of a frame in px."""

Seconds = Annotated[float, Interval(ge=0, le=1e9)]

TimeBase = Annotated[Fraction, Interval(gt=0, le=86_400)]
"""The length of a tick in seconds."""

FrameRate = Annotated[Fraction, Interval(gt=0, le=1_000_000)]

Rotation = Literal[0, 90, 180, 270]
"""A rotation in degrees."""
