"""Formats suggested for lines that no known format reads, or that one reads with too much in its last field."""

from __future__ import annotations

import pytest
from scanners import FORMATS

from analyzer.jobs.look import Unread
from analyzer.parsing.detect import by_detail
from analyzer.parsing.log_format import compile_format
from analyzer.parsing.suggest import suggest_format, suggest_more

INGRESS = FORMATS["ingress-nginx"].layouts[0]
LINE = FORMATS["ingress-nginx"].samples[0]["line"]


def test_tabs_with_labels() -> None:
    """LTSV: each label stays a literal, and an address is one although its label is `host`."""
    lines = [
        f"time:21/Nov/2026:07:08:{number:02d} +0000\thost:203.0.113.{number}\treq:GET /{number} HTTP/1.1\tstatus:200\t"
        f"size:{number}\tua:Mozilla/5.0 (X11)\treferer:http://example.org/\tvhost:shop.example.org"
        for number in range(20)
    ]
    found = suggest_format([line.encode() for line in lines])
    assert found is not None
    assert (found.read, found.lines) == (20, 20)
    assert found.text == (
        "time:$time_any\thost:$remote_addr\treq:$request\tstatus:$status\tsize:$body_bytes_sent\t"
        "ua:$http_user_agent\treferer:$http_referer\tvhost:$host"
    )


def test_bars_between_fields_with_blanks() -> None:
    """A user agent between bars holds blanks and semicolons."""
    lines = [f"203.0.113.{n}|2026-11-21T07:08:09+00:00|GET|/{n}|200|Mozilla/5.0 (X11; x)" for n in range(20)]
    found = suggest_format([line.encode() for line in lines])
    assert found is not None
    assert found.text == "$remote_addr|$time_iso8601|$request_method|$request_uri|$status|$http_user_agent"


@pytest.mark.parametrize(
    ("tail", "text"),
    [
        ('"203.0.113.9" shop.example.org', ' "$http_x_forwarded_for" $host'),
        ("- shop", " $rest shop"),
    ],
)
def test_fields_behind_the_last(tail: str, text: str) -> None:
    """What was appended to a format that ends with an id is told apart from the id."""
    lines = [f"{LINE[:-32]}{number:032x} {tail}".encode() for number in range(20)]
    found = suggest_more(INGRESS, lines)
    assert found is not None
    assert (found.text, found.read) == (INGRESS.text + text, 20)


def test_an_id_with_blanks_is_nothing_more() -> None:
    """A few ids that clients chose to hold blanks make no field, and neither does another format."""
    lines = [LINE.encode()] * 20 + [f"{LINE} a b".encode()] * 5
    assert suggest_more(INGRESS, lines) is None
    assert suggest_more(compile_format("$remote_addr $request_id x"), [b"203.0.113.7 a b x"]) is None


@pytest.mark.parametrize(
    ("line", "nearest"),
    [
        ("hello world", None),
        ('[GIN] 2026/11/21 - 07:08:09 | 200 | 1.2ms | 203.0.113.7 | GET "/"', None),
        (f"{LINE.partition(' 88 ')[0]} 203.0.113.7, 10.0.0.1 0.004", "combined"),
    ],
)
def test_the_nearest_format(line: str, nearest: str | None) -> None:
    """It is one that reads more than any words, and of several that come as far the plainest."""
    layouts = by_detail([layout for format_ in FORMATS.values() for layout in format_.layouts])
    found = Unread(f"{line}\n".encode(), None, layouts).nearest
    assert (found.name if found else None) == nearest
