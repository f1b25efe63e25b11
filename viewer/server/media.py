"""The viewer's media: painted segments and their audio, and HLS playlists of them."""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from enum import Enum
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from facepaint.errors import InputError, JobError, ObjectMissing
from facepaint.jobs.explain import why_waiting
from facepaint.jobs.status import JobStatus
from facepaint.media.mp4 import init_length
from facepaint.records import keys
from facepaint.records.colour import SDR
from facepaint.records.job import ImageJob, VideoJob
from facepaint.records.results import Painted
from facepaint.records.segment import Segment
from viewer.save.video import save_video
from viewer.server import hls
from viewer.server.audio import is_plain_aac, make_audio_segment
from viewer.server.cache import first_missing
from viewer.server.clock import on_clock
from viewer.server.request import cache_of, check_look_id, job_id_of
from viewer.server.response import SANDBOX, Content, ReadBytes, media_type, send

PLAYLIST_MIME = "application/vnd.apple.mpegurl"

PEAK_FACTOR = 1.5
"""Assumed peak bit rate of a job relative to its first painted segment."""

AUDIO_BITS_PER_S = 200_000
CHUNK_BYTES = 1 << 20


class Part(Enum):
    """Which part of a fragmented MP4 is sent: HLS loads the initialization section once."""

    WHOLE = "whole"
    INIT = "init"
    FRAGMENTS = "fragments"

    def span(self, init_bytes: int, size: int) -> tuple[int, int]:
        """The bytes ``[first, stop)`` of an MP4 of ``size`` bytes."""
        if self is Part.INIT:
            return 0, init_bytes
        return (init_bytes if self is Part.FRAGMENTS else 0), size


def segment(request: Request) -> Response:
    """A painted segment or image as it is stored."""
    return _painted(request, Part.WHOLE)


def hls_init(request: Request) -> Response:
    """The initialization section of the first painted segment; all segments of a job share it."""
    status = _status(request)
    request.path_params["index"] = _first_painted(status, request.path_params["look"])
    return _painted(request, Part.INIT)


def hls_segment(request: Request) -> Response:
    """A painted segment without its initialization section."""
    return _painted(request, Part.FRAGMENTS)


def _painted(request: Request, part: Part) -> Response:
    cache, job_id = cache_of(request), job_id_of(request)
    look, index = check_look_id(request.path_params["look"]), int(request.path_params["index"])
    try:
        return _send_painted(request, look, cache.painted(job_id, look, index), part)
    except ObjectMissing:
        # The cached record is old: the segment was painted again and has another name since.
        cache.discard_painted(job_id, look, index)
        return _send_painted(request, look, cache.painted(job_id, look, index), part)


def _send_painted(request: Request, look: str, record: Painted, part: Part) -> Response:
    cache, job_id = cache_of(request), job_id_of(request)
    job = cache.status(job_id).job
    key = keys.painted_data(job_id, look, record.name)
    read: ReadBytes = partial(cache.store.get, key)
    size = record.bytes
    if isinstance(job, VideoJob) and (clock := cache.clock(job)).lead:
        # Moving the times needs the whole segment; otherwise the storage reads the range alone.
        read, size = _reader(on_clock(clock, record.index, cache.store.get(key)))
    start, end = part.span(record.init_bytes, size)
    content = Content(
        size=end - start,
        read=lambda first, stop: read(start + first, start + stop),
        # Two parts of one MP4 must not share an ETag.
        etag=f"{record.sha256[:24]}-{start}",
        mime=media_type(record.name),
        # `facepaint resume` may replace a blank segment.
        immutable=not record.blank,
        private=_redacts(cache.status(job_id, look), look),
    )
    return send(request, content)


def _redacts(status: JobStatus, look_id: str) -> bool:
    """Whether a look redacts; one whose record cannot be read may."""
    look = status.look(look_id)
    return look is None or look.look is None or look.look.redacts


def audio(request: Request) -> Response:
    """The audio of a segment in MP4; ``?as=aac`` is for browsers that lack the source's codec."""
    return _audio(request, Part.WHOLE, encode=request.query_params.get("as") == "aac")


def hls_audio_init(request: Request) -> Response:
    """The initialization section of a track's audio segments."""
    request.path_params["index"] = 0
    return _hls_audio(request, Part.INIT)


def hls_audio(request: Request) -> Response:
    """An audio segment without its initialization section."""
    return _hls_audio(request, Part.FRAGMENTS)


def _hls_audio(request: Request, part: Part) -> Response:
    """AAC, which every HLS player supports: copied from a source that has it, else encoded."""
    tracks = _video_job(request).audio
    number = int(request.path_params["track"])
    is_aac = number < len(tracks) and is_plain_aac(tracks[number])
    return _audio(request, part, encode=not is_aac)


def _audio(request: Request, part: Part, *, encode: bool) -> Response:
    cache, job_id = cache_of(request), job_id_of(request)
    track, index = int(request.path_params["track"]), int(request.path_params["index"])
    job = _video_job(request)
    record = cache.store.get_record(keys.segment(job_id, index), Segment)
    last = not cache.store.exists(keys.segment(job_id, index + 1))
    # An audio segment depends on the segment after it, so it waits for that to be stored.
    if last and not cache.store.exists(keys.sealed(job_id)):
        raise ObjectMissing(keys.segment(job_id, index + 1))
    made = make_audio_segment(
        cache.store, job, cache.clock(job), track, record, encode=encode, last=last
    )
    start, end = part.span(init_length(made.data), len(made.data))
    read, size = _reader(made.data[start:end])
    etag = hashlib.sha256(made.data).hexdigest()[:24]
    return send(request, Content(size, read, etag, made.mime))


def _video_job(request: Request) -> VideoJob:
    """The job of the request, if it is a video.

    Raises:
        InputError: it is a list of images, which have neither audio nor playlists.
    """
    job = cache_of(request).status(job_id_of(request)).job
    if isinstance(job, ImageJob):
        raise InputError(f"job {job.id} is a list of images: it has neither audio nor playlists")
    return job


def playlist_master(request: Request) -> Response:
    """The master playlist, which players open."""
    status = _status(request)
    job, look = _video_job(request), request.path_params["look"]
    record = cache_of(request).painted(job.id, look, _first_painted(status, look))
    # A window of one frame may be as short as a tick, and the rate absurd.
    seconds = max(float((record.end - record.start) * job.video.time_base), 0.1)
    bits_per_s = round(record.bytes * 8 / seconds * PEAK_FACTOR)
    codecs = [record.codec]
    if job.audio:
        bits_per_s += AUDIO_BITS_PER_S
        codecs.append("mp4a.40.2")
    # HDR that is not kept was tone-mapped.
    colour = job.video.colour if job.output.keep_format else SDR
    size, renditions = job.video.upright_size, _renditions(job)
    text = hls.master("video.m3u8", bits_per_s, codecs, size, renditions, colour.transfer)
    return _playlist(text)


def _renditions(job: VideoJob) -> list[hls.Rendition]:
    return [
        hls.Rendition(
            uri=f"audio-{number}.m3u8",
            name=track.title or track.language or f"Track {number + 1}",
            language=track.language,
            channels=1 if track.channels == 1 else 2,
        )
        for number, track in enumerate(job.audio)
    ]


def playlist_video(request: Request) -> Response:
    """The media playlist of the painted segments so far."""
    status = _status(request)
    ready, failed = _ready(request, status)
    windows = cache_of(request).windows(status.job, range(ready))
    entries = [
        hls.Entry(f"{index}.m4s", window.end_s - window.start_s, gap=index in failed)
        for index, window in enumerate(windows)
    ]
    segment_s = _video_job(request).segment_s
    return _playlist(hls.media("init.mp4", entries, segment_s, ended=status.total == ready))


def playlist_audio(request: Request) -> Response:
    """The media playlist of an audio track, as far as segments are painted."""
    status, name = _status(request), f"audio-{request.path_params['track']}"
    ready, _ = _ready(request, status)
    if status.total is None:
        # An audio segment depends on the segment after it: see `_audio`.
        ready = min(ready, first_missing(status.keys.stored) - 1)
    windows = cache_of(request).windows(status.job, range(max(0, ready)))
    ends_s = [window.end_s for window in windows]
    ended = status.total == ready
    # Audio that is longer than the frames belongs to the last segment: see `make_audio_segment`.
    if ended and windows:
        ends_s[-1] = max(ends_s[-1], windows[-1].audio_end_s)
    entries = [
        hls.Entry(f"{name}-{index}.m4s", end_s - window.start_s)
        for index, (window, end_s) in enumerate(zip(windows, ends_s, strict=True))
    ]
    segment_s = _video_job(request).segment_s
    return _playlist(hls.media(f"{name}-init.mp4", entries, segment_s, ended=ended))


def _ready(request: Request, status: JobStatus) -> tuple[int, frozenset[int]]:
    """How many segments from the first on are painted or failed, and which of them failed."""
    look = request.path_params["look"]
    failed = status.keys.paint_failed[look]
    # Segments that were painted since the job was listed are looked up, from the first gap on.
    listed = first_missing(status.keys.painted[look] | failed)
    painted = cache_of(request).painted_segments(status, look, listed)
    return first_missing(painted | failed), failed


def download(request: Request) -> Response:
    """The finished video as one file, made for this response."""
    cache, job_id = cache_of(request), job_id_of(request)
    look_id = check_look_id(request.query_params.get("look", ""))
    status = cache.status(job_id, look_id)
    look = status.look(look_id)
    if look is None or look.state != "complete":
        raise JobError(
            f"job {job_id} is not complete yet: {why_waiting(status, cache.workers(), look_id)}"
        )
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="facepaint-")))
        report = save_video(cache.store, job_id, look_id, folder / "video")
        if not report.check.passed:
            differences = "; ".join(report.check.differences)
            raise JobError(f"the file differs from the painted segments: {differences}")
        # The folder outlives this function: it is removed after the last byte is sent, or when the
        # browser closes the connection.
        kept, saved = stack.pop_all(), report.path

    def chunks() -> Iterator[bytes]:
        with kept, saved.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk

    name = f"{Path(status.job.source.name).stem}-painted{saved.suffix}"
    headers = {
        "Content-Length": str(saved.stat().st_size),
        "Content-Disposition": f"attachment; filename*=utf-8''{quote(name, safe='')}",
        **SANDBOX,
        "Cache-Control": "no-store",
    }
    mime = media_type(saved.name)
    return StreamingResponse(chunks(), media_type=mime, headers=headers)


def _playlist(text: str) -> Response:
    return Response(text, media_type=PLAYLIST_MIME, headers={"Cache-Control": "no-cache"})


def _status(request: Request) -> JobStatus:
    """The status of the job in the path, which must be a video and have the look in the path."""
    look = check_look_id(request.path_params["look"])
    status = cache_of(request).status(job_id_of(request), look)
    if isinstance(status.job, ImageJob):
        raise InputError(f"job {status.job.id} is a list of images; only videos have playlists")
    return status


def _first_painted(status: JobStatus, look: str) -> int:
    painted = status.keys.painted[look]
    if not painted:
        raise ObjectMissing(keys.painted(status.job.id, look, 0))
    return min(painted)


def _reader(data: bytes) -> tuple[ReadBytes, int]:
    """Reader and size of bytes in memory, for `Content`."""
    return lambda first, stop: data[first:stop], len(data)
