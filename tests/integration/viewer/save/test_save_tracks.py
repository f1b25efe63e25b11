"""`save` and the tracks: late starts, titles, dispositions, containers, notes."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.stream import Disposition

from facepaint.cli.batch import Batch, Item, Saving, save_item
from facepaint.cli.progress import Display
from facepaint.client import Client
from facepaint.errors import JobError
from facepaint.media.open import track_title
from facepaint.records import keys
from facepaint.records.job import Chapter, Extras, Subtitles
from facepaint.records.results import Painted
from facepaint.retry import RetryPolicy
from facepaint.settings import Settings
from facepaint.store import Store
from tests.support.clips.write import AudioTrack as Tone
from tests.support.clips.write import Video, portrait, write_clip
from tests.support.made_job import MadeAudio, MadeJob, make_audio, plain_job
from viewer.follow import FollowOptions
from viewer.save.mux import LATE_S
from viewer.save.video import SaveOptions, SaveReport, save_video
from viewer.verify.description import language_of

TICK = Fraction(1, 12_800)
PRIMING = Fraction(1024, 48_000)


def save_job(made: MadeJob, out: Path, *, allow_gaps: bool = False) -> SaveReport:
    following = FollowOptions(retry=RetryPolicy(0.05, 0.1))
    return save_video(
        made.store, made.id, made.look.id, out, SaveOptions(allow_gaps, following=following)
    )


def late_job(store: Store, start_s: int) -> MadeJob:
    """2 s whose clock shows ``start_s`` at the first frame; audio starts 0.1 s and 1,024 samples
    before it."""
    first = round(start_s / TICK)
    tone = make_audio("aac", seconds=2, start_s=Fraction(-1, 10), shift=first)
    times = tuple(range(first, first + 2 * 12_800, 512))
    made = MadeJob(store, times, (first, first + 12_800, first + 2 * 12_800), TICK, (tone,)).begin()
    chapters = (
        Chapter(Fraction(0), Fraction(start_s + 1), "News"),
        Chapter(Fraction(start_s + 1), times[-1] * TICK, "Sport"),
    )
    rows = ((1000 * start_s - 2000, 1000, b"before"), (1000 * start_s + 500, 700, b"Good evening"))
    texts = Subtitles("subrip", Fraction(1, 1000), b"", rows, "eng")
    store.put_record(keys.extras(made.id), Extras({}, chapters, (texts,)))
    return made.complete()


def starts(path: Path) -> dict[str, Fraction]:
    """When the first packet of each kind of track comes."""
    found: dict[str, Fraction] = {}
    with av.open(str(path)) as container:
        for packet in container.demux(
            container.streams.video[0], container.streams.audio[0], container.streams.subtitles[0]
        ):
            if packet.size > 2 and packet.pts is not None:
                found.setdefault(packet.stream.type, packet.pts * packet.time_base)
    return found


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_start_of_hours_is_moved_to_0(suffix: str, store: Store, tmp_path: Path) -> None:
    report = save_job(late_job(store, 7200), tmp_path / f"out{suffix}")
    assert report.check.passed, report.check.differences
    assert (
        "everything starts 7199.879 s earlier: the source's clock starts long after 0"
        in report.notes
    )
    found = starts(report.path)
    assert 0 <= found["audio"] <= 2 * TICK
    assert abs(found["video"] - Fraction(1, 10) - PRIMING) <= (
        Fraction(1, 1000) if suffix == ".mkv" else 2 * TICK
    )
    assert abs(found["subtitle"] - Fraction(6, 10) - PRIMING) <= Fraction(1, 1000), (
        "what ended before the start is left out"
    )
    with av.open(str(report.path)) as container:
        chapters = [
            (c["start"] * c["time_base"], c["end"] * c["time_base"])
            for c in container.chapters()
            if c["time_base"]
        ]
    assert chapters[0][0] == 0
    assert abs(chapters[0][1] - Fraction(11, 10) - PRIMING) <= Fraction(1, 1000)


def test_a_start_of_seconds_is_kept(store: Store, tmp_path: Path) -> None:
    report = save_job(late_job(store, LATE_S), tmp_path / "out.mp4")
    assert report.check.passed, report.check.differences
    assert starts(report.path)["video"] == LATE_S
    assert not any("earlier" in note for note in report.notes)


def labelled_job(store: Store, look: str) -> MadeJob:
    tone = make_audio("aac", seconds=2)
    tracks = [
        MadeAudio(replace(tone.stream, language="fra", title="Original"), tone.packets),
        MadeAudio(
            replace(
                tone.stream, language="eng", title="Remarks", disposition=("default", "comment")
            ),
            tone.packets,
        ),
    ]
    made = plain_job(store, seconds=2, audio=tracks, filters=(look,)).begin()
    rows = ((1700, 800, b"Bonjour"),)
    texts = (
        Subtitles("subrip", Fraction(1, 1000), b"", rows, "eng", "All", ()),
        Subtitles("subrip", Fraction(1, 1000), b"", rows, "fra", "Signs", ("forced",)),
    )
    store.put_record(keys.extras(made.id), Extras(subtitles=texts))
    return made.complete()


def labels(path: Path) -> list[tuple[str, str, Disposition]]:
    """Language, title and disposition of each audio and subtitle track."""
    mask = Disposition.default | Disposition.forced | Disposition.comment
    with av.open(str(path)) as container:
        return [
            (language_of(stream), track_title(stream), stream.disposition & mask)
            for stream in (*container.streams.audio, *container.streams.subtitles)
        ]


def test_titles_and_dispositions_of_tracks_are_copied(store: Store, tmp_path: Path) -> None:
    made = labelled_job(store, "sunglasses")
    mkv = save_job(made, tmp_path / "out.mkv").path
    nothing = Disposition(0)
    assert labels(mkv) == [
        ("fra", "Original", nothing),
        ("eng", "Remarks", Disposition.default | Disposition.comment),
        ("eng", "All", nothing),
        ("fra", "Signs", Disposition.forced),
    ]
    mp4 = labels(save_job(made, tmp_path / "out.mp4").path)
    assert [row[:2] for row in mp4] == [
        ("fra", "Original"),
        ("eng", "Remarks"),
        ("eng", "All"),
        ("fra", "Signs"),
    ]
    assert [bool(row[2] & Disposition.default) for row in mp4[:2]] == [False, True], (
        "players start with that one"
    )


def test_a_redacting_look_keeps_languages_but_no_titles(store: Store, tmp_path: Path) -> None:
    for suffix in (".mp4", ".mkv"):
        found = labels(save_job(labelled_job(store, "blur"), tmp_path / f"out{suffix}").path)
        assert [row[:2] for row in found] == [("fra", ""), ("eng", ""), ("eng", ""), ("fra", "")]


def test_samples_may_be_cut_into_other_packets(store: Store, tmp_path: Path) -> None:
    report = save_job(
        plain_job(store, seconds=2, audio=[make_audio("pcm_s16le", seconds=2)]).complete(),
        tmp_path / "out.mov",
    )
    assert report.path.suffix == ".mov"
    assert report.check.passed, report.check.differences


def test_audio_packets_at_the_same_time_are_a_tick_apart(store: Store, tmp_path: Path) -> None:
    """As damaged transport streams have them; a file wants times that grow."""
    tone = make_audio("aac", seconds=2)
    rows = list(tone.packets)
    rows[40] = (replace(rows[40][0], pts=rows[39][0].pts, dts=rows[39][0].dts), rows[40][1])
    report = save_job(
        plain_job(store, seconds=2, audio=[MadeAudio(tone.stream, tuple(rows))]).complete(),
        tmp_path / "o.mp4",
    )
    assert report.check.passed, report.check.differences


def test_blank_and_missing_segments_are_noted(store: Store, tmp_path: Path) -> None:
    made = plain_job(store).begin()
    made.upload(range(4))
    made.seal()
    made.detect(range(4))
    made.paint([0, 1, 3])
    made.fail_painting(2)
    key = keys.painted(made.id, made.look.id, 1)
    store.put_record(
        key,
        replace(
            store.get_record(key, Painted), blank=True, notes=("1 frame could not be decoded",)
        ),
    )
    report = save_job(made, tmp_path / "out.mp4", allow_gaps=True)
    assert report.notes == (
        "1 frame could not be decoded",
        "1 segment of plain frames: painting failed",
        "1 segment missing: painting failed: 2",
    )


def test_a_failing_check_is_an_error(store: Store, settings: Settings, tmp_path: Path) -> None:
    made = plain_job(store, seconds=4).complete()
    key = keys.painted(made.id, made.look.id, 1)
    store.put_record(key, replace(store.get_record(key, Painted), frames=51))
    with pytest.raises(
        JobError,
        match=r"out\.mp4 is saved but not what was painted: frames: 1 frame of the source missing",
    ) as raised:
        save_item(Client(settings), made.id, tmp_path / "out.mp4", Display(), Saving())
    assert raised.value.exit_code == 5


def test_the_container_is_chosen_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """MP4 players do not expect PCM, so a default name becomes Matroska, which is reported."""
    source = tmp_path / "camera.mov"
    write_clip(source, portrait()[:5], Video(), [Tone("pcm_s16be", seconds=0.3)])
    batch = Batch([Item((source,), images=False)])
    assert batch.targets(None) == [tmp_path / "camera-painted.mkv"]
    assert "saved as camera-painted.mkv" in capsys.readouterr().err
    (tmp_path / "out.mkv").touch()
    assert batch.targets(tmp_path / "other.mkv") == [tmp_path / "other.mkv"]
    assert capsys.readouterr().err == ""
