"""`classify`, `geo` and `simulate_limit` on columns of the user's own, not only on those of a log."""

from __future__ import annotations

import doctest
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import analyzer as logscan
from analyzer.addresses import classify as classifying
from analyzer.jobs import simulate
from tests import mmdb

ROOT = Path(__file__).parents[1]
BEGIN = datetime(2026, 11, 21, 7, tzinfo=UTC)
TEXTS = pl.Series("who", ["81.2.69.142", "-", None, "::ffff:81.2.69.142", "10.0.0.1"])


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database of one network."""
    record = {"country": {"iso_code": "GB"}, "continent": {"code": "EU"}}
    return mmdb.write(tmp_path / "country.mmdb", {"81.2.69.0/24": record})


@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical])
def test_geo_of_any_column(dtype: Any, database: Path) -> None:
    """Text and numbers are located alike, a row for each; what is no address is nowhere."""
    expected = ["GB", None, None, "GB", None]
    found = logscan.geo(TEXTS.cast(dtype), geoip=database)
    assert found["country"].to_list() == expected
    assert found.columns == ["country", "continent", "asn", "as_name"]
    numbers = logscan.read(ROOT / "sample_logs/local")["address"]
    assert logscan.geo(numbers, geoip=[database]).height == numbers.len()


def test_geo_takes_the_databases_of_the_environment(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LOGSCAN_GEOIP serves the library as it does the command."""
    monkeypatch.setenv("LOGSCAN_GEOIP", str(database))
    assert logscan.geo(TEXTS)["country"][0] == "GB"
    monkeypatch.delenv("LOGSCAN_GEOIP")
    with pytest.raises(logscan.LogscanError, match=r"geo: expected a geo database \(\.mmdb\)"):
        logscan.geo(TEXTS)


def test_other_dtypes_are_refused(database: Path) -> None:
    """A column of other numbers holds no addresses, and the error says so."""
    with pytest.raises(logscan.LogscanError, match="classify: expected addresses as String or UInt128, got Int64"):
        logscan.classify(pl.Series([1, 2]))
    with pytest.raises(logscan.LogscanError, match="geo: expected addresses as String or UInt128, got Int64"):
        logscan.geo(pl.Series([1, 2]), geoip=database)


@pytest.mark.parametrize("given", [["8.8.8.8"], pl.col("address"), pl.DataFrame({"address": ["8.8.8.8"]})])
def test_what_is_no_series_is_refused(given: Any, database: Path) -> None:
    """A list, an expression or a frame is told from a Series by name."""
    name = type(given).__name__
    told = "list" if isinstance(given, list) else f"polars {name}"
    with pytest.raises(logscan.LogscanError, match=f"classify: expected a Polars Series of addresses, got {told}"):
        logscan.classify(given)
    with pytest.raises(logscan.LogscanError, match=f"geo: expected a Polars Series of addresses, got {told}"):
        logscan.geo(given, geoip=database)
    with pytest.raises(logscan.LogscanError, match=f"expected two Series, of keys and of times, got {name}"):
        logscan.simulate_limit(given, given, limit_rps=1)


@pytest.mark.parametrize("fraction", [0, 7])
@pytest.mark.parametrize("keys", [["a", "b"], [1, 2], [b"a", b"b"]], ids=str)
def test_a_limit_on_any_keys(keys: list[Any], fraction: int) -> None:
    """Five requests at once pass the first and its burst of one, five in five seconds pass all."""
    at_once, spread = keys
    times = [BEGIN + timedelta(milliseconds=fraction)] * 5
    later = [BEGIN + timedelta(seconds=second, milliseconds=fraction) for second in range(5)]
    found = logscan.simulate_limit(
        pl.Series([at_once] * 5 + [spread] * 5), pl.Series(times + later), limit_rps=1, limit_burst_multiplier=1
    )
    assert found.rows() == [(at_once, 5, 3, 3), (spread, 5, 0, 0)]


def test_whole_seconds_leave_bounds() -> None:
    """When within its second a request came is not known: at worst the end of one meets the next."""
    times = pl.Series([BEGIN + timedelta(seconds=second) for second in range(4) for _ in range(2)])
    found = logscan.simulate_limit(pl.Series(["a"] * 8), times, limit_rps=1, limit_burst_multiplier=1)
    assert found.select("requests").item() == 8
    exact = [BEGIN + timedelta(milliseconds=moment) for moment in (999, 999, 1000, 1000, 2000, 2000, 3000, 3000)]
    worst = logscan.simulate_limit(pl.Series(["a"] * 8), pl.Series(exact), limit_rps=1, limit_burst_multiplier=1)
    assert worst["rejected_low"][0] == worst["rejected_high"][0] == 4
    assert found["rejected_low"][0] <= 3 < found["rejected_high"][0] == 4


def test_rows_without_key_or_time_meet_no_limit() -> None:
    """They are left out, and nothing at all is no error."""
    keys = pl.Series(["a", None, "a"])
    times = pl.Series([BEGIN, BEGIN, None])
    assert logscan.simulate_limit(keys, times, limit_rps=1).rows() == [("a", 1, 0, 0)]
    assert logscan.simulate_limit(keys.clear(), times.clear(), limit_rps=1).is_empty()


@pytest.mark.parametrize(
    ("times", "options", "said"),
    [
        (pl.Series([1, 2]), {"limit_rps": 1}, "expected times as Datetime, got Int64"),
        (pl.Series([BEGIN]), {"limit_rps": 1}, "expected a time for each of 2 keys, got 1"),
        (pl.Series([BEGIN] * 2), {"limit_rps": 0}, "expected limit_rps from 1 to 10,000, got 0"),
        (
            pl.Series([BEGIN] * 2),
            {"limit_rps": 1, "limit_burst_multiplier": 101},
            "expected limit_burst_multiplier from 1 to 100, got 101",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(times: pl.Series, options: dict[str, int], said: str) -> None:
    """The error says what was expected and what was found."""
    with pytest.raises(logscan.LogscanError, match=said):
        logscan.simulate_limit(pl.Series(["a", "b"]), times, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("module", [simulate, classifying], ids=lambda module: module.__name__)
def test_examples_of_the_docstrings_run(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the docstrings show is what comes out."""
    monkeypatch.chdir(ROOT)
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed
