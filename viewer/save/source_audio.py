"""A job's audio as the source has it: every packet, segment after segment."""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

from facepaint.errors import JobError, ObjectDamaged, ObjectMissing
from facepaint.records import keys
from facepaint.records.job import Job, VideoJob
from facepaint.records.segment import Segment, SegmentData
from facepaint.store import Store
from viewer.follow import FollowOptions, retry_while_unreachable


@dataclass(frozen=True, slots=True)
class SourceAudio:
    """One audio packet; ``stream`` is the index of its track among the job's audio tracks.

    Times are in seconds on the source's clock.
    """

    stream: int
    start_s: Fraction
    duration_s: Fraction
    data: bytes


def source_audio(
    store: Store, job: VideoJob, segments: int, options: FollowOptions
) -> Generator[list[SourceAudio], None, None]:
    """Yield the audio packets of each segment in order; fetches a few segments ahead.

    Raises:
        JobError: a record or its audio is missing or damaged.
        StoreUnreachable: the storage was unreachable for too long.
    """
    ends = [Fraction(0)] * len(job.audio)
    coming: deque[Future[tuple[Segment, SegmentData]]] = deque()
    pool = ThreadPoolExecutor(options.ahead, thread_name_prefix="audio")
    try:
        for index in range(segments + options.ahead):
            if index < segments:
                fetch = partial(_fetch, store, job, index)
                coming.append(pool.submit(retry_while_unreachable, fetch, options))
            # Some segments behind the requests: those are fetched while this one is written.
            if index >= options.ahead:
                yield list(_packets(job, *coming.popleft().result(), ends))
    finally:
        # An interrupted save does not wait for a request that may take a minute.
        pool.shutdown(wait=False, cancel_futures=True)


def _fetch(store: Store, job: Job, index: int) -> tuple[Segment, SegmentData]:
    try:
        segment = store.get_record(keys.segment(job.id, index), Segment)
        data = b""
        if segment.audio:
            data = store.get_verified(keys.audio(job.id, index), segment.audio_sha256)
    except ObjectMissing as exc:
        raise JobError(f"{exc}, though job {job.id} is sealed: upload the file again") from exc
    except ObjectDamaged as exc:
        raise JobError(f"{exc}; upload the file again") from exc
    return segment, SegmentData(data)


def _packets(
    job: VideoJob, segment: Segment, audio: SegmentData, ends: list[Fraction]
) -> Iterator[SourceAudio]:
    """A segment's packets. ``ends`` is where each track's last packet ended: a packet without a
    time follows it directly."""
    for packet, data in audio.unpack(segment.audio):
        tick = job.audio[packet.stream].time_base
        time = packet.pts if packet.pts is not None else packet.dts
        start_s = ends[packet.stream] if time is None else time * tick
        ends[packet.stream] = start_s + packet.duration * tick
        yield SourceAudio(packet.stream, start_s, packet.duration * tick, data)
