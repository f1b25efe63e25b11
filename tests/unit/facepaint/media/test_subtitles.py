"""The lines of text subtitles in the codecs of the containers."""

import pytest

from facepaint.media.subtitles import MAX_TIMED_TEXT_BYTES, plain_text, subrip, timed_text

LINES = "Grüße\nHello".encode()


@pytest.mark.parametrize(
    ("codec", "data", "expected"),
    [
        ("subrip", b"<i>Hello</i>", b"<i>Hello</i>"),
        ("mov_text", b"\0\5Hello\0\0\0\x0cstyl", b"Hello"),
        (
            "ass",
            b"0,0,Default,,0,0,0,,{\\i1}Hello{\\i0}, you\\Ntwo",
            b"{\\i1}Hello{\\i0}, you\ntwo",
        ),
    ],
)
def test_lines_as_subrip_stores_them(codec: str, data: bytes, expected: bytes) -> None:
    assert subrip(codec, data) == expected


@pytest.mark.parametrize(
    ("codec", "data"),
    [
        ("subrip", b"<i>" + LINES + b"</i>\n"),
        ("mov_text", len(LINES).to_bytes(2) + LINES),
        ("ass", b"0,0,Default,,0,0,0,,{\\i1}" + LINES.replace(b"\n", b"\\N")),
    ],
)
def test_plain_text_has_no_markup(codec: str, data: bytes) -> None:
    assert plain_text(codec, data) == LINES


def test_timed_text_has_its_length_and_a_limit() -> None:
    assert timed_text("subrip", b"<b>Hello</b>") == b"\0\5Hello"
    assert timed_text("subrip", b"<b> </b>") == b""
    longest = timed_text("subrip", b"x" * 70_000)
    assert (longest[:2], len(longest)) == (b"\xff\xff", 2 + MAX_TIMED_TEXT_BYTES)
