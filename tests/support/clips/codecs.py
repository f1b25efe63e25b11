"""Codecs and containers: whatever cameras, phones, browsers, broadcasters and old computers
write."""

from pathlib import Path

import av
import numpy as np
from PIL import Image

from tests.support.clips.ordinary import Frame, digest
from tests.support.clips.registry import clip
from tests.support.clips.write import (
    FPS,
    SIZE,
    AudioTrack,
    Extras,
    Video,
    debian_ffmpeg,
    portrait,
    write_clip,
)

LIVE_WEBM = Extras(options={"live": "1"})
"""As browsers record: clusters of unknown length, no duration, no cues."""


@clip("h264-closed.mp4", "H.264, closed GOP, B-frames, MP4")
def h264_closed(path: Path) -> None:
    """x264 with three B-frames and AAC, the file most people have."""
    write_clip(path, video=Video(options={"bf": "3"}), audio=[AudioTrack()])


@clip("h264-open.mp4", "H.264, open GOP, B-pyramid, MP4", quick=True)
def h264_open(path: Path) -> None:
    """x264 ``open-gop=1:b-pyramid=normal``: frames before a keyframe need it, and are shown before
    it."""
    options = {"x264-params": "open-gop=1:bframes=5:b-pyramid=normal:b-adapt=0:ref=4"}
    write_clip(path, video=Video(options=options), audio=[AudioTrack()])


@clip("h264-open.ts", "H.264, open GOP, MPEG-TS")
def h264_open_ts(path: Path) -> None:
    """The same in a transport stream with MP2 audio."""
    options = {"x264-params": "open-gop=1:bframes=3:b-adapt=0"}
    write_clip(path, video=Video(options=options), audio=[AudioTrack("mp2")])


@clip("h264.mkv", "H.264, Matroska")
def h264_mkv(path: Path) -> None:
    """x264 with B-frames in a container that counts milliseconds."""
    write_clip(path, video=Video(options={"bf": "3"}), audio=[AudioTrack("flac")])


@clip("h264.flv", "H.264, Flash video")
def h264_flv(path: Path) -> None:
    """x264 with B-frames as streaming software records it."""
    write_clip(path, video=Video(options={"bf": "2"}), audio=[AudioTrack()])


@clip("h264-refresh.ts", "H.264, intra refresh, MPEG-TS")
def h264_refresh(path: Path) -> None:
    """x264 ``intra-refresh=1``: after the first keyframe there are only recovery points."""
    write_clip(path, video=Video(options={"bf": "0", "x264-params": "intra-refresh=1"}))


@clip("h264-refresh.mp4", "H.264, intra refresh, MP4")
def h264_refresh_mp4(path: Path) -> None:
    """The same in MP4."""
    write_clip(path, video=Video(options={"bf": "0", "x264-params": "intra-refresh=1"}))


@clip("hevc-open.mp4", "HEVC as x265 makes it (open GOP), MP4", quick=True)
def hevc_open(path: Path) -> None:
    """x265's defaults, four B-frames and open groups, tagged hvc1."""
    options = {"preset": "fast"}
    write_clip(path, video=Video("libx265", options, tag="hvc1"), audio=[AudioTrack()])


@clip("vp8-live.webm", "VP8, WebM without duration and cues")
def vp8_live(path: Path) -> None:
    """libvpx with alt-ref frames that are not shown, muxed live as browsers do, with Opus."""
    options = {"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "realtime", "cpu-used": "8"}
    write_clip(
        path, video=Video("libvpx", options), audio=[AudioTrack("libopus")], extras=LIVE_WEBM
    )


@clip("vp9-live.webm", "VP9, WebM without duration and cues", quick=True)
def vp9_live(path: Path) -> None:
    """libvpx-vp9 in real time, muxed live as browsers do, with Opus; one keyframe."""
    options = {"deadline": "realtime", "cpu-used": "8"}
    write_clip(
        path,
        video=Video("libvpx-vp9", options, gop=999),
        audio=[AudioTrack("libopus")],
        extras=LIVE_WEBM,
    )


@clip("vp9-alt-ref.webm", "VP9 with alt-ref frames, WebM")
def vp9_alt_ref(path: Path) -> None:
    """libvpx-vp9 with a lookahead of 16 frames: its superframes also hold a frame that is not
    shown."""
    options = {"deadline": "good", "cpu-used": "8", "auto-alt-ref": "1", "lag-in-frames": "16"}
    write_clip(path, video=Video("libvpx-vp9", options))


@clip("av1.mp4", "AV1, MP4")
def av1(path: Path) -> None:
    """SVT-AV1, whose temporal units hold frames that are not shown."""
    write_clip(
        path,
        video=Video("libsvtav1", {"preset": "12", "svtav1-params": "lookahead=8"}),
        audio=[AudioTrack()],
    )


@clip("mpeg2-hours.ts", "MPEG-2, MPEG-TS that starts at hours", quick=True)
def mpeg2_hours(path: Path) -> None:
    """A broadcast whose clock stands at 5 h 33 min when the recording begins, with B-frames and MP2
    audio."""
    begin = 20_000
    times = range(begin * FPS, begin * FPS + len(portrait()))
    video = Video("mpeg2video", {"bf": "2", "b": "1M"})
    write_clip(path, video=video, audio=[AudioTrack("mp2", start_s=begin)], times=times)


@clip("mpeg2.mpg", "MPEG-2, program stream")
def mpeg2_program(path: Path) -> None:
    """As on a DVD, with MP2 audio."""
    write_clip(path, video=Video("mpeg2video", {"bf": "2", "b": "1M"}), audio=[AudioTrack("mp2")])


@clip("mpeg4.avi", "MPEG-4 ASP, B-frames, AVI", quick=True)
def mpeg4_avi(path: Path) -> None:
    """FFmpeg's MPEG-4 with B-frames in a container without presentation times, with MP3 audio."""
    write_clip(path, video=Video("mpeg4", {"bf": "2", "b": "1M"}), audio=[AudioTrack("libmp3lame")])


@clip("mpeg4-packed.avi", "MPEG-4 ASP, packed B-frames, AVI", untimed=True)
def mpeg4_packed(path: Path) -> None:
    """Xvid as DVD rips have it: two frames in one packet, then an empty one. By the libxvid of
    Debian's ffmpeg."""
    debian_ffmpeg(path, "-c:v", "libxvid", "-bf", "2", "-g", "16", "-b:v", "1M", encoder="libxvid")


@clip("mjpeg.avi", "Motion JPEG, full range, AVI")
def mjpeg_avi(path: Path) -> None:
    """As webcams and old cameras do: every frame a keyframe, full range, PCM audio."""
    write_clip(path, video=Video("mjpeg", {"b": "4M"}, "yuvj420p"), audio=[AudioTrack("pcm_s16le")])


@clip("prores.mov", "ProRes 422, MOV")
def prores_mov(path: Path) -> None:
    """An editor's export, 10 bit 4:2:2, with 24-bit PCM."""
    video = Video("prores_ks", {"profile": "proxy"}, "yuv422p10le", fps=10)
    write_clip(path, portrait(fps=10), video, audio=[AudioTrack("pcm_s24le")])


@clip("wmv2.wmv", "Windows Media Video 8", loses_audio=True)
def wmv2(path: Path) -> None:
    """FFmpeg's wmv2 and wmav2, as Movie Maker saved it."""
    write_clip(
        path, video=Video("wmv2", {"b": "1M"}), audio=[AudioTrack("wmav2", options={"b": "128k"})]
    )


@clip("theora.ogv", "Theora and Vorbis, Ogg")
def theora(path: Path) -> None:
    """By the libtheora of Debian's ffmpeg; Ogg tells times by granules."""
    tone = ("-f", "lavfi", "-i", "sine=frequency=330:duration=2.5")
    debian_ffmpeg(
        path,
        "-c:v",
        "libtheora",
        "-g",
        "16",
        "-c:a",
        "libvorbis",
        encoder="libtheora",
        second_input=tone,
    )


@clip("palette.avi", "8-bit palette, AVI")
def palette(path: Path) -> None:
    """Microsoft RLE as old screen recorders wrote it: the container hands out the palette beside
    the packets."""
    frames = [_with_palette(image) for image in portrait(fps=10)]
    write_clip(path, frames, Video("msrle", pixel_format="pal8", fps=10))


@clip("moving.gif", "GIF", quick=True)
def gif(path: Path) -> None:
    """FFmpeg's GIF at 10 frames a second: images that only hold what changed."""
    write_clip(path, portrait(fps=10), Video("gif", pixel_format="rgb8", fps=10))


def shown_by_pillow(path: Path) -> list[Frame]:
    """The images of an animation, times in ms."""
    frames: list[Frame] = []
    with Image.open(path) as animation:
        at = 0
        for number in range(animation.n_frames):  # type: ignore[attr-defined]  # of those that move
            animation.seek(number)
            animation.load()
            frames.append(
                (at, digest(av.VideoFrame.from_ndarray(np.asarray(animation), format="rgba")))
            )
            at += int(animation.info["duration"])
    return frames


@clip("moving.webp", "animated WebP", decode=shown_by_pillow)
def webp(path: Path) -> None:
    """By Pillow at 10 frames a second, half of it transparent."""
    opaque = [Image.fromarray(image) for image in portrait(1.5, fps=10)]
    mask = Image.linear_gradient("L").resize(SIZE)
    for image in opaque:
        image.putalpha(mask)
    opaque[0].save(
        path, save_all=True, append_images=opaque[1:], duration=100, quality=70, method=0
    )


@clip("raw.h264", "H.264 without a container", untimed=True)
def raw_h264(path: Path) -> None:
    """A bare stream without B-frames: nothing says when a frame is shown."""
    write_clip(path, video=Video(options={"bf": "0"}))


@clip("raw-reordered.h264", "H.264 without a container, B-frames", untimed=True)
def raw_reordered(path: Path) -> None:
    """A bare stream whose frames are reordered: what comes when can only be guessed."""
    write_clip(path, video=Video(options={"bf": "3"}))


def _with_palette(image: object) -> av.VideoFrame:
    """The image in 256 colours."""
    chosen = Image.fromarray(image).quantize(64)  # type: ignore[arg-type]
    frame = av.VideoFrame(chosen.width, chosen.height, "pal8")
    rows, colours = frame.planes
    width = chosen.width
    pixels = chosen.tobytes()
    padded = [
        pixels[y * width : (y + 1) * width].ljust(rows.line_size, b"\0")
        for y in range(chosen.height)
    ]
    rows.update(b"".join(padded))
    entries = (chosen.getpalette() or []) + [0] * 768
    bgra = b"".join(
        bytes((entries[n + 2], entries[n + 1], entries[n], 255)) for n in range(0, 768, 3)
    )
    colours.update(bgra.ljust(colours.buffer_size, b"\0"))
    return frame
