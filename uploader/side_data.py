"""What a demuxer gives beside a packet's bytes and decoders cannot do without."""

from __future__ import annotations

from typing import Any

import av

LASTING = ("new_extradata", "palette")
"""New parameters and the colours of 8-bit pictures: they hold for the packets that follow, too."""

NEEDED = (*LASTING, "matroska_block_additional")
"""The last one is the transparency of VP8 and VP9 in WebM, coded as a second picture."""


class SideData:
    """Follows a stream's side data, so that decoding can begin at any keyframe.

    ``extradata`` are the parameters that hold at the packet asked for last.
    """

    def __init__(self, extradata: bytes) -> None:
        self.extradata = extradata
        self._lasting: dict[str, bytes] = {}

    def of(self, packet: av.Packet[Any]) -> dict[str, bytes]:
        """What is to go with the packet, by FFmpeg's names: its own, and with a keyframe what holds
        since before."""
        own = needed_side_data(packet)
        if own.get("new_extradata") == self.extradata:
            del own["new_extradata"]  # as streams that are sent again and again begin
        self.extradata = own.get("new_extradata", self.extradata)
        self._lasting |= {name: piece for name, piece in own.items() if name in LASTING}
        return {**self._lasting, **own} if packet.is_keyframe else own


def needed_side_data(packet: av.Packet[Any]) -> dict[str, bytes]:
    """A packet's own side data that its decoder needs, by FFmpeg's names."""
    return {name: bytes(packet.get_sidedata(name)) for name in NEEDED if packet.has_sidedata(name)}  # type: ignore[arg-type]
