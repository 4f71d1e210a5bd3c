"""The sections of the report on a terminal, one module each, and what they share."""

from __future__ import annotations

from analyzer.report.text import number

SHOWN = 6
"""Longest list inside a section; the JSON report has the whole of it."""
NAME = 48
"""Longest name in such a list: leaves room for its numbers."""
SAMPLES = 3
LOST = ("partly", "not-preserved")
"""Verdicts of preservation that there is a reason to look for."""
READY = {"ready": "READY", "partly": "PARTLY READY", "not-ready": "NOT READY", "unknown": "CANNOT TELL"}


def more(count: int) -> list[str]:
    """Say how many a list leaves out, if any."""
    return [f"{number(count)} more"] if count > 0 else []
