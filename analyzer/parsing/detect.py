"""Which format some lines have: the one that reads most of them.

A source is judged by its first bytes; one that begins with other lines, by the first of its blocks that a format reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.parsing.scanner import new_scanner
from analyzer.parsing.schema import Kind, Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.parsing.log_format import LineFormat

#: Bytes at the beginning of a source that are tried with every format.
HEAD = 64 << 10


def detect_head(head: bytes, known: Sequence[LineFormat]) -> LineFormat | None:
    """The format of a source that begins so; only `HEAD` bytes are tried."""
    text = head[:HEAD]
    if len(head) > HEAD:
        text = text[: text.rfind(b"\n") + 1] or text
    return detect(text, known)


def detect(text: bytes | bytearray, known: Sequence[LineFormat]) -> LineFormat | None:
    """The format that reads most of these lines, or None where none reads any.

    Of two that read equally many the one with more fields wins, which says more about each line.
    """
    counted = [(_lines_read(format_, text), len(format_.fields), format_) for format_ in known]
    read, _, best = max(counted, key=lambda found: found[:2], default=(0, 0, None))
    return best if read else None


def _lines_read(format_: LineFormat, text: bytes | bytearray) -> int:
    scanner = new_scanner(format_, [Output("offset", Kind.OFFSET, 0)])
    scanner.scan(text, 0, len(text), 0)
    return scanner.take().rows.height
