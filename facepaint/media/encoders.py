"""The video encoders a result may be made with: what each needs and can hold, and which one a job
gets.

How each is told what to do is in `tasks.video.encoder_options`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from facepaint.errors import UsageError
from facepaint.records.job import OutputProfile

EncoderName = Literal[
    "libx264",
    "libx265",
    "libsvtav1",
    "h264_nvenc",
    "hevc_nvenc",
    "av1_nvenc",
    "h264_videotoolbox",
    "hevc_videotoolbox",
]

MAX_BITS = 12
"""Of a sample, in any format that an encoder here holds."""

_EIGHT_BITS = {"yuv420p": "yuv420p", "yuv422p": "yuv422p", "yuv444p": "yuv444p"}
_TEN_BITS = {f"{name}10le": f"{name}10le" for name in _EIGHT_BITS}
_TWELVE_BITS = {f"{name}12le": f"{name}12le" for name in _EIGHT_BITS}


@dataclass(frozen=True, slots=True)
class Encoder:
    """An encoder of FFmpeg's. ``codec`` is H.264, HEVC or AV1; ``tag`` names it in an MP4.

    ``formats`` maps the pixel formats it can hold, of those that `kept_format` knows, to what it
    takes them as.
    ``hardware`` is what it needs besides a CPU. ``cost`` is the encoding time of a pixel, relative
    to x264: segments are cut so that none takes too long.
    """

    name: EncoderName
    codec: Literal["H.264", "HEVC", "AV1"]
    tag: str
    formats: Mapping[str, str]
    hardware: str = ""
    cost: float = 1.0


_NVIDIA, _APPLE = "an NVIDIA GPU that encodes", "macOS"
_P010 = {"yuv420p": "yuv420p", "yuv420p10le": "p010le"}

ENCODERS: Mapping[str, Encoder] = MappingProxyType(
    {
        encoder.name: encoder
        for encoder in (
            Encoder("libx264", "H.264", "avc1", _EIGHT_BITS | _TEN_BITS),
            Encoder("libx265", "HEVC", "hvc1", _EIGHT_BITS | _TEN_BITS | _TWELVE_BITS, cost=4),
            Encoder(
                "libsvtav1",
                "AV1",
                "av01",
                {"yuv420p": "yuv420p", "yuv420p10le": "yuv420p10le"},
                cost=2,
            ),
            Encoder(
                "h264_nvenc", "H.264", "avc1", {"yuv420p": "yuv420p", "yuv444p": "yuv444p"}, _NVIDIA
            ),
            Encoder("hevc_nvenc", "HEVC", "hvc1", _P010 | {"yuv444p": "yuv444p"}, _NVIDIA),
            Encoder("av1_nvenc", "AV1", "av01", _P010, _NVIDIA),
            Encoder("h264_videotoolbox", "H.264", "avc1", {"yuv420p": "yuv420p"}, _APPLE),
            Encoder("hevc_videotoolbox", "HEVC", "hvc1", _P010, _APPLE),
        )
    }
)
"""Every encoder by its name."""

assert set(ENCODERS) == set(get_args(EncoderName))


def kept_format(pixel_format: str) -> str:
    """The planar YUV format that keeps the bit depth and the chroma of a pixel format: such as
    yuv422p10le.

    What has more than 12 bits is kept with 12, RGB as 4:4:4, grey as 4:2:0; alpha is not kept. The
    range (yuvj420p) is no matter of the format.
    """
    import av  # slow to import, and commands that ask for no format start without

    source = av.VideoFormat(pixel_format, 64, 64)
    colours = [component for component in source.components if not component.is_alpha]
    if source.is_rgb or source.has_palette:
        chroma = "444"
    elif len(colours) < 3:
        chroma = "420"
    else:
        chroma = {(32, 32): "420", (16, 16): "420", (32, 64): "422", (16, 64): "422"}.get(
            (colours[1].width, colours[1].height), "444"
        )
    bits = min(MAX_BITS, max(component.bits for component in colours))
    depth = "" if bits <= 8 else "10le" if bits <= 10 else "12le"
    return f"yuv{chroma}p{depth}"


def describe_format(pixel_format: str) -> str:
    """A format of `kept_format` in words: "10-bit 4:2:2"."""
    chroma, _, depth = pixel_format.removeprefix("yuv").partition("p")
    return f"{depth.removesuffix('le') or 8}-bit {':'.join(chroma)}"


def choose_encoder(
    pixel_format: str, asked: str | None = None, *, keep_format: bool = False
) -> str:
    """The encoder of a job: the one asked for, else x264, or x265 where more than 8 bits are to be
    kept.

    H.264 with more than 8 bits is decoded by no hardware, HEVC's Main 10 by nearly all; 8 bits with
    more chroma stay H.264, which browsers decode where they have no HEVC.

    Raises:
        UsageError: the encoder asked for cannot hold the format that is to be kept.
    """
    kept = kept_format(pixel_format) if keep_format and pixel_format else "yuv420p"
    if asked is None:
        return "libx264" if kept in _EIGHT_BITS else "libx265"
    if kept not in ENCODERS[asked].formats:
        able = ", ".join(name for name, encoder in ENCODERS.items() if kept in encoder.formats)
        raise UsageError(
            f"{asked} cannot keep {describe_format(kept)}: choose {able}, or omit --keep-format"
        )
    return asked


def kept_format_note(profile: OutputProfile, pixel_format: str) -> str:
    """What to tell of a job that keeps its source's format; nothing where every player plays it."""
    kept = kept_format(pixel_format or "yuv420p")
    codec = ENCODERS[profile.encoder].codec
    if not profile.keep_format or (kept, codec) == ("yuv420p", "H.264"):
        return ""
    return f"kept as {describe_format(kept)} {codec}, which not every browser and player plays"
