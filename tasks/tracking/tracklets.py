"""Split associated candidates into tracklets, and find the frames between and beyond them."""

from collections.abc import Iterable, Iterator

import numpy as np

from facepaint.records.segment import REACH_S
from tasks.tracking.association import (
    GAP_S,
    ROUNDING_S,
    Associations,
    Candidates,
    Indexes,
    Vector,
    associate,
    inverse,
    possible,
)
from tasks.tracking.interpolation import (
    CONFIDENT_S,
    FADE_S,
    Extrapolation,
    Interpolation,
    TrackingOptions,
    Tracklet,
)

BESIDE_S = 0.28
"""How far the detections of a tracklet count for a long gap beside it. Seen from the far end of the
gap, this is within reach."""


def spans(
    candidates: Candidates, options: TrackingOptions
) -> Iterator[Tracklet | Interpolation | Extrapolation]:
    """Yield the stretches of frames in which each face is detected, interpolated, extrapolated."""
    links, in_context = associate(candidates), options.near_confident(candidates)
    tracklets = [
        Tracklet(candidates, nodes, in_context, options) for nodes in tracks_of(links.short)
    ]
    if options.redacts:
        _propagate_confidence(candidates, tracklets, links)
    gaps = list(_gaps(candidates, tracklets, links, options))
    yield from gaps
    gap_before = {gap.sides[1]: gap for gap in gaps}
    gap_after = {gap.sides[0]: gap for gap in gaps}
    for tracklet in tracklets:
        yield tracklet
        before = _extrapolated(candidates, tracklet, False, gap_before.get(tracklet), options)
        if before[0] <= before[1]:
            velocity = links.future.velocity[tracklet.nodes[0]]
            yield Extrapolation(candidates, tracklet, False, velocity, before, options)
        after = _extrapolated(candidates, tracklet, True, gap_after.get(tracklet), options)
        if after[0] <= after[1]:
            velocity = links.past.velocity[tracklet.nodes[-1]]
            yield Extrapolation(candidates, tracklet, True, velocity, after, options)


def _propagate_confidence(
    candidates: Candidates, tracklets: list[Tracklet], links: Associations
) -> None:
    """Count the accepted detections of a tracklet for all that may be the same face, and so on.

    A frame beyond a gap cannot know which of them is the same face, so a redaction covers all.
    """
    ends, begins = (
        np.array([tracklet.nodes[place] for tracklet in tracklets], np.int64) for place in (-1, 0)
    )
    tracklet_of = np.zeros(len(candidates.row), np.int64)
    tracklet_of[ends] = tracklet_of[begins] = np.arange(len(tracklets))
    pairs = possible(candidates, np.sort(ends), begins, links.past, links.future, GAP_S)[:2]
    earlier: list[list[int]] = [[] for _ in tracklets]
    later: list[list[int]] = [[] for _ in tracklets]
    for one, other in zip(*(tracklet_of[nodes].tolist() for nodes in pairs), strict=True):
        earlier[other].append(one)
        later[one].append(other)
    # Tracklets are sorted by their start, so each comes after all that end before it.
    numbers = range(len(tracklets))
    from_before, from_after = (
        _propagate(tracklets, numbers, earlier),
        _propagate(tracklets, reversed(numbers), later),
    )
    for number, tracklet in enumerate(tracklets):
        tracklet.accepted_times = np.union1d(from_before[number], from_after[number])


def _propagate(
    tracklets: list[Tracklet], order: Iterable[int], neighbours: list[list[int]]
) -> list[Vector]:
    """The times of the accepted detections of each tracklet and of those that propagate to it."""
    confident = [tracklet.accepted_times for tracklet in tracklets]
    for number in order:
        if neighbours[number]:
            times = np.unique(
                np.concatenate([confident[number], *(confident[one] for one in neighbours[number])])
            )
            # Interpolations and extrapolations ask for times within CONFIDENT_S of their frames.
            first, last = tracklets[number].times[[0, -1]] + np.array([-1, 1]) * (
                CONFIDENT_S + GAP_S + ROUNDING_S
            )
            confident[number] = times[(first <= times) & (times <= last)]
    return confident


def _gaps(
    candidates: Candidates, tracklets: list[Tracklet], links: Associations, options: TrackingOptions
) -> Iterator[Interpolation]:
    """The long gaps between tracklets."""
    by_first, earlier = (
        {int(tracklet.nodes[0]): tracklet for tracklet in tracklets},
        inverse(links.near),
    )
    for tracklet in tracklets:
        end = int(tracklet.nodes[-1])
        begin = int(links.after[end])
        if begin >= 0:
            nodes = [
                *_beside(candidates, end, earlier)[::-1],
                *_beside(candidates, begin, links.near),
            ]
            velocities = np.stack([links.past.velocity[end], links.future.velocity[begin]])
            yield Interpolation(
                candidates, (tracklet, by_first[begin]), np.array(nodes), velocities, options
            )


def tracks_of(after: Indexes) -> list[Indexes]:
    """The chains of associated candidates, in the order of their first ones.

    Args:
        after: for each candidate the index of the next one, -1 for none: (n,) int64.
    """
    following, found = after.tolist(), []
    for node in np.flatnonzero(inverse(after) < 0).tolist():
        chain = [node]
        while (node := following[node]) >= 0:
            chain.append(node)
        found.append(np.array(chain, np.int64))
    return found


def _beside(candidates: Candidates, node: int, towards: Indexes) -> list[int]:
    """A detection at the border of a gap, and those of its track up to `BESIDE_S` away."""
    now = candidates.times[candidates.row]
    found = [node]
    while (on := int(towards[found[-1]])) >= 0 and abs(
        now[on] - now[node]
    ) <= BESIDE_S + ROUNDING_S:
        found.append(on)
    return found


def _extrapolated(
    candidates: Candidates,
    tracklet: Tracklet,
    after: bool,
    gap: Interpolation | None,
    options: TrackingOptions,
) -> tuple[int, int]:
    """The first and last frame of an extrapolation, without those of a gap; empty if these cross.

    A redaction also extrapolates across cuts, because a flash of light looks like one, and for at
    least one frame if that is within reach.
    """
    step, end = (1, tracklet.last) if after else (-1, tracklet.first)
    times, scene = candidates.times, candidates.scene
    seconds = options.hold_s if options.redacts else FADE_S
    row = end + step
    while 0 <= row < len(times) and (options.redacts or scene[row] == scene[end]):
        longest = REACH_S if options.redacts and seconds and row == end + step else seconds
        if abs(times[row] - times[end]) > longest + ROUNDING_S:
            break
        row += step
    farthest, nearest = row - step, end + step
    if gap is not None:
        nearest = (gap.last if after else gap.first) + step
    return (nearest, farthest) if after else (farthest, nearest)
