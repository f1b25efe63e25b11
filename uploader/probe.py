"""Probe a video: what a decoder needs, how the video is shown, and whether it can be decoded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.video.stream import VideoStream as InputVideo

from facepaint.errors import UnreadableMedia
from facepaint.media.adts import first_packets, opened
from facepaint.media.animated_webp import is_animation
from facepaint.media.codec_params import codec_label, write_codec_params
from facepaint.media.open import (
    chapters_of,
    check_file,
    dispositions,
    lacks_pts,
    main_video,
    open_media,
    projections,
    track_title,
)
from facepaint.media.programs import streams_of_program
from facepaint.records.colour import Colour, ColourRange, TransferCharacteristics
from facepaint.records.job import AudioStream, Chapter, SourceFile, VideoStream
from uploader.first_frames import (
    SEARCH_BYTES,
    FirstFrames,
    UnorderedTimes,
    decode_first_frames,
    late_packets,
)
from uploader.hdr_metadata import dynamic_metadata, light_levels
from uploader.ignored_streams import ignored_streams

MAX_SIDE_PX = 16_384
MAX_PIXELS = 134_000_000
STILL_BRANDS = frozenset({"heic", "heix", "heim", "heis", "mif1", "avif"})
"""Brands of ISO media files that hold a photograph, often in tiles that FFmpeg takes for videos."""

MIB = 2**20

DOLBY_VISION = frozenset({"dvh1", "dvhe", "dva1", "dvav", "dav1"})
"""Codec tags of video that needs Dolby Vision's own metadata, unless it also carries the colour
description of other video."""

WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""FFmpeg's own decoders of these codecs ignore the transparency, which comes as side data."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What is known of a video before it is cut.

    Attributes:
        video_index: the container's stream index of ``video``.
        audio_indexes: the stream indexes of ``audio``, in the same order. Several tracks come from
            one stream whose coding changes.
        audio_codings: what `facepaint.media.adts` says of each track's packets; else empty.
        duration_s: as the container states it, in seconds.
        recover_pts: the packets carry no usable pts, see `uploader.pts_recovery`.
        projections: what the video is marked as, which the result is not.
        dynamic_hdr: names of the dynamic HDR metadata, which the result does not keep.
        ignored: phrases for the tracks that have no place in the result.
        is_animation: it is a GIF, PNG or WebP.
    """

    source: SourceFile
    video: VideoStream
    video_index: int
    audio: tuple[AudioStream, ...]
    audio_indexes: tuple[int, ...]
    audio_codings: tuple[bytes, ...]
    duration_s: float | None
    tags: dict[str, str]
    chapters: tuple[Chapter, ...]
    recover_pts: bool = False
    dynamic_hdr: tuple[str, ...] = ()
    projections: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    is_animation: bool = False


def probe(path: Path, search_bytes: int = SEARCH_BYTES) -> Probe:
    """Probe a video file. A file that has not changed since is not read again.

    Args:
        path: the file.
        search_bytes: how far to search for the first frame and the first packet of each track.

    Raises:
        InputError: the file cannot be read.
        UnreadableMedia: it holds no video, its size is implausible, no frame can be decoded, or its
            frames carry no usable times.
    """
    check_file(path)
    state = path.stat()
    return _probe_state(
        path, search_bytes, state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns
    )


@lru_cache(maxsize=64)
def _probe_state(path: Path, search_bytes: int, *_state: int) -> Probe:
    """The probe of a file in a certain state: classifying inputs and uploading them need the
    same."""
    try:
        return _probe(path, search_bytes, recover_pts=False)
    except UnorderedTimes:
        return _probe(path, search_bytes, recover_pts=True)


def _probe(path: Path, search_bytes: int, *, recover_pts: bool) -> Probe:
    with open_media(path) as container:
        if container.metadata.get("major_brand") in STILL_BRANDS:
            raise UnreadableMedia(
                f"{path} is a HEIC or AVIF image; save it as JPEG, PNG or WebP first"
            )
        stream = main_video(container, path)
        # Before a decoder allocates frames of that size.
        _check_size(stream, path)
        video = _describe(stream)
        recover_pts = recover_pts or lacks_pts(container.format.name, video.codec, video.extradata)
        if recover_pts:
            # FFmpeg reports 25 frames/s as the average of a bare stream, whatever is written in it.
            video = replace(video, frame_rate=stream.guessed_rate or video.frame_rate)
        frames = decode_first_frames(
            container, stream, video, path, recover_pts=recover_pts, search_bytes=search_bytes
        )
        if (
            video.codec_tag in DOLBY_VISION
            and frames.tagged.color_trc == TransferCharacteristics.UNSPECIFIED
        ):
            raise UnreadableMedia(
                f"{path} is Dolby Vision without a colour description that facepaint reads; "
                "convert it to HDR10 or SDR first"
            )
        program = streams_of_program(path, container, stream)
        indexes = [audio.index for audio in container.streams.audio if audio.index in program]
        # A track is described by its first packet: ADTS and others have their parameters there.
        late = late_packets(path, container, set(indexes) - frames.packets.keys())
        audio, refused = _describe_tracks(container, indexes, frames.packets | late)
        tracks = list(_split_by_coding(path, audio))
        return Probe(
            source=_source_file(path),
            video=_completed(video, frames),
            video_index=stream.index,
            audio=tuple(track for _, _, track in tracks),
            audio_indexes=tuple(index for index, _, _ in tracks),
            audio_codings=tuple(coding for _, coding, _ in tracks),
            duration_s=container.duration / av.time_base if container.duration else None,
            tags=dict(container.metadata),
            chapters=tuple(chapters_of(container)),
            recover_pts=recover_pts,
            dynamic_hdr=dynamic_metadata(frames.tagged),
            projections=projections(frames.first),
            ignored=(*refused, *ignored_streams(container, {stream.index, *indexes})),
            is_animation=is_animation(path),
        )


def _source_file(path: Path) -> SourceFile:
    """A file's identity: its size in bytes and the sha256 of its first and last MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        digest.update(file.read(MIB))
        file.seek(max(0, size - MIB))
        digest.update(file.read(MIB))
    return SourceFile(name_of(path), size, digest.hexdigest())


def name_of(path: Path) -> str:
    """A file's name for a record: bytes that are no UTF-8 are replaced."""
    return os.fsencode(path.name).decode(errors="replace")


def _check_size(stream: InputVideo, path: Path) -> None:
    context = stream.codec_context
    if context is None or not context.width or not context.height:
        raise UnreadableMedia(
            f"{path} holds a video without a size or a decoder; convert it to H.264 first"
        )
    longest, pixels = max(context.width, context.height), context.width * context.height
    if longest > MAX_SIDE_PX or pixels > MAX_PIXELS:
        raise UnreadableMedia(
            f"{path} claims {context.width}x{context.height} px, more than can be painted"
        )


def _describe(stream: InputVideo) -> VideoStream:
    context = stream.codec_context
    assert stream.time_base is not None
    codec = context.codec.name
    # WebM marks video with transparency by this tag of the track.
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
    except UnicodeDecodeError:
        # A number, not four letters; such tags only repeat the codec's name.
        return ""
    return tag if tag.isprintable() and "[" not in tag else ""


def _completed(video: VideoStream, frames: FirstFrames) -> VideoStream:
    """The description completed by what only decoded frames show."""
    first, tagged = frames.first, frames.tagged
    # FFmpeg's JPEG pixel formats imply full range.
    full = first.format.name.startswith("yuvj")
    colour = Colour(
        primaries=int(tagged.color_primaries),
        transfer=int(tagged.color_trc),
        matrix=int(tagged.colorspace),
        range=ColourRange.FULL if full else int(tagged.color_range),
    )
    return replace(
        video,
        rotation=frames.rotation,
        mirrored=frames.mirrored,
        colour=colour,
        light=light_levels(tagged),
        pixel_format=first.format.name,
    )


def _describe_tracks(
    container: InputContainer, indexes: Iterable[int], packets: Mapping[int, av.Packet[Any]]
) -> tuple[dict[int, AudioStream], list[str]]:
    """The audio tracks by stream index, and phrases for those that cannot be copied.

    Args:
        container: the open file.
        indexes: the stream indexes of its audio tracks.
        packets: the first packet of each track that has one.
    """
    tracks, refused = {}, []
    for index in indexes:
        stream, packet = container.streams[index], packets.get(index)
        assert isinstance(stream, av.AudioStream)
        if packet is None or stream.time_base is None:
            refused.append("an empty audio track")
            continue
        track = _describe_audio(stream, packet)
        if track is None:
            refused.append(f"an audio track in {codec_label(stream)}, which no result can hold")
        else:
            tracks[index] = track
    return tracks, refused


def _split_by_coding(
    path: Path, tracks: Mapping[int, AudioStream]
) -> Iterator[tuple[int, bytes, AudioStream]]:
    """The stream index, the coding and the description of each track.

    Each coding of a stream of AAC becomes a track, because no container of results lets a track
    change.
    """
    aac = [index for index, track in tracks.items() if track.codec == "aac"]
    codings: dict[int, dict[bytes, bytes]] = {}
    if aac:
        with open_media(path) as container:
            codings = first_packets(container, aac)
    for index, track in tracks.items():
        found = codings.get(index, {})
        if len(found) < 2:
            yield index, b"", track
            continue
        for coding, packet in found.items():
            with opened(packet) as (stream, first):
                yield (
                    index,
                    coding,
                    replace(
                        track,
                        sample_rate=stream.codec_context.sample_rate,
                        channels=stream.codec_context.channels,
                        codec_params=write_codec_params(stream, first),
                    ),
                )


def _describe_audio(stream: av.AudioStream, packet: av.Packet[Any]) -> AudioStream | None:
    """An audio track by its first packet; None if its codec cannot be copied."""
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
    """Samples at the track's start that are decoded but not played, as the demuxer states them."""
    if not packet.has_sidedata("skip_samples"):
        return 0
    return int.from_bytes(bytes(packet.get_sidedata("skip_samples"))[:4], "little")
