"""The last minutes of what is watched: a ring of small tables, each of a few seconds, that add up.

What a line counts for is when it came, not what time it logs. Memory is bounded whatever the logs hold: of a part of
the ring with too many addresses, the rare ones of visitors are put together.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from analyzer.readings.shares import considered
from analyzer.report.model import Input
from analyzer.runs.logs import node_of
from analyzer.runs.recorder import counted
from analyzer.runs.run import labelled_senders
from analyzer.state.state import renumbered
from analyzer.tables import Fold
from analyzer.tables.merge import add_up, frames_of, tables_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from analyzer.addresses.classify import Classifier
    from analyzer.addresses.cluster import Cluster
    from analyzer.parsing.origin import Origin
    from analyzer.runs.run import Run
    from analyzer.tables import Tables

    Stream = tuple[str, Origin]

#: Parts of the ring.
PARTS = 30
#: Addresses of a part, and of all parts together.
MOST = 20_000
#: Names of a kind that are counted: senders may be anybody.
_MOST_NAMES = 1000
_SPREAD = ("user_agents", "forwarded", "signs")
"""What an address shows of who stands behind it, which several put together would show as one proxy."""


@dataclass
class Slice:
    """What came in some seconds: tables, the streams they speak of, and what was counted by name."""

    begun: float
    frames: dict[str, pl.DataFrame] = field(default_factory=dict)
    streams: dict[int, Stream] = field(default_factory=dict)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)


class Window:
    """The last `seconds`; it can be asked what a run can be asked (`analyzer.jobs.judging.WasRead`).

    Parameters
    ----------
    seconds
        Its length.
    classifier
        Says by ranges what addresses are.
    """

    def __init__(self, seconds: float, classifier: Classifier) -> None:
        self.seconds = seconds
        self._classifier = classifier
        self._numbers: dict[Stream, int] = {}
        self._next = 0
        self._none = frames_of(Fold(classifier).tables())
        self._recent: list[Slice] = []
        self._parts: deque[Slice] = deque()
        self._before = Slice(0.0)
        self._whole = Slice(0.0)

    def add(self, run: Run, tables: Tables, begun: float, now: float) -> None:
        """Take what a run read since `begun`, and let go of what is too old `now`, both in seconds of one clock."""
        taken = self._slice(run, tables, begun)
        if self._recent and now - self._recent[0].begun > self.seconds / PARTS:
            self._parts.append(self._sum(self._recent))
            self._recent = []
        self._recent.append(taken)
        while self._parts and self._parts[0].begun < now - self.seconds:
            self._parts.popleft()
        if len(self._recent) == 1:  # the parts have changed
            self._before = self._sum(self._parts)
        self._whole = self._sum([self._before, *self._recent])
        self._numbers = {stream: number for number, stream in self._whole.streams.items()}

    def tables(self) -> Tables:
        """The tables of the window."""
        return tables_of(self._whole.frames or self._none)

    def shares(self, labelled: pl.DataFrame) -> list[tuple[int, int]]:
        """Requests considered and preserved in each part, the oldest first, as the addresses are judged now."""
        parts = [*self._parts, *([self._sum(self._recent)] if self._recent else [])]
        tables = [
            part.frames["addresses"].with_columns(part=pl.lit(at, pl.UInt32))
            for at, part in enumerate(parts)
            if part.frames
        ]
        if not tables:
            return [(0, 0)] * len(parts)
        judged = labelled.select("address", "class", "health_probe", "in_cluster", "visitor")
        rows = pl.concat(tables).join(judged, on="address", how="inner").with_columns(considered())
        sums = rows.group_by("part").agg(
            pl.sum("considered"), pl.col("considered").filter("visitor").sum().alias("own")
        )
        found = {part: (total, own) for part, total, own in sums.iter_rows()}
        return [found.get(at, (0, 0)) for at in range(len(parts))]

    def input(self, tables: Tables, cluster: Cluster | None, begun: float) -> Input:  # noqa: ARG002
        """What was read; the sources are told by whoever follows them."""
        read = self._whole.counts.get("read", {})
        kinds = self._whole.counts.get("other", {})
        return Input(
            sources=[],
            bytes=read.get("bytes", 0),
            lines=read.get("lines", 0),
            parsed=read.get("parsed", 0),
            rejected=read.get("rejected", 0),
            other=sum(kinds.values()),
            first_time=tables.addresses["first_time"].min(),  # type: ignore[arg-type]
            last_time=tables.addresses["last_time"].max(),  # type: ignore[arg-type]
            other_kinds=dict(sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0]))),
            cluster=cluster.name if cluster else None,
        )

    def signals(self, tables: Tables) -> dict[str, int]:
        """What access lines and error-log lines gave away."""
        counts = self._whole.counts.get("signal", {})
        return {name: tables.signals.get(name, 0) + counts.get(name, 0) for name in tables.signals | counts}

    def formats(self) -> dict[str, int]:
        """Lines that each format read."""
        return self._whole.counts.get("format", {})

    def senders(self, classifier: Classifier) -> pl.DataFrame:
        """Who sent something else than a PROXY header, see `analyzer.runs.run.Run.senders`."""
        return labelled_senders(self._whole.counts.get("sender", {}), classifier)

    def origins(self, cluster: Cluster | None) -> pl.DataFrame:
        """The node, pod and namespace that each stream came from, and the name of its log."""
        rows = [
            (number, node_of(origin, cluster), origin.pod, origin.namespace, uri)
            for number, (uri, origin) in self._whole.streams.items()
        ]
        schema = {"source": pl.UInt32, **dict.fromkeys(("node", "pod", "namespace", "name"), pl.String)}
        return pl.DataFrame(rows, schema=schema, orient="row")

    def _slice(self, run: Run, tables: Tables, begun: float) -> Slice:
        streams = [(stream.log.source.uri, stream.origin) for stream in run.streams]
        for stream in streams:
            if stream not in self._numbers:
                self._numbers[stream] = self._next
                self._next += 1
        numbers = [self._numbers[stream] for stream in streams]
        mapping = pl.DataFrame(
            {"source": range(len(numbers)), "number": numbers}, schema={"source": pl.UInt32(), "number": pl.UInt32()}
        )
        frames = frames_of(tables) if run.logs else {}
        counts = [
            {
                **counted(log),
                "read": {"bytes": log.bytes_read, "lines": log.lines, "parsed": log.parsed, "rejected": log.rejected},
            }
            for log in run.logs
        ]
        return self._bounded(
            Slice(
                begun,
                {name: renumbered(frame, mapping, "source") for name, frame in frames.items()},
                dict(zip(numbers, streams, strict=True)),
                _added(counts),
            )
        )

    def _sum(self, slices: Sequence[Slice]) -> Slice:
        full = [each for each in slices if each.frames]
        streams = {number: stream for each in slices for number, stream in each.streams.items()}
        begun = slices[0].begun if slices else 0.0
        counts = _added(each.counts for each in slices)
        if len(full) < 2:
            return Slice(begun, full[0].frames if full else {}, streams, counts)
        together = {name: pl.concat([each.frames[name] for each in full]) for name in self._none}
        return self._bounded(Slice(begun, frames_of(tables_of(together)), streams, counts))

    def _bounded(self, found: Slice) -> Slice:
        """Put the rare addresses of visitors together, by chance but always the same, where there are too many."""
        if not found.frames or found.frames["addresses"].height <= MOST:
            return found
        addresses = found.frames["addresses"].sort("requests", descending=True)
        labelled = self._classifier.label(addresses).select("class").to_series()
        rare = (pl.int_range(pl.len()) >= MOST // 2) & labelled.is_in(["client", "private"])
        kept, others = addresses.filter(~rare), addresses.filter(rare)
        group = [pl.col("address").hash() % (MOST // 4), labelled.filter(addresses.select(rare).to_series())]
        others = others.with_columns(pl.col("address").min().over(group), *(pl.col(name) * 0 for name in _SPREAD))
        found.frames["addresses"] = pl.concat([kept, add_up("addresses", [others]).select(kept.columns)], rechunk=True)
        for name in ("entries", "clients"):
            frame = found.frames[name]
            found.frames[name] = frame.join(found.frames["addresses"].select("address"), on="address", how="semi")
        return found


def _added(parts: Iterable[dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
    """Add up counts by kind and name."""
    sums: dict[str, dict[str, int]] = {}
    for part in parts:
        for kind, counts in part.items():
            of_kind = sums.setdefault(kind, {})
            for name, count in counts.items():
                if name in of_kind or len(of_kind) < _MOST_NAMES:
                    of_kind[name] = of_kind.get(name, 0) + count
    return sums
