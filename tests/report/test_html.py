"""The HTML report as text: what it says, that nothing of a log becomes markup, and how large it gets."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from analyzer.findings.model import Finding, Findings, Fix
from analyzer.readings.geo import AutonomousSystem, Country
from analyzer.readings.geo_rules import RuleHit
from analyzer.readings.logged_limits import Logged
from analyzer.readings.preservation import AddressRow, KindRow
from analyzer.readings.proxies import Suspicion
from analyzer.readings.rate_limit import RejectedKey
from analyzer.readings.skew import Group
from analyzer.readings.skew_over_time import GroupPoint
from analyzer.readings.timeline import Point
from analyzer.readings.trust import Forged
from analyzer.report.document import Document, Headline, Link, Patch, Section, Topic, Verdict
from analyzer.report.html import fragment, page

if TYPE_CHECKING:
    from analyzer.report.model import RejectedSample, Report

VOID = {"meta", "link"}
START = datetime(2026, 11, 21, tzinfo=UTC)
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}&amp;\x1b[2J\u202egnp"


class Page(HTMLParser):
    """The elements of a page with their attributes, its text, and whether each element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element."""
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element without content."""
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Close the last element."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep text."""
        self.text += data

    @property
    def words(self) -> str:
        """The text with runs of blanks made one."""
        return " ".join(self.text.split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of all such elements."""
        return [attributes for name, attributes in self.elements if name == tag]


def poisoned(report: Report, sample: RejectedSample, text: str, rows: int = 1) -> Report:
    """Put a text wherever a log, a file name, a cluster, a geo database or a rule file can."""
    fix = Fix(text, text, text, text, text, text, text, f"https://example.org/{text[:60]}", recognised=True)
    finding = Finding(text, "error", text, text, 1.0, {text: text}, [fix, replace(fix, recognised=False)])
    source = replace(report.input.sources[0], uri=text, format=text, envelope=text, error=text, node=text)
    many = report.input
    limit = report.rate_limit.simulations[0]
    return replace(
        report,
        findings=Findings([finding] * min(rows, 10)),
        input=replace(
            many, sources=[source] * rows, other_kinds={text[:60]: 1}, cluster=text,
            rejected_samples=[replace(sample, uri=text, reason=text, text=text)] * rows,
        ),
        preservation=replace(
            report.preservation,
            kinds=[KindRow("node", text, 9, 0, 1.0, 9, [text] * 5, [text, "b"]) for _ in range(rows)],
            addresses=[AddressRow(text, "node", text, text, 9, 9, 9)] * rows,
            suspicions=[Suspicion(text, 9, 0.5, text)] * rows,
        ),
        trust=replace(report.trust, examples=[Forged(text, text, text, 1)] * rows, reason=text, log_format=text),
        skew=replace(
            report.skew, groups=[Group(text, 1, 50.0, 1)] * rows, idle=[text] * rows, idle_because={text: text},
            reason=text, over_time=[GroupPoint(START + timedelta(minutes=n), f"{text}{m}", 1, 50.0) for n in range(120)
                                    for m in range(6)],
        ),
        geo=replace(
            report.geo,
            countries=[Country(text, 1, 1.0)] * rows,
            asns=[AutonomousSystem(1, text, 1, 1.0)] * rows,
            rules=[RuleHit(text, [text] * 9, 5, 50.0, 2, 4, 1, 1, 1, 1.0)] * rows,
        ),
        rate_limit=replace(report.rate_limit, simulations=[limit, replace(limit, limit=text, controller=text)],
                           most_rejected=[RejectedKey("ingress-nginx", text, text, "node", 9, 9, 1, 2)] * min(rows, 5),
                           logged=Logged(7, "error_log", 7, 0, 0, 0, text)),
    )  # fmt: skip


def test_the_page_is_whole_and_says_what_the_report_says(report: Report) -> None:
    """Every section stands there under its heading, and every element is closed."""
    shown = Page(report.to_html())
    for words in (
        "Not preserved", "14.9 % of visitors keep their IP: 447,112 of 3,000,700 requests",
        "9 node addresses (cni-gateway, node) stand for 85.1 % of requests",
        "Preservation over time", "Classes of addresses", "10.244.1.0", "cluster.json: podCIDR of worker-1",
        "Spoofed", "1.1.1.1, 198.51.100.7", "Idle: worker-3", "Deutsche Telekom AG", "limit-rps: 100",
        "Smallest limit that spares visitors: limit-rps: 12",
        "Proxy v1 to plain listener", "3,005,003 lines",
    ):  # fmt: skip
        assert words.lower() in shown.words.lower(), words


def test_nothing_on_the_page_runs_or_loads(report: Report) -> None:
    """There is no script, no handler, no style attribute, no image, no address that a browser would load."""
    shown = Page(report.to_html())
    assert not {"script", "img", "iframe", "object", "embed", "form", "base"} & {name for name, _ in shown.elements}
    for name, attributes in shown.elements:
        assert not [key for key in attributes if key.startswith("on") or key in {"style", "src", "srcset"}], name
    assert [link["href"] for link in shown.all("link")] == ["data:,"]
    policy = next(meta for meta in shown.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in (policy["content"] or "")
    assert "unsafe" not in (policy["content"] or "")


def test_links_of_the_page_lead_to_its_sections(report: Report) -> None:
    """Every link within the page has its target, no target is named twice."""
    shown = Page(report.to_html())
    names = [attributes["id"] for _, attributes in shown.elements if attributes.get("id")]
    assert len(names) == len(set(names))
    targets = [link["href"] for link in shown.all("a")]
    assert len(targets) > 5
    assert {f"#{name}" for name in names} == set(targets)


def test_hostile_text_is_text(report: Report, rejected_sample: RejectedSample) -> None:
    """What a log wrote adds no element, no attribute and no invisible character, wherever it stands."""
    hostile = poisoned(report, rejected_sample, HOSTILE)
    harmless = poisoned(report, rejected_sample, "x" * len(HOSTILE))
    for write in (type(report).to_html, type(report)._repr_html_):
        shown, plain = write(hostile), write(harmless)
        assert [(name, set(keys)) for name, keys in Page(shown).elements] == [
            (name, set(keys)) for name, keys in Page(plain).elements
        ]
        assert all(char.isprintable() or char == "\n" for char in shown)
        assert "<script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}&amp;" in Page(shown).text


def test_sources_that_are_no_web_address_are_no_links() -> None:
    """A rule file cannot make a link run a script; a patch keeps its lines."""
    parts = [
        Link("bad", "javascript:alert(1)"), Link("worse", " JavaScript:alert(1)"), Link("data", "data:text/html,x"),
        Link("good", 'https://example.org/?a="b"'), Patch("For helm", "helm upgrade \\\n  --set '<a>'"),
    ]  # fmt: skip
    topic = Topic("Findings", Verdict("error", "bad"), parts)
    shown = Document("T", Headline(Verdict("V", "bad"), "text", {}), [Section("findings", "Findings", [topic])])
    for text in (page(shown), fragment(shown)):
        assert [link["href"] for link in Page(text).all("a") if not (link["href"] or "").startswith("#")] == [
            'https://example.org/?a="b"'
        ]
        assert "helm upgrade \\\n  --set '<a>'" in Page(text).text
        assert "bad" in Page(text).words


def test_the_largest_report_stays_below_a_megabyte(report: Report, rejected_sample: RejectedSample) -> None:
    """A million of everything, with the longest names, makes no page that a mail server refuses."""
    start = report.timeline.points[0].time
    points = [Point(start + timedelta(minutes=n), 10**9, 10**9, 10**8 * (n % 10), 10.0 * (n % 10)) for n in range(1440)]
    long = poisoned(report, rejected_sample, "\"'&<>" * 1000, rows=1000)
    text = replace(long, timeline=replace(report.timeline, points=points)).to_html()
    assert len(text.encode()) < 1_000_000
    assert "960 more in the JSON report" in text


def test_a_report_of_nothing_is_a_page(empty: Report) -> None:
    """A log without a line has a report as well."""
    shown = Page(empty.to_html())
    assert "Cannot tell" in shown.words
    assert "0 lines" in shown.words


def test_every_table_and_chart_says_what_it_is(report: Report) -> None:
    """Tables have captions and heads of columns and rows, charts a text that stands for them."""
    text = report.to_html()
    shown = Page(text)
    tables = text.count("<table")
    assert tables >= 8
    assert text.count("<caption>") == text.count("<thead") == tables
    charts = [chart for chart in shown.all("svg") if chart.get("class") in {"chart", "stack"}]
    assert len(charts) == 3
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in charts)
    levels = [int(name[1]) for name, _ in shown.elements if re.fullmatch("h[1-6]", name)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_a_notebook_gets_a_part_of_a_page(report: Report) -> None:
    """Two reports in one notebook do not meddle with each other or with the notebook."""
    text = report._repr_html_()
    shown = Page(text)
    assert shown.elements[0] == ("div", {"class": "logscan"})
    assert not {"html", "body", "a", "nav"} & {name for name, _ in shown.elements}
    assert not [attributes for _, attributes in shown.elements if "id" in attributes]
    style = text[text.index("<style>") + 7 : text.index("</style>")]
    for rule in re.findall(r"([^{}]+)\{", re.sub(r"@media[^{]+\{", "", style)):
        assert ".logscan" in rule, rule


@pytest.mark.parametrize("pct", [None, 0.0, 100.0, 150.0])
def test_charts_draw_what_numbers_there_are(report: Report, pct: float | None) -> None:
    """A share of nothing, of all and beyond all is drawn, and no coordinate is no number."""
    point = report.timeline.points[0]
    points = [replace(point, time=point.time + timedelta(hours=n), preserved_pct=pct) for n in range(3)]
    limits = [replace(each, rejected_pct=pct) for each in report.rate_limit.simulations]
    text = replace(
        report,
        timeline=replace(report.timeline, points=points),
        rate_limit=replace(report.rate_limit, simulations=limits),
        preservation=replace(report.preservation, kinds=[replace(report.preservation.kinds[0], pct=pct)]),
    ).to_html()
    assert not re.search(r"[\", ](nan|inf|None)[\",% ]", text)


def test_a_finding_says_what_to_paste(report: Report, finding: Finding) -> None:
    """The patch for what was recognised stands open, word by word; others and the evidence are folded."""
    [fix] = finding.fixes
    patch = "controller:\n  service: {externalTrafficPolicy: Local}"
    fixes = [replace(fix, patch=patch), replace(fix, platform="eks", patch="aws x", recognised=False)]
    text = replace(report, findings=Findings([replace(finding, fixes=fixes)])).to_html()
    section = text[text.index('id="findings"') : text.index('id="timeline"')]
    assert patch in section
    assert section.index(patch) < section.index("logscan analyze LOG") < section.index("<details>")
    assert "aws x" in section[section.index("<details>") :]
    assert "node_pct" in section[section.index("<details>") :]
    long = replace(report, findings=Findings([replace(finding, fixes=[replace(fix, patch="x" * 5000)])])).to_html()
    assert "the JSON report has it" in long
    assert "x" * 100 not in long


def test_countries_have_bars_of_the_largest(report: Report) -> None:
    """The country with the most requests has the whole bar, however few percent it has."""
    countries = [Country("DE", 30, 22.5), Country("FR", 10, 7.5)]
    text = replace(report, geo=replace(report.geo, countries=countries)).to_html()
    bars = re.findall(r'<svg class="bar long-bar".*?class="plain" width="([^"]*)"', text, re.DOTALL)
    assert bars == ["100%", "33.33%"]
