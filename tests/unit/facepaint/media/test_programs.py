"""Transport streams that carry several television programs."""

from pathlib import Path

import av
import numpy as np
import pytest

from facepaint.media.open import open_media
from facepaint.media.programs import streams_of_program


def crc32(data: bytes) -> bytes:
    """CRC-32/MPEG-2."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return crc.to_bytes(4)


def one_program(path: Path, first_pid: int, pmt_pid: int, *, audio: bool) -> list[bytes]:
    """The transport packets of a stream with one program."""
    options = {"mpegts_start_pid": str(first_pid), "mpegts_pmt_start_pid": str(pmt_pid)}
    with av.open(str(path), "w", format="mpegts", options=options) as out:
        video = out.add_stream("mpeg2video", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = out.add_stream("mp2", rate=48_000, layout="stereo") if audio else None
        for number in range(25):
            frame = av.VideoFrame(64, 48, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([number * 5]) * plane.buffer_size)
            frame.pts = number
            out.mux(video.encode(frame))
            if sound is not None:
                samples = np.zeros((1, 2 * 1152), np.int16)
                tone = av.AudioFrame.from_ndarray(samples, "s16", "stereo")
                tone.sample_rate, tone.pts = 48_000, 1152 * number
                out.mux(sound.encode(tone))
        out.mux(video.encode(None))
        if sound is not None:
            out.mux(sound.encode(None))
    data = path.read_bytes()
    return [data[at : at + 188] for at in range(0, len(data), 188)]


def pid_of(packet: bytes) -> int:
    return int.from_bytes(packet[1:3]) & 0x1FFF


def association(programs: dict[int, int]) -> bytes:
    """A packet with a program association table: from program numbers to the pids of their maps."""
    rows = b"".join(n.to_bytes(2) + (0xE000 | pid).to_bytes(2) for n, pid in programs.items())
    body = b"\0\1\xc1\0\0" + rows
    section = b"\0" + (0xB000 | len(body) + 4).to_bytes(2) + body
    payload = b"\0" + section + crc32(section)
    return (b"\x47\x40\x00\x10" + payload).ljust(188, b"\xff")


@pytest.fixture(scope="module")
def two_programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("programs")
    first = one_program(folder / "a.ts", 0x100, 0x1000, audio=True)
    second = one_program(folder / "b.ts", 0x200, 0x1001, audio=True)
    packets = [association({1: 0x1000, 2: 0x1001})]
    for number in range(max(len(first), len(second))):
        packets += [p[number] for p in (first, second) if number < len(p) and pid_of(p[number])]
    path = folder / "both.ts"
    # The second map says that it is of program 1, which no demuxer may mind: it is corrected.
    path.write_bytes(b"".join(renumbered(p) if pid_of(p) == 0x1001 else p for p in packets))
    return path


def renumbered(packet: bytes) -> bytes:
    """A program map of program 2."""
    start = 5
    length = 3 + (int.from_bytes(packet[start + 1 : start + 3]) & 0x0FFF)
    section = bytearray(packet[start : start + length - 4])
    section[3:5] = (2).to_bytes(2)
    return (packet[:start] + bytes(section) + crc32(bytes(section))).ljust(188, b"\xff")


def test_only_the_streams_of_the_same_program_belong_together(two_programs: Path) -> None:
    with open_media(two_programs) as container:
        kinds = {stream.index: stream.type for stream in container.streams}
        assert sorted(kinds.values()) == ["audio", "audio", "video", "video"]
        for video in container.streams.video:
            own = streams_of_program(two_programs, container, video)
            assert video.index in own
            assert sorted(kinds[index] for index in own) == ["audio", "video"]


def test_streams_of_one_program_are_all_used(tmp_path: Path) -> None:
    path = tmp_path / "one.ts"
    one_program(path, 0x100, 0x1000, audio=True)
    with open_media(path) as container:
        assert streams_of_program(path, container, container.streams[0]) == {0, 1}


def test_other_containers_have_no_programs(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        out.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        out.mux(stream.encode(None))
    with open_media(path) as container:
        assert streams_of_program(path, container, container.streams[0]) == {0}
