"""Envelopes as collectors write them round log lines, made with plain Python; `wrapping_documents` has documents.

What is put round a line is written from the collectors' documentation, not from the rules that read it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: The moment that envelopes say, in milliseconds since 1970 and as ISO 8601; later lines come a second later each.
MOMENT = 1_795_244_889_123
ISO = "2026-11-21T07:08:09.123456789Z"


class Where(NamedTuple):
    """Where a line is written."""

    node: str = "worker-1"
    pod: str = "web-7d4b-x2x9"
    namespace: str = "shop"
    container: str = "nginx"

    @property
    def log_name(self) -> str:
        """The file name under /var/log/containers."""
        return f"{self.pod}_{self.namespace}_{self.container}-{'1c4f' * 16}.log"


def quoted(line: str) -> str:
    """The line as a JSON string."""
    return json.dumps(line)


def is_object(line: str) -> bool:
    """Whether a line is a JSON object by the letter, so that a collector can parse it."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def cri(line: str, _: Where) -> str:
    """A container's log file, as containerd writes it."""
    return f"{ISO} stdout F {line}"


def docker(line: str, _: Where) -> str:
    """Docker's json-file driver."""
    return f'{{"log":{quoted(line + chr(10))},"stream":"stdout","time":"{ISO}"}}'


def docker_compose(line: str, at: Where) -> str:
    """Docker Compose."""
    return f"{at.container}  | {line}"


def docker_service(line: str, at: Where) -> str:
    """A swarm service: task and node."""
    return f"{at.container}@{at.node}    | {line}"


def kubectl_prefix(line: str, at: Where) -> str:
    """``kubectl logs --prefix``."""
    return f"[pod/{at.pod}/{at.container}] {line}"


def timestamps(line: str, _: Where) -> str:
    """``kubectl logs --timestamps``."""
    return f"{ISO} {line}"


def stern(line: str, at: Where) -> str:
    """Stern's default template."""
    return f"{at.pod} {at.container} {line}"


def stern_namespaces(line: str, at: Where) -> str:
    """``stern --all-namespaces``."""
    return f"{at.namespace} {at.pod} {at.container} {line}"


def stern_json(line: str, at: Where) -> str:
    """``stern --output json``."""
    return (
        f'{{"message":{quoted(line)},"nodeName":"{at.node}","namespace":"{at.namespace}","podName":"{at.pod}",'
        f'"containerName":"{at.container}"}}'
    )


def stern_extjson(line: str, at: Where) -> str:
    """``stern --output extjson``, for lines that are JSON themselves."""
    return f'{{"pod": "{at.pod}", "container": "{at.container}", "message": {line}}}'


def kail(line: str, at: Where) -> str:
    """Kail's default output."""
    return f"{at.namespace}/{at.pod}@{at.container}: {line}"


def syslog(line: str, at: Where) -> str:
    """As nginx sends it from a pod."""
    return f"<190>Nov 21 07:08:09 {at.pod} nginx: {line}"


def syslog_nohostname(line: str, _: Where) -> str:
    """As nginx sends it with ``nohostname``."""
    return f"<190>Nov 21 07:08:09 nginx: {line}"


def syslog_file(line: str, at: Where) -> str:
    """/var/log/syslog."""
    return f"Nov 21 07:08:09 {at.node} nginx[7]: {line}"


def syslog_file_iso(line: str, at: Where) -> str:
    """RSYSLOG_FileFormat."""
    return f"2026-11-21T07:08:09.123456+00:00 {at.node} nginx: {line}"


def syslog_5424(line: str, at: Where) -> str:
    """RFC 5424 without structured data."""
    return f"<171>1 2026-11-21T07:08:09.123456+00:00 {at.node} nginx - - - {line}"


def syslog_5424_data(line: str, at: Where) -> str:
    """RFC 5424 with structured data."""
    return f'<165>1 2026-11-21T07:08:09.123Z {at.node} nginx - access [meta sequenceId="1"][x y="]"] {line}'


def kubernetes(at: Where) -> str:
    """What Fluent Bit's kubernetes filter adds."""
    return (
        f'"kubernetes":{{"pod_name":"{at.pod}","namespace_name":"{at.namespace}","pod_id":"5a6f",'
        f'"labels":{{"app":"web"}},"host":"{at.node}","container_name":"{at.container}","docker_id":"1c4f"}}'
    )


def fluent_bit(line: str, at: Where) -> str:
    """A record of Fluent Bit."""
    return f'{{"date":1795244889.123,"stream":"stdout","_p":"F","log":{quoted(line)},{kubernetes(at)}}}'


def fluent_bit_timed(line: str, at: Where) -> str:
    """A record of Docker's JSON, whose keys all stay."""
    return f"{docker(line, at)[:-1]},{kubernetes(at)}}}"


def fluent_bit_merged(line: str, at: Where) -> str:
    """The same with ``Merge_Log`` on and ``Keep_Log`` off: the keys of a JSON line stand beside the collector's."""
    return f"{line.rstrip()[:-1].rstrip().rstrip(',')},{kubernetes(at)}}}"


def fluent_bit_array(line: str, at: Where) -> str:
    """Time and record in an array."""
    return f'[1795244889.123456,{{"log":{quoted(line)},"stream":"stdout"}}]'


def fluent_bit_file(line: str, at: Where) -> str:
    """Fluent Bit's file output."""
    return f'kube.var.log.containers.{at.log_name}: [1795244889.123456789, {{"log":{quoted(line)},"stream":"stdout"}}]'


def fluentd_file(line: str, _: Where) -> str:
    """Fluentd's file output."""
    return f'2026-11-21T07:08:09+00:00\tkube.var.log\t{{"log":{quoted(line)},"stream":"stdout"}}'


def fluentd_stdout(line: str, _: Where) -> str:
    """Fluentd's stdout output."""
    return f'2026-11-21 07:08:09.123456789 +0000 kube.var.log: {{"log":{quoted(line)},"stream":"stdout"}}'


def vector(line: str, at: Where) -> str:
    """Vector's kubernetes_logs, the message a string."""
    return vector_parsed(quoted(line), at)


def vector_parsed(line: str, at: Where) -> str:
    """The same, the message parsed."""
    return (
        f'{{"file":"/var/log/pods/{at.namespace}_{at.pod}_5a6f/{at.container}/0.log","kubernetes":{{"container_name":'
        f'"{at.container}","pod_labels":{{"app":"web"}},"pod_name":"{at.pod}","pod_namespace":"{at.namespace}",'
        f'"pod_node_name":"{at.node}"}},"message":{line},"source_type":"kubernetes_logs","stream":"stdout",'
        f'"timestamp":"{ISO}"}}'
    )


def filebeat(line: str, at: Where) -> str:
    """Filebeat's container input."""
    return (
        f'{{"@timestamp":"2026-11-21T07:08:09.123Z","message":{quoted(line)},"stream":"stdout","kubernetes":'
        f'{{"container":{{"name":"{at.container}"}},"node":{{"name":"{at.node}"}},"pod":{{"name":"{at.pod}"}},'
        f'"namespace":"{at.namespace}"}},"ecs":{{"version":"8.0.0"}}}}'
    )


def azure_container_log(line: str, at: Where) -> str:
    """The table ContainerLogV2."""
    return (
        f'{{"TimeGenerated":"2026-11-21T07:08:09.1234567Z","Computer":"{at.node}","ContainerName":"{at.container}",'
        f'"PodName":"{at.pod}","PodNamespace":"{at.namespace}","LogMessage":{quoted(line)},"LogSource":"stdout"}}'
    )


def _gcp(payload: str, at: Where) -> str:
    return (
        f'{{"insertId":"0opz","labels":{{"compute.googleapis.com/resource_name":"{at.node}"}},"logName":'
        f'"projects/p/logs/stdout","resource":{{"labels":{{"cluster_name":"shop","container_name":"{at.container}",'
        f'"namespace_name":"{at.namespace}","pod_name":"{at.pod}"}},"type":"k8s_container"}},"severity":"INFO",'
        f'{payload},"timestamp":"{ISO}"}}'
    )


def gcp_logging(line: str, at: Where) -> str:
    """Google Cloud Logging, a line of text."""
    return _gcp(f'"textPayload":{quoted(line)}', at)


def gcp_logging_parsed(line: str, at: Where) -> str:
    """The same for a line that is a JSON object."""
    return _gcp(f'"jsonPayload":{line}', at)


def journald(line: str, at: Where) -> str:
    """``journalctl --output json``."""
    return (
        f'{{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1795244889123456","PRIORITY":"6","_HOSTNAME":"{at.node}",'
        f'"CONTAINER_NAME":"{at.container}","MESSAGE":{quoted(line)}}}'
    )


def json_line(line: str, at: Where) -> str:
    """Some program's JSON without a time."""
    return f'{{"message":{quoted(line)},"pod":"{at.pod}","node":"{at.node}"}}'


def json_timed(line: str, at: Where) -> str:
    """Some program's JSON with a time."""
    return f'{{"ts":"{ISO}","msg":{quoted(line)},"pod":"{at.pod}","namespace":"{at.namespace}"}}'


def logcli(line: str, at: Where) -> str:
    """Loki's logcli."""
    return f'2026-11-21T07:08:09Z {{namespace="{at.namespace}", pod="{at.pod}"}} {line}'


def logcli_jsonl(line: str, at: Where) -> str:
    """``logcli --output jsonl``."""
    return (
        f'{{"labels":{{"container":"{at.container}","namespace":"{at.namespace}","node_name":"{at.node}",'
        f'"pod":"{at.pod}","stream":"stdout"}},"line":{quoted(line)},"timestamp":"{ISO}"}}'
    )


def victorialogs(line: str, at: Where) -> str:
    """VictoriaLogs."""
    return (
        f'{{"_time":"{ISO}","_stream_id":"0","_stream":"{{kubernetes.container_name=\\"{at.container}\\"}}",'
        f'"_msg":{quoted(line)},"kubernetes.container_name":"{at.container}","kubernetes.pod_name":"{at.pod}",'
        f'"kubernetes.pod_namespace":"{at.namespace}","kubernetes.pod_node_name":"{at.node}"}}'
    )


def aws_logs_tail(line: str, at: Where) -> str:
    """``aws logs tail`` of a Container Insights group."""
    return f"2026-11-21T07:08:09.123000+00:00 {at.node}-application.var.log.containers.{at.log_name} {line}"


def elasticsearch(line: str, at: Where) -> str:
    """A document that Elasticsearch keeps of Fluent Bit's record."""
    return f'{{"_index":"logs-2026.11.21","_id":"Ck-W","_score":1,"_source":{fluent_bit(line, at)}}}'


def datadog(line: str, at: Where) -> str:
    """A log of Datadog's API."""
    return (
        f'{{"id":"AQ","type":"log","attributes":{{"timestamp":"2026-11-21T07:08:09.123Z","message":{quoted(line)},'
        f'"host":"{at.node}","service":"nginx","tags":["pod_name:{at.pod}"]}}}}'
    )


def splunk(line: str, at: Where) -> str:
    """An event for Splunk's HTTP Event Collector."""
    return f'{{"time":1795244889.123,"host":"{at.node}","sourcetype":"nginx","event":{quoted(line)}}}'


def gelf(line: str, at: Where) -> str:
    """Graylog's format."""
    return (
        f'{{"version":"1.1","host":"{at.node}","short_message":{quoted(line)},"timestamp":1795244889.123,"level":6,'
        f'"_pod_name":"{at.pod}"}}'
    )


def grafana(line: str, _: Where) -> str:
    """A download of Grafana Explore."""
    return f"{ISO}\t{line}"


def fluent_bit_stdout(line: str, at: Where) -> str:
    """Fluent Bit's output stdout."""
    record = f'{{"log":{quoted(line)},"stream":"stdout"}}'
    return f"[0] kube.var.log.containers.{at.log_name}: [[1795244889.123456789, {{}}], {record}]"


def short_iso(line: str, at: Where) -> str:
    """``journalctl --output short-iso`` of systemd up to 254."""
    return f"2026-11-21T07:08:09+0000 {at.node} nginx[7]: {line}"


def short_precise(line: str, at: Where) -> str:
    """``journalctl --output short-precise``."""
    return f"Nov 21 07:08:09.123456 {at.node} nginx[7]: {line}"


def short_full(line: str, at: Where) -> str:
    """``journalctl --output short-full``."""
    return f"Sat 2026-11-21 07:08:09 UTC {at.node} nginx[7]: {line}"


def syslog_process(line: str, _: Where) -> str:
    """As HAProxy sends it."""
    return f"<134>Nov 21 07:08:09 haproxy[27]: {line}"


def ansi(line: str, at: Where) -> str:
    """Stern in a terminal: its own words in colour."""
    return f"\x1b[38;5;125m{at.pod}\x1b[0m \x1b[38;5;125m{at.container}\x1b[0m {line}"


class Envelope(NamedTuple):
    """How lines are wrapped, what they are called then, and what is told of them.

    Attributes
    ----------
    wrap
        Makes a line of a line.
    name
        As the report calls the envelope.
    tells
        The parts of an origin that it tells.
    time
        Whether it tells the time.
    parsed
        Whether it holds a JSON object itself, not a string of it.
    """

    wrap: Callable[[str, Where], str]
    name: str
    tells: str = ""
    time: bool = True
    parsed: bool = False


ALL = "node pod namespace container"
_POD = "pod namespace container"

#: By the name of the rule's file, with a word behind it where a collector has two ways.
ENVELOPES = {
    "aws-logs-tail": Envelope(aws_logs_tail, "aws-logs-tail", ALL),
    "azure-container-log": Envelope(azure_container_log, "azure-container-log", ALL),
    "cri": Envelope(cri, "cri"),
    "datadog": Envelope(datadog, "datadog", "node"),
    "docker": Envelope(docker, "docker"),
    "docker-compose": Envelope(docker_compose, "docker-compose", "container", time=False),
    "docker-service": Envelope(docker_service, "docker-service", "node container", time=False),
    "elasticsearch": Envelope(elasticsearch, "elasticsearch+fluent-bit", ALL, time=False),
    "filebeat": Envelope(filebeat, "filebeat", ALL, time=False),
    "fluent-bit": Envelope(fluent_bit, "fluent-bit", ALL, time=False),
    "fluent-bit docker": Envelope(fluent_bit_timed, "fluent-bit", ALL, time=False),
    "fluent-bit merged": Envelope(fluent_bit_merged, "fluent-bit", ALL, time=False, parsed=True),
    "fluent-bit-array": Envelope(fluent_bit_array, "fluent-bit-array+json"),
    "fluent-bit-file": Envelope(fluent_bit_file, "fluent-bit-file+json"),
    "fluent-bit-stdout": Envelope(fluent_bit_stdout, "fluent-bit-stdout+json", _POD),
    "fluentd-file": Envelope(fluentd_file, "fluentd-file+json"),
    "fluentd-stdout": Envelope(fluentd_stdout, "fluentd-stdout+json", time=False),
    "gcp-logging": Envelope(gcp_logging, "gcp-logging", ALL),
    "gcp-logging parsed": Envelope(gcp_logging_parsed, "gcp-logging", ALL, parsed=True),
    "gelf": Envelope(gelf, "gelf", "node pod"),
    "grafana": Envelope(grafana, "grafana"),
    "journald": Envelope(journald, "journald", "node container"),
    "json": Envelope(json_line, "json", "node pod", time=False),
    "json-timed": Envelope(json_timed, "json", "pod namespace"),
    "kail": Envelope(kail, "kail", _POD, time=False),
    "kubectl-prefix": Envelope(kubectl_prefix, "kubectl-prefix", "pod container", time=False),
    "kubectl-timestamps": Envelope(timestamps, "timestamps"),
    "logcli": Envelope(logcli, "logcli", "pod namespace"),
    "logcli-jsonl": Envelope(logcli_jsonl, "logcli", ALL),
    "splunk": Envelope(splunk, "splunk", "node"),
    "stern": Envelope(stern, "stern", "pod container", time=False),
    "stern ansi": Envelope(ansi, "ansi+stern", "pod container", time=False),
    "stern-extjson": Envelope(stern_extjson, "stern", "pod container", time=False, parsed=True),
    "stern-json": Envelope(stern_json, "stern", ALL, time=False),
    "stern-namespaces": Envelope(stern_namespaces, "stern", _POD, time=False),
    "syslog": Envelope(syslog, "syslog", "pod", time=False),
    "syslog-5424": Envelope(syslog_5424, "syslog-5424", "node"),
    "syslog-5424-data": Envelope(syslog_5424_data, "syslog-5424", "node"),
    "syslog-file": Envelope(syslog_file, "syslog", "node", time=False),
    "syslog-file-iso": Envelope(syslog_file_iso, "syslog", "node"),
    "syslog-nohostname": Envelope(syslog_nohostname, "syslog", time=False),
    "syslog-nohostname-process": Envelope(syslog_process, "syslog", time=False),
    "syslog-short-full": Envelope(short_full, "syslog", "node"),
    "syslog-short-iso": Envelope(short_iso, "syslog", "node"),
    "syslog-short-precise": Envelope(short_precise, "syslog", "node", time=False),
    "vector": Envelope(vector, "vector", ALL, time=False),
    "vector parsed": Envelope(vector_parsed, "vector", ALL, time=False, parsed=True),
    "victorialogs": Envelope(victorialogs, "victorialogs", ALL),
}


def wrapped(name: str, lines: Sequence[str], at: Where | None = None) -> bytes:
    """Lines in an envelope."""
    where = at or Where()
    return "".join(f"{ENVELOPES[name].wrap(line, where)}\n" for line in lines).encode()
