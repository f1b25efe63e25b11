"""Paint the faces of frames. A redacting look fails closed: it covers a frame completely unless its
faces are known."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial

import av

from facepaint.looks.look import Look
from facepaint.records.faces import Faces, FrameFaces
from facepaint.records.results import Painted
from facepaint.text import counted
from filters.area import has_finite_position
from filters.face import Face
from filters.registry import Painter, make_painter
from tasks.video.canvas import Canvas


@dataclass(frozen=True, slots=True)
class Result:
    """A painted segment: its bytes and its record."""

    data: bytes
    record: Painted


def valid_faces(record: Faces) -> Faces:
    """The record, with frames marked as failed that hold coordinates which are not finite."""
    return replace(record, frames=tuple(map(_valid_frame, record.frames)))


def _valid_frame(frame: FrameFaces) -> FrameFaces:
    numbers = (n for face in frame.faces for n in (face.score, *face.box, *face.landmarks))
    # One such coordinate makes the whole frame uncertain: the face is somewhere in it.
    return frame if all(map(math.isfinite, numbers)) else replace(frame, status="failed")


def detected_times(record: Faces | None) -> set[int]:
    """The pts of the frames that were decoded whole and searched for faces."""
    if record is None:
        return set()
    return {frame.pts for frame in record.frames if frame.status == "detected"}


def painter_for(
    look: Look, stickers: Mapping[str, bytes], size: tuple[int, int], secret: bytes
) -> Painter:
    """The painter of a look.

    Args:
        stickers: the bytes of its images by sha256.
        size: width and height of the frames in px.
        secret: known to the owner of the source alone; see `filters.redaction.Redaction`.
    """
    return replace(
        _painter(look, tuple(sorted(stickers.items()))).with_noise_secret(secret), size=size
    )


@lru_cache(maxsize=4)
def _painter(look: Look, stickers: tuple[tuple[str, bytes], ...]) -> Painter:
    """Cached, because rendering the artwork takes long."""
    return make_painter(look, dict(stickers))


@dataclass(slots=True)
class FramePainter:
    """Paints frame by frame.

    A redacting look paints only frames that were searched for faces, and covers all others.

    Args:
        detected: the pts of the frames that were decoded completely and searched.
        damaged: the pts of frames that the decoder concealed in part; may grow meanwhile.
    """

    canvas: Canvas
    painter: Painter
    redacts: bool
    detected: Collection[int]
    damaged: Collection[int]
    _covered: dict[str, int] = field(default_factory=dict)

    def paint(self, frame: av.VideoFrame, faces: Sequence[Face], time_s: float) -> None:
        """Paint the faces of one upright frame in place, ``time_s`` after the video's start."""
        if not self.redacts:
            self._paint_faces(frame, faces, time_s)
            return
        reason = self._reason_to_cover(frame.pts, faces)
        if not reason:
            try:
                self._paint_faces(frame, faces, time_s)
            except Exception as exc:  # noqa: BLE001 - after any error a face may still show
                reason = f"painting failed with {type(exc).__name__}: {exc}"
        if reason:
            self._covered[reason] = self._covered.get(reason, 0) + 1
            self.canvas.paint(frame, self.painter.cover)

    def notes(self) -> Iterator[str]:
        """How many frames were covered completely, and why."""
        for reason, count in self._covered.items():
            yield f"{counted(count, 'frame')} covered completely: {reason}"

    def _reason_to_cover(self, pts: int | None, faces: Sequence[Face]) -> str:
        """Why the faces of a frame are not known; empty if they are."""
        # The detector may have had better luck with a damaged frame on another worker.
        if pts in self.damaged:
            return "the decoder concealed damaged parts"
        if pts not in self.detected or not all(map(has_finite_position, faces)):
            return "its faces are not known"
        return ""

    def _paint_faces(self, frame: av.VideoFrame, faces: Sequence[Face], time_s: float) -> None:
        if self.painter.touches(faces):
            self.canvas.paint(frame, partial(self.painter.paint, faces=faces, time_s=time_s))
