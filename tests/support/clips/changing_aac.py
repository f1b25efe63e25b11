"""A transport stream whose AAC changes its coding in mid-stream."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RATE = 48_000


def adts_packets(layout: str, count: int, rate: int = RATE) -> list[bytes]:
    """Packets with headers, as a transport stream has them."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="adts") as out:
        stream = out.add_stream("aac", rate=rate, layout=layout)
        channels = stream.codec_context.channels
        for number in range(count):
            tone = np.sin(np.arange(1024) * (0.05 + 0.01 * number)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(np.tile(tone, (channels, 1)), "fltp", layout)
            frame.sample_rate = rate
            frame.pts = 1024 * number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    data = buffer.getvalue()
    packets = []
    while data:
        size = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
        packets.append(data[:size])
        data = data[size:]
    return packets


def write_changing(path: Path, *parts: list[bytes]) -> Path:
    """A transport stream with a video and these packets of AAC after each other."""
    with av.open(str(path), "w", format="mpegts") as out:
        video = out.add_stream("mpeg2video", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        with av.open(io.BytesIO(b"".join(parts[0])), "r", format="aac") as source:
            audio = out.add_stream_from_template(source.streams.audio[0])
        packets = [packet for part in parts for packet in part]
        for number, data in enumerate(packets):
            packet = av.Packet(data)
            packet.pts = packet.dts = round(number * 1024 * 90_000 / RATE)
            packet.time_base = Fraction(1, 90_000)
            packet.stream = audio
            out.mux(packet)
            if number % 2 == 0:
                frame = av.VideoFrame(64, 48, "yuv420p")
                for plane in frame.planes:
                    plane.update(bytes([number % 200]) * plane.buffer_size)
                frame.pts = number // 2
                out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return path
