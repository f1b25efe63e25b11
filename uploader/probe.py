"""Probe a video: what a decoder needs to know of it, how it is to be shown, and whether it can be
decoded at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.video.stream import VideoStream as InputVideo

from facepaint.errors import UnreadableMedia
from facepaint.media.codec_params import write_codec_params
from facepaint.media.open import (
    carries_no_times,
    chapters_of,
    check_file,
    dispositions,
    main_video,
    open_media,
    track_title,
)
from facepaint.records.colour import Colour
from facepaint.records.job import AudioStream, Chapter, SourceFile, VideoStream
from uploader.first_frames import FirstFrames, UnorderedTimes, decode_first_frames, late_packets
from uploader.hdr_metadata import dynamic_metadata, light_levels
from uploader.ignored_streams import left_out

MAX_SIDE_PX = 16_384
MAX_PIXELS = 134_000_000
PICTURE_BRANDS = frozenset({"heic", "heix", "heim", "heis", "mif1", "avif"})
"""Brands of MP4's cousins that hold a photograph, often in tiles that FFmpeg takes for videos."""

MIB = 2**20
FULL_RANGE = 2
UNSPECIFIED = 2

DOLBY_VISION = frozenset({"dvh1", "dvhe", "dva1", "dvav", "dav1"})
"""Tags of video that is only right with Dolby Vision's own metadata, unless it says its colours as
others do."""

WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""FFmpeg's own decoders leave out the transparency of these, which comes as side data."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What is known of a video before it is cut.

    ``audio_indexes`` are the container's stream numbers of ``audio``, in the same order.
    ``restored``: the times of its packets are to be told from the order of showing, see
    `uploader.pts_recovery`. ``dynamic`` names the metadata of single pictures that is not carried
    on, ``others`` the tracks that have no place in the result.
    """

    source: SourceFile
    video: VideoStream
    video_index: int
    audio: tuple[AudioStream, ...]
    audio_indexes: tuple[int, ...]
    duration_s: float | None
    tags: dict[str, str]
    chapters: tuple[Chapter, ...]
    restored: bool = False
    dynamic: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def probe(path: Path) -> Probe:
    """Probe a video file; asked again for the same file, it does not look again.

    Raises:
        InputError: there is nothing to read.
        UnreadableMedia: no video in it, an absurd size, no first frame comes out of the decoder, or
            its frames carry no usable times.
    """
    check_file(path)
    state = path.stat()
    return _probe_state(path, state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=64)
def _probe_state(path: Path, *_state: int) -> Probe:
    """The probe of a file in a certain state: sorting the inputs and uploading them ask for the
    same."""
    try:
        return _probe(path, restored=False)
    except UnorderedTimes:
        return _probe(path, restored=True)


def _probe(path: Path, restored: bool) -> Probe:
    with open_media(path) as container:
        if container.metadata.get("major_brand") in PICTURE_BRANDS:
            raise UnreadableMedia(
                f"{path} is a HEIC or AVIF picture; save it as JPEG, PNG or WebP first"
            )
        stream = main_video(container, path)
        _check_size(stream, path)
        described = _describe(stream)
        restored = restored or carries_no_times(
            container.format.name, described.codec, described.extradata
        )
        if restored:  # bare streams are said to have 25 frames a second whatever is written in them
            described = replace(described, frame_rate=stream.guessed_rate or described.frame_rate)
        first_frames = decode_first_frames(container, stream, described, path, restored)
        indexes = [audio.index for audio in container.streams.audio]
        if described.codec_tag in DOLBY_VISION and first_frames.told.color_trc == UNSPECIFIED:
            raise UnreadableMedia(
                f"{path} is Dolby Vision whose colours are not read; convert it to HDR10 or SDR "
                "first"
            )
        first_frames.packets |= late_packets(
            path, container, set(indexes) - first_frames.packets.keys()
        )
        audio, unheard = _describe_sound(container, indexes, first_frames.packets)
        return Probe(
            source=source_file(path),
            video=_shown(described, first_frames),
            video_index=stream.index,
            audio=tuple(audio.values()),
            audio_indexes=tuple(audio),
            duration_s=container.duration / av.time_base if container.duration else None,
            tags=dict(container.metadata),
            chapters=tuple(chapters_of(container)),
            restored=restored,
            dynamic=dynamic_metadata(first_frames.told),
            others=(*unheard, *left_out(container, {stream.index, *indexes})),
        )


def source_file(path: Path) -> SourceFile:
    """What identifies a file: its size and the sha256 of its first and last MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        digest.update(file.read(MIB))
        file.seek(max(0, size - MIB))
        digest.update(file.read(MIB))
    return SourceFile(name_of(path), size, digest.hexdigest())


def name_of(path: Path) -> str:
    """A file's name; bytes in it that are no UTF-8 are replaced, so that it can stand in a
    record."""
    return os.fsencode(path.name).decode(errors="replace")


def _check_size(stream: InputVideo, path: Path) -> None:
    context = stream.codec_context
    if context is None or not context.width or not context.height:
        raise UnreadableMedia(
            f"{path} holds a video without a size or a decoder; convert it to H.264 first"
        )
    if (
        max(context.width, context.height) > MAX_SIDE_PX
        or context.width * context.height > MAX_PIXELS
    ):
        raise UnreadableMedia(
            f"{path} claims {context.width}x{context.height} px, more than can be painted"
        )


def _describe(stream: InputVideo) -> VideoStream:
    context = stream.codec_context
    assert stream.time_base is not None
    codec = context.codec.name
    if stream.metadata.get("alpha_mode") == "1":
        codec = WITH_ALPHA.get(codec, codec)
    return VideoStream(
        codec=codec,
        codec_tag=_codec_tag(stream),
        extradata=bytes(context.extradata or b""),
        width=context.width,
        height=context.height,
        pixel_format=context.pix_fmt or "",
        time_base=stream.time_base,
        frame_rate=stream.average_rate or stream.guessed_rate,
        sample_aspect_ratio=stream.sample_aspect_ratio or Fraction(1),
        bits_per_coded_sample=context.bits_per_coded_sample,
        reorder_depth=context.reorder_depth,
        language=stream.metadata.get("language", ""),
        title=track_title(stream),
    )


def _codec_tag(stream: InputVideo) -> str:
    try:
        tag = stream.codec_context.codec_tag
    except UnicodeDecodeError:  # a number, not four letters; such tags only repeat the codec's name
        return ""
    return tag if tag.isprintable() and "[" not in tag else ""


def _shown(video: VideoStream, first_frames: FirstFrames) -> VideoStream:
    """The description completed by what only a decoded frame tells."""
    first, told = first_frames.first, first_frames.told
    # FFmpeg names full range by its JPEG formats too.
    full = first.format.name.startswith("yuvj")
    colour = Colour(
        primaries=int(told.color_primaries),
        transfer=int(told.color_trc),
        matrix=int(told.colorspace),
        range=FULL_RANGE if full else int(told.color_range),
    )
    return replace(
        video,
        rotation=first_frames.rotation,
        mirrored=first_frames.mirrored,
        colour=colour,
        light=light_levels(told),
        pixel_format=first.format.name,
    )


def _describe_sound(
    container: InputContainer, indexes: Iterable[int], packets: Mapping[int, av.Packet[Any]]
) -> tuple[dict[int, AudioStream], list[str]]:
    """The sound tracks by stream number, each by its first packet; in words, those that cannot be
    copied."""
    tracks, unheard = {}, []
    for index in indexes:
        stream, packet = container.streams[index], packets.get(index)
        assert isinstance(stream, av.AudioStream)
        if packet is None or stream.codec_context is None or stream.time_base is None:
            unheard.append("a sound track that is empty or unknown")
            continue
        track = _describe_audio(stream, packet)
        if track is None:
            unheard.append(
                f"a sound track in {stream.codec_context.name}, which no result can hold"
            )
        else:
            tracks[index] = track
    return tracks, unheard


def _describe_audio(stream: av.AudioStream, packet: av.Packet[Any]) -> AudioStream | None:
    """A sound track by its first packet; None if nothing here can copy its coding."""
    context = stream.codec_context
    assert stream.time_base is not None
    try:
        codec_params = write_codec_params(stream, packet)
    except UnreadableMedia:
        return None
    return AudioStream(
        codec=context.codec.name,
        time_base=stream.time_base,
        sample_rate=context.sample_rate,
        channels=context.channels,
        codec_params=codec_params,
        skip_samples=_skip_samples(packet),
        language=stream.metadata.get("language", ""),
        title=track_title(stream),
        disposition=dispositions(stream),
    )


def _skip_samples(packet: av.Packet[Any]) -> int:
    """Samples at the track's start that are decoded and not played, as the demuxer says."""
    if not packet.has_sidedata("skip_samples"):
        return 0
    return int.from_bytes(bytes(packet.get_sidedata("skip_samples"))[:4], "little")
