"""How much is decoded twice in a video with one keyframe, by length and number of processes:
python -m benchmarks.runs

A window of such a run can only be decoded from the keyframe on. A short run is measured; the
figures of long ones are computed from it and the cutter's rule.
"""

import argparse
import heapq
import tempfile
import time
from collections.abc import Sequence
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


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of one process for a frame: to decode it, and to detect or paint its faces."""

    decode_s: float
    work_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """Seconds until the first window and all are done, and frames decoded for each shown one."""

    first_s: float
    all_s: float
    decoded: float


def windows(minutes: float, pixels: int) -> list[int]:
    """The frames of each window of a run, with the lengths and bounds of the cutter."""
    left, most = round(minutes * 60 * FPS), MAX_WORK_PX // pixels
    frames: list[int] = []
    while left > 0:
        seconds = SEGMENT_S * GROWTH[min(len(frames), len(GROWTH) - 1)]
        frames.append(min(left, most, max(1, round(seconds * FPS))))
        left -= frames[-1]
    return frames


def simulate(frames: Sequence[int], processes: int, cost: Cost, kept: bool) -> Outcome:
    """Idle processes take the next window; with ``kept`` decoders they resume their last one."""
    idle = [(0.0, number) for number in range(processes)]
    reached = [0] * processes
    start, decoded, ends = 0, 0, []
    for count in frames:
        now, process = heapq.heappop(idle)
        fed = start + count - (reached[process] if kept else 0)
        reached[process] = start + count
        decoded += fed
        ends.append(now + fed * cost.decode_s + count * cost.work_s)
        heapq.heappush(idle, (ends[-1], process))
        start += count
    return Outcome(ends[0], max(ends), decoded / start)


def make_run(path: Path, seconds: float, size: tuple[int, int]) -> Path:
    """A clip with one keyframe: two seconds of the portrait, forwards and backwards."""
    forwards = list(scenes(2, size, Fraction(FPS)))
    images = islice(cycle(chain(forwards, reversed(forwards))), round(seconds * FPS))
    options = {"preset": "veryfast", "crf": "23", "g": "999999", "sc_threshold": "0"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def measure(probed: Probe, segments: Sequence[CutSegment], kept: bool) -> tuple[int, float]:
    """Decode every window in order in one process; returns frames shown and CPU seconds."""
    pool = DecoderPool()
    shown, start = 0, time.process_time()
    for number in range(len(segments)):
        run = [segment.record for segment in segments[: number + 1]]
        data = [segment.data for segment in segments[: number + 1]]
        if not kept:
            pool.clear()
        source = RunSource(run, data, decoders=pool)
        shown += sum(1 for _ in decode_window(probed.video, source))
    return shown, time.process_time() - start


def print_measured(seconds: float, limit_s: float) -> dict[str, float]:
    """Measure real runs; returns the seconds to decode a frame, by size."""
    print(f"\nMeasured, {seconds:g} s with one keyframe, H.264 by x264's veryfast, one process\n")
    print(
        "| size | windows | CPU s, decoder kept | CPU s, from the keyframe | ms a frame | "
        "within the limit |"
    )
    print("|---|---|---|---|---|---|")
    decode_s = {}
    for name, size in SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            path = make_run(Path(folder) / "run.mp4", seconds, size)
            probed = probe(path)
            segments = list(Reader(path, probed, SEGMENT_S).segments())
        (shown, once), (_, again) = (measure(probed, segments, kept) for kept in (True, False))
        decode_s[name] = once / shown
        reach = f"{limit_s / decode_s[name] / FPS / 60:.0f} minutes"
        print(
            f"| {name} | {len(segments)} | {once:.1f} | {again:.1f} | "
            f"{1000 * decode_s[name]:.2f} | {reach} |"
        )
    return decode_s


def print_computed(decode_s: dict[str, float], work_s: float) -> None:
    """Print the table of long runs."""
    print(f"\nComputed from these, with {1000 * work_s:g} ms of work a frame\n")
    print(
        "| size | minutes | windows | first after s | decoded for each shown: 1, 4, 16 processes | "
        "from the keyframe each time | all done after s: 1, 4, 16 processes |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, (width, height) in SIZES.items():
        cost = Cost(decode_s[name], work_s)
        for minutes in MINUTES:
            frames = windows(minutes, width * height)
            kept = [simulate(frames, count, cost, kept=True) for count in PROCESSES]
            cold = simulate(frames, 1, cost, kept=False)
            shares = ", ".join(f"{outcome.decoded:.1f}" for outcome in kept)
            ends = ", ".join(f"{outcome.all_s:.0f}" for outcome in kept)
            print(
                f"| {name} | {minutes} | {len(frames)} | {kept[0].first_s:.1f} | {shares} "
                f"| {cold.decoded:.1f} | {ends} |"
            )


def main() -> None:
    """Measure and compute."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30, help="length of the measured runs")
    parser.add_argument("--work-ms", type=float, default=10, help="detection or painting a frame")
    parser.add_argument("--limit-s", type=float, default=100, help="time limit of a task")
    arguments = parser.parse_args()
    print_computed(print_measured(arguments.seconds, arguments.limit_s), arguments.work_ms / 1000)


if __name__ == "__main__":
    main()
