"""Bytes in, blocks of whole lines out: every byte once, whatever its source, its sizes and its damage."""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sources.reads import PACK, Part, Read, piped, read

from analyzer.errors import SourceError
from analyzer.sources import Source, open_source, reading, streams

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from analyzer.sources import Piece

BOM = b"\xef\xbb\xbf"
LINES = b"".join(b"line %d of a log\n" % n for n in range(3000))


def read_file(content: bytes, folder: Path) -> Read:
    """Read the content as a plain file."""
    path = folder / "plain.log"
    path.write_bytes(content)
    return read(path)


def read_members(content: bytes, folder: Path, kind: str) -> Read:
    """Read the content as a compressed file of two members."""
    path = folder / "compressed"
    half = len(content) // 2
    path.write_bytes(PACK[kind](content[:half]) + PACK[kind](content[half:]))
    return read(path)


def read_gzip(content: bytes, folder: Path) -> Read:
    """Read the content as gzip."""
    return read_members(content, folder, "gzip")


def read_zstd(content: bytes, folder: Path) -> Read:
    """Read the content as zstd."""
    return read_members(content, folder, "zstd")


def read_pipe(content: bytes, folder: Path) -> Read:
    """Read the content through a pipe."""
    with piped(content, folder / "pipe") as path:
        return read(path)


WAYS: list[Callable[[bytes, Path], Read]] = [read_file, read_gzip, read_zstd, read_pipe]
way = pytest.mark.parametrize("read_as", WAYS)


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Return a function that sets the longest line and the size of a piece."""

    def set_sizes(longest: int, piece: int) -> None:
        monkeypatch.setattr(reading, "MAX_LINE", longest)
        monkeypatch.setattr(reading, "PIECE", piece)
        monkeypatch.setattr(streams, "PIECE", piece)
        monkeypatch.setattr(streams, "_FIRST_PIECE", piece)

    return set_sizes


def expected_lines(content: bytes, longest: int) -> list[tuple[int, bytes, bool]]:
    """Offset, bytes, and whether it is too long, of every line: one of `longest` bytes before its newline is."""
    found, offset = [], 0
    for line in content.splitlines(keepends=True) if b"\r" not in content else content.split(b"\n"):
        found.append((offset, line, len(line.removesuffix(b"\n")) >= longest))
        offset += len(line)
    return found


def lines_of(parts: list[Part]) -> list[tuple[int, bytes, bool]]:
    """The same of blocks, the parts of a long line put together."""
    found: list[tuple[int, bytes, bool]] = []
    for part in parts:
        if part.continued:
            offset, line, _ = found.pop()
            found.append((offset, line + part.text, True))
        elif part.too_long:
            found.append((part.offset, part.text, True))
        else:
            offset = part.offset
            for line in part.text.splitlines(keepends=True):
                found.append((offset, line, False))
                offset += len(line)
    return found


@way
def test_all_bytes_in_order(read_as: Callable[[bytes, Path], Read], tmp_path: Path) -> None:
    """A source gives all of its bytes, in blocks that begin where the last one ended and end where lines end."""
    found = read_as(LINES, tmp_path)
    assert found.text == LINES
    assert found.error is None
    assert found.head
    assert LINES.startswith(found.head)
    assert [part.offset for part in found.parts] == [
        sum(len(before.text) for before in found.parts[:n]) for n in range(len(found.parts))
    ]
    assert all(part.text.endswith(b"\n") for part in found.parts)


@way
@pytest.mark.parametrize("content", [b"", b"\n", b"a", b"\n\n\n", b"a\nb", b"\r\n"])
def test_small_sources(read_as: Callable[[bytes, Path], Read], content: bytes, tmp_path: Path) -> None:
    """A source that is empty, blank, or ends without a newline is read whole."""
    assert read_as(content, tmp_path).text == content


@way
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.one_of(st.integers(0, 40), st.integers(0, 400)), max_size=25),
    last=st.integers(0, 60),
    longest=st.integers(1, 64),
    piece=st.integers(1, 200),
)
def test_any_lines_at_any_sizes(
    read_as: Callable[[bytes, Path], Read],
    lengths: list[int],
    last: int,
    longest: int,
    piece: int,
    tmp_path: Path,
    sizes: Callable[[int, int], None],
) -> None:
    """Lines come whole up to the longest that is read, longer ones in parts, wherever blocks and pieces end."""
    sizes(longest, piece)
    content = b"".join(b"%c" % (97 + n % 26) * length + b"\n" for n, length in enumerate(lengths)) + b"z" * last
    found = read_as(content, tmp_path)
    assert found.error is None
    assert lines_of(found.parts) == expected_lines(content, longest)
    assert all(len(part.text) <= longest for part in found.parts)


@way
@pytest.mark.parametrize("before", [0, 5, 63, 64])
@pytest.mark.parametrize("length", [62, 63, 64, 65, 127, 128, 129, 1000])
def test_lines_about_the_longest(
    read_as: Callable[[bytes, Path], Read], before: int, length: int, tmp_path: Path, sizes: Callable[[int, int], None]
) -> None:
    """A line is read up to one byte below the longest and passed over from there on; its neighbours are always read."""
    sizes(64, 100)
    content = b"b" * before + b"\n" + b"x" * length + b"\nafter\n"
    found = lines_of(read_as(content, tmp_path).parts)
    assert [too_long for _, _, too_long in found] == [before >= 64, length >= 64, False]
    assert found == expected_lines(content, 64)


@way
def test_a_line_of_many_pieces(
    read_as: Callable[[bytes, Path], Read], tmp_path: Path, sizes: Callable[[int, int], None]
) -> None:
    """A line over many pieces has one beginning; the line behind it is read."""
    sizes(10, 20)
    found = read_as(b"a\n" + b"x" * 100_000 + b"\nb\n", tmp_path).parts
    assert [part.text for part in found if not part.too_long] == [b"a\n", b"b\n"]
    assert sum(part.too_long and not part.continued for part in found) == 1


def test_pieces_can_be_read_apart(tmp_path: Path, sizes: Callable[[int, int], None]) -> None:
    """The pieces of a file can be read in any order, and each twice."""
    sizes(1 << 20, 1000)
    path = tmp_path / "access.log"
    path.write_bytes(LINES)
    reader = open_source(Source(str(path)))
    pieces = list(reader.pieces())
    assert len(pieces) > 10
    texts = {}
    for piece in [*reversed(pieces), *pieces]:
        texts[piece.offset] = b"".join(bytes(block.text[: block.stop]) for block in piece.blocks())
    reader.close()
    assert b"".join(texts[offset] for offset in sorted(texts)) == LINES


@way
@pytest.mark.parametrize("rest", [b"", b"a\n", b"a", BOM + b"a\n"])
def test_byte_order_mark(read_as: Callable[[bytes, Path], Read], rest: bytes, tmp_path: Path) -> None:
    """A byte order mark at the beginning is no part of the first line; offsets still count it."""
    found = read_as(BOM + rest, tmp_path)
    assert (found.head, found.text) == (rest, rest)
    assert [part.offset for part in found.parts[:1]] == [3] * bool(rest)


@way
@pytest.mark.parametrize("size", [1, 2])
def test_only_a_whole_mark_counts(read_as: Callable[[bytes, Path], Read], size: int, tmp_path: Path) -> None:
    """A part of a byte order mark is text."""
    for content in (BOM[:size] + b"a\n", BOM[:size]):
        assert read_as(content, tmp_path).text == content


@pytest.mark.parametrize("chunk", [1, 7, 4096])
@pytest.mark.parametrize("pack", [bytes, *PACK.values()])
def test_a_slow_pipe(chunk: int, pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """A pipe that gives few bytes at a time is read to its end, compressed or not, and its head holds a whole line."""
    content = LINES[:5000]
    with piped(pack(content), tmp_path / "pipe", chunk) as path:
        found = read(path)
    assert found.text == content
    assert found.bytes_read == len(pack(content))
    assert b"\n" in found.head


@pytest.mark.parametrize("compressed", [False, True])
def test_standard_input(compressed: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """Standard input is read as it is or decompressed, and stays open."""
    path = tmp_path / "log"
    path.write_bytes(gzip.compress(LINES) if compressed else LINES)
    kept, new = os.dup(0), os.open(path, os.O_RDONLY)
    try:
        os.dup2(new, 0)
        assert read("-").text == LINES
        assert os.fstat(0).st_size == path.stat().st_size
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(new)


@pytest.mark.parametrize("case", ["missing", "directory"])
def test_what_cannot_be_opened(case: str, tmp_path: Path) -> None:
    """A source that cannot be read raises an error that names it, and leaves no file open."""
    path = tmp_path / case
    if case == "directory":
        path.mkdir()
    before = sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else []
    with pytest.raises(SourceError, match=f"^{path}: "):
        open_source(Source(str(path)))
    after = sorted(os.listdir("/proc/self/fd")) if before else []
    assert after == before


def test_closed_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed standard input is an error in words."""
    monkeypatch.setattr("sys.__stdin__", None)
    with pytest.raises(SourceError, match="standard input: cannot be read"):
        open_source(Source("-"))


def text_of(piece: Piece) -> bytes:
    """All of a piece."""
    return b"".join(bytes(block.text[: block.stop]) for block in piece.blocks())


@pytest.mark.parametrize("beyond", [0, 10, 5000])
def test_a_file_that_shrinks(beyond: int, tmp_path: Path, sizes: Callable[[int, int], None]) -> None:
    """A file truncated while it is read gives what is left and no more, and says where it was cut."""
    sizes(1 << 10, 1 << 12)
    path = tmp_path / "access.log"
    path.write_bytes(LINES)
    reader = open_source(Source(str(path)))
    found, errors = b"", []
    for number, piece in enumerate(reader.pieces()):
        try:
            for block in piece.blocks():
                found += block.text[: block.stop]
        except SourceError as error:
            errors.append(str(error))
        if number == 1:
            left = len(found) + beyond
            os.truncate(path, left)
    reader.close()
    assert found == LINES[:left]
    assert errors[0] == f"was cut at byte {left:,} while it was read"
    assert reader.error in {None, errors[0]}


def test_a_file_that_is_emptied(tmp_path: Path, sizes: Callable[[int, int], None]) -> None:
    """Of a file emptied while it is read (logrotate's copytruncate) the reader itself says so, and looks no further."""
    sizes(1 << 10, 1 << 12)
    path = tmp_path / "access.log"
    path.write_bytes(LINES)
    reader = open_source(Source(str(path)))
    pieces = reader.pieces()
    first = next(pieces)
    assert LINES.startswith(text_of(first))
    os.truncate(path, 0)
    assert list(pieces) == []
    assert reader.error == "was cut at byte 0 while it was read"
    assert reader.bytes_read == first.content[2]
    reader.close()


@pytest.mark.parametrize("how", ["renamed", "deleted"])
@pytest.mark.parametrize("pack", [bytes, *PACK.values()])
def test_a_file_that_is_rotated(how: str, pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """A file renamed or deleted after it was opened is read to its end, whatever takes its name."""
    path = tmp_path / "access.log"
    path.write_bytes(pack(LINES))
    reader = open_source(Source(str(path)))
    path.rename(tmp_path / "access.log.1") if how == "renamed" else path.unlink()
    path.write_bytes(b"another\n")
    assert b"".join(map(text_of, reader.pieces())) == LINES
    assert reader.error is None
    reader.close()


def test_a_file_that_grows(tmp_path: Path, sizes: Callable[[int, int], None]) -> None:
    """A plain file is read up to the size that it had when it was opened."""
    sizes(1 << 10, 1 << 12)
    path = tmp_path / "access.log"
    path.write_bytes(LINES)
    reader = open_source(Source(str(path)))
    found = b""
    for piece in reader.pieces():
        found += text_of(piece)
        with path.open("ab") as file:
            file.write(b"later\n" * 1000)
    reader.close()
    assert (found, reader.error, reader.bytes_read) == (LINES, None, len(LINES))
