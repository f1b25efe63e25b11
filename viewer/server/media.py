"""The viewer's media: painted segments and their sound from the same origin as the page, and HLS
playlists of them."""

import hashlib
import mimetypes
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from facepaint.errors import InputError, JobError, ObjectMissing, UsageError
from facepaint.jobs.explain import why_waiting
from facepaint.jobs.status import JobStatus
from facepaint.media.mp4 import init_length
from facepaint.records import keys
from facepaint.records.colour import SDR
from facepaint.records.job import ImageJob, VideoJob
from facepaint.records.keys import LOOK_ID, check_job_id
from facepaint.records.results import Painted
from facepaint.records.segment import Segment
from viewer.save.save import save
from viewer.server import hls
from viewer.server.audio import make_piece, plain_aac
from viewer.server.cache import Board, first_missing
from viewer.server.clock import on_clock

PLAYLIST = "application/vnd.apple.mpegurl"

LASTING = "private, max-age=86400, immutable"
CHECKED = "private, no-cache"

HEADROOM = 1.5
"""How much more than the first painted segment the busiest one is taken to need."""

SOUND_BITS_PER_S = 200_000
CHUNK_BYTES = 1 << 20


Part = Callable[[int, int], tuple[int, int]]
"""Which bytes of a fragmented MP4 to send, from the length of its init part and its whole
length."""


Read = Callable[[int, int], bytes]
"""Gives the bytes ``[first, last)``."""


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes to send: ``read`` gives ``[first, last)`` of them; ``lasting`` ones never change."""

    size: int
    read: Read
    etag: str
    mime: str
    lasting: bool = True


def board_of(request: Request) -> Board:
    """The app's board."""
    board: Board = request.app.state.board
    return board


def job_id_of(request: Request) -> str:
    """The job in the path, checked: it becomes a key."""
    return check_job_id(request.path_params["job"])


def check_look_id(text: str) -> str:
    """Return ``text`` if it is a look's id, else raise `UsageError`: it becomes a key."""
    if not LOOK_ID.fullmatch(text):
        raise UsageError(f"'{text}' is no look; `facepaint status` lists a job's looks")
    return text


def segment(request: Request) -> Response:
    """A painted segment or picture as it is stored."""
    return _painted(request, _whole)


def hls_init(request: Request) -> Response:
    """What comes before the fragments of the first painted segment; a job's segments all have the
    same."""
    status = _status(request)
    request.path_params["index"] = _first_painted(status, request.path_params["look"])
    return _painted(request, _init)


def hls_segment(request: Request) -> Response:
    """A painted segment without what `hls_init` gives."""
    return _painted(request, _rest)


def _painted(request: Request, part: Part) -> Response:
    board, job_id = board_of(request), job_id_of(request)
    look, index = check_look_id(request.path_params["look"]), int(request.path_params["index"])
    try:
        return _stored(request, look, board.painted(job_id, look, index), part)
    except ObjectMissing:  # painted once more under another name: the record tells
        board.forget_painted(job_id, look, index)
        return _stored(request, look, board.painted(job_id, look, index), part)


def _stored(request: Request, look: str, record: Painted, part: Part) -> Response:
    board, job_id = board_of(request), job_id_of(request)
    job = board.status(job_id).job
    key = keys.painted_data(job_id, look, record.name)
    read: Read = partial(board.store.get, key)
    size = record.bytes
    if isinstance(job, VideoJob) and (clock := board.clock(job)).lead:
        read, size = _reader(on_clock(clock, record.index, board.store.get(key)))
    start, end = part(record.init_bytes, size)
    body = Body(
        size=end - start,
        read=lambda first, last: read(start + first, start + last),
        etag=f"{record.sha256[:24]}-{start}",
        mime=mimetypes.guess_type(record.name)[0] or "application/octet-stream",
        # A blank one was given up: `facepaint resume` may still replace it.
        lasting=not record.blank,
    )
    return send(request, body)


def audio(request: Request) -> Response:
    """The sound of a segment, in MP4; ``?as=aac`` asks for AAC where the browser cannot play the
    source's codec."""
    return _sound(request, _whole, encode=request.query_params.get("as") == "aac")


def hls_audio_init(request: Request) -> Response:
    """What comes before the fragment of every piece of sound."""
    request.path_params["index"] = 0
    return _hls_sound(request, _init)


def hls_audio(request: Request) -> Response:
    """A piece of sound without what `hls_audio_init` gives."""
    return _hls_sound(request, _rest)


def _hls_sound(request: Request, part: Part) -> Response:
    """AAC, which every player of HLS plays: copied from a source that has it, else encoded."""
    tracks = _video_job(request).audio
    track = int(request.path_params["track"])
    return _sound(request, part, encode=not (track < len(tracks) and plain_aac(tracks[track])))


def _sound(request: Request, part: Part, *, encode: bool) -> Response:
    board, job_id = board_of(request), job_id_of(request)
    track, index = int(request.path_params["track"]), int(request.path_params["index"])
    job = _video_job(request)
    record = board.store.get_record(keys.segment(job_id, index), Segment)
    last = not board.store.exists(keys.segment(job_id, index + 1))
    if last and not board.store.exists(keys.sealed(job_id)):
        raise ObjectMissing(keys.segment(job_id, index + 1))
    piece = make_piece(board.store, job, board.clock(job), track, record, encode=encode, last=last)
    start, end = part(init_length(piece.data), len(piece.data))
    read, size = _reader(piece.data[start:end])
    body = Body(size, read, hashlib.sha256(piece.data).hexdigest()[:24], piece.mime)
    return send(request, body)


def _video_job(request: Request) -> VideoJob:
    """The job asked for, if it is a video.

    Raises:
        InputError: it is a list of images, which have neither audio nor playlists.
    """
    job = board_of(request).status(job_id_of(request)).job
    if isinstance(job, ImageJob):
        raise InputError(f"job {job.id} is a list of images: it has neither audio nor playlists")
    return job


def playlist_master(request: Request) -> Response:
    """The playlist to give to a player: it names the others."""
    status = _status(request)
    job, look = _video_job(request), request.path_params["look"]
    first = _first_painted(status, look)
    record = board_of(request).painted(job.id, look, first)
    seconds = max(float((record.end - record.start) * job.video.time_base), 0.1)
    bits_per_s = round(record.bytes * 8 / seconds * HEADROOM) + SOUND_BITS_PER_S * bool(job.audio)
    sounds = [
        hls.Rendition(
            uri=f"audio-{number}.m3u8",
            name=track.title or track.language or f"Sound {number + 1}",
            language=track.language,
            channels=1 if track.channels == 1 else 2,
        )
        for number, track in enumerate(job.audio)
    ]
    codecs = [record.codec, *(["mp4a.40.2"] if sounds else [])]
    # HDR that is not kept was tone-mapped.
    colour = job.video.colour if job.output.keep_format else SDR
    text = hls.master(
        "video.m3u8", bits_per_s, codecs, job.video.upright_size, sounds, colour.transfer
    )
    return _playlist(text)


def playlist_video(request: Request) -> Response:
    """The painted segments so far."""
    status = _status(request)
    ready, failed = _ready(request, status)
    entries = [
        hls.Entry(f"{index}.m4s", window.end_s - window.start_s, gap=index in failed)
        for index, window in enumerate(board_of(request).windows(status.job, range(ready)))
    ]
    return _playlist(
        hls.media("init.mp4", entries, _video_job(request).segment_s, ended=status.total == ready)
    )


def playlist_audio(request: Request) -> Response:
    """The pieces of sound that go with the painted segments so far."""
    status, name = _status(request), f"audio-{request.path_params['track']}"
    ready, _ = _ready(request, status)
    if status.total is None:  # a piece is made with the sound that follows it
        ready = min(ready, first_missing(status.keys.stored) - 1)
    windows = board_of(request).windows(status.job, range(max(0, ready)))
    ends_s = [window.end_s for window in windows]
    ended = status.total == ready
    if ended and windows:
        ends_s[-1] = max(ends_s[-1], windows[-1].heard_s)
    entries = [
        hls.Entry(f"{name}-{index}.m4s", end_s - window.start_s)
        for index, (window, end_s) in enumerate(zip(windows, ends_s, strict=True))
    ]
    return _playlist(
        hls.media(f"{name}-init.mp4", entries, _video_job(request).segment_s, ended=ended)
    )


def _ready(request: Request, status: JobStatus) -> tuple[int, frozenset[int]]:
    """How many segments from the first on are painted or were given up, and which were given up."""
    look = request.path_params["look"]
    failed = status.keys.paint_failed[look]
    listed = first_missing(status.keys.painted[look] | failed)
    return first_missing(board_of(request).painted_segments(status, look, listed) | failed), failed


def download(request: Request) -> Response:
    """The finished video as one file, joined for this answer."""
    board, job_id = board_of(request), job_id_of(request)
    look_id = check_look_id(request.query_params.get("look", ""))
    status = board.status(job_id, look_id)
    look = status.look(look_id)
    if look is None or look.state != "complete":
        raise JobError(
            f"job {job_id} is not complete yet: {why_waiting(status, board.workers(), look_id)}"
        )
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="facepaint-")))
        report = save(board.store, job_id, look_id, folder / "video")
        if not report.check.passed:
            raise JobError(f"the file is not what was painted: {'; '.join(report.check.problems)}")
        # Removed when the last byte is sent, or with the answer if the browser goes away before.
        kept, saved = stack.pop_all(), report.path

    def chunks() -> Iterator[bytes]:
        with kept, saved.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk

    name = f"{Path(status.job.source.name).stem}-painted{saved.suffix}"
    headers = {
        "Content-Length": str(saved.stat().st_size),
        "Content-Disposition": f"attachment; filename*=utf-8''{quote(name, safe='')}",
        "Cache-Control": "no-store",
    }
    mime = mimetypes.guess_type(saved.name)[0] or "application/octet-stream"
    return StreamingResponse(chunks(), media_type=mime, headers=headers)


def _playlist(text: str) -> Response:
    return Response(text, media_type=PLAYLIST, headers={"Cache-Control": "no-cache"})


def _status(request: Request) -> JobStatus:
    """The status of the job in the path, a video that has the look in the path."""
    status = board_of(request).status(
        job_id_of(request), check_look_id(request.path_params["look"])
    )
    if isinstance(status.job, ImageJob):
        raise InputError(f"job {status.job.id} is of pictures; only videos are played")
    return status


def _first_painted(status: JobStatus, look: str) -> int:
    painted = status.keys.painted[look]
    if not painted:
        raise ObjectMissing(keys.painted(status.job.id, look, 0))
    return min(painted)


def _reader(data: bytes) -> tuple[Read, int]:
    """What reads bytes at hand as `Body` wants it, and how many there are."""
    return lambda first, last: data[first:last], len(data)


def _whole(_: int, size: int) -> tuple[int, int]:
    return 0, size


def _init(init_bytes: int, _: int) -> tuple[int, int]:
    return 0, init_bytes


def _rest(init_bytes: int, size: int) -> tuple[int, int]:
    return init_bytes, size


def send(request: Request, body: Body) -> Response:
    """Answer with the body or one range of it; 304 where the browser has it already."""
    headers = {
        "ETag": f'"{body.etag}"',
        "Cache-Control": LASTING if body.lasting else CHECKED,
        "Accept-Ranges": "bytes",
    }
    if f'"{body.etag}"' in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    wanted = request.headers.get("range")
    if wanted is None or request.headers.get("if-range", headers["ETag"]) != headers["ETag"]:
        return Response(body.read(0, body.size), media_type=body.mime, headers=headers)
    span = parse_range(wanted, body.size)
    if span is None:
        return Response(
            status_code=416, headers={**headers, "Content-Range": f"bytes */{body.size}"}
        )
    first, last = span
    headers["Content-Range"] = f"bytes {first}-{last - 1}/{body.size}"
    return Response(body.read(first, last), 206, media_type=body.mime, headers=headers)


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """The bytes ``[first, last)`` that a Range header asks for, or None if there are none such.

    Of several ranges the first is served, which RFC 9110 leaves to the server.
    """
    match = re.match(r"bytes=(\d{0,15})-(\d{0,15})", header)
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        first, last = max(0, size - int(match[2])), size
    else:
        first, last = int(match[1]), min(size, int(match[2]) + 1 if match[2] else size)
    return (first, last) if first < last else None
