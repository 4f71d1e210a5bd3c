"""Measure logscan beside other tools: whole processes, one at a time, in turns, row counts checked.

    python benchmarks/run.py                      the full measurement
    python benchmarks/run.py --smoke              small, for CI: everything runs and nothing is lost
    python benchmarks/run.py --only wc,logscan    some cases

Exit code 1 when a tool fails, loses rows that it is not known to lose, or gets a total wrong. Speed never fails a run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import generate
import results
import tools
from measure import ToolError, run

SMOKE_LINES = 20_000


class Logs:
    """Generated logs, kept in a directory between runs and made anew when the generator changes."""

    def __init__(self, directory: Path, seed: int) -> None:
        """Keep the logs of one seed in a directory."""
        self.directory = directory
        self.seed = seed
        self.version = hashlib.sha256(Path(generate.__file__).read_bytes()).hexdigest()[:8]

    def get(self, lines: int) -> tuple[Path, generate.Summary]:
        """Return the log of so many lines and what it holds."""
        path = self.directory / f"ingress-{self.version}-{self.seed}-{lines}.log"
        about = path.with_suffix(".json")
        if path.exists() and about.exists():
            return path, generate.Summary(**json.loads(about.read_text()))
        self.directory.mkdir(parents=True, exist_ok=True)
        print(f"writing {path}", file=sys.stderr)
        # In a process of its own: this one must stay small, see `measure`.
        command = [sys.executable, generate.__file__, "--lines", str(lines), "--seed", str(self.seed), "-o", str(path)]
        made = subprocess.run(command, check=True, text=True, stderr=subprocess.PIPE)
        about.write_text(made.stderr)
        return path, generate.Summary(**json.loads(made.stderr))


def warm(path: Path) -> None:
    """Read a file once, so that it comes from the page cache."""
    with path.open("rb", buffering=0) as file:
        while file.read(1 << 20):
            pass


def environment(case: tools.Case, home: Path) -> dict[str, str]:
    """Return the environment of a case: a home of its own, and no logscan variables but its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOGSCAN_")}
    return kept | {"HOME": str(home), "TZ": "UTC", "NO_COLOR": "1", **case.environment}


def take(result: results.Result, logs: Logs, home: Path) -> None:
    """Measure one run of a case, and check its answer."""
    case = result.case
    path, truth = logs.get(case.lines) if case.lines else (None, None)
    try:
        sample, stdout, complaint = run(case.command(str(path)), environment(case, home), home)
        if case.is_logscan and "LOGSCAN_SCANNER" not in case.environment and "portable" in complaint:
            result.failure = "the C scanner is not built"
        if case.read and truth:
            result.answer = case.read(stdout)
            result.lost = truth.lines - result.answer.rows
            result.failure = result.failure or tools.wrong(case, result.answer, truth)
    except ToolError as error:
        result.failure = str(error)
        return
    except (ValueError, KeyError, IndexError, TypeError) as error:
        result.failure = f"an answer that cannot be read: {error!r}"
        return
    result.samples.append(sample)
    print(f"{case.name:20} {sample.wall:8.3f} s {sample.peak / results.MEGABYTE:7.0f} MB", file=sys.stderr)


def measure(cases: list[tools.Case], logs: Logs, *, lines: int, runs: int) -> list[results.Result]:
    """Measure every case `runs` times, in turns, so that a disturbance hits all alike."""
    found = [results.Result(case, lines, skipped=case.missing()) for case in cases]
    for count in sorted({result.case.lines for result in found if result.case.lines and not result.skipped}):
        logs.get(count)
    with tempfile.TemporaryDirectory() as home:
        for _ in range(runs):
            for result in found:
                if result.skipped or result.failure:
                    continue
                if result.case.lines:
                    warm(logs.get(result.case.lines)[0])
                take(result, logs, Path(home))
    return found


def limit_cores(cores: int) -> int:
    """Keep this process and every tool it starts on so many processors; return how many there are."""
    if not hasattr(os, "sched_setaffinity"):
        return os.cpu_count() or 1
    allowed = sorted(os.sched_getaffinity(0))[:cores]
    os.sched_setaffinity(0, allowed)
    return len(allowed)


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure logscan beside other tools on a generated access log.")
    parser.add_argument("--lines", type=int, default=3_000_000, help="length of the log")
    parser.add_argument("--slow-lines", type=int, default=300_000, help="how much of it the slow tools get")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5, help="how often each case is measured")
    parser.add_argument("--only", metavar="NAMES", help="comma-separated cases; default: all")
    parser.add_argument("--long", action="store_true", help="also a log ten times as long")
    parser.add_argument("--cores", type=int, default=2, help="processors that every tool may use")
    parser.add_argument("--data", type=Path, default=Path(__file__).parent / "data", help="where the logs are kept")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every raw figure there")
    parser.add_argument("--markdown", action="store_true", help="print the README's results section")
    parser.add_argument("--smoke", action="store_true", help=f"{SMOKE_LINES:,} lines, one run, all cases: for CI")
    chosen = parser.parse_args()
    if chosen.smoke:
        chosen.lines, chosen.runs, chosen.long = SMOKE_LINES, 1, True
    return chosen


def main() -> int:
    """Measure, print, and return the exit code."""
    chosen = options()
    cases = tools.cases(chosen.lines, chosen.slow_lines, long=chosen.long)
    if chosen.only:
        names = set(chosen.only.split(","))
        if unknown := names - {case.name for case in cases}:
            known = ", ".join(case.name for case in cases)
            print(f"--only: expected some of {known}, got {', '.join(sorted(unknown))}", file=sys.stderr)
            return 2
        cases = [case for case in cases if case.name in names]
    cores = limit_cores(chosen.cores)
    logs = Logs(chosen.data.absolute(), chosen.seed)
    found = measure(cases, logs, lines=chosen.lines, runs=chosen.runs)
    facts, versions = results.machine(cores), tools.versions()
    command = shlex.join(["python", "benchmarks/run.py", *sys.argv[1:]])
    if chosen.markdown:
        log = f"{chosen.lines:,} lines, seed {chosen.seed}, {chosen.runs} runs"
        print(results.heading(facts, versions, command, log))
    print("\n".join([results.table(found), "", *results.remarks(found, speed=not chosen.smoke)]))
    if chosen.json:
        raw = {"machine": facts, "versions": versions, "command": command, **results.as_json(found)}
        chosen.json.write_text(json.dumps(raw, indent=1) + "\n")
    return 1 if any(result.failure for result in found) else 0


if __name__ == "__main__":
    sys.exit(main())
