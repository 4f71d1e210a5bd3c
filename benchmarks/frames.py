"""What the library costs: frames by `scan()` beside Polars' own line reader and DuckDB, and the import.

A query over a log of 1,000 lines is its start-up, as in `formats`. A session starts once and asks many times, so it is
taken off all of them.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TYPE_CHECKING

from formats import SHORT, start_of
from results import Promise
from tools import Answer, Case, from_wc, script

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from results import Result

PACKAGES = ("duckdb", "polars")


def from_query(text: str) -> Answer:
    """Read what `three_columns.py` prints."""
    found = json.loads(text)
    return Answer(found.get("rows"), errors=found.get("errors"))


def from_lossy_query(text: str) -> Answer:
    """Read the same of a tool that drops retried requests: its count says that it ran, and no more."""
    return Answer(figures={"errors": json.loads(text)["errors"]})


def cases(lines: int) -> list[Case]:
    """Return every case, each followed by its start-up."""
    does, name = "address, request, status where 500 or above", "three_columns.py"
    whole = [
        Case("logscan-scan", f"scan(): {does}", script(name, "scan"), lines, from_query, "logscan"),
        Case("polars-scan", f"scan_lines, full regex: {does}", script(name, "polars"), lines, from_query,
             "python:polars"),
        Case("duckdb-scan", f"CSV reader: {does}", script(name, "duckdb"), lines, from_lossy_query, "python:duckdb"),
        Case("logscan-count", "scan(): number of rows", script(name, "count"), lines, from_query, "logscan"),
    ]  # fmt: skip
    found = [Case("wc", "newlines", lambda log: ["wc", "-l", log], lines, from_wc, "wc")]
    for case in whole:
        found += [case, dataclasses.replace(case, name=start_of(case.name), lines=min(SHORT, case.lines))]
    return [
        *found,
        Case("logscan-import", "import analyzer", _python("import analyzer"), 0, None, "logscan"),
        Case("logscan-import-scan", "import analyzer, then analyzer.scan", _python("import analyzer; analyzer.scan"), 0,
             None, "logscan"),
        Case("python-pass", "python -c pass", _python("pass"), 0),
    ]  # fmt: skip


def _python(code: str) -> Callable[[str], list[str]]:
    return lambda _: [sys.executable, "-c", code]


def promises(results: Sequence[Result]) -> list[Promise]:
    """Return the bounds that can be checked."""
    wall = {result.case.name: result.wall for result in results if result.samples}
    net = {name: wall[name] - wall[start_of(name)] for name in wall if start_of(name) in wall}
    found = []
    if net.get("logscan-scan", 0) > 0:
        for tool, bound in (("polars-scan", 3.0), ("duckdb-scan", 1.5)):
            if tool in net:
                found += [
                    Promise(
                        f"{tool} / logscan-scan, less start-up", net[tool] / net["logscan-scan"], "at least", bound
                    ),
                    Promise(f"{tool} / logscan-scan, whole", wall[tool] / wall["logscan-scan"]),
                ]
    if {"wc", "logscan-count"} <= wall.keys() and "logscan-count" in net:
        found.append(Promise("logscan-count / wc, less start-up", net["logscan-count"] / wall["wc"], "at most", 5))
    if {"logscan-import", "python-pass"} <= wall.keys():
        milliseconds = 1000 * (wall["logscan-import"] - wall["python-pass"])
        found.append(Promise("import analyzer, ms more than python -c pass", milliseconds, "at most", 250))
    return found
