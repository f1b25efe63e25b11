"""Paint the faces of a segment's frames; a look that hides fails closed: what is in doubt is
covered whole."""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import av

from facepaint.records.faces import Faces
from filters.area import is_somewhere
from filters.face import Face
from filters.registry import Painter
from tasks.video.canvas import Canvas


def sound(record: Faces) -> Faces:
    """A record in which frames with faces whose coordinates are no numbers count as failed."""
    frames = tuple(
        frame
        if all(
            map(
                math.isfinite,
                (n for face in frame.faces for n in (face.score, *face.box, *face.landmarks)),
            )
        )
        else replace(frame, status="failed")
        for frame in record.frames
    )
    return replace(record, frames=frames)


def known_times(record: Faces | None) -> set[int]:
    """The times of the frames whose faces are known: those that were detected, and whole."""
    return {frame.pts for frame in record.frames if frame.status == "detected"} if record else set()


@dataclass(slots=True)
class FramePainter:
    """Paints frame by frame.

    ``known`` are the times of frames whose faces are known, ``damaged`` those of frames that the
    decoder made up in part; it may grow meanwhile. Neither matters where the look does not hide.
    """

    canvas: Canvas
    painter: Painter
    redacts: bool
    known: Collection[int]
    damaged: Collection[int]
    _hidden: dict[str, int] = field(default_factory=dict)

    def paint(self, frame: av.VideoFrame, faces: Sequence[Face], time_s: float) -> None:
        """Paint the faces of one upright frame, in place."""
        if not self.redacts:
            self._paint(frame, faces, time_s)
            return
        doubt = self._doubt(frame.pts, faces)
        if not doubt:
            try:
                self._paint(frame, faces, time_s)
            except Exception as exc:  # noqa: BLE001 - whatever it is, a face that was to be hidden may still show
                doubt = f"painting failed with {type(exc).__name__}: {exc}"
        if doubt:
            self._hidden[doubt] = self._hidden.get(doubt, 0) + 1
            self.canvas.paint(frame, self.painter.cover)

    def notes(self) -> Iterator[str]:
        """How many frames were hidden whole, and why, in words."""
        for why, count in self._hidden.items():
            yield f"{count} frame{'s' if count > 1 else ''} hidden whole: {why}"

    def _doubt(self, pts: int | None, faces: Sequence[Face]) -> str:
        """Why nobody knows where the faces of a frame are; empty if somebody does."""
        if pts in self.damaged:
            return "parts are made up by the decoder"
        return (
            "" if pts in self.known and all(map(is_somewhere, faces)) else "its faces are not known"
        )

    def _paint(self, frame: av.VideoFrame, faces: Sequence[Face], time_s: float) -> None:
        if self.painter.touches(faces):
            self.canvas.paint(frame, partial(self.painter.paint, faces=faces, time_s=time_s))
