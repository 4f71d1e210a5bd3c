"""What ``logscan compare --layers`` says, as data (``logscan.layers/1``) and as a document."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from analyzer.report.document import Cell, Document, Headline, Paragraph, Part, Quoted, Section, Share, Verdict, table
from analyzer.report.text import number, percentage, size

if TYPE_CHECKING:
    from analyzer.readings.layers import Hop

SCHEMA = "logscan.layers/1"


@dataclass(frozen=True, kw_only=True)
class Layers:
    """The layers of one path, the outermost first, and what happens between neighbours."""

    schema: str = field(default=SCHEMA, init=False)
    version: str
    layers: list[str]
    hops: list[Hop]

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        from analyzer.report.html import fragment  # noqa: PLC0415 - costs its import only where it is used

        return fragment(document(self))


def document(found: Layers) -> Document:
    """Say it in words and tables."""
    return Document("Where does the address change?", _headline(found), [_section(hop) for hop in found.hops])


def _headline(found: Layers) -> Headline:
    changing = [hop for hop in found.hops if hop.changes_address]
    if changing:
        text = "; ".join(f"between {hop.before} and {hop.after}" for hop in changing)
        return Headline(Verdict("Changed", "bad"), f"the address changes {text}", {})
    unknown = [hop for hop in found.hops if not hop.found]
    if unknown:
        text = "; ".join(f"{hop.before} and {hop.after}" for hop in unknown)
        return Headline(Verdict("Cannot tell", "warn"), f"no request was found in both of {text}", {})
    return Headline(Verdict("Kept", "good"), "every layer logs the address that the one before logged", {})


def _section(hop: Hop) -> Section:
    title = f"{hop.before} to {hop.after}"
    if not hop.found:
        nothing = Paragraph((f"None of {size(hop.requests, 'request')} was found in the layer before.",))
        return Section("hop", title, [nothing], Verdict("Cannot tell", "warn"))
    said = f"{size(hop.found, 'request')} of {number(hop.requests)} found by {hop.joined_by}: "
    said += f"{percentage(hop.same_pct)} % have the same address in both."
    if hop.carried_pct is not None:
        said += f" Of the others {percentage(hop.carried_pct)} % still carry it in X-Forwarded-For."
    parts: list[Part] = [Paragraph((said,))]
    rows: list[list[Cell]] = [
        [
            f"{change.from_class} to {change.to_class}",
            number(change.requests),
            Share(change.pct),
            Quoted(change.example),
        ]
        for change in hop.changes
    ]
    if rows:
        parts.append(table("Addresses that changed", ("Class", "Requests", "%", "Such as"), rows, numeric=(1, 2)))
    changed = hop.changes_address
    return Section("hop", title, parts, Verdict("Changed" if changed else "Kept", "bad" if changed else "good"))
