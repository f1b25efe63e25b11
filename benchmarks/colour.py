"""Time and accuracy of colour conversions: python -m benchmarks.colour [--image
docs/pictures/tone-mapping.jpg]

Times are the best of several on one core, 1920x1080; errors are relative to the formulas in
float64. The image shows the public-domain portrait beside a lamp, above bands of saturated light up
to 1000 cd/m2: clipped to 8 bits, tone-mapped by facepaint, and by two curves of FFmpeg's `tonemap`.
"""

import argparse
import colorsys
import io
import platform
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import skimage.color
import skimage.data

from benchmarks.clips import RgbImage
from facepaint.records.colour import (
    Colour,
    ColourPrimaries,
    ColourRange,
    LightLevels,
    MatrixCoefficients,
    TransferCharacteristics,
)
from filters.planes import Matrix, rgb_to_yuv
from tasks.video.deinterlace import deinterlaced
from tasks.video.hdr import WHITE, Floats, pq_signal, to_sdr
from tasks.video.tonemap import back_to_hdr, in_sdr, tone_map
from tasks.video.yuv import YuvPlanes, planes_of, yuv_of

SIZE = (1920, 1080)
PQ = Colour(
    ColourPrimaries.BT2020,
    TransferCharacteristics.PQ,
    MatrixCoefficients.BT2020,
    ColourRange.LIMITED,
)
COLOURS = {"PQ": PQ, "HLG": replace(PQ, transfer=TransferCharacteristics.HLG)}
TO_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
"""From BT.709 light (ITU-R BT.2087)."""


def main() -> None:
    """Print the figures, and draw the image if it is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", type=Path)
    image_path = parser.parse_args().image
    cv2.setNumThreads(1)
    print(f"one core of {platform.machine()}, OpenCV {cv2.__version__}, PyAV {av.__version__}\n")
    for name, milliseconds in times().items():
        print(f"{name:<58} {milliseconds:8.1f} ms")
    print()
    for name, colour in COLOURS.items():
        print(f"{name}: {errors(colour)}")
        print(f"{name}: {round_trip(colour)}")
    if image_path:
        cv2.imwrite(
            str(image_path),
            cv2.cvtColor(comparison(), cv2.COLOR_RGB2BGR),
            [cv2.IMWRITE_JPEG_QUALITY, 88],
        )


def times() -> dict[str, float]:
    """Milliseconds a frame of each conversion, and of encoding and decoding for comparison."""
    portrait = cv2.resize(skimage.data.astronaut()[60:348], SIZE, interpolation=cv2.INTER_CUBIC)
    flat = av.VideoFrame.from_ndarray(portrait, "rgb24").reformat(
        format="yuv420p", dst_colorspace="ITU709"
    )
    hdr = back_to_hdr(COLOURS["PQ"], 10)(yuv_of(flat, full_range=False))
    deep = {name: flat.reformat(format=name) for name in ("yuv422p10le", "yuva420p")}
    planes_of(deep["yuva420p"])[3][:] = 128
    encoded, coding = _coded(hdr.to_frame("yuv420p10le", *SIZE))
    found = {
        "decode HEVC Main 10": coding,
        "encode, libx264 superfast crf 20": encoded,
        "HDR to 8-bit BT.709, tables": _best(lambda: in_sdr(hdr, COLOURS["PQ"], LightLevels())),
        "HDR to 8-bit BT.709, the formulas in float64": _best(
            lambda: to_sdr(_normal(hdr), COLOURS["PQ"], 1000), 1
        ),
        "tables made, once a process": _best(
            lambda: tone_map.__wrapped__(COLOURS["PQ"], LightLevels(), 10), 2
        ),
        "10-bit 4:2:2 to 8-bit 4:2:0": _best(lambda: _plain(deep["yuv422p10le"])),
        "10-bit 4:2:2 to 8-bit 4:2:0, swscale": _best(
            lambda: deep["yuv422p10le"].reformat(format="yuv420p")
        ),
        "alpha on black": _best(lambda: _plain(deep["yuva420p"])),
    }
    return found | {"deinterlace": _deinterlacing(flat)}


def _plain(frame: av.VideoFrame) -> av.VideoFrame:
    samples = yuv_of(frame, full_range=False).on_black().with_chroma(1, 1).with_bits(8)
    return samples.to_frame("yuv420p", *SIZE)


def _best(work: Callable[[], object], times: int = 12) -> float:
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken) * 1000


def _coded(frame: av.VideoFrame, frames: int = 16) -> tuple[float, float]:
    """Milliseconds a frame to encode a slow pan with x264 in 8 bits, and to decode it as HEVC in 10
    bits."""
    moved = [_moved(frame, number) for number in range(frames)]
    hevc = io.BytesIO()
    _encode(
        hevc,
        moved,
        "libx265",
        {"preset": "ultrafast", "crf": "18", "x265-params": "log-level=none"},
    )
    shallow = [one.reformat(format="yuv420p") for one in moved]
    encoding = _best(
        lambda: _encode(io.BytesIO(), shallow, "libx264", {"preset": "superfast", "crf": "20"}), 3
    )

    def decode() -> None:
        hevc.seek(0)
        with av.open(hevc) as container:
            container.streams.video[0].thread_count = 1
            for _ in container.decode(video=0):
                pass

    return encoding / frames, _best(decode, 3) / frames


def _moved(frame: av.VideoFrame, number: int) -> av.VideoFrame:
    samples = yuv_of(frame, full_range=False)
    y, u, v = (
        np.roll(plane, by * number, 1)
        for plane, by in ((samples.y, 4), (samples.u, 2), (samples.v, 2))
    )
    return YuvPlanes(y, u, v, None, samples.bits, 1, 1, False).to_frame(frame.format.name, *SIZE)


def _encode(
    file: io.BytesIO, frames: list[av.VideoFrame], codec: str, options: dict[str, str]
) -> None:
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=25, options={**options, "bf": "0"})
        stream.width, stream.height = SIZE
        stream.pix_fmt = frames[0].format.name
        stream.codec_context.thread_count = 1
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base = number, Fraction(1, 25)
            frame.pict_type = av.video.frame.PictureType.NONE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _deinterlacing(frame: av.VideoFrame, frames: int = 16) -> float:
    """Milliseconds a frame, for a pan whose frames FFmpeg's `setfield` flags as interlaced."""
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=SIZE[0], height=SIZE[1], format=frame.format, time_base=Fraction(1, 25)
    )
    field, sink = graph.add("setfield", "mode=tff"), graph.add("buffersink")
    source.link_to(field)
    field.link_to(sink)
    graph.configure()
    flagged = []
    for number in range(frames):
        moved = _moved(frame, number)
        moved.pts = number
        graph.push(moved)
        flagged.append(graph.pull())
    assert all(one.interlaced_frame for one in flagged)
    return _best(lambda: list(deinterlaced(flagged)), 3) / frames


def errors(colour: Colour) -> str:
    """The errors of the lookup tables, on the portrait at three brightnesses."""
    found = []
    for light in (0.05, 1.0, 3.0):
        linear = np.maximum((_portrait() ** 2.4 * light) @ TO_2020.T, 0)
        samples = _hdr(linear, colour)
        exact = to_sdr(_normal(samples), colour, 1000)
        shown = _normal(in_sdr(samples, colour, LightLevels()))
        found.append(np.abs(shown - exact).reshape(-1, 3) * (219, 224, 224))
    every = np.concatenate(found)
    return (
        f"tables against formulas: mean {every.mean():.2f}, 99 % {np.percentile(every, 99):.2f}, "
        f"most {every.max():.2f} steps of 8 bits (rounding with dither alone: 0.33, 0.98, 1.00)"
    )


def round_trip(colour: Colour) -> str:
    """The change of the portrait by conversion to HDR, with white at 203 cd/m2, and tone
    mapping."""
    portrait = _portrait()
    hdr = back_to_hdr(colour, 10)(_coded_samples(portrait, "bt709"))
    back = _rgb(_normal(in_sdr(hdr, colour, LightLevels())))
    steps = np.abs(back - portrait) * 255
    apart = skimage.color.deltaE_ciede2000(
        skimage.color.rgb2lab(portrait), skimage.color.rgb2lab(back)
    )
    skin = (slice(95, 170), slice(190, 260))
    return (
        f"portrait there and back: mean {steps.mean():.1f} steps, mean CIEDE2000 "
        f"{apart.mean():.1f}; "
        f"skin {steps[skin].mean():.1f} steps, CIEDE2000 {apart[skin].mean():.1f}"
    )


def comparison() -> RgbImage:
    """One HDR frame tone-mapped in four ways, side by side."""
    light = _scene()
    hdr = _hdr(light, COLOURS["PQ"])
    clipped = np.clip(_rgb(_normal(hdr), "bt2020"), 0, 1)
    ours = _rgb(_normal(in_sdr(hdr, COLOURS["PQ"], LightLevels())))
    curves = [_ffmpeg(light, curve) for curve in ("mobius", "hable")]
    panels = []
    for name, shown in zip(
        ("clipped to 8 bits", "facepaint", "mobius", "hable"),
        (clipped, ours, *curves),
        strict=True,
    ):
        panel = np.ascontiguousarray(np.rint(np.clip(shown, 0, 1) * 255).astype(np.uint8))
        cv2.rectangle(panel, (0, 0), (panel.shape[1], 25), (0, 0, 0), -1)
        cv2.putText(
            panel, name, (8, 18), cv2.FONT_HERSHEY_DUPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA
        )
        panels.append(panel)
    return np.hstack(panels)


def _scene(width: int = 300) -> Floats:
    """BT.2020 light relative to white: the portrait a little brighter, a lamp, and bands up to 1000
    cd/m2."""
    portrait = (
        cv2.resize(_portrait()[:430, 60:], (width, 290), interpolation=cv2.INTER_AREA) ** 2.4 * 1.3
    )
    lamp = np.zeros(portrait.shape[:2], np.float32)
    cv2.circle(lamp, (34, 66), 20, 1.0, -1, cv2.LINE_AA)
    lamp = cv2.GaussianBlur(lamp, (0, 0), 3)[..., None]
    portrait = portrait * (1 - lamp) + lamp * np.array([4.9, 4.6, 3.9])
    levels = np.geomspace(0.02, 1000 / WHITE, width)[:, None]
    bands = [
        np.repeat((levels * np.array(colorsys.hsv_to_rgb(hue / 6, 1, 1)))[None], 14, 0)
        for hue in range(6)
    ]
    bands.append(np.repeat(np.repeat(levels, 3, 1)[None], 14, 0))
    return np.vstack([np.maximum(portrait @ TO_2020.T, 0), *bands])


def _ffmpeg(light: Floats, curve: str) -> Floats:
    """R'G'B' of FFmpeg's tonemap filter from linear BT.709 light, clipped to its gamut."""
    linear = np.maximum(light @ np.linalg.inv(TO_2020).T, 0).astype(np.float32)
    height, width = linear.shape[:2]
    frame = av.VideoFrame(width, height, "gbrpf32le")
    for plane, channel in zip(frame.planes, (1, 2, 0), strict=True):
        rows = np.frombuffer(memoryview(plane), np.float32).reshape(height, -1)
        rows[:, :width] = linear[..., channel]
    frame.color_trc, frame.pts = 8, 0
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=width, height=height, format=frame.format, time_base=Fraction(1, 25)
    )
    mapped = graph.add("tonemap", f"tonemap={curve}:desat=0:peak={1000 / WHITE}")
    sink = graph.add("buffersink")
    source.link_to(mapped)
    mapped.link_to(sink)
    graph.configure()
    graph.push(frame)
    shown = graph.pull()
    planes = [
        np.frombuffer(memoryview(plane), np.float32).reshape(height, -1)[:, :width]
        for plane in shown.planes
    ]
    return np.clip(np.dstack([planes[2], planes[0], planes[1]]).astype(float), 0, 1) ** (1 / 2.4)


def _portrait() -> Floats:
    return skimage.data.astronaut() / 255.0


def _hdr(light: Floats, colour: Colour) -> YuvPlanes:
    """BT.2020 light relative to white as 10-bit samples."""
    if colour == PQ:
        return _coded_samples(pq_signal(light * WHITE), "bt2020", 10)
    # The table takes SDR of the same light; HLG above SDR white is not needed here.
    sdr = np.clip(light @ np.linalg.inv(TO_2020).T, 0, 1) ** (1 / 2.4)
    return back_to_hdr(colour, 10)(_coded_samples(sdr, "bt709"))


def _coded_samples(rgb: Floats, matrix: Matrix, bits: int = 8) -> YuvPlanes:
    ycc = rgb @ rgb_to_yuv(matrix, True)[:, :3].T
    scale = 1 << bits - 8
    kind = np.uint8 if bits == 8 else np.uint16
    y, u, v = (
        np.rint(plane * scale).astype(kind)
        for plane in np.moveaxis(ycc * (219, 224, 224) + (16, 128, 128), -1, 0)
    )
    return YuvPlanes(y, u, v, None, bits, 0, 0, False)


def _normal(samples: YuvPlanes) -> Floats:
    samples = samples.with_chroma(0, 0)
    scale = 1 << samples.bits - 8
    codes = np.dstack([samples.y, samples.u, samples.v]).astype(np.float64) / scale
    return (codes - (16, 128, 128)) / (219, 224, 224)


def _rgb(samples: Floats, matrix: Matrix = "bt709") -> Floats:
    return samples @ np.linalg.inv(rgb_to_yuv(matrix, True)[:, :3]).T


if __name__ == "__main__":
    main()
