"""A run with a state: reads what is new, adds it to what the state holds, and says of all of it what a `Run` says.

A log counts when it was read to its end, or to its last whole line where it may grow; one that breaks off does not
count, and the next run tries it again. Every minute, and for every few million rows, what was read is committed.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import polars as pl

from analyzer.errors import StateError, UsageError
from analyzer.parsing.origin import Origin
from analyzer.parsing.other import OtherLines, most_first
from analyzer.report.model import Input, RejectedSample, StateRow
from analyzer.rules import rule_files
from analyzer.runs.increment_run import increment_run
from analyzer.runs.logs import Log, origins_of
from analyzer.runs.piece_scan import SAMPLES
from analyzer.runs.recorder import Recorder, counted
from analyzer.runs.run import Run, labelled_senders
from analyzer.runs.threads import thread_count
from analyzer.state.changes import ENDED, find_changes
from analyzer.state.state import SETTLED, now, opened, renumbered
from analyzer.state.summary import limit_name
from analyzer.tables.merge import tables_of

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime, timedelta
    from pathlib import Path

    from analyzer.addresses.classify import Classifier
    from analyzer.addresses.cluster import Cluster
    from analyzer.parsing.detect import Known
    from analyzer.sources import Source
    from analyzer.sources.dates import Span
    from analyzer.state.changes import Change, Changes
    from analyzer.state.state import Frames, State
    from analyzer.tables import Folds, Tables

_MADE_WITH = {
    "networks": "what addresses are (the cluster file, --node and its like, --rules)",
    "formats": "how lines are read (--log-format, --rules)",
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What tables depend on beside the logs; the digests of `made_with` tell whether any of it has changed."""

    folds: Folds
    allowlist: Sequence[str]
    made_with: Mapping[str, str]


@dataclass
class Increment:
    """What a state holds after one more run, or the hours of it since `since`."""

    url: str
    run: Run
    state: State
    frames: Frames
    since: datetime | None
    changes: Changes
    notes: list[str] = field(default_factory=list)

    def tables(self) -> Tables:
        """The tables of all that counts, streams numbered as in `origins`."""
        frames = self.frames
        if self.since is not None:
            frames = {name: frame.filter(pl.col("hour") >= self.since) for name, frame in frames.items()}
        numbers = self._streams().select(pl.col("stream").alias("source"), "number")
        numbered = [name for name, frame in frames.items() if "source" in frame.columns]
        return tables_of({**frames, **{name: renumbered(frames[name], numbers, "source") for name in numbered}})

    def _streams(self) -> pl.DataFrame:
        """The streams that count: of a window those that had requests in it, or were read in it."""
        streams = self.state.ledger["streams"].sort("stream")
        if self.since is not None:
            read = self.state.ledger["logs"].filter(pl.col("read") >= self.since)["log"]
            asked = self.frames["sources"].filter(pl.col("hour") >= self.since)["source"]
            streams = streams.filter(pl.col("log").is_in(read.implode()) | pl.col("stream").is_in(asked.implode()))
        return streams.with_row_index("number")

    def origins(self, cluster: Cluster | None) -> pl.DataFrame:
        """The node, pod and namespace that each stream came from, and the name of its log."""
        logs = self.state.ledger["logs"].select("log", pl.col("uri").alias("name"))
        streams = self._streams().join(logs, on="log", how="left", maintain_order="left")
        rows = streams.select("number", "name", "node", "pod", "namespace", "container").iter_rows()
        return origins_of(((number, Origin(*origin), name) for number, name, *origin in rows), cluster)

    def signals(self, tables: Tables) -> dict[str, int]:
        """What access lines gave away, and lines of error logs: of a window, those that this run read."""
        if self.since is not None:
            return self.run.signals(tables)
        of_errors = dict.fromkeys(OtherLines().signals, 0) | self._counts("signal")
        return {name: tables.signals.get(name, 0) + of_errors.get(name, 0) for name in tables.signals | of_errors}

    def formats(self) -> dict[str, int]:
        """Lines that each format read."""
        return self.run.formats() if self.since is not None else self._counts("format")

    def senders(self, classifier: Classifier) -> pl.DataFrame:
        """Who sent something else than a PROXY header, see `Run.senders`."""
        return self.run.senders(classifier) if self.since else labelled_senders(self._counts("sender"), classifier)

    def _counts(self, what: str) -> dict[str, int]:
        counts = self.state.ledger["counts"].filter(pl.col("what") == what)
        return dict(counts.group_by("name").agg(pl.col("count").sum()).sort("name").iter_rows())

    def input(self, tables: Tables, cluster: Cluster | None, begun: float) -> Input:
        """What was read: the sources of this run, and sums of all runs, of a window those of this run."""
        of_run = self.run.input(tables, cluster, begun)
        about = self._about()
        if self.since is not None:
            return replace(of_run, state=about)
        sums = self.state.ledger["logs"].select(pl.col("bytes", "lines", "parsed", "rejected").sum()).row(0, named=True)
        kinds = self._counts("other")
        return replace(
            of_run,
            **sums,
            other=sum(kinds.values()),
            other_kinds=most_first(kinds),
            rejected_samples=self._samples(),
            state=about,
        )

    def _samples(self) -> list[RejectedSample]:
        logs = self.state.ledger["logs"].select("log", "uri")
        samples = self.state.ledger["samples"].join(logs, on="log", how="left").sort("uri", "line")
        return [
            RejectedSample(*row) for row in samples.select("uri", "line", "reason", "text").head(SAMPLES).iter_rows()
        ]

    def _about(self) -> StateRow:
        read = [change for change in self.changes.to_read if change.known is None]
        return StateRow(
            url=self.url,
            generation=self.state.manifest["generation"],
            logs=self.state.ledger["logs"].height,
            new=len(read),
            grown=sum(change.begin > 0 for change in self.changes.to_read),
            read_anew=sum(change.known is not None and not change.begin for change in self.changes.to_read),
            waiting_bytes=self.state.ledger.waiting_bytes(),
            since=self.since,
            notes=self.notes,
        )


def read_increment(  # noqa: PLR0913 - what a run needs, and the state
    url: str,
    sources: Sequence[Source],
    known: Known,
    settings: Settings,
    *,
    window: timedelta | None,
    workers: int | None,
    cluster_engine: str | None,
    rejects: str | os.PathLike[str] | None,
    progress: Callable[[int], object] | None,
    say: Callable[[str], object],
) -> Increment:
    """Read what is new, and commit it.

    Raises
    ------
    StateError
        Where the state cannot be read or written, or was made with other limits. It is as it was before then.
    UsageError
        Where logs stand among its files.
    """
    inside = next((source.uri for source in sources if source.uri.startswith(f"{url.rstrip('/')}/")), None)
    if inside is not None:
        raise UsageError(
            f"--state: expected a place without logs, got one that holds {inside}",
            hint="give the state a folder or prefix of its own, outside of what is read",
        )
    with opened(url, say) as state:
        notes = _check(state, settings)
        changes = find_changes(sources, state.ledger)
        logs = [_log(number, change, state) for number, change in enumerate(changes.to_read)]
        run, cells = increment_run(logs, known, settings.folds, progress)
        writer = Recorder(state, changes, run, cells)
        if cluster_engine is None:
            run.closed = writer.close
            run.read(thread_count(workers), rejects)
        else:
            from analyzer.runs.scale_out_increment import read_on_cluster  # noqa: PLC0415 - only where it is wanted

            read_on_cluster(cluster_engine, run, cells, settings.folds, writer.close, workers=workers, rejects=rejects)
        run.logs += [_refused(len(run.logs) + at, *refused) for at, refused in enumerate(changes.refused)]
        writer.finish(sources)
        frames = state.tables() or cells.take()[0]
    since = None if window is None else _hour(now() - window)
    return Increment(url, run, state, frames, since, changes, notes)


def listed_for(window: timedelta) -> Span:
    """Of when logs in folders by date are looked for: of the window, and as far back as one can be read anew."""
    return now() - max(window, SETTLED), None


def made_with(labels: Classifier, log_format: str | None, rules: Sequence[Path]) -> dict[str, str]:
    """What tables depend on beside the logs, in a form that tells whether it has changed."""
    formats = hashlib.sha256((log_format or "").encode(errors="surrogateescape"))
    for file in (*rule_files("formats", rules), *rule_files("envelopes", rules)):
        formats.update(file.read_bytes())
    return {"networks": labels.fingerprint(), "formats": formats.hexdigest()}


def _check(state: State, settings: Settings) -> list[str]:
    """Whether what is to come can be added to what there is; return what one should know of that."""
    # What is looked up besides depends on what is shown.
    limits = [f"{limit.controller} {limit.name} {limit.policy}" for limit in settings.folds.limits if limit.shown]
    limits += [f"limit-allowlist {cidr}" for cidr in sorted({*settings.allowlist})]
    if state.manifest.setdefault("limits", limits) != limits:
        others = {*limits} ^ {*state.manifest["limits"]}
        got = f"others: {limit_name(min(others))}" if others else "them in another order"
        raise StateError(
            f"{state.store.url}: expected the rate limits that this state was made with, got {got}",
            hint="give the same --limit-..., --kong-... and --envoy-... options, or another --state",
        )
    before, after = state.manifest["made_with"], settings.made_with
    changed = [words for name, words in _MADE_WITH.items() if before.get(name, after[name]) != after[name]]
    state.manifest["made_with"] = dict(after)
    return [
        f"{state.store.url}: since the last run it has changed {words}: addresses are judged anew, but the timeline, "
        "loads and chains stay as they were judged when they were read; to judge all anew, use another --state while "
        "the logs are still there"
        for words in changed
    ]


def _log(number: int, change: Change, state: State) -> Log:
    stamp = change.stamp
    grows = stamp is not None and time.time() - stamp.modified / 1e9 <= ENDED
    log = Log(number, change.source, change.begin, grows, (stamp.device, stamp.inode) if stamp else None)
    if change.begin and change.known is not None:
        log.lines, log.parsed, log.rejected = (change.known[name] for name in ("lines", "parsed", "rejected"))
        log.other.continues_at = change.known["continues_at"]
        counts = state.ledger["counts"].filter(pl.col("log") == change.known["log"])
        for what, name, count in counts.select("what", "name", "count").iter_rows():
            counted(log)[what][name] = count
        log.left = state.ledger.left_by(change.known["log"])
    return log


def _refused(number: int, source: Source, why: str) -> Log:
    return Log(number, source, error=why)


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
