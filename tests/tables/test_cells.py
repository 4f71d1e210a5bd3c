"""The fold of a state: how far its rows are apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from scanners import INGRESS

from analyzer.addresses.classify import Classifier
from analyzer.parsing.scanner import new_scanner
from analyzer.tables import Folds, limit_grid
from analyzer.tables.cells import Cells
from analyzer.tables.fold import fold_outputs

MIDNIGHT = datetime(2026, 11, 1, tzinfo=UTC)


def rows(*hours: int) -> pl.DataFrame:
    """Rows of ingress-nginx, one for each of these hours after midnight."""
    times = (MIDNIGHT + timedelta(hours=hour, minutes=30) for hour in hours)
    text = "".join(
        f'81.2.69.142 - - [{time:%d/%b/%Y:%H:%M:%S} +0000] "GET / HTTP/1.1" 200 612 "-" "curl/8" 88 0.004 [a-b-80] [] '
        "10.0.0.1:80 612 0.004 200 ID\n"
        for time in times
    ).encode()
    scanner = new_scanner(INGRESS, fold_outputs(INGRESS))
    scanner.scan(text, 0, len(text), 0)
    return scanner.take().rows


def taken(*pieces: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """What is kept of a log that is read in these pieces."""
    cells = Cells(Folds(Classifier(), limit_grid([1])))
    for piece in pieces:
        cells.add(0, piece, exact_times=False)
    cells.close_source(0)
    return cells.take()[0]


@pytest.mark.parametrize(("count", "hours_apart"), [(200, 1), (201, 24)])
def test_rows_of_many_hours_are_kept_by_day(count: int, hours_apart: int) -> None:
    """A piece of a log has at most 200 cells: with more hours in it they are days. Nothing is counted twice."""
    addresses = taken(rows(*range(count)))["addresses"]
    assert addresses["requests"].sum() == count
    starts = addresses["hour"].sort()
    assert starts.to_list() == [MIDNIGHT + timedelta(hours=hour) for hour in range(0, count, hours_apart)]


@pytest.mark.parametrize(("stretches", "hours"), [(200, {0, 1}), (201, {1})])
def test_limits_of_a_log_in_no_order_count_for_its_last_hour(stretches: int, hours: set[int]) -> None:
    """Of 200 stretches each counts for its hour; of more in one piece, all for the hour of the last row."""
    turns = [[0] * 40 if turn % 2 else [1] * 40 for turn in range(stretches)]
    totals = taken(rows(*(hour for turn in turns for hour in turn)))["totals"]
    assert set(totals.filter(pl.col("name") == "limit requests")["hour"]) == {
        MIDNIGHT + timedelta(hours=hour) for hour in hours
    }
