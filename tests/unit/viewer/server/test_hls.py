"""HLS playlists as text, and the ranges and names that the viewer's server reads."""

import itertools

import pytest

from uploader.cutter import GROWTH
from viewer.server.hls import LONGEST, Entry, Rendition, master, media
from viewer.server.media import parse_range
from viewer.server.middleware import host_name, is_loopback


def test_a_growing_playlist_only_gains_lines_at_its_end() -> None:
    entries = [Entry(f"{number}.m4s", 2.0) for number in range(4)]

    playlists = [media("init.mp4", entries[:length], 2, ended=False) for length in range(5)]
    playlists.append(media("init.mp4", entries, 2, ended=True))

    assert all(later.startswith(sooner) for sooner, later in itertools.pairwise(playlists))
    assert playlists[0].count("#EXTINF") == 0
    assert "#EXT-X-PLAYLIST-TYPE:EVENT" in playlists[0]
    assert playlists[-1].endswith("#EXT-X-ENDLIST\n")


def test_the_first_picture_is_where_players_start() -> None:
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


def test_the_target_duration_holds_for_the_longest_segments_of_the_uploader() -> None:
    assert max(GROWTH) == LONGEST


def test_times_are_exact_to_the_microsecond_and_gaps_are_named() -> None:
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


def test_the_master_names_codecs_size_and_the_first_sound_as_default() -> None:
    sounds = [Rendition("a0.m3u8", "English", "eng"), Rendition("a1.m3u8", "Music")]

    lines = master(
        "video.m3u8", 900_000, ["avc1.42c01e", "mp4a.40.2"], (320, 180), sounds
    ).splitlines()

    assert lines[-1] == "video.m3u8"
    assert lines[-2] == (
        '#EXT-X-STREAM-INF:BANDWIDTH=900000,CODECS="avc1.42c01e,mp4a.40.2",RESOLUTION=320x180,AUDIO="sound"'
    )
    assert 'NAME="English",LANGUAGE="eng",DEFAULT=YES' in lines[-4]
    assert 'NAME="Music",DEFAULT=NO' in lines[-3]


def test_a_strangers_title_cannot_leave_its_quotes_or_its_line() -> None:
    text = master(
        "v.m3u8", 1, ["avc1"], (2, 2), [Rendition("a.m3u8", 'x"\n#EXT-X-ENDLIST\r', 'e"n')]
    )

    assert "\n#EXT-X-ENDLIST" not in text
    assert 'NAME="x  #EXT-X-ENDLIST "' in text


def test_a_video_without_sound_has_no_sound_group() -> None:
    assert "AUDIO" not in master("v.m3u8", 1, ["avc1"], (2, 2), [])


@pytest.mark.parametrize(
    ("transfer", "said"), [(16, ",VIDEO-RANGE=PQ"), (18, ",VIDEO-RANGE=HLG"), (1, "")]
)
def test_hdr_is_said_to_be_so(transfer: int, said: str) -> None:
    lines = master("v.m3u8", 1, ["hvc1.2.4.L90.90"], (2, 2), [], transfer).splitlines()
    assert (
        lines[-2] == f'#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS="hvc1.2.4.L90.90",RESOLUTION=2x2{said}'
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
        ("pieces=1-2", None),
        ("", None),
    ],
)
def test_a_range_is_what_lies_inside(header: str, span: tuple[int, int] | None) -> None:
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
