"""Painted segments: exact times, one init part for a whole job, no B-frames, first frame a
keyframe."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest

from facepaint.errors import JobError
from facepaint.records.colour import SDR
from facepaint.records.job import OutputProfile
from tasks.video.encode import Encoded, EncodeSpec, SegmentEncoder
from tests.support.colours import SDR_FULL


def spec(
    time_base: Fraction = Fraction(1, 90000), full_range: bool = False, **changes: object
) -> EncodeSpec:
    facts: dict[str, object] = {
        "size": (128, 96),
        "pixel_format": "yuvj420p" if full_range else "yuv420p",
        "time_base": time_base,
        "frame_rate": Fraction(25),
        "sample_aspect_ratio": Fraction(1),
        "colour": SDR_FULL if full_range else SDR,
        "profile": OutputProfile(),
    }
    return EncodeSpec(**{**facts, **changes})  # type: ignore[arg-type]


def encode(spec: EncodeSpec, times: list[int], origin: int, end: int) -> Encoded:
    rng = np.random.default_rng(1)
    with SegmentEncoder(spec, origin, end) as encoder:
        for pts in times:
            frame = av.VideoFrame(*spec.size, spec.pixel_format)
            for plane in frame.planes:
                plane.update(rng.integers(0, 255, plane.buffer_size, np.uint8).tobytes())
            frame.pts = pts
            encoder.write(frame)
        return encoder.finish()


def read(encoded: Encoded) -> tuple[list[int], list[av.Packet], av.VideoStream]:
    container = av.open(io.BytesIO(encoded.data))
    stream = container.streams.video[0]
    packets = [packet for packet in container.demux(stream) if packet.size]
    return [int(packet.pts or 0) for packet in packets], packets, stream


@pytest.mark.parametrize(
    ("time_base", "times"),
    [
        (Fraction(1, 90000), [9000, 12600, 16200, 19800]),
        (Fraction(1, 1000), [1000, 1033, 1100, 1500]),
        (Fraction(1001, 30000), [7, 8, 9, 10]),
        (Fraction(1, 25), [100, 101, 102, 103]),
        (Fraction(1, 1_000_000_000), [10**9, 10**9 + 33_333_333, 10**9 + 10**8, 2 * 10**9]),
    ],
    ids=["90 kHz", "milliseconds", "NTSC", "frames", "nanoseconds"],
)
def test_times_are_exact_and_count_from_the_jobs_start(
    time_base: Fraction, times: list[int]
) -> None:
    origin = times[0] - 5
    encoded = encode(spec(time_base), times, origin, times[-1] + 3)
    seen, packets, stream = read(encoded)
    assert stream.time_base is not None
    assert [pts * stream.time_base for pts in seen] == [(t - origin) * time_base for t in times]
    assert [packet.dts for packet in packets] == seen, "no B-frames"


def test_the_last_frame_lasts_until_the_windows_end() -> None:
    encoded = encode(spec(Fraction(1, 1000)), [0, 40, 80], 0, 500)
    _, packets, stream = read(encoded)
    assert stream.time_base == Fraction(1, 1000)
    assert packets[-1].duration == 420


def test_every_segment_of_a_job_has_the_same_init_part() -> None:
    one, other = (
        encode(spec(), list(range(0, 90000, 3600)), 0, 90000),
        encode(spec(), [90000, 97200], 0, 180000),
    )
    assert one.data[: one.init_bytes] == other.data[: other.init_bytes]
    assert one.codec == other.codec
    assert one.codec.startswith("avc1.64")


def test_joined_segments_decode_without_a_seam() -> None:
    one = encode(spec(), [0, 3600, 7200], 0, 10800)
    other = encode(spec(), [10800, 14400], 0, 18000)
    joined = one.data + other.data[other.init_bytes :]
    with av.open(io.BytesIO(joined)) as container:
        assert [frame.pts for frame in container.decode(video=0)] == [0, 3600, 7200, 10800, 14400]


def test_the_first_frame_is_a_keyframe_and_others_follow_regularly() -> None:
    encoded = encode(spec(), [n * 3600 for n in range(120)], 0, 120 * 3600)
    _, packets, _ = read(encoded)
    keyframes = [n for n, packet in enumerate(packets) if packet.is_keyframe]
    assert keyframes[0] == 0
    assert max(b - a for a, b in zip(keyframes, [*keyframes[1:], 120], strict=True)) <= 50


@pytest.mark.parametrize("full_range", [False, True], ids=["limited", "full"])
def test_colour_and_aspect_are_kept(full_range: bool) -> None:
    encoded = encode(
        spec(full_range=full_range, sample_aspect_ratio=Fraction(4, 3)), [0, 3600], 0, 7200
    )
    with av.open(io.BytesIO(encoded.data)) as container:
        frame = next(container.decode(video=0))
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
    assert (frame.colorspace, frame.color_primaries, frame.color_trc) == (1, 1, 1)
    assert frame.color_range == (2 if full_range else 1)


@pytest.mark.parametrize(
    ("changes", "times", "message"),
    [
        ({"profile": OutputProfile(preset="no-such")}, [0, 3600], "cannot be encoded"),
        ({"pixel_format": "gbrp"}, [0, 3600], "libx264 cannot encode gbrp"),
        ({}, [], "no frame"),
    ],
    ids=["options", "format", "nothing"],
)
def test_frames_that_cannot_be_encoded_raise_a_job_error(
    changes: dict[str, object], times: list[int], message: str
) -> None:
    """Else the segment would be tried again as if it had killed its worker, and the reason lost."""
    with pytest.raises(JobError, match=message):
        encode(spec(**changes), times, 0, 7200)  # type: ignore[arg-type]
