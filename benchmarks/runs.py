"""How much is decoded twice in a video with one keyframe: by rule, length and number of processes.

A window of such a run is decoded from the keyframe on. The figures of long runs are computed from
the cutter's rule, those of a short one are measured: ``python -m benchmarks.runs`` writes both.
"""

from __future__ import annotations

import argparse
import heapq
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, cycle, islice
from pathlib import Path

import av

from benchmarks.clips import scenes
from tasks.video.decode import DecoderPool, RunSource, decode_window
from uploader.cutter import GROWTH, MAX_WORK_PX, CutSegment
from uploader.probe import Probe, probe
from uploader.reader import Reader

FPS = 30
SEGMENT_S = 2
SIZES = {"360p": (640, 360), "1080p": (1920, 1080)}
MINUTES = (1, 10, 60, 120)
PROCESSES = (1, 4, 16)

Rule = Callable[[int, float], float]
"""Length in seconds of a run's window, by its number and by how much of the run is before it."""

RULES: dict[str, Rule] = {
    "2, 2, 4, 8, 8 s": lambda number, _before: SEGMENT_S * GROWTH[min(number, len(GROWTH) - 1)],
    "2 s": lambda _number, _before: SEGMENT_S,
    "1/4 of the run so far": lambda _number, before: max(SEGMENT_S, before / 4),
    "as long as the run so far": lambda _number, before: max(SEGMENT_S, before),
}


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds a frame takes one process: to decode it, and to find or paint its faces."""

    decode_s: float
    work_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rule comes to: windows, seconds until the first is done and all are, frames decoded
    for each shown."""

    windows: int
    first_s: float
    all_s: float
    decoded: float


def windows(rule: Rule, minutes: float, pixels: int) -> list[int]:
    """The frames of each window of a run, bounded as the cutter bounds them."""
    left, most, found = round(minutes * 60 * FPS), MAX_WORK_PX // pixels, []
    while left > 0:
        wanted = round(rule(len(found), sum(found) / FPS) * FPS)
        found.append(min(left, most, max(1, wanted)))
        left -= found[-1]
    return found


def simulate(frames: Sequence[int], processes: int, cost: Cost, kept: bool) -> Outcome:
    """Who is free takes the next window; with ``kept`` decoders a process goes on from where it
    was."""
    free = [(0.0, number) for number in range(processes)]
    reached = [0] * processes
    begin, decoded, ends = 0, 0, []
    for count in frames:
        now, process = heapq.heappop(free)
        fed = begin + count - (reached[process] if kept else 0)
        reached[process] = begin + count
        decoded += fed
        ends.append(now + fed * cost.decode_s + count * cost.work_s)
        heapq.heappush(free, (ends[-1], process))
        begin += count
    return Outcome(len(frames), ends[0], max(ends), decoded / begin)


def make_run(path: Path, seconds: float, size: tuple[int, int]) -> Path:
    """A clip with one keyframe: two seconds of the portrait to and fro."""
    there = list(scenes(2, size, Fraction(FPS)))
    pictures = islice(cycle(chain(there, reversed(there))), round(seconds * FPS))
    options = {"preset": "veryfast", "crf": "23", "g": "999999", "sc_threshold": "0"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def measure(probed: Probe, segments: Sequence[CutSegment], kept: bool) -> tuple[int, float]:
    """Decode every window in order, as one process does; the frames shown and the CPU seconds."""
    pool = DecoderPool()
    shown, began = 0, time.process_time()
    for number in range(len(segments)):
        run = [segment.record for segment in segments[: number + 1]]
        bins = [segment.data for segment in segments[: number + 1]]
        if not kept:
            pool.clear()
        source = RunSource(run, bins, decoders=pool)
        shown += sum(1 for _ in decode_window(probed.video, source))
    return shown, time.process_time() - began


def print_measured(seconds: float, limit_s: float) -> dict[str, float]:
    """Measure real runs; returns the seconds that a frame takes to decode, by size."""
    print(f"\nMeasured, {seconds:g} s with one keyframe, H.264 by x264's veryfast, one process\n")
    print(
        "| size | windows | CPU s, decoder kept | CPU s, from the keyframe | ms a frame | "
        "within the limit |"
    )
    print("|---|---|---|---|---|---|")
    a_frame = {}
    for name, size in SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            path = make_run(Path(folder) / "run.mp4", seconds, size)
            probed = probe(path)
            segments = list(Reader(path, probed, SEGMENT_S).segments())
        (shown, once), (_, again) = (measure(probed, segments, kept) for kept in (True, False))
        a_frame[name] = once / shown
        reach = f"{limit_s / a_frame[name] / FPS / 60:.0f} minutes"
        print(
            f"| {name} | {len(segments)} | {once:.1f} | {again:.1f} | "
            f"{1000 * a_frame[name]:.2f} | {reach} |"
        )
    return a_frame


def print_computed(decode_s: dict[str, float], work_s: float) -> None:
    """The table of long runs."""
    print(f"\nComputed with these, and {1000 * work_s:g} ms of work a frame\n")
    print(
        "| size | minutes | rule | windows | first after s | decoded for each shown: 1, 4, "
        "16 processes |",
        end="",
    )
    print(" from the keyframe each time | all done after s: 1, 4, 16 processes |")
    print("|---|---|---|---|---|---|---|---|")
    for name, (width, height) in SIZES.items():
        cost = Cost(decode_s[name], work_s)
        for minutes in MINUTES:
            for words, rule in RULES.items():
                frames = windows(rule, minutes, width * height)
                kept = [simulate(frames, count, cost, kept=True) for count in PROCESSES]
                cold = simulate(frames, 1, cost, kept=False)
                shares = ", ".join(f"{outcome.decoded:.1f}" for outcome in kept)
                ends = ", ".join(f"{outcome.all_s:.0f}" for outcome in kept)
                print(
                    f"| {name} | {minutes} | {words} | {len(frames)} | {kept[0].first_s:.1f} "
                    f"| {shares} "
                    "|"
                    f" {cold.decoded:.1f} | {ends} |"
                )


def main() -> None:
    """Measure and compute."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30, help="of the measured runs")
    parser.add_argument("--work-ms", type=float, default=10, help="a frame's detection or painting")
    parser.add_argument("--limit-s", type=float, default=100, help="a task's time limit")
    arguments = parser.parse_args()
    print_computed(print_measured(arguments.seconds, arguments.limit_s), arguments.work_ms / 1000)


if __name__ == "__main__":
    main()
