"""Measure logscan beside other tools: whole processes, one at a time, in turns, row counts checked.

    python benchmarks/run.py                      beside other tools, on the default log
    python benchmarks/run.py formats              other forms of the log: JSON, envelopes, compressed
    python benchmarks/run.py frames               scan() beside other readers of frames
    python benchmarks/run.py readings --geoip F   the whole report beside preservation alone
    python benchmarks/run.py --smoke              all, small, for CI: everything runs and nothing is lost
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
from typing import TYPE_CHECKING, NamedTuple

import formats
import frames
import generate
import layouts
import readings
import results
import tools
from measure import ToolError, run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

SMOKE_LINES = 20_000
SMOKE_KONG_LINES = 5_000


class Group(NamedTuple):
    """Cases that are measured and shown together, and what is said of them."""

    cases: list[tools.Case]
    log: str
    packages: Sequence[str]
    programs: Mapping[str, str]
    table: Callable[[Sequence[results.Result]], str]
    promises: Callable[[Sequence[results.Result]], list[results.Promise]]


class Logs:
    """Generated logs, kept in a directory between runs and made anew when the generator changes."""

    def __init__(self, directory: Path, seed: int) -> None:
        """Keep the logs of one seed in a directory."""
        self.directory = directory
        self.seed = seed
        makers = (Path(module.__file__).read_bytes() for module in (generate, layouts) if module.__file__)
        self.version = hashlib.sha256(b"".join(makers)).hexdigest()[:8]

    def get(self, lines: int, form: str) -> tuple[Path, generate.Summary]:
        """Return the log of so many lines in a form, which may end in `.gz` or `.zst`, and what it holds."""
        written, _, packed = form.partition(".")
        path = self.directory / f"{written}-{self.version}-{self.seed}-{lines}.log{packed and f'.{packed}'}"
        about = path.with_name(f"{path.name}.json")
        if path.exists() and about.exists():
            return path, generate.Summary(**json.loads(about.read_text()))
        self.directory.mkdir(parents=True, exist_ok=True)
        print(f"writing {path}", file=sys.stderr)
        # In a process of its own: this one must stay small, see `measure`.
        command = [
            sys.executable,
            generate.__file__,
            "--lines",
            str(lines),
            "--seed",
            str(self.seed),
            "--form",
            written,
        ]
        made = subprocess.run([*command, "-o", str(path)], check=True, text=True, stderr=subprocess.PIPE)
        about.write_text(made.stderr)
        return path, generate.Summary(**json.loads(made.stderr))


def warm(path: Path) -> None:
    """Read a file once, so that it comes from the page cache."""
    with path.open("rb", buffering=0) as file:
        while file.read(1 << 20):
            pass


def environment(case: tools.Case, home: Path) -> dict[str, str]:
    """Return the environment of a case: a home of its own, and no logscan variables but its own.

    Python may keep what it compiled, as it does wherever a program is installed.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOGSCAN_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return kept | {"HOME": str(home), "TZ": "UTC", "NO_COLOR": "1", **case.environment}


def take(result: results.Result, logs: Logs, home: Path) -> None:
    """Measure one run of a case, and check its answer."""
    case = result.case
    path, truth = logs.get(case.lines, case.form) if case.lines else (None, None)
    try:
        sample, stdout, complaint = run(case.command(str(path)), environment(case, home), home)
        if case.is_logscan and "LOGSCAN_SCANNER" not in case.environment and "portable" in complaint:
            result.failure = "the C scanner is not built"
        if case.read and truth:
            answer = case.read(stdout)
            result.answers.append(answer)
            result.size = truth.bytes
            result.lost = None if answer.rows is None else truth.lines - answer.rows
            result.failure = result.failure or tools.wrong(case, answer, truth)
    except ToolError as error:
        result.failure = str(error)
        return
    except (ValueError, KeyError, IndexError, TypeError) as error:
        result.failure = f"an answer that cannot be read: {error!r}"
        return
    result.samples.append(sample)
    print(f"{case.name:24} {sample.wall:8.3f} s {sample.peak / results.MEGABYTE:7.0f} MB", file=sys.stderr)


def measure(cases: list[tools.Case], logs: Logs, *, lines: int, runs: int) -> list[results.Result]:
    """Measure every case `runs` times, in turns, so that a disturbance hits all alike."""
    found = [results.Result(case, lines, skipped=case.missing()) for case in cases]
    for each in sorted({(result.case.lines, result.case.form) for result in found if not result.skipped}):
        if each[0]:
            logs.get(*each)
    with tempfile.TemporaryDirectory() as home:
        for _ in range(runs):
            for result in found:
                if result.skipped or result.failure:
                    continue
                if result.case.lines:
                    warm(logs.get(result.case.lines, result.case.form)[0])
                take(result, logs, Path(home))
    return found


def limit_cores(cores: int) -> int:
    """Keep this process and every tool it starts on so many processors; return how many there are."""
    if not hasattr(os, "sched_setaffinity"):
        return os.cpu_count() or 1
    allowed = sorted(os.sched_getaffinity(0))[:cores]
    os.sched_setaffinity(0, allowed)
    return len(allowed)


def cache() -> Path:
    """Return where generated logs are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "logscan-benchmarks"


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure logscan beside other tools on generated access logs.")
    parser.add_argument(
        "group", nargs="?", choices=("tools", "formats", "frames", "readings"), help="default: tools; with --smoke all"
    )
    parser.add_argument("--lines", type=int, default=3_000_000, help="length of the log")
    parser.add_argument("--slow-lines", type=int, default=300_000, help="how much of it the slow tools get")
    parser.add_argument("--kong-lines", type=int, default=500_000, help="length of Kong's log, 2 KB a line")
    parser.add_argument("--geoip", type=Path, metavar="FILE", help="a geo database (.mmdb) for the readings")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5, help="how often each case is measured")
    parser.add_argument("--only", metavar="NAMES", help="comma-separated cases; default: all")
    parser.add_argument("--long", action="store_true", help="also a log ten times as long")
    parser.add_argument("--cores", type=int, default=2, help="processors that every tool may use")
    parser.add_argument("--data", type=Path, default=cache(), help="where the logs are kept")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every raw figure there")
    parser.add_argument("--markdown", action="store_true", help="print the README's results section")
    parser.add_argument("--smoke", action="store_true", help=f"{SMOKE_LINES:,} lines, one run, all cases: for CI")
    chosen = parser.parse_args()
    if chosen.smoke:
        chosen.lines, chosen.kong_lines, chosen.runs, chosen.long = SMOKE_LINES, SMOKE_KONG_LINES, 1, True
    return chosen


def groups(chosen: argparse.Namespace) -> list[Group]:
    """Return the groups that are wanted, with the cases that are wanted of them."""
    seed = f"seed {chosen.seed}, {chosen.runs} runs"
    found = {
        "tools": Group(
            tools.cases(chosen.lines, chosen.slow_lines, long=chosen.long), f"{chosen.lines:,} lines, {seed}",
            tools.PACKAGES, tools.PROGRAMS, results.table, results.promises,
        ),
        "formats": Group(
            formats.cases(chosen.lines, chosen.kong_lines),
            f"{chosen.lines:,} lines, of Kong {chosen.kong_lines:,}, {seed}",
            formats.PACKAGES, {"logscan": tools.PROGRAMS["logscan"]}, formats.table, formats.promises,
        ),
        "frames": Group(
            frames.cases(chosen.lines), f"{chosen.lines:,} lines, {seed}", frames.PACKAGES,
            {name: tools.PROGRAMS[name] for name in ("wc", "logscan")}, results.table, frames.promises,
        ),
        "readings": Group(
            readings.cases(chosen.lines, chosen.geoip), f"{chosen.lines:,} lines, {seed}", ("polars",),
            {"logscan": tools.PROGRAMS["logscan"]}, results.table, readings.promises,
        ),
    }  # fmt: skip
    names = [chosen.group] if chosen.group else [*found] if chosen.smoke else ["tools"]
    wanted = [found[name] for name in names]
    if not chosen.only:
        return wanted
    only = set(chosen.only.split(","))
    known = [case.name for group in wanted for case in group.cases]
    if unknown := only.difference(known):
        print(f"--only: expected some of {', '.join(known)}, got {', '.join(sorted(unknown))}", file=sys.stderr)
        raise SystemExit(2)
    return [group._replace(cases=[case for case in group.cases if case.name in only]) for group in wanted]


def main() -> int:
    """Measure, print, and return the exit code."""
    chosen = options()
    wanted = groups(chosen)
    cores = limit_cores(chosen.cores)
    logs = Logs(chosen.data.absolute(), chosen.seed)
    facts, command = results.machine(cores), shlex.join(["python", "benchmarks/run.py", *sys.argv[1:]])
    raw, failed = [], False
    for group in wanted:
        found = measure(group.cases, logs, lines=chosen.lines, runs=chosen.runs)
        versions, promised = tools.versions(group.packages, group.programs), group.promises(found)
        if chosen.markdown:
            print(results.heading(facts, versions, command, group.log))
        print("\n".join([group.table(found), "", *results.remarks(found, [] if chosen.smoke else promised)]))
        raw.append({"machine": facts, "versions": versions, "command": command, **results.as_json(found, promised)})
        failed = failed or any(result.failure for result in found)
    if chosen.json:
        chosen.json.write_text(json.dumps(raw, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
