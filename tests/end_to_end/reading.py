"""What logscan must make of the logs that real programs wrote: every line read, and who sent it."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl
from command import logscan
from scanners import native_or_skip

from analyzer.native import SCANNER
from analyzer.parsing.detect import Known, by_detail, detect
from analyzer.parsing.envelopes import load_envelopes
from analyzer.parsing.formats import load_formats
from analyzer.parsing.layers import Layers
from analyzer.parsing.portable import Scanner
from analyzer.parsing.schema import Kind, Output, outputs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from end_to_end.servers import Sent

SCANNERS = ["native", "portable"]
_SAID = ("format", "envelope", "parsed", "rejected", "other")
_KNOWN = Known([layout for known in load_formats() for layout in known.layouts], load_envelopes())


class Log(NamedTuple):
    """A log that a program wrote.

    Attributes
    ----------
    path
        The file.
    format, envelope
        What a report must call it.
    sent
        What was sent, one for each access line, in order.
    other
        Lines between them that tell of no request.
    """

    path: Path
    format: str
    sent: list[Sent]
    envelope: str = "none"
    other: int = 0


def assert_read(logs: Sequence[Log], scanner: str) -> tuple[dict[str, Any], dict[str, int]]:
    """The installed command names the format of each log and reads every access line of it.

    Returns what the report says of the first source, and of all other lines.
    """
    if scanner == "native":
        native_or_skip(SCANNER)
    folder = logs[0].path.parent
    rejects = folder / f"rejects-{scanner}"
    ran = logscan(
        "analyze", *(log.path for log in logs), "--format", "json", "--rejects", rejects,
        cwd=folder, env={"LOGSCAN_SCANNER": scanner},
    )  # fmt: skip
    assert ran.stdout, ran.stderr
    read = ran.report["input"]
    by_uri = {row["uri"]: row for row in read["sources"]}
    sources = [by_uri[str(log.path)] for log in logs]
    wrong = [
        f"{row['uri']}: expected {expected}, got {found}"
        for log, row in zip(logs, sources, strict=True)
        if (found := tuple(row[key] for key in _SAID))
        != (expected := (log.format, log.envelope, len(log.sent), 0, log.other))
    ]
    rejected = rejects.read_bytes()
    assert not wrong, "\n".join([*wrong, *map(repr, rejected.splitlines()[:20])])
    assert rejected == b""
    assert ran.status == 0, ran.stderr
    return sources[0], read["other_kinds"]


def assert_clients(logs: Iterable[Log], *, ports: bool = True) -> None:
    """Each access line of each log names who sent the request, by address and, where the format has it, port."""
    wrong = []
    for log in logs:
        for sent, found in zip_longest(log.sent, _senders(log)):
            expected = sent and (sent.client if ports else sent.client[0])
            got = found and (found if ports else found[0] or "")
            if got != expected:
                wrong.append(f"{log.path}: expected {expected!r}, got {got!r} for {sent and sent.request.name}")
                break
    assert not wrong, "\n".join(wrong)


def _senders(log: Log) -> list[tuple[str | None, int | None]]:
    """The address and the port that each access line of a log names, in order."""
    text = log.path.read_bytes()
    shape = detect(text, _KNOWN)
    assert shape.layout is not None
    inside = Layers(shape.layers)
    inner, stop = inside.unwrap(text, len(text), 0)
    found: dict[int, tuple[str | None, int | None]] = {}
    for layout in by_detail(layout for layout in _KNOWN.layouts if layout.name == shape.layout.name):
        wanted = [Output("line", Kind.LINE, 0), *outputs(layout, ["remote_addr", "remote_port"])]
        scanner = Scanner(layout, wanted)
        scanner.scan(inner, 0, stop, 0)
        rows = scanner.take().rows.with_columns(
            pl.lit(None).alias(name) for name in ("remote_addr", "remote_port") if name not in layout.columns
        )
        for line, address, port in rows.select("line", "remote_addr", "remote_port").iter_rows():
            found.setdefault(line, (address, port))
    return [found[line] for line in sorted(found)]
