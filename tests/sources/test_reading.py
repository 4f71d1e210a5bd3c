"""Bytes in, blocks of whole lines out: every byte once, whatever its source, its sizes and its damage."""

from __future__ import annotations

import gzip
import os
import threading
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzer.errors import SourceError
from analyzer.sources import Source, open_source, reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BOM = b"\xef\xbb\xbf"
LINES = b"".join(b"line %d of a log\n" % n for n in range(3000))


class Part(NamedTuple):
    """A block as it came."""

    offset: int
    text: bytes
    too_long: bool
    continued: bool


class Read(NamedTuple):
    """A source as it came."""

    head: bytes
    parts: list[Part]
    error: str | None
    bytes_read: int

    @property
    def text(self) -> bytes:
        """All bytes."""
        return b"".join(part.text for part in self.parts)


def read(path: Path | str) -> Read:
    """Read a source to its end."""
    reader = open_source(Source(str(path)))
    try:
        parts = [
            Part(block.offset, bytes(block.text[: block.stop]), block.too_long, block.continued)
            for piece in reader.pieces()
            for block in piece.blocks()
        ]
    finally:
        reader.close()
    return Read(reader.head, parts, reader.error, reader.bytes_read)


@contextmanager
def piped(content: bytes, path: Path, chunk: int = 1 << 16) -> Iterator[Path]:
    """A named pipe into which a thread writes the content in chunks."""

    def write() -> None:
        with path.open("wb", buffering=0) as pipe:
            for at in range(0, len(content), chunk):
                pipe.write(content[at : at + chunk])

    os.mkfifo(path)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield path
    finally:
        writer.join()
        path.unlink()


def read_file(content: bytes, folder: Path) -> Read:
    """Read the content as a plain file."""
    path = folder / "plain.log"
    path.write_bytes(content)
    return read(path)


def read_gzip(content: bytes, folder: Path) -> Read:
    """Read the content as a gzip file of two members."""
    path = folder / "compressed"
    half = len(content) // 2
    path.write_bytes(gzip.compress(content[:half]) + gzip.compress(content[half:]))
    return read(path)


def read_pipe(content: bytes, folder: Path) -> Read:
    """Read the content through a pipe."""
    with piped(content, folder / "pipe") as path:
        return read(path)


WAYS: list[Callable[[bytes, Path], Read]] = [read_file, read_gzip, read_pipe]
way = pytest.mark.parametrize("read_as", WAYS)


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Return a function that sets the longest line and the size of a piece."""

    def set_sizes(longest: int, piece: int) -> None:
        monkeypatch.setattr(reading, "MAX_LINE", longest)
        monkeypatch.setattr(reading, "PIECE", piece)
        monkeypatch.setattr(reading, "_STREAM_PIECE", piece)

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


def test_only_a_whole_mark_counts(tmp_path: Path) -> None:
    """Half a byte order mark is text."""
    assert read_file(BOM[:2] + b"a\n", tmp_path).text == BOM[:2] + b"a\n"


@pytest.mark.parametrize("chunk", [1, 7, 4096])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_slow_pipe(chunk: int, pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """A pipe that gives few bytes at a time is read to its end, told to be gzip, and its head holds a whole line."""
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


def test_gzip_is_told_by_its_first_bytes(tmp_path: Path) -> None:
    """Neither the name makes a file gzip nor its absence a plain one; stored and text bytes are counted apart."""
    plain, packed = tmp_path / "plain.gz", tmp_path / "packed.log"
    plain.write_bytes(LINES)
    packed.write_bytes(gzip.compress(LINES))
    assert read(plain).text == read(packed).text == LINES
    assert read(plain).bytes_read == len(LINES)
    assert read(packed).bytes_read == packed.stat().st_size


@pytest.mark.parametrize(
    "members",
    [
        [LINES[:100], LINES[100:]],
        [b"", LINES, b""],
        [LINES[n : n + 1] for n in range(300)] + [LINES[300:]],
        [LINES[: 1 << 15], b"\n" * (1 << 20), LINES[1 << 15 :]],
    ],
)
def test_gzip_members(members: list[bytes], tmp_path: Path) -> None:
    """A gzip file of many members, some of them empty, is one text; lines go on over the borders."""
    path = tmp_path / "log"
    path.write_bytes(b"".join(gzip.compress(member) for member in members))
    found = read(path)
    assert (found.text, found.error) == (b"".join(members), None)


@pytest.mark.parametrize("zeros", [1, 2, 511, 100_000])
def test_gzip_padding(zeros: int, tmp_path: Path) -> None:
    """Zeros behind a member are padding, at the end and between members."""
    path = tmp_path / "log"
    padding = bytes(zeros)
    path.write_bytes(gzip.compress(LINES) + padding + gzip.compress(b"more\n") + padding)
    found = read(path)
    assert (found.text, found.error) == (LINES + b"more\n", None)


@pytest.mark.parametrize("garbage", [b"garbage", b"x", b"\x1f", b"\0\0x", b"\x1f\x8c\x08", LINES])
def test_gzip_garbage(garbage: bytes, tmp_path: Path) -> None:
    """What is no member behind a member is said, after all text before it was given out."""
    path = tmp_path / "log"
    path.write_bytes(gzip.compress(LINES) + garbage)
    found = read(path)
    assert found.text == LINES
    assert found.error is not None
    assert "gzip" in found.error


@pytest.mark.parametrize("kept", [2, 3, 9, 10, 11, 0.5, -9, -8, -4, -1])
def test_gzip_cut_off(kept: float, tmp_path: Path) -> None:
    """A gzip file that ends too soon gives the text up to there, and says so."""
    whole = gzip.compress(LINES)
    path = tmp_path / "log"
    path.write_bytes(whole[: int(len(whole) * kept) if isinstance(kept, float) else kept])
    found = read(path)
    assert LINES.startswith(found.text)
    assert found.text or kept in range(12)
    assert found.error is not None
    assert "too soon" in found.error


@pytest.mark.parametrize("at", [-8, -4])
def test_gzip_checksum(at: int, tmp_path: Path) -> None:
    """A text that does not have the checksum or the length that gzip noted is said to be damaged."""
    damaged = bytearray(gzip.compress(LINES))
    damaged[at] ^= 1
    path = tmp_path / "log"
    path.write_bytes(damaged)
    found = read(path)
    assert LINES.startswith(found.text)
    assert found.error is not None
    assert "damaged" in found.error


def test_gzip_damage_in_the_middle(tmp_path: Path) -> None:
    """Of a stream damaged half-way most of the text before the damage is given, and only text that was there."""
    packer = zlib.compressobj(wbits=31)
    content = os.urandom(400_000).hex().encode()
    content = b"\n".join(content[n : n + 100] for n in range(0, len(content), 100))
    packed = bytearray(packer.compress(content) + packer.flush())
    middle = len(packed) // 2
    packed[middle : middle + 64] = bytes(64)
    path = tmp_path / "log"
    path.write_bytes(packed)
    found = read(path)
    assert found.error is not None
    assert content.startswith(found.text[: int(len(content) * 0.4)])
    assert len(content) * 0.4 < len(found.text) < len(content)


@pytest.mark.parametrize("case", ["missing", "directory", "zstd"])
def test_what_cannot_be_opened(case: str, tmp_path: Path) -> None:
    """A source that cannot be read raises an error that names it, and leaves no file open."""
    path = tmp_path / case
    if case == "directory":
        path.mkdir()
    elif case == "zstd":
        path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(100))
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


def test_a_file_that_shrinks(tmp_path: Path, sizes: Callable[[int, int], None]) -> None:
    """A file truncated while it is read gives what is left and no more, and says so."""
    sizes(1 << 10, 1 << 12)
    path = tmp_path / "access.log"
    path.write_bytes(LINES)
    reader = open_source(Source(str(path)))
    texts: list[bytes] = []

    def read() -> None:
        for number, piece in enumerate(reader.pieces()):
            texts.extend(bytes(block.text[: block.stop]) for block in piece.blocks())
            if number == 1:
                os.truncate(path, len(b"".join(texts)) + 10)

    with pytest.raises(SourceError, match="was cut at byte"):
        read()
    reader.close()
    assert LINES.startswith(b"".join(texts))
    assert len(b"".join(texts)) < len(LINES)
