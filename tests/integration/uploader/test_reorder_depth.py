"""Streams without a stated reorder depth, as many cameras write them, lose no frame."""

from pathlib import Path

import av

from tests.support.clips.ordinary import decode_ordinarily
from tests.support.clips.write import Extras, Video, portrait, write_clip
from tests.support.cut_clip import cut_clip

SPS = 7
START = b"\x00\x00\x01"


def test_no_frame_is_lost_without_a_stated_depth(tmp_path: Path) -> None:
    path, stated = tmp_path / "camera.ts", tmp_path / "stated.ts"
    write_clip(
        stated,
        portrait(3),
        Video(options={"bf": "5", "b_strategy": "0", "b-pyramid": "normal"}),
        (),
        Extras(),
    )
    with av.open(str(stated)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                silent = av.Packet(START.join(map(without_depth, bytes(packet).split(START))))
                silent.pts, silent.dts, silent.time_base = packet.pts, packet.dts, packet.time_base
                silent.is_keyframe, silent.stream = packet.is_keyframe, stream
                target.mux(silent)
    cut = cut_clip(path, 0.5)
    assert len({record.decode_from for record in cut.records}) > 2
    assert cut.all_frames() == decode_ordinarily(path)
    assert len(cut.all_frames()) == 60


def without_depth(unit: bytes) -> bytes:
    """The NAL unit; a sequence parameter set loses its end, which states the reorder depth.

    ITU-T H.264, E.1.1: ``bitstream_restriction_flag``, a flag and six numbers are the last things
    in it.
    """
    if not unit or unit[0] & 31 != SPS:
        return unit
    raw = unit.rstrip(b"\x00").replace(b"\x00\x00\x03", b"\x00\x00")
    bits = "".join(f"{byte:08b}" for byte in raw)
    end = bits.rindex("1")
    flag = next(
        at
        for at in range(end - 8, 0, -1)
        if bits[at] == "1" and restriction_ends(bits, at + 2) == end
    )
    short = bits[:flag] + "01"
    short += "0" * (-len(short) % 8)
    data = bytes(int(short[at : at + 8], 2) for at in range(0, len(short), 8))
    for last in range(4):
        data = data.replace(bytes((0, 0, last)), bytes((0, 0, 3, last)))
    return data + b"\x00" * (len(unit) - len(unit.rstrip(b"\x00")))


def restriction_ends(bits: str, at: int) -> int | None:
    """Where the six numbers end that x264 would write here, None if these are none."""
    numbers = []
    for _ in range(6):
        zeros = bits.find("1", at) - at
        if zeros < 0 or at + 2 * zeros + 1 > len(bits):
            return None
        numbers.append(int(bits[at + zeros : at + 2 * zeros + 1], 2) - 1)
        at += 2 * zeros + 1
    denominators, vectors, depth = numbers[:2], numbers[2:4], numbers[4:]
    plausible = (
        denominators == [0, 0] and vectors[0] == vectors[1] > 5 and 0 < depth[0] <= depth[1] <= 16
    )
    return at if plausible else None
