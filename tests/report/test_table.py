"""The terminal report: what the first lines say, what fits, and what never reaches a terminal."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len

from analyzer.findings.model import Findings
from analyzer.readings.interruptions import Interruption
from analyzer.readings.logged_limits import Logged
from analyzer.readings.preservation import KindRow
from analyzer.readings.rate_limit import ByClient, RejectedKey
from analyzer.readings.skew import Group, Grouping, Spread
from analyzer.readings.suggested_limits import SuggestedLimit, Suggestion
from analyzer.report import write_report
from analyzer.report.page import Page
from analyzer.report.sections.addresses import merge
from analyzer.report.table import lay_out

if TYPE_CHECKING:
    from analyzer.findings.model import Finding
    from analyzer.report.model import RejectedSample, Report

SEQUENCE = re.compile(r"\x1b\[[0-9;]*m")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def table(width: int, report: Report, *, color: bool = False) -> str:
    """Render for so many columns."""
    page = Page(width, color=color)
    lay_out(page, report)
    return page.write()


def words(report: Report, width: int = 80) -> str:
    """Render without colour, with runs of blanks and line ends made one blank."""
    return " ".join(table(width, report).split())


def with_kinds(report: Report, *kinds: KindRow, verdict: str = "partly") -> Report:
    """Return the report with these kinds of addresses."""
    return replace(report, preservation=replace(report.preservation, kinds=list(kinds), verdict=verdict))


def test_three_lines_say_what_why_and_what_next(report: Report) -> None:
    """A reader who stops after three lines knows."""
    lines = table(100, report).splitlines()
    assert lines[0] == "  NOT PRESERVED   14.9 % of visitors keep their IP   447,112 of 3,000,700 requests"
    assert lines[1] == "  because         9 node addresses (cni-gateway, node) stand for 85.1 % of requests"
    assert lines[2] == "  next            give --cluster cluster.json to name the nodes"
    assert lines[3] == ""


def test_next_step_depends_on_what_is_missing(report: Report) -> None:
    """Without a cluster file it is asked for; with one it is asked what private addresses are."""
    named = replace(report, input=replace(report.input, cluster="cluster.json"))
    private = KindRow("private", "rfc1918", 900, 0, 30.0, 2, ["10.1.0.4", "10.1.0.5"], ["special-purpose: 10.0.0.0/8"])
    assert "next say what they are with --node, --lb or --client CIDR" in words(with_kinds(named, private))
    pods = replace(private, kind="pod")
    assert "next " not in words(with_kinds(named, pods))
    balancer = KindRow("lb", "cdn", 900, 0, 30.0, 1, ["192.0.2.1"], ["networks/cdn.toml: x"])
    assert "because 1 load balancer address (cdn) stands for <0.1 % of requests" in words(with_kinds(report, balancer))


def test_a_finding_says_why_and_what_mends_it(report: Report, finding: Finding) -> None:
    """What explains the loss stands in the headline, with a patch where it fits and a sentence where it does not."""
    found = replace(report, findings=Findings([finding]))
    lines = table(100, found).splitlines()
    assert lines[1] == "  because         externalTrafficPolicy is Cluster on web/front: nodes masquerade"
    assert lines[2] == "  fix             helm upgrade x --set controller.service.externalTrafficPolicy=Local"
    assert lines[3] == "                  logscan explain external-traffic-policy-cluster"
    narrow = table(80, found).splitlines()
    assert narrow[3] == "  fix             Set the policy to Local"
    assert "Findings" not in words(found), "there is no more to say"


def test_findings_are_listed_beside_the_one_that_leads(report: Report, finding: Finding) -> None:
    """Each has its severity, reason and fix; where nothing is lost an error leads all the same."""
    other = replace(finding, id="local-single-replica", severity="warning", because="one pod", share_pct=None)
    text = words(replace(report, findings=Findings([finding, other])))
    assert "Findings error external-traffic-policy-cluster warning local-single-replica one pod" in text
    assert "one pod fix: Set the policy to Local logscan explain NAME" in text
    forged = replace(finding, id="forged-addresses", because="addresses are forged", share_pct=None)
    sound = replace(report.preservation, verdict="preserved", preserved_pct=100.0)
    assert "because addresses are forged" in words(
        replace(report, preservation=sound, findings=Findings([forged, other]))
    )
    warned = words(replace(report, preservation=sound, findings=Findings([other])))
    assert "because one pod" not in warned
    assert "warning local-single-replica one pod" in warned


def test_a_hostile_finding_cannot_drive_the_terminal(report: Report, finding: Finding) -> None:
    """Names of a cluster file reach findings, and lose what a terminal would act on."""
    hostile = replace(finding, because="on \x1b[2Jx\u202e/y", fixes=[replace(finding.fixes[0], patch="\x1b]0;a\x07")])
    text = table(80, replace(report, findings=Findings([hostile, replace(hostile, severity="info")])))
    assert not any(char in text for char in "\x1b\x07\u202e")


def test_preserved_asks_for_nothing(report: Report) -> None:
    """Where all is well there is no next step, and nothing stands in."""
    client = KindRow("client", "public", 3_000_700, 3_000_700, 100.0, 199_203, [], [])
    all_well = replace(
        report.preservation, verdict="preserved", preserved=3_000_700, preserved_pct=100.0, kinds=[client]
    )
    text = words(replace(report, preservation=all_well))
    assert text.startswith("PRESERVED 100.0 % of visitors keep their IP 3,000,700 of 3,000,700")
    assert "because no node, load balancer or private address stands in for a visitor" in text
    assert "next " not in text


def test_almost_all_is_not_all(report: Report) -> None:
    """99.97 % is never shown as 100.0 %."""
    almost = replace(report.preservation, verdict="preserved", preserved_pct=99.97)
    assert "PRESERVED 99.9 % of" in words(replace(report, preservation=almost))


def test_several_kinds_of_stand_ins_come_in_order(report: Report) -> None:
    """The class that hides most visitors comes first."""
    kinds = [
        KindRow("lb", "cloud-lb", 1_000_000, 0, 33.3, 1, ["35.191.0.1"], ["networks/gcp.toml: gfe"]),
        KindRow("node", "node", 1_500_000, 0, 50.0, 3, ["10.0.0.1"], ["cluster.json: node a"]),
    ]
    expected = "because 3 node addresses (node) stand for 50.0 % of requests, 1 load balancer address (cloud-lb) for 33"
    assert expected in words(with_kinds(report, *kinds), width=120)


def test_every_section_is_shown(report: Report, rejected_sample: RejectedSample) -> None:
    """Addresses with their rules, what was left out, the other readings, rejected lines, errors, and the input."""
    broken = replace(report.input.sources[0], uri="b.gz", error="compressed data ends early")
    read = replace(report.input, rejected=4, rejected_samples=[rejected_sample] * 4, sources=[broken])
    text = words(replace(report, input=read))
    for expected in (
        "node cni-gateway 1,702,330 56.7 6 10.244.1.0 10.244.1.1",
        "cluster.json: podCIDR of worker-1, worker-2",
        "client public 447,112 14.9 199,203",
        "left out: 4,210 health probes, 93 unreadable requests, 0 from pods",
        "Trust spoofed: the logged address of 3 requests is what the client wrote. for example 1.1.1.1",
        "X-Forwarded-For: 1.1.1.1, 198.51.100.7",
        "Skew even over nodes (max/mean 1.02) worker-1 51.0 % (2 pods) ████████████████████████ worker-2",
        "worker-2 49.0 % (1 pod) ███████████████████████ idle: worker-3",
        "Geo NOT READY 14.5 % of requests can be located",
        "85.1 % would be judged by the address of another machine DE 10.0 %",
        "Rate limits NOT READY 9 shared addresses stand for 85.1 % of requests",
        "limit-rps: 5 25 71.0 70.0 to 71.5 99.9",
        "Signals proxy v1 to plain listener 12",
        "error b.gz: compressed data ends early",
        "rejected access.log:17: status is not a number 1.2.3.4 - - [x] hello",
        "3,005,003 lines, 4 rejected, 12 other (error log 9, controller 3) ingress-nginx",
        "2026-11-21 00:00 to 00:50 UTC 0.8 s",
    ):
        assert expected in text
    assert text.count("status is not a number") == 3


def test_an_empty_log_is_told_plainly(report: Report, empty: Report) -> None:
    """Nothing read is no verdict, and shows no percentage; unreadable lines ask for their format."""
    assert "CANNOT TELL none of 0 requests can be judged" in words(empty)
    assert "%" not in words(empty)
    unread = replace(empty, input=replace(empty.input, lines=7, rejected=7))
    assert "next give --log-format with the log_format of the controller" in words(unread)
    probes = replace(empty.preservation, requests=5, excluded=replace(report.preservation.excluded, health_probe=5))
    assert "because 5 health probes" in words(replace(empty, preservation=probes))


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_line_is_wider_than_the_terminal(report: Report, rejected_sample: RejectedSample, width: int) -> None:
    """Long names, wide characters and escapes are cropped or wrapped."""
    long = "東京" * 200
    hostile = replace(rejected_sample, uri=long, reason="r" * 300, text="\x1b" * 300)
    groups = [Group(long, 10, 10.0, 1)] * 30
    read = replace(
        report.input,
        sources=[replace(report.input.sources[0], uri=long, error=f"{long} failed", format=long)],
        rejected_samples=[hostile],
        other_kinds={long: 1},
    )
    kinds = [KindRow("private", "k" * 99, 10**15, 0, 0.1, 10**9, [long], [long])]
    wide = replace(with_kinds(report, *kinds), input=read, skew=replace(report.skew, groups=groups, idle=[long] * 9))
    for line in table(width, wide).splitlines():
        assert cell_len(line) <= width, line


def test_the_headline_fits_80_columns_with_its_numbers(report: Report) -> None:
    """At 80 columns words go before numbers do."""
    lines = table(80, report).splitlines()
    assert lines[0].endswith("447,112 of 3,000,700")
    assert lines[1].endswith("(cni-gateway, node) stand for 85.1 %")


HOSTILE = "\x1b]0;owned\x07\x9b31m\u202egnp[bold red]x[/] :smile: [link=http://x]\n\x7f\u2066"


def poisoned(report: Report, sample: RejectedSample) -> Report:
    """Put hostile text wherever a log, a file name, a cluster or a rule file can."""
    source = replace(report.input.sources[0], uri=HOSTILE, format=HOSTILE, envelope=HOSTILE, error=HOSTILE)
    geo = report.geo
    limit = report.rate_limit.simulations[0]
    return replace(
        with_kinds(report, KindRow("node", HOSTILE, 9, 0, 1.0, 9, [HOSTILE], [HOSTILE, "b"])),
        input=replace(
            report.input,
            sources=[source, source],
            rejected_samples=[replace(sample, uri=HOSTILE, reason=HOSTILE, text=HOSTILE)],
            other_kinds={HOSTILE: 1},
        ),
        signals={HOSTILE: 1},
        skew=replace(report.skew, groups=[Group(HOSTILE, 1, 50.0, 1), Group("b", 1, 50.0, 1)], idle=[HOSTILE]),
        geo=replace(
            geo, countries=[replace(geo.countries[0], code=HOSTILE)], asns=[replace(geo.asns[0], name=HOSTILE)]
        ),
        rate_limit=replace(report.rate_limit, simulations=[replace(limit, limit=HOSTILE)]),
    )


@pytest.mark.parametrize("width", [80, 120])
def test_hostile_text_never_reaches_the_terminal(report: Report, rejected_sample: RejectedSample, width: int) -> None:
    """No escape sequence, control or direction mark from the input comes out, in plain text or in colour."""
    hostile = poisoned(report, rejected_sample)
    plain = table(width, hostile)
    coloured = SEQUENCE.sub("", table(width, hostile, color=True))
    for text in (plain, coloured):
        assert all(char.isprintable() or char == "\n" for char in text)
        assert r"\x1b]0;owned\x07\x9b31m\u202egnp[bold red]x[/]" in text


def test_markup_of_a_log_is_shown_as_it_is(report: Report, rejected_sample: RejectedSample) -> None:
    """Square brackets and colons are text, neither styles nor pictures nor links."""
    marked = replace(rejected_sample, text="[bold red]x[/bold red] :smile: [/nothing] http://x 1234")
    shown = replace(report, input=replace(report.input, rejected_samples=[marked]))
    plain = table(100, shown)
    coloured = table(100, shown, color=True)
    assert marked.text in plain
    assert marked.text in coloured


def test_colour_changes_no_word(report: Report) -> None:
    """Without its colours a coloured report is the plain one."""
    plain = table(80, report)
    coloured = table(80, report, color=True)
    assert "\x1b" not in plain
    assert "\x1b[1;31m" in coloured
    assert [line.rstrip() for line in SEQUENCE.sub("", coloured).splitlines()] == plain.splitlines()


@pytest.mark.parametrize(
    ("stream", "environment", "coloured"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"FORCE_COLOR": "1"}, False),
        (None, {}, False),
    ],
)
def test_colours_only_on_terminals(
    report: Report,
    monkeypatch: pytest.MonkeyPatch,
    stream: io.StringIO | None,
    environment: dict[str, str],
    coloured: bool,  # noqa: FBT001 - a row of the table above
) -> None:
    """A file gets none, and `NO_COLOR` is obeyed."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b" in write_report(report, "table", stream)) is coloured


def test_width_of_the_terminal_is_used_and_a_file_gets_80(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    """`COLUMNS` sets a terminal's width, within what stays readable."""
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.setenv("NO_COLOR", "1")
    assert write_report(report, "table", Terminal()) == table(110, report)
    assert write_report(report, "table", io.StringIO()) == table(80, report)
    monkeypatch.setenv("COLUMNS", "1000")
    assert write_report(report, "table", Terminal()) == table(120, report)


def test_skew_says_what_it_cannot_tell(report: Report, empty: Report) -> None:
    """One group, or none, is no verdict; entry nodes are called what they are; long lists are counted."""
    known = {"groups": [Group("worker-1", 9, 100.0, 1)], "verdict": "unknown", "reason": "one node is known"}
    one = replace(report.skew, **known, idle=[], max_over_mean=None)
    assert "Skew cannot tell: one node is known worker-1 100.0 % (1 pod)" in words(replace(report, skew=one))
    assert "Skew cannot tell: the sources name no node or pod" in words(empty)
    many = [Group(f"n{each}", 1, 5.0, None) for each in range(20)]
    entry = replace(report.skew, basis="entry", groups=many, idle=[f"i{each}" for each in range(10)])
    text = words(replace(report, skew=entry))
    assert "even over the nodes that requests enter through (max/mean 1.02)" in text
    assert "n5 5.0 % ████████████████████████ 14 more idle: i0, i1, i2, i3, i4, i5, 4 more" in text


def test_skew_says_who_was_away_and_who_costs_more(report: Report) -> None:
    """Stretches without traffic stand with their start and length, other groupings and measures where uneven."""
    start, end = datetime(2026, 11, 21, 10, tzinfo=UTC), datetime(2026, 11, 21, 10, 5, tzinfo=UTC)
    stretches = [Interruption("n\x1b2", kind, start, end, 300, 9) for kind in ("away", "began", "ended")]
    spreads = [Spread("upstream_time", "n1", 0.5, 1.5, 0.2), Spread("bytes", "n2", 0.1, 1.1, 0.1)]
    pods = replace(report.skew, by="pod", verdict="uneven", max_over_mean=1.5, reason="p1 has 1.5 times an even share")
    also = [Grouping(**{name: getattr(pods, name) for name in Grouping.__dataclass_fields__})]
    text = words(replace(report, skew=replace(report.skew, interruptions=stretches, spreads=spreads, also=also)))
    assert "upstream time: max/mean 1.50, n1" in text
    assert "bytes: max/mean" not in text
    assert "uneven over pods (max/mean 1.50) p1 has 1.5 times an even share" in text
    assert r"n\x1b2 had no traffic from 11-21 10:00:00 for 5 min" in text
    assert r"n\x1b2 had no traffic before 11-21 10:05:00" in text
    assert r"n\x1b2 had no traffic from 11-21 10:00:00 on" in text


def test_rate_limits_under_both_addresses(report: Report) -> None:
    """What limits do under the visitors' own addresses stands below what they do now, with who is hit."""
    reading = report.rate_limit
    simulations = [replace(each, rejected=3, rejected_pct=0.0001) for each in reading.simulations]
    both = replace(
        reading,
        suggested=None,
        most_rejected=[RejectedKey("ingress-nginx", "limit-rps: 5", "10.244.1.0", "node", 266, 9_000, 8_000, 8_001)],
        by_client=ByClient(
            120_000, 1, 0.1, simulations, Suggestion("ingress-nginx", 12, 60, 0.1, 0.05, 3, 36, 21.5)
        ),
        logged=Logged(7, "error_log", 7, 0, 0, 0, "limit-rps: 100"),
        out_of_order_pct=2.5,
    )  # fmt: skip
    text = words(replace(report, rate_limit=both))
    for said in (
        "2.5 % of requests stand behind later ones",
        "rejected most: 10.244.1.0 (node) about 266 user agents behind it",
        "by the visitors' own addresses: 120,000 keys instead of 199,212",
        "limit-rps 12 per replica over 3 replicas: 36 a second, 21.5 as they are loaded",
        "told by the error log: 7 rejections nearest: limit-rps: 100",
    ):
        assert said in text, said


def test_a_long_name_of_a_limit_stands_alone(report: Report) -> None:
    """A limit of several windows has its name on a line of its own, so that the numbers stay in their columns."""
    name = "second: 5, minute: 100 (redis)"
    long = replace(report.rate_limit.simulations[0], limit=name, burst=None)
    lines = table(80,
        replace(report, rate_limit=replace(report.rate_limit, simulations=[long, *report.rate_limit.simulations]))
    ).splitlines()  # fmt: skip
    at = next(n for n, line in enumerate(lines) if name in line)
    assert lines[at].strip() == name
    assert lines[at + 1].split()[0] == "71.0"
    assert max(map(len, lines)) <= 80


def test_rate_limits_that_reject_nothing_are_one_line(report: Report) -> None:
    """A grid without a rejection needs no table."""
    quiet = [replace(each, rejected=0, rejected_low=0, rejected_high=0) for each in report.rate_limit.simulations]
    sound = replace(report.rate_limit, verdict="ready", shared_keys=0, shared_key_pct=0.0, simulations=quiet)
    text = words(replace(report, rate_limit=sound))
    assert "Rate limits READY no address is shared by many visitors smallest limit" in text
    assert "none of the simulated limits would reject a request" in text


def test_a_suggestion_says_what_is_too_strict(report: Report) -> None:
    """The next smaller limit that was tried is named where others lie between; of other limits always."""
    exact = Suggestion("ingress-nginx", 12, above_rps=11)
    other = SuggestedLimit("kong", "minute: 100", "minute: 60", "minute: 50", 0.1, 0.0, 3, 2.5)
    reading = replace(report.rate_limit, suggested=exact, suggested_limits=[other])
    text = words(replace(report, rate_limit=reading))
    assert "too strict: 11" not in text
    assert "smallest for kong: minute: 60 too strict: minute: 50" in text
    assert "3 times as much over all replicas, 2.5 times as they are loaded" in text
    coarse = replace(reading, suggested=replace(exact, above_rps=10))
    assert "limit-rps 12 too strict: 10" in words(replace(report, rate_limit=coarse))


def test_one_limit_without_a_rejection_stands_for_all(report: Report) -> None:
    """Limits that reject nothing do not lengthen the table, the first of them ends it."""
    some, few = report.rate_limit.simulations
    none = replace(few, rejected=0, rejected_pct=0.0, rejected_low=0, rejected_high=0)
    quiet = [replace(none, limit=f"limit-rps: {rps}") for rps in (20, 50)]
    text = words(replace(report, rate_limit=replace(report.rate_limit, simulations=[some, *quiet])))
    assert "limit-rps: 20 500 0.0 0.0 to 0.0" in text
    assert "limit-rps: 50" not in text


def test_several_formats_are_counted(report: Report) -> None:
    """Formats stand with how many sources have them, envelopes with what they wrap."""
    source = report.input.sources[0]
    sources = [source, source, replace(source, format="kong", envelope="cri"), replace(source, format=None)]
    text = words(replace(report, input=replace(report.input, sources=sources)))
    assert "ingress-nginx (2 sources), kong in cri (1 source), unknown format (1 source)" in text


@pytest.mark.parametrize("width", [50, 80])
def test_bars_of_groups_are_as_long_as_their_shares(report: Report, width: int) -> None:
    """Bars begin below each other, whatever the names are, and differ to an eighth of a column."""
    groups = [Group("東京", 160, 66.6, 10), Group("a-name", 79, 32.9, 1), Group("b", 1, 0.4, 1)]
    lines = table(width, replace(report, skew=replace(report.skew, groups=groups))).splitlines()
    rows = [next(line for line in lines if line.split()[:1] == [group.name]) for group in groups]
    starts = [cell_len(re.split("[█▏]", row)[0]) for row in rows]
    assert len(set(starts)) == 1
    lengths = [row.count("█") for row in rows]
    assert lengths[0] == min(24, width - starts[0])
    assert lengths[1] == pytest.approx(lengths[0] * 79 / 160, abs=1)
    assert rows[2].endswith("▏")


def test_rules_of_one_kind_are_joined() -> None:
    """Rules that end alike are told once, and of what was inferred of several addresses the first."""
    assert merge(["c.json: node a", "c.json: node b"]) == "c.json: node a, b"
    assert merge(["inferred: 9 user agents", "--lb 10.0.0.1", "inferred: 8 user agents"]) == (
        "inferred: 9 user agents; --lb 10.0.0.1"
    )
