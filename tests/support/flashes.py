"""Clips that flash and beep at every full second of their own clock, to test synchronization."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

SIZE = (320, 180)
RATE = 48_000
FLASH_S = Fraction(1, 5)
BEEP_S = 0.1
BT709 = 1

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Beeps:
    """The audio of a clip, from ``start_s`` on for ``seconds``."""

    codec: str = "aac"
    layout: str = "stereo"
    start_s: Fraction = Fraction(0)
    seconds: float = 4.0


def every(
    fps: Fraction | int, seconds: float = 4.0, start_s: Fraction = Fraction(0)
) -> list[Fraction]:
    """The times of frames at a constant rate."""
    return [start_s + number / Fraction(fps) for number in range(round(seconds * fps))]


def unevenly(seconds: float = 4.0) -> list[Fraction]:
    """The times of frames 10 to 120 ms apart, with one at every full second."""
    times, steps = [Fraction(0)], (33, 10, 120, 41, 17, 80)
    while times[-1] < seconds:
        step = Fraction(steps[len(times) % len(steps)], 1000)
        times.append(min(times[-1] + step, Fraction(int(times[-1]) + 1)))
    return times[:-1]


def make_flashing(
    path: Path,
    times: Iterable[Fraction],
    beeps: Beeps | None,
    *,
    tick: Fraction = Fraction(1, 90_000),
    size: tuple[int, int] = SIZE,
) -> Path:
    """Write H.264 with B-frames and that audio into the container of the suffix; ``tick`` is what
    times count in."""
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream(
            "libx264", rate=25, options={"preset": "veryfast", "crf": "22", "g": "40"}
        )
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        video.codec_context.time_base = tick
        video.codec_context.color_primaries = video.codec_context.color_trc = (
            video.codec_context.colorspace
        ) = BT709
        video.codec_context.open()
        audio = _audio_stream(container, beeps) if beeps else None
        packets = [
            packet
            for frame in chain(_frames(times, tick, size), [None])
            for packet in video.encode(frame)
        ]
        if beeps and audio:
            packets += [
                packet
                for frame in (*_beep_frames(audio, beeps), None)
                for packet in audio.encode(frame)
            ]
        container.start_encoding()
        # FLAC's encoder ends with an empty packet that updates the header.
        packets = [packet for packet in packets if packet.size]
        for packet in sorted(packets, key=lambda packet: (packet.dts or 0) * packet.time_base):
            container.mux_one(packet)
    return path


def _frames(
    times: Iterable[Fraction], tick: Fraction, size: tuple[int, int]
) -> Iterator[av.VideoFrame]:
    width, height = size
    across = np.tile(np.linspace(30, 110, width, dtype=np.uint8)[None, :, None], (height, 1, 3))
    for number, time in enumerate(times):
        image = np.full_like(across, 235) if time % 1 < FLASH_S else across.copy()
        left = 8 * number % (width - 16)
        image[40:56, left : left + 16] = (40, 160, 90)
        frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(
            format="yuv420p", dst_colorspace="ITU709"
        )
        frame.pts, frame.time_base = round(time / tick), tick
        yield frame


def beeping(seconds: float, start_s: Fraction = Fraction(0)) -> Samples:
    """Samples from ``start_s`` on: 880 Hz in the first tenth of every second, 220 Hz softly in
    between."""
    time = float(start_s) + np.arange(round(seconds * RATE)) / RATE
    beep = np.where(
        time % 1 < BEEP_S,
        0.5 * np.sin(2 * np.pi * 880 * time),
        0.05 * np.sin(2 * np.pi * 220 * time),
    )
    return np.asarray(beep, np.float32)


def _audio_stream(container: av.container.OutputContainer, beeps: Beeps) -> Any:
    stream: Any = container.add_stream(beeps.codec, rate=RATE, layout=beeps.layout)
    stream.codec_context.open()
    return stream


def _beep_frames(stream: Any, beeps: Beeps) -> Iterator[av.AudioFrame]:
    context = stream.codec_context
    samples = beeping(beeps.seconds, beeps.start_s)
    whole = av.AudioFrame.from_ndarray(
        np.tile(samples, (context.layout.nb_channels, 1)), "fltp", beeps.layout
    )
    whole.sample_rate, whole.time_base, whole.pts = (
        RATE,
        Fraction(1, RATE),
        round(beeps.start_s * RATE),
    )
    resampler = av.AudioResampler(
        context.format, beeps.layout, RATE, frame_size=context.frame_size or 1024
    )
    for frame in (whole, None):
        yield from resampler.resample(frame)


def beep_times(samples: Samples, rate: int = RATE) -> list[float]:
    """The starts of beeps in seconds from the first sample, by the mean level of 1 ms."""
    step = rate // 1000
    loud = np.abs(samples[: len(samples) // step * step]).reshape(-1, step).mean(1) > 0.12
    quiet_before = 20
    starts = [at for at in np.flatnonzero(loud) if not loud[max(0, at - quiet_before) : at].any()]
    return [float(at) / 1000 for at in starts]
