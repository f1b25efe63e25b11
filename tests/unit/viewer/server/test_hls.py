"""HLS playlists as text; Range and Host headers of requests."""

import itertools

import pytest

from uploader.cutter import GROWTH
from viewer.server.hls import MAX_SEGMENT_GROWTH, Entry, Rendition, master, media
from viewer.server.middleware import host_name, is_loopback
from viewer.server.response import parse_range


def test_a_growing_playlist_only_adds_lines_at_its_end() -> None:
    entries = [Entry(f"{number}.m4s", 2.0) for number in range(4)]

    playlists = [media("init.mp4", entries[:length], 2, ended=False) for length in range(5)]
    playlists.append(media("init.mp4", entries, 2, ended=True))

    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(playlists))
    assert playlists[0].count("#EXTINF") == 0
    assert "#EXT-X-PLAYLIST-TYPE:EVENT" in playlists[0]
    assert playlists[-1].endswith("#EXT-X-ENDLIST\n")


def test_players_start_at_the_first_frame() -> None:
    assert "#EXT-X-START:TIME-OFFSET=0,PRECISE=YES" in media("init.mp4", [], 2, ended=False)


@pytest.mark.parametrize(
    ("segment_s", "longest_s", "target"),
    [(2, 2.0, 8), (2, 8.0, 8), (2, 8.4, 9), (0.5, 2.0, 2), (7, 7.0, 28)],
)
def test_no_segment_is_longer_than_the_target_duration(
    segment_s: float, longest_s: float, target: int
) -> None:
    text = media(
        "init.mp4", [Entry("0.m4s", 1.0), Entry("1.m4s", longest_s)], segment_s, ended=False
    )

    assert f"#EXT-X-TARGETDURATION:{target}\n" in text


def test_the_target_duration_allows_for_the_longest_segments_of_the_uploader() -> None:
    assert max(GROWTH) == MAX_SEGMENT_GROWTH


def test_durations_are_exact_to_the_microsecond_and_gaps_are_marked() -> None:
    text = media(
        "init.mp4", [Entry("0.m4s", 1.001), Entry("1.m4s", 1 / 3, gap=True)], 2, ended=True
    )

    assert text.splitlines()[-7:] == [
        '#EXT-X-MAP:URI="init.mp4"',
        "#EXTINF:1.001000,",
        "0.m4s",
        "#EXT-X-GAP",
        "#EXTINF:0.333333,",
        "1.m4s",
        "#EXT-X-ENDLIST",
    ]


def test_the_master_playlist_states_codecs_and_size_and_the_first_audio_track_is_the_default() -> (
    None
):
    audio = [Rendition("a0.m3u8", "English", "eng"), Rendition("a1.m3u8", "Music")]

    lines = master(
        "video.m3u8", 900_000, ["avc1.42c01e", "mp4a.40.2"], (320, 180), audio
    ).splitlines()

    assert lines[-1] == "video.m3u8"
    assert lines[-2] == (
        '#EXT-X-STREAM-INF:BANDWIDTH=900000,CODECS="avc1.42c01e,mp4a.40.2",'
        'RESOLUTION=320x180,AUDIO="audio"'
    )
    assert 'NAME="English",LANGUAGE="eng",DEFAULT=YES' in lines[-4]
    assert 'NAME="Music",DEFAULT=NO' in lines[-3]


def test_a_title_with_quotes_or_line_ends_cannot_inject_tags() -> None:
    text = master(
        "v.m3u8", 1, ["avc1"], (2, 2), [Rendition("a.m3u8", 'x"\n#EXT-X-ENDLIST\r', 'e"n')]
    )

    assert "\n#EXT-X-ENDLIST" not in text
    assert 'NAME="x  #EXT-X-ENDLIST "' in text


def test_a_video_without_audio_has_no_audio_group() -> None:
    assert "AUDIO" not in master("v.m3u8", 1, ["avc1"], (2, 2), [])


@pytest.mark.parametrize(
    ("transfer", "attribute"), [(16, ",VIDEO-RANGE=PQ"), (18, ",VIDEO-RANGE=HLG"), (1, "")]
)
def test_hdr_has_a_video_range(transfer: int, attribute: str) -> None:
    lines = master("v.m3u8", 1, ["hvc1.2.4.L90.90"], (2, 2), [], transfer).splitlines()
    assert (
        lines[-2]
        == f'#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS="hvc1.2.4.L90.90",RESOLUTION=2x2{attribute}'
    )


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-", (0, 100)),
        ("bytes=10-19", (10, 20)),
        ("bytes=90-200", (90, 100)),
        ("bytes=-5", (95, 100)),
        ("bytes=-500", (0, 100)),
        ("bytes=100-", None),
        ("bytes=20-10", None),
        ("bytes=-0", None),
        ("bytes=-", None),
        ("items=1-2", None),
        ("", None),
    ],
)
def test_a_range_is_clipped_to_the_size(header: str, span: tuple[int, int] | None) -> None:
    assert parse_range(header, 100) == span


@pytest.mark.parametrize(
    ("header", "loopback"),
    [
        ("127.0.0.1:8471", True),
        ("127.0.0.1", True),
        ("LOCALHOST:1", True),
        ("[::1]:8471", True),
        ("192.168.1.5:8471", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("[::1].evil.example", False),
        ("", False),
    ],
)
def test_loopback_names_in_a_host_header(header: str, loopback: bool) -> None:
    assert is_loopback(host_name(header)) == loopback
