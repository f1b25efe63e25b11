"""Redacting looks store codec parameters without comments."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from facepaint.media.decoder import open_decoder
from facepaint.media.strip_metadata import _strip_ass, _strip_event, _style_names, strip_job
from facepaint.records.job import DetectorSpec, Job, OutputProfile, SourceFile, VideoJob
from facepaint.records.keys import new_job_id
from tests.support.clips import Media
from uploader.probe import probe

FIRST, SETUP = b"\x80theora" + bytes(35), b"\x82theora" + bytes(range(200))
COMMENTS = b"\x81theora" + b"filmed at 12 Garden Lane " * 30


def laced(first: bytes, comments: bytes, setup: bytes) -> bytes:
    """Three headers after their lengths in Xiph lacing."""
    lengths = b"".join(
        b"\xff" * (len(header) // 255) + bytes((len(header) % 255,)) for header in (first, comments)
    )
    return b"\x02" + lengths + first + comments + setup


def counted(*headers: bytes) -> bytes:
    """Each header after its length in two bytes."""
    return b"".join(len(header).to_bytes(2) + header for header in headers)


def theora_job(parameters: bytes, job: Job) -> Job:
    return replace(job, video=replace(job.video, codec="theora", extradata=parameters))


@pytest.fixture
def job(media: Media) -> Job:
    probed = probe(media("h264-open.mp4"))
    now = datetime.now(UTC)
    return VideoJob(
        id=new_job_id(now),
        source=SourceFile("a", 1, ""),
        created=now,
        detector=DetectorSpec(),
        output=OutputProfile(),
        video=probed.video,
    )


@pytest.mark.parametrize("form", [laced, counted])
def test_comments_of_theora_are_not_stored(form: Callable[..., bytes], job: Job) -> None:
    video = strip_job(theora_job(form(FIRST, COMMENTS, SETUP), job)).video
    assert video.extradata == laced(FIRST, b"\x81theora" + bytes(8), SETUP)


@pytest.mark.parametrize("parameters", [b"", b"\x02", b"\x02\xff\xff", b"something else"])
def test_parameters_of_another_layout_are_not_changed(parameters: bytes, job: Job) -> None:
    video = strip_job(theora_job(parameters, job)).video
    assert video.extradata == parameters


@pytest.mark.slow
def test_a_decoder_accepts_stripped_parameters(media: Media, job: Job) -> None:
    video = strip_job(replace(job, video=probe(media("theora.ogv")).video)).video
    assert b"Lavf" not in video.extradata
    assert b"Lavc" not in video.extradata
    open_decoder(video)


HEADER = (
    b"[Script Info]\r\nTitle: secret\r\nScriptType: v4.00+\r\n\r\n[V4+ Styles]\r\n"
    b"Format: Name, Fontname, Fontsize\r\nStyle: Default,Arial,20\r\n"
    b"Style: Maria Secret,Arial,30\r\n\r\n[Events]\r\nFormat: Layer, Start, End, Text\r\n"
)


def test_events_of_ass_name_no_actor_style_effect_or_comment() -> None:
    styles = _style_names(HEADER)
    assert styles == [b"Default", b"Maria Secret"]
    event = b"3,0,Maria Secret,Maria,0,0,0,said by Maria,{note: Maria}{\\i1}Hello, {\\b1}you"
    assert _strip_event(event, styles) == b"3,0,Style2,,0,0,0,,{\\i1}Hello, {\\b1}you"
    moving = b"3,0,Default,,0,0,0,Banner;10;0;50,News"
    assert _strip_event(moving, styles) == b"3,0,Style1,,0,0,0,Banner;10;0;50,News"
    assert _strip_event(b"no event", styles) == b"no event"
    stripped = _strip_ass(HEADER)
    assert b"ecret" not in stripped
    assert b"Style: Style2,Arial,30" in stripped
