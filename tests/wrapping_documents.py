"""Documents of many log lines, as collectors and clouds write them, made with plain Python (see `wrapping`)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from wrapping import ALL, MOMENT, Where, fluent_bit, gcp_logging

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def _dumped(value: Any) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=False).encode()


def loki(lines: Sequence[str], at: Where) -> bytes:
    """Loki's answer, which has the newest line first."""
    values = [[f"{MOMENT + 1000 * number}000000", line] for number, line in enumerate(lines)]
    labels = {"node_name": at.node, "pod": at.pod, "namespace": at.namespace, "container": at.container}
    result = [{"stream": labels, "values": values[::-1]}]
    return _dumped({"status": "success", "data": {"resultType": "streams", "result": result, "stats": {}}})


def otlp(lines: Sequence[str], at: Where) -> bytes:
    """OTLP's JSON."""
    records = [
        {"timeUnixNano": f"{MOMENT + 1000 * number}000000", "body": {"stringValue": line}}
        for number, line in enumerate(lines)
    ]
    about = {
        "k8s.node.name": at.node, "k8s.pod.name": at.pod, "k8s.namespace.name": at.namespace,
        "k8s.container.name": at.container,
    }  # fmt: skip
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in about.items()]
    resource = {"resource": {"attributes": attributes}, "scopeLogs": [{"scope": {}, "logRecords": records}]}
    return json.dumps({"resourceLogs": [resource]}).encode() + b"\n"


def _log_stream(at: Where) -> str:
    return f"{at.node}-application.var.log.containers.{at.log_name}"


def _events(lines: Sequence[str]) -> list[dict[str, Any]]:
    return [{"timestamp": MOMENT + 1000 * number, "message": line} for number, line in enumerate(lines)]


def cloudwatch(lines: Sequence[str], at: Where) -> bytes:
    """``aws logs filter-log-events``."""
    more = {"logStreamName": _log_stream(at), "ingestionTime": MOMENT, "eventId": "3195"}
    return _dumped({"events": [event | more for event in _events(lines)], "searchedLogStreams": []})


def subscription(lines: Sequence[str], at: Where) -> bytes:
    """What a subscription delivers: one object after the other."""
    about = {"messageType": "DATA_MESSAGE", "logGroup": "/aws/containerinsights/shop", "logStream": _log_stream(at)}
    return b"".join(json.dumps(about | {"logEvents": [event]}).encode() for event in _events(lines))


def search(lines: Sequence[str], at: Where) -> bytes:
    """Elasticsearch's answer to a search of Fluent Bit's records."""
    hits = [{"_index": "logs", "_id": "x", "_source": json.loads(fluent_bit(line, at))} for line in lines]
    return _dumped({"took": 3, "timed_out": False, "hits": {"total": {"value": 1}, "hits": hits}})


def array(lines: Sequence[str], at: Where) -> bytes:
    """``gcloud logging read --format json``."""
    return _dumped([json.loads(gcp_logging(line, at)) for line in lines])


def plain_array(lines: Sequence[str], _: Where) -> bytes:
    """Objects in an array."""
    return f"[{','.join(lines)}]".encode()


def records(lines: Sequence[str], _: Where) -> bytes:
    """Azure Monitor's export to a storage account."""
    return f'{{"records": [\n{",".join(lines)}]}}'.encode()


def objects(lines: Sequence[str], _: Where) -> bytes:
    """Objects over several lines each; numbers stay as they were written."""
    return "".join(f"{{\n  {line.strip()[1:-1].strip()}\n}}\n" for line in lines).encode()


class Document(NamedTuple):
    """How lines are put into a document; see `Envelope`."""

    make: Callable[[Sequence[str], Where], bytes]
    name: str
    tells: str = ALL
    time: bool = True
    parsed: bool = False


DOCUMENTS = {
    "array": Document(array, "array+gcp-logging"),
    "cloudwatch": Document(cloudwatch, "cloudwatch"),
    "elasticsearch": Document(search, "elasticsearch+fluent-bit", time=False),
    "loki": Document(loki, "loki"),
    "objects": Document(objects, "objects", "", time=False, parsed=True),
    "otlp": Document(otlp, "otlp"),
    "plain array": Document(plain_array, "array", "", time=False, parsed=True),
    "records": Document(records, "records", "", time=False, parsed=True),
    "subscription": Document(subscription, "cloudwatch"),
}
