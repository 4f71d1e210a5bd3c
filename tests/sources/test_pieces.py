"""Where pieces may be cut apart, and what can be read out of them again."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sources.reads import PACK, piped

from analyzer.sources import Source, objects, open_source, reading, streams
from analyzer.sources.objects import Object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from analyzer.sources import Piece, Reader

each_way = pytest.mark.parametrize("way", ["file", "gzip", "zstd", "pipe", "object"])
per_example = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Stored:
    """An object that comes in parts of this size; one that was given back is written over."""

    def __init__(self, content: bytes, size: int) -> None:
        self._coming = iter(bytearray(content[at : at + size]) for at in range(0, len(content), size))
        self._content = content
        self.bytes_read = 0

    def read_at(self, start: int, size: int) -> bytes:
        """Bytes from a place on."""
        return self._content[start : start + size]

    def part(self) -> memoryview:
        """The next part."""
        part = next(self._coming, bytearray())
        self.bytes_read += len(part)
        return memoryview(part)

    def free(self, part: memoryview) -> None:
        """See that nobody reads it any more."""
        if isinstance(part.obj, bytearray):
            memoryview(part.obj)[:] = b"!" * len(part.obj)

    def close(self) -> None:
        """Nothing is held."""


@contextmanager
def opened(content: bytes, way: str, folder: Path) -> Iterator[Reader]:
    """A reader of this content, stored one way or another."""
    if way == "pipe":
        with piped(content, folder / "pipe") as path:
            reader = open_source(Source(str(path)))
            yield reader
            reader.close()
        return
    if way == "object":
        yield Object(Stored(content, min(objects.PIECE, 37 if objects.PIECE < 1000 else 5000)))
        return
    path = folder / "log"
    path.write_bytes(content if way == "file" else PACK[way](content))
    reader = open_source(Source(str(path)))
    yield reader
    reader.close()


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Return a function that sets the longest line and the size of a piece."""

    def set_sizes(longest: int, piece: int) -> None:
        monkeypatch.setattr(reading, "MAX_LINE", longest)
        for module in (reading, streams, objects):
            monkeypatch.setattr(module, "PIECE", piece)

    return set_sizes


def text_of(piece: Piece) -> bytes:
    """All of a piece."""
    return b"".join(bytes(block.text[: block.stop]) for block in piece.blocks())


def record_lines(parts: list[tuple[int, int]]) -> bytes:
    """Records of so many lines of such a length; all but a record's last begin with P, the last with F."""
    return b"".join(b"P%s\n" % (b"x" * length) * (lines - 1) + b"F%s\n" % (b"x" * length) for lines, length in parts)


def is_partial(tail: bytes) -> bool:
    """Whether the last line is a part that goes on in the next."""
    return tail[tail.rfind(b"\n", 0, -1) + 1 :].startswith(b"P")


@each_way
@per_example
@given(
    parts=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 20)), max_size=60),
    piece=st.integers(1, 600),
    longest=st.integers(300, 600),
)
def test_records_stay_whole(
    way: str,
    parts: list[tuple[int, int]],
    piece: int,
    longest: int,
    tmp_path: Path,
    sizes: Callable[[int, int], None],
) -> None:
    """No piece ends within a record, all bytes come, and the cut moves no further than it must."""
    sizes(longest, piece)
    content = record_lines(parts)
    asked: list[bytes] = []

    def open_end(tail: bytes) -> bool:
        asked.append(tail)
        return is_partial(tail)

    with opened(content, way, tmp_path) as reader:
        texts = [text_of(piece) for piece in reader.pieces(open_end)]
    assert b"".join(texts) == content
    assert not any(is_partial(text) for text in texts)
    assert all(len(text) <= piece + longest + 300 for text in texts)
    whole = b"\n" + content
    assert all(tail.endswith(b"\n") and b"\n" + tail in whole for tail in asked)


@each_way
def test_what_stays_open_is_cut(way: str, tmp_path: Path, sizes: Callable[[int, int], None]) -> None:
    """A record that never ends is cut one longest line further on, and asked about a bounded number of times."""
    sizes(1 << 16, 1 << 17)
    content = b"P part of something\n" * 60_000
    asked = 0

    def open_end(_: bytes) -> bool:
        nonlocal asked
        asked += 1
        return True

    with opened(content, way, tmp_path) as reader:
        texts = [text_of(piece) for piece in reader.pieces(open_end)]
    assert b"".join(texts) == content
    assert len(texts) > 3
    assert all(text.endswith(b"\n") and len(text) <= (1 << 17) + (2 << 16) for text in texts)
    assert asked < 100 * len(texts)


@each_way
def test_a_line_too_long_behind_a_part(way: str, tmp_path: Path, sizes: Callable[[int, int], None]) -> None:
    """Where a line that is too long comes, a record is not kept together, and nothing is lost."""
    sizes(50, 100)
    content = b"".join(b"P%d\n" % n + b"y" * (n * 7 % 300) + b"\nF\n" for n in range(300))
    with opened(content, way, tmp_path) as reader:
        pieces = list(reader.pieces(is_partial))
        assert b"".join(map(text_of, pieces)) == content
        assert all(piece.offset == len(b"".join(map(text_of, pieces[:n]))) for n, piece in enumerate(pieces))


@pytest.mark.parametrize("last", [10, 64 << 10, (64 << 10) + 1, 70_000, 200_000])
def test_the_lines_that_are_asked_about(last: int) -> None:
    """They are 64 KiB of whole lines, or the last line alone where that is longer."""
    text = b"a\n" * 50_000 + b"z" * (last - 1) + b"\n"
    for cut in (len(text), len(text) - last):
        tail = reading.tail_of(text, cut)
        assert text[:cut].endswith(tail)
        assert text[cut - len(tail) - 1 : cut - len(tail)] == b"\n"
        line = last if cut == len(text) else 2
        assert len(tail) in ({line} if line > 64 << 10 else {64 << 10, (64 << 10) - 1})
    assert reading.tail_of(b"a\nb\n", 2) == b"a\n"


@each_way
@per_example
@given(
    lengths=st.lists(st.one_of(st.integers(0, 30), st.integers(0, 300)), min_size=1, max_size=30),
    piece=st.integers(1, 400),
    longest=st.integers(4, 80),
    data=st.data(),
)
def test_reading_again(
    way: str,
    lengths: list[int],
    piece: int,
    longest: int,
    data: st.DataObject,
    tmp_path: Path,
    sizes: Callable[[int, int], None],
) -> None:
    """Any bytes of a piece can be read again, and any line by where it begins, up to the longest."""
    sizes(longest, piece)
    content = b"".join(b"%c" % (97 + n % 26) * length + b"\n" for n, length in enumerate(lengths)) + b"last"
    starts = [at for at in range(len(content)) if at == 0 or content[at - 1] == 0x0A]
    with opened(content, way, tmp_path) as reader:
        for found in list(reader.pieces(lambda tail: tail[-2] % 3 > 0 if len(tail) > 1 else False)):
            stop = found.offset + len(text_of(found))
            start = data.draw(st.integers(found.offset, stop))
            size = data.draw(st.integers(0, 500))
            assert found.read(start, size) == content[start : min(start + size, stop)]
            for outside in (found.offset - 1, stop + 1):
                with pytest.raises(ValueError, match=f"expected an offset from {found.offset} to {stop}"):
                    found.read(outside, 1)
            for line in (at for at in starts if found.offset <= at < stop):
                end = content.find(b"\n", line) + 1 or len(content)
                assert found.line_at(line) == content[line : min(end, line + longest, stop)]


@each_way
@pytest.mark.parametrize("length", [4095, 4096, 4097, 70_000, (1 << 20) - 1, 1 << 20, 3 << 20])
def test_reading_a_long_line_again(way: str, length: int, tmp_path: Path) -> None:
    """A line is read again up to the longest."""
    content = b"before\n" + b"x" * (length - 1) + b"\nbehind\n"
    with opened(content, way, tmp_path) as reader:
        lines = [piece.line_at(7) for piece in reader.pieces() if piece.offset <= 7]
    assert lines == [content[7 : 7 + min(length, 1 << 20)]]
