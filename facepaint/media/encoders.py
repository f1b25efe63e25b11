"""The video encoders: what each needs and can encode, and the choice of a job's encoder.

Their options are in `tasks.video.encoder_options`.
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
"""The greatest bit depth of a sample that any of these encoders accepts."""

_EIGHT_BITS = {"yuv420p": "yuv420p", "yuv422p": "yuv422p", "yuv444p": "yuv444p"}
_TEN_BITS = {f"{name}10le": f"{name}10le" for name in _EIGHT_BITS}
_TWELVE_BITS = {f"{name}12le": f"{name}12le" for name in _EIGHT_BITS}


@dataclass(frozen=True, slots=True)
class Encoder:
    """An encoder of FFmpeg. ``tag`` is the codec's tag in an MP4.

    ``formats`` maps the pixel formats of `kept_format` that it can encode to those of its input.
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
"""The encoders by name."""

assert set(ENCODERS) == set(get_args(EncoderName))


def kept_format(pixel_format: str) -> str:
    """The planar YUV format that keeps the bit depth and the chroma subsampling of a pixel format.

    More than 12 bits become 12, RGB becomes 4:4:4, grey 4:2:0; alpha is dropped. The result has no
    range, so yuvj420p becomes yuv420p.
    """
    import av  # slow to import, and most commands need no format

    source = av.VideoFormat(pixel_format, 64, 64)
    colours = [component for component in source.components if not component.is_alpha]
    if source.is_rgb or source.has_palette:
        chroma = "444"
    elif len(colours) < 3:
        chroma = "420"
    else:
        # By the size of a chroma plane, of 64 x 64 px. Coarser ones (4:1:0, 4:1:1) are refined.
        subsampling = {(32, 32): "420", (16, 16): "420", (32, 64): "422", (16, 64): "422"}
        chroma = subsampling.get((colours[1].width, colours[1].height), "444")
    bits = min(MAX_BITS, max(component.bits for component in colours))
    depth = "" if bits <= 8 else "10le" if bits <= 10 else "12le"
    return f"yuv{chroma}p{depth}"


def describe_format(pixel_format: str) -> str:
    """A format of `kept_format` as users know it: "10-bit 4:2:2"."""
    chroma, _, depth = pixel_format.removeprefix("yuv").partition("p")
    return f"{depth.removesuffix('le') or 8}-bit {':'.join(chroma)}"


def choose_encoder(
    pixel_format: str, requested: str | None = None, *, keep_format: bool = False
) -> str:
    """The encoder of a job: the requested one, else x264, or x265 to keep more than 8 bits.

    No hardware decodes H.264 with more than 8 bits, and nearly all decodes HEVC Main 10. 8 bits
    with more chroma stay H.264, which also browsers without HEVC decode.

    Raises:
        UsageError: the requested encoder cannot encode the format to keep.
    """
    kept = kept_format(pixel_format) if keep_format and pixel_format else "yuv420p"
    if requested is None:
        return "libx264" if kept in _EIGHT_BITS else "libx265"
    if kept not in ENCODERS[requested].formats:
        able = ", ".join(name for name, encoder in ENCODERS.items() if kept in encoder.formats)
        raise UsageError(
            f"{requested} cannot keep {describe_format(kept)}: choose {able}, or omit --keep-format"
        )
    return requested


def kept_format_note(profile: OutputProfile, pixel_format: str) -> str:
    """A note for a job that keeps its source's format; empty if every player plays the result."""
    kept = kept_format(pixel_format or "yuv420p")
    codec = ENCODERS[profile.encoder].codec
    if not profile.keep_format or (kept, codec) == ("yuv420p", "H.264"):
        return ""
    return f"kept as {describe_format(kept)} {codec}, which not every browser and player plays"
