"""``logscan compare``: logs or saved reports to what changed between them."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import orjson

from analyzer._version import __version__
from analyzer.errors import NothingReadError, SourceError, UsageError
from analyzer.readings.comparison import compare_reports
from analyzer.report.compare import Comparison
from analyzer.report.layers import Layers
from analyzer.report.model import SCHEMA, Report
from analyzer.report.unread import require_read

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    Compared = Report | str | os.PathLike[str] | Iterable[str | os.PathLike[str]]

_SAVED = re.compile(rb'\s*\{\s*"schema"\s*:\s*"(logscan\.[^"]*)"')


def compare(
    before: Compared,
    after: Compared,
    *,
    cluster: str | os.PathLike[str] | None = None,
    cluster_after: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Comparison:
    """Put two analyses side by side: what a change did to preservation, trust, skew, geo and rate limits.

    Parameters
    ----------
    before, after
        A `Report`, the path of one that was saved as JSON, or logs as `analyze` takes them.
    cluster
        The cluster file for logs, and for those of `after` too unless `cluster_after` is given.
    options
        Further options of `analyze`, for both logs.

    Raises
    ------
    LogscanError
        Where a log or report cannot be read to its end, or no line of a log.
    """
    sides = (before, cluster), (after, cluster_after or cluster)
    documents = [_document(side, {**options, "cluster": known}) for side, known in sides]
    names = (_name(before, "before"), _name(after, "after"))
    return Comparison(version=__version__, compared=compare_reports(documents[0], documents[1], names))


def compare_layers(
    source: Iterable[str | os.PathLike[str]], *, cluster: str | Path | None = None, **options: Any
) -> Layers:
    """Follow requests through the layers of one path, and say at which hop their address changes.

    Every log is read into memory, of each line the six values that are needed.

    Parameters
    ----------
    source
        A log for each layer, the outermost first.
    cluster
        The cluster file: what addresses are.
    options
        Further options of `scan`.

    Raises
    ------
    LogscanError
        Where a log cannot be read, or no line of it, or there are fewer than two.
    """
    from analyzer.addresses.classify import classify  # noqa: PLC0415 - saved reports need none of it
    from analyzer.jobs.scan import scan  # noqa: PLC0415
    from analyzer.readings.layers import COLUMNS, layers  # noqa: PLC0415

    sources = [os.fspath(each) for each in source]
    if len(sources) < 2:
        raise UsageError(f"--layers: expected two or more logs, the outermost first, got {len(sources)}")
    ranges = {name: options[name] for name in ("node", "lb", "client", "private") if name in options}
    frames = []
    for each in sources:
        frame = scan(each, cluster=cluster, **options).select(COLUMNS).collect()
        if frame.is_empty():
            raise NothingReadError(f"{each}: no line could be read as an access log", "logscan formats FILE says why")
        frames.append(frame.with_columns(classify(frame["remote_addr"], cluster=cluster, **ranges)["class"]))
    return Layers(version=__version__, layers=sources, hops=layers(frames, sources))


def _document(side: Compared, options: dict[str, Any]) -> dict[str, Any]:
    if isinstance(side, Report):
        return _parsed(side.to_json().encode(), "report")
    if isinstance(side, (str, os.PathLike)) and os.path.isfile(side):
        saved = _saved(side)
        if saved is not None:
            return saved
    from analyzer.jobs.analyze import analyze  # noqa: PLC0415 - saved reports need none of it

    report = analyze(side, **{"say": lambda _: None, **options})  # what cannot be read is an error here
    require_read(report, _name(side, "logs"))
    return _parsed(report.to_json().encode(), "report")


def _saved(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The report that a file holds, None where it begins like a log."""
    try:
        with open(path, "rb") as file:
            schema = _SAVED.match(file.read(4096))
            if schema is None:
                return None
            file.seek(0)
            text = file.read()
    except OSError as error:
        raise SourceError(f"{os.fspath(path)}: {error.strerror or error}") from error
    if schema[1].decode() != SCHEMA:
        raise UsageError(f"{os.fspath(path)}: expected a report of schema {SCHEMA}, got {schema[1].decode()}")
    return _parsed(text, os.fspath(path))


def _parsed(text: bytes, name: str) -> dict[str, Any]:
    try:
        document = orjson.loads(text)
        document["preservation"]["classes"], document["skew"]["by"], document["rate_limit"]["simulations"]
        document["geo"], document["trust"], document["signals"], document["input"]["sources"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        got = f"none with {error}" if isinstance(error, KeyError) else str(error)
        message = f"{name}: expected a report as --format json writes it, got {got}"
        raise UsageError(message, "was it cut off? write it again with logscan analyze --format json") from error
    return dict(document)


def _name(side: Compared, otherwise: str) -> str:
    return os.fspath(side) if isinstance(side, (str, os.PathLike)) else otherwise
