"""`save` joins painted segments and the source's audio into one file with the source's times."""

import hashlib
import io
import itertools
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from av.container import InputContainer

from facepaint.client import Client
from facepaint.errors import InputError, JobError, UnknownJob, UsageError
from facepaint.media.mp4 import walk
from facepaint.queue import Queue
from facepaint.records import keys
from facepaint.records.colour import SDR, Colour
from facepaint.records.job import AudioStream, Chapter, Extras, OutputProfile, Subtitles
from facepaint.records.results import Failed, Painted
from facepaint.records.segment import AudioPacket
from facepaint.retry import RetryPolicy
from facepaint.settings import Settings
from facepaint.store import Store
from tasks.video.encode import EncodeSpec, SegmentEncoder
from tests.support.helpers import eventually
from tests.support.made_job import (
    MadeAudio,
    MadeJob,
    make_audio,
    paint_image,
    plain_job,
    stored_image_job,
    uneven_job,
)
from tests.support.media_compare import read_audio
from tests.support.paths import ROOT
from viewer.follow import FollowOptions
from viewer.save.images import safe_names, save_images
from viewer.save.video import Progress, SaveOptions, SaveReport, save_video
from viewer.verify.verify import verify_saved

QUICK = FollowOptions(retry=RetryPolicy(0.05, 0.1), abandoned_s=1.0)


def save_job(
    made: MadeJob, out: Path, on_progress: Progress | None = None, **options: bool
) -> SaveReport:
    chosen = SaveOptions(**options, following=QUICK)
    return save_video(made.store, made.id, made.look.id, out, chosen, on_progress)


def video_times(path: Path) -> list[Fraction]:
    """Times of the frames as an ordinary player decodes them."""
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def wanted_times(made: MadeJob) -> list[Fraction]:
    return [pts * made.time_base for pts in made.times]


def packet_bytes(made: MadeAudio) -> list[bytes]:
    return [data for _, data in made.packets]


def audio_packets(path: Path, track: int = 0) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        stream = container.streams.audio[track]
        return [
            (p.pts * p.time_base, bytes(p))
            for p in container.demux(stream)
            if p.size and p.pts is not None
        ]


def audio_starts(path: Path) -> list[tuple[int, Fraction]]:
    """Of each audio track: where it starts by the container, and when its first decoded samples
    are."""
    starts = []
    with av.open(str(path)) as container:
        for number, stream in enumerate(container.streams.audio):
            container.seek(0)
            frame = next(container.decode(audio=number))
            starts.append((stream.start_time, frame.pts * frame.time_base))
    return starts


def top_boxes(path: Path) -> list[bytes]:
    return [box.kind for box in walk(path.read_bytes())]


def test_times_and_audio_are_those_of_the_source(store: Store, tmp_path: Path) -> None:
    """The job starts at 1.5 s on the source's clock; its audio a little earlier."""
    tone = make_audio("aac", start_s=Fraction(-1, 10))
    made = plain_job(store, audio=[tone]).complete()
    report = save_job(made, tmp_path / "out.mp4")
    assert report.check.passed, report.check.differences
    assert (report.segments, report.frames, report.gaps, report.blank) == (4, 200, (), 0)
    assert video_times(report.path) == wanted_times(made)
    saved = audio_packets(report.path)
    assert [data for _, data in saved] == packet_bytes(tone)
    assert [time for time, _ in saved] == [
        packet.pts * tone.stream.time_base for packet, _ in tone.packets
    ]
    assert top_boxes(report.path)[:2] == [b"ftyp", b"moov"], (
        "the file can be played while it is downloaded"
    )
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.mp4"]


def clip_job(store: Store, clip: Path) -> MadeJob:
    """A job with the frame times, time base and audio of a real clip; its frames are synthetic."""
    with av.open(str(clip)) as container:
        tick = container.streams.video[0].time_base
        assert tick is not None
        times = sorted(
            int(frame.pts) for frame in container.decode(video=0) if frame.pts is not None
        )
    tracks = []
    with av.open(str(clip)) as container:
        for number, stream in enumerate(container.streams.audio):
            with av.open(str(clip)) as again:
                tracks.append(_audio_of(again, number))
            assert stream.time_base == tracks[-1].stream.time_base
    cuts, end = [times[0]], times[-1] + (times[-1] - times[-2])
    cuts += [
        pts
        for before, pts in itertools.pairwise(times)
        if (pts - times[0]) * tick // 2 > (before - times[0]) * tick // 2
    ]
    return MadeJob(store, tuple(times), (*cuts, end), tick, tuple(tracks), name=clip.name)


def _audio_of(container: InputContainer, number: int) -> MadeAudio:
    stream = container.streams.audio[number]
    buffer, packets, skip = io.BytesIO(), [], 0
    with av.open(buffer, "w", format="nut") as codec_params:
        out = codec_params.add_stream_from_template(stream)
        for packet in container.demux(stream):
            if packet.size:
                row = AudioPacket(0, packet.size, packet.pts, packet.dts, packet.duration or 0)
                packets.append((row, bytes(packet)))
                if len(packets) == 1:
                    side = packet.get_sidedata("skip_samples")
                    skip = int.from_bytes(bytes(side)[:4], "little")
                    packet.stream = out
                    codec_params.mux(packet)
    context = stream.codec_context
    assert stream.time_base is not None
    language = stream.metadata.get("language", "")
    codec_params = buffer.getvalue()
    track = AudioStream(
        context.name,
        stream.time_base,
        context.sample_rate,
        context.channels,
        codec_params,
        language,
        skip_samples=skip,
    )
    return MadeAudio(track, tuple(packets))


@pytest.mark.clips
@pytest.mark.parametrize(
    "name",
    [
        "hall.mp4",
        "single-face-mp3.mp4",
        "appears-hevc-vfr.mov",
        "tall-no-audio.mp4",
        "phone-rotate90.mp4",
        "no-face.mp4",
    ],
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_times_and_audio_of_real_clips(
    name: str, suffix: str, store: Store, clips: Path, tmp_path: Path
) -> None:
    """Start offsets, encoder delay at negative times, variable frame rate, MP3, no audio."""
    made = clip_job(store, clips / name).complete()
    report = save_job(made, tmp_path / f"out{suffix}")
    assert report.check.passed, report.check.differences
    found, wanted = video_times(report.path), wanted_times(made)
    if suffix == ".mp4":
        assert found == wanted
    else:
        assert len(found) == len(wanted)
        assert all(abs(f - w) <= Fraction(1, 1000) for f, w in zip(found, wanted, strict=True))
        assert "times are rounded to 1 ms, the resolution of Matroska" in report.notes
    before, after = read_audio(clips / name), read_audio(report.path)
    assert [[digest for _, digest in track] for track in after] == [
        [digest for _, digest in track] for track in before
    ]
    tolerance = Fraction(1, 40_000) if suffix == ".mp4" else Fraction(2, 1000)
    for there, here in zip(before, after, strict=True):
        assert all(abs(t - h) <= tolerance for (t, _), (h, _) in zip(there, here, strict=True))
    if suffix == ".mp4":
        assert audio_starts(report.path) == audio_starts(clips / name)


def test_uneven_times_are_kept(store: Store, tmp_path: Path) -> None:
    """A time base of 1/1000, frames of many lengths, one of 9 s."""
    made = uneven_job(store).complete()
    report = save_job(made, tmp_path / "out.mp4")
    assert report.check.passed, report.check.differences
    assert video_times(report.path) == wanted_times(made)
    with av.open(str(report.path)) as container:
        durations = [packet.duration for packet in container.demux(video=0) if packet.size]
    ends = [*made.times[1:], made.cuts[-1]]
    assert durations == [end - start for start, end in zip(made.times, ends, strict=True)]


def test_a_time_base_with_a_numerator(store: Store, tmp_path: Path) -> None:
    """1001/30000, as AVI and some Matroska files have it: MP4 counts thirty-thousandths."""
    made = MadeJob(store, tuple(range(7, 97)), (7, 67, 97), Fraction(1001, 30_000)).complete()
    report = save_job(made, tmp_path / "out.mp4")
    assert report.check.passed, report.check.differences
    assert video_times(report.path) == wanted_times(made)


def test_a_negative_start_shifts_everything_equally(store: Store, tmp_path: Path) -> None:
    tone = make_audio("aac", start_s=Fraction(-2))
    made = MadeJob(
        store, tuple(range(-50, 350, 4)), (-50, 150, 350), Fraction(1, 100), (tone,)
    ).complete()
    report = save_job(made, tmp_path / "out.mp4")
    assert report.check.passed, report.check.differences
    assert (
        "everything starts 0.500 s later: the source starts before 0, which no file can"
        in report.notes
    )
    half = Fraction(1, 2)
    assert video_times(report.path) == [time + half for time in wanted_times(made)]
    assert [time for time, _ in audio_packets(report.path)] == [
        packet.pts * tone.stream.time_base + half
        for packet, _ in tone.packets
        if packet.pts is not None
    ]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_every_track_is_copied_with_its_language(suffix: str, store: Store, tmp_path: Path) -> None:
    """Audio that is longer than the video, and audio that starts late and ends early."""
    longer = make_audio("aac", seconds=7.0)
    shorter = make_audio("libmp3lame", seconds=2.0, start_s=Fraction(3, 2))
    shorter = replace(shorter, stream=replace(shorter.stream, language="deu", title="Kommentar"))
    made = plain_job(store, seconds=5, audio=[longer, shorter]).complete()
    report = save_job(made, tmp_path / f"out{suffix}")
    assert report.check.passed, report.check.differences
    with av.open(str(report.path)) as container:
        assert [stream.metadata.get("language") for stream in container.streams.audio] == [
            "eng",
            "deu",
        ]
    for number, track in enumerate((longer, shorter)):
        saved = audio_packets(report.path, number)
        assert [data for _, data in saved] == packet_bytes(track)
        times = [
            packet.pts * track.stream.time_base
            for packet, _ in track.packets
            if packet.pts is not None
        ]
        assert all(
            abs(time - there) <= Fraction(1, 500)
            for (time, _), there in zip(saved, times, strict=True)
        )


@pytest.mark.parametrize(
    ("codec", "suffix"), [("libopus", ".mp4"), ("flac", ".mp4"), ("pcm_s16le", ".mkv")]
)
def test_without_a_suffix_the_audio_chooses_the_container(
    codec: str, suffix: str, store: Store, tmp_path: Path
) -> None:
    tone = make_audio(codec, seconds=4)
    made = plain_job(store, seconds=4, audio=[tone]).complete()
    report = save_job(made, tmp_path / "out")
    assert report.path == tmp_path / f"out{suffix}"
    assert report.check.passed, report.check.differences
    assert [data for _, data in audio_packets(report.path)] == packet_bytes(tone)
    is_noted = "saved as out.mkv: MP4 cannot hold pcm_s16le audio" in report.notes
    assert is_noted == (suffix == ".mkv")


def test_audio_that_mp4_cannot_hold_changes_the_container(store: Store, tmp_path: Path) -> None:
    tone = make_audio("pcm_mulaw", seconds=2)
    made = plain_job(store, seconds=2, audio=[tone]).complete()
    report = save_job(made, tmp_path / "out.mp4")
    assert report.path == tmp_path / "out.mov", "nor does PyAV let Matroska hold it"
    assert report.check.passed, report.check.differences
    assert "saved as out.mov: MP4 cannot hold pcm_mulaw audio" in report.notes
    assert b"".join(data for _, data in audio_packets(report.path)) == b"".join(packet_bytes(tone))


def test_adts_headers_are_removed_from_aac(store: Store, tmp_path: Path) -> None:
    """AAC as a transport stream carries it: MP4 removes the headers, which the report notes."""
    tone = adts_audio(tmp_path)
    made = plain_job(store, seconds=4, audio=[tone]).complete()
    report = save_job(made, tmp_path / "out.mp4")
    assert report.check.passed, report.check.differences
    assert [data for _, data in audio_packets(report.path)] == [
        data[7:] for data in packet_bytes(tone)
    ]
    assert any("ADTS" in note for note in report.notes)
    made.store.put(keys.audio(made.id, 0), b"?" * len(made.store.get(keys.audio(made.id, 0))))
    check = verify_saved(made.store, made.job, made.look.id, report.path)
    (difference,) = check.differences
    assert re.match(r"audio: track 1: \d+ packets changed: ", difference), (
        "the rest of each packet is compared"
    )


def adts_audio(folder: Path) -> MadeAudio:
    """`make_audio` through an .aac file, which gives every packet a header of 7 bytes and knows no
    extradata."""
    path, plain = folder / "tone.aac", make_audio("aac", seconds=4)
    with (
        av.open(io.BytesIO(plain.stream.codec_params), "r", format="nut") as codec_params,
        av.open(str(path), "w") as out,
    ):
        stream = out.add_stream_from_template(codec_params.streams[0])
        for row, data in plain.packets:
            packet = av.Packet(data)
            packet.pts, packet.dts, packet.time_base, packet.stream = (
                row.pts,
                row.dts,
                plain.stream.time_base,
                stream,
            )
            out.mux(packet)
    with av.open(str(path)) as container:
        bodies = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
    with av.open(str(path)) as container:
        whole = _audio_of(container, 0)
    rows = tuple(
        (replace(row, size=len(body)), body)
        for (row, _), body in zip(plain.packets, bodies, strict=True)
    )
    return MadeAudio(replace(whole.stream, time_base=plain.stream.time_base), rows)


EXTRAS_TAGS = {
    "title": "Holiday",
    "location": "+52.5200+013.4050/",
    "comment": "at home",
    "major_brand": "qt  ",
}


SUBTITLES = {
    "subrip": (b"<i>Hello</i>", "Grüße".encode()),
    "ass": (b"0,0,Default,,0,0,0,,{\\i1}Hello{\\i0}", "1,0,Default,,0,0,0,,Grüße".encode()),
    "mov_text": (b"\0\x05Hello", b"\0\x07" + "Grüße".encode()),
}


def subtitles(codec: str) -> Subtitles:
    """One track with two lines; only styled text needs codec parameters, its style sheet."""
    buffer = io.BytesIO()
    if codec == "ass":
        with av.open(buffer, "w", format="nut") as container:
            stream: Any = container.add_stream("ass")
            stream.codec_context.subtitle_header = b"[Script Info]\r\nScriptType: v4.00+\r\n"
            packet = av.Packet(SUBTITLES[codec][0])
            packet.stream, packet.pts, packet.dts, packet.duration = stream, 0, 0, 1
            packet.time_base = Fraction(1, 1000)
            container.mux(packet)
    first, second = SUBTITLES[codec]
    rows = ((1700, 800, first), (2600, 900, second))
    return Subtitles(codec, Fraction(1, 1000), buffer.getvalue(), rows, "deu")


def saved_with_extras(store: Store, out: Path, look: str, codec: str = "subrip") -> SaveReport:
    made = plain_job(store, seconds=4, audio=[make_audio(seconds=4)], filters=(look,))
    chapters = (
        Chapter(Fraction(0), Fraction(5, 2), "Arrival"),
        Chapter(Fraction(5, 2), Fraction(11, 2), "Beach"),
    )
    made.begin()
    store.put_record(keys.extras(made.id), Extras(EXTRAS_TAGS, chapters, (subtitles(codec),)))
    return save_job(made.complete(), out)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("codec", SUBTITLES)
def test_tags_chapters_and_subtitles_are_copied(
    codec: str, suffix: str, store: Store, tmp_path: Path
) -> None:
    report = saved_with_extras(store, tmp_path / f"out{suffix}", "sunglasses", codec)
    assert report.check.passed, report.check.differences
    assert report.frames == 100
    with av.open(str(report.path)) as container:
        tags = {name.lower(): text for name, text in container.metadata.items()}
        assert (tags["title"], tags["comment"]) == ("Holiday", "at home")
        assert tags.get("major_brand") != "qt  "
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == [
            "Arrival",
            "Beach",
        ]
        (track,) = container.streams.subtitles
        assert track.metadata["language"] in {"deu", "ger"}
        lines = [
            (p.pts * p.time_base, p.duration * p.time_base, bytes(p))
            for p in container.demux(track)
            if p.size > 2
        ]
    assert [row[:2] for row in lines] == [
        (Fraction(17, 10), Fraction(8, 10)),
        (Fraction(26, 10), Fraction(9, 10)),
    ]
    if suffix == ".mp4":
        assert [text for _, _, text in lines] == list(SUBTITLES["mov_text"])
    else:
        kept = {
            "subrip": SUBTITLES["subrip"],
            "ass": SUBTITLES["ass"],
            "mov_text": (b"Hello", "Grüße".encode()),
        }
        assert [text.split(b",", 1)[-1] for _, _, text in lines] == [
            text.split(b",", 1)[-1] for text in kept[codec]
        ]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_redacting_look_removes_the_tags(suffix: str, store: Store, tmp_path: Path) -> None:
    report = saved_with_extras(store, tmp_path / f"out{suffix}", "blur")
    data = report.path.read_bytes()
    for text in (b"Holiday", b"52.5200", b"at home", b"Main"):
        assert text not in data
    with av.open(str(report.path)) as container:
        assert container.streams.audio[0].metadata["language"] == "eng"
        assert len(container.chapters()) == 2
        assert len(container.streams.subtitles) == 1


def test_pixel_aspect_and_colours_are_in_the_container(store: Store, tmp_path: Path) -> None:
    """Pixels twice as wide as high, BT.709, limited range."""
    made = plain_job(store, seconds=4).complete()
    colour = SDR
    spec = EncodeSpec(
        made.size, "yuv420p", made.time_base, Fraction(25), Fraction(2), colour, OutputProfile()
    )
    for index in range(2):
        repaint(made, index, spec)
    report = save_job(made, tmp_path / "out.mp4")
    with av.open(str(report.path)) as container:
        stream = container.streams.video[0]
        assert stream.sample_aspect_ratio == 2
        context = stream.codec_context
        assert (
            context.color_primaries,
            context.color_trc,
            context.colorspace,
            context.color_range,
        ) == (1, 1, 1, 1)
    data = report.path.read_bytes()
    assert b"pasp" in data
    assert b"colr" in data


def repaint(made: MadeJob, index: int, spec: EncodeSpec) -> None:
    """Paint a segment again with another encoding, as another worker would."""
    with SegmentEncoder(spec, made.times[0], made.cuts[index + 1]) as encoder:
        for pts in made.times_of(index):
            frame = av.VideoFrame(*spec.size, spec.pixel_format)
            for plane in frame.planes:
                plane.update(bytes([128]) * plane.buffer_size)
            frame.pts = pts
            encoder.write(frame)
        encoded = encoder.finish()
    sha256 = hashlib.sha256(encoded.data).hexdigest()
    old = made.store.get_record(keys.painted(made.id, made.look.id, index), Painted)
    record = replace(
        old,
        name=f"{index:06d}-{sha256[:12]}.mp4",
        bytes=len(encoded.data),
        sha256=sha256,
        init_bytes=encoded.init_bytes,
    )
    made.store.put(keys.painted_data(made.id, made.look.id, record.name), encoded.data)
    made.store.put_record(keys.painted(made.id, made.look.id, index), record)
    made.store.delete(keys.painted_data(made.id, made.look.id, old.name))


def test_segments_of_two_encodings_are_not_joined(store: Store, tmp_path: Path) -> None:
    made = plain_job(store, seconds=4).complete()
    spec = EncodeSpec(
        (352, 180), "yuv420p", made.time_base, Fraction(25), Fraction(1), Colour(), OutputProfile()
    )
    repaint(made, 1, spec)
    with pytest.raises(JobError, match=r"^segment 1 of job \S+ was encoded differently"):
        save_job(made, tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == []


def gappy_job(store: Store) -> MadeJob:
    made = plain_job(store, audio=[make_audio()]).begin()
    made.upload(range(4))
    made.seal()
    made.detect(range(4))
    made.paint([1, 3])
    made.fail_painting(0)
    made.fail_painting(2)
    return made


def test_missing_segments_are_named_and_refused(store: Store, tmp_path: Path) -> None:
    made = gappy_job(store)
    with pytest.raises(JobError, match=r"^segments 0, 2 could not be painted: `facepaint resume "):
        save_job(made, tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == []


def test_gaps_do_not_shift_the_other_segments(store: Store, tmp_path: Path) -> None:
    made = gappy_job(store)
    report = save_job(made, tmp_path / "out.mp4", allow_gaps=True)
    assert report.check.passed, report.check.differences
    assert [gap.index for gap in report.gaps] == [0, 2]
    assert video_times(report.path) == [
        pts * made.time_base
        for n in (1, 3)
        for pts in made.times
        if made.cuts[n] <= pts < made.cuts[n + 1]
    ]
    assert [data for _, data in audio_packets(report.path)] == packet_bytes(made.audio[0])


@pytest.mark.slow
def test_saving_follows_a_job_that_is_still_being_painted(store: Store, tmp_path: Path) -> None:
    made = plain_job(store, audio=[make_audio()]).begin()
    made.upload([0])
    seen: list[tuple[int, int]] = []
    result: list[SaveReport] = []
    thread = threading.Thread(
        target=lambda: result.append(
            save_job(made, tmp_path / "out.mp4", on_progress=lambda *row: seen.append(row))
        )
    )
    thread.start()
    made.upload(range(1, 4))
    made.seal()
    made.detect(range(4))
    made.paint([1, 0])
    eventually(lambda: seen[-1:] == [(2, 4)], timeout_s=30)
    assert not (tmp_path / "out.mp4").exists(), "the file appears once it is complete"
    made.paint([2, 3])
    thread.join(30)
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert result[0].check.passed
    assert video_times(tmp_path / "out.mp4") == wanted_times(made)


def test_a_target_that_cannot_be_written_is_an_error(store: Store, tmp_path: Path) -> None:
    made = plain_job(store, seconds=2).complete()
    existing = tmp_path / "existing.mp4"
    existing.write_bytes(b"precious")
    for out, message in (
        (tmp_path / "no" / "out.mp4", "there is no folder"),
        (tmp_path / "out.avi", r"must end in \.mp4, \.m4v, \.mkv, \.mov"),
        (existing, "already exists"),
    ):
        with pytest.raises(UsageError, match=message):
            save_job(made, out)
    assert existing.read_bytes() == b"precious"
    save_job(made, existing, overwrite=True)
    assert len(video_times(existing)) == 50
    with pytest.raises(InputError, match="has no look 000000000000"):
        save_video(store, made.id, "0" * 12, tmp_path / "out.mp4", SaveOptions(following=QUICK))
    with pytest.raises(UnknownJob, match="facepaint jobs"):
        save_video(store, "20260101T000000-aaaaaaaa", made.look.id, tmp_path / "out.mp4")


def test_a_full_disk_leaves_no_half_file(settings: Settings, store: Store, tmp_path: Path) -> None:
    """A limit on the size of files acts as the full disk."""
    made = plain_job(store, audio=[make_audio()]).complete()
    script = (
        "import resource, sys; from pathlib import Path\n"
        "from facepaint.settings import Settings; from facepaint.store import Store; from "
        "viewer.save.video import save_video\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "save_video(Store(Settings.load()), sys.argv[1], sys.argv[2], Path(sys.argv[3]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, made.id, made.look.id, str(tmp_path / "out.mp4")],
        env={**os.environ, **settings.environment(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "UsageError: " in done.stderr, done.stderr
    assert "out.mp4 cannot be written: File too large" in done.stderr
    assert not list(tmp_path.glob("*out.mp4*"))


@pytest.mark.parametrize(
    ("damage", "difference"),
    [
        ("shift", "times: 100 frames at another time: 1.500 s (+0.006250 s)"),
        ("drop", "frames of the source missing: "),
        ("audio", "packets changed: "),
    ],
)
def test_the_check_finds_each_difference(
    damage: str, difference: str, store: Store, tmp_path: Path
) -> None:
    made = plain_job(store, seconds=4, audio=[make_audio(seconds=4)]).complete()
    good = save_job(made, tmp_path / "good.mp4").path
    bad = tmp_path / "bad.mp4"
    scales = {"video_track_timescale": "12800", "movie_timescale": "1920000"}
    with av.open(str(good)) as source, av.open(str(bad), "w", options=scales) as out:
        streams = {stream.index: out.add_stream_from_template(stream) for stream in source.streams}
        for number, packet in enumerate(source.demux()):
            if not packet.size or (
                damage == "drop" and packet.stream.type == "video" and number > 250
            ):
                continue
            if damage == "shift" and packet.stream.type == "video":
                packet.pts, packet.dts = packet.pts + 300, packet.dts + 300
            if damage == "audio" and packet.stream.type == "audio" and number > 100:
                packet.update(bytes(packet)[:-1] + b"!")
            packet.stream = streams[packet.stream_index]
            out.mux(packet)
    check = verify_saved(store, made.job, made.look.id, bad)
    assert not check.passed
    (found,) = check.differences
    assert difference in found
    bad.write_bytes(b"no video")
    (unreadable,) = verify_saved(store, made.job, made.look.id, bad).differences
    assert unreadable.startswith("file: it cannot be read back")


def test_images_are_saved_under_their_names(store: Store, tmp_path: Path) -> None:
    job, look = stored_image_job(store, ["a.jpg", "../../b.jpg", "a.jpg"])
    for index in range(3):
        paint_image(store, job, look, index)
    folder = tmp_path / "new" / "folder"
    written = save_images(store, job.id, look.id, folder, SaveOptions(following=QUICK))
    assert written == [folder / "a.jpg", folder / "b.jpg", folder / "a-2.jpg"]
    assert all(path.read_bytes()[:2] == b"\xff\xd8" for path in written)
    assert sorted(path.name for path in folder.iterdir()) == ["a-2.jpg", "a.jpg", "b.jpg"]
    written[0].write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"already has a\.jpg"):
        save_images(store, job.id, look.id, folder, SaveOptions(following=QUICK))
    assert written[0].read_bytes() == b"mine"
    save_images(store, job.id, look.id, folder, SaveOptions(overwrite=True, following=QUICK))
    assert written[0].read_bytes() != b"mine"


def test_an_image_that_failed_is_named_and_the_others_are_saved(
    store: Store, tmp_path: Path
) -> None:
    job, look = stored_image_job(store, ["a.jpg", "b.jpg"])
    paint_image(store, job, look, 1)
    store.put_record(keys.painted_failed(job.id, look.id, 0), Failed(0, "no image", 3))
    with pytest.raises(JobError, match=r"^painting failed: a\.jpg \(no image\)"):
        save_images(store, job.id, look.id, tmp_path, SaveOptions(following=QUICK))
    assert [path.name for path in tmp_path.iterdir()] == ["b.jpg"]


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("/etc/passwd", "passwd"),
        ("C:\\photos\\me.png", "me.png"),
        ("..", "image-1"),
        ("", "image-1"),
        (".bashrc", "bashrc"),
        ("a\0b\nc.jpg", "abc.jpg"),
        ("Größe 日本.webp", "Größe 日本.webp"),
        ("x" * 300 + ".jpg", "x" * 196 + ".jpg"),
    ],
)
def test_unsafe_image_names_are_changed(given: str, name: str, store: Store) -> None:
    job, _ = stored_image_job(store, ["a.jpg"])
    assert safe_names(replace(job, images=(given,))) == [name]


def impatient_client(settings: Settings) -> Client:
    """Queues again what is missing after two seconds, four minutes by default."""
    return Client(settings.model_copy(update={"visibility_timeout_s": 1}))


def test_a_stalled_segment_is_requeued_after_the_visibility_timeout(
    settings: Settings, store: Store, queue: Queue, tmp_path: Path
) -> None:
    made = plain_job(store).begin()
    made.upload(range(made.segments))
    made.seal()
    with ThreadPoolExecutor(1) as pool:
        saving = pool.submit(impatient_client(settings).save, made.id, tmp_path / "out.mp4")
        try:
            eventually(lambda: queue.length() > 0, timeout_s=30)
        finally:
            made.paint(range(made.segments))
        assert saving.result(60).segments == made.segments


def test_a_stalled_image_is_requeued_after_the_visibility_timeout(
    settings: Settings, store: Store, queue: Queue, tmp_path: Path
) -> None:
    job, look = stored_image_job(store, ["a.jpg"])
    with ThreadPoolExecutor(1) as pool:
        saving = pool.submit(impatient_client(settings).save_images, job.id, tmp_path)
        try:
            eventually(lambda: queue.length() > 0, timeout_s=30)
        finally:
            paint_image(store, job, look, 0)
        assert saving.result(60) == [tmp_path / "a.jpg"]
