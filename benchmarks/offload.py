"""Throughput of the offloaded path, compared with two others on the same video: python -m
benchmarks.offload

1. facepaint: from the upload until the last painted segment is stored, with workers on this
   machine.
2. One process: the same detecting and painting, segment by segment, without storage.
3. A plain transcode by FFmpeg's libraries with the same encoder settings and every core.

The three take turns. A rate is the median over the rounds, a ratio that of two medians; the range
of the ratios within a round shows the noise. Absolute numbers depend on the machine and its load,
so compare the ratios. Every frame shows faces and is painted.
"""

import argparse
import io
import os
import platform
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import av
import cv2

from benchmarks.clips import make_portrait_clip
from facepaint.client import Client
from facepaint.jobs.readiness import SegmentIndex
from facepaint.looks.look import Look
from facepaint.looks.parser import parse_look
from facepaint.records import keys
from facepaint.records.faces import Faces
from facepaint.records.job import JobRecord, VideoJob
from facepaint.records.results import Painted
from facepaint.records.segment import Segment
from facepaint.settings import Settings
from facepaint.stack.stack import Stack, private_stack
from models.providers import Runtime
from tasks.detect import detect_segment
from tasks.paint import Inputs, paint_segment
from tasks.video.decode import RunSource

POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds and frames of one path."""

    name: str
    seconds: float
    frames: int

    @property
    def rate(self) -> float:
        """Frames a second."""
        return self.frames / self.seconds


def offloaded(client: Client, clip: Path, look: Look) -> tuple[Timing, str]:
    """Upload and wait until everything is painted; returns the job's id too."""
    start = time.perf_counter()
    uploaded = client.upload(clip, look)
    job_id = uploaded.job_id
    # One known key is cheap to poll; listings would slow down what is measured.
    for index in range(uploaded.segments):
        while not client.store.exists(keys.painted(job_id, look.id, index)):
            time.sleep(POLL_S)
    seconds = time.perf_counter() - start
    return Timing(
        "facepaint, offloaded",
        seconds,
        sum(record.frames for record in painted(client, job_id, look)),
    ), job_id


def painted(client: Client, job_id: str, look: Look) -> list[Painted]:
    """The records of a job's painted segments."""
    indexes = sorted(client.status(job_id).keys.painted[look.id])
    return [
        client.store.get_record(keys.painted(job_id, look.id, index), Painted) for index in indexes
    ]


def one_process(client: Client, job_id: str, look: Look) -> Timing:
    """Detect and paint the same segments one after another in this process."""
    job = client.store.get_record(keys.job(job_id), JobRecord)
    assert isinstance(job, VideoJob)
    indexes = sorted(client.status(job_id).keys.stored)
    segments = [client.store.get_record(keys.segment(job_id, index), Segment) for index in indexes]
    bins = [client.store.get(keys.source(job_id, index)) for index in indexes]
    segment_index = SegmentIndex(client.store, job)
    reaches = [[segment.index for segment in segment_index.reach(index) or []] for index in indexes]
    found: dict[int, Faces] = {}
    frames = 0
    start = time.perf_counter()
    for index, segment in enumerate(segments):
        run = slice(segment.decode_from, index + 1)
        found[index] = detect_segment(job, RunSource(segments[run], bins[run]), Runtime("cpu"))
    for index, segment in enumerate(segments):
        run = slice(segment.decode_from, index + 1)
        near = {other: found[other] for other in reaches[index]}
        frames += paint_segment(
            job, look, RunSource(segments[run], bins[run]), Inputs(near)
        ).record.frames
    return Timing("the same in one process", time.perf_counter() - start, frames)


def transcode(clip: Path, settings: Settings) -> Timing:
    """Decode and encode with every core."""
    frames = 0
    start = time.perf_counter()
    with av.open(str(clip)) as source, av.open(io.BytesIO(), "w", format="mp4") as target:
        decoded = source.streams.video[0]
        decoded.thread_type = "AUTO"
        encoded = target.add_stream("libx264", rate=decoded.average_rate)
        encoded.width, encoded.height, encoded.pix_fmt = decoded.width, decoded.height, "yuv420p"
        encoded.codec_context.time_base = decoded.time_base
        encoded.codec_context.thread_count = os.cpu_count() or 1
        encoded.options = {
            "preset": settings.preset,
            "crf": str(settings.crf),
            "bf": "0",
            "g": "60",
        }
        for frame in source.decode(decoded):
            frame.pict_type = av.video.frame.PictureType.NONE
            target.mux(encoded.encode(frame))
            frames += 1
        target.mux(encoded.encode(None))
    return Timing("plain transcode", time.perf_counter() - start, frames)


def stages(client: Client, job_id: str, look: Look) -> Counter[str]:
    """Seconds the workers spent in each stage of a job."""
    spent: Counter[str] = Counter()
    for record in painted(client, job_id, look):
        spent.update({f"paint: {stage}": seconds for stage, seconds in record.times_s.items()})
        faces = client.store.get_record(keys.faces(job_id, record.index), Faces)
        spent.update({f"detect: {stage}": seconds for stage, seconds in faces.times_s.items()})
    return spent


def warm_up(client: Client, look: Look, folder: Path) -> None:
    """Make every worker process load its detector and artwork before the measurement."""
    clip = make_portrait_clip(folder / "warm.mp4", seconds=12)
    client.wait(client.upload(clip, look).job_id)


def report(rounds: list[tuple[Timing, ...]], spent: Counter[str], cores: int) -> None:
    """Print the rates, their ratios to the transcode, and the workers' time by stage."""
    print(
        f"\n{platform.machine()}, {cores} cores, Python {platform.python_version()}, PyAV "
        f"{av.__version__}"
    )
    paths = list(zip(*rounds, strict=True))
    reference = statistics.median(timing.rate for timing in paths[-1])
    for path in paths:
        rate = statistics.median(timing.rate for timing in path)
        ratios = sorted(
            timing.rate / turn[-1].rate for timing, turn in zip(path, rounds, strict=True)
        )
        print(f"{path[0].name:24} {path[0].frames:6} frames {rate:7.1f} frames/s", end="")
        print(
            f"   {rate / reference:.2f} of the transcode (within a round {ratios[0]:.2f} to "
            f"{ratios[-1]:.2f})"
        )
    total = sum(spent.values())
    offload = [turn[0] for turn in rounds]
    busy = total / (sum(timing.seconds for timing in offload) * cores)
    frames = sum(timing.frames for timing in offload)
    print(f"\nthe workers' time by stage ({busy:.0%} of the cores' time is in these stages)")
    for stage, seconds in spent.most_common():
        print(f"  {stage:16} {1000 * seconds / frames:6.2f} ms a frame {seconds / total:6.1%}")


def main() -> int:
    """Run the three paths and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=60, help="length of the clip made")
    parser.add_argument("--rounds", type=int, default=3, help="how often each path is measured (3)")
    parser.add_argument("--clip", type=Path, help="your own video instead")
    parser.add_argument("--filter", action="append", dest="filters", help="what to paint")
    options = parser.parse_args()
    look = parse_look(options.filters or ["sunglasses"])
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = Settings.load(home=folder)
        clip = options.clip or make_portrait_clip(folder / "clip.mp4", seconds=options.seconds)
        with private_stack(settings) as stack:
            measure(stack, clip, look, folder, options.rounds)
    return 0


def measure(stack: Stack, clip: Path, look: Look, folder: Path, rounds: int) -> None:
    """Measure the three paths in turns."""
    client = Client(stack.settings)
    warm_up(client, look, folder)
    timings, spent = [], Counter[str]()
    for _ in range(rounds):
        first, job_id = offloaded(client, clip, look)
        timings.append((first, one_process(client, job_id, look), transcode(clip, stack.settings)))
        spent.update(stages(client, job_id, look))
    report(timings, spent, os.cpu_count() or 1)


if __name__ == "__main__":
    sys.exit(main())
