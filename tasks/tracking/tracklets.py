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
    plausible_pairs,
)
from tasks.tracking.interpolation import (
    CONFIDENT_S,
    FADE_S,
    Extrapolation,
    Interpolation,
    TrackingOptions,
    Tracklet,
)

BESIDE_GAP_S = 0.28
"""Distance from a long gap within which detections count for its interpolation. Seen from the far
end of the gap, this is within reach."""


def spans(
    candidates: Candidates, options: TrackingOptions
) -> Iterator[Tracklet | Interpolation | Extrapolation]:
    """Yield the spans of frames in which each face is detected, interpolated, extrapolated."""
    associations, in_context = associate(candidates), options.near_confident(candidates)
    tracklets = [
        Tracklet(candidates, nodes, in_context, options) for nodes in tracks_of(associations.short)
    ]
    # A sticker is shown where its own tracklet is a face; a redaction covers every candidate that
    # may be one.
    if options.redacts:
        _propagate_confidence(candidates, tracklets, associations)
    gaps = list(_long_gaps(candidates, tracklets, associations, options))
    yield from gaps
    gap_before = {gap.sides[1]: gap for gap in gaps}
    gap_after = {gap.sides[0]: gap for gap in gaps}
    for tracklet in tracklets:
        yield tracklet
        first, last = _frames_before(candidates, tracklet, gap_before.get(tracklet), options)
        if first <= last:
            velocity = associations.future.velocity[tracklet.nodes[0]]
            yield Extrapolation(candidates, tracklet, False, velocity, (first, last), options)
        first, last = _frames_after(candidates, tracklet, gap_after.get(tracklet), options)
        if first <= last:
            velocity = associations.past.velocity[tracklet.nodes[-1]]
            yield Extrapolation(candidates, tracklet, True, velocity, (first, last), options)


def _propagate_confidence(
    candidates: Candidates, tracklets: list[Tracklet], associations: Associations
) -> None:
    """Count the accepted detections of a tracklet for all that may be the same face, and so on.

    A frame beyond a gap cannot know which of them is the same face, so a redaction covers all.
    """
    ends = np.array([tracklet.nodes[-1] for tracklet in tracklets], np.int64)
    starts = np.array([tracklet.nodes[0] for tracklet in tracklets], np.int64)
    tracklet_of = np.zeros(len(candidates.row), np.int64)
    tracklet_of[ends] = tracklet_of[starts] = np.arange(len(tracklets))
    past, future = associations.past, associations.future
    pairs = plausible_pairs(candidates, np.sort(ends), starts, past, future, GAP_S)[:2]
    before: list[list[int]] = [[] for _ in tracklets]
    after: list[list[int]] = [[] for _ in tracklets]
    for earlier, later in zip(*(tracklet_of[nodes].tolist() for nodes in pairs), strict=True):
        before[later].append(earlier)
        after[earlier].append(later)
    # Tracklets are sorted by their start, so each comes after all that end before it.
    numbers = range(len(tracklets))
    from_before = _propagate(tracklets, numbers, before)
    from_after = _propagate(tracklets, reversed(numbers), after)
    # Both directions end before either is written: they start from a tracklet's own detections.
    for number, tracklet in enumerate(tracklets):
        tracklet.accepted_times = np.union1d(from_before[number], from_after[number])


def _propagate(
    tracklets: list[Tracklet], order: Iterable[int], neighbours: list[list[int]]
) -> list[Vector]:
    """The times of the accepted detections of each tracklet and of those that propagate to it."""
    accepted = [tracklet.accepted_times for tracklet in tracklets]
    # Interpolations and extrapolations ask for times within CONFIDENT_S of their frames.
    margin = CONFIDENT_S + GAP_S + ROUNDING_S
    for number in order:
        if not neighbours[number]:
            continue
        incoming = [accepted[neighbour] for neighbour in neighbours[number]]
        times = np.unique(np.concatenate([accepted[number], *incoming]))
        first, last = tracklets[number].times[0] - margin, tracklets[number].times[-1] + margin
        # Others are never asked for; kept, they would pile up along a chain of tracklets.
        accepted[number] = times[(first <= times) & (times <= last)]
    return accepted


def _long_gaps(
    candidates: Candidates,
    tracklets: list[Tracklet],
    associations: Associations,
    options: TrackingOptions,
) -> Iterator[Interpolation]:
    """The gaps between tracklets that are longer than `SHORT_S`."""
    starting_at = {int(tracklet.nodes[0]): tracklet for tracklet in tracklets}
    previous = inverse(associations.near)
    for tracklet in tracklets:
        end = int(tracklet.nodes[-1])
        start = int(associations.after[end])
        if start < 0:
            continue
        before = _beside(candidates, end, previous)[::-1]
        after = _beside(candidates, start, associations.near)
        velocities = np.stack(
            [associations.past.velocity[end], associations.future.velocity[start]]
        )
        sides = tracklet, starting_at[start]
        yield Interpolation(candidates, sides, np.array(before + after), velocities, options)


def tracks_of(after: Indexes) -> list[Indexes]:
    """The chains of associated candidates, in the order of their first ones.

    Args:
        after: for each candidate the index of the next one, -1 for none: (n,) int64.
    """
    following, tracks = after.tolist(), []
    for node in np.flatnonzero(inverse(after) < 0).tolist():
        track = [node]
        while (node := following[node]) >= 0:
            track.append(node)
        tracks.append(np.array(track, np.int64))
    return tracks


def _beside(candidates: Candidates, node: int, towards: Indexes) -> list[int]:
    """A detection at the border of a gap, and those of its track up to `BESIDE_GAP_S` away."""
    now = candidates.times[candidates.row]
    beside = [node]
    while (following := int(towards[beside[-1]])) >= 0:
        if abs(now[following] - now[node]) > BESIDE_GAP_S + ROUNDING_S:
            break
        beside.append(following)
    return beside


def _frames_before(
    candidates: Candidates, tracklet: Tracklet, gap: Interpolation | None, options: TrackingOptions
) -> tuple[int, int]:
    """The first and last frame of the extrapolation before a tracklet, without those of a gap;
    empty if these cross."""
    farthest = _farthest(candidates, tracklet.first, -1, options)
    return farthest, (tracklet.first if gap is None else gap.first) - 1


def _frames_after(
    candidates: Candidates, tracklet: Tracklet, gap: Interpolation | None, options: TrackingOptions
) -> tuple[int, int]:
    """The same after a tracklet."""
    farthest = _farthest(candidates, tracklet.last, 1, options)
    return (tracklet.last if gap is None else gap.last) + 1, farthest


def _farthest(candidates: Candidates, end: int, step: int, options: TrackingOptions) -> int:
    """The last frame that is extrapolated from frame ``end`` on, with ``step`` 1 forwards, with -1
    backwards."""
    times, scene = candidates.times, candidates.scene
    seconds = options.hold_s if options.redacts else FADE_S
    row = end + step
    # A redaction also extrapolates across cuts, because a flash of light looks like one.
    while 0 <= row < len(times) and (options.redacts or scene[row] == scene[end]):
        is_next = row == end + step
        # At low frame rates the next frame may be further away than `hold_s`. A redaction covers it
        # if it is within reach.
        longest = REACH_S if options.redacts and seconds and is_next else seconds
        if abs(times[row] - times[end]) > longest + ROUNDING_S:
            break
        row += step
    return row - step
