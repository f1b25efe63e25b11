"""Packets made for a decoder."""

import ctypes

import pytest

from facepaint.media.decoder import make_packet

PADDING_BYTES = 64
"""Bytes that FFmpeg's decoders may read past a packet's end (AV_INPUT_BUFFER_PADDING_SIZE)."""


@pytest.mark.parametrize("size", [1, 63, 64, 1000, 100_000])
def test_packets_are_padded_with_zeros(size: int) -> None:
    data = memoryview(b"\xff" * (size + 4096))[:size]
    packet = make_packet(bytes(data))
    assert bytes(packet) == data
    assert ctypes.string_at(packet.buffer_ptr + packet.buffer_size, PADDING_BYTES) == bytes(
        PADDING_BYTES
    )


def test_a_packet_may_be_empty() -> None:
    assert make_packet(b"").size == 0
