"""What re-encoding costs the unpainted pixels, compared with a plain transcode with the same
settings.

Each clip is cut, detected and painted segment by segment, as workers do it. FFmpeg encodes the same
frames, unpainted, in one piece with the same encoder, CRF and preset, without B-frames. Both are
compared with the decoded clip where nothing was painted; 16 px around the paint count as painted,
because of blocks and their filtered edges.
"""

import argparse
import io
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import av
import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.clips import make_portrait_clip
from benchmarks.pipeline import CutClip, cut_clip, detect_clip, paint_clip
from facepaint.looks.look import Look
from facepaint.looks.parser import parse_look
from facepaint.media.encoders import ENCODERS
from facepaint.records.job import OutputProfile
from tasks.video.decode import decode_window
from tasks.video.encode import SegmentEncoder
from tasks.video.encoder_options import ALLOWANCES, EncoderRequest, encoder_options
from tasks.video.normalize import Normalizer
from tasks.video.yuv import planes_of

Planes = list[npt.NDArray[Any]]
Mask = npt.NDArray[np.bool_]

AROUND_PX = 16
SSIM_PX = 8
FIRST_PLACES = 5
"""The first frames of a segment are reported one by one."""


@dataclass(slots=True)
class Measured:
    """Sums over frames of the differences outside the painted regions.

    ``by_place`` holds the luma errors by the frame's place in its segment.
    """

    bytes: int = 0
    seconds: float = 0.0
    frames: int = 0
    errors: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    pixels: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    similarity: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    windows: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    by_place: dict[int, list[float]] = field(default_factory=dict)
    peak: int = 255

    def add(self, source: Planes, shown: Planes, outside: Mask, place: int) -> None:
        """Compare a frame; ``place`` counts from the first frame of its segment."""
        self.frames += 1
        for number, (a, b) in enumerate(zip(source, shown, strict=True)):
            mask = _fitted(outside, a.shape)
            squares = (a.astype(np.float64) - b) ** 2
            self.errors[number] += squares[mask].sum()
            self.pixels[number] += mask.sum()
            similarity = _ssim(a.astype(np.float32), b.astype(np.float32), self.peak)[mask]
            self.similarity[number] += similarity.sum()
            self.windows[number] += similarity.size
            if number == 0:
                self.by_place.setdefault(min(place, FIRST_PLACES), []).append(
                    float(squares[mask].mean())
                )

    @property
    def psnr(self) -> list[float]:
        """Of Y, Cb and Cr over all frames, in dB."""
        return [_decibels(error, self.peak) for error in self.errors / self.pixels]

    @property
    def ssim(self) -> list[float]:
        """Of Y, Cb and Cr, the mean over all windows."""
        return [float(share) for share in self.similarity / self.windows]

    @property
    def psnr_by_place(self) -> list[float]:
        """Of Y in the first frames of all segments, and last in all their others."""
        return [
            _decibels(float(np.mean(self.by_place[place])), self.peak)
            for place in sorted(self.by_place)
        ]


def _decibels(error: float, peak: int) -> float:
    return float(10 * np.log10(peak**2 / max(error, 1e-6)))


def _fitted(mask: Mask, shape: tuple[int, ...]) -> Mask:
    """The mask for a chroma plane: the pixels whose luma is all outside."""
    rows, columns = mask.shape[0] // shape[0], mask.shape[1] // shape[1]
    shaped = mask[: shape[0] * rows, : shape[1] * columns].reshape(
        shape[0], rows, shape[1], columns
    )
    return np.asarray(shaped.all(axis=(1, 3)))


def _ssim(
    a: npt.NDArray[np.float32], b: npt.NDArray[np.float32], peak: int
) -> npt.NDArray[np.float32]:
    """The structural similarity of every window of 8x8 (Wang et al. 2004), at its centre."""

    def mean(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.asarray(cv2.boxFilter(x, -1, (SSIM_PX, SSIM_PX)))

    mean_a, mean_b = mean(a), mean(b)
    variances = mean(a * a) - mean_a**2 + mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    top = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return np.asarray(top / ((mean_a**2 + mean_b**2 + c1) * (variances + c2)), np.float32)


def source_frames(clip: CutClip, index: int) -> Iterator[av.VideoFrame]:
    """A segment's frames, upright and unpainted."""
    normalizer = Normalizer(clip.job.video, clip.job.output)
    return normalizer.frames(decode_window(clip.job.video, clip.run(index)))


@contextmanager
def _encoder_inputs() -> Iterator[list[Planes]]:
    """Copies of the frames that painting passes to the encoder."""
    inputs: list[Planes] = []

    class CopyingEncoder(SegmentEncoder):
        def write(self, frame: av.VideoFrame) -> None:
            inputs.append([plane.copy() for plane in planes_of(frame)])
            super().write(frame)

    with patch("tasks.paint.SegmentEncoder", CopyingEncoder):
        yield inputs


def measure_painted(clip: CutClip, look: Look) -> tuple[Measured, list[Mask]]:
    """Paint every segment; also the unpainted pixels of each frame."""
    measured, outsides = Measured(), []
    results = paint_clip(clip, detect_clip(clip), look)
    for index in range(len(clip.segments)):
        with _encoder_inputs() as inputs:
            result = next(results)
        measured.seconds += result.record.times_s["encode"]
        measured.bytes += len(result.data) - (result.record.init_bytes if index else 0)
        shown = decode(result.data)
        for place, (frame, painted) in enumerate(
            zip(source_frames(clip, index), inputs, strict=True)
        ):
            source = planes_of(frame)
            outsides.append(_outside(source, painted))
            measured.peak = 2 ** frame.format.components[0].bits - 1
            measured.add(source, planes_of(next(shown)), outsides[-1], place)
    return measured, outsides


def _outside(source: Planes, painted: Planes) -> Mask:
    changed = np.zeros(source[0].shape, np.uint8)
    for a, b in zip(source, painted, strict=True):
        differs = (a != b).astype(np.uint8)
        changed |= cv2.resize(differs, changed.shape[::-1], interpolation=cv2.INTER_NEAREST)
    return np.asarray(
        cv2.dilate(changed, np.ones((2 * AROUND_PX + 1, 2 * AROUND_PX + 1), np.uint8)) == 0
    )


def measure_plain(clip: CutClip, outsides: Sequence[Mask]) -> Measured:
    """Encode the unpainted frames in one piece, with a keyframe every 2 s, and compare the same
    pixels."""
    measured = Measured()
    data, measured.seconds = _transcode(clip)
    measured.bytes = len(data)
    shown = decode(data)
    masks = iter(outsides)
    for index in range(len(clip.segments)):
        for place, frame in enumerate(source_frames(clip, index)):
            measured.peak = 2 ** frame.format.components[0].bits - 1
            measured.add(planes_of(frame), planes_of(next(shown)), next(masks), place)
    return measured


def _transcode(clip: CutClip) -> tuple[bytes, float]:
    """The transcoded file and the seconds of encoding."""
    video, profile = clip.job.video, clip.job.output
    rate = video.frame_rate or Fraction(25)
    chosen = encoder_options(EncoderRequest(profile))
    crf = float(chosen["crf"]) + ALLOWANCES[profile.encoder]
    buffer, seconds = io.BytesIO(), 0.0
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream(profile.encoder, rate=rate)
        assert isinstance(stream, av.VideoStream)
        upright = Normalizer(video, profile)
        stream.width, stream.height = upright.size
        stream.pix_fmt = ENCODERS[profile.encoder].formats[upright.format.replace("yuvj", "yuv")]
        context = stream.codec_context
        context.time_base, context.thread_count = video.time_base, 1
        context.options = {
            "preset": chosen["preset"],
            "crf": f"{crf:g}",
            "bf": "0",
            "g": str(max(1, round(2 * rate))),
        }
        if profile.encoder == "libx265":
            context.options |= {"x265-params": "log-level=error"}
        for index in range(len(clip.segments)):
            for frame in source_frames(clip, index):
                frame.pts, frame.time_base = (frame.pts or 0) - clip.job.start_pts, video.time_base
                frame.pict_type = av.video.frame.PictureType.NONE
                begun = time.perf_counter()
                container.mux(stream.encode(frame))
                seconds += time.perf_counter() - begun
        container.mux(stream.encode(None))
    return buffer.getvalue(), seconds


def decode(data: bytes) -> Iterator[av.VideoFrame]:
    """The frames of a file in memory."""
    with av.open(io.BytesIO(data), "r") as container:
        yield from container.decode(video=0)


def compared(clip: Path, profile: OutputProfile, seconds: float = 8.0) -> tuple[Measured, Measured]:
    """Measure the first seconds of a clip, painted with sunglasses and as a plain transcode."""
    segments = cut_clip(clip, 2.0, profile, seconds)
    painted, outsides = measure_painted(segments, parse_look(["sunglasses"]))
    return painted, measure_plain(segments, outsides)


def row(name: str, encoding: str, measured: Measured) -> str:
    """A line of the table."""
    psnr = " / ".join(f"{value:.2f}" for value in measured.psnr)
    ssim = " / ".join(f"{value:.4f}" for value in (measured.ssim[0], sum(measured.ssim[1:]) / 2))
    places = " ".join(f"{value:.1f}" for value in measured.psnr_by_place)
    speed = 1000 * measured.seconds / measured.frames
    return (
        f"| {name} | {encoding} | {measured.bytes / 1000:.0f} | {speed:.1f} | {psnr} | {ssim} | "
        f"{places} |"
    )


def main() -> int:
    """Print a table for the named clips, by default for the portrait clip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="*", type=Path, help="your own videos")
    parser.add_argument(
        "--encoder", action="append", choices=[*ENCODERS], help="may be given several times"
    )
    parser.add_argument("--quality", type=int, action="append", help="may be given several times")
    parser.add_argument("--preset", action="append", help="may be given several times")
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args()
    print(f"{platform.machine()}, one thread, PyAV {av.__version__}")
    print(
        "| clip | encoded | kB | ms a frame | PSNR Y / U / V, dB | SSIM Y / UV | PSNR Y by "
        "place in the segment |"
    )
    print("|---|---|---|---|---|---|---|")
    encodings = product(
        options.encoder or ["libx264"],
        options.preset or [OutputProfile().preset],
        options.quality or [OutputProfile().crf],
    )
    with tempfile.TemporaryDirectory() as folder:
        clips = options.clips or [make_portrait_clip(Path(folder) / "portrait.mp4", audio=None)]
        for clip, (encoder, preset, crf) in product(clips, encodings):
            painted, plain = compared(clip, OutputProfile(encoder, crf, preset), options.seconds)
            name = f"{encoder} {crf} {preset}"
            print(row(clip.stem, f"{name}, painted", painted))
            print(row(clip.stem, f"{name}, plain", plain), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
