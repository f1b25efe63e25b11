"""Videos with all the metadata that cameras, phones and programs write.

Each is a second of brightening grey, 64x48, H.264, with a tone. A search of the file's bytes finds
the metadata.
"""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import OutputContainer
from av.stream import Disposition
from PIL import Image

from tests.support.made_job import make_audio

TAGS = {
    "title": b"SecretTitle",
    "comment": b"SecretComment",
    "location": b"+48.8577+002.295/SecretPlace",
    "com.apple.quicktime.location.ISO6709": b"+48.8577+002.295/SecretPhone",
    "com.apple.quicktime.make": b"SecretMake",
}
SECRETS = {
    **TAGS,
    "location": b"SecretPlace",
    "com.apple.quicktime.location.ISO6709": b"SecretPhone",
    "track's title": b"SecretTrack",
    "audio's title": b"SecretSound",
    "captions": b"Se\xfccr\xfcet",
    "SEI": b"SecretSei",
    "second video": b"SecretSecond",
    "data": b"SecretGpmf",
    "cover": b"SecretCover",
    "attachment": b"SecretAttachment",
    "Vorbis comment": b"SecretVorbis",
    "XMP": b"SecretXmp",
    "script of styles": b"SecretFolder",
}
CREATED = "2021-02-03T04:05:06.000000Z"

LACKING = {
    "mp4": {"attachment", "Vorbis comment", "script of styles", "com.apple.quicktime.make"}
    | {"com.apple.quicktime.location.ISO6709"},
    "mov": {"attachment", "Vorbis comment", "script of styles", "data", "cover", "XMP"},
    "mkv": {"data", "cover", "XMP"},
}
"""What a container cannot hold."""

KEPT = {"chapter": b"KeptChapter", "line": b"KeptLine"}
"""What is kept by design."""

FRAMES, RATE = 25, 25
XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")

CAPTIONS = b"\xb5\0\x31GA94\x03" + bytes((0x45, 0xFF)) + b"\xfcSe\xfccr\xfcet\xfcCC\xfcXY\xff"
"""User data of CTA-708 captions, five pairs of bytes (ATSC A/53 part 4, 6.2.3)."""

STYLES = (
    b"[Script Info]\r\nScriptType: v4.00+\r\nVideo File: SecretFolder/a.mp4\r\n\r\n[V4+ "
    b"Styles]\r\nFormat: Name\r\n"
)


def mp4_with_secrets(path: Path) -> Path:
    """An MP4 as action cameras and film shops write it: telemetry, a cover, XMP."""
    _write(path, "mp4", {})
    box = XMP_BOX + SECRETS["XMP"]
    with path.open("ab") as file:
        file.write(struct.pack(">I4s", len(box) + 8, b"uuid") + box)
    return path


def mov_with_secrets(path: Path) -> Path:
    """A QuickTime file as a phone writes it, with private tags."""
    _write(path, "mov", {"movflags": "use_metadata_tags"})
    return path


def mkv_with_secrets(path: Path) -> Path:
    """A Matroska file with an attachment, audio in Vorbis and subtitles in ASS."""
    _write(path, "matroska", {})
    return path


def _write(path: Path, kind: str, options: dict[str, str]) -> None:
    tone = make_audio("aac", seconds=1.0, shift=0)
    with av.open(str(path), "w", format=kind, options=options) as out:
        out.metadata.update(
            {name: value.decode() for name, value in TAGS.items()} | {"creation_time": CREATED}
        )
        video, second = (_video(out) for _ in range(2))
        video.metadata["title"] = SECRETS["track's title"].decode()
        with av.open(io.BytesIO(tone.stream.codec_params)) as codec_params:
            audio = out.add_stream_from_template(codec_params.streams.audio[0])
        audio.metadata["title"] = SECRETS["audio's title"].decode()
        more = {"mp4": _mp4_tracks, "matroska": _mkv_tracks, "mov": lambda _: []}[kind](out)
        chapter = {"id": 1, "start": 0, "end": 500, "time_base": Fraction(1, 1000)}
        metadata = {"title": KEPT["chapter"].decode()}
        out.set_chapters([{**chapter, "metadata": metadata}])  # type: ignore[typeddict-item]
        out.start_encoding()
        for packet, data in tone.packets:
            _mux(out, audio, data, packet.pts, Fraction(1, 48_000), packet.duration)
        for stream, body, duration in more:
            _mux(out, stream, body, 0, Fraction(1, 1000), duration)
        user_data = _sei(5, bytes(16) + SECRETS["SEI"]) + _sei(4, CAPTIONS)
        for stream, before in (
            (video, user_data),
            (second, _sei(5, bytes(16) + SECRETS["second video"])),
        ):
            for packet in _encoded(stream):
                _mux(
                    out,
                    stream,
                    before + bytes(packet),
                    packet.pts,
                    packet.time_base,
                    1,
                    packet.is_keyframe,
                )


def _video(out: OutputContainer) -> Any:
    stream: Any = out.add_stream("libx264", rate=RATE, options={"bf": "0", "preset": "ultrafast"})
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    return stream


def _mp4_tracks(out: OutputContainer) -> list[tuple[Any, bytes, int]]:
    """Telemetry, a cover image and subtitles."""
    cover: Any = out.add_stream("mjpeg", rate=1)
    cover.width, cover.height, cover.pix_fmt = 16, 16, "yuvj420p"
    cover.disposition = Disposition.attached_pic
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG", comment=SECRETS["cover"])
    line = KEPT["line"]
    return [
        (out.add_data_stream("bin_data"), SECRETS["data"], 1000),
        (cover, file.getvalue(), 1000),
        (_subtitles(out, "mov_text"), len(line).to_bytes(2) + line, 500),
    ]


def _mkv_tracks(out: OutputContainer) -> list[tuple[Any, bytes, int]]:
    """An attachment, Vorbis with a comment, and ASS with an editor's header."""
    out.add_attachment("font.ttf", "font/ttf", SECRETS["attachment"])
    with av.open(io.BytesIO(vorbis_template())) as codec_params:
        comment = codec_params.streams.audio[0]
        vorbis = out.add_stream_from_template(comment)
        data = next(bytes(packet) for packet in codec_params.demux(comment))
    ass = _subtitles(out, "ass")
    ass.codec_context.extradata = STYLES
    return [(vorbis, data, 20), (ass, b"0,0,Default,,0,0,0,," + KEPT["line"], 500)]


def _subtitles(out: OutputContainer, codec: str) -> Any:
    stream: Any = out.add_stream(codec)
    stream.codec_context.subtitle_header = STYLES
    return stream


def vorbis_template() -> bytes:
    """A second of silence in Vorbis, in Matroska, with a location in its comment header."""
    plain = io.BytesIO()
    with av.open(plain, "w", format="matroska") as out:
        stream: Any = out.add_stream("vorbis", rate=48_000, options={"strict": "experimental"})
        stream.codec_context.layout, stream.codec_context.format = "stereo", "fltp"
        for number in range(200):
            frame = av.AudioFrame.from_ndarray(
                np.zeros((2, 64), np.float32), format="fltp", layout="stereo"
            )
            frame.sample_rate, frame.pts = 48_000, 64 * number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    location = b"LOCATION=" + SECRETS["Vorbis comment"]
    comment = b"\x03vorbis" + struct.pack("<III", 0, 1, len(location)) + location + b"\x01"
    planted = io.BytesIO()
    with (
        av.open(io.BytesIO(plain.getvalue())) as source,
        av.open(planted, "w", format="matroska") as out,
    ):
        stream = out.add_stream_from_template(source.streams.audio[0])
        headers = stream.codec_context.extradata
        first, old = headers[1], headers[2]
        identification, setup = headers[3 : 3 + first], headers[3 + first + old :]
        lacing = bytes((2, first, len(comment)))
        stream.codec_context.extradata = lacing + identification + comment + setup
        for packet in source.demux():
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    return planted.getvalue()


def _encoded(stream: Any) -> list[av.Packet[Any]]:
    packets = []
    for number in range(FRAMES):
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 9 * number, np.uint8), "rgb24")
        frame = frame.reformat(format="yuv420p")
        frame.pts = number
        packets += stream.encode(frame)
    return [*packets, *stream.encode(None)]


def _sei(kind: int, body: bytes) -> bytes:
    """A NAL unit of supplemental information (ITU-T H.264, 7.3.2.3), as a byte stream has it."""
    unit = bytearray((0, 0, 0, 1, 6, kind, len(body)))
    zeros = 0
    for byte in (*body, 0x80):
        if zeros >= 2 and byte <= 3:
            unit.append(3)
            zeros = 0
        unit.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(unit)


def _mux(
    out: OutputContainer,
    stream: Any,
    data: bytes,
    pts: int | None,
    tick: Fraction | None,
    duration: int = 0,
    key: bool = True,
) -> None:
    packet: Any = av.Packet(data)
    packet.pts = packet.dts = pts
    packet.time_base, packet.duration, packet.is_keyframe, packet.stream = (
        tick,
        duration,
        key,
        stream,
    )
    out.mux_one(packet)
