"""What a state holds, in numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from analyzer.state.state import look_at
from analyzer.tables.address_table import COUNT

if TYPE_CHECKING:
    from datetime import date, datetime


SCHEMA = "logscan.state/1"


@dataclass(frozen=True, slots=True)
class Day:
    """The requests of a day, and the addresses that they came from; `day` is None for those without a time."""

    day: date | None
    requests: int
    addresses: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """A state; as JSON of the schema `SCHEMA`.

    `settled_logs` are those of which a part can no longer be taken out; `waiting_bytes` stand behind the last whole
    line of logs; `made_with` are digests of rules and formats.
    """

    schema: str = field(default=SCHEMA, init=False)
    url: str
    written_by: str
    written: str
    generation: int
    bytes: int
    files: int
    rows: int
    logs: int
    settled_logs: int
    streams: int
    lines: int
    parsed: int
    rejected: int
    waiting_bytes: int
    first_hour: datetime | None
    last_hour: datetime | None
    made_with: dict[str, str]
    limits: list[str]
    days: list[Day]


def summary(url: str) -> Summary:
    """Look at a state.

    Raises
    ------
    StateError
        Where there is none, or it is damaged.
    """
    state = look_at(url)
    manifest, logs = state.manifest, state.ledger["logs"]
    entries = [manifest["ledger"], *manifest["tables"]]
    tables = state.tables()
    rows = tables.get("addresses", pl.DataFrame(schema={"hour": pl.Date(), "address": pl.UInt128(), "requests": COUNT}))
    days = rows.group_by(pl.col("hour").dt.date().alias("day")).agg(pl.sum("requests"), pl.col("address").n_unique())
    sums = logs.select(pl.col("lines", "parsed", "rejected").sum()).row(0, named=True)
    return Summary(
        url=url,
        written_by=manifest["version"],
        written=manifest["written"],
        generation=manifest["generation"],
        bytes=sum(entry["size"] for entry in entries),
        files=len(entries),
        rows=sum(frame.height for frame in tables.values()),
        logs=logs.height,
        settled_logs=int(logs["is_settled"].sum()),
        streams=state.ledger["streams"].height,
        **sums,
        waiting_bytes=state.ledger.waiting_bytes(),
        first_hour=rows["hour"].min(),  # type: ignore[arg-type]
        last_hour=rows["hour"].max(),  # type: ignore[arg-type]
        made_with=manifest["made_with"],
        limits=[limit_name(kept) for kept in manifest.get("limits", [])],
        days=[Day(*row) for row in days.sort("day", nulls_last=True).iter_rows()],
    )


def limit_name(kept: str) -> str:
    """A rate limit by its name; a state keeps behind it how it counts."""
    return kept.partition(" Policy(")[0]
