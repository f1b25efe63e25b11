"""Every encoder: segments of all machines join after one init segment, and codec strings are
right."""

import io
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from facepaint.errors import EncoderMissing, UsageError
from facepaint.media.encoders import ENCODERS, choose_encoder, describe_format, kept_format
from facepaint.media.mp4 import codec_string
from facepaint.records.colour import SDR, LightLevels
from facepaint.records.job import OutputProfile
from tasks.video.encode import Encoded, EncodeSpec, SegmentEncoder
from tasks.video.encoder_options import (
    PRESETS,
    EncoderRequest,
    encoder_options,
    is_available,
    plausible_rate,
    require_encoder,
)
from tasks.video.yuv import planes_of
from tests.support.colours import PQ, SDR_FULL

SIZE = (160, 96)
TICKS = 3003
SOFTWARE = [name for name, encoder in ENCODERS.items() if not encoder.hardware]

BT2020_DISPLAY = LightLevels(
    (0.708, 0.292, 0.17, 0.797, 0.131, 0.046, 0.3127, 0.329), 0.0001, 1000.0, 1000, 400
)
"""A display of BT.2020 primaries from 0.0001 to 1000 cd/m2."""


def spec(encoder: str, pixel_format: str = "yuv420p", **changes: object) -> EncodeSpec:
    plain = EncodeSpec(
        SIZE,
        pixel_format,
        Fraction(1, 90_000),
        Fraction(30_000, 1001),
        Fraction(1),
        SDR,
        OutputProfile(encoder, preset="ultrafast"),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def moving(number: int, pixel_format: str) -> av.VideoFrame:
    """A bright square that moves over a gradient."""
    x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    picture = np.stack([x, y * 2, (x + y) // 2], -1).astype(np.uint8)
    at = 2 * number % (SIZE[0] - 32)
    picture[32:64, at : at + 32] = (250, 220, 30)
    return av.VideoFrame.from_ndarray(picture, "rgb24").reformat(
        format=pixel_format, dst_colorspace="ITU709"
    )


def decoded(data: bytes) -> list[av.VideoFrame]:
    with av.open(io.BytesIO(data), "r") as container:
        return list(container.decode(video=0))


def encode(spec: EncodeSpec, first: int, frames: int) -> Encoded:
    with SegmentEncoder(spec, 0, (first + frames) * TICKS) as encoder:
        for number in range(first, first + frames):
            frame = moving(number, spec.pixel_format)
            frame.pts = number * TICKS
            encoder.write(frame)
        return encoder.finish()


@pytest.mark.parametrize(
    ("name", "pixel_format"),
    [
        pytest.param(
            name, held, marks=() if held in {"yuv420p", "yuv420p10le"} else pytest.mark.slow
        )
        for name in SOFTWARE
        for held in ENCODERS[name].formats
    ],
)
def test_segments_of_different_machines_join(name: str, pixel_format: str) -> None:
    """Segments of odd lengths, one of a single frame, encoded with different numbers of threads."""
    lengths, threads = [7, 1, 12], [1, 3, 2]
    firsts = [sum(lengths[:n]) for n in range(len(lengths))]
    made = [
        encode(spec(name, pixel_format, threads=count), first, length)
        for first, length, count in zip(firsts, lengths, threads, strict=True)
    ]
    inits = {encoded.data[: encoded.init_bytes] for encoded in made}
    assert len(inits) == 1
    joined = made[0].data + b"".join(encoded.data[encoded.init_bytes :] for encoded in made[1:])
    with av.open(io.BytesIO(joined), "r") as container:
        stream = container.streams.video[0]
        assert stream.codec_context.codec_tag == ENCODERS[name].tag
        packets = [packet for packet in container.demux(stream) if packet.size]
        assert [packet.pts for packet in packets] == [packet.dts for packet in packets]
        assert all(packets[first].is_keyframe for first in firsts)
    frames = decoded(joined)
    assert [frame.pts for frame in frames] == [number * TICKS for number in range(sum(lengths))]
    assert {frame.format.name for frame in frames} == {pixel_format}
    assert {(frame.colorspace, frame.color_primaries, frame.color_trc) for frame in frames} == {
        (1, 1, 1)
    }
    luma = [frame.reformat(format="gray").to_ndarray().astype(int) for frame in frames]
    expected = [
        moving(number, pixel_format).reformat(format="gray").to_ndarray()
        for number in range(len(frames))
    ]
    assert max(np.abs(a - b).mean() for a, b in zip(luma, expected, strict=True)) < 6


@pytest.mark.parametrize("name", SOFTWARE)
@pytest.mark.parametrize("pixel_format", ["yuvj420p", "yuv420p"], ids=["named so", "tagged so"])
def test_full_range_stays_full_range(name: str, pixel_format: str) -> None:
    encoded = encode(spec(name, pixel_format, colour=SDR_FULL), 0, 2)
    frame = decoded(encoded.data)[0]
    assert frame.color_range == 2
    got, given = (planes_of(picture)[0].astype(int) for picture in (frame, moving(0, pixel_format)))
    assert np.abs(got - given).mean() < 4, "the pixels are as they were given"


@pytest.mark.skipif(
    not hasattr(os, "sched_getscheduler"), reason="needs Linux's scheduling policies"
)
@pytest.mark.parametrize("name", ["libx264", "libx265", "libsvtav1"])
def test_no_encoder_changes_the_scheduling_of_the_process(name: str) -> None:
    """SVT-AV1 raises its priority if it runs as root."""
    with SegmentEncoder(spec(name), 0, 2):
        policies = {
            os.sched_getscheduler(int(thread.name)) for thread in Path("/proc/self/task").iterdir()
        }
    assert not policies & {os.SCHED_FIFO, os.SCHED_RR}


@pytest.mark.parametrize(
    ("name", "pixel_format"), [("libx265", "yuv420p10le"), ("libsvtav1", "yuv420p10le")]
)
def test_hdr_is_described_in_container_and_bitstream(name: str, pixel_format: str) -> None:
    colour = PQ
    plain = encode(spec(name, pixel_format, colour=colour), 0, 2)
    bright = encode(spec(name, pixel_format, colour=colour, light=BT2020_DISPLAY), 0, 2)
    assert not plain.data.count(b"mdcv")
    entry = bright.data[: bright.init_bytes]
    display, content = entry[entry.index(b"mdcv") + 4 :][:24], entry[entry.index(b"clli") + 4 :][:4]
    # Green, blue, red, white in 0.00002, then the brightest and the darkest in 0.0001 cd/m2.
    steps = [8500, 39_850, 6550, 2300, 35_400, 14_600, 15_635, 16_450]
    assert display == b"".join(step.to_bytes(2) for step in steps) + (10_000_000).to_bytes(4) + (
        1
    ).to_bytes(4)
    assert content == (1000).to_bytes(2) + (400).to_bytes(2)
    # Without the boxes, the pictures tell too.
    for data in (bright.data, bright.data.replace(b"mdcv", b"free").replace(b"clli", b"free")):
        side_data = decoded(data)[0].side_data
        assert side_data.get("MASTERING_DISPLAY_METADATA") is not None
        assert side_data.get("CONTENT_LIGHT_LEVEL") is not None


def described_entry(kind: bytes, name: bytes, record: bytes) -> bytes:
    """An init segment whose only sample entry has this decoder configuration."""

    def box(kind: bytes, body: bytes) -> bytes:
        return (8 + len(body)).to_bytes(4) + kind + body

    data = box(b"stsd", bytes(8) + box(kind, bytes(78) + box(name, record)))
    for holder in (b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        data = box(holder, data)
    return data


@pytest.mark.parametrize(
    ("entry", "name", "record", "expected"),
    [
        (b"avc1", b"avcC", "0164001f", "avc1.64001f"),
        # ISO/IEC 14496-15 annex E: Main, then one in profile space A with high tier.
        (b"hvc1", b"hvcC", "010160000000b000000000005d", "hvc1.1.6.L93.B0"),
        (b"hev1", b"hvcC", "01618000000000000000000096", "hev1.A1.1.H150"),
        (b"hvc1", b"hvcC", "0104080000009d08000000007b", "hvc1.4.10.L123.9D.8"),
        # AV1: Main at level 3.0 with 8 bits; Main at 5.1 in the high tier with 10; Professional at
        # 6.0 with 12.
        (b"av01", b"av1C", "81040c00", "av01.0.04M.08"),
        (b"av01", b"av1C", "810dcc00", "av01.0.13H.10"),
        (b"av01", b"av1C", "81506000", "av01.2.16M.12"),
    ],
)
def test_codec_strings(entry: bytes, name: bytes, record: str, expected: str) -> None:
    assert codec_string(described_entry(entry, name, bytes.fromhex(record))) == expected


@pytest.mark.parametrize("name", SOFTWARE)
def test_an_absurd_frame_rate_changes_neither_level_nor_quality(name: str) -> None:
    """The times are those of the usual rate; only the stated rate is absurd."""
    usual = encode(spec(name, frame_rate=Fraction(30)), 0, 10)
    for rate in (None, Fraction(90_000), Fraction(1, 3600)):
        odd = encode(spec(name, frame_rate=rate), 0, 10)
        assert odd.codec == usual.codec
        assert odd.data == usual.data


@pytest.mark.parametrize("name", sorted(ENCODERS.keys() & av.codecs_available))
def test_every_encoder_has_the_options_that_it_is_given(name: str) -> None:
    """Options of hardware encoders can be checked without the hardware."""
    known = av.CodecContext.create(name, "w").supported_options
    found = {option.name: option for option in (*known.generic, *known.private)}
    for crf, preset in [
        *zip((0, 20, 51), PRESETS, strict=False),
        *((20, preset) for preset in PRESETS),
    ]:
        options = encoder_options(
            EncoderRequest(OutputProfile(name, crf, preset), light=BT2020_DISPLAY)
        )
        assert options.keys() <= found.keys()
        for option, value in options.items():
            choices = {choice.name for choice in found[option].choices}
            if value.lstrip("-").replace(".", "").isdigit():
                assert found[option].min <= float(value) <= found[option].max, (option, value)
            elif choices:
                assert set(value.strip("+").split("+")) <= choices, (option, value)


def test_a_missing_encoder_is_an_error() -> None:
    absent = [name for name in ENCODERS if not is_available(name)]
    assert not set(absent) & set(SOFTWARE)
    assert absent, "no machine has them all"
    for name in absent:
        with pytest.raises(EncoderMissing, match=f"cannot encode with {name}, which needs"):
            require_encoder(name)


@pytest.mark.parametrize(
    ("source", "kept", "words"),
    [
        ("yuvj420p", "yuv420p", "8-bit 4:2:0"),
        ("p010le", "yuv420p10le", "10-bit 4:2:0"),
        ("yuv422p10le", "yuv422p10le", "10-bit 4:2:2"),
        ("yuva444p12le", "yuv444p12le", "12-bit 4:4:4"),
        ("yuv444p16le", "yuv444p12le", "12-bit 4:4:4"),
        ("yuv411p", "yuv422p", "8-bit 4:2:2"),
        ("pal8", "yuv444p", "8-bit 4:4:4"),
        ("gray10le", "yuv420p10le", "10-bit 4:2:0"),
    ],
)
def test_kept_formats(source: str, kept: str, words: str) -> None:
    assert (kept_format(source), describe_format(kept)) == (kept, words)


def test_the_encoder_depends_on_the_kept_format() -> None:
    assert choose_encoder("yuv420p10le") == "libx264"
    assert choose_encoder("yuv420p", keep_format=True) == "libx264"
    assert choose_encoder("yuv444p", keep_format=True) == "libx264"
    assert choose_encoder("yuv420p10le", keep_format=True) == "libx265"
    assert choose_encoder("yuv420p10le", "libsvtav1", keep_format=True) == "libsvtav1"
    assert choose_encoder("yuv422p10le", "libsvtav1") == "libsvtav1", "it becomes 8-bit 4:2:0"
    with pytest.raises(
        UsageError, match=r"libsvtav1 cannot keep 10-bit 4:2:2: choose libx264, libx265, or omit"
    ):
        choose_encoder("yuv422p10le", "libsvtav1", keep_format=True)


def test_a_plausible_rate_is_not_changed() -> None:
    for rate in (Fraction(1), Fraction(12), Fraction(30_000, 1001), Fraction(120)):
        assert plausible_rate(rate) == rate
