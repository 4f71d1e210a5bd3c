"""A format for lines that no known format reads: a start, to be corrected by whoever knows what they mean.

Lines are cut into cells, the cells of most lines that stand at the same place become a variable or, where all lines
have the same word there, a literal. What comes of it is compiled and tried on the lines, so that a suggestion says how
many of them it reads. A few hundred lines of bounded length are looked at, whatever the log holds.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from analyzer.errors import FormatError
from analyzer.parsing.guess import MOMENT, look_of, named
from analyzer.parsing.log_format import MAX_FIELDS, REASONS, VARIABLES, LineFormat, Type, compile_format
from analyzer.parsing.scanner import new_scanner
from analyzer.parsing.schema import Kind, Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.parsing.formats import Layout

#: Lines that are looked at, and how long one may be.
LINES = 300
LONGEST = 4096

#: Share of lines that must agree on what stands at a place.
_AGREED = 0.6
#: Variables with a column that a suggestion must have: fewer are no access log.
LEAST = 2


def _cell(separator: str, bare: str, key: str = "=") -> re.Pattern[str]:
    return re.compile(
        rf"(?P<separator>{separator}|^)(?P<key>[A-Za-z_][\w.-]{{0,40}}{key})?"
        rf'(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|\[(?P<bracketed>[^\[\]]*)\]|(?P<moment>{MOMENT})|(?P<bare>{bare}|))'
    )


_CELL = _cell(r" *[\t|,;] *| +", r'[^\s|,;"\[\]][^\s|,;]*')
#: In lines that are cut by tabs or bars a blank belongs to the cell; with tabs a key may end with a colon (LTSV).
_CUT_BY = {
    "\t": _cell(r"\t", r'[^\t"\[\]][^\t]*', r"(?:=|:(?!//))"),
    "|": _cell(r"\|", r'[^|"\[\]][^|]*'),
}
_CUTS = 3
_QUOTES = {"quoted": ('"', '"'), "bracketed": ("[", "]"), "moment": ("", ""), "bare": ("", "")}
#: Words that happen to be the same in a few lines and are no part of the format.
_VALUE_WORD = re.compile(r"https?|on|off|true|false|hit|miss|null|none|\.", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A ``log_format`` string with these columns that reads `read` of `lines` lines."""

    text: str
    columns: frozenset[str]
    read: int
    lines: int


class _Cell(NamedTuple):
    separator: str
    key: str
    quotes: str
    text: str
    end: int

    @property
    def shape(self) -> tuple[str, str, str]:
        """What lines of one format have in common here."""
        return self.separator, self.key, self.quotes


@dataclass(frozen=True, slots=True)
class _Column:
    """The cells of many lines at one place, and the variable that they become; without one they are a literal."""

    separator: str
    key: str
    quotes: str
    look: str
    word: str | None
    raw: bool
    variable: str | None = None

    def text(self) -> str:
        opening, closing = _QUOTES[self.quotes]
        inside = self.word if self.variable is None else f"${self.variable}"
        if self.unit and self.variable not in {None, "rest"}:
            inside, closing = f"${{{self.variable}}}", self.unit + closing
        return f"{self.separator}{self.key}{opening}{inside}{closing}"

    @property
    def unit(self) -> str:
        """What stands behind the number of a duration."""
        return self.word or "" if self.look == "duration" else ""


def suggest_format(lines: Sequence[bytes]) -> Suggestion | None:
    """Suggest a ``log_format`` string for text lines; None where they do not look like an access log."""
    known = [line for line in lines if 0 < len(line) <= LONGEST][:LINES]
    cuts = (mark for mark in _CUT_BY if sum(line.count(mark.encode()) >= _CUTS for line in known) > len(known) / 2)
    mark = next(cuts, " ")
    cell = _CUT_BY.get(mark, _CELL)
    cut = [_cells(line.decode("utf-8", "replace"), cell) for line in known]
    columns, more = _columns([cells for cells in cut if cells])
    if not columns:
        return None
    columns = _variables(columns)
    # What most lines end with may go on to the end of the line: a user agent without quotes.
    ends = [""] if not more or columns[-1].quotes == "bare" else []
    ends += [f"{mark}$rest"] if more else []
    found = [tried for end in ends if (tried := _settled(columns, end, known)) is not None]
    best = max(found, key=lambda suggestion: suggestion.read, default=None)
    return best if best is not None and best.read * 2 >= len(known) else None


def suggest_more(layout: Layout, lines: Sequence[bytes]) -> Suggestion | None:
    """Suggest a format for lines that a known one reads, but whose last text is several in most of them.

    That is what becomes of fields that were appended to a format that ends with an id, as ingress-nginx's does.
    """
    if not isinstance(layout, LineFormat):
        return None
    last = layout.fields[-1]
    if last.type is not Type.TEXT or last.column != "request_id" or last.literal:
        return None
    known = [line for line in lines if 0 < len(line) <= LONGEST][:LINES]
    scanner = new_scanner(layout, [Output("id", Kind.TEXT, len(layout.fields) - 1)])
    text = b"".join(line + b"\n" for line in known)
    scanner.scan(text, 0, len(text), 0)
    ids = scanner.take().rows["id"]
    found = suggest_format(known) if 2 * ids.str.contains(" ", literal=True).sum() > len(known) else None
    if found is None or "$request_id " not in found.text:
        return None
    whole = compile_format(layout.text + found.text.partition("$request_id")[2])
    return Suggestion(whole.text, frozenset(whole.columns), stopped(whole, known)[0], len(known))


def _settled(columns: list[_Column], end: str, lines: list[bytes]) -> Suggestion | None:
    """The format of these columns, of which those become text that looked like numbers in most lines only."""
    best = _tried(columns, end, lines)
    while best is not None and best[1] is not None:
        columns = [replace(column, variable="rest") if at == best[1] else column for at, column in enumerate(columns)]
        found = _tried(columns, end, lines)
        if found is None or found[0].read <= best[0].read:
            break
        best = found
    return best[0] if best is not None else None


def _cells(line: str, cell: re.Pattern[str]) -> list[_Cell]:
    cells: list[_Cell] = []
    at = 0
    while at < len(line) and len(cells) < MAX_FIELDS:
        match = cell.match(line, at)
        if match is None or match.end() == at:
            break
        quotes = match.lastgroup or "bare"
        cells.append(_Cell(match["separator"], match["key"] or "", quotes, match[quotes], match.end()))
        at = match.end()
    return cells


def _columns(lines: list[list[_Cell]]) -> tuple[list[_Column], bool]:
    """What most lines have in common from their beginning, and whether something stands behind that."""
    columns: list[_Column] = []
    together = lines
    while together and len(columns) < MAX_FIELDS - 1:
        at = len(columns)
        votes = Counter(cells[at].shape if at < len(cells) else None for cells in together)
        shape, count = votes.most_common(1)[0]
        if shape is None and count >= _AGREED * len(together):
            return columns, False
        if shape is None or count < _AGREED * len(together):
            return columns, True
        together = [cells for cells in together if at < len(cells) and cells[at].shape == shape]
        columns.append(_column(shape, [cells[at].text for cells in together]))
    return columns, bool(together)


def _column(shape: tuple[str, str, str], values: list[str]) -> _Column:
    separator, key, quotes = shape
    look = look_of(values)
    word = None
    if look == "duration":
        units = {value.lstrip("0123456789.") for value in values if value not in {"", "-"}}
        word = units.pop() if len(units) == 1 else None
        look = look if word else "text"
    elif quotes == "bare" and not key and look == "word" and len(set(values)) == 1 and _is_literal(values[0]):
        word = values[0]
    raw = quotes == "quoted" and any('\\"' in value for value in values)
    return _Column(separator, key, quotes, look, word, raw)


def _is_literal(word: str) -> bool:
    return word.isascii() and word.isprintable() and "$" not in word and not _VALUE_WORD.fullmatch(word)


def _variables(columns: list[_Column]) -> list[_Column]:
    """Name the columns: by their keys, then by how they look and what they follow."""
    keyed = {name for column in columns if column.key and (name := named([column.key], column.look))}
    used: set[str] = set()
    found: list[_Column] = []
    common = [column.look for column in columns[:4]]
    is_common = common[:2] == ["address", "absent"] and common[3:] == ["time_local"] and columns[2].quotes == "bare"
    for number, column in enumerate(columns):
        if is_common and number == 1:
            found.append(replace(column, word="-"))
            continue
        if column.word is not None and column.look == "word":
            found.append(column)
            continue
        before = found[-1] if found else None
        hint = column.key or (before.word if before is not None and before.variable is None else None) or ""
        after = columns[number + 1] if number + 1 < len(columns) else None
        variable = "remote_user" if is_common and number == 2 else named([hint], column.look)
        if variable is None or variable in used:
            variable = _by_look(column, after, used | keyed)
        used.add(variable)
        if column.raw and f"{variable.removeprefix('http_')}_raw" in VARIABLES:
            variable = f"{variable.removeprefix('http_')}_raw"
        found.append(replace(column, variable=variable))
    return found


def _by_look(column: _Column, after: _Column | None, used: set[str]) -> str:
    look = column.look
    if look == "absent" and column.quotes == "quoted" and after is not None and after.look == "http_user_agent":
        look = "http_referer"
    addressed = bool(used & {"remote_addr", "remote_addr_port"})
    wanted = {
        "address": "http_x_forwarded_for" if column.quotes == "quoted" and addressed else "remote_addr",
        "address_port": "upstream_target" if addressed else "remote_addr_port",
        "addresses": "http_x_forwarded_for",
        "integer": "body_bytes_sent" if "status" in used else "rest",
        "status": "body_bytes_sent" if "status" in used else "status",
        "decimal": "request_time",
        "duration": {"ms": "request_time_ms", "us": "request_time_us"}.get(column.unit, "request_time"),
        "id": "request_id",
        "absent": "rest",
        "word": "rest",
        "text": "rest",
    }.get(look, look)
    if wanted == "remote_addr" and addressed:
        return "rest"
    return "rest" if wanted in used else wanted


def _tried(columns: list[_Column], end: str, lines: list[bytes]) -> tuple[Suggestion, int | None] | None:
    """The format of these columns, how many lines it reads, and the column that stops most of the others."""
    text = "".join(column.text() for column in columns) + end
    try:
        layout = compile_format(text)
    except FormatError:
        return None
    if len(layout.columns) < LEAST:
        return None
    read, stops = stopped(layout, lines)
    at = [number for number, column in enumerate(columns) if column.variable is not None]
    suggestion = Suggestion(text, frozenset(layout.columns), read, len(lines))
    return suggestion, at[stops] if stops is not None and stops < len(at) else None


def stopped(layout: Layout, lines: list[bytes]) -> tuple[int, int | None]:
    """How many lines fit, and the field that most others hold no such value at."""
    text = b"".join(line + b"\n" for line in lines)
    scanner = new_scanner(layout, [Output("line", Kind.LINE, 0)])
    scanner.scan(text, 0, len(text), 0)
    taken = scanner.take()
    malformed = taken.misfits.filter(taken.misfits["reason"] == REASONS.index("malformed_value"))
    stops = Counter(malformed["field"].to_list()).most_common(1)
    return taken.rows.height, int(stops[0][0]) - 1 if stops else None
