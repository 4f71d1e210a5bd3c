"""What was read, what was not, and what lines gave away."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from analyzer.report.page import GAP, INDENT, flow
from analyzer.report.sections import NAME, SAMPLES, SHOWN, more
from analyzer.report.text import number, period, printable, size

if TYPE_CHECKING:
    from analyzer.report.model import Input, SourceRow, StateRow
    from analyzer.report.page import Page


def signals(page: Page, signals: dict[str, int]) -> None:
    """Write what lines gave away of protocols."""
    parts = [f"{name.replace('_', ' ')} {number(count)}" for name, count in signals.items() if count]
    if parts:
        page.section("Signals", parts)


def read_input(page: Page, read: Input) -> None:
    """Write what was read."""
    failed = [source for source in read.sources if source.error is not None]
    for source in failed[:SHOWN]:
        error = printable(source.error or "", limit=200)
        page.section("error", f"{_end(source.uri)}: {error}".split(" "), gap=" ", style="red")
    for left_out in more(len(failed) - SHOWN):
        page.section("", [f"{left_out} sources could not be read"])
    for sample in read.rejected_samples[:SAMPLES]:
        place = _end(sample.uri) if sample.line is None else f"{_end(sample.uri)}:{sample.line}"
        page.section("rejected", [f"{place}: {sample.reason}", printable(sample.text, limit=page.width - 20)])
    lines = f"{size(read.lines, 'line')}, {number(read.rejected)} rejected, {other_lines(read)}"
    parts = [lines, _formats(read.sources)]
    if read.first_time is not None and read.last_time is not None:
        parts.append(period(read.first_time, read.last_time))
    if read.elapsed_seconds is not None:
        parts.append(f"{read.elapsed_seconds:.1f} s")
    if read.state is not None:
        parts.append(_state(read.state))
    for line in flow(parts, page.width - len(INDENT), GAP):
        page.line(line, "dim")


def other_lines(read: Input) -> str:
    """How many lines are no access-log lines, by their kinds."""
    kinds = ", ".join(f"{name.replace('_', ' ')} {number(count)}" for name, count in read.other_kinds.items() if count)
    return f"{number(read.other)} other" + (f" ({kinds})" if kinds else "")


def _state(state: StateRow) -> str:
    since = f" since {state.since:%Y-%m-%d %H:%M}" if state.since is not None else ""
    changed = (("new", state.new), ("grown", state.grown), ("read anew", state.read_anew))
    new = ", ".join(f"{number(count)} {name}" for name, count in changed if count) or "nothing new"
    return f"state of {size(state.logs, 'log')}{since}: {new}"


def _end(uri: str) -> str:
    """Keep the end of a long name: of a path that is the file."""
    uri = printable(uri)
    return uri if len(uri) <= NAME else "..." + uri[3 - NAME :]


def _formats(sources: list[SourceRow]) -> str:
    counted: Counter[str] = Counter()
    for source in sources:
        name = source.format or "unknown format"
        wrapped = source.envelope not in (None, "none")
        counted[f"{name} in {source.envelope}" if wrapped else name] += 1
    if len(counted) == 1 and len(sources) == 1:
        return next(iter(counted))
    shown = [f"{name} ({size(count, 'source')})" for name, count in counted.most_common(SHOWN)]
    return ", ".join(shown + more(len(counted) - SHOWN)) or "no source"
