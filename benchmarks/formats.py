"""What other forms of the log cost: JSON layouts, envelopes, compression, and finding out which of them it is.

Start-up is a third of the time or more, so each case is measured a second time on the first 1,000 lines of its log;
what that takes is its start-up, and the difference its work.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from results import MEGABYTE, Promise, aligned
from tools import TOTALS, Answer, Case, from_logscan, from_totals, logscan, script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from results import Result

SHORT = 1000
KONG = "kong-json"
PACKAGES = ("duckdb", "polars", "isal", "backports.zstd")
DETECTED = {"text": ("ingress-nginx", "none"), "text+cri": ("ingress-nginx", "cri"),
            "text+cri+fluent-bit": ("ingress-nginx", "fluent-bit+cri")}  # fmt: skip


def read_as(name: str, envelope: str = "none") -> Callable[[str], Answer]:
    """Return how to read logscan's JSON report on a log of this format, and no other."""

    def read(text: str) -> Answer:
        source = json.loads(text)["input"]["sources"][0]
        _check((source["format"], source["envelope"]), (name, envelope))
        return from_logscan(text)

    return read


def detected_as(name: str, envelope: str) -> Callable[[str], Answer]:
    """Return how to read what `detection.py` prints."""

    def read(text: str) -> Answer:
        found = json.loads(text)
        _check((found["format"], found["envelope"]), (name, envelope))
        return Answer(figures={figure: found[figure] for figure in ("load", "first", "again")})

    return read


def _check(found: tuple[str, str], expected: tuple[str, str]) -> None:
    if found != expected:
        message = f"expected a log in {' in '.join(expected)}, got {' in '.join(found)}"
        raise ValueError(message)


def cases(lines: int, kong_lines: int) -> list[Case]:
    """Return every case, each followed by its start-up."""
    report, ingress = "the whole report", read_as("ingress-nginx")
    whole = [
        Case("logscan-text", f"{report}, default text", logscan(), lines, ingress, "logscan"),
        Case("logscan-nginx-json", f"{report}, nginx JSON", logscan(), lines, read_as("nginx-json"), "logscan",
             form="nginx-json"),
        Case("logscan-cri", f"{report}, default text in CRI", logscan(), lines, read_as("ingress-nginx", "cri"),
             "logscan", form="text+cri"),
        Case("logscan-gzip", f"{report}, default text in gzip", logscan(), lines, ingress, "logscan", form="text.gz"),
        Case("unpack-gzip", "isal, to nowhere", script("unpack.py"), lines, _held, "python:isal", form="text.gz"),
        Case("logscan-zstd", f"{report}, default text in zstd", logscan(), lines, ingress, "logscan",
             form="text.zst"),
        Case("unpack-zstd", "zstd, to nowhere", script("unpack.py"), lines, _held, form="text.zst"),
        Case("logscan-kong", f"{report}, Kong's JSON", logscan(), kong_lines, read_as(KONG), "logscan", form=KONG),
        Case("duckdb-detect", f"read_json, detecting, {TOTALS}", script("duckdb_json.py", "detect"), kong_lines,
             from_totals, "python:duckdb", form=KONG),
        Case("duckdb-columns", f"read_json, given the columns, {TOTALS}", script("duckdb_json.py", "columns"),
             kong_lines, from_totals, "python:duckdb", form=KONG),
        Case("polars-infer", f"scan_ndjson, inferring, {TOTALS}", script("polars_ndjson.py", "infer"), kong_lines,
             from_totals, "python:polars", form=KONG),
        Case("polars-schema", f"scan_ndjson, given the schema, {TOTALS}", script("polars_ndjson.py", "schema"),
             kong_lines, from_totals, "python:polars", form=KONG),
    ]  # fmt: skip
    found = []
    for case in whole:
        found += [case, dataclasses.replace(case, name=start_of(case.name), lines=min(SHORT, case.lines))]
    detection = str(Path(__file__).with_name("detection.py"))
    for form, expected in DETECTED.items():
        does = f"detection, {' in '.join(each for each in expected if each != 'none')}"
        command = _detect(detection)
        found.append(Case(f"detect-{form}", does, command, SHORT, detected_as(*expected), "logscan", form=form))
    return found


def start_of(name: str) -> str:
    """Return the name of the case that is only start-up."""
    return f"{name}-start"


def _held(text: str) -> Answer:
    return Answer(log_bytes=int(text))


def _detect(program: str) -> Callable[[str], list[str]]:
    return lambda log: [sys.executable, program, log]


def table(results: Sequence[Result]) -> str:
    """Return the figures of the logs, then those of detection."""
    start = {result.case.name: result for result in results if result.samples and result.case.name.endswith("-start")}
    header = [
        "case", "what it computes", "text MB", "lines", "rows counted", "wall min s", "wall median s", "start-up s",
        "less start-up s", "cpu s", "peak MB", "ns a line", "ns a byte",
    ]  # fmt: skip
    rows = []
    for result in results:
        case = result.case
        if case.name.endswith("-start") or case.name.startswith("detect-"):
            continue
        size = f"{result.size / MEGABYTE:.0f}" if result.samples else ""
        begin = [case.name, case.does, size, f"{case.lines:,}"]
        if result.trouble:
            rows.append([*begin, result.trouble])
            continue
        short = start.get(start_of(case.name))
        rows.append([
            *begin, result.rows_text, f"{result.wall:.3f}", f"{result.median:.3f}",
            f"{short.wall:.3f}" if short else "", f"{result.wall - short.wall:.3f}" if short else "",
            f"{result.cpu:.3f}", result.peak_text, f"{1e9 * result.wall / case.lines:.0f}",
            f"{1e9 * result.wall / result.size:.2f}",
        ])  # fmt: skip
    return "\n".join([*aligned(header, rows), "", *_detections(results)])


def _detections(results: Sequence[Result]) -> list[str]:
    header = ["detection of", "first ms", "again ms", "loading the rules ms", "first + loading, of start-up"]
    start = next((each.wall for each in results if each.case.name == "logscan-text-start" and each.samples), None)
    rows = []
    for result in results:
        if not result.case.name.startswith("detect-"):
            continue
        name = result.case.does.partition(", ")[2]
        if result.trouble:
            rows.append([name, result.trouble])
            continue
        best = best_of(result)
        share = f"{(best['first'] + best['load']) / 10 / start:.0f} %" if start else ""
        rows.append([name, *(f"{best[figure]:.1f}" for figure in ("first", "again", "load")), share])
    return aligned(header, rows)


def best_of(result: Result) -> dict[str, float]:
    """Return the least of each figure that a case measured itself."""
    return {name: min(answer.figures[name] for answer in result.answers) for name in result.answers[0].figures}


def promises(results: Sequence[Result]) -> list[Promise]:
    """Return the bounds that can be checked, each beside the same ratio taken otherwise."""
    return [*_ratios(results), *_detection_bounds(results)]


def _ratios(results: Iterable[Result]) -> list[Promise]:
    wall = {result.case.name: result.wall for result in results if result.samples}
    # Smoke size is too short for a difference: noise makes it nothing or less.
    net = {name: wall[name] - wall[start_of(name)] for name in wall if start_of(name) in wall}
    size = {result.case.name: float(result.size) for result in results}
    byte = {name: net[name] / size[name] for name in net}
    spent = {result.case.name: result.cpu for result in results if result.samples}
    work = {name: spent[name] - spent[start_of(name)] for name in net}
    work_byte = {name: work[name] / size[name] for name in work}
    whole_byte = {name: wall[name] / size[name] for name in wall if size[name]}
    most, least = ("at most", 1.3), ("at least", 3.0)
    wanted: list[tuple[str, dict[str, float], str, str, tuple[str, float] | tuple[()]]] = [
        ("nginx JSON / text, per byte, less start-up", byte, "logscan-nginx-json", "logscan-text", most),
        ("nginx JSON / text, per byte, whole", whole_byte, "logscan-nginx-json", "logscan-text", ()),
        (
            "nginx JSON / text, per byte, processor time less start-up",
            work_byte,
            "logscan-nginx-json",
            "logscan-text",
            (),
        ),
        ("nginx JSON / text, per line, less start-up", net, "logscan-nginx-json", "logscan-text", ()),
        ("nginx JSON / text, per line, whole", wall, "logscan-nginx-json", "logscan-text", ()),
        ("CRI / text, per line, less start-up", net, "logscan-cri", "logscan-text", most),
        ("CRI / text, per line, whole", wall, "logscan-cri", "logscan-text", ()),
        ("CRI / text, per line, processor time less start-up", work, "logscan-cri", "logscan-text", ()),
        ("CRI / text, per byte, less start-up", byte, "logscan-cri", "logscan-text", ()),
        ("CRI / text, per byte, whole", whole_byte, "logscan-cri", "logscan-text", ()),
    ]
    for kind in ("gzip", "zstd"):
        wanted += [
            (f"{kind} / unpacking it, whole", wall, f"logscan-{kind}", f"unpack-{kind}", most),
            (f"{kind} / unpacking it, less start-up", net, f"logscan-{kind}", f"unpack-{kind}", ()),
        ]
    for tool in ("duckdb-columns", "duckdb-detect", "polars-schema", "polars-infer"):
        wanted += [
            (f"{tool} / logscan on Kong's JSON, whole", wall, tool, "logscan-kong", least),
            (f"{tool} / logscan on Kong's JSON, less start-up", net, tool, "logscan-kong", ()),
        ]
    return [
        Promise(text, figures[one] / figures[other], *bound)
        for text, figures, one, other, bound in wanted
        if one in figures and figures.get(other, 0.0) > 0
    ]


def _detection_bounds(results: Iterable[Result]) -> list[Promise]:
    found = [result for result in results if result.case.name.startswith("detect-") and result.answers]
    return [Promise(f"{result.case.does}, again, ms", best_of(result)["again"], "at most", 50) for result in found]
