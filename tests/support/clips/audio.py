"""Audio of every coding, early, late, twice or not at all; and the words beside it: titles,
subtitles, chapters."""

from pathlib import Path

import av

from tests.support.clips.registry import clip
from tests.support.clips.write import SECONDS, AudioTrack, Extras, Video, write_clip

SHOWN = Video(options={"bf": "2"})

CHAPTERS = ((0, 1, "Before the launch"), (1, SECONDS, "Orbit"))

LINES = {
    "eng": ((0.2, 0.9, "We are go."), (1.3, 0.8, "Look at <i>that</i>!")),
    "deu": ((0.2, 0.9, "Wir sind bereit."), (1.3, 0.8, "Schau dir das an!")),
}

TAGS = {"title": "Eileen Collins", "artist": "NASA", "comment": "STS-93"}


@clip("aac.mp4", "AAC in MP4")
def aac(path: Path) -> None:
    """With the 1,024 samples of encoder delay before 0 that its edit list skips."""
    write_clip(path, video=SHOWN, audio=[AudioTrack()])


@clip("aac.ts", "AAC (ADTS) in MPEG-TS", quick=True)
def aac_ts(path: Path) -> None:
    """Each packet behind an ADTS header, which no MP4 keeps."""
    write_clip(path, video=SHOWN, audio=[AudioTrack()])


@clip("he-aac.mp4", "AAC declared as HE-AAC, MP4")
def he_aac(path: Path) -> None:
    """An AAC core of 24 kHz whose header says HE-AAC (explicit SBR): 2,048 samples of 48 kHz a
    packet.

    No free encoder makes the SBR data themselves; decoders double the rate without them, and the
    clock of the track is that of the header.
    """
    plain = path.with_name("plain.mp4")
    write_clip(plain, video=SHOWN, audio=[AudioTrack(rate=24_000)])
    # ISO/IEC 14496-3, 1.6.2.1: object type 5 (SBR), 24 kHz, stereo, 48 kHz, then the core's object
    # type 2 (LC).
    config = bytes.fromhex("2b118800")
    with av.open(str(plain)) as source, av.open(str(path), "w") as out:
        streams = {stream.index: out.add_stream_from_template(stream) for stream in source.streams}
        streams[source.streams.audio[0].index].codec_context.extradata = config
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                out.mux_one(packet)


@clip("mp3.mp4", "MP3 in MP4")
def mp3(path: Path) -> None:
    """LAME, as older phones and converters have it."""
    write_clip(path, video=SHOWN, audio=[AudioTrack("libmp3lame")])


@clip("opus.webm", "Opus in WebM")
def opus(path: Path) -> None:
    """With VP8, with Opus's pre-skip."""
    write_clip(
        path,
        video=Video("libvpx", {"deadline": "realtime", "cpu-used": "8"}),
        audio=[AudioTrack("libopus")],
    )


@clip("vorbis.webm", "Vorbis in WebM")
def vorbis(path: Path) -> None:
    """With VP8; its packets are of two lengths."""
    write_clip(
        path,
        video=Video("libvpx", {"deadline": "realtime", "cpu-used": "8"}),
        audio=[AudioTrack("vorbis")],
    )


@clip("flac.mkv", "FLAC in Matroska")
def flac(path: Path) -> None:
    """Lossless, 16 bit."""
    write_clip(path, video=SHOWN, audio=[AudioTrack("flac")])


@clip("pcm.mov", "PCM in MOV")
def pcm(path: Path) -> None:
    """16 bit, big-endian, as cameras write it."""
    write_clip(path, video=SHOWN, audio=[AudioTrack("pcm_s16be")])


@clip("ac3.ts", "AC-3 in MPEG-TS")
def ac3(path: Path) -> None:
    """As broadcast in America."""
    write_clip(path, video=Video("mpeg2video", {"bf": "2", "b": "1M"}), audio=[AudioTrack("ac3")])


@clip("audio-late.mp4", "audio that starts late")
def audio_late(path: Path) -> None:
    """Half a second after the first frame."""
    write_clip(path, video=SHOWN, audio=[AudioTrack(start_s=0.5, seconds=SECONDS - 0.5)])


@clip("audio-longer.mp4", "audio that ends later")
def audio_longer(path: Path) -> None:
    """A second after the last frame."""
    write_clip(path, video=SHOWN, audio=[AudioTrack(seconds=SECONDS + 1)])


@clip("audio-shorter.mp4", "audio that ends earlier")
def audio_shorter(path: Path) -> None:
    """A second before the last frame."""
    write_clip(path, video=SHOWN, audio=[AudioTrack(seconds=SECONDS - 1)])


@clip("two-tracks.mp4", "two audio tracks with languages")
def two_tracks(path: Path) -> None:
    """English and German, with a title each, and a title of the whole."""
    english = AudioTrack(language="eng", title="Original")
    german = AudioTrack(language="deu", title="Synchronfassung", pitch_hz=220)
    write_clip(path, video=SHOWN, audio=[english, german], extras=Extras(tags=TAGS))


@clip("two-codecs.mkv", "two audio tracks of different codecs, Matroska")
def two_codecs(path: Path) -> None:
    """AAC and Opus, which start apart from each other by their encoders' delays."""
    write_clip(
        path,
        video=SHOWN,
        audio=[AudioTrack(language="eng"), AudioTrack("libopus", language="fra", pitch_hz=220)],
    )


@clip("silent.mp4", "no audio")
def silent(path: Path) -> None:
    """Only video."""
    write_clip(path, video=SHOWN)


@clip("subtitles.mp4", "subtitles and chapters, MP4")
def subtitles_mp4(path: Path) -> None:
    """Timed text in two languages, two chapters and a title."""
    extras = Extras(tags=TAGS, chapters=CHAPTERS, subtitles=LINES)
    write_clip(path, video=SHOWN, audio=[AudioTrack(language="eng")], extras=extras)


@clip("subtitles.mkv", "subtitles and chapters, Matroska")
def subtitles_mkv(path: Path) -> None:
    """SubRip in two languages, two chapters and a title."""
    extras = Extras(tags=TAGS, chapters=CHAPTERS, subtitles=LINES)
    write_clip(path, video=SHOWN, audio=[AudioTrack(language="eng")], extras=extras)
