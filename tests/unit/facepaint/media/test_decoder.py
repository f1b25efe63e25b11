"""Packets made for a decoder."""

import ctypes

import pytest

from facepaint.media.decoder import make_packet

PADDING_BYTES = 64
"""How far FFmpeg's decoders may read past a packet's end (AV_INPUT_BUFFER_PADDING_SIZE)."""


@pytest.mark.parametrize("size", [1, 63, 64, 1000, 100_000])
def test_behind_a_packet_are_zeros(size: int) -> None:
    data = memoryview(b"\xff" * (size + 4096))[:size]
    packet = make_packet(bytes(data))
    assert bytes(packet) == data
    assert ctypes.string_at(packet.buffer_ptr + packet.buffer_size, PADDING_BYTES) == bytes(
        PADDING_BYTES
    )


def test_no_bytes_make_an_empty_packet() -> None:
    assert make_packet(b"").size == 0
