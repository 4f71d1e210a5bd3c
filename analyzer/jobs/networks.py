"""What is known of networks: the files that count, what an address is by them, and newer lists made into such files.

Nothing is fetched: a newer list is a file that the user has. How it is shown is said in `analyzer.report.networks`.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from analyzer._version import __version__
from analyzer.addresses.networks import load_networks
from analyzer.addresses.published import LARGEST, Said, merge, read_published, to_toml
from analyzer.addresses.ranges import format_range, network_ranges
from analyzer.errors import RuleError, UsageError
from analyzer.report.networks import (
    OLD,
    AddressAnswer,
    Answer,
    MatchFound,
    NetworkFileFound,
    Networks,
    RangesFound,
    WrittenFile,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from analyzer.addresses.classify import Classifier
    from analyzer.addresses.networks import NetworkFile
    from analyzer.addresses.published_list import Published
    from analyzer.jobs.given import Given

_MOST = 1_000


def list_networks(rules: Iterable[str | os.PathLike[str]] = ()) -> Networks:
    """Say which network files count; `RuleError` where one cannot be used."""
    today = dt.datetime.now(dt.UTC).date()
    files = sorted(load_networks([Path(folder) for folder in rules]), key=lambda file: (not file.shipped, file.name))
    return Networks(version=__version__, networks=[_file(file, today) for file in files])


def explain_addresses(texts: Iterable[str], given: Given) -> Networks:
    """Say what addresses and CIDRs are and which rules have them, by ranges alone.

    Raises
    ------
    LogscanError
        Where a text is neither.
    """
    asked = []
    for text in texts:
        try:
            asked.append((text, network_ranges(text)))
        except ValueError as error:
            hint = "logscan networks --update reads files" if os.path.exists(text) else None
            raise UsageError(str(error).replace("a CIDR", "an address or a CIDR", 1), hint) from error
    classifier = given.classifier()
    return Networks(version=__version__, addresses=[_address(text, ranges, classifier) for text, ranges in asked])


def update_networks(
    files: Iterable[str | os.PathLike[str]],
    into: str | os.PathLike[str],
    *,
    name: str | None = None,
    class_: str | None = None,
    kind: str | None = None,
) -> Networks:
    """Read published lists and write them as rule files into the folder ``networks`` of `into`.

    Parameters
    ----------
    files
        Lists as their publishers hand them out, ``-`` for standard input. Several of one name become one file.
    into
        A folder as ``--rules`` takes it; it is made where there is none.
    name, class_, kind
        What a plain list of CIDRs is, which does not say it.

    Raises
    ------
    LogscanError
        Where a list cannot be read or a file cannot be written. Then none is.
    """
    known = [file for file in load_networks() if file.shipped]
    read: list[tuple[str, Published]] = []
    for file in [os.fspath(file) for file in files]:
        shown = "standard input" if file == "-" else os.path.basename(file)
        data, date = _content(file)
        read.append((file, read_published(data, shown, date, known, Said(name, class_, kind))))
    merged = merge([published for _, published in read], known)
    folder = Path(into) / "networks"
    texts = {folder / f"{each.name}.toml": to_toml(each) for each in merged}
    existing = {path for path in texts if path.exists()}
    _write_all(texts)
    written = [
        WrittenFile(
            name=each.name,
            title=each.title,
            file=str(path),
            replaced=path in existing,
            ranges=sum(len(part.networks) for part in each.ranges),
            names=[RangesFound(part.name, part.class_, part.kind, len(part.networks)) for part in each.ranges],
            date=each.date.isoformat(),
            source=each.source,
            files=[file for file, published in read if published.name == each.name],
        )
        for path, each in zip(texts, merged, strict=True)
    ]
    return Networks(version=__version__, written=written, rules_folder=os.fspath(into))


def _file(file: NetworkFile, today: dt.date) -> NetworkFileFound:
    names: dict[tuple[str, str, str], int] = {}
    for rule in file.rules:
        key = file.range_name(rule), rule.class_, rule.kind
        names[key] = names.get(key, 0) + 1
    age = max((today - file.date).days, 0)
    return NetworkFileFound(
        name=file.name,
        title=file.title,
        file=file.where,
        role=file.role,
        shipped=file.shipped,
        replaces=file.replaces,
        ranges=len(file.rules),
        names=[RangesFound(*key, ranges) for key, ranges in names.items()],
        date=file.date.isoformat(),
        age_days=age,
        old=age > OLD,
        source=file.source,
    )


def _address(text: str, ranges: Sequence[tuple[int, int]], classifier: Classifier) -> AddressAnswer:
    parts = [part for first, last in ranges for part in classifier.parts(first, last)]
    rules = [(match, ranges) for match in dict.fromkeys(m for pair in ranges for m in classifier.matching(*pair))]
    return AddressAnswer(
        asked=text,
        answers=[
            Answer(format_range(part.first, part.last), part.class_, part.kind, part.rule, part.step)
            for part in parts[:_MOST]
        ],
        rules=[
            MatchFound(
                step=match.step,
                range=format_range(match.rule.first, match.rule.last),
                class_=match.rule.class_,
                kind=match.rule.kind,
                rule=match.rule.rule,
                whole=all(match.rule.first <= first and last <= match.rule.last for first, last in within),
            )
            for match, within in rules[:_MOST]
        ],
        more_answers=max(len(parts) - _MOST, 0),
        more_rules=max(len(rules) - _MOST, 0),
    )


def _content(file: str) -> tuple[bytes, dt.date]:
    """The bytes of a list, no more than one too many, and the day it was written."""
    try:
        if file == "-":
            return sys.stdin.buffer.read(LARGEST + 1), dt.datetime.now(dt.UTC).date()
        with open(file, "rb") as stream:
            written = dt.datetime.fromtimestamp(os.fstat(stream.fileno()).st_mtime, dt.UTC).date()
            return stream.read(LARGEST + 1), written
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise RuleError(f"{file}: expected a readable file, got: {reason or error}") from error


def _write_all(texts: dict[Path, str]) -> None:
    """Write files beside their places and move them there once all are whole."""
    with ExitStack() as stack:
        unfinished = {}
        try:
            for path, text in texts.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                beside = path.with_name(f".{path.name}.{os.getpid()}")
                stack.callback(_remove, beside)
                beside.write_text(text, encoding="utf-8")
                unfinished[beside] = path
            for beside, path in unfinished.items():
                os.replace(beside, path)
        except OSError as error:
            place = error.filename2 or error.filename or path
            raise UsageError(f"{place}: cannot be written: {error.strerror or error}") from error


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
