"""HDR metadata is read from a decoded frame."""

from fractions import Fraction

import av
import pytest

from facepaint.records.colour import LightLevels
from uploader.hdr_metadata import dynamic_metadata, light_levels

DISPLAY = LightLevels((0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329), 0.005, 1000.0)
"""A display of P3 primaries."""


def frame_of(parameters: str, sei: bytes = b"") -> av.VideoFrame:
    """A grey frame encoded by x265 with these parameters and decoded again, after ``sei``."""
    encoder = av.CodecContext.create("libx265", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = 64, 64, "yuv420p10le"
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
    encoder.options = {"preset": "ultrafast", "x265-params": f"log-level=error:{parameters}"}
    frame = av.VideoFrame(64, 64, "yuv420p10le")
    frame.pts = 0
    stream = b"".join(bytes(packet) for packet in (*encoder.encode(frame), *encoder.encode(None)))
    decoder = av.CodecContext.create("hevc", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    return (*decoder.decode(av.Packet(sei + stream)), *decoder.decode(None))[0]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ("bframes=0", LightLevels()),
        ("max-cll=1200,300", LightLevels(max_content=1200, max_average=300)),
        (
            "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)",
            DISPLAY,
        ),
    ],
    ids=["nothing", "content", "display"],
)
def test_light_levels_are_read(parameters: str, expected: LightLevels) -> None:
    assert light_levels(frame_of(parameters)) == expected


def hdr10_plus() -> bytes:
    """A prefix SEI message with the minimum of SMPTE ST 2094-40: one window, no curve."""
    header = bytes.fromhex(
        "b5003c00010401"
    )  # ITU-T T.35: United States, Samsung, application 4 version 1
    fields = [(1, 2), (400, 27), (0, 1), *[(5000, 17)] * 4, (0, 4), (0, 10), (0, 1), (0, 1), (0, 1)]
    bits = "".join(f"{value:0{width}b}" for value, width in fields)
    bits += "0" * (-len(bits) % 8)
    payload = header + int(bits, 2).to_bytes(len(bits) // 8)
    message = bytes([4, len(payload)]) + payload + b"\x80"
    for run in (b"\0\0\1", b"\0\0\0", b"\0\0\2", b"\0\0\3"):  # no start code inside
        message = message.replace(run, run[:2] + b"\3" + run[2:])
    return b"\0\0\0\1" + bytes.fromhex("4e01") + message


def test_dynamic_metadata_is_named() -> None:
    assert dynamic_metadata(frame_of("bframes=0")) == ()
    assert dynamic_metadata(frame_of("bframes=0", hdr10_plus())) == ("HDR10+",)
