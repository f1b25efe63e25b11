"""Stored codec parameters have everything that a muxer or decoder on another machine needs."""

import io
from pathlib import Path

import av
import pytest

from benchmarks.clips import make_portrait_clip
from facepaint.errors import UnreadableMedia
from facepaint.media.codec_params import EBML, open_codec_params, write_codec_params

AUDIO = [
    ("aac", "mp4"),
    ("aac", "ts"),
    ("libmp3lame", "mp4"),
    ("libopus", "mkv"),
    ("vorbis", "mkv"),
    ("flac", "mkv"),
    ("alac", "mov"),
    ("ac3", "mp4"),
    ("eac3", "mp4"),
    ("mp2", "ts"),
    ("pcm_s16be", "mov"),
    ("pcm_s24le", "mov"),
    ("pcm_s16le", "avi"),
]


def track(path: Path, codec: str) -> tuple[av.AudioStream, av.Packet, bytes]:
    """A clip's audio track, its first packet and its codec parameters. The container stays open."""
    options = {"codec": "mpeg4", "seconds": 0.5, "size": (64, 64)}
    container = av.open(str(make_portrait_clip(path, audio=codec, **options)))
    stream = container.streams.audio[0]
    packet = next(packet for packet in container.demux(stream) if packet.size)
    return stream, packet, write_codec_params(stream, packet)


@pytest.mark.parametrize(("codec", "suffix"), AUDIO)
def test_parameters_are_kept(codec: str, suffix: str, tmp_path: Path) -> None:
    stream, packet, codec_params = track(tmp_path / f"clip.{suffix}", codec)
    with stream.container, open_codec_params(codec_params) as container:
        copy = container.streams.audio[0]
        for name in ("name", "extradata", "sample_rate", "channels"):
            assert getattr(copy.codec_context, name) == getattr(stream.codec_context, name)
        assert [bytes(found) for found in container.demux(copy) if found.size] == [bytes(packet)]


@pytest.mark.parametrize(("codec", "suffix"), [("aac", "mp4"), ("eac3", "mp4"), ("alac", "mov")])
def test_a_muxer_and_a_decoder_accept_them(codec: str, suffix: str, tmp_path: Path) -> None:
    stream, packet, codec_params = track(tmp_path / f"clip.{suffix}", codec)
    with stream.container, open_codec_params(codec_params) as container:
        source = container.streams.audio[0]
        buffer = io.BytesIO()
        with av.open(buffer, "w", format="mp4") as out:
            target = out.add_stream_from_template(source)
            packet.stream = target
            out.mux(packet)
        frames = [
            frame
            for found in container.demux(source)
            for frame in source.codec_context.decode(found)
        ]
        assert all(frame.sample_rate == stream.codec_context.sample_rate for frame in frames)
    with av.open(io.BytesIO(buffer.getvalue())) as written:
        assert written.streams.audio[0].codec_context.name == stream.codec_context.name


def test_parameters_that_nut_changes_are_stored_in_matroska(tmp_path: Path) -> None:
    """NUT reads E-AC-3 back as AC-3 and has no ALAC; Matroska adds a header to ADTS AAC."""
    stream, _, codec_params = track(tmp_path / "clip.mp4", "eac3")
    stream.container.close()
    assert codec_params.startswith(EBML)
    stream, _, codec_params = track(tmp_path / "clip.ts", "aac")
    stream.container.close()
    assert not codec_params.startswith(EBML)


def test_a_codec_without_a_container_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableMedia, match="a track in adpcm_ima_qt cannot be copied"):
        track(tmp_path / "clip.mov", "adpcm_ima_qt")
