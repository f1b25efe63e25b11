"""Runs a clip through the plain functions behind the tasks: cut, detect and paint, without queue
or storage."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from facepaint.looks.look import Look
from facepaint.media.encoders import ENCODERS
from facepaint.records.faces import Faces
from facepaint.records.job import DetectorSpec, OutputProfile, VideoJob
from facepaint.records.segment import REACH_S
from facepaint.settings import Settings
from models.providers import Runtime
from tasks.detect import detect_segment
from tasks.paint import Inputs, paint_segment
from tasks.video.decode import RunSource
from tasks.video.painter import Result
from uploader.cutter import CutSegment
from uploader.probe import probe
from uploader.reader import Reader
from uploader.upload import new_job


@dataclass(frozen=True, slots=True)
class CutClip:
    """A clip cut into segments, with the job that an upload of it would create."""

    job: VideoJob
    segments: tuple[CutSegment, ...]

    def run(self, index: int) -> RunSource:
        """What a segment is decoded from."""
        run = self.segments[self.segments[index].record.decode_from : index + 1]
        return RunSource([segment.record for segment in run], [segment.data for segment in run])

    def reach(self, index: int) -> list[int]:
        """The segments within `REACH_S` of a segment's window, as the paint task gets them."""
        ticks = REACH_S / self.job.video.time_base
        own = self.segments[index].record
        return [
            other
            for other, segment in enumerate(self.segments)
            if own.start - segment.record.end < ticks and segment.record.start - own.end < ticks
        ]


def cut_clip(
    path: Path,
    segment_s: float = 2.0,
    profile: OutputProfile | None = None,
    max_s: float = math.inf,
) -> CutClip:
    """Cut the first ``max_s`` seconds of a video as an upload does."""
    probed = probe(path)
    output = profile or OutputProfile()
    reader = Reader(path, probed, segment_s, ENCODERS[output.encoder].cost)
    segments = tuple(_first(reader.segments(), max_s / probed.video.time_base))
    job = replace(
        new_job(probed, Settings.load(), DetectorSpec()),
        output=output,
        start_pts=segments[0].record.start,
        segment_s=segment_s,
    )
    return CutClip(job, segments)


def _first(segments: Iterator[CutSegment], ticks: float) -> Iterator[CutSegment]:
    """The segments that begin less than ``ticks`` after the first one."""
    start: int | None = None
    for segment in segments:
        start = segment.record.start if start is None else start
        if segment.record.start - start >= ticks:
            return
        yield segment


def detect_clip(clip: CutClip) -> list[Faces]:
    """The faces of every segment, as the detect task stores them."""
    return [
        detect_segment(clip.job, clip.run(index), Runtime("cpu", 1))
        for index in range(len(clip.segments))
    ]


def paint_clip(clip: CutClip, faces: Sequence[Faces], look: Look) -> Iterator[Result]:
    """Every segment as the paint task renders it."""
    for index in range(len(clip.segments)):
        near = {other: faces[other] for other in clip.reach(index)}
        yield paint_segment(clip.job, look, clip.run(index), Inputs(near))
