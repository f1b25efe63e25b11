"""The encoders on this machine, and how each is told what to do.

All are asked for the same quality, each by its own scale, for no B-frames, and for keyframes where
they are told. Every segment of a job must have the same parameter sets whatever machine made it, so
these depend on nothing of the
machine: not on its threads, and no encoder may write down its version or processor there.
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

os.environ.setdefault("SVT_LOG", "1")  # errors alone: SVT-AV1 writes to standard error by itself

PRESETS = get_args(Preset)
"""x264's, the fastest first."""

KEYFRAMES_ARE_ASKED_FOR = 100_000
"""Frames between keyframes: more than a segment has, since each keyframe is asked for by its
time."""

FEWEST_FRAMES_PER_S, MOST_FRAMES_PER_S = 1, 240
USUAL_FRAMES_PER_S = 30

UNKNOWN = LightLevels()

HARDWARE_S = 60
"""How long asking for hardware may take."""

ALLOWANCES = {"libx264": 0.2, "libx265": 0.3, "libsvtav1": 2.0}
"""Of CRF: what unpainted pixels else lack beside a plain transcode, 0.1 to 0.4 dB.

Paint costs bits, and rate control gives costly pictures a little less; x265 and SVT-AV1 plan ahead,
and a segment ends soon.
"""

QP_TO_LAMBDA = 118
"""FFmpeg's unit of the quality of encoders that have a scale of their own."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of an encoder. ``threads`` is the machine's; ``full_range`` and ``light``
    describe the pictures."""

    profile: OutputProfile
    threads: int = 1
    full_range: bool = False
    light: LightLevels = UNKNOWN


def plausible_rate(frame_rate: Fraction | None) -> Fraction:
    """The frame rate an encoder may plan with, which says nothing of the times.

    Levels and rate control follow it. A source's may be missing or absurd: the tick of a clock, or
    a few pictures an hour.
    """
    if frame_rate is None or not FEWEST_FRAMES_PER_S <= frame_rate <= MOST_FRAMES_PER_S:
        return Fraction(USUAL_FRAMES_PER_S)
    return frame_rate.limit_denominator(1001)


def encoder_options(wish: Wish) -> dict[str, str]:
    """FFmpeg's options for the encoder of a profile."""
    return _OPTIONS[ENCODERS[wish.profile.encoder].name](wish)


def _common(**more: object) -> dict[str, str]:
    options = {"g": KEYFRAMES_ARE_ASKED_FOR, "bf": 0, "flags": "+cgop", **more}
    return {name: str(value) for name, value in options.items()}


def _x264(wish: Wish) -> dict[str, str]:
    options = {"preset": wish.profile.preset, "crf": _crf(wish, wish.profile.crf), "forced-idr": 1}
    parameters = {
        # Else the pictures say that their rate is that of the clock's ticks, which some tools take
        # for frames.
        "force-cfr": 1,
        # Rate control knows nothing yet of a segment's pictures but the costly first: the next few
        # would look worse.
        "zones": "1,3,b=1.12",
        "mastering-display": _in_steps(wish.light),
        "cll": _content(wish.light),
    }
    return _common(**options, **_pairs("x264-params", parameters))


def _x265(wish: Wish) -> dict[str, str]:
    # At the same CRF its pictures are some 2 dB worse than x264's, of a third of the size.
    options = {
        "preset": wish.profile.preset,
        "crf": _crf(wish, wish.profile.crf - 4),
        "forced-idr": 1,
    }
    parameters = {
        "log-level": "error",
        # With one thread or none x265 gives up its wavefronts, which the parameter sets say.
        "pools": max(2, wish.threads),
        "frame-threads": 1,
        "wpp": 1,
        "open-gop": 0,
        "repeat-headers": 0,
        "info": 0,
        "range": "full" if wish.full_range else "limited",
        "master-display": _in_steps(wish.light),
        "max-cll": _content(wish.light),
    }
    return _common(**options, **_pairs("x265-params", parameters))


def _crf(wish: Wish, crf: float) -> str:
    """On the encoder's own scale, with its allowance."""
    return f"{max(0.0, crf - ALLOWANCES[wish.profile.encoder]):.1f}"


def _svt_av1(wish: Wish) -> dict[str, str]:
    # Its presets are numbers, lower is slower; those above 9 are made for calls. Its CRF goes to 63
    # and from a point on changes less: 14 and 26 look like x264's 20 and 26.
    preset = min(9, 10 - PRESETS.index(wish.profile.preset))
    parameters = {
        "lp": wish.threads,
        "color-range": int(wish.full_range),
        "mastering-display": _in_shares(wish.light),
        "content-light": _content(wish.light),
    }
    options = {"preset": preset, "crf": _crf(wish, min(63, max(3, 2 * wish.profile.crf - 26)))}
    return _common(**options, **_pairs("svtav1-params", parameters))


def _nvenc(wish: Wish) -> dict[str, str]:
    step = max(1, min(7, PRESETS.index(wish.profile.preset)))
    scale = 63 / 51 if ENCODERS[wish.profile.encoder].codec == "AV1" else 1
    return _common(
        **{
            "preset": f"p{step}",
            "rc": "vbr",
            "cq": round(wish.profile.crf * scale),
            "b": 0,
            "forced-idr": 1,
        }
    )


def _videotoolbox(wish: Wish) -> dict[str, str]:
    # From 1 to 100, higher is better.
    quality = max(1, min(100, 100 - 2 * wish.profile.crf))
    return _common(
        **{"flags": "+cgop+qscale", "global_quality": quality * QP_TO_LAMBDA, "allow_sw": 0}
    )


_OPTIONS: dict[EncoderName, Callable[[Wish], dict[str, str]]] = {
    "libx264": _x264,
    "libx265": _x265,
    "libsvtav1": _svt_av1,
    "h264_nvenc": _nvenc,
    "hevc_nvenc": _nvenc,
    "av1_nvenc": _nvenc,
    "h264_videotoolbox": _videotoolbox,
    "hevc_videotoolbox": _videotoolbox,
}


def frames_as(encoder: Encoder, pixel_format: str) -> str:
    """The pixel format that the encoder takes frames of ``pixel_format`` as; full range is told it
    in another way.

    Raises:
        JobError: it cannot hold them.
    """
    held = encoder.formats.get(pixel_format.replace("yuvj", "yuv"))
    if held is None:
        raise JobError(
            f"{encoder.name} cannot hold {pixel_format}: paint the job again with another encoder"
        )
    return held


@cache
def is_here(name: str) -> bool:
    """Whether this machine has an encoder and the hardware it needs: it is opened once."""
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
def encoders_here() -> tuple[str, ...]:
    """The encoders of this machine.

    Hardware is asked in a process of its own: what this one opened, no child that it forks could
    use.
    """
    built_in = [name for name in ENCODERS if name in av.codecs_available]
    software = [name for name in built_in if not ENCODERS[name].hardware]
    hardware = [
        name for name in built_in if ENCODERS[name].hardware and _may_be_here(ENCODERS[name])
    ]
    if not hardware:
        return tuple(software)
    script = (
        "import sys; from tasks.video.encoder_options import is_here; "
        "print(*filter(is_here, sys.argv[1:]))"
    )
    asked = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", script, *hardware],
        capture_output=True,
        text=True,
        timeout=HARDWARE_S,
        check=False,
    )
    return (*software, *asked.stdout.split())


def _may_be_here(encoder: Encoder) -> bool:
    """Whether it is worth while to start a process to ask: there is a driver."""
    if not encoder.name.endswith("nvenc"):
        return True
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def require_encoder(name: str) -> None:
    """Raise `EncoderMissing` if this machine lacks the encoder."""
    if not is_here(name):
        needs = ENCODERS[name].hardware
        raise EncoderMissing(
            name, f"which needs {needs}" if needs else "which its FFmpeg is built without"
        )


def _pairs(option: str, parameters: Mapping[str, object]) -> dict[str, str]:
    """Parameters handed through to the encoder's own library; those that are None or empty are left
    out."""
    pairs = [f"{name}={value}" for name, value in parameters.items() if value not in (None, "")]
    return {option: ":".join(pairs)} if pairs else {}


def _in_steps(light: LightLevels) -> str:
    """SMPTE ST 2086 as x264 and x265 take it: chromaticities in 0.00002, luminances in 0.0001
    cd/m2."""
    return _mastering(
        light, lambda share: str(round(share * 50_000)), lambda level: str(round(level * 10_000))
    )


def _in_shares(light: LightLevels) -> str:
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
    return (
        f"{light.max_content},{light.max_average}" if light.max_content or light.max_average else ""
    )
