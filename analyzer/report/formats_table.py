"""What ``logscan formats`` says, for a person. Lines fit the width, but for those that are there to be copied."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, TextIO

from rich.cells import cell_len

from analyzer.report.page import INDENT, LABEL, Page
from analyzer.report.text import number, percentage, printable, size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.report.formats import Description, KnownLayout, RejectedLine, SourceFound

_READING = 16
_KEYS = 40
_POINTER = 26
_VARIABLE = 20
_EXAMPLE = 18
_SAMPLES = 3


def render(description: Description, stream: TextIO | None) -> str:
    """Write a description; a terminal is asked for its width and gets colours."""
    page = Page.to_fit(stream)
    if description.listing:
        _list(page, "Formats", ((each.name, each.title, each.aliases) for each in description.formats))
        _list(page, "Envelopes", ((each.name, each.title, []) for each in description.envelopes))
        _list(page, "Documents", ((each.name, each.title, []) for each in description.documents))
        page.line("logscan formats NAME says more of one, logscan formats FILE what a log is.", "dim")
    for known in () if description.listing else (*description.formats, *description.envelopes):
        _known(page, known)
    for document in () if description.listing else description.documents:
        page.words(document.name, document.title)
        page.blank()
    for index, source in enumerate(description.sources):
        if index:
            page.blank()
        _source(page, source)
    return page.write()


def _list(page: Page, heading: str, known: Iterable[tuple[str, str, list[str]]]) -> None:
    page.line("", label=heading)
    entries = list(known)
    width = min(max((cell_len(printable(name)) for name, _, _ in entries), default=0) + 2, page.width // 2)
    for name, title, aliases in entries:
        page.words(printable(name, limit=width - 1), title, width=width)
        if aliases:
            page.words("", f"also {', '.join(aliases)}", style="dim", width=width)
    page.blank()


def _known(page: Page, known: KnownLayout) -> None:
    page.line("", label=known.name)
    page.words("title", known.title)
    if known.aliases:
        page.words("also called", ", ".join(known.aliases))
    page.whole(known.source, label="source")
    for index, text in enumerate(known.texts):
        page.whole(text, label="" if index else "log_format")
    for index, (variable, pointers) in enumerate(known.json.items()):
        must = " (required)" if variable in known.required else ""
        page.words("" if index else "JSON keys", f"{variable}{must}: {' '.join(pointers)}")
    page.words("columns", ", ".join(known.columns) or "none")
    page.blank()


def _source(page: Page, source: SourceFound) -> None:
    page.line("", label="standard input" if source.uri == "-" else _end(source.uri, page.width - len(INDENT)))
    if source.lines:
        _what(page, source)
        _lines(page, source)
        _missing(page, source)
    if source.error is not None:
        page.words("error", source.error, style="red")
    elif not source.lines:
        page.words("lines", "none: it is empty")
    if source.nearest is not None:
        page.blank()
        page.words("nearest", f"{source.nearest.name}, which does not fit: {source.nearest.reason}")
    for sample in source.rejected_samples[: _SAMPLES if source.parsed else 1]:
        _rejected(page, sample)
    _suggestions(page, source)


def _end(uri: str, room: int) -> str:
    """Keep the end of a long name: of a path that is the file."""
    uri = printable(uri)
    return uri if cell_len(uri) <= room else "..." + "".join(_fitting(reversed(uri), room - 3)[::-1])


def _what(page: Page, source: SourceFound) -> None:
    if source.format is None:
        page.words("format", "unknown: no known format reads a line of it", style="yellow")
    else:
        title = f": {source.title}" if source.title else ""
        page.words("format", f"{source.format}{title}")
    more = [f"{name} {size(lines, 'line')}" for name, lines in source.formats.items() if name != source.format]
    if more:
        page.section("and", more)
    if source.envelopes:
        page.words("envelope", ", in it ".join(source.envelopes))
    if source.mixed:
        page.section("also in", [f"{name} {size(lines, 'line')}" for name, lines in source.mixed.items()])
    if source.document:
        page.words("document", source.document)
    if source.compression:
        page.words("encoding" if source.compression.startswith("utf") else "compression", source.compression)


def _lines(page: Page, source: SourceFound) -> None:
    kinds = ", ".join(f"{name} {number(count)}" for name, count in source.other_kinds.items())
    page.section(
        "lines",
        [
            size(source.lines, "line") if source.whole else f"the first {number(source.lines)} lines",
            "" if source.whole else f"({source.bytes / 2**20:.1f} MiB, there is more)",
            f"{number(source.parsed)} read ({percentage(100 * source.parsed / source.lines)} %)",
            f"{number(source.rejected)} rejected ({percentage(100 * source.rejected / source.lines)} %)",
            f"{number(source.other)} other" + (f" ({kinds})" if kinds else ""),
        ],
    )
    for kind, found in source.origins.items():
        names = [printable(name, limit=page.width // 2) for name in found.names]
        more = ["..."] if found.distinct > len(names) else []
        page.section(f"{kind}s", [f"{number(found.distinct)}:", *names, *more], gap=" ")
    columns = [f"{column.name} {_share(column.pct)}" for column in source.columns]
    if columns:
        page.section("columns", columns)


def _share(pct: float) -> str:
    return "all" if pct == 100 else "none" if pct == 0 else f"{percentage(pct)} %"


def _missing(page: Page, source: SourceFound) -> None:
    if not source.missing and source.log_instead is None:
        return
    page.blank()
    page.line("", label="missing for")
    for gap in source.missing:
        page.words(gap.reading, f"{gap.text}; {gap.remedy}" if gap.remedy else gap.text, width=_READING)
    instead = source.log_instead
    if instead is None:
        return
    page.blank()
    how = {"whole": "in", "append": "at the end of", "members": "in the object in", "options": "in"}[instead.kind]
    page.words("log this", f"{how} {instead.where}:")
    page.whole(instead.text)
    if instead.read_with is not None:
        is_same = instead.read_with == instead.text
        page.words("", f"and read what is logged then with this{'' if is_same else ':'} as --log-format")
        if not is_same:
            page.whole(_shell(instead.read_with))
    page.whole(instead.source, label="source")


def _rejected(page: Page, sample: RejectedLine) -> None:
    page.blank()
    at = "" if sample.column is None else f", column {number(sample.column)}"
    page.words("rejected", f"line {number(sample.line)}{at}: {sample.reason}")
    room = page.width - len(INDENT) - LABEL
    place = 0 if sample.column is None else sample.column - sample.text_begins
    before = _fitting(reversed(sample.text[:place]), room * 2 // 3)[::-1]
    behind = _fitting(sample.text[place:], room - cell_len("".join(before)))
    page.line("".join((*before, *behind)), "dim", label=" " * LABEL)
    if sample.column is not None:
        page.line(" " * min(cell_len("".join(before)), room - 1) + "^", label=" " * LABEL)


def _fitting(characters: Iterable[str], room: int) -> list[str]:
    """As many of the characters as fit, each as it is shown."""
    shown: list[str] = []
    for character in map(printable, characters):
        room -= cell_len(character)
        if room < 0:
            break
        shown.append(character)
    return shown


def _suggestions(page: Page, source: SourceFound) -> None:
    page.blank()
    suggested = source.suggested_format
    if suggested is not None:
        read = f"{number(suggested.read)} of {size(suggested.lines, 'line')}"
        if source.parsed > source.rejected:
            page.words("more fields", "stand behind the last, which is read as all of them")
        page.words("suggestion", f"a start that reads {read}; correct what it takes for what:")
        page.whole(f"logscan analyze --log-format {_shell(suggested.log_format)} {_shell(source.uri)}")
    keys = source.suggested_keys
    if keys:
        page.section("keys", [f"{'key':<{_POINTER}} {'may be':<{_VARIABLE}} for example"], style="dim")
    for key in keys[:_KEYS]:
        may_be = key.variable or "-"
        pointer, example = printable(key.pointer, limit=_POINTER), printable(key.example, limit=_EXAMPLE)
        page.section("", [f"{pointer:<{_POINTER}} {may_be:<{_VARIABLE}} {example}"])
    if len(keys) > _KEYS:
        page.section("", [f"{number(len(keys) - _KEYS)} more"])
    rule = source.suggested_rule
    if rule is not None:
        read = f"{number(rule.read)} of {size(rule.lines, 'line')}"
        page.blank()
        page.words("suggestion", f"a start that reads {read}: save as FOLDER/formats/mine.toml, give --rules FOLDER")
        for line in rule.toml.splitlines():
            page.whole(line)


def _shell(text: str) -> str:
    """The text as a word of a shell, also where it holds a tab."""
    if "\t" not in text:
        return shlex.quote(text)
    escaped = text.replace("\\", r"\\").replace("'", r"\'").replace("\t", r"\t")
    return f"$'{escaped}'"
