"""What the readings cost: the whole report, with a geo database and the default limits, beside preservation alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from results import Promise
from tools import Case, from_logscan, from_totals, logscan, script

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from results import Result

BOUND = 1.6


def cases(lines: int, geoip: Path | None) -> list[Case]:
    """Return every case; without a geo database the report is the one that has none."""
    alone = script("preservation_alone.py")
    found = [
        Case("logscan-preservation", "preservation alone, by the parts of the library", alone, lines, from_totals,
             "logscan"),
        Case("logscan", "the whole report", logscan(), lines, from_logscan, "logscan"),
    ]  # fmt: skip
    if geoip is not None:
        options = logscan("--geoip", str(geoip.absolute()))
        found.append(Case("logscan-geo", "the whole report, with places", options, lines, from_logscan, "logscan"))
    start = min(lines, 1000)
    return [
        *found,
        Case("logscan-preservation-start", "the same of 1,000 lines", alone, start, from_totals, "logscan"),
        Case("logscan-start", "the whole report of 1,000 lines", logscan(), start, from_logscan, "logscan"),
    ]


def promises(results: Sequence[Result]) -> list[Promise]:
    """Return the bound, and what stands beside it."""
    found = []
    for what, bound in (("wall", BOUND), ("cpu", None)):
        time = {result.case.name: getattr(result, what) for result in results if result.samples}
        if time.get("logscan-preservation", 0.0) <= 0:
            continue
        for name in ("logscan", "logscan-geo"):
            if name in time:
                ratio = time[name] / time["logscan-preservation"]
                held = bound if name == "logscan-geo" else None
                found.append(Promise(f"{name} / preservation alone, {what}", ratio, "at most" if held else "", held))
    return found
