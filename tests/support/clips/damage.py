"""Files that something happened to: on a bad disk, on a bad line, or when the power went."""

import random
from pathlib import Path

import av

from tests.support.clips.registry import clip
from tests.support.clips.write import AudioTrack, Extras, Video, write_clip

SHOWN = Video(options={"bf": "2"})
TRANSPORT_PACKET = 188


@clip("damaged.mp4", "a damaged packet in the middle", quick=True)
def damaged(path: Path) -> None:
    """The second half of the 24th packet overwritten with noise."""
    write_clip(path, video=SHOWN, audio=[AudioTrack()])
    _overwrite(path, 23, keep=0.5)


@clip("wiped.mp4", "a packet in the middle wiped out")
def wiped(path: Path) -> None:
    """The 24th packet of a silent clip is all noise, its own lengths among it: nothing in it can be
    decoded."""
    write_clip(path, video=SHOWN)
    _overwrite(path, 23, keep=0)


@clip("wiped-start.mp4", "an undecodable start")
def wiped_start(path: Path) -> None:
    """The first keyframe is noise: the frames up to the second keyframe have nothing to be made
    of."""
    write_clip(path, video=Video(options={"bf": "0"}), audio=[AudioTrack()])
    _overwrite(path, 0, keep=0)


@clip("lost.ts", "transport packets lost")
def lost(path: Path) -> None:
    """Reception failed for a moment: 12 transport packets in the middle are not there."""
    write_clip(path, video=SHOWN, audio=[AudioTrack("mp2")])
    whole = path.read_bytes()
    middle = len(whole) // TRANSPORT_PACKET // 2 * TRANSPORT_PACKET
    path.write_bytes(whole[:middle] + whole[middle + 12 * TRANSPORT_PACKET :])


@clip(
    "cut-off.mp4",
    "cut off in the middle",
    truncated="its data ends in the middle of a frame at 1.6 s",
)
def cut_off(path: Path) -> None:
    """A download that broke off at 70 %, its index at the front."""
    write_clip(
        path, video=SHOWN, audio=[AudioTrack()], extras=Extras(options={"movflags": "faststart"})
    )
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 7 // 10])


def _overwrite(path: Path, number: int, keep: float) -> None:
    """Replace the bytes of the ``number``-th video packet by noise from a share of it on."""
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][number]
        at, size = packet.pos, packet.size
    assert at is not None
    data = bytearray(path.read_bytes())
    first = at + int(size * keep)
    data[first : at + size] = random.Random(7).randbytes(at + size - first)
    path.write_bytes(data)
