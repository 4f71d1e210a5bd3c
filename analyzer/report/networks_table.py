"""What ``logscan networks`` says, for a person. Lines fit the width, but for sources, which are there to be copied."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, TextIO

from analyzer.report.networks import OLD
from analyzer.report.page import LABEL, Page
from analyzer.report.text import number, size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.report.networks import AddressAnswer, NetworkFileFound, Networks, RangesFound, WrittenFile

_ROLES = {
    "published": "",
    "registry": "counts after what the traffic shows",
    "hint": "decides nothing, is named as a hint",
}
_SHOWN = 20


def render(networks: Networks, stream: TextIO | None) -> str:
    """Write an answer; a terminal is asked for its width and gets colours."""
    page = Page.to_fit(stream)
    for file in networks.networks:
        _file(page, file)
    for address in networks.addresses:
        _address(page, address)
    for written in networks.written:
        _written(page, written)
    if networks.networks:
        _hints(page, [file.name for file in networks.networks if file.old])
    if networks.rules_folder is not None:
        page.whole(f"--rules {shlex.quote(networks.rules_folder)}", label="use it with")
    return page.write()


def _file(page: Page, file: NetworkFileFound) -> None:
    page.line("", label=file.name)
    page.words("title", file.title)
    page.section("ranges", [number(file.ranges), *_kinds(file.names)])
    if _ROLES[file.role]:
        page.words("role", _ROLES[file.role])
    style = "yellow" if file.old else ""
    page.section("date", [file.date, f"{size(file.age_days, 'day')} old", "OLD" if file.old else ""], style=style)
    page.whole(file.source, label="source")
    if not file.shipped:
        page.whole(file.file, label="file")
        if file.replaces:
            page.words("", "in place of the file of this name that was read before")
    page.blank()


def _kinds(names: Iterable[RangesFound]) -> list[str]:
    return list(dict.fromkeys(f"{found.class_} {found.kind}" for found in names))


def _hints(page: Page, old: list[str]) -> None:
    if old:
        page.words("old", f"older than {OLD} days, so look at the source for changes: {', '.join(old)}", style="yellow")
    page.line("logscan networks ADDRESS says what an address is and why,", "dim")
    page.line("logscan networks --update FILE --into DIR reads a newer list, and that of AWS.", "dim")


def _address(page: Page, address: AddressAnswer) -> None:
    page.line("", label=address.asked)
    alone = len(address.answers) == 1
    for answer in address.answers[:_SHOWN]:
        if not alone:
            page.words("part", answer.range)
        page.line(f"{answer.class_} {answer.kind}", _STYLES.get(answer.class_, ""), label=f"{'is':<{LABEL}}")
        page.words("by", f"{answer.rule} ({_STEPS[answer.step]})")
    _more(page, len(address.answers) + address.more_answers, "part")
    others = address.rules[1:] if alone and address.answers[0].step != "none" else address.rules
    for index, rule in enumerate(others[:_SHOWN]):
        label = "" if index else "also has it" if alone else "rules"
        part = "" if rule.whole else ", a part"
        page.words(label, f"{rule.range} {rule.class_} {rule.kind}, {rule.rule} ({_STEPS[rule.step]}{part})")
    _more(page, len(others) + address.more_rules, "rule")
    page.blank()


def _more(page: Page, count: int, unit: str) -> None:
    if count > _SHOWN:
        page.line(f"{size(count - _SHOWN, f'more {unit}')}", "dim", label=" " * LABEL)


def _written(page: Page, written: WrittenFile) -> None:
    page.line("", label=written.name)
    page.words("title", written.title)
    page.section("ranges", [f"{found.name} {number(found.ranges)}" for found in written.names[:_SHOWN]])
    _more(page, len(written.names), "name")
    page.section("is", _kinds(written.names))
    page.words("date", written.date)
    page.whole(written.source, label="source")
    page.whole(written.file, label="replaced" if written.replaced else "written")
    page.blank()


_STYLES = {"client": "green", "node": "red", "lb": "red"}
_STEPS = {
    "command-line": "command line",
    "cluster": "cluster file",
    "published": "published",
    "registry": "registry",
    "hint": "default range, only a hint",
    "none": "no rule has it",
}
