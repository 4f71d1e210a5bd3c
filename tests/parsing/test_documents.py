"""Documents: what is told to be one, the records in it, and cutting bytes into JSON values."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.parsing.documents import (
    DocumentError,
    Record,
    ValueSplitter,
    document_kind,
    records,
)
from analyzer.parsing.json_values import MAX_VALUE
from analyzer.parsing.origin import log_stream_origin

LINE = '203.0.113.7 - - [21/Nov/2026:07:08:09 +0000] "GET / HTTP/1.1" 200 612 "-" "-"'
MS = 1795244889123
STREAM = f"ip-10-0-1-2.ec2.internal-application.var.log.containers.web-0_shop_nginx-{'ab' * 32}.log"

#: https://grafana.com/docs/loki/latest/reference/loki-http-api/#query-logs-within-a-range-of-time
LOKI: dict[str, Any] = {
    "status": "success",
    "data": {
        "resultType": "streams",
        "result": [
            {
                "stream": {"pod": "web-0", "namespace": "shop", "node_name": "worker-1", "stream": "stdout"},
                "values": [[f"{MS + 1}000000", "second\n"], [f"{MS}000000", LINE, {"trace_id": "x"}]],
            },
            {"stream": {"filename": "/var/log/x.log"}, "values": [[f"{MS}999999", "a\nb\r\n"]]},
        ],
        "stats": {},
    },
}
#: https://github.com/open-telemetry/opentelemetry-proto/blob/main/examples/logs.json
OTLP: dict[str, Any] = {
    "resourceLogs": [
        {
            "resource": {
                "attributes": [
                    {"key": "k8s.pod.name", "value": {"stringValue": "web-0"}},
                    {"key": "k8s.namespace.name", "value": {"stringValue": "shop"}},
                    {"key": "k8s.node.name", "value": {"stringValue": "worker-1"}},
                    {"key": "k8s.container.restart_count", "value": {"intValue": "3"}},
                ]
            },
            "scopeLogs": [
                {
                    "scope": {},
                    "logRecords": [
                        {
                            "timeUnixNano": f"{MS}000000",
                            "body": {"stringValue": LINE},
                            "attributes": [{"key": "log.file.path", "value": {"stringValue": "/a.log"}}],
                        },
                        {
                            "observedTimeUnixNano": MS * 1_000_000,
                            "body": {
                                "kvlistValue": {
                                    "values": [
                                        {"key": "status", "value": {"intValue": "200"}},
                                        {"key": "a", "value": {"arrayValue": {"values": [{"boolValue": True}]}}},
                                    ]
                                }
                            },
                        },
                        {"body": {"stringValue": ""}, "attributes": [{"key": "x", "value": {"doubleValue": 0.5}}]},
                    ],
                }
            ],
        }
    ]
}
#: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html
SUBSCRIPTION: dict[str, Any] = {
    "messageType": "DATA_MESSAGE",
    "owner": "123456789012",
    "logGroup": "/aws/containerinsights/shop/application",
    "logStream": STREAM,
    "subscriptionFilters": ["all"],
    "logEvents": [{"id": "3195", "timestamp": MS, "message": LINE}, {"id": "3196", "timestamp": MS, "message": "x\n"}],
}
#: https://docs.aws.amazon.com/cli/latest/reference/logs/filter-log-events.html
EVENTS: dict[str, Any] = {
    "events": [
        {"logStreamName": "s", "timestamp": MS, "message": LINE, "ingestionTime": MS + 5, "eventId": "3195"},
        {"timestamp": MS, "message": "x\n", "ingestionTime": MS + 5},
    ],
    "searchedLogStreams": [{"searchedCompletely": True}],
}
AZURE = (
    b'{"records": [{"operationName":"ApplicationGatewayAccess","properties": {"clientIP":"203.0.113.7","clientPort":-}}'
    b","
    b'\n  {"time":"2026-11-21T07:08:09Z"}]}'
)
SEARCH: dict[str, Any] = {
    "took": 3,
    "hits": {"total": {"value": 1}, "hits": [{"_index": "i", "_source": {"message": "x"}}, {"_index": "i"}]},
}


def dumped(value: object) -> bytes:
    """The value as JSON over several lines."""
    return json.dumps(value, indent=4).encode()


def split(data: bytes, size: int | None = None) -> tuple[list[bytes], bytes]:
    """All values and what is left, fed in portions of so many bytes."""
    splitter = ValueSplitter()
    size = size or max(1, len(data))
    values = [value for at in range(0, len(data), size) for value in splitter.feed(data[at : at + size])]
    return values, splitter.close()


def read(data: bytes) -> list[Record]:
    """All records of a whole document."""
    values, left = split(data)
    assert left == b""
    return [record for value in values for record in records(value)]


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        (dumped(LOKI), "loki"),
        (orjson.dumps(LOKI), "loki"),
        (b'{"streams":[{"stream":{"a":"b"},"values":[', "loki"),
        (orjson.dumps(OTLP), "otlp"),
        (orjson.dumps(SUBSCRIPTION), "cloudwatch"),
        (dumped(EVENTS), "cloudwatch"),
        (AZURE, "records"),
        (orjson.dumps(SEARCH), "elasticsearch"),
        (b'[\n  {\n    "insertId": "x"', "array"),
        (b'\xef\xbb\xbf [{"a":1},{"b":2}]', "array"),
        (b'{\n  "remote_addr": "203.0.113.7",\n  "status": 2', "objects"),
        (b"", None),
        (LINE.encode(), None),
        (b'{"remote_addr":"203.0.113.7","status":200}\n', None),
        (b'{"path":"/a?\\"resourceLogs\\":[","status":200}\n', None),
        (b'{"hits":3,"streams":2,"logEvents":0}\n', None),
        (b'{"hits":[3],"streams":[],"resultType":"ok"}\n', None),
        (b'{"events":["a"],"status":200}\n', None),
        (b"[2026-11-21T07:08:09.123Z] x\n", None),
        (b'[1795244889.123,{"log":"x"}]\n', None),
        (b"[pod/a/b] x\n", None),
    ],
)
def test_what_is_a_document(document: bytes, kind: str | None) -> None:
    """A document is told by its beginning, also where that is cut off; a log of lines is none."""
    assert document_kind(document) == kind
    if kind is not None:
        assert document_kind(document[:200]) == kind or len(document) > 200


def test_loki() -> None:
    """Lines come oldest first, with the labels that name an origin, and each on one line."""
    origin = (("node", "worker-1"), ("pod", "web-0"), ("namespace", "shop"))
    assert read(dumped(LOKI)) == [
        Record(LINE.encode(), origin, MS),
        Record(b"second", origin, MS + 1),
        Record(b"a b", (("file", "/var/log/x.log"),), MS),
    ]
    push = {"streams": [{"stream": {"pod": "p"}, "values": [["1", "x"], ["2000000", "y"]]}]}
    assert read(orjson.dumps(push)) == [Record(b"x", (("pod", "p"),), None), Record(b"y", (("pod", "p"),), 2)]


def test_a_metric_query_is_no_log() -> None:
    """Numbers that Loki computed are refused by name."""
    with pytest.raises(DocumentError, match="got the answer to a metric query: 'matrix'"):
        read(b'{"status":"success","data":{"resultType":"matrix","result":[]}}')


def test_otlp() -> None:
    """Text bodies are lines, structured ones and attributes without a body are JSON; resources tell the origin."""
    origin = (("node", "worker-1"), ("pod", "web-0"), ("namespace", "shop"))
    assert read(orjson.dumps(OTLP) + b"\n") == [
        Record(LINE.encode(), (*origin, ("file", "/a.log")), MS),
        Record(b'{"status":200,"a":[true]}', origin, MS),
        Record(b'{"x":0.5}', origin, None),
    ]


def test_cloudwatch() -> None:
    """Events carry their time, and the origin that a log stream of Container Insights is named after."""
    origin = (("node", "ip-10-0-1-2.ec2.internal"), ("pod", "web-0"), ("namespace", "shop"), ("container", "nginx"))
    assert read(orjson.dumps(SUBSCRIPTION)) == [Record(LINE.encode(), origin, MS), Record(b"x", origin, MS)]
    assert read(dumped(EVENTS)) == [Record(LINE.encode(), (("file", "s"),), MS), Record(b"x", (), MS)]
    assert read(b'{"messageType":"CONTROL_MESSAGE","logEvents":[{"message":"x"}]}') == []


@pytest.mark.parametrize(
    ("name", "origin"),
    [
        (f"web-0_shop_nginx_{'ab' * 32}", {"pod": "web-0", "namespace": "shop", "container": "nginx"}),
        (f"kube.var.log.containers.a.b_c_d-{'ab' * 32}.log", {"pod": "a.b", "namespace": "c", "container": "d"}),
        ("ecs/nginx/5a6f", {"file": "ecs/nginx/5a6f"}),
        ("", {}),
        (None, {}),
    ],
)
def test_names_of_log_streams(name: object, origin: dict[str, str]) -> None:
    """A name that says no origin is kept as a file."""
    assert dict(log_stream_origin(name)) == origin


def test_lists_of_log_stores() -> None:
    """Datadog's API answers with a list under `data`, CloudWatch Logs Insights with the fields of each event."""
    entry = {"id": "A", "attributes": {"message": LINE}}
    answer = orjson.dumps({"data": [entry, entry], "meta": {"page": {}}})
    splitter = ValueSplitter()
    assert document_kind(answer) == "data"
    assert splitter.feed(answer) == [orjson.dumps(entry)] * 2
    fields = {"@timestamp": "2026-11-21 07:08:09.123", "@message": LINE, "@logStream": STREAM}
    event = [{"field": name, "value": value} for name, value in fields.items()]
    found = orjson.dumps({"results": [event, [], [{"field": "@message"}], "x"], "statistics": {}})
    assert document_kind(found) == "insights"
    assert list(records(found)) == [Record(LINE.encode(), log_stream_origin(STREAM), MS)]


def test_cloudfront() -> None:
    """A record with the day and the time of day apart has both as its time; one that has no such time none."""
    entry = {"date": "2026-11-21", "time": "07:08:09", "c-ip": "203.0.113.7", "sc-status": "200"}
    value = orjson.dumps(entry)
    assert document_kind(value) == "cloudfront"
    assert list(records(value)) == [Record(value, (), 1795244889000)]
    odd = orjson.dumps(entry | {"date": "2026-13-21"})
    assert list(records(odd)) == [Record(odd)]
    assert document_kind(orjson.dumps({"timestamp": "1795244889"} | {"c-ip": "203.0.113.7"})) is None


def test_arrays_and_records() -> None:
    """Elements come as they are written, on one line, also such as are no JSON."""
    assert [record.text for record in read(AZURE)] == [
        b'{"operationName":"ApplicationGatewayAccess","properties": {"clientIP":"203.0.113.7","clientPort":-}}',
        b'{"time":"2026-11-21T07:08:09Z"}',
    ]
    mixed = b'[{"a": 1},\n {"b":\n   "\\n"}, "a line\\n", [1,\n2], null]'
    assert [record.text for record in read(mixed)] == [
        b'{"a": 1}', b'{"b": "\\n"}', b"a line", b"[1, 2]", b"null"
    ]  # fmt: skip


def test_answers_to_searches() -> None:
    """What Elasticsearch found is a line each."""
    assert read(dumped(SEARCH)) == [Record(b'{"message":"x"}')]


@pytest.mark.parametrize(
    "value",
    [
        b'{"data":{"resultType":"streams","result":{"stream":7}}}',
        b'{"data":{"resultType":"streams","result":[7,{"stream":[],"values":{}},{"values":[7,[1]]}]}}',
        b'{"resourceLogs":[7,{"resource":7,"scopeLogs":7},{"scopeLogs":[{"logRecords":[7]}]}]}',
        b'{"logEvents":["x"],"logStream":7}',
        b'{"hits":{"hits":[7,{"_source":7}]}}',
    ],
)
def test_wrong_types_hold_no_records(value: bytes) -> None:
    """What is of another type than documented is passed over."""
    assert list(records(value)) == []


def test_odd_values_within_records() -> None:
    """Messages and times of other types do not stop the reading."""
    value = orjson.dumps(
        {
            "resourceLogs": [
                {
                    "scopeLogs": [
                        {
                            "logRecords": [
                                {"body": {"intValue": "12"}, "timeUnixNano": "noon"},
                                {"body": {"kvlistValue": 7}, "timeUnixNano": True},
                                {"body": {"arrayValue": {}}, "attributes": [{"key": 1}, {"key": "a", "value": 3}]},
                                {"body": {"unknown": None}, "timeUnixNano": "9" * 21},
                            ]
                        }
                    ]
                }
            ]
        }
    )
    assert list(records(value)) == [Record(b"12"), Record(b"{}"), Record(b"[]"), Record(b"{}")]


def test_broken_documents() -> None:
    """A document that cannot be parsed says so; a record of its own is left to those who read lines."""
    deep = b'{"resourceLogs":[' + b"[" * 100_000 + b"]" * 100_000 + b"]}"
    for value in (b'{"resourceLogs":[}]}', deep):
        with pytest.raises(DocumentError, match="expected a JSON document, got what cannot be parsed: "):
            list(records(value))
    broken = b'{"message":-,"timestamp":1,"eventId":"x"}'
    assert list(records(broken)) == [Record(broken)]
    assert list(records(b"text")) == [Record(b"text")]


def test_records_that_are_nested_deep() -> None:
    """Depth within a record costs that record at most."""
    body = b'{"kvlistValue":{"values":[{"key":"a","value":' * 200 + b'{"boolValue":true}' + b"}]}}" * 200
    logs = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":' + body + b'},{"body":{"stringValue":"x"}}]}]}]}'
    deep, record = records(logs)
    assert deep.text.startswith(b'{"a":{"a":')
    assert record == Record(b"x")
    for depth in (300, 900):
        found = b'{"hits":{"hits":[{"_source":{"a":' + b"[" * depth + b"]" * depth + b'}},{"_source":{}}]}}'
        assert [record.text for record in records(found)][1] == b"{}"


def test_bytes_that_are_no_utf8() -> None:
    """They cost the byte, not the document; the last of two equal keys counts."""
    value = b'{"logEvents":[{"message":"a\xff","message":"b\xff\\ud800","timestamp":99999999999999999999}]}'
    assert list(records(value)) == [Record("b\ufffd?".encode())]


VALUES = [
    (b'{"a":1}\n{"b":2}\r\n', [b'{"a":1}', b'{"b":2}']),
    (b'{"a":1}{"b":"}{\\\\\\""} {"c":[1,{"x":2}]}', [b'{"a":1}', b'{"b":"}{\\\\\\""}', b'{"c":[1,{"x":2}]}']),
    (b'[\n  {\n    "a": "]"\n  },\n  {"b": 1}\n]\n[{"c":3}]', [b'{\n    "a": "]"\n  }', b'{"b": 1}', b'{"c":3}']),
    (b'{ "records" : [{"a":-},{"b":2}], "x": [1,"]}"]}\n{"k":1}', [b'{"a":-}', b'{"b":2}', b'{"k":1}']),
    (b'\xef\xbb\xbftext line\n{"a":1}\n[2026-01-01] x\n\n', [b"text line", b'{"a":1}', b"[2026-01-01] x"]),
    (b'[{"a":1}, "s,]", null, 1.5, [1,[2]] ]', [b'{"a":1}', b'"s,]"', b"null", b"1.5", b"[1,[2]]"]),
    (b'{"a":"\xff"}\n{"events":[]}\n[]\n', [b'{"a":"\xff"}']),
]


@pytest.mark.parametrize(("data", "values"), VALUES)
def test_cutting_into_values(data: bytes, values: list[bytes]) -> None:
    """Values come out whole, however they are laid out and in whatever portions the bytes come."""
    for size in (*range(1, 9), None):
        assert split(data, size) == (values, b"")


@pytest.mark.parametrize("data", [b'{"a":1', b'[{"a":"x\\', b"no newline", b"[", b'{"rec', b'[{"a":1}, nul'])
def test_what_is_left(data: bytes) -> None:
    """A value that does not end is no value, and is given back."""
    for size in (1, 3, None):
        values, left = split(data, size)
        assert values == ([b'{"a":1}'] if b"}" in data else [])
        assert data.endswith(left)
        assert left


def test_a_value_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that is longer than the bound is refused in one sentence, a whole document of short ones is not."""
    assert MAX_VALUE == 64 << 20
    monkeypatch.setattr("analyzer.parsing.json_values.MAX_VALUE", 1 << 20)
    splitter = ValueSplitter()
    for _ in range(5):
        assert len(splitter.feed(b'{"a":1}\n' * 50_000)) == 50_000
    with pytest.raises(DocumentError, match="expected a JSON value of at most 1 MiB, got a longer one"):
        splitter.feed(b'{"a":' * 300_000)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(st.dictionaries(st.text(), _JSON, max_size=4), min_size=1, max_size=4),
    st.sampled_from([None, 2]),
    st.sampled_from(["array", "lines"]),
    st.integers(1, 40),
)
def test_any_objects(objects: list[dict[str, Any]], indent: int | None, laid_out: str, size: int) -> None:
    """Objects of any content come out as they went in, from an array and one after another, in any portions."""
    if laid_out == "array":
        data = json.dumps(objects, indent=indent).encode()
    else:
        data = "\n".join(json.dumps(one, indent=indent) for one in objects).encode()
    values, left = split(data, size)
    wrapped = laid_out == "lines" and any(list(one)[:1] in (["events"], ["records"]) for one in objects)
    if not wrapped:
        assert ([json.loads(value) for value in values], left) == (objects, b"")


@given(st.binary(max_size=200), st.integers(1, 50))
def test_any_bytes(data: bytes, size: int) -> None:
    """No bytes raise anything but what is documented, and the portions do not matter."""
    document_kind(data)
    values, left = split(data, size)
    assert (values, left) == split(data)
    for value in values:
        try:
            texts = [record.text for record in records(value)]
        except DocumentError:
            continue
        assert all(b"\n" not in text and b"\r" not in text for text in texts)
