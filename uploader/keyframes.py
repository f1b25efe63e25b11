"""Which packets that a container marks as keyframes can start a segment, and which show no
frame."""

from __future__ import annotations

from collections.abc import Iterator

RECOVERY_POINT = 6
SEI = 6
IDR = 5


def begins_cleanly(codec: str, extradata: bytes, data: bytes) -> bool:
    """Whether every frame shown from this keyframe on can be decoded without earlier packets.

    H.264 with intra refresh has no such keyframe after its first: a recovery point there starts a
    refresh that is complete only some frames later, and these frames would be lost.
    """
    if codec != "h264":
        return True
    for unit in _units(extradata, data):
        kind = unit[0] & 31
        if kind == IDR:
            return True
        if kind == SEI:
            frames = _recovery_frames(unit)
            if frames is not None:
                return frames == 0
    # Without a recovery point, the container's mark is the best information.
    return True


def shows_nothing(codec: str, data: bytes) -> bool:
    """Whether a packet holds only a frame that is not shown, a reference for later ones.

    The flag is that of VP8 (RFC 6386, 9.1). VP9 and AV1 store such frames in one packet with a
    shown one.
    """
    return codec in ("vp8", "libvpx") and bool(data) and not data[0] & 0x10


def _units(extradata: bytes, data: bytes) -> Iterator[bytes]:
    """The NAL units of a packet, which follow lengths (MP4, Matroska) or start codes (MPEG-TS,
    AVI)."""
    # An avcC record starts with version 1; anything else is Annex B.
    if not extradata.startswith(b"\x01") or len(extradata) < 7:
        yield from filter(None, data.split(b"\x00\x00\x01"))
        return
    width = (extradata[4] & 3) + 1
    position = 0
    while position + width < len(data):
        size = int.from_bytes(data[position : position + width], "big")
        position += width
        if size:
            yield data[position : position + size]
        position += size


def _recovery_frames(sei: bytes) -> int | None:
    """``recovery_frame_cnt`` of a recovery point (ITU-T H.264, D.1.8), None if the unit holds
    none."""
    # Emulation prevention bytes are not part of the payload.
    body = sei[1:].replace(b"\x00\x00\x03", b"\x00\x00")
    position = 0
    while position + 2 < len(body):
        kind, position = _coded_number(body, position)
        size, position = _coded_number(body, position)
        if kind == RECOVERY_POINT:
            return _exp_golomb(body[position : position + size])
        position += size
    return None


def _coded_number(body: bytes, position: int) -> tuple[int, int]:
    """A number of the SEI syntax, each 0xff adding 255, and the position after it."""
    number = 0
    while position < len(body) and body[position] == 0xFF:
        number += 255
        position += 1
    return number + (body[position] if position < len(body) else 0), position + 1


def _exp_golomb(bits: bytes) -> int:
    """The unsigned Exp-Golomb number at the start of some bytes."""
    text = "".join(f"{byte:08b}" for byte in bits)
    zeros = len(text) - len(text.lstrip("0"))
    return int(text[zeros : 2 * zeros + 1] or "1", 2) - 1
