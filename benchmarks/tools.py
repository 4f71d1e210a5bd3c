"""What is measured: one `Case` per tool, with its command, how to read its answer, and which rows it may lose.

The cases here are those of the default log; `formats` has those of other forms of it.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from generate import Summary

COMPETITORS = Path(__file__).parent / "competitors"
TOTALS = "per address: requests, errors, bytes, time range"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool says of the log; `None` is what it does not say. `figures` are such as it measured itself."""

    rows: int | None = None
    addresses: int | None = None
    errors: int | None = None
    bytes: int | None = None
    log_bytes: int | None = None
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One measured process.

    `lines` is the length of the log it gets (0: none), `sliced` says that this is only the beginning of the log that
    the others get, `form` is how the log is written (`layouts`) and compressed, `loses` names the kinds of line that it
    may lose, at most.
    """

    name: str
    does: str
    command: Callable[[str], list[str]]
    lines: int
    read: Callable[[str], Answer] | None = None
    needs: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    loses: tuple[str, ...] = ()
    sliced: bool = False
    form: str = "text"

    @property
    def is_logscan(self) -> bool:
        """Whether this is the program the benchmark is about."""
        return self.name.startswith("logscan")

    def missing(self) -> str | None:
        """Say why the case cannot run here, or nothing."""
        if self.needs.startswith("python:"):
            module = self.needs.removeprefix("python:")
            return None if importlib.util.find_spec(module) else f"the Python package {module} is not installed"
        if self.needs and program(self.needs) is None:
            return f"the program {self.needs} is not installed"
        return None


def program(name: str) -> str | None:
    """Find a program beside this Python first, then on the path."""
    return shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}")


def from_totals(text: str) -> Answer:
    """Read what the scripts in `competitors/` print: one JSON object, or lnav's list of one."""
    answer = json.loads(text)
    answer = answer[0] if isinstance(answer, list) else answer
    return Answer(answer["rows"], answer.get("addresses"), answer.get("errors"), answer.get("bytes"))


def from_wc(text: str) -> Answer:
    """Read `wc -l`."""
    return Answer(int(text.split(maxsplit=1)[0]))


def from_goaccess(text: str) -> Answer:
    """Read GoAccess's JSON report; it counts only the addresses that it shows."""
    general = json.loads(text)["general"]
    return Answer(general["valid_requests"], bytes=general["bandwidth"])


def from_logscan(text: str) -> Answer:
    """Read logscan's JSON report, and hold it to `lines = parsed + rejected + other`."""
    report = json.loads(text)["input"]
    if report["lines"] != report["parsed"] + report["rejected"] + report["other"]:
        message = f"lines do not add up: {report}"
        raise ValueError(message)
    return Answer(report["parsed"])


def wrong(case: Case, answer: Answer, truth: Summary) -> str | None:
    """Say what is wrong with an answer, or nothing: rows lost that should not be, or totals that differ."""
    lost = 0 if answer.rows is None else truth.lines - answer.rows
    allowed = sum(truth.kinds.get(kind, 0) for kind in case.loses)
    if not 0 <= lost <= allowed:
        return f"expected {truth.lines - allowed} to {truth.lines} rows, got {answer.rows}"
    for name, got, expected in (
        ("addresses", answer.addresses, truth.addresses),
        ("errors", answer.errors, truth.errors),
        ("bytes", answer.bytes, truth.body_bytes),
        ("bytes of the log", answer.log_bytes, truth.bytes),
    ):
        if lost == 0 and got not in (None, expected):
            return f"{name}: expected {expected}, got {got}"
    return None


def script(name: str, *options: str) -> Callable[[str], list[str]]:
    """Return the command of a Python script in `competitors/`."""
    return lambda log: [sys.executable, str(COMPETITORS / name), *options, log]


def logscan(*options: str) -> Callable[[str], list[str]]:
    """Return the command of logscan's analysis."""
    return lambda log: [program("logscan") or "logscan", "analyze", log, "--format", "json", *options]


def cases(lines: int, slow_lines: int, *, long: bool) -> list[Case]:
    """Return every case: logs of `lines`, slow tools on the first `slow_lines` of it, ten times as many if `long`."""
    shorter = min(lines, slow_lines)
    sliced = shorter < lines
    goaccess, lnav, awk = (str(COMPETITORS / name) for name in ("goaccess.conf", "totals.lnav", "first_field.awk"))
    found = [
        Case("wc", "newlines", lambda log: ["wc", "-l", log], lines, from_wc, "wc"),
        Case("mawk", "requests per first field", lambda log: ["mawk", "-f", awk, log], lines, from_totals, "mawk"),
        Case("duckdb", f"CSV reader, {TOTALS}", script("duckdb_csv.py"), lines, from_totals, "python:duckdb",
             loses=("retried",)),
        Case("clickhouse", f"extractGroups, all fields, {TOTALS}", script("clickhouse_regex.py", "fields"), lines,
             from_totals, "python:chdb"),
        Case("clickhouse-short", f"extractGroups, four fields, {TOTALS}", script("clickhouse_regex.py", "short"), lines,
             from_totals, "python:chdb"),
        Case("clickhouse-format", f"format Regexp, all fields, {TOTALS}", script("clickhouse_regex.py", "format"),
             lines, from_totals, "python:chdb"),
        Case("polars", f"full regex, {TOTALS}", script("polars_regex.py"), lines, from_totals, "python:polars"),
        Case("goaccess", "its whole JSON report", lambda log: [
            "goaccess", log, "--no-global-config", "--config-file", goaccess, "--output", "json",
        ], shorter, from_goaccess, "goaccess", sliced=sliced),
        Case("lnav", f"access_log, {TOTALS}", lambda log: ["lnav", "-n", "-q", "-f", lnav, log], shorter, from_totals,
             "lnav", loses=("unreadable", "escaped"), sliced=sliced),
        Case("logscan", "the whole report", logscan(), lines, from_logscan, "logscan"),
        Case("logscan-portable", "the whole report, without the C scanner", logscan(), shorter, from_logscan, "logscan",
             {"LOGSCAN_SCANNER": "portable"}, sliced=sliced),
        Case("logscan-1-thread", "the whole report, --workers 1", logscan("--workers", "1"), lines, from_logscan,
             "logscan"),
        Case("logscan-2-threads", "the whole report, --workers 2", logscan("--workers", "2"), lines, from_logscan,
             "logscan"),
        Case("logscan-start", "start-up: a log of 1,000 lines", logscan(), min(lines, 1000), from_logscan, "logscan"),
        Case("logscan-help", "--help", lambda _: [program("logscan") or "logscan", "--help"], 0, None, "logscan"),
        Case("python-pass", "python -c pass", lambda _: [sys.executable, "-c", "pass"], 0),
    ]  # fmt: skip
    if long:
        found.append(
            Case("logscan-long", "the whole report, ten times the log", logscan(), 10 * lines, from_logscan, "logscan")
        )
    return found


PACKAGES = ("duckdb", "chdb", "polars")
PROGRAMS = {"wc": "--version", "mawk": "-Wversion", "goaccess": "--version", "lnav": "-V", "logscan": "--version"}


def versions(packages: Iterable[str], programs: Mapping[str, str]) -> dict[str, str]:
    """Return the version of each Python package and of each program (with the option that prints it) that is here."""
    found = {"python": f"Python {sys.version.split()[0]}"}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = f"{package} {importlib.metadata.version(package)}"
    for name, option in programs.items():
        if path := program(name):
            asked_of = subprocess.run([path, option], capture_output=True, check=False, stdin=subprocess.DEVNULL)
            said = (asked_of.stdout + asked_of.stderr).decode(errors="replace").strip()
            found[name] = said.partition("\n")[0].rstrip(".")
    return found
