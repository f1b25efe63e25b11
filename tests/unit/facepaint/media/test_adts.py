"""AAC whose coding changes in mid-stream, as in broadcasts."""

from pathlib import Path

import pytest

from facepaint.media.adts import CodingSorter, coding_of, first_packets, opened
from facepaint.media.open import open_media
from tests.support.clips.changing_aac import adts_packets, write_changing


@pytest.fixture(scope="module")
def changing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adts")
    return write_changing(
        folder / "changing.ts", adts_packets("stereo", 40), adts_packets("5.1", 40)
    )


def test_each_coding_is_found_with_its_first_packet(changing: Path) -> None:
    with open_media(changing) as container:
        codings = first_packets(container, [1])[1]
    assert len(codings) == 2
    channels = []
    for coding, packet in codings.items():
        assert coding_of(packet) == coding
        with opened(packet) as (stream, _):
            channels.append(stream.codec_context.channels)
    assert channels == [2, 6]


def test_a_damaged_header_is_no_coding(tmp_path: Path) -> None:
    packets = adts_packets("stereo", 40)
    broken = packets[20][:2] + bytes([packets[20][2] ^ 0x10]) + packets[20][3:]
    assert coding_of(broken) != coding_of(packets[20])
    path = write_changing(tmp_path / "damaged.ts", [*packets[:20], broken, *packets[21:]])
    with open_media(path) as container:
        codings = first_packets(container, [1])[1]
    assert len(codings) == 1
    sorter = CodingSorter(codings)
    assert {sorter.of(packet) for packet in (*packets[:3], broken, b"")} == set(codings)


def test_other_packets_have_no_coding() -> None:
    for data in (b"", b"\xff", b"\xff\xf1", b"\0" * 20, b"\xff\xfb" + b"\0" * 20):
        assert coding_of(data) == b""
