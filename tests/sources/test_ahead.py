"""What runs ahead on a thread of its own: in order, not too far, and never left behind."""

from __future__ import annotations

import os
import select
import threading
import time
from typing import TYPE_CHECKING

import pytest
from sources.reads import PACK

from analyzer.errors import SourceError
from analyzer.sources import Source, open_source, reading, streams
from analyzer.sources.ahead import Ahead

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = b"".join(b"line %d of a log\n" % n for n in range(100_000))
#: Hard to compress.
NOISE = b"".join(b"%s\n" % os.urandom(50).hex().encode() for _ in range(30_000))


def threads() -> list[threading.Thread]:
    """The threads that read ahead."""
    return [thread for thread in threading.enumerate() if thread.name == "logscan-ahead"]


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    """After every test all threads have ended."""
    yield
    for thread in threads():
        thread.join(10)
    assert threads() == []


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many pieces of a short log."""
    monkeypatch.setattr(reading, "MAX_LINE", 1 << 12)
    monkeypatch.setattr(streams, "PIECE", 1 << 14)


def test_in_order_then_the_error() -> None:
    """Items come in order; what the iterator raises comes behind them, where they are taken."""

    def items() -> Iterator[int]:
        yield from range(100)
        raise SourceError("enough")

    ahead = Ahead(items(), 3)
    taking = iter(ahead)
    assert [next(taking) for _ in range(100)] == list(range(100))
    with pytest.raises(SourceError, match="enough"):
        next(taking)
    assert list(ahead) == []
    ahead.join()


def test_not_too_far_ahead() -> None:
    """At most so many items wait, and one more that is made."""
    made: list[int] = []
    full = threading.Event()

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            if number == 13:
                full.set()
            yield number

    ahead = Ahead(items(), 3)
    taking = iter(ahead)
    assert [next(taking) for _ in range(10)] == list(range(10))
    assert full.wait(10)
    time.sleep(0.05)
    assert len(made) == 14
    ahead.stop()
    ahead.join()
    assert len(made) == 14


def test_bugs_come_through() -> None:
    """An exception that nobody expects is not lost with its thread."""
    ahead = Ahead((1 // number for number in (1, 0)), 1)
    taking = iter(ahead)
    assert next(taking) == 1
    with pytest.raises(ZeroDivisionError):
        next(taking)
    ahead.join()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("pack", PACK.values())
@pytest.mark.parametrize("taken", [0, 1, 5])
def test_stopping_early(pack: object, taken: int, tmp_path: Path) -> None:
    """Whoever has enough closes the reader, and nothing runs on; no file stays open."""
    path = tmp_path / "log"
    path.write_bytes(pack(NOISE))  # type: ignore[operator]
    before = sorted(os.listdir("/proc/self/fd"))
    reader = open_source(Source(str(path)))
    for _, _ in zip(range(taken), reader.pieces(), strict=False):
        pass
    read = reader.bytes_read
    reader.close()
    assert threads() == []
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert read < path.stat().st_size


@pytest.mark.usefixtures("small")
def test_a_failing_consumer(tmp_path: Path) -> None:
    """Where scanning fails and nobody closes the reader, the thread ends with the iterator."""
    path = tmp_path / "log"
    path.write_bytes(PACK["gzip"](CONTENT))
    reader = open_source(Source(str(path)))

    def scan() -> None:
        for piece in reader.pieces():
            raise ZeroDivisionError(piece.offset)

    with pytest.raises(ZeroDivisionError):
        scan()
    for thread in threads():
        thread.join(10)
    left = threads()
    reader.close()
    assert left == []


@pytest.mark.parametrize("pack", [bytes, PACK["gzip"], PACK["zstd"]])
def test_a_pipe_that_says_nothing_more(pack: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader can be closed while it waits for a pipe whose writer neither writes nor closes."""
    monkeypatch.setattr(reading, "MAX_LINE", 1 << 12)
    monkeypatch.setattr(streams, "HEAD", 1 << 10)
    monkeypatch.setattr(streams, "_FIRST_PIECE", 1 << 10)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)
    os.write(writer, pack(b"another line\n" * 1000))  # type: ignore[operator]
    reader = open_source(Source(str(path)))
    while select.select([writer], [], [], 0)[0]:
        time.sleep(0.01)  # until all of it was read
    time.sleep(0.1)
    closing = threading.Thread(target=reader.close, daemon=True)
    closing.start()
    closing.join(10)
    assert not closing.is_alive()
    os.close(writer)


@pytest.mark.usefixtures("small")
def test_pieces_outlive_their_reader(tmp_path: Path) -> None:
    """Pieces in memory keep what they hold, in whatever order they are let go, and however many are made meanwhile."""
    path = tmp_path / "log"
    path.write_bytes(PACK["gzip"](CONTENT))
    reader = open_source(Source(str(path)))
    kept, offsets = [], []
    for number, piece in enumerate(reader.pieces()):
        offsets.append(piece.offset)
        if number % 3 == 0:
            kept.append(piece)
    reader.close()
    assert offsets[3] == kept[1].offset
    for piece in reversed(kept):
        text = b"".join(bytes(block.text[: block.stop]) for block in piece.blocks())
        assert text
        assert CONTENT[piece.offset :].startswith(text)
