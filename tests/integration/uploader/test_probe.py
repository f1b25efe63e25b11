"""The probe of a video, and the files that are refused before anything is stored."""

import io
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.stream import Disposition
from PIL import Image

from benchmarks.clips import make_portrait_clip
from facepaint.errors import UnreadableMedia
from facepaint.media.codec_params import open_codec_params
from facepaint.records.colour import Colour
from tests.support.clips.changing_aac import adts_packets, write_changing
from tests.support.clips.ordinary import audio_packets
from tests.support.clips.write import AudioTrack, portrait, write_clip
from tests.support.cut_clip import cut_clip
from uploader.probe import probe

Pixels = npt.NDArray[np.uint8]

SMALL: dict[str, Any] = {"seconds": 1, "size": (160, 96)}


def quarters() -> Pixels:
    """96x64 px whose quarters differ, so that every way to turn and flip it looks different."""
    image = np.zeros((64, 96, 3), np.uint8)
    image[:32, :48], image[:32, 48:], image[32:, :48] = (
        (255, 255, 255),
        (255, 0, 0),
        (0, 0, 255),
    )
    return image


def write(
    path: Path, image: Pixels, codec: str = "mpeg4", frames: int = 5, **attributes: Any
) -> Path:
    """A short clip of one image; the attributes are set on its stream, ``options`` and ``shown``
    are special."""
    options, shown = attributes.pop("options", {}), attributes.pop("shown", None)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = image.shape[:2]
        stream.pix_fmt = attributes.pop("pix_fmt", "yuv420p")
        for name, value in attributes.items():
            setattr(stream.codec_context, name, value)
        if shown:
            stream.set_display_rotation(shown[0], hflip=shown[1])
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_a_video_with_audio_is_described(tmp_path: Path) -> None:
    path = make_portrait_clip(tmp_path / "clip.mp4", **SMALL)
    found = probe(path)
    video, (audio,) = found.video, found.audio
    assert (video.codec, video.codec_tag, video.width, video.height) == ("h264", "avc1", 160, 96)
    assert (video.pixel_format, video.time_base, video.frame_rate) == (
        "yuv420p",
        Fraction(1, 15360),
        30,
    )
    assert (video.rotation, video.mirrored, video.sample_aspect_ratio) == (0, False, 1)
    assert video.extradata.startswith(b"\1"), "as MP4 has it"
    assert (audio.codec, audio.sample_rate, audio.channels) == ("aac", 48_000, 2)
    assert (found.source.name, found.source.bytes) == ("clip.mp4", path.stat().st_size)
    assert found.duration_s == pytest.approx(1, abs=0.1)
    with open_codec_params(audio.codec_params) as codec_params:
        assert codec_params.streams.audio[0].codec_context.extradata


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rotation_and_mirroring_are_those_of_players(
    degrees: int, mirrored: bool, tmp_path: Path
) -> None:
    """The muxer's display matrix turns counter-clockwise, then flips."""
    path = write(
        tmp_path / "turned.mov",
        quarters(),
        options={"qmin": "1", "qmax": "2"},
        shown=(degrees, mirrored),
    )
    with av.open(str(path)) as container:
        decoded = next(container.decode(video=0)).to_ndarray(format="rgb24")
    turned = np.rot90(decoded, degrees // 90)
    shown = turned[:, ::-1] if mirrored else turned
    video = probe(path).video
    upright = np.rot90(decoded[:, ::-1] if video.mirrored else decoded, -video.rotation // 90)
    assert (upright == shown).all()
    assert video.upright_size == shown.shape[1::-1]


def test_colour_and_pixel_aspect_are_described(tmp_path: Path) -> None:
    options = {
        "colorprim": "bt2020",
        "transfer": "smpte2084",
        "colormatrix": "bt2020nc",
        "range": "tv",
    }
    spec = ":".join(f"{name}={value}" for name, value in options.items())
    path = write(
        tmp_path / "hdr.mp4",
        quarters(),
        "libx264",
        options={"x264-params": spec},
        sample_aspect_ratio=Fraction(4, 3),
        pix_fmt="yuv420p10le",
    )
    video = probe(path).video
    assert video.colour == Colour(primaries=9, transfer=16, matrix=9, range=1)
    assert video.sample_aspect_ratio == Fraction(4, 3)
    assert video.pixel_format == "yuv420p10le"


def test_full_range_that_only_the_pixel_format_states(tmp_path: Path) -> None:
    path = write(tmp_path / "webcam.avi", quarters(), "mjpeg", pix_fmt="yuvj420p")
    assert probe(path).video.colour.range == 2


def with_tracks(path: Path, languages: tuple[str, ...], silent: int = 0) -> Path:
    """A Matroska file with audio tracks, the last ``silent`` of which have no packet, a chapter
    and a title."""
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Birthday"
        container.set_chapters(
            [
                {
                    "id": 1,
                    "start": 0,
                    "end": 500,
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": "Cake"},
                }
            ]
        )
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        tracks = [container.add_stream("flac", rate=8000, layout="mono") for _ in languages]
        for track, language in zip(tracks, languages, strict=True):
            track.metadata.update({"language": language, "title": f"In {language}"})
        for number in range(10):
            frame = av.VideoFrame(64, 64, "yuv420p")
            frame.pts = number
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for track in tracks[: len(tracks) - silent]:
            tone = av.AudioFrame(format="s16", layout="mono", samples=800)
            tone.sample_rate, tone.pts = 8000, 0
            container.mux([*track.encode(tone), *track.encode(None)])
    return path


def test_every_audio_track_is_described(tmp_path: Path) -> None:
    found = probe(with_tracks(tmp_path / "tracks.mkv", ("deu", "fra")))
    assert [(track.language, track.title) for track in found.audio] == [
        ("deu", "In deu"),
        ("fra", "In fra"),
    ]
    assert found.audio_indexes == (1, 2)
    assert found.ignored == ()
    assert found.tags["title"] == "Birthday"
    (chapter,) = found.chapters
    assert (chapter.start_s, chapter.end_s, chapter.title) == (0, Fraction(1, 2), "Cake")


def test_a_track_without_a_packet_is_ignored_and_reported(tmp_path: Path) -> None:
    found = probe(with_tracks(tmp_path / "tracks.mkv", ("deu", "fra"), silent=1))
    assert [track.language for track in found.audio] == ["deu"]
    assert found.audio_indexes == (1,)
    assert found.ignored == ("an empty audio track",)


@pytest.mark.parametrize("name", ["late.mp4", "late.mkv"])
def test_audio_that_starts_far_into_the_file(name: str, tmp_path: Path) -> None:
    """An index leads to it; in a format without one the track is ignored and reported."""
    path = tmp_path / name
    write_clip(path, portrait(2), audio=[AudioTrack(seconds=0.5, start_s=1.4)])
    found = probe(path, search_bytes=20_000)
    if path.suffix == ".mkv":
        assert (found.audio, found.ignored) == ((), ("an empty audio track",))
        return
    assert [track.codec for track in found.audio] == ["aac"]
    assert cut_clip(path, 0.5, found).audio() == audio_packets(path)


def test_a_file_is_probed_once_until_it_changes(tmp_path: Path) -> None:
    path = make_portrait_clip(tmp_path / "clip.mp4", **SMALL)
    first = probe(path)
    assert probe(path) is first
    make_portrait_clip(path, **{**SMALL, "size": (96, 64)})
    assert (probe(path).video.width, first.video.width) == (96, 160)


def test_a_cover_image_is_no_video(tmp_path: Path) -> None:
    cover = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(cover, "JPEG")
    path = tmp_path / "song.mkv"
    with av.open(str(path), "w") as container:
        track = container.add_stream("flac", rate=8000, layout="mono")
        container.add_attachment("cover.jpg", "image/jpeg", cover.getvalue())
        tone = av.AudioFrame(format="s16", layout="mono", samples=8000)
        tone.sample_rate, tone.pts = 8000, 0
        container.mux([*track.encode(tone), *track.encode(None)])
    with pytest.raises(UnreadableMedia, match=r"song\.mkv contains only audio"):
        probe(path)


def test_a_name_that_is_no_utf_8_is_replaced_in_the_record(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    try:
        make_portrait_clip(tmp_path / "clip.mp4", **SMALL).rename(path)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert probe(path).source.name == "caf\N{REPLACEMENT CHARACTER}.mp4"


@pytest.mark.parametrize(
    "name", ["concat:a.mp4|b.mp4", "pipe:0", "http:clip.mp4", "100%d.mp4", "-y.mp4"]
)
def test_a_name_like_a_protocol_is_a_file_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_portrait_clip(tmp_path / "clip.mp4", **SMALL).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert probe(Path(name)).source.name == name


def claiming_to_be_huge(folder: Path) -> Path:
    path = folder / "huge.y4m"
    path.write_bytes(
        b"YUV4MPEG2 W17000 H16 F25:1 Ip A1:1 C420jpeg\nFRAME\n" + bytes(17000 * 16 * 3 // 2)
    )
    return path


def without_a_frame(folder: Path) -> Path:
    path = folder / "noise.mp4"
    data = bytearray(make_portrait_clip(folder / "clip.mp4", **SMALL, audio=None).read_bytes())
    start, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    data[start:end] = bytes(end - start)
    path.write_bytes(data)
    return path


def reordered_with_wrong_times(folder: Path) -> Path:
    """Every pts is the dts, in a codec whose display order cannot be recovered."""
    whole = make_portrait_clip(
        folder / "right.mkv", **SMALL, codec="mpeg2video", options={"bf": "2"}, audio=None
    )
    path = folder / "wrong.mkv"
    with av.open(str(whole)) as source, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.pts, packet.stream = packet.dts, stream
                container.mux(packet)
    return path


def photograph(folder: Path) -> Path:
    data = make_portrait_clip(folder / "clip.mp4", **SMALL).read_bytes()
    path = folder / "photograph.heic"
    path.write_bytes(data.replace(b"ftypisom", b"ftypheic", 1))
    return path


def dolby_vision(folder: Path) -> Path:
    """Profile 5, by its codec tag: it carries no colour description of other video."""
    options = {"x265-params": "log-level=none"}
    whole = make_portrait_clip(
        folder / "clip.mp4", **SMALL, codec="libx265", options=options, audio=None
    )
    path = folder / "vision.mp4"
    path.write_bytes(whole.read_bytes().replace(b"hev1", b"dvh1"))
    return path


REFUSED = {
    claiming_to_be_huge: r"huge\.y4m claims 17000x16 px",
    without_a_frame: r"noise\.mp4: not one frame of its h264 video can be decoded",
    reordered_with_wrong_times: r"wrong\.mkv: its frames have no reliable times; convert it to MP4",
    dolby_vision: r"vision\.mp4 is Dolby Vision without a colour description that facepaint reads",
    photograph: r"photograph\.heic is a HEIC or AVIF image; save it as JPEG",
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Damaged data makes FFmpeg log."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.PANIC)
    yield
    av.logging.set_level(level)


@pytest.mark.parametrize("make", REFUSED, ids=lambda make: make.__name__)
def test_the_refusal_of_a_video_is_one_line(make: Any, tmp_path: Path) -> None:
    with pytest.raises(UnreadableMedia, match=REFUSED[make]) as refused:
        probe(make(tmp_path))
    assert "\n" not in str(refused.value)


def test_audio_that_changes_its_coding_becomes_several_tracks(tmp_path: Path) -> None:
    stereo, surround = adts_packets("stereo", 40), adts_packets("5.1", 30)
    clip = cut_clip(write_changing(tmp_path / "changing.ts", stereo, surround), 2.0)
    assert [track.channels for track in clip.probed.audio] == [2, 6]
    assert [len(packets) for packets in clip.audio()] == [len(stereo), len(surround)]


@pytest.mark.parametrize("first_is_default", [False, True])
def test_a_thumbnail_in_an_ordinary_track_is_not_the_video(
    first_is_default: bool, tmp_path: Path
) -> None:
    """The default track is shown, and of equal ones the longest."""
    path = tmp_path / "thumbnail.mkv"
    with av.open(str(path), "w") as out:
        thumbnail = out.add_stream("mjpeg", rate=25)
        thumbnail.width, thumbnail.height, thumbnail.pix_fmt = 64, 48, "yuvj420p"
        video = out.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 128, 96, "yuv420p"
        thumbnail.disposition = Disposition.default if first_is_default else Disposition(0)
        video.disposition = Disposition.default
        out.mux(thumbnail.encode(av.VideoFrame(64, 48, "yuvj420p")))
        out.mux(thumbnail.encode(None))
        for number in range(10):
            frame = av.VideoFrame(128, 96, "yuv420p")
            frame.pts = number
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    probed = probe(path)
    assert (probed.video.codec, probed.video.width) == ("h264", 128)
    assert probed.ignored == ("a second video track",)
