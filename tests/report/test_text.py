"""Text made safe to show, and numbers as they are read."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.report.text import number, percentage, printable, size


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("a\x7fb\x00", r"a\x7fb\x00"),
        ("line\r\nnext\t", r"line\r\nnext\t"),
        ("\u202egnp.exe\u2066", r"\u202egnp.exe\u2066"),
        ("zero\u200bwidth\ufeff\u00ad", r"zero\u200bwidth\ufeff\xad"),
        ("\u2028\u2029", r"\u2028\u2029"),
        ("bad\udcffbyte", r"bad\udcffbyte"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_drives_a_terminal_is_escaped(hostile: str, shown: str) -> None:
    """Controls, direction marks, invisible characters and lone surrogates show as escapes."""
    assert printable(hostile) == shown


@pytest.mark.parametrize("text", ["", "access.log", "GET /a b?c=[bold]x[/] HTTP/1.1", "Zürich 東京 🚀", r"C:\new"])
def test_readable_text_stays(text: str) -> None:
    """Letters of any script, markup and backslashes are what they are."""
    assert printable(text) == text


@given(st.text(st.characters(), max_size=60), st.none() | st.integers(3, 40))
def test_nothing_invisible_comes_out(text: str, limit: int | None) -> None:
    """Whatever goes in, only visible characters and blanks come out, within the limit."""
    shown = printable(text, limit=limit)
    assert not [char for char in shown if unicodedata.category(char)[0] in "CZ" and char != " "]
    assert limit is None or len(shown) <= limit


def test_a_cut_is_marked() -> None:
    """A text longer than the limit ends in dots, also where escapes made it longer."""
    assert printable("abcdefgh", limit=8) == "abcdefgh"
    assert printable("abcdefghi", limit=8) == "abcde..."
    assert printable("\x1b\x1b\x1b", limit=8) == r"\x1b\..."


@pytest.mark.parametrize(
    ("value", "shown"),
    [(100.0, "100.0"), (99.97, "99.9"), (99.9999, "99.9"), (85.0997, "85.1"), (0.0, "0.0"), (0.0001, "<0.1"),
     (0.1, "0.1"), (None, "-")],
)  # fmt: skip
def test_percentages_keep_all_and_none_apart(value: float | None, shown: str) -> None:
    """100.0 means all and 0.0 none; what lies between never rounds to either."""
    assert percentage(value) == shown


def test_counts_are_grouped_and_agree_with_their_noun() -> None:
    """Thousands are separated, and one thing is singular."""
    assert number(1_234_567) == "1,234,567"
    assert (size(1, "address", "addresses"), size(2000, "pod")) == ("1 address", "2,000 pods")
