"""Peak memory of the real processes for a long generated video: python -m benchmarks.memory

1. ``facepaint upload`` of the whole file.
2. A worker that detects and paints the first segments: each of its processes, and their sum.
3. ``facepaint view --save`` of the whole job. Copies of the painted segments with other times stand
   in for the rest, which show the same frames.

A peak is the kernel's VmHWM in /proc/PID/status, the largest resident set, so this needs Linux.
"""

import argparse
import hashlib
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import av

from benchmarks.clips import make_portrait_clip, repeat_clip
from facepaint.client import Client
from facepaint.media.mp4 import shift_tfdt
from facepaint.records import keys
from facepaint.records.faces import Faces
from facepaint.records.job import JobRecord, VideoJob
from facepaint.records.results import Painted
from facepaint.records.segment import Segment
from facepaint.settings import Settings
from facepaint.stack import components
from facepaint.stack.processes import Children, wait_until_ready
from facepaint.stack.stack import Stack

MIB = 2**20
POLL_S = 0.02

CLIP_S = 20
"""A whole number of segments, so that every repetition of the clip is cut alike."""

UPLOAD_LIMIT_MB = 150
WORKER_LIMIT_MB = 700


@dataclass(frozen=True, slots=True)
class Peak:
    """The peak memory of a process, in MB (10^6 bytes)."""

    name: str
    peak_mb: float
    limit_mb: float | None = None


def peak_of(pid: int) -> int | None:
    """The largest resident set of a process in bytes; None if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), None)


def run(settings: Settings, *arguments: object) -> tuple[str, float]:
    """Run a facepaint command; returns its output and its peak in MB."""
    command = [sys.executable, "-m", "facepaint", *map(str, arguments)]
    environment = {**os.environ, **settings.environment()}
    with tempfile.TemporaryFile("w+") as output:
        with subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.DEVNULL
        ) as process:
            peak = 0
            # The peak only grows, so polling misses only what is added after the last poll.
            while process.poll() is None:
                peak = max(peak, peak_of(process.pid) or 0)
                time.sleep(POLL_S)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
        output.seek(0)
        return output.read(), peak / 1e6


def members(group: int) -> Iterator[int]:
    """The processes of a process group."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            # The process ended meanwhile.
            continue
        if int(fields[2]) == group:
            yield int(entry.parent.name)


def work(client: Client, home: Path, job_id: str, look: str, segments: int) -> list[Peak]:
    """Run a real worker with one process until so many segments are painted."""
    children = Children()
    try:
        child = children.start(components.worker(home, client.settings, processes=1))
        wait_until_ready(child, 60)
        wanted = [keys.painted(job_id, look, index) for index in range(segments)]
        peaks: dict[int, int] = {}
        while wanted:
            peaks |= {pid: peak for pid in members(child.pid) if (peak := peak_of(pid))}
            if client.store.exists(wanted[0]):
                wanted.pop(0)
            time.sleep(POLL_S)
        names = {
            pid: "worker, the parent process" if pid == child.pid else "worker, the working process"
            for pid in peaks
        }
    finally:
        children.close()
    each = [Peak(names[pid], peak / 1e6) for pid, peak in sorted(peaks.items())]
    return [*each, Peak("worker, all processes", sum(peaks.values()) / 1e6, WORKER_LIMIT_MB)]


def paint_the_rest(client: Client, job_id: str, look: str, painted: int, period: int) -> None:
    """Store results for the unpainted segments: those of an earlier repetition with later times."""
    store = client.store
    job = store.get_record(keys.job(job_id), JobRecord)
    assert isinstance(job, VideoJob)
    ticks = job.video.time_base.numerator

    def store_copy(index: int) -> None:
        model = index - ((index - painted) // period + 1) * period
        record = store.get_record(keys.painted(job_id, look, model), Painted)
        own, other = (store.get_record(keys.segment(job_id, n), Segment) for n in (index, model))
        assert [p.pts and p.pts - own.start for p in own.packets] == [
            p.pts and p.pts - other.start for p in other.packets
        ]
        data = store.get(keys.painted_data(job_id, look, record.name))
        data = shift_tfdt(data, (own.start - other.start) * ticks)
        sha256 = hashlib.sha256(data).hexdigest()
        moved = replace(
            record,
            index=index,
            name=f"{index:06d}-{sha256[:12]}.mp4",
            sha256=sha256,
            start=own.start,
            end=own.end,
        )
        store.put(keys.painted_data(job_id, look, moved.name), data)
        store.put_record(keys.faces(job_id, index), Faces(index, (), record.encoder, record.device))
        store.put_record(keys.painted(job_id, look, index), moved)

    total = client.status(job_id).stored
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(store_copy, range(painted, total)))


def measure(folder: Path, hours: float, segments: int, size: tuple[int, int]) -> list[Peak]:
    """Measure the three commands one after another."""
    clip = make_portrait_clip(
        folder / "clip.mp4", seconds=CLIP_S, size=size, options={"crf": "32", "bf": "3"}, gop=30
    )
    video = repeat_clip(clip, folder / "long.mp4", round(hours * 3600 / CLIP_S))
    describe(video)
    # Low quality keeps the storage small; it does not affect memory.
    with Stack(
        folder / "home", Settings.load(home=folder / "home", crf=36), workers=0, viewer=False
    ) as stack:
        client = Client(stack.settings)
        job_id, upload_mb = run(stack.settings, "upload", video, "--filter", "sunglasses")
        job_id = job_id.split()[-1]
        peaks = [Peak("`facepaint upload` of the whole video", upload_mb, UPLOAD_LIMIT_MB)]
        video.unlink()
        look = client.look_of(job_id)
        print(f"uploaded: {client.status(job_id).stored} segments")
        peaks += work(client, folder / "home", job_id, look, segments)
        period = round(CLIP_S / stack.settings.segment_s)
        paint_the_rest(client, job_id, look, segments, period)
        _, save_mb = run(stack.settings, "view", job_id, "--save", folder / "saved.mp4")
        describe(folder / "saved.mp4")
        return [*peaks, Peak("`facepaint view --save` of the whole video", save_mb)]


def describe(path: Path) -> None:
    """Print the properties of a video."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        seconds = (container.duration or 0) / av.time_base
        print(
            f"{path.name}: {seconds / 3600:.2f} h of {video.width}x{video.height}, "
            f"{video.frames} frames, "
            f"{path.stat().st_size / MIB:.0f} MiB, audio "
            f"{[s.codec_context.name for s in container.streams.audio]}"
        )


def main() -> int:
    """Measure and print the table; exit code 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hours", type=float, default=2, help="length of the video")
    parser.add_argument("--segments", type=int, default=20, help="segments for the worker")
    parser.add_argument("--size", default="1920x1080", help="WIDTHxHEIGHT of the video")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory(prefix="facepaint-memory-") as name:
        peaks = measure(Path(name), options.hours, options.segments, (width, height))
    print(
        f"\n{platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, PyAV {av.__version__}\n"
    )
    print("| what | peak, MB | limit, MB |\n|---|---|---|")
    for peak in peaks:
        print(f"| {peak.name} | {peak.peak_mb:.0f} | {peak.limit_mb or ''} |")
    return int(any(peak.limit_mb and peak.peak_mb > peak.limit_mb for peak in peaks))


if __name__ == "__main__":
    sys.exit(main())
