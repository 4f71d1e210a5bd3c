"""Sources that are no UTF-8 text: UTF-16 is read as if it were, what cannot be read is refused with a remedy."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest
from sources.reads import read

import analyzer
from analyzer.errors import SourceError
from analyzer.sources import Source, open_source

if TYPE_CHECKING:
    from pathlib import Path

LINE = '203.0.113.7 - - [21/Nov/2026:07:08:09 +0000] "GET /caf\u00e9/\U0001f600 HTTP/1.1" 200 612 "-" "curl/8.5.0"'
TEXT = "".join(f"{LINE} {number}\n" for number in range(3000))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("mark", ["\ufeff", ""])
@pytest.mark.parametrize("step", [1, 7, 1 << 16])
def test_utf_16_is_read_as_utf_8(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, mark: str, step: int
) -> None:
    """With a byte order mark or without, wherever a read ends: also within a letter of four bytes."""
    monkeypatch.setattr("analyzer.sources.compression._TEXT", step)
    path = tmp_path / "log"
    text = TEXT if step > 7 else TEXT[:2000]
    path.write_bytes((mark + text).encode(encoding))
    found = read(path)
    assert (found.text.removeprefix(mark.encode()), found.error) == (text.encode(), None)


def test_utf_16_that_is_broken_loses_no_line(tmp_path: Path) -> None:
    """Half a letter at the end and a lone surrogate are lines that cannot be read, or letters of one that can."""
    path = tmp_path / "log"
    path.write_bytes(b"\xff\xfe" + f"{LINE}\r\n{LINE}".encode("utf-16-le") + b"\x00\xd8\r\x00\n\x00x")
    report = json.loads(analyzer.analyze(path).to_json())["input"]
    assert (report["lines"], report["parsed"], report["rejected"]) == (3, 1, 2)


@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xfe\xff"])
def test_bytes_of_a_mark_before_plain_text_are_a_broken_line(tmp_path: Path, mark: bytes) -> None:
    """One broken byte pair at the beginning loses a line, not the log."""
    path = tmp_path / "log"
    path.write_bytes(mark + f" no UTF-8\n{LINE}\n".encode())
    report = json.loads(analyzer.analyze(path).to_json())["input"]
    assert (report["lines"], report["parsed"], report["rejected"]) == (2, 1, 1)


def _zip() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("access.log", TEXT)
    return held.getvalue()


def _tar() -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        about = tarfile.TarInfo("access.log")
        about.size = len(TEXT.encode())
        archive.addfile(about, io.BytesIO(TEXT.encode()))
    return held.getvalue()


@pytest.mark.parametrize(
    ("stored", "what"),
    [
        (_zip(), "a zip archive"),
        (_tar(), "a tar archive"),
        (gzip.compress(_tar()), "a tar archive"),
        (gzip.compress(gzip.compress(TEXT.encode())), "compressed twice"),
        (gzip.compress(TEXT.encode("utf-16")), "UTF-16 within"),
        (TEXT.encode("utf-32"), "UTF-32"),
        (b"\x04\x22\x4d\x18\x64\x40\xa7" + bytes(50), "lz4"),
        (b"\xff\x06\x00\x00sNaPpY" + bytes(50), "snappy"),
        (b"PAR1" + bytes(50) + b"PAR1", "Parquet"),
        (b"LPKSHHRH" + bytes(300), "a journal of systemd"),
    ],
)
def test_what_is_no_log_is_refused(tmp_path: Path, stored: bytes, what: str) -> None:
    """One message says what a source is, and what makes a log of it."""
    path = tmp_path / "log"
    path.write_bytes(stored)
    with pytest.raises(SourceError, match=what) as found:
        open_source(Source(str(path)))
    assert str(path) in str(found.value)
    assert found.value.hint


def test_other_logs_are_read_beside_it(tmp_path: Path) -> None:
    """An archive among logs is named in the report, and nothing of the others is lost."""
    (tmp_path / "access.log").write_text(f"{LINE}\n")
    (tmp_path / "old.tar.gz").write_bytes(gzip.compress(_tar()))
    with pytest.warns(analyzer.LogscanWarning, match="found a tar archive"):
        report = analyzer.analyze(tmp_path)
    sources = json.loads(report.to_json())["input"]["sources"]
    assert [(source["parsed"], source["error"]) for source in sources] == [
        (1, None),
        (0, "expected a log of text or JSON, found a tar archive"),
    ]
