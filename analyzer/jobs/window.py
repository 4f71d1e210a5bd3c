"""The last minutes of what is watched: a ring of small tables, each of a few seconds, that add up.

What a line counts for is when it came, not what time it logs. Memory is bounded whatever the logs hold and however long
they are watched: each table of a part is, of too many addresses the rare ones are put together (`analyzer.jobs.crowd`),
and a part that is too old goes whole.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from analyzer.jobs.crowd import Crowd
from analyzer.parsing.other import most_first
from analyzer.readings.shares import considered
from analyzer.report.model import Input
from analyzer.runs.logs import origins_of
from analyzer.runs.recorder import counted
from analyzer.runs.run import labelled_senders
from analyzer.state.state import renumbered
from analyzer.tables import Fold
from analyzer.tables.merge import frames_of, tables_of

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
#: Parts that are added up at once: the more, the more memory it takes.
_AT_ONCE = 5
#: Names of a kind that are counted: senders may be anybody.
_MOST_NAMES = 1000


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
        self.crowd = Crowd(classifier)
        self._parts: deque[tuple[Slice, pl.DataFrame]] = deque()  # each with its `_visits`
        self._before = self._part = self._whole = Slice(-math.inf)

    def add(self, run: Run, tables: Tables, begun: float, now: float) -> None:
        """Take what a run read since `begun`, and let go of what is too old `now`, both in seconds of one clock."""
        if begun - self._part.begun >= self.seconds / PARTS:
            if math.isfinite(self._part.begun):
                self._parts.append((self._part, self._visits(self._part)))
            while self._parts and self._parts[0][0].begun < now - self.seconds:
                self._parts.popleft()
            self._before, self._part = self._sum([part for part, _ in self._parts]), Slice(begun)
        self._part = self._sum([self._part, self._slice(run, tables, begun)])
        self._numbers = {stream: number for number, stream in (self._before.streams | self._part.streams).items()}

    def tables(self) -> Tables:
        """The tables of the window as it is now, of which all other methods tell."""
        self._whole = self._sum([self._before, self._part])
        return tables_of(self._whole.frames or self._none)

    def shares(self, labelled: pl.DataFrame) -> list[tuple[int, int]]:
        """Requests considered and preserved in each part, the oldest first, as the addresses are judged now."""
        other = labelled.filter(pl.col("visitor") != (pl.col("range_class") == "client"))["address"].implode()
        own = pl.col("client") != pl.col("address").is_in(other)
        sums = pl.sum("considered"), pl.col("considered").filter(own).sum().alias("own")
        return [visits.select(sums).row(0) for visits in (*(each for _, each in self._parts), self._visits(self._part))]

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
            other_kinds=most_first(kinds),
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
        streams = self._whole.streams.items()
        return origins_of(((number, origin, uri) for number, (uri, origin) in streams), cluster)

    def _slice(self, run: Run, tables: Tables, begun: float) -> Slice:
        streams = [(stream.log.source.name, stream.origin) for stream in run.streams]
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
        return Slice(
            begun,
            self.crowd.bounded({name: renumbered(frame, mapping, "source") for name, frame in frames.items()}),
            dict(zip(numbers, streams, strict=True)),
            _added(counts),
        )

    def _sum(self, slices: Sequence[Slice]) -> Slice:
        """Add up slices, the oldest first."""
        whole, left = slices[0] if slices else Slice(-math.inf), slices[1:]
        while left:
            together, left = [whole, *left[:_AT_ONCE]], left[_AT_ONCE:]
            full = [each.frames for each in together if each.frames]
            frames = full[0] if full else {}
            if len(full) > 1:
                parts = {name: pl.concat([each[name] for each in full]) for name in self._none}
                frames = self.crowd.bounded(frames_of(tables_of(parts)))
            streams = {number: stream for each in together for number, stream in each.streams.items()}
            whole = Slice(whole.begun, frames, streams, _added(each.counts for each in together))
        return whole

    def _visits(self, part: Slice) -> pl.DataFrame:
        """The considered requests of each address, and whether it is a visitor's by its range."""
        addresses = part.frames.get("addresses", self._none["addresses"])
        counted = self._classifier.label(addresses).with_columns(considered())
        return counted.select("address", "considered", client=pl.col("class") == "client")


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
