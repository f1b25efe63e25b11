"""Compare what came out with what went in: frames, times, audio, and where pixels changed."""

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Video:
    """A decoded video: times in seconds as fractions, upright luma planes, audio packets by
    track."""

    times: list[Fraction]
    luma: list[Picture]
    audio: list[list[tuple[Fraction, str]]]
    time_base: Fraction

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.luma[0].shape
        return width, height


def read_video(path: Path, *, keep_every: int = 1) -> Video:
    """Decode a file as an ordinary player would; keeps the luma of every ``keep_every``-th
    frame."""
    times: list[Fraction] = []
    luma: list[Picture] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        time_base = stream.time_base or Fraction(1)
        for number, frame in enumerate(container.decode(stream)):
            assert frame.pts is not None
            assert frame.time_base is not None
            times.append(frame.pts * frame.time_base)
            if number % keep_every == 0:
                grey = frame.reformat(format="gray").to_ndarray()
                luma.append(np.ascontiguousarray(np.rot90(grey, frame.rotation // 90)))
    return Video(times, luma, read_audio(path), time_base)


def read_audio(path: Path) -> list[list[tuple[Fraction, str]]]:
    """For each audio track the time and sha256 of each packet."""
    with av.open(str(path)) as container:
        tracks: dict[int, list[tuple[Fraction, str]]] = {
            stream.index: [] for stream in container.streams.audio
        }
        for packet in container.demux(*container.streams.audio) if tracks else ():
            if packet.size:
                assert packet.pts is not None
                time = packet.pts * packet.time_base
                tracks[packet.stream.index].append(
                    (time, hashlib.sha256(bytes(packet)).hexdigest())
                )
    return list(tracks.values())


def changed_share(before: Picture, after: Picture, threshold: int = 40) -> float:
    """The share of pixels that differ by more than encoding noise."""
    height, width = before.shape
    difference = np.abs(before.astype(np.int16) - after[:height, :width].astype(np.int16))
    return float((difference > threshold).mean())
