"""Cutting takes as much memory for an hour as for a minute; `benchmarks.memory` measures the whole
commands."""

import subprocess
import sys
from pathlib import Path

import av
import pytest

from benchmarks.clips import make_portrait_clip
from tests.support.helpers import needs_proc

MIB = 2**20

CUT = """
import sys
from pathlib import Path
from uploader.probe import probe
from uploader.reader import Reader
path = Path(sys.argv[1])
sizes = [len(cut.data) + len(cut.audio) for cut in Reader(path, probe(path), 2).segments()]
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(sum(sizes), max(sizes), int(peak) * 1024)
"""


def cut(path: Path) -> tuple[int, int, int]:
    """The bytes of all segments and of the largest, and the peak memory of the process that cut
    them.

    Not by getrusage, whose peak includes the memory of the parent process.
    """
    done = subprocess.run(
        [sys.executable, "-c", CUT, str(path)], capture_output=True, text=True, check=True
    )
    total, largest, peak = map(int, done.stdout.split())
    return total, largest, peak


def repeat(clip: Path, out: Path, times: int) -> Path:
    """The clip's packets repeated, but its first frame only once."""
    with av.open(str(clip)) as source:
        packets = [packet for packet in source.demux() if packet.size]
        assert packets[0].stream.type == "video"
        length = {
            stream.index: max(p.pts + p.duration for p in packets if p.stream.index == stream.index)
            for stream in source.streams
        }
        with av.open(str(out), "w") as target:
            copies = {
                stream.index: target.add_stream_from_template(stream) for stream in source.streams
            }
            for turn in range(times):
                for packet in packets[turn > 0 :]:
                    copy = av.Packet(bytes(packet))
                    shift = turn * length[packet.stream.index]
                    copy.pts, copy.dts = packet.pts + shift, packet.dts + shift
                    copy.duration, copy.time_base = packet.duration, packet.time_base
                    copy.is_keyframe = packet.is_keyframe
                    copy.stream = copies[packet.stream.index]
                    target.mux(copy)
    return out


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("one_keyframe", [False, True], ids=["a keyframe a second", "one keyframe"])
def test_memory_does_not_grow_with_the_file(one_keyframe: bool, tmp_path: Path) -> None:
    options = {"qmin": "1", "qmax": "1"}
    clip = make_portrait_clip(
        tmp_path / "clip.mkv",
        seconds=2,
        size=(1280, 720),
        codec="mpeg4",
        options=options,
        gop=9999 if one_keyframe else 15,
        audio="pcm_s16le",
    )
    short, long = (cut(repeat(clip, tmp_path / f"{turns}.mkv", turns)) for turns in (10, 50))
    assert long[0] > short[0] + 100 * MIB, "what would be held if all of it were"
    assert long[1] <= 1.1 * short[1], "segments are no larger"
    assert short[1] > (8 if one_keyframe else 2) * short[0] / 20 * 0.9, (
        "as long as they are meant to be"
    )
    assert long[2] < short[2] + 24 * MIB
