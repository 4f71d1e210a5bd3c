"""One run over the logs: scan their pieces on threads, fold what they give in order, remember what was read.

Order matters, because a rate limit and an error record over several lines depend on what came before.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

import polars as pl

from analyzer.addresses.ranges import parse_addresses
from analyzer.errors import UsageError
from analyzer.parsing.layers import name_of
from analyzer.parsing.other import most_first
from analyzer.report.model import Input, RejectedSample, SourceRow
from analyzer.runs.logs import Log, Work, node_of, origins_of, pieces
from analyzer.runs.piece_scan import SAMPLES, PieceScan, Scanned
from analyzer.runs.rejects import Rejects
from analyzer.runs.threads import ordered_map
from analyzer.tables.columns import has_exact_times

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from analyzer.addresses.classify import Classifier
    from analyzer.addresses.cluster import Cluster
    from analyzer.parsing.detect import Known, Shape
    from analyzer.parsing.origin import Origin
    from analyzer.tables import Tables


class Folding(Protocol):
    """What takes the rows of a run: `analyzer.tables.Fold`, or `analyzer.tables.cells.Cells`."""

    def prepare(self, rows: pl.DataFrame) -> pl.DataFrame:
        """What rows tell by themselves is said of them before they are added; on any thread."""

    def add(self, source: int, rows: pl.DataFrame, *, exact_times: bool) -> None:
        """Rows of one stream (its number), which come in the order of its log."""

    def close_source(self, source: int) -> None:
        """No more rows will come from this stream."""


class Stream(NamedTuple):
    """Requests that one process handled, in order: those of one format and one origin within a log."""

    log: Log
    origin: Origin


@dataclass
class Run:
    """One analysis: reads all logs into one fold.

    `known` is what a source may be; with `durations` it is read how long requests lasted. With `go_on` a log that
    cannot be opened is no error even where it is the only one; `closed` is told of each log that is over, when all rows
    of it were folded.
    """

    logs: list[Log]
    known: Known
    fold: Folding
    span: tuple[datetime | None, datetime | None]
    progress: Callable[[int], object] | None
    samples: list[RejectedSample] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)
    keep_rejected: bool = False
    durations: bool = False
    go_on: bool = False
    closed: Callable[[Log], object] | None = None

    def read(self, workers: int, rejects: str | os.PathLike[str] | None) -> None:
        """Scan pieces on threads, fold them in order."""
        try:
            with Rejects(rejects, [log.source.uri for log in self.logs]) as rejects_file:
                self.keep_rejected = rejects_file.wanted
                with closing(
                    ordered_map(self._scan, pieces(self.logs, self.known, go_on=self.go_on), workers)
                ) as scans:
                    for work, scanned in scans:
                        if scanned is None:
                            self._close(work.log)
                        else:
                            self.add(work, scanned, rejects_file)
        finally:
            for log in self.logs:
                log.close()

    def _scan(self, work: Work) -> Scanned | None:
        """Read a piece; runs on a thread."""
        if work.piece is None:
            return None
        scanned = PieceScan(
            work.piece, work.shape, self.known, keep_rejected=self.keep_rejected, durations=self.durations
        ).scan()
        if self.span != (None, None):
            scanned.rows = [rows._replace(frame=self._within_span(work.log, rows.frame)) for rows in scanned.rows]
        scanned.rows = [rows._replace(frame=self.fold.prepare(rows.frame)) for rows in scanned.rows]
        return scanned

    def _within_span(self, log: Log, rows: pl.DataFrame) -> pl.DataFrame:
        if "time" not in rows.columns:
            raise UsageError(f"--since, --until: expected a format that logs a time, got one without: {log.source.uri}")
        since, until = self.span
        if since is not None:
            rows = rows.filter(pl.col("time") >= since)
        return rows if until is None else rows.filter(pl.col("time") < until)

    def _close(self, log: Log) -> None:
        if log.reader is not None:
            log.error = log.error or log.reader.error
        if not log.streams and log.error is None:
            self.stream(log, log.origin, "")  # a pod without a request counts as well
        for stream in log.streams.values():
            self.fold.close_source(stream)
        log.close()
        if log.reader is not None and self.closed is not None:
            self.closed(log)

    def add(self, work: Work, scanned: Scanned, rejects: Rejects) -> None:
        """Fold a piece that was scanned; pieces come in the order of their log."""
        self.count(work.log, work.shape, scanned, rejects)
        self.fold_rows(work.log, scanned)
        if self.progress is not None:
            self.progress(scanned.size)

    def count(self, log: Log, shape: Shape, scanned: Scanned, rejects: Rejects) -> None:
        """Count the lines of a piece, in the order of its log."""
        before = log.lines
        for part in log.count(scanned, keep_rejected=self.keep_rejected):
            first = part.first[: SAMPLES - len(self.samples)]
            self.samples += log.samples(shape, first, before)
            rejects.write(part.lines, log.number)

    def fold_rows(self, log: Log, scanned: Scanned) -> None:
        """Fold the rows of a piece."""
        for rows in scanned.rows:
            name = rows.layout.name
            log.formats[name] = log.formats.get(name, 0) + rows.lines
            if rows.frame.height:
                stream = self.stream(log, rows.origin.within(log.origin), name)
                self.fold.add(stream, rows.frame, exact_times=has_exact_times(rows.layout))

    def stream(self, log: Log, origin: Origin, name: str) -> int:
        """The number of a stream, a new one where there was none."""
        number = log.streams.setdefault((origin, name), len(self.streams))
        if number == len(self.streams):
            self.streams.append(Stream(log, origin))
        return number

    def input(self, tables: Tables, cluster: Cluster | None, begun: float) -> Input:
        """What was read."""
        rows = [self._source_row(log, cluster) for log in self.logs]
        kinds = _sums(log.other.kinds for log in self.logs)
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
            other_kinds=most_first(kinds),
            elapsed_seconds=round(time.perf_counter() - begun, 3),
            cluster=cluster.name if cluster else None,
        )

    def signals(self, tables: Tables) -> dict[str, int]:
        """What access lines and error-log lines gave away."""
        return _sums([tables.signals, *(log.other.signals for log in self.logs)])

    def formats(self) -> dict[str, int]:
        """Lines that each format read."""
        return _sums(log.formats for log in self.logs)

    def senders(self, classifier: Classifier) -> pl.DataFrame:
        """Who sent something else than a PROXY header: ``address``, ``count``, and what `classifier` says of them."""
        return labelled_senders(_sums(log.other.senders for log in self.logs), classifier)

    def origins(self, cluster: Cluster | None) -> pl.DataFrame:
        """The node, pod and namespace that each stream came from, and the name of its log."""
        streams = enumerate(self.streams)
        return origins_of(((number, origin, log.source.name) for number, (log, origin) in streams), cluster)

    def _source_row(self, log: Log, cluster: Cluster | None) -> SourceRow:
        origins = {origin for origin, _ in log.streams} or {log.origin}
        nodes = {node_of(origin, cluster) for origin in origins}
        pods = {origin.pod for origin in origins}
        most = max(log.formats, key=lambda name: log.formats[name], default=None)
        envelope = "+".join(part for part in (log.shape.document, name_of(log.shape.layers)) if part and part != "none")
        known = log.shape.layout is not None or most is not None or envelope
        envelopes = [envelope or "none", *(name for name in most_first(log.mixed) if name != envelope)]
        return SourceRow(
            uri=log.source.name,
            format=log.shape.layout.name if log.shape.layout else most,
            envelope=", ".join(envelopes) if known else None,
            node=nodes.pop() if len(nodes) == 1 else None,
            pod=pods.pop() if len(pods) == 1 else None,
            bytes=log.bytes_read,
            lines=log.lines,
            parsed=log.parsed,
            rejected=log.rejected,
            other=sum(log.other.kinds.values()),
            error=log.error,
            formats=most_first(log.formats),
        )


def labelled_senders(counts: Mapping[str, int], classifier: Classifier) -> pl.DataFrame:
    """Addresses as they were logged with their counts, and what `classifier` says of them."""
    addresses = parse_addresses(pl.Series("address", list(counts), pl.String))
    return classifier.label(pl.DataFrame([addresses, pl.Series("count", list(counts.values()), pl.Int64)]))


def _sums(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Add up counts by name."""
    found: dict[str, int] = {}
    for each in counts:
        for name, count in each.items():
            found[name] = found.get(name, 0) + count
    return found
