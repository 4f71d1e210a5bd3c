"""The Markdown report: what it says, and that nothing of a log becomes markup."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from analyzer.readings.logged_limits import Logged
from analyzer.readings.rate_limit import ByClient, RejectedKey
from analyzer.readings.suggested_limits import SuggestedLimit, Suggestion
from analyzer.report.document import Document, Headline, Link, Paragraph, Patch, Quoted, Section, Table, Verdict
from analyzer.report.markdown import write

if TYPE_CHECKING:
    from markdown_it.token import Token

    from analyzer.report.model import Report

HOSTILE = ["a|b", r"a\|b", "`", "``a`", "<img src=x onerror=alert(1)>", "@somebody #1", "[x](javascript:alert(1))",
           "a\n# b", "\\", "*b*", " `", "&lt;"]  # fmt: skip


def parsed(text: str) -> list[Token]:
    """Read Markdown as GitHub does, and return the tokens, those within lines too."""
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    return [inner for token in tokens for inner in [token, *(token.children or [])]]


def shown(*parts: Paragraph | Table | Patch | Link) -> str:
    """Write a document with one section."""
    return write(Document("T", Headline(Verdict("V", "bad"), "text", {}), [Section("s", "S", parts)]))


def test_a_report_is_headings_sentences_and_tables(report: Report) -> None:
    """What a ticket needs stands in it: the verdict, why, and the numbers."""
    text = report.to_markdown()
    assert text.startswith("# Not preserved: 14.9 % of visitors keep their IP: 447,112 of 3,000,700 requests\n\n")
    assert "**Because:** 9 node addresses (cni-gateway, node) stand for 85.1 % of requests\n" in text
    assert "| `10.244.1.0` | 400,000 | node | `cni-gateway` | 266 | - | `cluster.json: podCIDR of worker-1` |" in text
    assert "## Geo: Not ready\n\n14.5 % of requests can be located." in text
    assert text.endswith("|\n")
    assert sum(token.type == "table_open" for token in parsed(text)) >= 7


def test_hostile_text_stays_in_its_cell() -> None:
    """Pipes, backticks, HTML, mentions and line ends of a log are letters of a code span in their own cell."""
    rows = [[Quoted(text), "end"] for text in HOSTILE]
    tokens = parsed(shown(Table("C", ("Text", "End"), rows), Paragraph(("Said: ", *map(Quoted, HOSTILE)))))
    assert not {"html_inline", "html_block", "link_open", "em_open", "image"} & {token.type for token in tokens}
    assert sum(token.type == "td_open" for token in tokens) == 2 * len(rows)
    assert sum(token.type == "code_inline" for token in tokens) == 2 * len(rows)
    spans = [token.content for token in tokens if token.type == "code_inline"]
    assert spans[4] == "<img src=x onerror=alert(1)>"
    assert spans[:2] == [r"a\x7cb", r"a\\x7cb"]
    assert spans[len(rows)] == "a|b"


@given(st.text(min_size=1, max_size=40))
def test_any_text_is_one_code_span(text: str) -> None:
    """No text breaks out of its cell or its sentence."""
    tokens = parsed(shown(Table("C", ("Text", "End"), [[Quoted(f"x{text}"), "end"]]), Paragraph((Quoted(f"x{text}"),))))
    assert [token.content for token in tokens if token.type == "code_inline"] != []
    assert sum(token.type == "code_inline" for token in tokens) == 2
    assert sum(token.type == "td_open" for token in tokens) == 2


@given(st.text(st.characters(codec="ascii"), min_size=1, max_size=40))
def test_any_sentence_is_a_paragraph(text: str) -> None:
    """Words of a rule file are neither a list nor a heading nor HTML."""
    if not text.strip():
        return
    kinds = {token.type for token in parsed(shown(Paragraph((text,))))}
    assert kinds <= {"heading_open", "heading_close", "inline", "text", "paragraph_open", "paragraph_close",
                     "text_special", "code_inline"}  # fmt: skip


@pytest.mark.parametrize("text", ["kubectl patch \\\n  x", "```\nout", "a````b"])
def test_a_patch_is_a_block_of_code(text: str) -> None:
    """A patch keeps its lines and cannot end its own block."""
    [block] = [token for token in parsed(shown(Patch("Do", text))) if token.type == "fence"]
    assert block.content == text + "\n"


def test_only_the_web_is_linked() -> None:
    """A source of another scheme is text; brackets in an address do not end it."""
    tokens = parsed(shown(Link("bad", "javascript:alert(1)"), Link("good", "https://example.org/a>b(c)")))
    assert [token.attrs["href"] for token in tokens if token.type == "link_open"] == ["https://example.org/a%3Eb(c)"]


def test_long_lists_say_how_much_they_leave_out(report: Report) -> None:
    """A ticket has forty rows of a list at most."""
    groups = replace(report.skew, groups=report.skew.groups * 100)
    assert "160 more in the JSON report." in replace(report, skew=groups).to_markdown()


def test_rate_limits_say_who_is_hit_and_what_the_log_tells(report: Report) -> None:
    """Beside the simulations stand whom they hit, what a cluster lets through, and what was rejected already."""
    reading = report.rate_limit
    hit = [
        RejectedKey("ingress-nginx", "limit-rps: 5", "10.244.1.0", "node", 266, 9_000, 7_900, 8_001),
        RejectedKey("ingress-nginx", "limit-rps: 100", "10.244.2.0", "node", 1, 90, 0, 9),
    ]
    suggested = Suggestion("ingress-nginx", 12, 60, 0.1, 0.05, 3, 36, 21.5)
    full = replace(
        reading,
        suggested=replace(suggested, replicas=1, above_rps=10),
        suggested_limits=[SuggestedLimit("kong", "minute: 9", "minute: 6", "minute: 5", 0.1, 0.0, 3, 2.5)],
        most_rejected=hit,
        by_client=ByClient(
            120_000, 1, 0.1, reading.simulations, suggested, hit[1:], [], ["203.0.113.1", "203.0.113.2"]
        ),
        logged=Logged(7, "error_log", 7, 0, 0, 0, "limit-rps: 100"),
    )
    text = replace(report, rate_limit=full).to_markdown()
    for said in (
        "Smallest limit that spares visitors: `limit-rps: 12` (ingress-nginx, too strict: 10).\n",
        "`minute: 6` (kong, too strict: minute: 5): 3 times as much over all replicas, 2.5 times as they are loaded.\n",
        "(ingress-nginx) per replica: 36 a second over 3 replicas, 21.5 as they are loaded.\n",
        "`limit-rps: 5` rejects most from `10.244.1.0` (node), 7,900 to 8,001 of 9,000 requests, about 266 user agents",
        "Run again with --lb 203.0.113.1 and 1 more: told to be a proxy too late, it stands for its visitors here.\n",
        "Told by the error log: 7 rejections. The simulated limit that comes nearest: `limit-rps: 100`.\n",
    ):
        assert said in text, said
    assert text.count("rejects most from `10.244.2.0` (node), 0 to 9 of 90 requests") == 1
