"""Synthetic detections of moving faces, with ground truth."""

from fractions import Fraction
from itertools import pairwise

import numpy as np

from facepaint.records.faces import Candidate, Faces, FrameFaces

TICKS = 90_000
"""Ticks a second of these scenes."""

TIME_BASE = Fraction(1, TICKS)

PARTS = ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8))
"""The landmarks in a box, as shares of its sides."""


def candidate(x: float, y: float = 100.0, size: float = 50.0, score: float = 0.9) -> Candidate:
    """A candidate with the top left corner of its box at x, y."""
    landmarks = tuple(value for dx, dy in PARTS for value in (x + size * dx, y + size * dy))
    return Candidate(score, (x, y, x + size, y + size), landmarks)


def record(frames: list[FrameFaces], index: int = 0) -> Faces:
    """The record of a segment."""
    return Faces(index, tuple(frames), "test", "cpu")


def jumble(
    seed: int, rate: float, faces: int, missing: float, irregular: bool, seconds: float = 6.0
) -> list[FrameFaces]:
    """Faces that move at random, with duplicates, misses and all confidences; some cuts and failed
    frames. ``irregular`` frame intervals are 0.5 to 3 times the regular one."""
    rng = np.random.default_rng(seed)
    place, velocity = rng.uniform(50, 500, (faces, 2)), rng.normal(0, 60, (faces, 2))
    size, noise = rng.uniform(30, 80, faces), rng.choice([0.0, 0.01, 0.04])
    frames, pts = [], 0
    for _ in range(min(150, int(rate * seconds) + 6)):
        step = (float(rng.choice([0.5, 1, 1, 1.5, 3])) if irregular else 1.0) / rate
        pts += round(step * TICKS)
        place = place + velocity * step
        velocity = np.where((place < 0) | (place > 600), -velocity, velocity)
        found = [
            candidate(
                float(
                    place[face, 0] + rng.normal(0, noise * size[face]) + double * 0.6 * size[face]
                ),
                float(place[face, 1] + rng.normal(0, noise * size[face])),
                float(size[face] * (1 + rng.normal(0, noise))),
                float(rng.uniform(0.1, 0.95)),
            )
            for face in range(faces)
            for double in range(1 + int(rng.uniform() < 0.1))
            if rng.uniform() > missing
        ]
        failed = rng.uniform() < 0.02
        cut = 0.4 if rng.uniform() < 0.02 else 0.01
        frames.append(
            FrameFaces(pts, "failed" if failed else "detected", cut, () if failed else tuple(found))
        )
    return frames


def glimpses(seed: int) -> list[FrameFaces]:
    """A person who moves at random, detected rarely and mostly with low confidence."""
    rng = np.random.default_rng(seed)
    places = np.cumsum(rng.normal(0, (6, 4), (60, 2)), axis=0) + 100
    return [
        FrameFaces(
            t * TICKS // 30,
            faces=(candidate(x, y, score=float(rng.choice([0.2, 0.9], p=[0.8, 0.2]))),)
            if rng.uniform() < 0.25
            else (),
        )
        for t, (x, y) in enumerate(places.tolist())
    ]


def crossing(
    seed: int, rate: int, speed: float, hidden: float, seconds: float = 4.0
) -> tuple[list[FrameFaces], list[list[int]]]:
    """Two people who pass each other at ``speed`` face widths a second, with a detector's noise.

    Only the one in front is detected while the boxes overlap strongly, or are nearer than
    ``hidden`` widths.

    Returns:
        The frames, and for each frame the person (0 or 1) of each candidate.
    """
    rng = np.random.default_rng(seed)
    frames: list[FrameFaces] = []
    people: list[list[int]] = []
    for t in range(int(rate * seconds)):
        way = 50 * speed * (t / rate - seconds / 2)
        noise = rng.normal(0, 0.015 * 50, (2, 3))
        both = [
            candidate(300 + way + noise[0, 0], 100 + noise[0, 1], 50 + noise[0, 2], 0.9),
            candidate(300 - way + noise[1, 0], 104 + noise[1, 1], 50 + noise[1, 2], 0.85),
        ]
        order = [0] if abs(2 * way) < 50 * max(0.4, hidden) else list(rng.permutation(2))
        frames.append(FrameFaces(t * TICKS // rate, faces=tuple(both[one] for one in order)))
        people.append([int(one) for one in order])
    return frames, people


def cut_at(frames: list[FrameFaces], places: list[int]) -> list[Faces]:
    """The frames as segments that begin at some of them."""
    borders = sorted({0, *(place for place in places if place < len(frames)), len(frames)})
    return [
        record(frames[first:end], index) for index, (first, end) in enumerate(pairwise(borders))
    ]
