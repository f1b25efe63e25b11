"""Sample the frames of a video that are worth labelling: sharp ones, and none like another."""

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
"""Frames of a slot that are looked at; the sharpest is taken."""

SMALL_SIDE = 320
"""Longest side in px at which frames are compared."""

BLURRED = 0.4
"""A slot whose sharpest frame has less than this share of its neighbours' sharpness is left out: a
pan, a fade."""

NEIGHBOURS = 9

HASH_CELLS = 16

ALIKE_BITS = 8
"""Frames whose hashes differ in no more of 256 bits show the same: a head that turns before a wall
changes 10."""

NOISE = 2
"""Levels of 255 between two cells that are no difference: bits of plain walls would come and go."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """A frame: when it is shown, in s from the first, and its pixels upright, h x w x 3 in B, G,
    R."""

    time_s: float
    pixels: Pixels


def sample_frames(
    path: Path, every_s: float, most: int | None, seen: list[int]
) -> Iterator[Sampled]:
    """The sharpest frame of every ``every_s`` seconds, but blurred ones and those like one that was
    taken before.

    Sharpness is the variance of the Laplacian (Pech-Pacheco et al., "Diatom autofocusing in
    brightfield microscopy", ICPR 2000); likeness is told by `difference_hash`.

    Args:
        most: frames at most; the slots are made so long that they reach over the video.
        seen: hashes of the frames taken so far, of other videos too; those of this one are added.

    Raises:
        InputError: there is no such file.
        UnreadableMedia: it is no video that can be decoded.
    """
    with open_media(path) as container:
        stream = main_video(container, path)
        if stream.width * stream.height > MAX_PIXELS:
            raise UnreadableMedia(
                f"{path} has {stream.width}x{stream.height} px, more than can be labelled"
            )
        length_s = float(container.duration / av.time_base) if container.duration else 0.0
        slot_s = max(every_s, length_s / most if most else 0.0)
        recent: deque[float] = deque(maxlen=NEIGHBOURS)
        taken, last_s, any_frame = 0, -slot_s, False
        for best in _sharpest(_decoded(container, stream), slot_s):
            any_frame = True
            usual = median(recent) if recent else 0.0
            recent.append(best.sharpness)
            alike = any((best.hash ^ one).bit_count() <= ALIKE_BITS for one in seen)
            if alike or best.sharpness < BLURRED * usual or best.time_s - last_s < slot_s / 4:
                continue
            seen.append(best.hash)
            last_s = best.time_s
            yield Sampled(best.time_s, _upright_pixels(best.frame))
            taken += 1
            if taken == most:
                return
        if not any_frame:
            raise UnreadableMedia(
                f"no frame of {path} can be decoded; play it to see if it is whole"
            )


@dataclass(frozen=True, slots=True)
class _Looked:
    frame: av.VideoFrame
    time_s: float
    sharpness: float
    hash: int


def _sharpest(frames: Iterator[av.VideoFrame], slot_s: float) -> Iterator[_Looked]:
    """Of each slot of time the sharpest frame among those looked at."""
    best: _Looked | None = None
    first = next_look = slot = None
    for frame in frames:
        if frame.time is None:
            continue
        first = frame.time if first is None else first
        time_s = frame.time - first
        if next_look is not None and time_s < next_look:
            continue
        next_look = time_s + slot_s / TRIES
        looked = _look(frame, time_s)
        if best is not None and int(time_s / slot_s) != slot:
            yield best
            best = None
        slot = int(time_s / slot_s)
        if best is None or looked.sharpness > best.sharpness:
            best = looked
    if best is not None:
        yield best


def _look(frame: av.VideoFrame, time_s: float) -> _Looked:
    scale = min(1.0, SMALL_SIDE / max(frame.width, frame.height))
    width, height = (max(16, round(side * scale)) for side in (frame.width, frame.height))
    grey = np.asarray(
        frame.reformat(width, height, "gray", interpolation="AREA").to_ndarray(), np.uint8
    )
    return _Looked(
        frame, time_s, float(cv2.Laplacian(grey, cv2.CV_32F).var()), difference_hash(grey)
    )


def difference_hash(grey: Pixels) -> int:
    """256 bits of an h x w picture: of each of 16 x 16 cells, whether it is brighter than the one
    to its right."""
    cells = cv2.resize(grey, (HASH_CELLS + 1, HASH_CELLS), interpolation=cv2.INTER_AREA).astype(
        np.int16
    )
    return int.from_bytes(np.packbits(cells[:, :-1] > cells[:, 1:] + NOISE).tobytes())


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
    """Every frame that can be decoded: what is damaged is passed over, and where the file breaks
    off is its end."""
    packets = container.demux(stream)
    while True:
        try:
            frames = next(packets).decode()
        except StopIteration:
            return
        except av.error.EOFError:
            return
        except av.error.InvalidDataError:
            continue
        except av.error.FFmpegError:
            return
        yield from frames


def _upright_pixels(frame: av.VideoFrame) -> Pixels:
    pixels: Pixels = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
    if frame.interlaced_frame:
        # The two fields are of two moments: faces that move would have combs for edges.
        field = np.ascontiguousarray(pixels[::2])
        whole = cv2.resize(field, (frame.width, frame.height), interpolation=cv2.INTER_CUBIC)
        pixels = np.asarray(whole, np.uint8)
    turn, mirrored = orientation(frame)
    if mirrored:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(np.rot90(pixels, -turn // 90))
