"""Atomic writes: whole or not at all, with the right permissions."""

import os
from pathlib import Path

import pytest

from facepaint.files import PRIVATE_MODE, atomic_write, write_bytes, write_text


def permissions(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_file_has_the_permissions_of_the_umask(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "é\n")
    plain = tmp_path / "b"
    plain.touch()
    assert (tmp_path / "a").read_bytes() == b"\xc3\xa9\n"
    assert permissions(tmp_path / "a") == permissions(plain)


def test_a_private_file_is_private_whatever_it_replaces(tmp_path: Path) -> None:
    target = tmp_path / "secret"
    target.touch(0o644)
    write_text(target, "x", mode=PRIVATE_MODE)
    assert permissions(target) == 0o600


def test_a_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    target = tmp_path / "labels"
    target.touch()
    target.chmod(0o640)
    write_bytes(target, b"new")
    assert target.read_bytes() == b"new"
    assert permissions(target) == 0o640


def test_an_error_keeps_the_old_file_and_leaves_no_draft(tmp_path: Path) -> None:
    target = tmp_path / "video.mp4"
    target.write_bytes(b"old")

    def write_half() -> None:
        with atomic_write(target) as draft:
            draft.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert list(tmp_path.iterdir()) == [target]
    assert target.read_bytes() == b"old"


def test_a_link_is_replaced_and_its_file_stays(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"other")
    link = tmp_path / "link"
    link.symlink_to(other)
    write_bytes(link, b"new")
    assert not link.is_symlink()
    assert link.read_bytes() == b"new"
    assert other.read_bytes() == b"other"


def test_a_name_of_the_longest_length_can_be_written(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 255)
    write_bytes(target, b"x")
    assert target.read_bytes() == b"x"


def test_a_full_disk_keeps_the_old_file_and_leaves_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "file"
    write_text(target, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_text(target, "new")
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("file", "old")]
