"""Reading and patching MP4 atoms: FFmpeg's files are read, and FFmpeg reads the patched ones."""

import io
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import pytest

from facepaint.errors import UnreadableMedia
from facepaint.media.mp4 import (
    codec_string,
    delay_track,
    find,
    init_length,
    read_moov,
    shift_tfdt,
    walk,
)


@cache
def fragmented(frames: int = 12, gop: int = 4) -> bytes:
    """Grey frames of 64x48 at 25 frames/s in 1/12800, a fragment for every keyframe."""
    buffer = io.BytesIO()
    options = {"movflags": "cmaf+frag_keyframe", "video_track_timescale": "12800"}
    with av.open(buffer, "w", format="mp4", options=options) as container:
        stream = container.add_stream(
            "libx264", rate=25, options={"bf": "0", "g": str(gop), "profile": "baseline"}
        )
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame(64, 48, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([128]) * plane.buffer_size)
            frame.pts, frame.time_base = number * 512, Fraction(1, 12_800)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def times(data: bytes) -> list[int]:
    with av.open(io.BytesIO(data)) as container:
        return [
            packet.pts
            for packet in container.demux(video=0)
            if packet.size and packet.pts is not None
        ]


def atom(kind: bytes, body: bytes = b"") -> bytes:
    return (8 + len(body)).to_bytes(4) + kind + body


def test_atoms_of_every_size_form_are_walked() -> None:
    long = (1).to_bytes(4) + b"long" + (19).to_bytes(8) + b"abc"
    to_the_end = (0).to_bytes(4) + b"last" + b"xyz"
    data = atom(b"free") + long + to_the_end
    assert [(b.kind, data[b.body : b.end]) for b in walk(data)] == [
        (b"free", b""),
        (b"long", b"abc"),
        (b"last", b"xyz"),
    ]
    nested = atom(b"moof", atom(b"traf", atom(b"tfdt", b"1")) + atom(b"traf", atom(b"tfdt", b"2")))
    assert [nested[b.body : b.end] for b in find(nested, "moof/traf/tfdt")] == [b"1", b"2"]


@pytest.mark.parametrize(
    "data",
    [atom(b"moov")[:-1] + b"v12", (7).to_bytes(4) + b"moov", (99).to_bytes(4) + b"moov", b"ab"],
)
def test_damaged_atoms_are_refused(data: bytes) -> None:
    with pytest.raises(UnreadableMedia, match="does not fit into its parent"):
        list(walk(data))


def test_the_init_segment_ends_before_the_first_fragment() -> None:
    data = fragmented()
    init = data[: init_length(data)]
    assert [b.kind for b in walk(init)] == [b"ftyp", b"moov"]
    assert next(walk(data[len(init) :])).kind == b"moof"
    assert codec_string(init).startswith("avc1.42")
    for other in (b"", init, data[len(init) :], b"\0\0\0\x08free"):
        with pytest.raises(UnreadableMedia, match="not a fragmented MP4"):
            init_length(other)
    with pytest.raises(UnreadableMedia, match=r"no H\.264, HEVC or AV1 track"):
        codec_string(atom(b"moov"))


@pytest.mark.parametrize("ticks", [0, 1, 12_800, 2**40])
def test_every_fragment_is_shifted(ticks: int) -> None:
    data = fragmented()
    moved = shift_tfdt(data, ticks)
    assert len(list(find(data, "moof/traf/tfdt"))) == 3
    assert times(moved) == [time + ticks for time in times(data)]
    assert shift_tfdt(moved, -ticks) == data


def test_times_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UnreadableMedia, match="-1 does not fit"):
        shift_tfdt(fragmented(), -1)
    short = atom(b"moof", atom(b"traf", atom(b"tfdt", bytes(4) + (5).to_bytes(4))))
    moved = atom(b"moof", atom(b"traf", atom(b"tfdt", bytes(4) + (12).to_bytes(4))))
    assert shift_tfdt(short, 7) == moved
    with pytest.raises(UnreadableMedia, match="4294967296 does not fit"):
        shift_tfdt(short, 2**32 - 5)
    for data in (b"", atom(b"moof")):
        with pytest.raises(UnreadableMedia, match="tfdt"):
            shift_tfdt(data, 1)


def late_tone(path: Path, *, start: int, seconds: int = 1) -> None:
    """AAC whose first packet is at ``start`` samples of 48 kHz; the moov comes first."""
    options = {"movflags": "faststart", "movie_timescale": "48000"}
    with av.open(str(path), "w", format="mp4", options=options) as container:
        stream = container.add_stream("aac", rate=48_000, layout="mono")
        frames = []
        for number in range(seconds * 48_000 // 1024):
            frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
            frame.planes[0].update(bytes(4096))
            frame.sample_rate, frame.pts, frame.time_base = (
                48_000,
                number * 1024,
                Fraction(1, 48_000),
            )
            frames.append(frame)
        for packet in (p for frame in [*frames, None] for p in stream.encode(frame)):
            packet.pts, packet.dts = packet.pts + 1024 + start, packet.dts + 1024 + start
            container.mux(packet)


def test_the_start_of_a_late_track_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "late.mp4"
    late_tone(path, start=5000)
    with path.open("rb") as file:
        start, moov = read_moov(file)
    data = path.read_bytes()
    assert data[start : start + len(moov)] == moov
    path.write_bytes(data.replace(moov, delay_track(moov, 0, 1246)))
    with av.open(str(path)) as container:
        assert container.streams.audio[0].start_time == 6246
        first = next(container.decode(audio=0))
        # The first packet goes whole, and 222 samples of the second.
        assert (first.pts, first.samples) == (6246, 2048 - 1246)
    with av.open(str(path)) as container:
        assert next(container.demux(audio=0)).pts == 5000, "the packets stay where they are"


def test_a_track_without_a_late_start_is_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "tone.mp4"
    late_tone(path, start=0)
    with path.open("rb") as file:
        _, moov = read_moov(file)
    assert delay_track(moov, 0, 1024) == moov


def test_a_file_without_moov_is_refused() -> None:
    for data in (b"", b"abc", atom(b"ftyp") + atom(b"mdat", b"12")):
        with pytest.raises(UnreadableMedia, match="it has no moov atom"):
            read_moov(io.BytesIO(data))
