"""How parts of stickers move by themselves: as a function of time alone, over and over without a
jump."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a part is in its motion.

    ``right``, ``down`` and ``out`` are how far it is from its place, in eye distances of head
    space; ``degrees`` is how far it is rolled clockwise about its origin, ``size`` how large it is
    relative to its drawing, ``opacity`` 0-1 how much of it is seen. ``share`` of its round has
    passed (0-1, 1 excluded).
    """

    right: float = 0.0
    down: float = 0.0
    out: float = 0.0
    degrees: float = 0.0
    size: float = 1.0
    opacity: float = 1.0
    share: float = 0.0


RESTING = Moment()
"""A part in its place, as drawn."""

APPEARING = 0.22
"""In this share of a round a part that appears does so; it takes twice as long to vanish."""

LOOP_TILT = 0.3
"""A loop about the head is seen from above a little: this share of its radius is what is down in
front."""

SHARE_DIGITS = 6
"""Shares of a round are rounded, so that the same moment of another round is the same to the last
bit."""


@dataclass(frozen=True, slots=True)
class Motion:
    """A round that takes ``period`` seconds, of which a part is ``phase`` (a share) ahead.

    In a round it swings by ``bob`` down and up and by ``sway`` right and left (eye distances to
    each side), rocks by
    ``rock`` degrees to each side, is up to ``swell`` (a share) larger and smaller, goes once about
    the vertical in a
    ``loop`` of that radius, and turns ``turns`` times about itself. With ``rise`` it goes that far
    up (down where negative), faster and faster where it falls; it appears at its place, growing,
    and has vanished at the end.
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

    def at(self, time_s: float) -> Moment:
        """The moment ``time_s`` seconds after the video's start."""
        share = round(time_s / self.period + self.phase, SHARE_DIGITS) % 1.0
        sin, cos = math.sin(math.tau * share), math.cos(math.tau * share)
        way = share * share if self.rise < 0 else share
        come = _smooth(share / APPEARING) if self.rise else 1.0
        gone = _smooth((1 - share) / (2 * APPEARING)) if self.rise else 1.0
        return Moment(
            right=self.sway * sin + self.loop * sin,
            down=self.bob * sin + LOOP_TILT * self.loop * cos - self.rise * way,
            out=self.loop * cos,
            degrees=self.rock * sin + 360.0 * self.turns * share,
            size=(1 + self.swell * sin) * (0.4 + 0.6 * come),
            opacity=come * gone,
            share=share,
        )


def _smooth(x: float) -> float:
    """From 0 at 0 to 1 at 1, and flat at both."""
    x = min(1.0, max(0.0, x))
    return x * x * (3 - 2 * x)
