"""Animation of sticker layers: periodic functions of time alone.

They keep no state from frame to frame, so segments that are painted on different machines join
without a jump.
"""

import math
from dataclasses import dataclass

from filters.easing import smoothstep


@dataclass(frozen=True, slots=True)
class MotionState:
    """The state of a layer at one time of its animation.

    ``right``, ``down`` and ``out`` are its offset in eye distances of head space; ``degrees`` is
    its clockwise rotation about its origin, ``size`` its scale, ``opacity`` is 0-1. ``progress`` is
    the share of the period that has passed: [0, 1).
    """

    right: float = 0.0
    down: float = 0.0
    out: float = 0.0
    degrees: float = 0.0
    size: float = 1.0
    opacity: float = 1.0
    progress: float = 0.0


AT_REST = MotionState()
"""The state of a layer without animation."""

FADE_IN = 0.22
"""The share of its period in which a rising layer appears; it takes twice as long to vanish."""

LOOP_TILT = 0.3
"""A loop around the head is seen from slightly above: the share of its radius that is down in
front."""

PROGRESS_DIGITS = 6
"""Progress is rounded, so that equal times of two periods give equal states to the last bit."""


@dataclass(frozen=True, slots=True)
class Motion:
    """An animation with a period of ``period`` seconds, started ``phase`` periods early.

    In a period the layer moves by ``bob`` down and up and by ``sway`` right and left (eye distances
    to each side), rotates by ``rock`` degrees to each side, grows and shrinks by ``swell`` (a
    share), goes once around the vertical in a ``loop`` of that radius, and spins ``turns`` times.
    With ``rise`` it moves up by so much, or accelerates down if negative; it grows and fades in at
    its place and has faded out at the end.
    """

    period: float
    phase: float = 0.0
    bob: float = 0.0
    sway: float = 0.0
    rock: float = 0.0
    swell: float = 0.0
    loop: float = 0.0
    turns: int = 0
    rise: float = 0.0

    def at(self, time_s: float) -> MotionState:
        """The state ``time_s`` seconds after the start of the video."""
        progress = round(time_s / self.period + self.phase, PROGRESS_DIGITS) % 1.0
        sin, cos = math.sin(math.tau * progress), math.cos(math.tau * progress)
        # Falling drops accelerate: the square of time, as under gravity.
        risen = progress * progress if self.rise < 0 else progress
        fade_in = smoothstep(progress / FADE_IN) if self.rise else 1.0
        fade_out = smoothstep((1 - progress) / (2 * FADE_IN)) if self.rise else 1.0
        return MotionState(
            right=self.sway * sin + self.loop * sin,
            down=self.bob * sin + LOOP_TILT * self.loop * cos - self.rise * risen,
            out=self.loop * cos,
            degrees=self.rock * sin + 360.0 * self.turns * progress,
            size=(1 + self.swell * sin) * (0.4 + 0.6 * fade_in),
            opacity=fade_in * fade_out,
            progress=progress,
        )
