"""The way of a log through the program: sources to frames to tables to readings to the report.

Pieces of the sources are scanned side by side on threads, which release the GIL for it. What they give is folded in
the order of the input, because a rate limit and an error record over several lines depend on what came before.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from analyzer._version import __version__
from analyzer.addresses.classify import Classifier, declared
from analyzer.addresses.cluster import Cluster
from analyzer.errors import SourceError, UsageError
from analyzer.parsing.detect import detect, detect_head
from analyzer.parsing.formats import choose_format, load_formats
from analyzer.parsing.log_format import REASONS, LineFormat
from analyzer.parsing.other import OtherLines, split_lead
from analyzer.parsing.scanner import new_scanner
from analyzer.readings.geo import geo
from analyzer.readings.preservation import preservation
from analyzer.readings.rate_limit import rate_limit
from analyzer.readings.skew import skew
from analyzer.readings.timeline import timeline
from analyzer.rejects import Rejects
from analyzer.report.model import Input, RejectedSample, Report, SourceRow
from analyzer.sources import Piece, Reader, Source, find, open_source
from analyzer.tables import Fold, Tables, limit_grid
from analyzer.tables.columns import has_exact_times, narrow_outputs
from analyzer.tables.limit_req import BURST_MULTIPLIER
from analyzer.threads import ordered_map

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from analyzer.addresses.geo import GeoDatabase
    from analyzer.parsing.scanner import Scanner
    from analyzer.readings.skew import By
    from analyzer.tables.limit_req import Limit

#: Rejected lines that the report shows, and how much of each.
_SAMPLES = 20
_SAMPLE_BYTES = 500

#: Lines that fit no format are sorted when so many have come together.
_MISFITS = 100_000

_CONTINUED = REASONS.index("continued")


def analyze(  # noqa: PLR0913 - the options of the command line
    source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    cluster: Cluster | str | os.PathLike[str] | None = None,
    log_format: str | None = None,
    node: Iterable[str] = (),
    lb: Iterable[str] = (),
    client: Iterable[str] = (),
    private: Iterable[str] = (),
    rules: Iterable[str | os.PathLike[str]] = (),
    geoip: Iterable[str | os.PathLike[str]] = (),
    since: datetime | None = None,
    until: datetime | None = None,
    by: By | None = None,
    limit_rps: Iterable[int] = (),
    limit_burst_multiplier: int = BURST_MULTIPLIER,
    top: int = 20,
    rejects: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> Report:
    """Read access logs and say whether client IPs are preserved in them.

    Parameters
    ----------
    source
        A file, a glob, a directory, ``-`` for standard input, or several of them.
    cluster
        ``kubectl get nodes,services,pods -A -o json``, as a file or loaded.
    log_format
        An nginx ``log_format`` string or the name of a known format; detected for each source where not given.
    node, lb, client, private
        CIDRs that are so whatever any rule says.
    rules
        Folders with more rules, read after the shipped ones.
    geoip
        MMDB files with countries or ASNs.
    since, until
        Only requests in this half-open range of time count. A time without a zone is UTC.
    by
        What skew is measured over; chosen by what is known where not given.
    limit_rps
        Limits in requests per second to try beside the shipped grid.
    limit_burst_multiplier
        ingress-nginx's ``limit-burst-multiplier``.
    top
        How many addresses, countries and groups a list shows; 0 is all.
    rejects
        A file to write the lines to that could not be read, byte for byte.
    workers
        Threads that scan; default: the processors that this process may use.
    progress
        Called with the number of bytes after each piece of the input.

    Raises
    ------
    LogscanError
        For options that cannot be meant and files that cannot be read. A source that breaks off half-way is no error:
        the report says so.
    """
    begun = time.perf_counter()
    names = [source] if isinstance(source, (str, os.PathLike)) else list(source)
    grid = _grid(limit_rps, limit_burst_multiplier)
    if workers is not None and workers < 1:
        raise UsageError(f"--workers: expected at least 1, got {workers}")
    if by not in {None, "node", "pod", "source"}:
        raise UsageError(f"--by: expected node, pod or source, got {by!r}")
    if top < 0:
        raise UsageError(f"--top: expected 0 or more, got {top}")
    known_cluster = cluster if isinstance(cluster, Cluster) or cluster is None else Cluster.load(Path(cluster))
    more_rules = [Path(folder) for folder in rules]
    classifier = Classifier(
        declared=declared(node=node, lb=lb, client=client, private=private),
        cluster=known_cluster.networks() if known_cluster else (),
        extra_rules=more_rules,
    )
    database = _open_geo([Path(file) for file in geoip])
    known = load_formats(more_rules)
    chosen = choose_format(log_format, known) if log_format is not None else None
    run = _Run(
        [_Log(number, found, OtherLines()) for number, found in enumerate(find(names))],
        [chosen] if chosen else [format_.line_format for format_ in known],
        forced=chosen is not None,
        fold=Fold(classifier, grid),
        span=_span(since, until),
        progress=progress,
    )
    run.read(workers or _processors(), rejects)
    tables = run.fold.tables()
    labelled = classifier.label(tables.addresses)
    return Report(
        version=__version__,
        input=run.input(tables, known_cluster, begun),
        preservation=preservation(labelled, top=top),
        signals=run.signals(tables),
        skew=skew(
            run.origins(tables, known_cluster),
            labelled,
            by=by,
            names=[log.source.uri for log in run.logs],
            cluster=known_cluster,
        ),
        geo=geo(labelled, database, top=top),
        rate_limit=rate_limit(labelled, tables.limits, tables.limit_requests, grid),
        timeline=timeline(tables.timeline, tables.bucket_seconds),
    )


def _span(since: datetime | None, until: datetime | None) -> tuple[datetime | None, datetime | None]:
    try:
        start, end = (
            moment and (moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC))
            for moment in (since, until)
        )
    except OverflowError:
        raise UsageError("--since, --until: expected times between the years 1 and 9999 in UTC") from None
    if start is not None and end is not None and start >= end:
        raise UsageError(f"--until: expected a time after --since {start.isoformat()}, got {end.isoformat()}")
    return start, end


def _grid(limit_rps: Iterable[int], multiplier: int) -> list[Limit]:
    more = list(limit_rps)
    for option, values, most in (("--limit-rps", more, 10_000), ("--limit-burst-multiplier", [multiplier], 100)):
        for value in values:
            if not 1 <= value <= most:
                raise UsageError(f"{option}: expected a whole number from 1 to {most:,}, got {value}")
    if len(more) > 50:
        raise UsageError(f"--limit-rps: expected at most 50 limits, got {len(more)}")
    return limit_grid(more, multiplier)


def _open_geo(files: list[Path]) -> GeoDatabase | None:
    if not files:
        return None
    from analyzer.addresses.geo import GeoDatabase  # noqa: PLC0415 - costs its import only where it is used

    return GeoDatabase.open(files)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass
class _Log:
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


class _Work(NamedTuple):
    """A piece to scan, or None where the log is over."""

    log: _Log
    piece: Piece | None
    line_format: LineFormat | None


class _Rejected(NamedTuple):
    """Rejected lines: how many, the first of them, and all of them as they came where they are wanted."""

    number: int
    first: list[dict[str, Any]]
    lines: bytes


@dataclass
class _Scanned:
    """What a piece held.

    `lead` are the misfits at its beginning, which the piece before may explain; the others are sorted already.
    """

    rows: pl.DataFrame
    parsed: int
    lines: int
    size: int
    lead: pl.DataFrame | None
    rejected: list[_Rejected]
    other: OtherLines | None
    error: str | None


@dataclass
class _Run:
    """One analysis: reads all logs into one fold."""

    logs: list[_Log]
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

    def _pieces(self) -> Iterator[_Work]:
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
                yield _Work(log, piece, log.line_format)
            yield _Work(log, None, log.line_format)

    def _look_for_format(self, piece: Piece) -> LineFormat | None:
        """The format of a log that begins with other lines."""
        with suppress(SourceError):  # scanning meets it too, and says it
            for block in piece.blocks():
                found = None if block.too_long else detect(block.text[: block.stop], self.formats)
                if found is not None:
                    return found
        return None

    def _scan(self, work: _Work) -> _Scanned | None:
        """Read a piece; runs on a thread. What no format reads still has lines to count and to sort."""
        if work.piece is None:
            return None
        line_format = work.line_format or self.formats[0]
        scanner = new_scanner(line_format, narrow_outputs(line_format))
        takes: list[pl.DataFrame] = []
        found = _Scanned(pl.DataFrame(), 0, 0, 0, None, [], None, None)
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

    def _take(self, scanner: Scanner, piece: Piece, found: _Scanned) -> pl.DataFrame:
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

    def _rejected(self, misfits: pl.DataFrame) -> _Rejected:
        lines = misfits.filter(pl.col("reason") != _CONTINUED)
        kept = b"".join(misfits["line"].to_list()) if self.keep_rejected else b""
        # As Python objects: a slice of the frame would keep all of it in memory.
        return _Rejected(lines.height, lines.head(_SAMPLES).to_dicts(), kept)

    def _within_span(self, log: _Log, rows: pl.DataFrame) -> pl.DataFrame:
        if "time" not in rows.columns:
            raise UsageError(f"--since, --until: expected a format that logs a time, got one without: {log.source.uri}")
        since, until = self.span
        if since is not None:
            rows = rows.filter(pl.col("time") >= since)
        return rows if until is None else rows.filter(pl.col("time") < until)

    def _close(self, log: _Log) -> None:
        self.fold.close_source(log.number)
        if log.reader is not None:
            log.error = log.error or log.reader.error
            log.reader.close()

    def _fold(self, work: _Work, scanned: _Scanned, rejects: Rejects) -> None:
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

    def _note(self, work: _Work, rejected: list[dict[str, Any]]) -> None:
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
