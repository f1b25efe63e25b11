"""The chains that linked candidates make: runs of detections, gaps between runs, and what is held
before and after."""

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
"""How much of a run on either side of a long gap tells what is in it: from the gap's far end that
is within reach."""


def spans(
    candidates: Candidates, options: TrackingOptions
) -> Iterator[Tracklet | Interpolation | Extrapolation]:
    """All that is known of any face: each stretch of frames says where it is in them."""
    links, near_confident = associate(candidates), options.near_confident(candidates)
    runs = [
        Tracklet(candidates, nodes, near_confident, options) for nodes in tracks_of(links.short)
    ]
    if options.redacts:
        _propagate_confidence(candidates, runs, links)
    gaps = list(_gaps(candidates, runs, links, options))
    yield from gaps
    gap_before, gap_after = {gap.sides[1]: gap for gap in gaps}, {gap.sides[0]: gap for gap in gaps}
    for run in runs:
        yield run
        for after, gap in ((False, gap_before.get(run)), (True, gap_after.get(run))):
            first, last = _extrapolated(candidates, run, after, gap, options)
            if first <= last:
                velocity = (
                    links.past.velocity[run.nodes[-1]]
                    if after
                    else links.future.velocity[run.nodes[0]]
                )
                yield Extrapolation(candidates, run, after, velocity, (first, last), options)


def _propagate_confidence(
    candidates: Candidates, runs: list[Tracklet], links: Associations
) -> None:
    """Have the sure detections of a run count for those before and after it, too, that may be of
    the same face, and on from them.

    Which of them is, a frame beyond the gap cannot know; what hides does not take the risk.
    """
    ends, begins = (np.array([run.nodes[place] for run in runs], np.int64) for place in (-1, 0))
    run_of = np.zeros(len(candidates.row), np.int64)
    run_of[ends] = run_of[begins] = np.arange(len(runs))
    pairs = possible(candidates, np.sort(ends), begins, links.past, links.future, GAP_S)[:2]
    earlier: list[list[int]] = [[] for _ in runs]
    later: list[list[int]] = [[] for _ in runs]
    for one, other in zip(*(run_of[nodes].tolist() for nodes in pairs), strict=True):
        earlier[other].append(one)
        later[one].append(other)
    # Runs stand in the order of their beginnings: each comes after all those before it.
    numbers = range(len(runs))
    from_before, from_after = (
        _propagate(runs, numbers, earlier),
        _propagate(runs, reversed(numbers), later),
    )
    for number, run in enumerate(runs):
        run.confident = np.union1d(from_before[number], from_after[number])


def _propagate(
    runs: list[Tracklet], order: Iterable[int], neighbours: list[list[int]]
) -> list[Vector]:
    """The times of sure detections of each run, and of those that pass theirs on to it."""
    confident = [run.confident for run in runs]
    for number in order:
        if neighbours[number]:
            times = np.unique(
                np.concatenate([confident[number], *(confident[one] for one in neighbours[number])])
            )
            # The gaps and holds beside a run ask for what lies within SURE_S of them.
            first, last = runs[number].times[[0, -1]] + np.array([-1, 1]) * (
                CONFIDENT_S + GAP_S + ROUNDING_S
            )
            confident[number] = times[(first <= times) & (times <= last)]
    return confident


def _gaps(
    candidates: Candidates, runs: list[Tracklet], links: Associations, options: TrackingOptions
) -> Iterator[Interpolation]:
    """The long gaps between runs."""
    by_first, earlier = {int(run.nodes[0]): run for run in runs}, inverse(links.near)
    for run in runs:
        end = int(run.nodes[-1])
        begin = int(links.after[end])
        if begin >= 0:
            nodes = [
                *_beside(candidates, end, earlier)[::-1],
                *_beside(candidates, begin, links.near),
            ]
            velocities = np.stack([links.past.velocity[end], links.future.velocity[begin]])
            yield Interpolation(
                candidates, (run, by_first[begin]), np.array(nodes), velocities, options
            )


def tracks_of(after: Indexes) -> list[Indexes]:
    """The chains that links from each candidate to a later one make, in the order of their first
    ones."""
    following, found = after.tolist(), []
    for node in np.flatnonzero(inverse(after) < 0).tolist():
        chain = [node]
        while (node := following[node]) >= 0:
            chain.append(node)
        found.append(np.array(chain, np.int64))
    return found


def _beside(candidates: Candidates, node: int, towards: Indexes) -> list[int]:
    """A detection at the border of a gap and those up to `BESIDE_S` away from the gap that are
    surely of the same."""
    now = candidates.times[candidates.row]
    found = [node]
    while (on := int(towards[found[-1]])) >= 0 and abs(
        now[on] - now[node]
    ) <= BESIDE_S + ROUNDING_S:
        found.append(on)
    return found


def _extrapolated(
    candidates: Candidates,
    run: Tracklet,
    after: bool,
    gap: Interpolation | None,
    options: TrackingOptions,
) -> tuple[int, int]:
    """The first and last frame in which a run is held on to, but for those of a gap; none if these
    cross.

    What hides is held past cuts too, because a flash of light looks like one, and a frame at least
    where one comes within reach.
    """
    step, end = (1, run.last) if after else (-1, run.first)
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
