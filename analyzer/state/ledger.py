"""The ledger: every log that was read, how far, what its lines were, and by what it is known again.

========  ===========  =======================================================================================
frame     a row for    holds
========  ===========  =======================================================================================
logs      log          name and stamp as last seen, `begin` (where to go on), digests of what stands at its
                       beginning and before `begin`, sums of its lines
streams   stream       the log, where its lines were written, their format
counts    log, name    other lines, signals and senders of the error log, lines by format
samples   log, line    the first rejected lines
pending   stream, ...  what rate limits would reject of streams that may go on, if they were over
replays   stream       how rate limits stand at the end of streams that may go on, a frame for each part
========  ===========  =======================================================================================
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from analyzer.parsing.origin import Origin
from analyzer.parsing.schema import TIME
from analyzer.tables.address_table import COUNT
from analyzer.tables.limit_req import LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: Bytes at the beginning of a log, and before where its reading ended, that tell it from others.
TOLD_BY = 4096

_NUMBER = pl.UInt32()
SCHEMAS: dict[str, dict[str, pl.DataType]] = {
    "logs": {
        "log": _NUMBER,
        "uri": pl.String(),
        "device": pl.UInt64(),
        "inode": pl.UInt64(),
        "size": pl.UInt64(),
        "modified": pl.Int64(),
        "etag": pl.String(),
        "begin": pl.UInt64(),
        "head_size": _NUMBER,
        "head": pl.Binary(),
        "tail": pl.Binary(),
        "is_whole": pl.Boolean(),
        "is_known": pl.Boolean(),
        "is_settled": pl.Boolean(),
        "bytes": COUNT,
        "lines": COUNT,
        "parsed": COUNT,
        "rejected": COUNT,
        "continues_at": pl.Int64(),
        "added": TIME,
        "read": TIME,
        "seen": TIME,
    },
    "streams": {
        "stream": _NUMBER,
        "log": _NUMBER,
        "node": pl.String(),
        "pod": pl.String(),
        "namespace": pl.String(),
        "container": pl.String(),
        "format": pl.String(),
    },
    "counts": {"log": _NUMBER, "what": pl.String(), "name": pl.String(), "count": COUNT},
    "samples": {"log": _NUMBER, "line": COUNT, "reason": pl.String(), "text": pl.String()},
    "pending": {"log": _NUMBER, "stream": _NUMBER, "hour": TIME, **LIMITS},
    "replays": {"log": _NUMBER, "stream": _NUMBER, "part": pl.String(), "frame": pl.Binary()},
}


class Stamp(NamedTuple):
    """What tells without reading that a log is as it was: of files all but the ETag, of objects the ETag and size."""

    device: int
    inode: int
    size: int
    modified: int
    etag: str | None = None


def stamp_of(path: str) -> Stamp | None:
    """The stamp of a file; None for anything else."""
    try:
        about = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISREG(about.st_mode):
        return None
    return Stamp(about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)


class Digests(NamedTuple):
    """Of the first bytes of its text (`head_size` of them), and of the stored ones before where reading ended."""

    head_size: int
    head: bytes
    tail: bytes


def digest(text: bytes) -> bytes:
    """What tells one text from another."""
    return hashlib.blake2b(text, digest_size=16).digest()


@dataclass
class Ledger:
    """All that is known of logs; frames are replaced, never changed."""

    frames: dict[str, pl.DataFrame] = field(
        default_factory=lambda: {name: pl.DataFrame(schema=schema) for name, schema in SCHEMAS.items()}
    )

    def __getitem__(self, name: str) -> pl.DataFrame:
        """A frame."""
        return self.frames[name]

    def take_out(self, logs: Iterable[int]) -> None:
        """Forget logs, and whatever belongs to them."""
        gone = pl.Series(list(logs), dtype=_NUMBER).implode()
        for name, frame in self.frames.items():
            self.frames[name] = frame.filter(~pl.col("log").is_in(gone))

    def put(
        self,
        name: str,
        key: str,
        rows: Sequence[Mapping[str, Any]] | Sequence[pl.DataFrame],
        of: Iterable[int] | None = None,
    ) -> None:
        """Put rows in place of those that have one of the numbers `of` in the column `key`; by default their own."""
        frames = [row.select(list(SCHEMAS[name])) for row in rows if isinstance(row, pl.DataFrame)]
        if not frames and rows:
            frames = [pl.DataFrame(rows, schema=SCHEMAS[name])]
        replaced = pl.Series([row[key] for row in rows] if of is None else list(of), dtype=_NUMBER)
        self.frames[name] = pl.concat([self[name].filter(~pl.col(key).is_in(replaced.implode())), *frames])

    def waiting_bytes(self) -> int:
        """Bytes behind the last whole line of logs that may go on."""
        waits = ~pl.col("is_whole") & (pl.col("size") > pl.col("begin"))
        return int(self["logs"].filter(waits).select((pl.col("size") - pl.col("begin")).sum()).item())

    def left_by(self, log: int) -> dict[tuple[Origin, str], dict[str, bytes]]:
        """How rate limits stand at the end of a log's streams, told by origin and format: a packed frame a part."""
        streams = self["streams"].filter(pl.col("log") == log)
        keys = {number: (Origin(*origin), name) for number, _, *origin, name in streams.iter_rows()}
        left: dict[tuple[Origin, str], dict[str, bytes]] = {}
        replays = self["replays"].filter(pl.col("log") == log).select("stream", "part", "frame")
        for stream, part, frame in replays.iter_rows():
            left.setdefault(keys[stream], {})[part] = frame
        return left

    def streams_of(self, logs: Iterable[int]) -> list[int]:
        """The streams of these logs."""
        wanted = pl.Series(list(logs), dtype=_NUMBER).implode()
        found: list[int] = self["streams"].filter(pl.col("log").is_in(wanted))["stream"].to_list()
        return found
