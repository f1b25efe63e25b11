"""Generated clips: two faces that move, turn and leave the frame, with audio.

Both are the public-domain portrait of scikit-image (Eileen Collins, NASA), one of them mirrored.
``python -m benchmarks.clips OUT.mp4`` makes the demo's clip.
"""

import argparse
import math
from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import skimage.data

RgbImage = npt.NDArray[np.uint8]
"""h x w x 3."""

SAMPLE_RATE = 48_000


FACE = (225.0, 118.0)
"""Middle of the portrait's face in px."""


@cache
def cutout() -> tuple[RgbImage, npt.NDArray[np.float32]]:
    """The portrait and its alpha mask (0-1), from rough shapes by GrabCut."""
    portrait = np.ascontiguousarray(skimage.data.astronaut())
    rough = np.full(portrait.shape[:2], cv2.GC_BGD, np.uint8)
    cv2.ellipse(rough, (225, 105), (100, 110), 0, 0, 360, cv2.GC_PR_BGD, -1)
    cv2.ellipse(rough, (215, 440), (250, 290), 0, 0, 360, cv2.GC_PR_FGD, -1)
    cv2.ellipse(rough, (225, 100), (72, 88), 0, 0, 360, cv2.GC_PR_FGD, -1)
    cv2.ellipse(rough, (225, 115), (45, 60), 0, 0, 360, cv2.GC_FGD, -1)
    cv2.ellipse(rough, (214, 236), (86, 50), 0, 0, 360, cv2.GC_FGD, -1)
    cv2.ellipse(rough, (215, 480), (170, 220), 0, 0, 360, cv2.GC_FGD, -1)
    cv2.setRNGSeed(1)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(portrait[..., ::-1].copy(), rough, None, *models, 3, cv2.GC_INIT_WITH_MASK)
    inside = np.isin(rough, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8) * 255
    inside = cv2.erode(cv2.morphologyEx(inside, cv2.MORPH_OPEN, np.ones((7, 7))), np.ones((3, 3)))
    return portrait, cv2.GaussianBlur(inside, (0, 0), 1.6).astype(np.float32) / 255


def placement(
    x: float, y: float, height: float, roll: float, mirrored: bool
) -> npt.NDArray[np.float64]:
    """The matrix (2 x 3, px counted from the middle of the first) with which `place` paints the
    portrait."""
    matrix = cv2.getRotationMatrix2D(FACE, roll, height / cutout()[0].shape[0])
    if mirrored:
        matrix = matrix @ np.array([[-1.0, 0, 2 * FACE[0]], [0, 1, 0], [0, 0, 1]])
    matrix[:, 2] += (x - FACE[0], y - FACE[1])
    return np.asarray(matrix, np.float64)


def place(
    scene: npt.NDArray[np.float32], x: float, y: float, height: float, roll: float, mirrored: bool
) -> None:
    """Paint the person with the face's middle at (x, y) px, as if ``height`` px tall, leaning by
    ``roll`` degrees."""
    portrait, mask = cutout()
    side = portrait.shape[0]
    matrix = placement(x, y, height, roll, mirrored)
    corners = matrix @ np.array([[0, side, 0, side], [0, 0, side, side], [1, 1, 1, 1]], float)
    left, top = np.maximum(0, np.floor(corners.min(1))).astype(int)
    right, bottom = np.minimum(scene.shape[1::-1], np.ceil(corners.max(1))).astype(int)
    if left >= right or top >= bottom:
        return
    matrix[:, 2] -= (left, top)
    size = (int(right - left), int(bottom - top))
    alpha = cv2.warpAffine(mask, matrix, size, flags=cv2.INTER_LINEAR)[..., None]
    person = cv2.warpAffine(
        portrait, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    region = scene[top:bottom, left:right]
    region += (person.astype(np.float32) - region) * alpha


@cache
def backdrop(width: int, height: int) -> npt.NDArray[np.float32]:
    """A soft evening gradient, wider than the frame so that it can drift."""
    wide = width + width // 2
    across = np.linspace(0, 1, wide, dtype=np.float32)[None, :, None]
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    top, left, low = (
        np.array(colour, np.float32) for colour in ((52, 66, 110), (196, 120, 110), (238, 190, 130))
    )
    mixed: npt.NDArray[np.float32] = (top * (1 - down) + low * down) * (
        0.75 + 0.25 * across
    ) + left * (0.12 * across)
    rng = np.random.default_rng(7)
    for _ in range(26):
        spot = np.zeros((height, wide), np.float32)
        centre = (int(rng.integers(0, wide)), int(rng.integers(0, height)))
        cv2.circle(spot, centre, int(rng.integers(height // 24, height // 8)), 1.0, -1)
        mixed += cv2.GaussianBlur(spot, (0, 0), height / 60)[..., None] * rng.uniform(
            6, 22, 3
        ).astype(np.float32)
    return np.clip(mixed, 0, 255)


def scenes(seconds: float, size: tuple[int, int], fps: Fraction) -> Iterator[RgbImage]:
    """The frames as RGB images (height, width, 3)."""
    width, height = size
    count = round(seconds * fps)
    for number in range(count):
        t, share = float(number / fps), number / max(1, count - 1)
        drift = int((width // 4) * (1 + math.sin(t * 0.3)))
        scene = backdrop(width, height)[:, drift : drift + width].copy()
        leaving = max(0.0, share - 0.6) / 0.4
        place(
            scene,
            width * (0.68 + 0.04 * math.sin(t * 1.1) + 0.55 * leaving**1.5),
            height * (0.42 + 0.03 * math.sin(t * 1.7)),
            height * (1.15 + 0.10 * math.sin(t * 0.6)),
            14 * math.sin(t * 0.9 + 1),
            mirrored=True,
        )
        place(
            scene,
            width * (0.30 + 0.07 * math.sin(t * 0.7)),
            height * (0.44 + 0.03 * math.sin(t * 1.3)),
            height * (1.45 + 0.15 * math.sin(t * 0.5)),
            12 * math.sin(t * 0.8),
            mirrored=False,
        )
        yield np.clip(scene, 0, 255).astype(np.uint8)


def make_portrait_clip(
    path: Path,
    *,
    seconds: float = 8,
    size: tuple[int, int] = (640, 360),
    fps: Fraction | int = 30,
    codec: str = "libx264",
    options: Mapping[str, str] | None = None,
    gop: int = 60,
    pixel_format: str = "yuv420p",
    audio: str | None = "aac",
    rotation: int = 0,
    start: Fraction = Fraction(0),
) -> Path:
    """Make the clip and return its path.

    Args:
        gop: longest distance of keyframes in frames; a huge one gives a file with a single
            keyframe.
        options: of the encoder, such as ``{"bf": "3", "flags": "-cgop"}``.
        audio: codec of the audio; None for a clip without audio.
        rotation: clockwise degrees by which frames are stored rotated, with the display matrix
            that rotates them back.
        start: presentation time of the first frame and of the audio, in seconds.
    """
    rate = Fraction(fps)
    chosen = (
        {"preset": "veryfast", "crf": "20", **(options or {})}
        if codec.startswith("libx26")
        else dict(options or {})
    )
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=rate, options={"g": str(gop), **chosen})
        sideways = bool(rotation % 180)
        video.width, video.height = size[::-1] if sideways else size
        video.pix_fmt = pixel_format
        video.codec_context.time_base = 1 / rate
        if rotation:
            video.set_display_rotation(-rotation)
        audio = _audio_stream(container, audio) if audio else None
        tones = _tones(seconds, audio, start) if audio else iter(())
        for number, image in enumerate(scenes(seconds, size, rate)):
            turned = np.ascontiguousarray(np.rot90(image, rotation // 90))
            frame = av.VideoFrame.from_ndarray(turned, format="rgb24")
            frame.pts, frame.time_base = number + round(start * rate), 1 / rate
            container.mux(video.encode(frame))
            for packets in tones:
                container.mux(packets)
                if (
                    packets
                    and packets[-1].pts is not None
                    and packets[-1].pts * packets[-1].time_base > number / rate
                ):
                    break
        container.mux(video.encode(None))
        for packets in tones:
            container.mux(packets)
    return path


def _audio_stream(container: av.container.OutputContainer, codec: str) -> av.AudioStream:
    """A stereo track; its encoder must be open before the first frame is written."""
    # Needed for FFmpeg's own Vorbis encoder.
    stream = container.add_stream(
        codec, rate=SAMPLE_RATE, layout="stereo", options={"strict": "experimental"}
    )
    assert isinstance(stream, av.AudioStream)
    stream.codec_context.open()
    return stream


def _tones(seconds: float, stream: av.AudioStream, start: Fraction) -> Iterator[list[av.Packet]]:
    """Packets of a melody that changes every half second."""
    context = stream.codec_context
    step = context.frame_size or 1024
    scale = (261.63, 293.66, 329.63, 392.0, 440.0)
    resampler = av.AudioResampler(
        format=context.format, layout="stereo", rate=SAMPLE_RATE, frame_size=step
    )
    for first in range(0, int(seconds * SAMPLE_RATE), step):
        at = (first + np.arange(step)) / SAMPLE_RATE
        pitch = np.take(scale, (at * 2).astype(int) % len(scale))
        wave = 0.15 * np.sin(2 * np.pi * pitch * at)
        frame = av.AudioFrame.from_ndarray(
            np.stack([wave, wave]).astype(np.float32), format="fltp", layout="stereo"
        )
        frame.sample_rate = SAMPLE_RATE
        frame.time_base = Fraction(1, SAMPLE_RATE)
        frame.pts = first + round(start * SAMPLE_RATE)
        for ready in resampler.resample(frame):
            yield list(stream.encode(ready))
    yield list(stream.encode(None))


def repeat_clip(clip: Path, out: Path, times: int) -> Path:
    """Write the clip's packets several times in a row, without encoding; returns ``out``.

    A repetition is as long as the video; audio that does not fit is left out.
    """
    with av.open(str(clip)) as source:
        video = source.streams.video[0]
        assert video.time_base is not None
        packets = [packet for packet in source.demux() if packet.size]
        ends = {packet: (packet.pts or 0) + (packet.duration or 0) for packet in packets}
        starts = {
            stream.index: min(p.pts or 0 for p in packets if p.stream is stream)
            for stream in source.streams
        }
        turn_s = max(
            ends[packet] * packet.time_base for packet in packets if packet.stream is video
        )
        packets = [p for p in packets if (ends[p] - starts[p.stream.index]) * p.time_base <= turn_s]
        bodies = [(packet, bytes(packet)) for packet in packets]
        with av.open(str(out), "w") as target:
            copies = {
                stream.index: target.add_stream_from_template(stream) for stream in source.streams
            }
            for turn in range(times):
                for packet, body in bodies:
                    copy = av.Packet(body)
                    shift = round(turn * turn_s / packet.time_base)
                    copy.pts = packet.pts + shift  # type: ignore[operator]
                    copy.dts = packet.dts + shift  # type: ignore[operator]
                    copy.duration, copy.time_base = packet.duration, packet.time_base
                    copy.is_keyframe = packet.is_keyframe
                    copy.stream = copies[packet.stream.index]
                    target.mux_one(copy)
    return out


def main() -> None:
    """Make a clip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=8)
    arguments = parser.parse_args()
    make_portrait_clip(arguments.out, seconds=arguments.seconds)


if __name__ == "__main__":
    main()
