"""Logs that grow are followed through rotation, truncation and new files; every line comes once, and whole."""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING

import pytest

from analyzer.errors import SourceError
from analyzer.sources import following
from analyzer.sources.following import Follower

if TYPE_CHECKING:
    from pathlib import Path


def _append(log: Path, text: str) -> None:
    with log.open("a") as file:
        file.write(text)


def _new(follower: Follower) -> list[str]:
    """Read all that is new, and return the lines."""
    follower.look()
    found = b""
    while read := [*follower.read(1 << 30)]:
        found += b"".join(bytes(block.text[: block.stop]) for _, blocks in read for block in blocks)
    return found.decode().splitlines(keepends=True)


def test_from_the_end_on(tmp_path: Path) -> None:
    """What stands in a file at the beginning is not read; what is appended is."""
    log = tmp_path / "access.log"
    log.write_text("old\n")
    follower = Follower([log])
    assert _new(follower) == []
    _append(log, "new\n")
    assert _new(follower) == ["new\n"]


def test_half_lines_wait(tmp_path: Path) -> None:
    """A line comes when its end is written, also the one that was half written at the beginning."""
    log = tmp_path / "access.log"
    log.write_text("old\nha")
    follower = Follower([log])
    assert _new(follower) == []
    _append(log, "lf\nanother h")
    assert _new(follower) == ["half\n"]
    _append(log, "alf\n")
    assert _new(follower) == ["another half\n"]


def test_renamed(tmp_path: Path) -> None:
    """Of a log that was renamed the rest is read, also what is written to it later, and all of the new one."""
    log = tmp_path / "access.log"
    log.write_text("")
    follower = Follower([tmp_path])
    _append(log, "a\n")
    assert _new(follower) == ["a\n"]
    _append(log, "b\n")
    moved = log.rename(tmp_path / "access.log.1")
    assert _new(follower) == ["b\n"]
    log.write_text("c\n")
    _append(moved, "late\n")
    assert _new(follower) == ["late\n", "c\n"]
    assert list(follower.followed) == [str(log)]


@pytest.mark.parametrize("after", ["n\n", "b\n", "new1\nnew2\n"], ids=["shorter", "as long", "longer"])
def test_emptied(tmp_path: Path, after: str) -> None:
    """A log that was copied and emptied is read from its beginning, and its copy is not read again."""
    log = tmp_path / "access.log"
    log.write_text("")
    follower = Follower([tmp_path])
    _append(log, "a\n")
    assert _new(follower) == ["a\n"]
    (tmp_path / "access.log.1").write_text(log.read_text())
    log.write_text(after)
    os.utime(log, ns=(1, 1))
    assert "".join(_new(follower)) == after


def test_new_files(tmp_path: Path) -> None:
    """The log of a pod that starts later is read from its beginning, by a directory and by a glob."""
    for name in (tmp_path, tmp_path / "*.log"):
        follower = Follower([name])
        log = tmp_path / "pod.log"
        log.write_text("first\n")
        assert _new(follower) == ["first\n"]
        log.unlink()


def test_packed_by_rotation(tmp_path: Path) -> None:
    """What rotation has packed is no new log."""
    follower = Follower([tmp_path])
    (tmp_path / "other.gz").write_bytes(gzip.compress(b"old\n"))
    assert _new(follower) == []


def test_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that is gone for long is let go of, with what was left of its last line."""
    log = tmp_path / "pod.log"
    log.write_text("")
    follower = Follower([tmp_path])
    _append(log, "unfinished")
    log.unlink()
    assert _new(follower) == []
    monkeypatch.setattr(following, "LINGER", 0.0)
    assert _new(follower) == ["unfinished"]
    _new(follower)
    assert follower.followed == {}


def test_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that never ends passes through in bounded parts, and the next line is whole."""
    monkeypatch.setattr(following, "MAX_LINE", 8)
    log = tmp_path / "access.log"
    log.write_text("")
    follower = Follower([log])
    log.write_text("0123456789abcdefghij\nnext\n")
    read = []
    while more := [block for _, blocks in follower.read(1 << 30) for block in blocks]:
        read += more
    assert [bytes(block.text) for block in read if not block.too_long] == [b"next\n"]
    assert b"".join(bytes(block.text) for block in read) == log.read_bytes()
    assert max(block.stop for block in read) <= 8


def test_open_records_wait(tmp_path: Path) -> None:
    """Lines that begin a record wait for the line that ends it."""
    log = tmp_path / "access.log"
    log.write_text("")
    follower = Follower([log])
    follower.followed[str(log)].open_end = lambda tail: tail.endswith(b"P\n")
    _append(log, "F\nP\n")
    assert _new(follower) == ["F\n"]
    _append(log, "F\n")
    assert _new(follower) == ["P\n", "F\n"]


def test_nothing_there(tmp_path: Path) -> None:
    """A file that is not there is an error; a glob may match later."""
    with pytest.raises(SourceError, match="found nothing there"):
        Follower([tmp_path / "acess.log"])
    with pytest.raises(SourceError, match="got a URL"):
        Follower(["s3://bucket/logs"])
    assert _new(Follower([tmp_path / "*.log"])) == []
