"""The report on a terminal: the verdict in three lines, then what to act on, then what was read.

What stands where, and in which words. Making it fit, safe and coloured is the work of `analyzer.report.page`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TextIO

from analyzer.readings.shares import percent
from analyzer.report.page import GAP, INDENT, LABEL, Page, first_that_fits, flow, terminal
from analyzer.report.text import number, percentage, printable, size

if TYPE_CHECKING:
    from datetime import datetime

    from analyzer.readings.geo import Geo
    from analyzer.readings.preservation import KindRow, Preservation
    from analyzer.readings.rate_limit import RateLimit
    from analyzer.readings.skew import Skew
    from analyzer.readings.timeline import Timeline
    from analyzer.report.model import Input, Report, SourceRow

_COUNT = 16
"""Columns of a number in the list of addresses."""
_SHOWN = 6
"""Longest list inside a section; the JSON report has the whole of it."""
_NAME = 48
"""Longest name in such a list: leaves room for its numbers."""
_SAMPLES = 3
_SPARKS = "▁▂▃▄▅▆▇█"

_HEADLINES = {
    "preserved": ("PRESERVED", "bold green"),
    "partly": ("PARTLY PRESERVED", "bold yellow"),
    "not-preserved": ("NOT PRESERVED", "bold red"),
    "unknown": ("CANNOT TELL", "bold yellow"),
}
_READY = {"ready": "READY", "partly": "PARTLY READY", "not-ready": "NOT READY", "unknown": "CANNOT TELL"}
_PROXY_SIGNALS = ("proxy_v1_to_plain_listener", "proxy_v2_to_plain_listener")
_UNREAD_PROXY = 0.05
"""Share of requests from which on an unread PROXY protocol is no scanner's try but the load balancer's."""
_STEPS = {
    "node": "masquerading: see externalTrafficPolicy of the Service",
    "lb": "read PROXY protocol or X-Forwarded-For from these addresses",
}
_NOUNS = {"node": "node address", "lb": "load balancer address", "private": "private address"}


class TableFormat:
    """Writes the report for a person.

    Parameters
    ----------
    width
        Columns to fit; no line is longer.
    color
        Whether to write colours.
    """

    def __init__(self, *, width: int = 80, color: bool = False) -> None:
        self._width = width
        self._color = color

    def render(self, report: Report) -> str:
        """Write `report` with a newline at the end."""
        page = Page(self._width)
        _headline(page, report)
        _addresses(page, report.preservation)
        page.blank()
        _skew(page, report.skew)
        _geo(page, report.geo, report.preservation)
        _rate_limit(page, report.rate_limit)
        _timeline(page, report.timeline)
        _signals(page, report.signals)
        page.blank()
        _input(page, report.input)
        return page.write(color=self._color)


def for_stream(stream: TextIO | None) -> TableFormat:
    """Make the format for where the text goes: 80 columns without colour unless that is a terminal."""
    width, color = terminal(stream)
    return TableFormat(width=width, color=color)


def _headline(page: Page, report: Report) -> None:
    reading = report.preservation
    verdict, style = _HEADLINES[reading.verdict]
    width = len(verdict) + len(GAP)
    room = page.width - len(INDENT) - width
    share = percentage(reading.preserved_pct)
    of = f"{number(reading.preserved)} of {number(reading.considered)}"
    line = first_that_fits(
        room,
        f"{share} % of visitors keep their IP   {of} requests",
        f"{share} % of visitors keep their IP   {of}",
        f"{share} % keep their IP   {of}",
        f"{share} %   {of}",
    )
    if reading.verdict == "unknown":
        line = f"none of {size(reading.requests, 'request')} can be judged"
    page.line(line, label=f"{verdict:<{width}}", label_style=style)
    page.line(_because(reading, room, report.input.parsed), label=f"{'because':<{width}}")
    step = _next_step(report)
    if step:
        page.line(step, label=f"{'next':<{width}}")
    page.blank()


def _because(reading: Preservation, room: int, parsed: int) -> str:
    """Say, from the numbers, what stands in for visitors."""
    if reading.verdict == "unknown":
        if reading.requests:
            return _left_out(reading)
        return "no request lies in that time" if parsed else "no line could be read as an access-log line"
    by_class: dict[str, list[KindRow]] = {}
    for row in reading.kinds:
        if row.class_ in _NOUNS:
            by_class.setdefault(row.class_, []).append(row)
    stand_ins = sorted(by_class.items(), key=lambda item: -sum(row.considered for row in item[1]))
    if not stand_ins:
        return "no node, load balancer or private address stands in for a visitor"
    brief: list[str] = []
    full: list[str] = []
    for class_, rows in stand_ins:
        addresses = sum(row.addresses for row in rows)
        who = size(addresses, _NOUNS[class_], _NOUNS[class_] + "es")
        kinds = ", ".join(row.kind for row in rows)
        verb = "" if full else " stands" if addresses == 1 else " stand"
        share = percentage(percent(sum(row.considered for row in rows), reading.considered))
        brief.append(f"{who}{verb} for {share} %")
        full.append(f"{who} ({kinds}){verb} for {share} %")
    lists = [full, [full[0], *brief[1:]], brief, full[:1], brief[:1]]
    ends = (" of requests", "")
    return first_that_fits(room, *(", ".join([part[0] + end, *part[1:]]) for part in lists for end in ends))


def _next_step(report: Report) -> str | None:
    reading = report.preservation
    if report.input.parsed == 0:
        return "give --log-format with the log_format of the controller" if report.input.lines else None
    if reading.verdict not in ("partly", "not-preserved"):
        return None
    unread = sum(report.signals.get(name, 0) for name in _PROXY_SIGNALS)
    if unread > _UNREAD_PROXY * reading.requests:
        return "PROXY protocol is sent and not read: set it at both ends"
    lost = [row for row in reading.kinds if row.class_ in ("node", "private")]
    if lost and report.input.cluster is None:
        return "give --cluster cluster.json to name the nodes"
    if any(row.class_ == "private" and row.kind not in ("pod", "service") for row in lost):
        return "say what they are with --node, --lb or --client CIDR"
    stand_in = max((row for row in reading.kinds if row.class_ in _STEPS), key=lambda row: row.considered, default=None)
    return _STEPS[stand_in.class_] if stand_in else None


def _addresses(page: Page, reading: Preservation) -> None:
    names = [f"{row.class_:<8}{printable(row.kind, limit=16)}" for row in reading.kinds]
    if not reading.requests:
        return
    first = max([len("Remote addresses"), *map(len, names)])
    page.line(f"{'requests':>{_COUNT}}{'%':>8}{'addresses':>12}", "bold", label=f"{'Remote addresses':<{first}}")
    for name, row in zip(names, reading.kinds, strict=True):
        counts = f"{number(row.considered):>{_COUNT}}{percentage(row.pct):>8}{number(row.addresses):>12}"
        page.line(counts, label=f"{name:<{first}}", label_style="green" if row.class_ == "client" else "red")
        examples = [*row.examples, "..."] if row.addresses > len(row.examples) and row.examples else row.examples
        details = [" ".join(examples), _merge(row.rules)] if examples else []
        for line in flow(details, page.width - len(INDENT) - 8, GAP):
            page.line(line, "dim", label=" " * 8)
    page.line(f"left out: {_left_out(reading)}", "dim")


def _left_out(reading: Preservation) -> str:
    excluded = reading.excluded
    line = (
        f"{size(excluded.health_probe, 'health probe')}, {size(excluded.unparsed_request, 'unreadable request')}, "
        f"{number(excluded.in_cluster)} from pods"
    )
    return f"{line}, {number(excluded.unknown)} without an address" if excluded.unknown else line


def _merge(rules: list[str]) -> str:
    """Join rules that differ in their last word alone: ``podCIDR of worker-1, worker-2``."""
    merged: dict[str, list[str]] = {}
    for rule in rules:
        start, _, end = rule.rpartition(" ")
        merged.setdefault(start, []).append(end)
    return "; ".join(f"{start} {', '.join(ends)}".strip() for start, ends in merged.items())


def _skew(page: Page, reading: Skew) -> None:
    where = f"{reading.by}s" if reading.basis == "serving" else "the nodes that requests enter through"
    parts = [
        f"{printable(group.name, limit=_NAME)} {percentage(group.share_pct)} %{_pods(reading, group.pods)}"
        for group in reading.groups[:_SHOWN]
    ]
    parts += _more(len(reading.groups) - _SHOWN)
    if reading.verdict != "unknown":
        parts.insert(0, f"{reading.verdict} over {where} (max/mean {reading.max_over_mean:.2f})")
    elif reading.groups:
        parts = [f"cannot tell: {where} known: {len(reading.groups)}", *parts]
    else:
        parts = ["cannot tell: the sources name no node or pod"]
    page.section("Skew", parts)
    if reading.idle:
        first, *others = [printable(name, limit=_NAME) for name in reading.idle[:_SHOWN]]
        page.section("", [f"idle: {first}", *others, *_more(len(reading.idle) - _SHOWN)], gap=", ")


def _pods(reading: Skew, pods: int | None) -> str:
    return f" ({size(pods, 'pod')})" if pods and reading.by == "node" else ""


def _more(count: int) -> list[str]:
    return [f"{number(count)} more"] if count > 0 else []


def _geo(page: Page, reading: Geo, preservation: Preservation) -> None:
    parts = [_READY[reading.verdict]]
    if reading.locatable_pct is not None:
        can = "can be located" if reading.database else "could be located by a geo database (--geoip)"
        parts.append(f"{percentage(reading.locatable_pct)} % of requests {can}")
        lost = percent(preservation.considered - preservation.preserved, preservation.considered)
        if lost:
            parts.append(f"{percentage(lost)} % would be judged by the address of another machine")
    parts += [f"{country.code} {percentage(country.pct)} %" for country in reading.countries[:_SHOWN]]
    parts += [f"AS{each.asn} {each.name or ''} {percentage(each.pct)} %" for each in reading.asns[:_SAMPLES]]
    page.section("Geo", parts)


def _rate_limit(page: Page, reading: RateLimit) -> None:
    parts = [_READY[reading.verdict]]
    if reading.shared_keys:
        who = size(reading.shared_keys, "shared address", "shared addresses")
        verb = "stands" if reading.shared_keys == 1 else "stand"
        parts.append(f"{who} {verb} for {percentage(reading.shared_key_pct)} % of requests")
    elif reading.keys:
        parts.append("no address is shared by many visitors")
    if reading.suggested:
        parts.append(f"smallest limit that spares visitors: limit-rps {reading.suggested.limit_rps}")
    page.section("Rate limits", parts)
    if not any(each.rejected_high for each in reading.simulations):
        if reading.simulations and reading.keys:
            page.section("", ["none of the simulated limits would reject a request"])
        return
    rows = [("limit", "burst", "rejected %", "low to high", "on shared %")]
    harmless = [each for each in reading.simulations if not each.rejected_high]
    for each in reading.simulations:
        if each in harmless[1:]:  # one limit that rejects nothing says it for all
            continue
        low, high = percent(each.rejected_low, each.requests), percent(each.rejected_high, each.requests)
        rows.append(
            (
                printable(each.limit, limit=20),
                number(each.burst),
                percentage(each.rejected_pct),
                f"{percentage(low)} to {percentage(high)}",
                percentage(each.rejected_on_shared_keys_pct),
            )
        )
    first = max(len(row[0]) for row in rows)
    for index, (limit, burst, *shares) in enumerate(rows):
        line = f"{limit:<{first}}{burst:>7}{shares[0]:>12}{shares[1]:>15}{shares[2]:>13}"
        page.section("", [line], style="" if index else "dim")


def _timeline(page: Page, reading: Timeline) -> None:
    points = [point for point in reading.points if point.considered]
    if len(points) < 2:
        return
    room = min(len(points), page.width - len(INDENT) - LABEL - 22)
    shares = []
    for index in range(room):
        part = points[index * len(points) // room : (index + 1) * len(points) // room]
        shares.append(sum(point.preserved for point in part) / sum(point.considered for point in part))
    spark = "".join(_SPARKS[int(share * (len(_SPARKS) - 1))] for share in shares)
    lowest, highest = (percentage(100 * share) for share in (min(shares), max(shares)))
    page.section("Timeline", [spark, f"{lowest} to {highest} %"])


def _signals(page: Page, signals: dict[str, int]) -> None:
    parts = [f"{name.replace('_', ' ')} {number(count)}" for name, count in signals.items() if count]
    if parts:
        page.section("Signals", parts)


def _input(page: Page, read: Input) -> None:
    failed = [source for source in read.sources if source.error is not None]
    for source in failed[:_SHOWN]:
        error = printable(source.error or "", limit=200)
        page.section("error", f"{_end(source.uri)}: {error}".split(" "), gap=" ", style="red")
    for more in _more(len(failed) - _SHOWN):
        page.section("", [f"{more} sources could not be read"])
    for sample in read.rejected_samples[:_SAMPLES]:
        place = _end(sample.uri) if sample.line is None else f"{_end(sample.uri)}:{sample.line}"
        page.section("rejected", [f"{place}: {sample.reason}", printable(sample.text, limit=page.width - 20)])
    kinds = ", ".join(f"{name.replace('_', ' ')} {number(count)}" for name, count in read.other_kinds.items() if count)
    other = f"{number(read.other)} other" + (f" ({kinds})" if kinds else "")
    parts = [f"{size(read.lines, 'line')}, {number(read.rejected)} rejected, {other}", _formats(read.sources)]
    if read.first_time is not None and read.last_time is not None:
        parts.append(_period(read.first_time, read.last_time))
    if read.elapsed_seconds is not None:
        parts.append(f"{read.elapsed_seconds:.1f} s")
    for line in flow(parts, page.width - len(INDENT), GAP):
        page.line(line, "dim")


def _end(uri: str) -> str:
    """Keep the end of a long name: of a path that is the file."""
    uri = printable(uri)
    return uri if len(uri) <= _NAME else "..." + uri[3 - _NAME :]


def _formats(sources: list[SourceRow]) -> str:
    counted: Counter[str] = Counter()
    for source in sources:
        name = source.format or "unknown format"
        wrapped = source.envelope not in (None, "none")
        counted[f"{name} in {source.envelope}" if wrapped else name] += 1
    if len(counted) == 1 and len(sources) == 1:
        return next(iter(counted))
    shown = [f"{name} ({size(count, 'source')})" for name, count in counted.most_common(_SHOWN)]
    return ", ".join(shown + _more(len(counted) - _SHOWN)) or "no source"


def _period(first: datetime, last: datetime) -> str:
    end = f"{last:%H:%M}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M}"
    return f"{first:%Y-%m-%d %H:%M} to {end} UTC"
