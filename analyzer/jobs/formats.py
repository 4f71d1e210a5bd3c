"""What a log is and why: reads the beginning of each as `analyzer.jobs.analyze` would, and says what it found.

Nothing is counted over a whole log here. How it is shown is said in `analyzer.report.formats`.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from analyzer._version import __version__
from analyzer.errors import SourceError
from analyzer.jobs.look import Unread, count_values, head_of, inside
from analyzer.parsing.detect import Known, to_choose_from
from analyzer.parsing.envelopes import load_envelopes
from analyzer.parsing.formats import load_formats
from analyzer.parsing.json_format import JsonFormat
from analyzer.parsing.layers import name_of
from analyzer.parsing.log_format import REASONS
from analyzer.parsing.origin import Origin
from analyzer.parsing.other import OtherLines, most_first
from analyzer.parsing.suggest import suggest_format, suggest_more
from analyzer.parsing.suggest_json import suggest_json
from analyzer.readings.missing import Found, missing
from analyzer.report.formats import (
    ColumnFound,
    Description,
    KnownDocument,
    KnownLayout,
    NamesFound,
    Nearest,
    RejectedLine,
    SourceFound,
    SuggestedFormat,
    SuggestedKey,
    SuggestedRule,
)
from analyzer.runs.piece_scan import PieceScan, rejected
from analyzer.sources import find, open_source

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from analyzer.jobs.look import Head
    from analyzer.parsing.envelopes import Envelope
    from analyzer.parsing.formats import Layout, NamedFormat
    from analyzer.parsing.suggest_json import JsonSuggestion
    from analyzer.runs.piece_scan import Rejected, Rows, Scanned
    from analyzer.sources import Source

_NAMES = 5
_SAMPLES = 5
#: Bytes of a rejected line that are shown.
_SHOWN = 400

_TOO_LONG = REASONS.index("too_long")

_DOCUMENTS = {
    "array": "JSON array of records, as exports of Google Cloud Logging write",
    "cloudfront": "records of CloudFront that have date and time apart, a JSON object each",
    "cloudwatch": "CloudWatch Logs: events of the AWS CLI, or what a subscription delivers",
    "data": "a list under `data`, as Datadog's Logs API answers",
    "elasticsearch": "answer of Elasticsearch or OpenSearch to a search",
    "insights": "answer of CloudWatch Logs Insights (aws logs get-query-results)",
    "loki": "answer of Loki to a query of log lines",
    "objects": "JSON objects written over several lines each",
    "otlp": "OTLP JSON of logs, as OpenTelemetry's file exporter writes it",
    "records": "Azure Monitor: records in one JSON object",
}


def describe(
    names: Iterable[str | os.PathLike[str]] = (),
    *,
    log_format: str | None = None,
    rules: Iterable[str | os.PathLike[str]] = (),
) -> Description:
    """Say what is known by these names, or what the logs of these names are; without a name, all that is known.

    Parameters
    ----------
    names
        Names of formats, envelopes and documents, and sources as `analyze` takes them. A known name is never a file:
        ``./kong`` is.
    log_format
        Sources have this format: a ``log_format`` string or the name of a known one.
    rules
        Folders with more rules, read after the shipped ones.

    Raises
    ------
    LogscanError
        For what cannot be meant, and for a source that cannot be read, if it is the only one.
    """
    more = [Path(folder) for folder in rules]
    formats, envelopes = load_formats(more), load_envelopes(more)
    wanted = [os.fspath(name) for name in names]
    by_name = {name: format_ for format_ in formats for name in (format_.name, *format_.aliases)}
    known_envelopes = {envelope.name: envelope for envelope in envelopes}
    if not wanted:
        return Description(
            version=__version__,
            listing=True,
            formats=[_format(format_) for format_ in formats],
            envelopes=[_envelope(envelope) for envelope in envelopes],
            documents=[KnownDocument(name, title) for name, title in _DOCUMENTS.items()],
        )
    named = {*by_name, *known_envelopes, *_DOCUMENTS}
    sources = find([name for name in wanted if name not in named])
    look = _Look(to_choose_from(formats, envelopes, log_format), {format_.name: format_.title for format_ in formats})
    return Description(
        version=__version__,
        formats=[_format(by_name[name]) for name in wanted if name in by_name],
        envelopes=[_envelope(known_envelopes[name]) for name in wanted if name in known_envelopes],
        documents=[KnownDocument(name, _DOCUMENTS[name]) for name in wanted if name in _DOCUMENTS],
        sources=[look.at(source, alone=len(sources) == 1) for source in sources],
    )


def _format(format_: NamedFormat) -> KnownLayout:
    return _known(format_, format_.layouts, format_.aliases)


def _envelope(envelope: Envelope) -> KnownLayout:
    return _known(envelope, [envelope.layout], ())


def _known(rule: NamedFormat | Envelope, layouts: Sequence[Layout], aliases: Sequence[str]) -> KnownLayout:
    json = [layout for layout in layouts if isinstance(layout, JsonFormat)]
    fields = {field.variable: field for layout in reversed(json) for field in reversed(layout.fields)}
    required = [{field.variable for field in layout.fields if field.required} for layout in json]
    columns = dict.fromkeys(column for layout in layouts for column in layout.columns)
    return KnownLayout(
        name=rule.name,
        aliases=list(aliases),
        title=rule.title,
        source=rule.source,
        texts=[layout.text for layout in layouts if not isinstance(layout, JsonFormat)],
        json={name: [_pointer(path) for path in field.pointers] for name, field in reversed(fields.items())},
        required=[name for name in reversed(fields) if all(name in each for each in required)],
        columns=list(columns),
    )


def _pointer(path: tuple[bytes, ...]) -> str:
    return "".join("/" + key.decode("utf-8", "replace").replace("~", "~0").replace("/", "~1") for key in path)


class _Look:
    """Looks at logs."""

    def __init__(self, known: Known, titles: dict[str, str]) -> None:
        self._known = known
        self._layouts = known.detailed
        self._titles = titles

    def at(self, source: Source, *, alone: bool) -> SourceFound:
        """Say what a log is; one that cannot be read is an error where it is alone."""
        try:
            reader = open_source(source)
        except SourceError as error:
            if alone:
                raise SourceError(str(error), error.hint or "logscan formats lists the names that are known") from None
            return SourceFound(source.uri, error=str(error).removeprefix(f"{source.uri}: "))
        with closing(reader):
            head = head_of(reader, self._known)
            if head.shape.layout is None and head.shape.layers and self._is_whole(head):
                head = head._replace(shape=head.shape._replace(layers=()))
            return self._found(source, head)

    def _is_whole(self, head: Head) -> bool:
        """Whether lines of an unknown format say more without the envelopes that they may have."""
        bare = head._replace(shape=head.shape._replace(layers=()))
        outside, within = (suggest_format(Unread(inside(each), None, self._layouts).lines) for each in (bare, head))
        if outside is None:
            return False
        layouts = [layer.layout for layer in head.shape.layers if not isinstance(layer, str)]
        times = {"time"} if any("time" in layout.columns for layout in layouts) else set()
        return within is None or len(outside.columns) > len(within.columns | times)

    def _found(self, source: Source, head: Head) -> SourceFound:
        # Where no format was found, each was tried on all lines already.
        known = self._known if head.shape.layout is not None else Known(self._layouts[:1], ())
        scanned = PieceScan(head.piece, head.shape, known, keep_rejected=False).scan()
        other, parts = _sorted(scanned)
        formats = _formats(scanned.rows)
        layout = head.shape.layout or next(iter(formats), None)
        text = inside(head, scanned.mixed)
        columns = _columns(text, scanned, list(formats))
        origins = _origins(scanned.rows, Origin(None, source.pod, source.namespace, source.container))
        number = sum(part.number for part in parts)
        unread = Unread(text, layout, self._layouts) if number else None
        names: dict[str, int] = {}
        for each, lines in formats.items():
            names[each.name] = names.get(each.name, 0) + lines
        found = SourceFound(
            uri=source.uri,
            error=head.error,
            compression=head.compression,
            bytes=head.size,
            whole=head.whole,
            document=head.shape.document,
            envelopes=[layer if isinstance(layer, str) else layer.name for layer in head.shape.layers],
            mixed=most_first({name_of(layers): lines for layers, lines in scanned.mixed.items()}),
            formats=names,
            lines=scanned.lines,
            parsed=scanned.parsed,
            rejected=number,
            other=sum(other.kinds.values()),
            other_kinds=most_first(other.kinds),
            origins=origins,
            columns=columns,
        )
        if unread is not None:
            rows = [row for part in parts for row in part.first]
            found = replace(found, rejected_samples=[_sample(row, unread, layout) for row in rows[:_SAMPLES]])
            if layout is None or number > scanned.parsed:
                found = _with_suggestions(found, unread)
        if layout is None:
            return found
        if (more := suggest_more(layout, text.splitlines())) is not None:
            found = replace(found, suggested_format=SuggestedFormat(more.text, more.read, more.lines))
        shares = {column.name: column.pct for column in columns if column.name in layout.columns}
        gaps, instead = missing(Found(layout, shares, _fine(scanned.rows), "node" in origins, "pod" in origins))
        return replace(
            found, format=layout.name, title=self._titles.get(layout.name), missing=gaps, log_instead=instead
        )


def _sorted(scanned: Scanned) -> tuple[OtherLines, list[Rejected]]:
    """The other lines of the only piece, and its rejected ones in order."""
    other = OtherLines()
    parts = [] if scanned.lead is None else [rejected(other.sort(scanned.lead), keep=False)]
    if scanned.other is not None:
        other.add(scanned.other)
    return other, parts + scanned.rejected


def _formats(rows: Iterable[Rows]) -> dict[Layout, int]:
    """How many lines each layout read, the one with most lines first."""
    counts: dict[Layout, int] = {}
    for each in rows:
        counts[each.layout] = counts.get(each.layout, 0) + each.lines
    return dict(sorted(counts.items(), key=lambda found: (-found[1], found[0].name)))


def _columns(text: bytes, scanned: Scanned, layouts: list[Layout]) -> list[ColumnFound]:
    counts = count_values(text, layouts)
    timed = sum(rows.frame["time"].drop_nulls().len() for rows in scanned.rows if "time" in rows.frame.columns)
    if timed and not counts.get("time"):  # an envelope says it
        counts = {"time": timed} | counts
    return [ColumnFound(name, number, 100 * number / max(scanned.parsed, 1)) for name, number in counts.items()]


def _fine(rows: Iterable[Rows]) -> bool | None:
    """Whether any time has a part of a second; None without a time."""
    found = None
    for each in rows:
        if "time" in each.frame.columns and each.frame["time"].null_count() < each.frame.height:
            found = bool(found) or bool((each.frame["time"].dt.millisecond() > 0).any())
    return found


def _origins(rows: Iterable[Rows], path: Origin) -> dict[str, NamesFound]:
    names: dict[str, dict[str, None]] = {}
    for each in rows:
        for kind, name in each.origin.within(path)._asdict().items():
            if name:
                names.setdefault(kind, {})[name] = None
    return {kind: NamesFound(len(found), list(found)[:_NAMES]) for kind, found in names.items()}


def _sample(row: dict[str, Any], unread: Unread, layout: Layout | None) -> RejectedLine:
    """A rejected line, and where it stops fitting the format of the log or the nearest one."""
    line = bytes(row["line"]).rstrip(b"\r\n")
    stop: dict[str, Any] | None = row
    if layout is None:
        layout, stop = unread.nearest, unread.stops(line) if row["reason"] < _TOO_LONG else row
    if layout is None or stop is None:
        return RejectedLine(row["source_line"] + 1, None, "fits no known format", _text(line[:_SHOWN]), 1)
    reason = layout.explain(stop["field"] - 1, stop["reason"])
    if isinstance(layout, JsonFormat) and not stop["field"] and stop["position"]:
        reason += ": is a quote in a value not escaped (escape=json, log-format-escape-json)?"
    if stop["reason"] >= _TOO_LONG:
        return RejectedLine(row["source_line"] + 1, None, reason, _text(line[:_SHOWN]), 1)
    position = min(stop["position"], len(line))
    start = max(0, position - _SHOWN // 2)
    before, behind = _text(line[start:position]), _text(line[position : position + _SHOWN // 2])
    column = len(_text(line[:position])) + 1
    return RejectedLine(row["source_line"] + 1, column, reason, before + behind, column - len(before))


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace")


def _with_suggestions(found: SourceFound, unread: Unread) -> SourceFound:
    """Add what may be done about lines that no format reads."""
    if unread.nearest is not None and unread.lines and (stop := unread.stops(unread.lines[0])) is not None:
        reason = unread.nearest.explain(stop["field"] - 1, stop["reason"])
        found = replace(found, nearest=Nearest(unread.nearest.name, reason))
    json = suggest_json(unread.lines)
    if json is not None:
        keys = [SuggestedKey(key.pointer, key.lines, key.example, key.variable) for key in json.keys]
        rule = SuggestedRule(_rule(json), json.read, json.lines) if json.read else None
        return replace(found, suggested_keys=keys, suggested_rule=rule)
    text = suggest_format(unread.lines)
    if text is None:
        return found
    return replace(found, suggested_format=SuggestedFormat(text.text, text.read, text.lines))


def _rule(suggestion: JsonSuggestion) -> str:
    """A rule file. JSON's strings, in ASCII, are TOML's as well."""
    fields = "".join(f"{name} = {_quoted(pointer)}\n" for name, pointer in suggestion.fields.items())
    required = ", ".join(_quoted(name) for name in suggestion.required)
    head = 'name = "mine"\ntitle = "what writes it"\nsource = "where that is documented"\n'
    return f"{head}\n[json]\nrequired = [{required}]\n\n[json.fields]\n{fields}"


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()
