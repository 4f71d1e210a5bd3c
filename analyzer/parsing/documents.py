"""Documents: one JSON value that holds many records, which a log API answered or an export wrote.

Read are Loki's answers, OTLP JSON, CloudWatch Logs, records of CloudFront, Azure Monitor's ``records``, search results
of Elasticsearch, arrays of anything, and objects written over several lines. A record comes out as one line; what an
envelope or a format reads of it is not known here, and neither are files: bytes become values in `json_values`.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from analyzer.parsing.json_values import BOM, SPACE, DocumentError, ValueSplitter
from analyzer.parsing.origin import facts_of, log_stream_origin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Bytes of a value in which the keys that tell a document stand.
_HEAD = 4096

#: Levels of values within values that are looked at.
_DEEPEST = 64


__all__ = ["DocumentError", "Record", "ValueSplitter", "document_kind", "records"]


class Record(NamedTuple):
    """One record of a document.

    Attributes
    ----------
    text
        The line, without a newline.
    origin
        What the document says of where it was written: pairs of a key (node, pod, namespace, container, file) and its
        value.
    time
        Milliseconds since 1970, as the document says; None where it does not.
    """

    text: bytes
    origin: tuple[tuple[str, str], ...] = ()
    time: int | None = None


#: Keys that tell a document of several records, or a record of one, and what they tell.
_MARKS = {
    b'"resultType"': "loki",
    b'"streams"': "loki",
    b'"resourceLogs"': "otlp",
    b'"logEvents"': "cloudwatch",
    b'"hits"': "elasticsearch",
    b'"ingestionTime"': "event",
    b'"eventId"': "event",
    b'"logStreamName"': "event",
    b'"c-ip"': "cloudfront",
    b'"results"': "insights",
}

#: Objects whose first member is the array of their records: its elements are values of their own.
_WRAPPED = re.compile(rb'\{\s*"(?P<kind>events|records|data)"\s*:\s*\[')

_ARRAY = re.compile(rb'\[\s*\{\s*["}]')
_SPREAD = re.compile(rb'\{[ \t\r]*\n\s*"')


def document_kind(head: bytes) -> str | None:
    """What kind of document a source is that begins so, or None where its lines are the records.

    Parameters
    ----------
    head
        The first bytes; they may end in the middle of a value.
    """
    text = bytes(head[: 64 << 10]).removeprefix(BOM).lstrip(SPACE)
    if _ARRAY.match(text):
        return "array"
    if not text.startswith(b"{"):
        return None
    wrapped = _WRAPPED.match(text)
    if wrapped:
        if wrapped["kind"] != b"events":
            return wrapped["kind"].decode()
        return "cloudwatch" if _kind(text) == "event" else None
    kind = _kind(text)
    if kind not in {None, "event"}:
        return kind
    return "objects" if _SPREAD.match(text) else None


def _kind(text: bytes) -> str | None:
    """What an object is by the keys at its beginning, None where it is but itself."""
    for mark, kind in _MARKS.items():
        if text.find(mark, 0, _HEAD) >= 0 and _SHAPES[kind].search(text, 0, _HEAD):
            return kind
    return None


#: How a key goes on that tells a document, so that a log line with such a word in it is none.
_SHAPES = {
    "loki": re.compile(
        rb'(?<!\\)"(?:resultType"\s*:\s*"(?:streams|matrix|vector|scalar)"|streams"\s*:\s*\[\s*\{\s*"(?:stream|values)")'
    ),
    "otlp": re.compile(rb'(?<!\\)"resourceLogs"\s*:\s*\['),
    "cloudwatch": re.compile(rb'(?<!\\)"logEvents"\s*:\s*\['),
    "elasticsearch": re.compile(rb'(?<!\\)"hits"\s*:\s*\{.*?"hits"\s*:\s*\[', re.DOTALL),
    "cloudfront": re.compile(rb'(?<!\\)"time"\s*:\s*"\d\d:\d\d:\d\d"'),
    "insights": re.compile(rb'(?<!\\)"results"\s*:\s*\[\s*\[\s*\{\s*"field"'),
    "event": re.compile(rb'(?<!\\)"(?:ingestionTime|eventId|logStreamName)"\s*:'),
}


def records(value: bytes) -> Iterator[Record]:
    """Read the records of one JSON value, in order; a value that holds none but itself is one record.

    Raises
    ------
    DocumentError
        For a document that cannot be parsed or holds no log records.
    """
    kind = _kind(value) if value.startswith(b"{") else None
    if kind is not None:
        read = {
            "loki": _loki,
            "otlp": _otlp,
            "cloudfront": lambda parsed: _cloudfront(parsed, value),
            "cloudwatch": _cloudwatch,
            "elasticsearch": _elasticsearch,
            "event": _event,
            "insights": _insights,
        }[kind]
        found = read(_parsed(value, lenient=kind in {"cloudfront", "event"}))
        if found is not None:
            yield from found
            return
    if value.startswith(b'"'):
        yield Record(_text(_string(value)))
    else:
        yield Record(_one_line(value))


def _parsed(value: bytes, *, lenient: bool) -> dict[str, Any]:
    """The object; where bytes of it are not UTF-8, or surrogates stand alone, U+FFFD stands for them."""
    try:
        parsed = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        try:
            parsed = json.loads(value.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            if lenient:
                return {}
            raise DocumentError(f"expected a JSON document, got what cannot be parsed: {error}") from None
    return parsed if isinstance(parsed, dict) else {}


def _string(value: bytes) -> str:
    """What an array holds instead of an object: most likely a line."""
    try:
        parsed = orjson.loads(value)
    except orjson.JSONDecodeError:
        parsed = None
    return parsed if isinstance(parsed, str) else value.decode("utf-8", "replace")


def _one_line(value: bytes) -> bytes:
    """The value as it came, over one line: outside strings a line break is as good as a blank."""
    return re.sub(rb"[ \t]*[\r\n]+[ \t]*", b" ", value) if b"\n" in value or b"\r" in value else value


def _text(message: object) -> bytes:
    """A message as a line: one newline at its end dropped, others made blanks; an object as JSON."""
    if isinstance(message, str):
        if message.endswith("\n"):
            message = message[:-1].removesuffix("\r")
        if "\n" in message or "\r" in message:
            message = message.replace("\n", " ").replace("\r", " ")
        return message.encode("utf-8", "replace")
    try:
        return orjson.dumps(message)
    except orjson.JSONEncodeError:  # numbers beyond 64 bits, lone surrogates, and what is nested very deep
        pass
    try:
        return json.dumps(message, separators=(",", ":")).encode()
    except RecursionError:
        return b""


def _milliseconds(time: object, nanoseconds: int = 1) -> int | None:
    """A whole number, which protobuf's JSON and Loki write as a string, in units of so many nanoseconds."""
    if isinstance(time, str) and time.isascii() and time.isdigit() and len(time) <= 20:
        time = int(time)
    if not isinstance(time, int) or isinstance(time, bool):
        return None
    value = time * nanoseconds // 1_000_000
    return value if 0 < value < 253_402_300_800_000 else None  # the year 10000


def _objects(value: object) -> Iterator[dict[str, Any]]:
    """The objects of an array; anything else in it, or instead of it, is passed over."""
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def _loki(document: dict[str, Any]) -> Iterable[Record] | None:
    """Loki's answer to a query (``/loki/api/v1/query_range``), or what is pushed to it."""
    data = document.get("data", document)
    if not isinstance(data, dict):
        return None
    kind = data.get("resultType", "streams")
    if kind != "streams":
        raise DocumentError(f"Loki: expected log lines (`streams`), got the answer to a metric query: {kind!r}")
    return _streams(data.get("result", data.get("streams")))


def _streams(streams: object) -> Iterator[Record]:
    for stream in _objects(streams):
        labels = stream.get("stream")
        origin = facts_of(labels if isinstance(labels, dict) else {})
        values = stream.get("values")
        lines = [one for one in values if isinstance(one, list) and len(one) >= 2] if isinstance(values, list) else []
        times = [_milliseconds(one[0]) for one in lines]
        made = [Record(_text(one[1]), origin, time) for one, time in zip(lines, times, strict=True)]
        if times and (times[0] or 0) > (times[-1] or 0):  # Loki answers with the newest first unless asked not to
            made.reverse()
        yield from made


def _otlp(document: dict[str, Any]) -> Iterable[Record]:
    """OTLP's JSON of logs, as the collector's file exporter writes it."""
    for resource in _objects(document.get("resourceLogs")):
        about = resource.get("resource")
        outer = _attributes(about.get("attributes") if isinstance(about, dict) else None)
        scopes = resource.get("scopeLogs", resource.get("instrumentationLibraryLogs"))
        for scope in _objects(scopes):
            for entry in _objects(scope.get("logRecords")):
                own = _attributes(entry.get("attributes"))
                body = _value(entry.get("body"))
                time = _milliseconds(entry.get("timeUnixNano")) or _milliseconds(entry.get("observedTimeUnixNano"))
                # A parser within the collector moves the parts of a line into the attributes.
                yield Record(_text(own if body in (None, "") else body), facts_of(outer | own), time)


def _attributes(pairs: object, depth: int = 0) -> dict[str, Any]:
    named = (pair for pair in _objects(pairs) if isinstance(pair.get("key"), str))
    return {pair["key"]: _value(pair.get("value"), depth) for pair in named}


def _value(value: object, depth: int = 0) -> Any:
    """What an OTLP value (``{"stringValue": ...}``) holds; None where it is nested deeper than any log line is."""
    if not isinstance(value, dict) or not value or depth > _DEEPEST:
        return None
    kind, held = next(iter(value.items()))
    inner = held.get("values") if isinstance(held, dict) else None
    if kind == "kvlistValue":
        return _attributes(inner, depth + 1)
    if kind == "arrayValue":
        return [_value(one, depth + 1) for one in inner] if isinstance(inner, list) else []
    if kind == "intValue" and isinstance(held, str) and held.isascii() and held.lstrip("-").isdigit():
        return int(held[:40])
    return held


def _cloudwatch(document: dict[str, Any]) -> Iterable[Record]:
    """What a subscription of CloudWatch Logs delivers; a control message holds no records."""
    if document.get("messageType") == "CONTROL_MESSAGE":
        return
    origin = log_stream_origin(document.get("logStream"))
    for event in _objects(document.get("logEvents")):
        yield Record(_text(event.get("message", "")), origin, _milliseconds(event.get("timestamp"), 1_000_000))


def _event(event: dict[str, Any]) -> Iterable[Record] | None:
    """An event of ``aws logs filter-log-events`` or ``get-log-events``."""
    if not isinstance(event.get("message"), str) or "timestamp" not in event:
        return None
    origin = log_stream_origin(event.get("logStreamName"))
    return [Record(_text(event["message"]), origin, _milliseconds(event["timestamp"], 1_000_000))]


def _insights(answer: dict[str, Any]) -> Iterable[Record]:
    """The answer to a query of CloudWatch Logs Insights: of each event the fields that were asked for."""
    for fields in answer.get("results") or ():
        named = {field.get("field"): field.get("value") for field in _objects(fields)}
        if isinstance(named.get("@message"), str):
            yield Record(
                _text(named["@message"]), log_stream_origin(named.get("@logStream")), _moment(named.get("@timestamp"))
            )


def _moment(time: object) -> int | None:
    """A time of UTC that does not say so."""
    with suppress(ValueError):
        return int(datetime.fromisoformat(f"{time}+00:00").timestamp() * 1000)
    return None


def _cloudfront(entry: dict[str, Any], value: bytes) -> Iterable[Record]:
    """A record of CloudFront, which may have the day and the time of day apart."""
    return [Record(_one_line(value), (), _moment(f"{entry.get('date')}T{entry.get('time')}"))]


def _elasticsearch(document: dict[str, Any]) -> Iterable[Record] | None:
    """The answer to a search: the documents that were found."""
    hits = document.get("hits")
    found = hits.get("hits") if isinstance(hits, dict) else None
    if not isinstance(found, list):
        return None
    return [Record(_text(hit["_source"])) for hit in _objects(found) if isinstance(hit.get("_source"), dict)]
