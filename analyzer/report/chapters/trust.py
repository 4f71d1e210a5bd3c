"""Whether the logged addresses can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.report.document import (
    NUMBERS,
    TONES,
    Cell,
    Paragraph,
    Part,
    Quoted,
    Section,
    Verdict,
    sentence,
    table,
    to_copy,
)
from analyzer.report.text import number

if TYPE_CHECKING:
    from analyzer.readings.trust import Trust

LONGEST_CHAIN = 32
"""Chains of so many entries are counted with longer ones."""


def trust(reading: Trust) -> Section:
    """Write the chapter."""
    parts: list[Part] = [Paragraph((sentence(reading.reason),))]
    if reading.examples:
        examples: list[list[Cell]] = [
            [Quoted(each.remote_addr or "-"), number(each.requests), Quoted(each.peer or "-"),
             Quoted(each.x_forwarded_for or "-")]
            for each in reading.examples
        ]  # fmt: skip
        columns = ("Logged address", "Requests", "Peer", "X-Forwarded-For")
        parts.append(table("Forged addresses, for example", columns, examples, numeric=(1,)))
    if reading.hops:
        hops: list[list[Cell]] = [
            [f"{hop.length} or more" if hop.length == LONGEST_CHAIN else str(hop.length), number(hop.requests)]
            for hop in reading.hops
        ]
        parts.append(table("Requests by entries of X-Forwarded-For", ("Entries", "Requests"), hops, numeric=NUMBERS))
    if reading.log_format is not None:
        parts.append(to_copy("Log this to decide, as logscan's --log-format takes it.", reading.log_format))
    verdict = Verdict(reading.verdict.replace("-", " ").capitalize(), TONES.get(reading.verdict, "plain"))
    return Section("trust", "Trust", parts, verdict)
