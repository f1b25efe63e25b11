"""Records survive a round trip, keys match the documentation, and a job's state follows from its
keys."""

import itertools
import json
import re
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facepaint.errors import RecordInvalid, UsageError
from facepaint.jobs.state import ABANDONED_AFTER_S, JobKeys
from facepaint.records import keys
from facepaint.records.codec import decode, encode
from facepaint.records.detector_card import DetectorCard, Thresholds
from facepaint.records.faces import Candidate, Faces, FrameFaces
from facepaint.records.job import (
    DetectorSpec,
    Extras,
    ImageJob,
    Sealed,
    VideoJob,
    VideoStream,
)
from facepaint.records.keys import check_job_id, new_job_id
from facepaint.records.results import Claim, Failed, Painted, WorkerInfo
from facepaint.records.segment import Packet, Segment

RECORDS = (VideoJob, ImageJob, Segment, Extras, Sealed, Faces, Painted, Failed, Claim, WorkerInfo)
NOW = datetime(2026, 11, 22, 13, 14, 15, tzinfo=UTC)
JOB = "20261122T131415-abcdefgh"
LOOK, OTHER = "0123456789ab", "ba9876543210"

st.register_type_strategy(Fraction, st.fractions(max_denominator=10**6))
st.register_type_strategy(datetime, st.datetimes(timezones=st.just(UTC)))
st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
st.register_type_strategy(str, st.text(st.characters(exclude_categories=["Cs"])))


def scores(lowest: float, highest: float) -> st.SearchStrategy[Thresholds]:
    return st.lists(st.floats(lowest, highest), min_size=2, max_size=2).map(
        lambda pair: Thresholds(max(pair), min(pair))
    )


st.register_type_strategy(
    DetectorCard,
    st.builds(
        DetectorCard,
        name=st.from_regex("[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True),
        stride=st.integers(1, 256),
        smallest_face_px=st.floats(1, 500),
        stickers=st.none() | scores(0.5, 1),
        redaction=st.none() | scores(0.01, 0.5),
        sha256=st.just("") | st.binary(min_size=32, max_size=32).map(bytes.hex),
    ),
)
st.register_type_strategy(
    Painted,
    st.builds(
        Painted,
        name=st.from_regex(r"[0-9]{6}-[0-9a-f]{12}\.(mp4|jpg|png|webp)", fullmatch=True),
        sha256=st.from_regex("[0-9a-f]{64}", fullmatch=True),
        codec=st.from_regex("[A-Za-z0-9._/+-]{0,64}", fullmatch=True),
    ),
)
st.register_type_strategy(
    Segment,
    st.builds(
        Segment,
        index=st.integers(5, 10),
        start=st.integers(-(10**6), 0),
        end=st.integers(0, 10**6),
        decode_from=st.integers(0, 5),
        overlap=st.just(0),
    ),
)


@pytest.mark.parametrize("cls", RECORDS, ids=lambda cls: cls.__name__)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_any_record_survives_a_round_trip(cls: Any, data: st.DataObject) -> None:
    record = data.draw(st.from_type(cls))
    assert decode(cls, encode(record), "key") == record


@pytest.mark.parametrize("cls", RECORDS, ids=lambda cls: cls.__name__)
@settings(max_examples=1, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_record_of_another_schema_is_refused(cls: Any, data: st.DataObject) -> None:
    body = json.loads(encode(data.draw(st.from_type(cls))))
    with pytest.raises(RecordInvalid) as caught:
        decode(cls, json.dumps({**body, "schema": 2}).encode(), "jobs/x/record.json")
    assert str(caught.value) == (
        f"jobs/x/record.json is not a {cls.__name__} record: schema: Input should be 1; it is "
        "damaged, or of another version of facepaint"
    )


def test_invalid_records_are_refused_with_their_first_fault() -> None:
    with pytest.raises(
        RecordInvalid, match=r"^k is not a Sealed record: segments: Field required; it is damaged"
    ):
        decode(Sealed, b"{}", "k")
    with pytest.raises(RecordInvalid, match=r"^k is not a Sealed record: the record: Invalid JSON"):
        decode(Sealed, b"\xff\xfe not json", "k")


@pytest.mark.parametrize(
    "record", [Segment(0, 0, 1, (), ""), Faces(0, (), "d", "cpu"), Sealed(1), Failed(1, "x", 3)]
)
def test_every_record_has_its_schema(record: Any) -> None:
    assert json.loads(encode(record))["schema"] == 1


def test_bulky_records_omit_defaults() -> None:
    segment = Segment(3, 0, 90, tuple(Packet(100, n, n, 1) for n in range(1000)), "0" * 64)
    assert len(encode(segment)) < 60 * 1000
    assert b"discard" not in encode(segment)
    face = Candidate(0.9, (1.0, 2.0, 3.0, 4.0), tuple(map(float, range(10))))
    faces = Faces(
        0,
        (FrameFaces(0), FrameFaces(1, "failed"), FrameFaces(2, faces=(face,))),
        "facepaint-1",
        "cpu",
    )
    assert decode(Faces, encode(faces), "k") == faces


def test_a_job_that_was_to_have_some_frames_detected_alone_still_reads() -> None:
    spec = decode(
        DetectorSpec,
        b'{"name": "facepaint-1", "min_face": 0.1, "every": 2, "card": null}',
        "job.json",
    )
    assert spec == DetectorSpec("facepaint-1", 0.1)


def test_own_packets_exclude_the_overlap() -> None:
    segment = Segment(
        0, 0, 2, (Packet(10, 0, 0), Packet(20, 1, 1), Packet(30, 2, 2)), "", overlap=1
    )
    assert [packet.size for packet in segment.own_packets] == [10, 20]
    assert segment.bytes == 60


@pytest.mark.parametrize(
    ("rotation", "size"), [(0, (640, 360)), (90, (360, 640)), (180, (640, 360)), (270, (360, 640))]
)
def test_upright_size(rotation: int, size: tuple[int, int]) -> None:
    video = VideoStream(
        "h264", "avc1", b"\0\xff", 640, 360, "yuv420p", Fraction(1, 15_360), rotation=rotation
    )
    assert video.upright_size == size


@pytest.mark.parametrize(
    ("aspect", "rotation", "size"),
    [
        (Fraction(1), 0, (640, 360)),
        (Fraction(4, 3), 0, (853, 360)),
        (Fraction(3, 4), 0, (640, 480)),
        (Fraction(4, 3), 90, (360, 853)),
        (Fraction(3, 4), 270, (480, 640)),
        (Fraction(404, 405), 0, (640, 360)),
        (Fraction(0), 0, (640, 360)),
        (Fraction(-1, 2), 0, (640, 360)),
        (Fraction(10**9), 0, (2560, 360)),
        (Fraction(1, 10**9), 0, (640, 1440)),
    ],
)
def test_square_size(aspect: Fraction, rotation: int, size: tuple[int, int]) -> None:
    video = VideoStream(
        "h264",
        "avc1",
        b"",
        640,
        360,
        "yuv420p",
        Fraction(1, 15_360),
        rotation=rotation,
        sample_aspect_ratio=aspect,
    )
    assert video.square_size == size


def test_job_ids_sort_by_time_and_are_validated() -> None:
    east = timezone(timedelta(hours=9))
    ids = [new_job_id(NOW.astimezone(east) + timedelta(seconds=seconds)) for seconds in range(3)]
    assert ids == sorted(ids)
    assert all(re.fullmatch(r"20261122T1314\d\d-[a-z2-7]{8}", job_id) for job_id in ids)
    assert len({new_job_id(NOW) for _ in range(100)}) == 100
    assert check_job_id(ids[0]) == ids[0]
    for text in ("", "..", f"{JOB}/", f"{JOB}\n", JOB.upper(), "jobs/" + JOB):
        with pytest.raises(UsageError, match="is not a job id; `facepaint jobs` lists them"):
            check_job_id(text)


def test_keys_match_the_documentation() -> None:
    base = f"jobs/{JOB}/"
    assert keys.prefix(JOB) == base
    expected = {
        keys.job(JOB): "job.json",
        keys.looks(JOB): "looks/",
        keys.look(JOB, LOOK): f"looks/{LOOK}.json",
        keys.source(JOB, 7): "source/000007.bin",
        keys.segment(JOB, 7): "source/000007.json",
        keys.audio(JOB, 7): "audio/000007.bin",
        keys.extras(JOB): "extras.json",
        keys.sealed(JOB): "sealed.json",
        keys.faces(JOB, 7): "faces/000007.json",
        keys.faces_failed(JOB, 7): "faces/000007.failed.json",
        keys.tracks(JOB): "tracks.json",
        keys.painted(JOB, LOOK, 7): f"painted/{LOOK}/000007.json",
        keys.painted_failed(JOB, LOOK, 7): f"painted/{LOOK}/000007.failed.json",
        keys.painted_data(JOB, LOOK, "000007-abc.mp4"): f"painted/{LOOK}/000007-abc.mp4",
        keys.claim(JOB, "detect", 7): "claims/detect-000007.json",
        keys.claim(JOB, "paint", 7, LOOK): f"claims/paint-{LOOK}-000007.json",
    }
    for key, name in expected.items():
        assert key == base + name
    assert keys.sticker("ab" * 32) == "stickers/" + "ab" * 32
    assert keys.worker("w-1") == "workers/w-1.json"
    assert keys.deleted(JOB) == f"deleted/{JOB}"


def test_a_listing_is_sorted_by_the_meaning_of_its_keys() -> None:
    listed = [
        keys.job(JOB),
        *(key(JOB, n) for n in (0, 1, 2) for key in (keys.source, keys.audio, keys.segment)),
        keys.source(JOB, 3),  # its record is not there, so it is no segment
        keys.faces(JOB, 0),
        keys.faces_failed(JOB, 0),  # a result beats the mark
        keys.faces_failed(JOB, 1),
        keys.look(JOB, LOOK),
        keys.look(JOB, OTHER),
        keys.painted_data(JOB, LOOK, "000000-0123456789ab.mp4"),
        keys.painted(JOB, LOOK, 0),
        keys.painted_failed(JOB, LOOK, 0),
        keys.painted_failed(JOB, LOOK, 2),
        keys.painted_data(JOB, LOOK, "000001-0123456789ab.mp4"),
        keys.claim(JOB, "paint", 1, LOOK),
        keys.sealed(JOB),
    ]
    found = JobKeys.read(listed)
    assert found == JobKeys.read(reversed([key.removeprefix(keys.prefix(JOB)) for key in listed]))
    assert (found.sealed, found.looks) == (True, (LOOK, OTHER))
    assert (found.stored, found.detected, found.detect_failed) == ({0, 1, 2}, {0}, {1})
    assert found.painted == {LOOK: {0}, OTHER: set()}
    assert found.paint_failed == {LOOK: {2}, OTHER: set()}
    assert JobKeys.read([]) == JobKeys()


OUTCOMES = ("nothing", "painted", "failed", "both")


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("idle_s", [0.0, ABANDONED_AFTER_S, ABANDONED_AFTER_S + 1])
@pytest.mark.parametrize("looks", [(), (LOOK,), (LOOK, OTHER)])
def test_the_state_follows_from_the_keys_alone(
    sealed: bool, idle_s: float, looks: tuple[str, ...]
) -> None:
    """Two segments; each may be painted, failed, both or neither, in each look: every
    combination."""
    for outcomes in itertools.product(OUTCOMES, repeat=2 * len(looks)):
        outcome = dict(zip(itertools.product(looks, (0, 1)), outcomes, strict=True))
        listed = [keys.job(JOB), keys.segment(JOB, 0), keys.segment(JOB, 1)]
        listed += [keys.look(JOB, look) for look in looks] + [keys.sealed(JOB)] * sealed
        listed += [
            keys.painted(JOB, *at) for at, what in outcome.items() if what in {"painted", "both"}
        ]
        listed += [
            keys.painted_failed(JOB, *at)
            for at, what in outcome.items()
            if what in {"failed", "both"}
        ]
        found = JobKeys.read(listed)
        for look in (None, *looks):
            mine = {what for (name, _), what in outcome.items() if look in {None, name}}
            if not sealed:
                expected = "abandoned" if idle_s > 600 else "uploading"
            elif "nothing" in mine:
                expected = "working"
            else:
                expected = "incomplete" if "failed" in mine else "complete"
            assert found.state(idle_s, look) == expected, (outcome, look)
