"""One run over the logs: scan their pieces on threads, fold what they give in order, remember what was read.

Order matters, because a rate limit and an error record over several lines depend on what came before.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from analyzer.errors import SourceError, UsageError
from analyzer.parsing.detect import detect, detect_head
from analyzer.parsing.log_format import REASONS, LineFormat
from analyzer.parsing.other import OtherLines, split_lead
from analyzer.parsing.scanner import new_scanner
from analyzer.rejects import Rejects
from analyzer.report.model import Input, RejectedSample, SourceRow
from analyzer.sources import Piece, Reader, Source, open_source
from analyzer.tables.columns import has_exact_times, narrow_outputs
from analyzer.threads import ordered_map

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from analyzer.addresses.cluster import Cluster
    from analyzer.parsing.scanner import Scanner
    from analyzer.tables import Fold, Tables

#: Rejected lines that the report shows, and how much of each.
_SAMPLES = 20
_SAMPLE_BYTES = 500

#: Lines that fit no format are sorted when so many have come together.
_MISFITS = 100_000

_CONTINUED = REASONS.index("continued")


@dataclass
class Log:
    """A source on its way through."""

    number: int
    source: Source
    other: OtherLines
    reader: Reader | None = None
    line_format: LineFormat | None = None
    lines: int = 0
    parsed: int = 0
    rejected: int = 0
    error: str | None = None


class Work(NamedTuple):
    """A piece to scan, or None where the log is over."""

    log: Log
    piece: Piece | None
    line_format: LineFormat | None


class Rejected(NamedTuple):
    """Rejected lines: how many, the first of them, and all of them as they came where they are wanted."""

    number: int
    first: list[dict[str, Any]]
    lines: bytes


@dataclass
class Scanned:
    """What a piece held.

    `lead` are the misfits at its beginning, which the piece before may explain; the others are sorted already.
    """

    rows: pl.DataFrame
    parsed: int
    lines: int
    size: int
    lead: pl.DataFrame | None
    rejected: list[Rejected]
    other: OtherLines | None
    error: str | None


@dataclass
class Run:
    """One analysis: reads all logs into one fold."""

    logs: list[Log]
    formats: list[LineFormat]
    forced: bool
    fold: Fold
    span: tuple[datetime | None, datetime | None]
    progress: Callable[[int], object] | None
    samples: list[RejectedSample] = field(default_factory=list)
    keep_rejected: bool = False

    def read(self, workers: int, rejects: str | os.PathLike[str] | None) -> None:
        """Scan pieces on threads, fold them in order."""
        with Rejects(rejects, [log.source.uri for log in self.logs]) as rejects_file:
            self.keep_rejected = rejects_file.wanted
            for work, scanned in ordered_map(self._scan, self._pieces(), workers):
                if scanned is None:
                    self._close(work.log)
                else:
                    self._fold(work, scanned, rejects_file)

    def _pieces(self) -> Iterator[Work]:
        """All pieces of all logs in order, each with the format known by then."""
        for log in self.logs:
            try:
                log.reader = open_source(log.source)
            except SourceError as error:
                if len(self.logs) == 1:
                    raise
                log.error = str(error).removeprefix(f"{log.source.uri}: ")
                continue
            log.line_format = self.formats[0] if self.forced else detect_head(log.reader.head, self.formats)
            for piece in log.reader.pieces():
                if log.line_format is None:
                    log.line_format = self._look_for_format(piece)
                yield Work(log, piece, log.line_format)
            yield Work(log, None, log.line_format)

    def _look_for_format(self, piece: Piece) -> LineFormat | None:
        """The format of a log that begins with other lines."""
        with suppress(SourceError):  # scanning meets it too, and says it
            for block in piece.blocks():
                found = None if block.too_long else detect(block.text[: block.stop], self.formats)
                if found is not None:
                    return found
        return None

    def _scan(self, work: Work) -> Scanned | None:
        """Read a piece; runs on a thread. What no format reads still has lines to count and to sort."""
        if work.piece is None:
            return None
        line_format = work.line_format or self.formats[0]
        scanner = new_scanner(line_format, narrow_outputs(line_format))
        takes: list[pl.DataFrame] = []
        found = Scanned(pl.DataFrame(), 0, 0, 0, None, [], None, None)
        try:
            for block in work.piece.blocks():
                found.size += block.stop
                if block.too_long:
                    scanner.reject(block.text, 0, block.stop, block.offset, block.continued)
                else:
                    scanner.scan(block.text, 0, block.stop, block.offset)
                if scanner.misfits() > _MISFITS:
                    takes.append(self._take(scanner, work.piece, found))
        except SourceError as error:
            found.error = str(error)
        takes.append(self._take(scanner, work.piece, found))
        found.rows = pl.concat(takes)
        found.parsed = found.rows.height
        if self.span != (None, None):
            found.rows = self._within_span(work.log, found.rows)
        return found

    def _take(self, scanner: Scanner, piece: Piece, found: Scanned) -> pl.DataFrame:
        """Sort the misfits that wait, so that there are never many of them; return the rows."""
        taken = scanner.take()
        misfits = taken.misfits.with_columns(pl.col("number") + found.lines)
        if found.lead is None:
            found.lead, misfits = split_lead(misfits, piece.offset)
        if misfits.height or taken.blank:
            found.other = found.other or OtherLines()
            found.other.count("blank", taken.blank)
            found.rejected.append(self._rejected(found.other.sort(misfits)))
        found.lines += taken.lines
        return taken.rows

    def _rejected(self, misfits: pl.DataFrame) -> Rejected:
        lines = misfits.filter(pl.col("reason") != _CONTINUED)
        kept = b"".join(misfits["line"].to_list()) if self.keep_rejected else b""
        # As Python objects: a slice of the frame would keep all of it in memory.
        return Rejected(lines.height, lines.head(_SAMPLES).to_dicts(), kept)

    def _within_span(self, log: Log, rows: pl.DataFrame) -> pl.DataFrame:
        if "time" not in rows.columns:
            raise UsageError(f"--since, --until: expected a format that logs a time, got one without: {log.source.uri}")
        since, until = self.span
        if since is not None:
            rows = rows.filter(pl.col("time") >= since)
        return rows if until is None else rows.filter(pl.col("time") < until)

    def _close(self, log: Log) -> None:
        self.fold.close_source(log.number)
        if log.reader is not None:
            log.error = log.error or log.reader.error
            log.reader.close()

    def _fold(self, work: Work, scanned: Scanned, rejects: Rejects) -> None:
        log = work.log
        rejected = [*scanned.rejected]
        if scanned.lead is not None:
            rejected.insert(0, self._rejected(log.other.sort(scanned.lead)))
        if scanned.other is not None:
            log.other.add(scanned.other)
        for part in rejected:
            self._note(work, part.first)
            rejects.write(part.lines, log.number)
            log.rejected += part.number
        log.lines += scanned.lines
        log.parsed += scanned.parsed
        log.error = log.error or scanned.error
        if scanned.rows.height:
            exact = work.line_format is not None and has_exact_times(work.line_format)
            self.fold.add(log.number, scanned.rows, exact_times=exact)
        if self.progress is not None:
            self.progress(scanned.size)

    def _note(self, work: Work, rejected: list[dict[str, Any]]) -> None:
        """Keep the first rejected lines of the run for the report."""
        for row in rejected[: _SAMPLES - len(self.samples)]:
            explain = work.line_format.explain if work.line_format else _fits_nothing
            text = row["line"][:_SAMPLE_BYTES].decode("utf-8", "replace").rstrip("\r\n")
            line = work.log.lines + row["number"] + 1
            self.samples.append(
                RejectedSample(work.log.source.uri, line, explain(row["field"] - 1, row["reason"]), text)
            )

    def input(self, tables: Tables, cluster: Cluster | None, begun: float) -> Input:
        """What was read."""
        rows = [
            SourceRow(
                uri=log.source.uri,
                format=log.line_format.name if log.line_format else None,
                envelope="none" if log.line_format else None,
                node=_node(log.source, cluster),
                pod=log.source.pod,
                bytes=log.reader.bytes_read if log.reader else 0,
                lines=log.lines,
                parsed=log.parsed,
                rejected=log.rejected,
                other=sum(log.other.kinds.values()),
                error=log.error,
            )
            for log in self.logs
        ]
        kinds: dict[str, int] = {}
        for log in self.logs:
            for kind, count in log.other.kinds.items():
                kinds[kind] = kinds.get(kind, 0) + count
        return Input(
            sources=rows,
            bytes=sum(row.bytes for row in rows),
            lines=sum(row.lines for row in rows),
            parsed=sum(row.parsed for row in rows),
            rejected=sum(row.rejected for row in rows),
            other=sum(row.other for row in rows),
            first_time=tables.addresses["first_time"].min(),  # type: ignore[arg-type]
            last_time=tables.addresses["last_time"].max(),  # type: ignore[arg-type]
            rejected_samples=self.samples,
            other_kinds=dict(sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0]))),
            elapsed_seconds=round(time.perf_counter() - begun, 3),
            cluster=cluster.name if cluster else None,
        )

    def signals(self, tables: Tables) -> dict[str, int]:
        """What access lines and error-log lines gave away."""
        found = dict(tables.signals)
        for log in self.logs:
            for name, count in log.other.signals.items():
                found[name] = found.get(name, 0) + count
        return found

    def origins(self, tables: Tables, cluster: Cluster | None) -> pl.DataFrame:
        """The table of sources with the node, pod and namespace that each came from."""
        rows = [
            (log.number, _node(log.source, cluster), log.source.pod, log.source.namespace)
            for log in self.logs
            if log.error is None or log.parsed
        ]
        schema = {"source": pl.UInt32, "node": pl.String, "pod": pl.String, "namespace": pl.String}
        sources = pl.DataFrame(rows, schema=schema, orient="row").join(tables.sources, on="source", how="left")
        return sources.with_columns(pl.col("considered").fill_null(0))


def _node(source: Source, cluster: Cluster | None) -> str | None:
    return cluster.node_of(source.namespace, source.pod) if cluster is not None and source.pod is not None else None


def _fits_nothing(_: int, __: int) -> str:
    return "fits no known log format"
