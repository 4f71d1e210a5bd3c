"""Writes the logs that a run has read into a state."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import polars as pl

from analyzer.state.changes import digests_of
from analyzer.state.files import packed
from analyzer.state.ledger import SCHEMAS
from analyzer.state.state import now, renumbered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.runs.logs import Log
    from analyzer.runs.run import Run
    from analyzer.sources import Source
    from analyzer.state.changes import Change, Changes
    from analyzer.state.state import State
    from analyzer.tables.cells import Cells, Left

#: Seconds and rows after which what was read is committed.
_EVERY, _ROWS = 60.0, 2_000_000


class Recorder:
    """Commits the logs of a run when they are over; one that broke off is left out.

    Parameters
    ----------
    state
        Where they are written.
    changes
        What of the logs was to be read: a log of the run has the number of its change.
    run, cells
        What reads them, and what is made of them.
    """

    def __init__(self, state: State, changes: Changes, run: Run, cells: Cells) -> None:
        self._state = state
        self._changes = changes
        self._run = run
        self._cells = cells
        self._done: list[Log] = []
        self._last = time.monotonic()

    def close(self, *logs: Log) -> None:
        """Take logs that are over."""
        self._done += [log for log in logs if log.error is None]
        if len(self._cells) > _ROWS or time.monotonic() - self._last > _EVERY:
            self._commit()

    def finish(self, sources: Sequence[Source]) -> None:
        """Commit what is left, and what became of the other logs."""
        ledger, moved = self._state.ledger, self._changes.moved
        ledger.put("logs", "log", moved)
        uris = pl.Series([source.name for source in sources], dtype=pl.String)
        late = self._state.see(ledger["logs"].filter(pl.col("uri").is_in(uris.implode()))["log"])
        if self._done or moved or late or self._state.is_new:
            self._commit()

    def _commit(self) -> None:
        rows, left = self._cells.take()
        numbers = self._add(self._done)
        mapping = pl.DataFrame(
            {"source": list(numbers), "number": [stream for stream, _ in numbers.values()]},
            schema={"source": pl.UInt32(), "number": pl.UInt32()},
        )
        self._leave({numbers[stream]: what for stream, what in left.items() if stream in numbers})
        self._state.commit({name: renumbered(frame, mapping, "stream", "source") for name, frame in rows.items()})
        self._done, self._last = [], time.monotonic()

    def _add(self, logs: list[Log]) -> dict[int, tuple[int, int]]:
        """Write logs into the ledger; return by the numbers of the run their streams' and their own in the state."""
        state, changes = self._state, [self._changes.to_read[log.number] for log in logs]
        state.take_out([change.known["log"] for change in changes if change.known is not None and not change.goes_on])
        known = [
            change.known["log"] if change.known and change.goes_on else state.new_number("log") for change in changes
        ]
        there = self._streams_of([number for number, change in zip(known, changes, strict=True) if change.goes_on])
        written: dict[str, list[dict[str, Any]]] = {name: [] for name in ("logs", "streams", "counts", "samples")}
        numbers: dict[int, tuple[int, int]] = {}
        samples = {log.source.name: number for log, number in zip(logs, known, strict=True)}
        for log, change, number in zip(logs, changes, known, strict=True):
            written["logs"].append(_row(log, number, change))
            written["counts"] += [
                {"log": number, "what": what, "name": name, "count": count}
                for what, counts in counted(log).items()
                for name, count in counts.items()
                if count
            ]
            keys = {key: stream for key, stream in there.items() if key[0] == number} if change.goes_on else {}
            for (origin, name), stream in log.streams.items():
                key = (number, *origin, name)
                if key not in keys:
                    keys[key] = state.new_number("stream")
                numbers[stream] = keys[key], number
            asked = any(key[-1] for key in keys)  # the name of no format stands for a log without a request
            written["streams"] += [
                dict(zip(SCHEMAS["streams"], (stream, *key), strict=True))
                for key, stream in keys.items()
                if key[-1] or not asked
            ]
        for name in ("logs", "streams", "counts"):
            state.ledger.put(name, "log", written[name], of=known)
        for sample in self._run.samples:
            if sample.uri in samples:
                row = {"log": samples[sample.uri], "line": sample.line, "reason": sample.reason, "text": sample.text}
                written["samples"].append(row)
        state.ledger.put("samples", "log", written["samples"], of=())
        return numbers

    def _streams_of(self, logs: list[int]) -> dict[tuple[Any, ...], int]:
        """The streams of logs, by the log, where its lines were written, and their format."""
        wanted = pl.Series(logs, dtype=SCHEMAS["logs"]["log"]).implode()
        streams = self._state.ledger["streams"].filter(pl.col("log").is_in(wanted))
        return {tuple(row[1:]): row[0] for row in streams.iter_rows()}

    def _leave(self, left: dict[tuple[int, int], Left]) -> None:
        """Keep how streams stand."""
        ledger, streams = self._state.ledger, [stream for stream, _ in left]
        pending = [
            what.pending.with_columns(
                pl.lit(log, SCHEMAS["pending"]["log"]).alias("log"),
                pl.lit(stream, SCHEMAS["pending"]["stream"]).alias("stream"),
            )
            for (stream, log), what in left.items()
        ]
        parts = [
            {"log": log, "stream": stream, "part": part, "frame": packed(frame)}
            for (stream, log), what in left.items()
            for part, frame in what.saved.items()
        ]
        ledger.put("pending", "stream", pending, of=streams)
        ledger.put("replays", "stream", parts, of=streams)


def counted(log: Log) -> dict[str, dict[str, int]]:
    """What is counted of a log by name."""
    other = log.other
    return {"other": other.kinds, "signal": other.signals, "sender": other.senders, "format": log.formats}


def _row(log: Log, number: int, change: Change) -> dict[str, Any]:
    stamp, moment, end = change.stamp, now(), log.end
    told = digests_of(log.source.uri, end, stamp)
    known = change.known if change.goes_on else None
    return {
        "log": number,
        "uri": log.source.name,
        **(stamp._asdict() if stamp is not None else {}),
        "begin": end,
        **told._asdict(),
        "is_whole": not log.may_go_on,
        "is_known": log.is_known,
        "is_settled": known is not None and known["is_settled"],
        "bytes": end,
        "lines": log.lines,
        "parsed": log.parsed,
        "rejected": log.rejected,
        "continues_at": log.other.continues_at,
        "added": known["added"] if known is not None else moment,
        "read": moment,
        "seen": moment,
    }
