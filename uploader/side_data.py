"""The side data of packets that decoders need."""

from __future__ import annotations

from typing import Any

import av

PERSISTENT = ("new_extradata", "palette")
"""Codec parameters and the colours of 8-bit video: they also hold for the packets that follow."""

NEEDED = (*PERSISTENT, "matroska_block_additional")
"""The last one is the transparency of VP8 and VP9 in WebM, coded as a second frame."""


class SideData:
    """Tracks a stream's side data, so that decoding can start at any keyframe.

    ``extradata`` are the codec parameters at the latest packet.
    """

    def __init__(self, extradata: bytes) -> None:
        self.extradata = extradata
        self._persistent: dict[str, bytes] = {}

    def of(self, packet: av.Packet[Any]) -> dict[str, bytes]:
        """The side data to store with a packet, by FFmpeg's names.

        A keyframe also gets what earlier packets have set.
        """
        own = needed_side_data(packet)
        if own.get("new_extradata") == self.extradata:
            # Streams that are sent repeatedly start with the parameters that are known already.
            del own["new_extradata"]
        self.extradata = own.get("new_extradata", self.extradata)
        self._persistent |= {name: data for name, data in own.items() if name in PERSISTENT}
        return {**self._persistent, **own} if packet.is_keyframe else own


def needed_side_data(packet: av.Packet[Any]) -> dict[str, bytes]:
    """A packet's own side data that its decoder needs, by FFmpeg's names."""
    return {
        name: bytes(packet.get_sidedata(name))  # type: ignore[arg-type]
        for name in NEEDED
        if packet.has_sidedata(name)  # type: ignore[arg-type]
    }
