"""Requests followed from layer to layer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from analyzer.readings.layers import Hop, layers

START = datetime(2026, 11, 21, tzinfo=UTC)
Row = tuple[float, str, str | None, str, int, str | None, str]
SCHEMA: dict[str, pl.DataType] = {
    "time": pl.Datetime("ms", "UTC"), "remote_addr": pl.String(), "x_forwarded_for": pl.String(), "path": pl.String(),
    "status": pl.UInt16(), "request_id": pl.String(), "class": pl.String(),
}  # fmt: skip


def log(*rows: Row) -> pl.DataFrame:
    """A layer's log of (second, address, X-Forwarded-For, path, status, id, class)."""
    return pl.DataFrame([(START + timedelta(seconds=row[0]), *row[1:]) for row in rows], schema=SCHEMA, orient="row")


def hop(before: pl.DataFrame, after: pl.DataFrame) -> Hop:
    """Follow requests over one hop."""
    [found] = layers([before, after], ["lb", "ingress"])
    return found


def test_requests_are_joined_by_their_id() -> None:
    """An id decides, whatever else stands in the lines; one that is not unique is nobody's."""
    before = log(
        (0, "8.8.8.8", None, "/a", 200, "x", "client"),
        (1, "8.8.4.4", None, "/a", 200, "y", "client"),
        (1, "9.9.9.9", None, "/a", 200, "z", "client"),
        (1, "9.9.9.9", None, "/b", 200, "z", "client"),
    )
    after = log(
        (9, "10.0.0.1", "8.8.8.8", "/", 500, "x", "node"),
        (9, "8.8.4.4", None, "/", 500, "y", "client"),
        (9, "10.0.0.1", "9.9.9.9", "/", 500, "z", "node"),
    )
    found = hop(before, after)
    assert (found.joined_by, found.requests, found.found) == ("request_id", 3, 2)
    assert (found.same_pct, found.carried_pct, found.changes_address) == (50, 100, False)
    [change] = found.changes
    assert (change.from_class, change.to_class, change.example) == ("client", "node", "8.8.8.8 to 10.0.0.1")


def test_requests_without_an_id_are_joined_by_time_path_and_status() -> None:
    """Only those that are alone with their path and status count, and only near in time."""
    before = log(
        (0, "8.8.8.8", None, "/a", 200, None, "client"),
        (10, "8.8.8.8", None, "/b", 200, None, "client"), (11, "9.9.9.9", None, "/b", 200, None, "client"),
        (30, "8.8.8.8", None, "/c", 200, None, "client"), (60, "8.8.8.8", None, "/d", 404, None, "client"),
    )  # fmt: skip
    after = log(
        (1, "10.0.0.1", None, "/a", 200, None, "node"), (11, "10.0.0.1", None, "/b", 200, None, "node"),
        (36, "10.0.0.1", None, "/c", 200, None, "node"), (60, "10.0.0.1", None, "/d", 200, None, "node"),
    )  # fmt: skip
    found = hop(before, after)
    assert (found.joined_by, found.found, found.same_pct) == ("time, path, status", 1, 0)
    assert found.changes_address
    assert found.carried_pct is None


@pytest.mark.parametrize("after", [log(), log((0, "10.0.0.1", None, "/z", 200, None, "node"))])
def test_logs_with_nothing_in_common(after: pl.DataFrame) -> None:
    """Nothing found is no verdict."""
    found = hop(log((0, "8.8.8.8", None, "/a", 200, None, "client")), after)
    assert (found.joined_by, found.found, found.same_pct, found.changes) == (None, 0, None, [])
