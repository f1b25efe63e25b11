"""Samples the frames of a video that are worth labelling: sharp ones, and no near-duplicates."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import av
import av.error
import cv2
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from facepaint.errors import UnreadableMedia
from facepaint.media.images import MAX_PIXELS
from facepaint.media.open import main_video, open_media, orientation
from models.detector import Pixels

TRIES = 8
"""Frames of a slot that are compared; the sharpest is taken."""

SMALL_SIDE = 320
"""Longest side in px at which frames are compared."""

BLURRED = 0.4
"""A slot whose sharpest frame has less than this share of its neighbours' sharpness is skipped: a
pan, a fade."""

NEIGHBOURS = 9

HASH_CELLS = 16

ALIKE_BITS = 8
"""Frames whose hashes differ in no more of 256 bits are near-duplicates; turning a head in front of
a wall changes 10."""

NOISE = 2
"""Differences of so many levels of 255 between cells are ignored: bits of plain walls would be
random."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """A frame: its time in s from the first, and its pixels upright, h x w x 3 in B, G, R."""

    time_s: float
    pixels: Pixels


def sample_frames(
    path: Path, every_s: float, most: int | None, hashes: list[int]
) -> Iterator[Sampled]:
    """The sharpest frame of every ``every_s`` seconds, without blurred ones and near-duplicates.

    Sharpness is the variance of the Laplacian (Pech-Pacheco et al., "Diatom autofocusing in
    brightfield microscopy", ICPR 2000); near-duplicates are found by `difference_hash`.

    Args:
        most: frames at most, spread over the video.
        hashes: those of the frames taken so far, also of other videos; new ones are added.

    Raises:
        InputError: the file does not exist.
        UnreadableMedia: it is not a video that can be decoded.
    """
    with open_media(path) as container:
        stream = main_video(container, path)
        if stream.width * stream.height > MAX_PIXELS:
            raise UnreadableMedia(
                f"{path} has {stream.width}x{stream.height} px, more than can be labelled"
            )
        slot_s = every_s
        if most and container.duration:
            slot_s = max(every_s, float(container.duration / av.time_base) / most)
        sampler = _Sampler(slot_s, hashes)
        for best in _sharpest(_decoded(container, stream), slot_s):
            if sampler.takes(best):
                yield Sampled(best.time_s, _upright_pixels(best.frame))
            if sampler.taken == most:
                return
        if not sampler.compared:
            raise UnreadableMedia(
                f"no frame of {path} can be decoded; play it to see if it is whole"
            )


@dataclass(frozen=True, slots=True)
class _Measured:
    frame: av.VideoFrame
    time_s: float
    sharpness: float
    hash: int


class _Sampler:
    """Decides which of the slots' sharpest frames are taken."""

    def __init__(self, slot_s: float, hashes: list[int]) -> None:
        self._slot_s, self._hashes = slot_s, hashes
        self._last_s = -slot_s
        self._recent: deque[float] = deque(maxlen=NEIGHBOURS)
        self.compared = self.taken = 0

    def takes(self, best: _Measured) -> bool:
        """Whether a frame is taken; it is then remembered."""
        self.compared += 1
        usual = median(self._recent) if self._recent else 0.0
        self._recent.append(best.sharpness)
        is_blurred = best.sharpness < BLURRED * usual
        # The sharpest frames of two slots may be neighbours.
        is_close = best.time_s - self._last_s < self._slot_s / 4
        if is_blurred or is_close or self._is_duplicate(best.hash):
            return False
        self._hashes.append(best.hash)
        self._last_s = best.time_s
        self.taken += 1
        return True

    def _is_duplicate(self, hash_: int) -> bool:
        return any((hash_ ^ other).bit_count() <= ALIKE_BITS for other in self._hashes)


def _sharpest(frames: Iterator[av.VideoFrame], slot_s: float) -> Iterator[_Measured]:
    """The sharpest frame of each slot, among about `TRIES` of it."""
    best: _Measured | None = None
    first_s = next_s = None
    slot = 0
    for frame in frames:
        if frame.time is None:
            continue
        first_s = frame.time if first_s is None else first_s
        time_s = frame.time - first_s
        # A few frames per slot are enough, and measuring costs more than decoding.
        if next_s is not None and time_s < next_s:
            continue
        next_s = time_s + slot_s / TRIES
        measured = _measured(frame, time_s)
        if best is not None and int(time_s / slot_s) != slot:
            yield best
            best = None
        slot = int(time_s / slot_s)
        if best is None or measured.sharpness > best.sharpness:
            best = measured
    if best is not None:
        yield best


def _measured(frame: av.VideoFrame, time_s: float) -> _Measured:
    scale = min(1.0, SMALL_SIDE / max(frame.width, frame.height))
    width, height = (max(16, round(side * scale)) for side in (frame.width, frame.height))
    small = frame.reformat(width, height, "gray", interpolation="AREA")
    grey = np.asarray(small.to_ndarray(), np.uint8)
    sharpness = float(cv2.Laplacian(grey, cv2.CV_32F).var())
    return _Measured(frame, time_s, sharpness, difference_hash(grey))


def difference_hash(grey: Pixels) -> int:
    """256 bits of an h x w image: for each of 16 x 16 cells whether it is brighter than the next
    one to the right."""
    small = cv2.resize(grey, (HASH_CELLS + 1, HASH_CELLS), interpolation=cv2.INTER_AREA)
    cells = small.astype(np.int16)
    return int.from_bytes(np.packbits(cells[:, :-1] > cells[:, 1:] + NOISE).tobytes())


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
    """Every frame that can be decoded, to the end of the file or the first error that ends it."""
    packets = container.demux(stream)
    while True:
        try:
            frames = next(packets).decode()
        except av.error.InvalidDataError:
            # One damaged packet; the decoder continues with the next.
            continue
        except (StopIteration, av.error.FFmpegError):
            return
        yield from frames


def _upright_pixels(frame: av.VideoFrame) -> Pixels:
    pixels: Pixels = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
    if frame.interlaced_frame:
        # The two fields are of different times: moving faces would have comb-like edges.
        field = np.ascontiguousarray(pixels[::2])
        whole = cv2.resize(field, (frame.width, frame.height), interpolation=cv2.INTER_CUBIC)
        pixels = np.asarray(whole, np.uint8)
    turn, mirrored = orientation(frame)
    if mirrored:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(np.rot90(pixels, -turn // 90))
