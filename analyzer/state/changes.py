"""What of the logs that there are is new to a ledger.

A file is known again by its device and inode, or by what it begins with and what stands where reading ended: so a
rotated file goes on under its new name, as does one that was copied before it was cut, or compressed. Another beginning
under a known name is another log. The same beginning with something else behind it was rewritten: what was counted of
it is taken out, and it is read anew. An object of a bucket is known by its name; another ETag means rewritten.
"""

from __future__ import annotations

import os
import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from analyzer.errors import SourceError, UsageError
from analyzer.sources import MAX_LINE, Source, open_source
from analyzer.sources.compression import MAGIC, kind_of
from analyzer.sources.reading import BOM, HEAD, PIECE
from analyzer.state.ledger import SCHEMAS, TOLD_BY, Digests, Stamp, digest, stamp_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.sources import Reader
    from analyzer.state.ledger import Ledger

#: Seconds without a change after which a file counts as ended, so that its last line needs no end.
ENDED = 86_400
#: Sources that are compared with what is known at once.
_AT_ONCE = 10_000
#: Seconds after which a log that is no longer there is not looked for under other names.
_LOOKED_FOR = 30 * 86_400

_REWRITTEN = (
    "was changed after what it held had become a part of sums: nothing of it is read until the state forgets it "
    "(logscan state forget)"
)


class Change(NamedTuple):
    """A log to read: a new one, one that goes on, or one that is read anew (`begin` is 0 then)."""

    source: Source
    stamp: Stamp | None
    known: dict[str, Any] | None = None
    begin: int = 0

    @property
    def goes_on(self) -> bool:
        """Whether it is read on from where reading ended."""
        return self.begin > 0 and self.known is not None


@dataclass
class Changes:
    """What to read, in the order of the sources; which logs only have other names or stamps; what cannot be read."""

    to_read: list[Change] = field(default_factory=list)
    moved: list[dict[str, Any]] = field(default_factory=list)
    refused: list[tuple[Source, str]] = field(default_factory=list)


def find_changes(sources: Sequence[Source], ledger: Ledger) -> Changes:
    """Compare what there is with what is known."""
    logs = ledger["logs"]
    ended = (pl.lit(time.time_ns()) - pl.col("modified") > ENDED * 10**9) & pl.col("etag").is_null()
    waits = ended & ~pl.col("is_whole") & (pl.col("begin") < pl.col("size"))
    settled = logs.filter(~waits).select("log", "uri", *Stamp._fields)
    found, unchanged, left = Changes(), [settled["log"].clear()], []
    for first in range(0, len(sources), _AT_ONCE):
        some = sources[first : first + _AT_ONCE]
        stamps = [_stamp(source) for source in some]
        same = _unchanged(some, stamps, settled)
        unchanged.append(same["log"])
        there = set(same["at"])
        left += [(some[at], stamp) for at, stamp in enumerate(stamps) if at not in there]
    if not left:
        return found
    since = pl.lit((time.time_ns() - _LOOKED_FOR * 10**9) // 10**6).cast(pl.Datetime("ms", "UTC"))
    uris = pl.Series([source.name for source, _ in left], dtype=pl.String)
    inodes = pl.Series([stamp and stamp.inode for _, stamp in left], dtype=SCHEMAS["logs"]["inode"])
    others = logs.filter(
        ~pl.col("log").is_in(pl.concat(unchanged).implode())
        & (pl.col("uri").is_in(uris.implode()) | pl.col("inode").is_in(inodes.implode()) | (pl.col("seen") > since))
    )
    _Matching(left, others.to_dicts()).match(found)
    return found


def _unchanged(sources: Sequence[Source], stamps: Sequence[Stamp | None], logs: pl.DataFrame) -> pl.DataFrame:
    """Which of the sources (`at`) is which of the logs (`log`), as it was."""
    columns = {
        name: pl.Series([stamp and stamp[place] for stamp in stamps], dtype=SCHEMAS["logs"][name])
        for place, name in enumerate(Stamp._fields)
    }
    uris = pl.Series([source.name for source in sources], dtype=pl.String)
    listed = pl.DataFrame({"at": pl.int_range(len(sources), eager=True), "uri": uris, **columns})
    # By name first: a join on all of it would hold every stamp several times.
    alike = [pl.col(name).eq_missing(pl.col(f"{name}_right")) for name in Stamp._fields]
    return listed.join(logs, on="uri").filter(alike).select("at", "log")


def _stamp(source: Source) -> Stamp | None:
    if source.in_bucket:
        modified = int(source.modified.timestamp() * 1e9) if source.modified else 0
        return Stamp(0, 0, source.size or 0, 0 if source.etag else modified, source.etag or "")
    stamp = None if source.uri == "-" else stamp_of(source.uri)
    if source.uri == "-" or (stamp is None and os.path.exists(source.uri)):
        name = "standard input" if source.uri == "-" else source.uri
        raise UsageError(
            f"--state: expected files, got {name}", hint="what can be read only once is analyzed without a state"
        )
    return stamp


class _Matching:
    """Finds for each source the log that it is, by surer signs first."""

    def __init__(self, sources: list[tuple[Source, Stamp | None]], known: list[dict[str, Any]]) -> None:
        self._sources = sources
        self._known = {row["log"]: row for row in known}
        self._by_uri = {row["uri"]: row for row in known}
        self._by_inode = {(row["device"], row["inode"]): row for row in known}
        self._by_head: dict[int, dict[Any, list[dict[str, Any]]]] = {}
        for row in known:
            if row["head_size"] and row["etag"] is None:
                self._by_head.setdefault(row["head_size"], {}).setdefault(row["head"], []).append(row)

    def match(self, found: Changes) -> None:
        """Say of each source what to do."""
        chosen: dict[str, Change | None] = {}
        for source, stamp in self._sources:
            if stamp is not None and stamp.etag is not None:
                chosen[source.uri] = self._object(source, stamp, found)
        for step in (self._same_file, self._same_text, self._same_compressed, self._rewritten):
            for source, stamp in self._sources:
                if source.uri not in chosen and stamp is not None and self._known:
                    decided = step(source, stamp, found)
                    if decided is not None:
                        chosen[source.uri] = decided if decided.stamp is not None else None
        refused = {source.uri for source, _ in found.refused}
        for source, stamp in self._sources:
            change = chosen.get(source.uri, Change(source, stamp))
            if change is not None and source.uri not in refused:
                found.to_read.append(change)

    def _object(self, source: Source, stamp: Stamp, found: Changes) -> Change | None:
        """An object of a bucket: new, or written over."""
        row = self._by_uri.get(source.name)
        if row is None or row["log"] not in self._known:
            return Change(source, stamp)
        decided = self._anew(row, source, stamp, found)
        return decided if decided.stamp is not None else None

    def _claim(self, row: dict[str, Any]) -> None:
        del self._known[row["log"]]

    def _same_file(self, source: Source, stamp: Stamp, found: Changes) -> Change | None:
        row = self._by_inode.get((stamp.device, stamp.inode)) or self._by_uri.get(source.name)
        if row is None or row["log"] not in self._known:
            return None
        return self._go_on(row, source, stamp, found) if _holds(source.uri, row, stamp) else None

    def _same_text(self, source: Source, stamp: Stamp, found: Changes) -> Change | None:
        head = _head(source.uri, max(self._by_head, default=0))
        for size, rows in self._by_head.items():
            for row in rows.get(digest(head[:size]), ()) if size <= len(head) else ():
                if row["log"] in self._known and row["begin"] <= stamp.size and _holds(source.uri, row, stamp):
                    return self._go_on(row, source, stamp, found)
        return None

    def _same_compressed(self, source: Source, stamp: Stamp, found: Changes) -> Change | None:
        """A log that was compressed since."""
        plain = [row for row in self._known.values() if not row["is_whole"] and row["head_size"]]
        if not plain or not _is_compressed(source.uri):
            return None
        try:
            with closing(open_source(source)) as reader:
                row = next((row for row in plain if digest(reader.head[: row["head_size"]]) == row["head"]), None)
                end, tail = (0, b"") if row is None else _text_before(reader, row["begin"])
        except SourceError:
            return None
        if row is None or end < row["begin"] or digest(tail[-row["head_size"] :]) != row["tail"]:
            return None
        if end == row["begin"]:
            return self._move({**row, "is_whole": True, "bytes": stamp.size}, source, stamp, found, end=stamp.size)
        return self._anew(row, source, stamp, found)

    def _rewritten(self, source: Source, stamp: Stamp, found: Changes) -> Change | None:
        """A log that begins as before and does not go on so; another beginning is another log."""
        row = self._by_uri.get(source.name) or self._by_inode.get((stamp.device, stamp.inode))
        if row is None or row["log"] not in self._known:
            return None
        begins = row["head_size"] and _begins_as(source.uri, row)
        return self._anew(row, source, stamp, found) if begins or not row["lines"] else None

    def _go_on(self, row: dict[str, Any], source: Source, stamp: Stamp, found: Changes) -> Change:
        """A log of which what was read stands as it was."""
        ended = time.time_ns() - stamp.modified > ENDED * 10**9
        if stamp.size == row["begin"] or (row["is_whole"] and stamp.size == row["size"]):
            return self._move(row, source, stamp, found, end=row["begin"])
        if stamp.size == row["size"] and not ended:  # what is not finished is as it was
            return self._move(row, source, stamp, found, end=row["begin"])
        # What it is may look otherwise when more of its beginning can be seen.
        told = row["begin"] >= (HEAD if row["is_known"] else PIECE + 2 * MAX_LINE) or row["is_settled"]
        if row["is_whole"] or not told or not _ends_line(source.uri, row["begin"]):
            return self._anew(row, source, stamp, found)
        self._claim(row)
        return Change(source, stamp, row, row["begin"])

    def _anew(self, row: dict[str, Any], source: Source, stamp: Stamp, found: Changes) -> Change:
        self._claim(row)
        if row["is_settled"]:
            found.refused.append((source, _REWRITTEN))
            return Change(source, None)
        return Change(source, stamp, row)

    def _move(self, row: dict[str, Any], source: Source, stamp: Stamp, found: Changes, end: int) -> Change:
        self._known.pop(row["log"])
        told = digests_of(source.uri, end, stamp)
        found.moved.append({**row, "uri": source.name, **stamp._asdict(), **told._asdict(), "begin": end})
        return Change(source, None)


def _text_before(reader: Reader, place: int) -> tuple[int, bytes]:
    """How long a text is, and the bytes of it before a place."""
    end, tail = 0, b""
    for piece in reader.pieces():
        for block in piece.blocks():
            end = block.offset + block.stop
            before = bytes(block.text[: max(0, min(block.stop, place - block.offset))])
            tail = (tail + before)[-TOLD_BY:]
    return end, tail


def digests_of(path: str, end: int, stamp: Stamp | None) -> Digests:
    """The digests of a log that was read up to `end`; none where another file has its name by now."""
    return (stamp is not None and _digests(path, end, stamp)) or Digests(0, b"", b"")


def _digests(path: str, end: int, stamp: Stamp) -> Digests | None:
    now = stamp_of(path)
    if now is None or now[:2] != stamp[:2] or now.size < end:
        return None
    head = _head(path, min(TOLD_BY, end))
    before = min(TOLD_BY, end)
    return Digests(len(head), digest(head), digest(_read(path, before, end - before)))


def _holds(path: str, row: dict[str, Any], stamp: Stamp) -> bool:
    """Whether a file holds what was read of a log."""
    if row["head_size"] == 0:
        return bool(row["begin"] == 0)
    told = _digests(path, row["begin"], stamp)
    return told is not None and told[2:] == (row["tail"],) and _begins_as(path, row)


def _begins_as(path: str, row: dict[str, Any]) -> bool:
    head: bytes = row["head"]
    return digest(_head(path, row["head_size"])) == head


def _read(path: str, size: int, at: int) -> bytes:
    try:
        with open(path, "rb") as file:
            return os.pread(file.fileno(), size, at)
    except OSError:
        return b""


def _head(path: str, size: int) -> bytes:
    """The first bytes of the text."""
    stored = _read(path, max(MAGIC, size + len(BOM)), 0)
    if kind_of(stored) is None:
        return stored.removeprefix(BOM)[:size]
    try:
        with closing(open_source(Source(path))) as reader:
            return reader.head[:size]
    except SourceError:
        return b""


def _ends_line(path: str, end: int) -> bool:
    return end == 0 or _read(path, 1, end - 1) == b"\n"


def _is_compressed(path: str) -> bool:
    return kind_of(_read(path, MAGIC, 0)) is not None
