"""The encoders on this machine, and FFmpeg's options for each.

All get the same quality, each on its own scale, no B-frames, and keyframes at given times only.
Every segment of a job must have the same parameter sets, whatever machine made it. So these do not
depend on the machine: not on its threads, and no encoder may write its version or processor there.
"""

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import get_args

import av
import av.error
from av.codec.codec import UnknownCodecError

from facepaint.errors import EncoderMissing, JobError
from facepaint.media.encoders import ENCODERS, Encoder, EncoderName
from facepaint.records.colour import LightLevels
from facepaint.records.job import OutputProfile
from facepaint.settings import Preset

# SVT-AV1 writes to standard error by itself: errors only.
os.environ.setdefault("SVT_LOG", "1")

PRESETS = get_args(Preset)
"""The presets of x264, the fastest first."""

NO_OWN_KEYFRAMES = 100_000
"""Frames between an encoder's own keyframes: more than a segment has, since each keyframe is
requested at its time."""

FEWEST_FRAMES_PER_S, MOST_FRAMES_PER_S = 1, 240
USUAL_FRAMES_PER_S = 30
"""Assumed for sources without a plausible rate."""

UNKNOWN = LightLevels()

HARDWARE_S = 60
"""Seconds that the search for hardware encoders may take."""

ALLOWANCES = {"libx264": 0.2, "libx265": 0.3, "libsvtav1": 2.0}
"""Subtracted from the CRF. Without it unpainted pixels are 0.1 to 0.4 dB worse than in a plain
transcode.

Paint costs bits, and rate control gives costly frames a little less quality. x265 and SVT-AV1 plan
ahead, and a segment ends soon.
"""

QP_TO_LAMBDA = 118
"""FFmpeg's unit of the quality of encoders that have a scale of their own."""


@dataclass(frozen=True, slots=True)
class EncoderRequest:
    """What an encoder has to do.

    Args:
        threads: of this machine.
        full_range, light: of the frames.
    """

    profile: OutputProfile
    threads: int = 1
    full_range: bool = False
    light: LightLevels = UNKNOWN


def plausible_rate(frame_rate: Fraction | None) -> Fraction:
    """The frame rate that an encoder plans with; times do not depend on it.

    Levels and rate control do. The rate of a source may be missing or absurd: the tick of a clock,
    or a few frames an hour.
    """
    if frame_rate is None or not FEWEST_FRAMES_PER_S <= frame_rate <= MOST_FRAMES_PER_S:
        return Fraction(USUAL_FRAMES_PER_S)
    return frame_rate.limit_denominator(1001)


def encoder_options(request: EncoderRequest) -> dict[str, str]:
    """FFmpeg's options for the encoder of a profile."""
    return _OPTIONS[ENCODERS[request.profile.encoder].name](request)


def _common(**more: object) -> dict[str, str]:
    options = {"g": NO_OWN_KEYFRAMES, "bf": 0, "flags": "+cgop", **more}
    return {name: str(value) for name, value in options.items()}


def _x264(request: EncoderRequest) -> dict[str, str]:
    options = {
        "preset": request.profile.preset,
        "crf": _crf(request, request.profile.crf),
        "forced-idr": 1,
    }
    parameters = {
        # Without it the stream states the rate of the clock's ticks, which some tools take for the
        # frame rate.
        "force-cfr": 1,
        # At the start rate control has only seen the costly first frame of the segment: the next
        # few would look worse.
        "zones": "1,3,b=1.12",
        "mastering-display": _in_steps(request.light),
        "cll": _content(request.light),
    }
    return _common(**options, **_pairs("x264-params", parameters))


def _x265(request: EncoderRequest) -> dict[str, str]:
    # At the same CRF its frames are some 2 dB worse than x264's, at a third of the size.
    options = {
        "preset": request.profile.preset,
        "crf": _crf(request, request.profile.crf - 4),
        "forced-idr": 1,
    }
    parameters = {
        "log-level": "error",
        # With fewer threads x265 turns off its wavefronts, which the parameter sets state.
        "pools": max(2, request.threads),
        "frame-threads": 1,
        "wpp": 1,
        "open-gop": 0,
        "repeat-headers": 0,
        "info": 0,
        "range": "full" if request.full_range else "limited",
        "master-display": _in_steps(request.light),
        "max-cll": _content(request.light),
    }
    return _common(**options, **_pairs("x265-params", parameters))


def _crf(request: EncoderRequest, crf: float) -> str:
    """The CRF, which is on the encoder's own scale, less its allowance."""
    return f"{max(0.0, crf - ALLOWANCES[request.profile.encoder]):.1f}"


def _svt_av1(request: EncoderRequest) -> dict[str, str]:
    # Its presets are numbers, lower is slower; those above 9 are for real-time calls. Its CRF goes
    # to 63 with smaller steps: 14 and 26 look like 20 and 26 of x264.
    preset = min(9, 10 - PRESETS.index(request.profile.preset))
    parameters = {
        "lp": request.threads,
        "color-range": int(request.full_range),
        "mastering-display": _in_shares(request.light),
        "content-light": _content(request.light),
    }
    options = {
        "preset": preset,
        "crf": _crf(request, min(63, max(3, 2 * request.profile.crf - 26))),
    }
    return _common(**options, **_pairs("svtav1-params", parameters))


def _nvenc(request: EncoderRequest) -> dict[str, str]:
    step = max(1, min(7, PRESETS.index(request.profile.preset)))
    scale = 63 / 51 if ENCODERS[request.profile.encoder].codec == "AV1" else 1
    return _common(
        **{
            "preset": f"p{step}",
            "rc": "vbr",
            "cq": round(request.profile.crf * scale),
            "b": 0,
            "forced-idr": 1,
        }
    )


def _videotoolbox(request: EncoderRequest) -> dict[str, str]:
    # From 1 to 100, higher is better.
    quality = max(1, min(100, 100 - 2 * request.profile.crf))
    return _common(
        **{"flags": "+cgop+qscale", "global_quality": quality * QP_TO_LAMBDA, "allow_sw": 0}
    )


_OPTIONS: dict[EncoderName, Callable[[EncoderRequest], dict[str, str]]] = {
    "libx264": _x264,
    "libx265": _x265,
    "libsvtav1": _svt_av1,
    "h264_nvenc": _nvenc,
    "hevc_nvenc": _nvenc,
    "av1_nvenc": _nvenc,
    "h264_videotoolbox": _videotoolbox,
    "hevc_videotoolbox": _videotoolbox,
}


def accepted_format(encoder: Encoder, pixel_format: str) -> str:
    """The pixel format in which an encoder takes frames of ``pixel_format``.

    Encoders get the range as an option, so ``yuvj`` formats become plain ones.

    Raises:
        JobError: the encoder has no such format.
    """
    accepted = encoder.formats.get(pixel_format.replace("yuvj", "yuv"))
    if accepted is None:
        raise JobError(
            f"{encoder.name} cannot encode {pixel_format}: paint the job again with another encoder"
        )
    return accepted


@cache
def is_available(name: str) -> bool:
    """Whether this machine has an encoder and the hardware that it needs, which is opened once."""
    encoder = ENCODERS[name]
    try:
        context = av.CodecContext.create(name, "w")
        if not encoder.hardware:
            return True
        assert isinstance(context, av.VideoCodecContext)
        context.width, context.height = 640, 360
        context.pix_fmt = encoder.formats["yuv420p"]
        context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
        context.open()
    except (UnknownCodecError, av.error.FFmpegError):
        return False
    return True


@cache
def available_encoders() -> tuple[str, ...]:
    """The encoders of this machine.

    Hardware is opened in a process of its own: children that are forked later could not use what
    this one opened.
    """
    built_in = [name for name in ENCODERS if name in av.codecs_available]
    software = [name for name in built_in if not ENCODERS[name].hardware]
    hardware = [
        name for name in built_in if ENCODERS[name].hardware and _may_be_here(ENCODERS[name])
    ]
    if not hardware:
        return tuple(software)
    script = (
        "import sys; from tasks.video.encoder_options import is_available; "
        "print(*filter(is_available, sys.argv[1:]))"
    )
    search = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", script, *hardware],
        capture_output=True,
        text=True,
        timeout=HARDWARE_S,
        check=False,
    )
    return (*software, *search.stdout.split())


def _may_be_here(encoder: Encoder) -> bool:
    """Whether a driver exists, so that it is worth a process to try the encoder."""
    if not encoder.name.endswith("nvenc"):
        return True
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def require_encoder(name: str) -> None:
    """Raise `EncoderMissing` if this machine lacks the encoder."""
    if not is_available(name):
        needs = ENCODERS[name].hardware
        raise EncoderMissing(
            name, f"which needs {needs}" if needs else "which its FFmpeg is built without"
        )


def _pairs(option: str, parameters: Mapping[str, object]) -> dict[str, str]:
    """Parameters for the encoder's own library; those that are None or empty are left out."""
    pairs = [f"{name}={value}" for name, value in parameters.items() if value not in (None, "")]
    return {option: ":".join(pairs)} if pairs else {}


def _in_steps(light: LightLevels) -> str:
    """SMPTE ST 2086 in the units of x264 and x265: chromaticities in 0.00002, luminances in 0.0001
    cd/m2."""
    return _mastering(
        light, lambda share: str(round(share * 50_000)), lambda level: str(round(level * 10_000))
    )


def _in_shares(light: LightLevels) -> str:
    """The same in the units of SVT-AV1: chromaticities of 0 to 1, luminances in cd/m2."""
    return _mastering(light, lambda share: f"{share:.5f}", lambda level: f"{level:.4f}")


def _mastering(
    light: LightLevels, share: Callable[[float], str], level: Callable[[float], str]
) -> str:
    if len(light.primaries) != 8 or not light.max_luminance:
        return ""
    red, green, blue, white = (
        f"({share(x)},{share(y)})" for x, y in zip(*[iter(light.primaries)] * 2, strict=True)
    )
    brightest, darkest = level(light.max_luminance), level(light.min_luminance)
    return f"G{green}B{blue}R{red}WP{white}L({brightest},{darkest})"


def _content(light: LightLevels) -> str:
    if not light.max_content and not light.max_average:
        return ""
    return f"{light.max_content},{light.max_average}"
