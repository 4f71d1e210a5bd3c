"""Lines that are no access-log lines: told from rejected ones, over line ends and piece borders."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scanners import INGRESS

from analyzer.parsing.other import OtherLines, split_lead
from analyzer.parsing.portable import Scanner
from analyzer.parsing.schema import outputs

ACCESS = b'10.0.0.9 - - [21/Nov/2026:07:08:09 +0000] "GET / HTTP/1.1" 200 612 "-" "-" 88 0.004 [a-b-80] [] - - - - ID\n'
BROKEN = (
    b'2026/11/21 07:08:09 [error] 31#31: *7 broken header: "GET /a HTTP/1.1\r\n',
    b"Host: example.org\r\n",
    b"\r\n",
    b'" while reading PROXY protocol, client: 10.0.0.10, server: 0.0.0.0:443\n',
)
ON_ONE_LINE = (
    b'2026/11/21 07:08:09 [error] 31#31: *7 broken header: "\x16\x03\x01" while reading PROXY protocol, client: ::1\n'
)
LIMITING = (
    b'2026/11/21 07:08:09 [error] 31#31: *8 limiting requests, excess: 26.000 by zone "z", client: 10.0.0.9\n',
    b'2026/11/21 07:08:09 [warn] 31#31: *8 limiting connections by zone "c", client: 10.0.0.9\n',
    b"2026/11/21 07:08:09 [info] 31#31: *9 client sent plain HTTP request to HTTPS port while reading client request\n",
)  # fmt: skip
KLOG = b"I1121 07:08:09.123456       7 main.go:107] Starting\n"
BANNER = (
    b"-------------------------------------------------------------------------------\n",
    b"NGINX Ingress controller\n",
    b"  Release:       v1.15.1\n",
    b"  Build:         abc\n",
    b"  Repository:    https://github.com/kubernetes/ingress-nginx\n",
    b"  nginx version: nginx/1.27.1\n",
    b"\n",
    b"-------------------------------------------------------------------------------\n",
)
REJECTED = b'10.0.0.9 - - [21/Nov/2026:07:08:09 +0000] "GET / HTTP/1.1" 2O0 612\n'


def sort_apart(*pieces: bytes) -> tuple[OtherLines, list[bytes]]:
    """Sort the misfits of each piece by itself, but for those at its beginning, and add up as the pieces come."""
    other, rejected = OtherLines(), []
    for piece in pieces:
        scanner = Scanner(INGRESS, outputs(INGRESS, ["offset"]))
        scanner.scan(piece, 0, len(piece), 0)
        taken = scanner.take()
        lead, misfits = split_lead(taken.misfits)
        rejected += other.sort(lead)["line"].to_list()
        if not misfits.is_empty():
            own = OtherLines()
            rejected += own.sort(misfits)["line"].to_list()
            other.add(own)
        other.end_piece(taken.lines)
    return other, rejected


def sort(*pieces: bytes) -> tuple[OtherLines, list[bytes]]:
    """Sort the misfits of these pieces of one source; return the rejected lines too."""
    other, rejected = OtherLines(), []
    for piece in pieces:
        scanner = Scanner(INGRESS, outputs(INGRESS, ["offset"]))
        scanner.scan(piece, 0, len(piece), 0)
        taken = scanner.take()
        rejected += other.sort(taken.misfits)["line"].to_list()
        other.end_piece(taken.lines)
    return other, rejected


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"2026/11/21 07:08:09 [notice] 1#1: start worker processes\n", "error-log"),
        (b"2026/11/21 07:08:09 [emerg] 1#1: \xff\xfe no UTF-8\n", "error-log"),
        (KLOG, "controller"),
        (b"INFO:     connection open\n", "server"),
        ("+ web-0 \u203a nginx\n".encode(), "collector"),
        ("\u203a nginx\n".encode(), "collector"),  # of what stern takes off, when it is taken for its own
        (b"-- Journal begins at Thu 2026-01-01 00:00:00 UTC, ends at Sat 2026-11-21 07:08:09 UTC. --\n", "collector"),
        (b'Defaulted container "controller" out of: controller, init (init)\n', "collector"),
        (b"Found 3 pods, using pod/web-0\n", "collector"),
        (b"unable to retrieve container logs for containerd://4d1b\n", "collector"),
        (
            b'failed to try resolving symlinks in path "/var/log/pods/x/0.log": lstat: no such file or directory\n',
            "collector",
        ),
        (b"W1121 07:08:09.123456       7 x.go:1] a [error] in words\n", "controller"),
        (b"E0101 00:00:00.000000 1234567 y.go:99] z\r\n", "controller"),
        *((line, "controller") for line in BANNER if line.strip()),
        (b"\n", "blank"),
        (b"\r\n", "blank"),
        (b" \t \n", "blank"),
    ],
)
def test_kinds(line: bytes, kind: str) -> None:
    """Error-log lines, controller messages and blank lines are other lines, each counted by its kind."""
    other, rejected = sort(ACCESS + line + ACCESS)
    assert (other.kinds, rejected) == ({kind: 1}, [])


@pytest.mark.parametrize(
    "line",
    [
        REJECTED,
        b"2026-11-21 07:08:09 [error] no nginx time\n",
        b"2026/11/21 07:08:09 [fatal] no nginx level\n",
        b" 2026/11/21 07:08:09 [error] not at the beginning\n",
        b"I am no klog line\n",
        b"----\n",
        b"\0\n",
        b"\xff\xfe\n",
        b"something else without an end",
    ],
)
def test_rejected(line: bytes) -> None:
    """What is none of these is rejected, byte for byte."""
    other, rejected = sort(ACCESS + line)
    assert (other.kinds, rejected) == ({}, [line])


def test_banner() -> None:
    """ingress-nginx's banner is wholly other lines."""
    other, rejected = sort(b"".join(BANNER))
    assert other.kinds == {"controller": 7, "blank": 1}
    assert rejected == []


def test_signals() -> None:
    """What error-log lines give away is counted by its contract name, once for each record."""
    other, rejected = sort(b"".join((*BROKEN, ACCESS, *LIMITING, LIMITING[0], ON_ONE_LINE, KLOG)))
    assert rejected == []
    assert other.signals == {
        "broken_proxy_header": 2,
        "empty_proxy_header": 0,
        "limiting_requests": 2,
        "limiting_connections": 1,
        "plain_to_tls_listener": 1,
    }


def test_senders_of_what_is_no_proxy_header() -> None:
    """Who sent something else is counted by address, over several lines too; who sent nothing is not among them."""
    empty = ON_ONE_LINE.replace(b"\x16\x03\x01", b"")
    other, _ = sort(b"".join((*BROKEN, ACCESS, ON_ONE_LINE, empty, *BROKEN)))
    assert other.senders == {"10.0.0.10": 2, "::1": 1}
    assert (other.signals["broken_proxy_header"], other.signals["empty_proxy_header"]) == (4, 1)


def test_senders_are_bounded() -> None:
    """However many addresses send nonsense, a thousand of them are remembered."""
    lines = (ON_ONE_LINE.replace(b"::1", f"2001:db8::{number:x}".encode()) for number in range(1500))
    other, _ = sort(b"".join(lines))
    assert len(other.senders) == 1000
    assert other.signals["broken_proxy_header"] == 1500


def test_signals_are_of_error_lines_only() -> None:
    """A visitor who writes such words into a request makes no signal."""
    forged = ACCESS.replace(b"GET /", b"GET /limiting requests, excess:") + REJECTED.replace(b"GET", b"broken header:")
    other, _ = sort(forged)
    assert set(other.signals.values()) == {0}


def test_a_record_over_several_lines() -> None:
    """The lines of a quoted header belong to the error record that quotes it, up to the line where the quote ends."""
    other, rejected = sort(b"".join((ACCESS, *BROKEN, REJECTED, ACCESS, *BROKEN, KLOG)))
    assert other.kinds == {"error-log": 8, "controller": 1}
    assert rejected == [REJECTED]
    assert other.signals["broken_proxy_header"] == 2


def test_a_record_on_one_line_takes_no_more() -> None:
    """A quote that ends on its line leaves the next line alone."""
    other, rejected = sort(ON_ONE_LINE + REJECTED)
    assert (other.kinds, rejected) == ({"error-log": 1}, [REJECTED])


@pytest.mark.parametrize("between", [ACCESS, LIMITING[0]])
def test_a_record_cut_off(between: bytes) -> None:
    """An unfinished record ends at the next access line or the next error record."""
    other, rejected = sort(BROKEN[0] + BROKEN[1] + between + REJECTED)
    assert other.kinds["error-log"] == 2 + (between is LIMITING[0])
    assert rejected == [REJECTED]


def test_a_record_within_a_record() -> None:
    """A second record that begins while one is unfinished is followed to its own end."""
    other, rejected = sort(b"".join((BROKEN[0], *BROKEN, REJECTED)))
    assert (other.kinds, rejected) == ({"error-log": 5}, [REJECTED])
    assert other.signals["broken_proxy_header"] == 2


LINES = [ACCESS, b"\xff\n", *BROKEN, REJECTED, ON_ONE_LINE, KLOG, b"\n", *BROKEN[:2], ACCESS, REJECTED, *BROKEN]


@settings(deadline=None)
@given(st.lists(st.sampled_from([(line,) for line in LINES] + [BROKEN] * 3)), st.sets(st.integers(0, 40)))
def test_pieces_make_no_difference(records: list[tuple[bytes, ...]], cuts: set[int]) -> None:
    """Wherever a source is cut into pieces, between lines of a record too, the lines are sorted alike."""
    lines = [line for record in records for line in record]
    whole, rejected = sort(b"".join(lines))
    edges = [0, *sorted(cut for cut in cuts if cut < len(lines)), len(lines)]
    pieces = [b"".join(lines[a:b]) for a, b in pairwise(edges)]
    for sort_pieces in (sort, sort_apart):
        parts, rejected_in_parts = sort_pieces(*pieces)
        assert (parts.kinds, parts.signals, rejected_in_parts) == (whole.kinds, whole.signals, rejected)


def test_parts_of_a_long_line_are_rejected() -> None:
    """A line too long to read is rejected whatever it begins with, and its parts are all kept."""
    other = OtherLines()
    scanner = Scanner(INGRESS, outputs(INGRESS, ["offset"]))
    scanner.reject(BROKEN[0], 0, len(BROKEN[0]), 0, False)  # noqa: FBT003
    scanner.reject(KLOG, 0, len(KLOG), len(BROKEN[0]), True)  # noqa: FBT003
    rejected = other.sort(scanner.take()[1])
    assert (other.kinds, rejected["line"].to_list()) == ({}, [BROKEN[0], KLOG])
