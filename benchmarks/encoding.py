"""What painting costs the pixels outside the painted regions, beside a plain transcode with the
same settings.

Each clip is cut, searched for faces and painted as workers do it, segment by segment; the same
frames, unpainted, are encoded in one piece by FFmpeg with the same encoder, CRF and preset, without
B-frames. Both are compared with what the clip decodes to, where nothing was painted (16 px around
it count as painted: blocks and their filtered edges).
"""

import argparse
import io
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest.mock import patch

import av
import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.clips import make_portrait_clip
from facepaint.looks.look import Look
from facepaint.looks.parser import parse_look
from facepaint.media.encoders import ENCODERS
from facepaint.records.faces import Faces
from facepaint.records.job import DetectorSpec, Job, OutputProfile
from facepaint.settings import Settings
from models.providers import Runtime
from tasks.detect import detect_segment
from tasks.paint import Inputs, paint_segment
from tasks.video.decode import RunSource, decode_window
from tasks.video.encode import SegmentEncoder
from tasks.video.encoder_options import ALLOWANCES, Wish, encoder_options
from tasks.video.normalize import Normalizer
from tasks.video.yuv import planes_of
from uploader.cutter import CutSegment
from uploader.probe import probe
from uploader.reader import Reader
from uploader.upload import new_job

Planes = list[npt.NDArray[Any]]
Mask = npt.NDArray[np.bool_]

AROUND_PX = 16
SSIM_PX = 8
FIRST_PLACES = 5
"""Places in a segment looked at one by one, from its first frame on."""


@dataclass(slots=True)
class Measured:
    """Sums over frames of what differs outside the painted regions; ``by_place`` are luma's errors
    in each segment."""

    bytes: int = 0
    seconds: float = 0.0
    frames: int = 0
    errors: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    pixels: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    likeness: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
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
            likeness = _ssim(a.astype(np.float32), b.astype(np.float32), self.peak)[mask]
            self.likeness[number] += likeness.sum()
            self.windows[number] += likeness.size
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
        return [float(share) for share in self.likeness / self.windows]

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
    """The mask of a plane of chroma: where all its luma is outside."""
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


@dataclass(frozen=True, slots=True)
class Cut:
    """A clip as a job: its segments, and their faces."""

    job: Job
    segments: list[CutSegment]
    faces: dict[int, Faces]

    def run(self, index: int) -> tuple[list, list[bytes]]:  # type: ignore[type-arg]
        """Records and bytes that a segment is decoded from."""
        run = self.segments[self.segments[index].record.decode_from : index + 1]
        return [segment.record for segment in run], [segment.data for segment in run]

    def frames(self, index: int) -> Iterator[av.VideoFrame]:
        """A segment's frames, upright and unpainted."""
        upright = Normalizer(self.job.video, self.job.output)
        return upright.frames(decode_window(self.job.video, RunSource(*self.run(index))))


def cut(clip: Path, profile: OutputProfile, seconds: float) -> Cut:
    """Cut the clip's first seconds and find the faces in it."""
    probed = probe(clip)
    job = new_job(probed, Settings.load(), DetectorSpec())
    job = replace(job, output=profile, detector=DetectorSpec())
    segments: list[CutSegment] = []
    for segment in Reader(clip, probed, job.segment_s, ENCODERS[profile.encoder].work).segments():
        if (
            segments
            and (segment.record.start - segments[0].record.start) * probed.video.time_base
            >= seconds
        ):
            break
        segments.append(segment)
    job = replace(job, start_pts=segments[0].record.start)
    made = Cut(job, segments, {})
    for index in range(len(segments)):
        made.faces[index] = detect_segment(job, RunSource(*made.run(index)), Runtime("cpu"))
    return made


@contextmanager
def _given() -> Iterator[list[Planes]]:
    """Keeps what painting hands to the encoder."""
    given: list[Planes] = []

    class Keeping(SegmentEncoder):
        def write(self, frame: av.VideoFrame) -> None:
            given.append([plane.copy() for plane in planes_of(frame)])
            super().write(frame)

    with patch("tasks.paint.SegmentEncoder", Keeping):
        yield given


def measure_painted(made: Cut, look: Look) -> tuple[Measured, list[Mask]]:
    """Paint every segment; also where each frame was left alone."""
    measured, outsides = Measured(), []
    for index in range(len(made.segments)):
        near = {
            other: made.faces[other]
            for other in (index - 1, index, index + 1)
            if other in made.faces
        }
        with _given() as given:
            result = paint_segment(made.job, look, RunSource(*made.run(index)), Inputs(near))
        measured.seconds += result.record.times_s["encode"]
        measured.bytes += len(result.data) - (result.record.init_bytes if index else 0)
        shown = decode(result.data)
        for place, (frame, painted) in enumerate(zip(made.frames(index), given, strict=True)):
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


def measure_plain(made: Cut, outsides: Sequence[Mask]) -> Measured:
    """Encode the unpainted frames in one piece, with a keyframe every 2 s, and compare where
    painting left alone."""
    measured = Measured()
    data, measured.seconds = _transcode(made)
    measured.bytes = len(data)
    shown = decode(data)
    masks = iter(outsides)
    for index in range(len(made.segments)):
        for place, frame in enumerate(made.frames(index)):
            measured.peak = 2 ** frame.format.components[0].bits - 1
            measured.add(planes_of(frame), planes_of(next(shown)), next(masks), place)
    return measured


def _transcode(made: Cut) -> tuple[bytes, float]:
    """What FFmpeg makes of the frames, and how long it took."""
    video, profile = made.job.video, made.job.output
    assert video is not None
    rate = video.frame_rate or Fraction(25)
    chosen = encoder_options(Wish(profile))
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
        for index in range(len(made.segments)):
            for frame in made.frames(index):
                frame.pts, frame.time_base = (frame.pts or 0) - made.job.start_pts, video.time_base
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
    """A clip painted, and its plain transcode."""
    look = parse_look(["sunglasses"])
    made = cut(clip, profile, seconds)
    painted, outsides = measure_painted(made, look)
    return painted, measure_plain(made, outsides)


def row(name: str, way: str, measured: Measured) -> str:
    """A line of the table."""
    psnr = " / ".join(f"{value:.2f}" for value in measured.psnr)
    ssim = " / ".join(f"{value:.4f}" for value in (measured.ssim[0], sum(measured.ssim[1:]) / 2))
    places = " ".join(f"{value:.1f}" for value in measured.psnr_by_place)
    speed = 1000 * measured.seconds / measured.frames
    return (
        f"| {name} | {way} | {measured.bytes / 1000:.0f} | {speed:.1f} | {psnr} | {ssim} | "
        f"{places} |"
    )


def main() -> int:
    """Print a table of every clip named, or of the portrait clip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="*", type=Path, help="videos of yours")
    parser.add_argument(
        "--encoder", action="append", choices=[*ENCODERS], help="several may be named"
    )
    parser.add_argument("--quality", type=int, action="append", help="several may be named")
    parser.add_argument("--preset", action="append", help="several may be named")
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args()
    print(f"{platform.machine()}, one thread, PyAV {av.__version__}")
    print(
        "| clip | encoded | kB | ms a frame | PSNR Y / U / V, dB | SSIM Y / UV | PSNR Y by "
        "place in the segment |"
    )
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        clips = options.clips or [make_portrait_clip(Path(folder) / "portrait.mp4", audio=None)]
        for clip in clips:
            for encoder in options.encoder or ["libx264"]:
                for preset in options.preset or [OutputProfile().preset]:
                    for crf in options.quality or [OutputProfile().crf]:
                        profile = OutputProfile(encoder, crf, preset)
                        painted, plain = compared(clip, profile, options.seconds)
                        print(row(clip.stem, f"{encoder} {crf} {preset}, painted", painted))
                        print(row(clip.stem, f"{encoder} {crf} {preset}, plain", plain), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
