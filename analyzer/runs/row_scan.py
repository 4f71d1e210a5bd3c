"""What one piece of a log holds, as rows of the access-log columns: those that are wanted, all formats together.

As in `analyzer.runs.piece_scan`, whose way through envelopes and formats it goes; but where that keeps the narrow
values that tables need, apart by format and origin, here the rows stay in the order of the log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from analyzer.addresses.forwarded import ClientFrom, address_texts, effective_client
from analyzer.parsing.batches import Batch
from analyzer.parsing.origin import Origin
from analyzer.parsing.schema import SCHEMA, Kind, Output, outputs
from analyzer.runs.logs import node_of
from analyzer.runs.piece_scan import PieceScan, Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from analyzer.addresses.cluster import Cluster
    from analyzer.addresses.forwarded import Trusted
    from analyzer.parsing.detect import Known
    from analyzer.parsing.formats import Layout
    from analyzer.runs.logs import Work

#: The columns of `analyzer.scan`: those of a line, which input it is of, and who the visitor is by the best evidence.
COLUMNS: dict[str, pl.DataType] = {
    **{column: dtype for column, dtype in SCHEMA.items() if column != "offset"},
    "source": pl.String(),
    "offset": SCHEMA["offset"],
    "client_addr": pl.String(),
    "client_from": ClientFrom,
}

_CLIENT = ("client_addr", "client_from")
#: What tells of the visitor besides `address`: name -> (column, kind).
_EVIDENCE = {
    "peer": ("realip_remote_addr", Kind.ADDRESS),
    "proxied": ("proxy_protocol_addr", Kind.ADDRESS),
    "chain": ("x_forwarded_for", Kind.TEXT),
}


class Wanted(NamedTuple):
    """What is wanted of the rows.

    Attributes
    ----------
    columns
        Of `COLUMNS`; ``time`` is among them.
    cluster
        Knows the nodes of pods.
    trusted
        Whose word is taken on who the visitor is; asked for only where that is wanted.
    finish
        What becomes of a frame of these columns.
    """

    columns: Sequence[str]
    cluster: Cluster | None
    trusted: Callable[[], Trusted]
    finish: Callable[[pl.DataFrame], pl.DataFrame]


class RowScan(PieceScan):
    """Scans one piece; each of `Scanned.rows` has the rows of all formats and origins."""

    def __init__(self, work: Work, known: Known, wanted: Wanted) -> None:
        if work.piece is None:
            raise ValueError("expected a piece")
        super().__init__(work.piece, work.shape, known, keep_rejected=False)
        self._numbered = bool(self._others or known.envelopes)
        self._log = work.log
        self.moments: list[int] = []  #: the first and the last time of each frame, milliseconds since 1970
        self._wanted = wanted
        self._wants_client = not set(_CLIENT).isdisjoint(wanted.columns)

    def outputs(self, layout: Layout) -> list[Output]:
        """The wanted columns that a line of this layout carries."""
        columns = [column for column in self._wanted.columns if column in SCHEMA]
        carried, evidence = layout.columns, []
        if self._wants_client:
            columns += [column for column in ("address", "remote_addr") if column not in columns]
            evidence = [Output(name, kind, carried[of]) for name, (of, kind) in _EVIDENCE.items() if of in carried]
        return [*outputs(layout, columns), *evidence] or [Output("offset", Kind.OFFSET, 0)]

    def _keep(self) -> None:
        """Keep the rows that were taken, in the order of their lines."""
        frames = [self._complete(rows) for _, rows in self._taken]
        self._taken = []
        if len(frames) > 1:
            frames = [pl.concat(frames).sort("line")]
        for frame in frames:
            times = frame["time"].to_physical()
            self.moments += [moment for moment in (times.min(), times.max()) if isinstance(moment, int)]
            finished = self._wanted.finish(frame)
            self._found.rows.append(Rows(self._layout, Origin(), finished, frame.height))

    def _complete(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Add the wanted columns that lines do not carry."""
        if isinstance(self._piece, Batch):  # where in a document a record begins is not known
            rows = rows.drop("offset", strict=False)
        added: list[pl.Expr | pl.Series] = []
        if self._wants_client:
            added += self._client(rows)
        origins = [origin.within(self._log.origin) for origin in self._origins]
        for column in self._wanted.columns:
            if column == "source":
                added.append(pl.lit(self._log.source.name).alias(column))
            elif column in Origin._fields:
                added.append(self._origin(column, origins, rows))
            elif column not in rows.columns and column not in _CLIENT:
                added.append(pl.lit(None, COLUMNS[column]).alias(column))
        rows = rows.with_columns(added)
        line = ["line"] if "line" in rows.columns else []
        return rows.select(*self._wanted.columns, *line)

    def _origin(self, column: str, origins: Sequence[Origin], rows: pl.DataFrame) -> pl.Expr | pl.Series:
        """Where lines come from: what they say themselves, else what is round them."""
        if column == "node":
            said = [node_of(origin, self._wanted.cluster) for origin in origins]
        else:
            said = [getattr(origin, column) for origin in origins]
        if "origin" in rows.columns:
            known = pl.lit(pl.Series(column, said, dtype=pl.String).gather(rows["origin"]))
        else:
            known = pl.lit(said[0], pl.String)
        return pl.coalesce(column, known).alias(column) if column in rows.columns else known.alias(column)

    def _client(self, rows: pl.DataFrame) -> list[pl.Expr | pl.Series]:
        """Who the visitor is; as logged where that is the remote address."""
        remote = pl.lit("remote_addr", ClientFrom)
        if set(_EVIDENCE).isdisjoint(rows.columns):
            known = pl.col("remote_addr") if "remote_addr" in rows.columns else pl.lit(None, pl.String)
            return [known.alias("client_addr"), remote.alias("client_from")]
        if "address" not in rows.columns:
            rows = rows.with_columns(pl.lit(None, pl.String).alias("remote_addr"), address=pl.lit(None, pl.UInt128))
        found = effective_client(rows, self._wanted.trusted())
        as_logged = found["client_from"] == "remote_addr"
        texts = address_texts(found["client_address"]).zip_with(~as_logged, rows["remote_addr"])
        return [texts.alias("client_addr"), found["client_from"]]
