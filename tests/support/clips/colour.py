"""How pixels are meant: bit depth, subsampling, range, matrix, brightness beyond white, and
transparency."""

from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.clips import RgbImage
from facepaint.records.colour import ColourPrimaries, ColourRange, TransferCharacteristics
from tests.support.clips.ordinary import Frame, decode_ordinarily
from tests.support.clips.registry import clip
from tests.support.clips.write import FPS, AudioTrack, Video, portrait, write_clip

BT709, BT2020 = ColourPrimaries.BT709, ColourPrimaries.BT2020
"""Primaries and matrix, and for BT.709 the transfer too, have the same code points."""

PQ, HLG = TransferCharacteristics.PQ, TransferCharacteristics.HLG
LIMITED, FULL = ColourRange.LIMITED, ColourRange.FULL
BT470BG, BT601 = 5, 6
"""Code points of ITU-T H.273."""

Light = npt.NDArray[np.float64]
"""Linear light of shape (height, width, 3), R, G, B; what 1 is, is said where it is made."""

WHITE_NITS, LAMP_NITS = 203.0, 900.0
"""Luminance of diffuse white (ITU-R BT.2408) and of a lamp in the corner, in cd/m2."""

BT709_TO_BT2020 = np.array(
    [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
)
"""Of linear light: ITU-R BT.2087."""

BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593])

MASTERING = (
    "hdr10=1:repeat-headers=1:master-display="
    "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    ":max-cll=900,250"
)
"""P3 primaries, D65, 0.005 to 1000 cd/m2, as SMPTE ST 2086 has it, and CTA-861.3's content light
levels."""


@clip("bt601.mp4", "BT.601 tags")
def bt601(path: Path) -> None:
    """Standard definition of 625 lines, tagged with its primaries, transfer and matrix."""
    write_clip(
        path,
        video=Video(options={"bf": "2"}, colour=(BT470BG, BT601, BT470BG, LIMITED)),
        audio=[AudioTrack()],
    )


@clip("bt709.mp4", "BT.709 tags")
def bt709(path: Path) -> None:
    """High definition, converted by BT.709's matrix and tagged with it."""
    write_clip(
        path,
        video=Video(options={"bf": "2"}, colour=(BT709, BT709, BT709, LIMITED)),
        audio=[AudioTrack()],
    )


@clip("full-range.mp4", "full range H.264")
def full_range(path: Path) -> None:
    """As phones record it: 0 to 255, tagged so."""
    write_clip(
        path,
        video=Video(options={"bf": "2"}, colour=(BT709, BT709, BT709, FULL)),
        audio=[AudioTrack()],
    )


@clip("10bit.mp4", "10 bit, BT.709, HEVC")
def ten_bit(path: Path) -> None:
    """HEVC Main 10 without HDR."""
    video = Video(
        "libx265", pixel_format="yuv420p10le", tag="hvc1", colour=(BT709, BT709, BT709, LIMITED)
    )
    write_clip(path, video=video, audio=[AudioTrack()])


@clip("10bit-422.mp4", "10 bit 4:2:2, H.264")
def ten_bit_422(path: Path) -> None:
    """High 4:2:2 as cameras record it."""
    video = Video(
        options={"bf": "2"}, pixel_format="yuv422p10le", colour=(BT709, BT709, BT709, LIMITED)
    )
    write_clip(path, video=video, audio=[AudioTrack()])


@clip("422.mp4", "4:2:2")
def chroma_422(path: Path) -> None:
    """8-bit H.264 with chroma of half the width and all lines."""
    write_clip(path, video=Video(options={"bf": "2"}, pixel_format="yuv422p"))


@clip("444.mp4", "4:4:4")
def chroma_444(path: Path) -> None:
    """8-bit H.264 with chroma of full size, as screen recorders offer."""
    write_clip(path, video=Video(options={"bf": "2"}, pixel_format="yuv444p"))


@clip("rgb.mp4", "RGB")
def rgb(path: Path) -> None:
    """x264 with planes of green, blue and red, as capture software offers."""
    write_clip(
        path, video=Video("libx264rgb", {"bf": "2", "preset": "veryfast", "crf": "20"}, "rgb24")
    )


@clip("hlg.mp4", "HLG HDR, 10 bit")
def hlg(path: Path) -> None:
    """HEVC Main 10 as phones record it: the portrait in the light of ITU-R BT.2100 HLG, with a lamp
    of 900 cd/m2."""
    options = {"preset": "ultrafast", "x265-params": "log-level=none"}
    write_clip(path, _bt2100(hlg_signal), _hdr(options, HLG), [AudioTrack()])


@clip("pq.mp4", "PQ HDR (HDR10), 10 bit")
def pq(path: Path) -> None:
    """HEVC Main 10 with mastering data and light levels: the same portrait and lamp in BT.2100
    PQ."""
    options = {"preset": "ultrafast", "x265-params": f"log-level=none:{MASTERING}"}
    write_clip(path, _bt2100(pq_signal), _hdr(options, PQ), [AudioTrack()])


def decode_with_alpha(path: Path) -> list[Frame]:
    """FFmpeg's own decoder leaves the alpha aside, libvpx does not."""
    return decode_ordinarily(path, "libvpx-vp9")


@clip("alpha.webm", "alpha, VP9", decode=decode_with_alpha)
def alpha_vp9(path: Path) -> None:
    """libvpx-vp9 with yuva420p: a person cut out, the alpha in a second stream beside each
    packet."""
    options = {"deadline": "realtime", "cpu-used": "8", "auto-alt-ref": "0"}
    write_clip(path, _cut_out("yuva420p"), Video("libvpx-vp9", options, "yuva420p"))


@clip("alpha.mov", "alpha, ProRes 4444")
def alpha_prores(path: Path) -> None:
    """The same as editors hand it on: 4:4:4 of 10 bit with 16-bit alpha."""
    video = Video("prores_ks", {"profile": "4444", "alpha_bits": "16"}, "yuva444p10le", fps=10)
    write_clip(path, _cut_out("yuva444p10le", fps=10), video)


def light_of(image: RgbImage) -> Light:
    """The linear light of an image on a display with BT.2020 primaries, in cd/m2, and of a lamp in
    its corner."""
    linear = (image / 255.0) ** 2.4 @ BT709_TO_BT2020.T * WHITE_NITS
    height, width = image.shape[:2]
    spot = np.zeros((height, width), np.float32)
    cv2.circle(spot, (int(width * 0.92), int(height * 0.14)), height // 14, 1.0, -1)
    glow = cv2.GaussianBlur(spot, (0, 0), height / 60)[..., None]
    mixed: Light = linear * (1 - glow) + np.array([1.0, 0.93, 0.8]) * LAMP_NITS * glow
    return mixed


def pq_signal(light: Light) -> Light:
    """The inverse EOTF of SMPTE ST 2084 (BT.2100, table 4): cd/m2 to signal 0-1."""
    m1, m2, c1, c2, c3 = (
        2610 / 16384,
        2523 / 4096 * 128,
        3424 / 4096,
        2413 / 4096 * 32,
        2392 / 4096 * 32,
    )
    power = np.clip(light / 10_000, 0, 1) ** m1
    signal: Light = ((c1 + c2 * power) / (1 + c3 * power)) ** m2
    return signal


def hlg_signal(light: Light) -> Light:
    """The inverse OOTF and the OETF of HLG (BT.2100, table 5) for a display of 1000 cd/m2: cd/m2 to
    signal 0-1."""
    peak, gamma = 1000.0, 1.2
    luma = np.maximum(light @ BT2020_LUMA, 1e-6)[..., None]
    scene = np.clip(light / peak * (luma / peak) ** ((1 - gamma) / gamma), 0, 1)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    signal: Light = np.where(
        scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-6)) + c
    )
    return signal


def _bt2100(signal_of: Callable[[Light], Light]) -> Iterator[av.VideoFrame]:
    """The portrait as 10-bit limited-range Y'CbCr of BT.2020, non-constant luminance, chroma sited
    on the left."""
    for image in portrait():
        signal = signal_of(light_of(image))
        luma = signal @ BT2020_LUMA
        blue, red = (signal[..., 2] - luma) / 1.8814, (signal[..., 0] - luma) / 1.4746
        planes = [876 * luma + 64, *(896 * _halved(plane) + 512 for plane in (blue, red))]
        frame = av.VideoFrame(image.shape[1], image.shape[0], "yuv420p10le")
        for plane, values in zip(frame.planes, planes, strict=True):
            rows = np.frombuffer(memoryview(plane), np.uint16).reshape(-1, plane.line_size // 2)
            rows[: plane.height, : plane.width] = np.clip(np.rint(values), 4, 1019)
        frame.color_primaries, frame.colorspace, frame.color_range = BT2020, BT2020, LIMITED
        yield frame


def _halved(plane: Light) -> Light:
    """Half the width and height: chroma sits at the left of its two columns and between its two
    lines."""
    lines = (plane[::2] + plane[1::2]) / 2
    left = np.concatenate([lines[:, :1], lines[:, 1:-1:2]], axis=1)
    halved: Light = (left + 2 * lines[:, ::2] + lines[:, 1::2]) / 4
    return halved


def _hdr(options: dict[str, str], transfer: int) -> Video:
    colour = (BT2020, transfer, BT2020, LIMITED)
    return Video("libx265", options, "yuv420p10le", tag="hvc1", colour=colour)


def _cut_out(pixel_format: str, fps: int = FPS) -> Iterator[av.VideoFrame]:
    """The person of the portrait going to and fro; what is transparent is a loud green, which
    nobody may see."""
    for number, image in enumerate(portrait(fps=fps)):
        height, width = image.shape[:2]
        at = (int(width * (0.5 + 0.15 * np.sin(number / fps * 2))), height // 2)
        shape = np.zeros((height, width), np.uint8)
        cv2.ellipse(shape, at, (width // 4, height // 2), 0, 0, 360, 255, -1)
        alpha = cv2.GaussianBlur(shape, (0, 0), 2)
        shown = np.where(alpha[..., None] > 0, image, np.array([0, 255, 0], np.uint8))
        rgba = np.dstack([shown, alpha])
        yield av.VideoFrame.from_ndarray(np.ascontiguousarray(rgba), format="rgba").reformat(
            format=pixel_format
        )
