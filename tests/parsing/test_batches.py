"""Documents as batches of lines: in order, with what is said of each, and with what can be read of a cut one."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from runs import run_all
from scanners import FORMATS
from wrapping import MOMENT, Where
from wrapping_documents import DOCUMENTS, array, plain_array

from analyzer.errors import SourceError
from analyzer.parsing import batches as module
from analyzer.parsing.batches import Batch, batches
from analyzer.parsing.json_values import MAX_VALUE
from analyzer.sources import Block, Piece
from analyzer.sources.reading import Held

if TYPE_CHECKING:
    from pathlib import Path

LINE = str(FORMATS["combined"].samples[0]["line"])
LINES = [f"{LINE[:-1]} {number}{LINE[-1]}" for number in range(30)]


def pieces(content: bytes, size: int) -> list[Piece]:
    """The content in pieces of two blocks each, of so many bytes, wherever they end."""
    blocks = [Block(content[at : at + size], len(content[at : at + size]), at) for at in range(0, len(content), size)]
    return [
        Piece(pair[0].offset, inside=False, content=Held(pair, lambda _: None))
        for pair in (blocks[at : at + 2] for at in range(0, len(blocks), 2))
    ]


def read(content: bytes, size: int) -> list[Batch]:
    """All batches."""
    return list(batches(pieces(content, size)))


def lines_of(found: list[Batch]) -> list[str]:
    """All lines, each by where it begins."""
    lines = [batch.line_at(start) for batch in found for start in batch.inner.lines["start"]]
    assert b"".join(lines) == b"".join(batch.text for batch in found)
    return [line.decode().removesuffix("\n") for line in lines]


@pytest.mark.parametrize("kind", [kind for kind, one in DOCUMENTS.items() if one.tells and "+" not in one.name])
@pytest.mark.parametrize("size", [1, 7, 1000, 1 << 20])
def test_a_document_reads_alike_in_any_blocks(kind: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines, origins and times are the same wherever blocks and batches end."""
    monkeypatch.setattr(module, "_BATCH", 10 * size)
    at = Where(pod="web-0")
    found = read(DOCUMENTS[kind].make(LINES, at), size)
    assert lines_of(found) == LINES
    assert {tuple(batch.inner.origins[number]) for batch in found for number in batch.inner.lines["origin"]} == {at}
    times = [time for batch in found for time in batch.inner.lines["time"]]
    assert times == [times[0] + timedelta(seconds=number) for number in range(len(LINES))]
    assert round(times[0].timestamp() * 1000) == MOMENT
    assert [batch.error for batch in found] == [None] * len(found)
    assert all(batch.inner.source_lines == batch.inner.lines.height for batch in found)


def test_batches_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch ends when it has enough bytes; numbers and starts begin anew in each."""
    monkeypatch.setattr(module, "_BATCH", 1000)
    found = read(array(LINES, Where()), 100)
    assert len(found) > 3
    assert all(len(batch.text) < 2500 for batch in found)
    assert all(batch.inner.lines["number"].to_list() == list(range(batch.inner.lines.height)) for batch in found)
    assert all(batch.inner.parts["start"].to_list() == batch.inner.lines["start"].to_list() for batch in found)


@pytest.mark.parametrize("kind", ["array", "plain array", "records", "objects", "subscription", "cloudwatch"])
def test_a_cut_document_gives_what_was_whole(kind: str) -> None:
    """Wherever a document of many values is cut, those before are read, and the last batch tells of the rest."""
    lines = [f'{{"client_ip":"203.0.113.{number}","status":200}}' for number in range(5)]
    content = DOCUMENTS[kind].make(lines, Where()).strip()
    before = 0
    for end in range(40, len(content)):
        found = read(content[:end], 1 << 20)
        texts = lines_of(found)
        assert before <= len(texts) <= len(lines)
        before = len(texts)
        if found[-1].error is not None:
            assert found[-1].error.startswith("breaks off in the middle of a JSON value of ")
            with pytest.raises(SourceError, match="breaks off"):
                list(found[-1].blocks())
    assert lines_of(read(content, 1 << 20))[-1].replace(" ", "") or before
    assert len(lines_of(read(content, 1 << 20))) == len(lines)


def test_a_value_that_is_too_long() -> None:
    """A value beyond the bound ends the document with one sentence; what came before it is read."""
    content = plain_array(['{"status":200}', '{"a":"' + "x" * (MAX_VALUE + (9 << 20)) + '"}'], Where())
    *_, last = batches(pieces(content, 8 << 20))
    assert last.error == "expected a JSON value of at most 64 MiB, got a longer one"
    assert lines_of([last]) == ['{"status":200}']


def test_nothing_at_all() -> None:
    """No bytes are one empty batch."""
    [batch] = batches([])
    assert (batch.text, batch.error, batch.inner.lines.height) == (b"", None, 0)
    assert list(batch.blocks()) == []


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_a_run_over_a_cut_document(kind: str, tmp_path: Path) -> None:
    """A run counts what was whole and says why it ended."""
    name = "kong-json" if DOCUMENTS[kind].parsed else "combined"
    lines = [str(sample["line"]) for sample in FORMATS[name].samples if "expect" in sample]
    content = DOCUMENTS[kind].make(lines, Where()).strip()
    (tmp_path / "log").write_bytes(content[: len(content) * 2 // 3])
    [ran] = run_all([tmp_path / "log"])
    single = DOCUMENTS[kind].name.startswith(("loki", "otlp", "elasticsearch"))
    assert (ran.log.parsed > 0) is not single
    assert ran.log.rejected == 0
    assert (ran.log.error or "").startswith("breaks off in the middle of a JSON value of ")
