"""A state: the ledger, the tables by stream and hour, and the manifest that makes one whole of them.

Each commit writes a file of new rows and a new ledger, then replaces the manifest. Rows of streams that were taken out
stay in their files, named dead by the manifest, until the files are put together (`_compact`). Then also rows older
than `SETTLED` lose their stream, so that hours of thousands of logs become one hour; such a log can go on, but what was
counted of it can no longer be taken out. Their loads get buckets as wide as those that the report of all of it has.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from analyzer._version import __version__
from analyzer.errors import StateError
from analyzer.state.files import read_frames, read_manifest, write_frames, write_manifest
from analyzer.state.ledger import SCHEMAS, Ledger
from analyzer.state.store import MANIFEST, open_store, written_meanwhile
from analyzer.tables.merge import PLACE, add_up, widened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from analyzer.state.store import Store

#: After this a row no longer says of which stream it is, once the files are put together.
SETTLED = timedelta(days=2)
#: Files of rows, and streams that were taken out, before all are put together.
_FILES, _DEAD = 16, 1000
#: Rows of which more are settled than those that are old.
_ROWS = 4_000_000
#: How old what the ledger says of when logs were seen may be.
_SEEN = timedelta(hours=1)
#: Times that a state is read while others write it.
_TRIES = 5

Frames = dict[str, pl.DataFrame]


def now() -> datetime:
    """The time, to the millisecond."""
    return datetime.fromtimestamp(time.time_ns() // 1_000_000 / 1000, UTC)


@dataclass
class State:
    """A state that was opened.

    `store` is where it is kept, `manifest` what it says; `before` are the manifest's bytes, None for a new state.
    """

    store: Store
    manifest: dict[str, Any]
    before: bytes | None
    ledger: Ledger = field(default_factory=Ledger)

    @property
    def is_new(self) -> bool:
        """Whether nothing was ever written."""
        return self.before is None

    def tables(self) -> Frames:
        """All rows that count, by table."""
        return _with(self._rows(), self.ledger["pending"])

    def _rows(self) -> Frames:
        """Those of them that stay as they are, whatever comes."""
        try:
            parts = [read_frames(self.store, entry) for entry in self.manifest["tables"]]
        except StateError:
            if self.store.read(MANIFEST) != self.before:
                raise written_meanwhile(self.store.url) from None
            raise
        return _together(parts, self._dead())

    def _dead(self) -> pl.Series:
        return pl.Series("stream", self.manifest["dead"], dtype=SCHEMAS["streams"]["stream"])

    def new_number(self, kind: str) -> int:
        """A number that no log (or stream) ever had."""
        number: int = self.manifest[f"next_{kind}"]
        self.manifest[f"next_{kind}"] = number + 1
        return number

    def take_out(self, logs: list[int]) -> None:
        """Let what these logs held count no longer."""
        self.manifest["dead"] += self.ledger.streams_of(logs)
        self.ledger.take_out(logs)

    def commit(self, rows: Mapping[str, pl.DataFrame] | None = None) -> None:
        """Write what changed, with further rows of the tables; from the last step on it counts, all of it."""
        self.manifest["generation"] += 1
        self.manifest["written"] = now().isoformat()
        self.manifest["version"] = __version__
        if rows is not None and any(frame.height for frame in rows.values()):
            self.manifest["tables"].append(self._write("tables", rows))
        if len(self.manifest["tables"]) > _FILES or len(self.manifest["dead"]) > _DEAD:
            self._compact()
        self._finish()

    def forget(self, before: datetime) -> tuple[int, int]:
        """Drop the hours before, and the logs that were last seen before; return how many rows and logs went."""
        whole = self._rows()
        kept = {name: frame.filter(~(pl.col("hour") < before).fill_null(value=False)) for name, frame in whole.items()}
        old = self.ledger["logs"].filter((pl.col("seen") < before) & (pl.col("read") < before))["log"].to_list()
        gone = sum(frame.height for frame in whole.values()) - sum(frame.height for frame in kept.values())
        if not gone and not old:
            return 0, 0
        self.ledger.take_out(old)
        self.ledger.frames["pending"] = self.ledger["pending"].filter(pl.col("hour") >= before)
        self.manifest["generation"] += 1
        self.manifest["written"] = now().isoformat()
        self._compact(kept)
        self._finish()
        return gone, len(old)

    def _write(self, kind: str, frames: Mapping[str, pl.DataFrame]) -> dict[str, Any]:
        return write_frames(self.store, kind, self.manifest["generation"], frames)

    def _finish(self) -> None:
        self.manifest["ledger"] = self._write("known", self.ledger.frames)
        self.before = write_manifest(self.store, self.manifest, self.before)
        self.store.keep(self.files(), self.manifest["generation"])

    def files(self) -> set[str]:
        """The names of the files that count."""
        return (
            set() if self.is_new else {entry["file"] for entry in (self.manifest["ledger"], *self.manifest["tables"])}
        )

    def _compact(self, whole: Frames | None = None) -> None:
        """Put all rows together in one file; streams that nobody has added to for long count as over."""
        whole = self._rows() if whole is None else whole
        if not whole:
            return
        over = self.ledger["logs"].filter(pl.col("read") < now() - SETTLED)["log"].implode()
        is_over = pl.col("log").is_in(over)
        whole = _with(whole, self.ledger["pending"].filter(is_over))
        for name in ("pending", "replays"):
            self.ledger.frames[name] = self.ledger[name].filter(~is_over)
        whole = self._settled({name: add_up(name, [frame], PLACE) for name, frame in whole.items()}, now() - SETTLED)
        if sum(frame.height for frame in whole.values()) > _ROWS:
            whole = self._settled(whole, now() - _SEEN)
        self.manifest["tables"] = [self._write("tables", whole)]
        self.manifest["dead"] = []

    def _settled(self, whole: Frames, before: datetime) -> Frames:
        """Let old rows of logs that were known before go without their stream, and narrow buckets of their loads."""
        logs = self.ledger["logs"].filter(pl.col("added") < before)
        streams = self.ledger["streams"].join(logs, on="log", how="semi")["stream"].implode()
        old = ((pl.col("hour") < before) | pl.col("hour").is_null()) & pl.col("stream").is_in(streams)
        touched: set[int] = set()
        settled: Frames = {}
        for name, frame in whole.items():
            touched.update(frame.filter(old)["stream"].unique().to_list())
            anyone = pl.when(~old).then("stream").alias("stream")
            rows = add_up(name, [frame.with_columns(anyone)], PLACE)
            over = pl.col("stream").is_null()
            settled[name] = pl.concat([rows.filter(~over), widened(name, rows.filter(over), PLACE)])
        if touched:
            of = self.ledger["streams"].filter(pl.col("stream").is_in(list(touched)))["log"].implode()
            self.ledger.frames["logs"] = self.ledger["logs"].with_columns(
                is_settled=pl.col("is_settled") | pl.col("log").is_in(of)
            )
        return settled

    def see(self, logs: pl.Series) -> bool:
        """Note that these logs are there; say whether that is worth writing."""
        moment = now()
        there = pl.col("log").is_in(logs.implode())
        seen = self.ledger["logs"].filter(there)["seen"].min()
        late = seen is not None and moment - seen > _SEEN  # type: ignore[operator]
        self.ledger.frames["logs"] = self.ledger["logs"].with_columns(
            seen=pl.when(there).then(pl.lit(moment).cast(SCHEMAS["logs"]["seen"])).otherwise("seen")
        )
        return late


def renumbered(frame: pl.DataFrame, mapping: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """Rows of the streams that have another number, with that."""
    for column in columns:
        if column in frame.columns:
            of = mapping.rename({"source": column})
            frame = frame.join(of, on=column, how="inner").with_columns(pl.col("number").alias(column)).drop("number")
    return frame


def _with(whole: Frames, pending: pl.DataFrame) -> Frames:
    return {**whole, "limits": pl.concat([whole["limits"], pending.drop("log")], how="diagonal")} if whole else whole


def _together(parts: list[Frames], dead: pl.Series) -> Frames:
    whole = {name: pl.concat([part[name] for part in parts if name in part]) for part in parts for name in part}
    if dead.len():
        alive = ~pl.col("stream").is_in(dead.implode()).fill_null(value=False)
        whole = {name: frame.filter(alive) for name, frame in whole.items()}
    return whole


def load_state(store: Store) -> State:
    """Read a state, or begin one.

    Raises
    ------
    StateError
        Where it is damaged, another version wrote it, or others write it all the time.
    """
    for _ in range(_TRIES):
        manifest, before = read_manifest(store)
        if manifest is None:
            fresh = {"generation": 0, "tables": [], "dead": [], "next_log": 0, "next_stream": 0, "made_with": {}}
            return State(store, fresh, None)
        try:
            return State(store, manifest, before, Ledger(read_frames(store, manifest["ledger"])))
        except StateError:
            if store.read(MANIFEST) == before:
                raise
    raise written_meanwhile(store.url)


def look_at(url: str) -> State:
    """Open a state to read it only.

    Raises
    ------
    StateError
        Where there is none, or it is damaged.
    """
    store = open_store(url)
    state = load_state(store)
    if state.is_new:
        raise StateError(f"{url}: expected a state, found none", hint="logscan analyze --state writes one")
    return state


@contextmanager
def opened(url: str, say: Callable[[str], object]) -> Iterator[State]:
    """Open a state to write it; another run does no harm to it meanwhile."""
    store = open_store(url)
    with store.locked(say):
        state = load_state(store)
        store.tidy(state.files(), state.manifest["generation"])
        yield state
