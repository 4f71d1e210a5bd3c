"""A real nginx limits requests as ingress-nginx sets it up: the simulation must decide as it did."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from random import Random
from typing import TYPE_CHECKING

import polars as pl
import pytest
from nginx_limits import ALLOWED, LOG_FORMAT, Send, limiting_nginx, send
from nginx_server import NGINX
from scanners import read

from analyzer.jobs.analyze import analyze
from analyzer.parsing.log_format import compile_format
from analyzer.parsing.portable import Scanner
from analyzer.parsing.schema import Kind, Output
from analyzer.tables.arrivals import Arrivals
from analyzer.tables.limits import connections_limit, rpm_limit, rps_limit, together
from analyzer.tables.policies import new_decider

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian: apt-get install nginx-light)")

LAYOUT = compile_format(LOG_FORMAT)
#: What is set for each location, as nginx_limits renders it.
LIMITS = {
    "five": rps_limit(5),
    "slow": rpm_limit(10),
    "busy": connections_limit(3),
    "all": together([rps_limit(5, 2), rpm_limit(10, 2), connections_limit(2)]),
}


def traffic() -> list[Send]:
    """Golden vectors at once, bursts and steady load from many addresses, all at every location."""
    random = Random(5)
    sent = [Send(0, "127.0.1.1", "/five")] * 40 + [Send(0, "127.0.1.2", "/slow")] * 60
    sent += [Send(0, "127.0.9.9", "/five")] * 40
    for client in range(1, 31):
        for burst in (0.5, 3):
            sent += [Send(burst + random.random(), f"127.0.2.{client}", "/five")] * random.randint(10, 45)
    rates = {"/five": (30, (2, 4, 6, 8)), "/busy": (12, (5, 10)), "/all": (12, (2, 4, 8))}
    for network, (path, (clients, speeds)) in enumerate(rates.items(), 3):
        for client in range(1, clients + 1):
            at = random.random()
            while at < 6:
                sent.append(Send(at, f"127.0.{network}.{client}", path))
                at += random.expovariate(random.choice(speeds))
    return sent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a real nginx has written what it decided."""
    place = tmp_path_factory.mktemp("limits")
    sent = traffic()
    with limiting_nginx(place) as port:
        send(port, sent)
    assert sum((place / f"{name}.log").read_bytes().count(b"\n") for name in LIMITS) == len(sent)
    return place


def logged(path: Path) -> pl.DataFrame:
    """The requests of a log that met a limit: when each ended, how long it took, and whether nginx rejected it."""
    names = {"time": Kind.TIME, "remote_addr": Kind.TEXT, "request_time": Kind.SECONDS}
    said = ("limit_req_status", "limit_conn_status")
    wanted = [
        Output(name, kind, LAYOUT.columns[name]) for name, kind in {**names, **dict.fromkeys(said, Kind.TEXT)}.items()
    ]
    rows = read(Scanner, LAYOUT, path.read_bytes(), wanted).rows
    rows = rows.filter(pl.any_horizontal(pl.col(*said) != "-"))
    return rows.select(
        "time",
        "request_time",
        number=pl.col("remote_addr").rank("dense").cast(pl.UInt32),
        zone=pl.lit(0, pl.UInt32),
        rejected=pl.any_horizontal(pl.col(*said) == "REJECTED"),
    )


def disagreements(name: str, rows: pl.DataFrame) -> int:
    """Decisions in which the simulation and nginx differ, of the requests of an address that began in a millisecond.

    Which of these came first the log does not tell, nor whether one that ended in that millisecond was gone by then.
    """
    moment = ("number", "begin")
    took = (pl.col("request_time") * 1000).round().cast(pl.Int64)
    counts = rows.with_columns(begin=pl.col("time").to_physical() - took).group_by(moment).agg(pl.sum("rejected"))
    arrivals = Arrivals(exact_times=True)
    begun = pl.concat([arrivals.add(rows)[0], arrivals.finish()[0]])
    for later in (0, 1):
        ends = begun.select(pl.col("number").cast(pl.UInt64).alias("key"), "begin", pl.col("end") + later)
        decided = begun.select(*moment, (new_decider([LIMITS[name].policy]).decide(ends) > 0).alias(f"found{later}"))
        counts = counts.join(
            decided.group_by(moment).agg(pl.sum(f"found{later}")), on=moment, how="full", coalesce=True
        )
    assert not counts.null_count().sum_horizontal().item()
    off = [(pl.col("rejected").cast(pl.Int64) - pl.col(f"found{later}").cast(pl.Int64)).abs() for later in (0, 1)]
    return int(counts.select(pl.min_horizontal(off).sum()).item())


def test_the_simulation_decides_as_nginx_did(folder: Path) -> None:
    """At least 99.9 % of the decisions on bursts and steady load agree, for each kind of limit and all together."""
    rows = {name: logged(folder / f"{name}.log") for name in LIMITS}
    assert all(each["rejected"].any() and not each["rejected"].all() for each in rows.values())
    wrong = {name: disagreements(name, each) for name, each in rows.items()}
    assert sum(wrong.values()) <= 0.001 * sum(each.height for each in rows.values()), wrong


def test_golden_vectors(folder: Path) -> None:
    """Forty at once on five a second let 26 pass, sixty at once on ten a minute 51, in nginx as in the simulation."""
    report = analyze(
        [folder / "five.log", folder / "slow.log"], log_format=LOG_FORMAT, limit_rpm=[10], limit_allowlist=[ALLOWED]
    )
    text = (folder / "five.log").read_text() + (folder / "slow.log").read_text()
    lines = [line for line in text.splitlines() if line.startswith(("127.0.1.1 ", "127.0.1.2 "))]
    rejected_by_nginx = [line.split()[0] for line in lines if " REJECTED " in line]
    assert [rejected_by_nginx.count(address) for address in ("127.0.1.1", "127.0.1.2")] == [14, 9]
    assert report.rate_limit.allowed == 40
    only = folder / "golden.log"
    only.write_text("".join(f"{line}\n" for line in lines))
    found = analyze(only, log_format=LOG_FORMAT, limit_rpm=[10]).rate_limit
    rejected = {(key.limit, key.address): (key.rejected_low, key.rejected_high) for key in found.most_rejected}
    assert rejected["limit-rps: 5", "127.0.1.1"] == (14, 14)
    assert rejected["limit-rpm: 10", "127.0.1.2"] == (9, 9)


def test_the_report_compares_with_what_was_logged(folder: Path) -> None:
    """The report counts what nginx says that it rejected, and finds the limit that was set to be the nearest."""
    reading = analyze(folder / "five.log", log_format=LOG_FORMAT, limit_allowlist=[ALLOWED]).rate_limit
    assert reading.logged is not None
    count = int(logged(folder / "five.log")["rejected"].sum())
    assert (reading.logged.rejected, reading.logged.told_by) == (count, "limit_req_status")
    assert reading.logged.nearest == "limit-rps: 5"
    simulated = next(each for each in reading.simulations if each.limit == "limit-rps: 5")
    assert abs(simulated.rejected - count) <= 0.001 * simulated.requests
    assert simulated.rejected_low == simulated.rejected_high


#: What networks of the clients are said to be, so that rejections fall to several classes.
CLASSES = {"node": "127.0.2.0/28", "lb": "127.0.1.0/24", "client": "127.0.2.16/28"}


@pytest.mark.parametrize("times", ["[$msec] $request_time", "[$msec]", "[$time_iso8601]"])
def test_rejections_by_class_from_an_error_log(folder: Path, tmp_path: Path, times: str) -> None:
    """Where the access log does not say what was limited, nginx's error log does, and the status by class.

    What is simulated is exact where it is known when requests began; else its bounds hold what nginx did.
    """
    lines = [line.split(" ", 7) for line in (folder / "five.log").read_text().splitlines()]
    said = Counter(
        next((class_ for class_, net in CLASSES.items() if ip_address(address) in ip_network(net)), "private")
        for address, *_, limit_req, _ in lines
        if limit_req == "REJECTED"
    )
    assert min(said[class_] for class_ in CLASSES) > 5
    text = ""
    for address, msec, took, status, *_ in lines:
        second = datetime.fromtimestamp(int(float(msec[1:-1])), UTC).isoformat()
        text += f"{address} {times} {status}\n".replace("[$msec]", msec)
        text = text.replace("$request_time", took).replace("$time_iso8601", second)
    (tmp_path / "access.log").write_text(text)
    errors = (folder / "error.log").read_text().splitlines(keepends=True)
    (tmp_path / "error.log").write_text("".join(line for line in errors if "web_five_1_rps" in line))
    named = {class_: [network] for class_, network in CLASSES.items()}
    report = analyze(tmp_path, log_format=f"$remote_addr {times} $status", limit_allowlist=[ALLOWED], **named)
    told = report.rate_limit.logged
    assert told is not None
    assert (told.told_by, told.rejected, told.nearest) == ("error_log", said.total(), "limit-rps: 5")
    assert {each.class_: each.rejected for each in told.classes} == said
    exact = times.endswith("$request_time")
    assert report.rate_limit.simulations[2].certainty == ("exact" if exact else "bounds")
    for each in told.classes:
        if exact:
            assert abs(each.simulated_low - each.rejected) <= 1 + 0.01 * each.rejected
            assert each.simulated_low == each.simulated_high
        else:
            assert each.simulated_low <= each.rejected <= each.simulated_high
