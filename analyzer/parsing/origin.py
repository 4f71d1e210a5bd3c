"""Where a line was written: node, pod, namespace and container, by whatever a collector says of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from analyzer.sources import pod_of_path

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What collectors call the things that an origin is made of, the surest first.
_NAMES: dict[str, tuple[str, ...]] = {
    "node": (
        "k8s.node.name",
        "k8s_node_name",
        "node_name",
        "node",
        "nodename",
        "kubernetes_host",
        "kubernetes_node_name",
        "kubernetes_pod_node_name",
        "host.name",
        "hostname",
        "host",
    ),
    "pod": ("k8s.pod.name", "k8s_pod_name", "pod", "pod_name", "kubernetes_pod_name", "kubernetes_pod"),
    "namespace": (
        "k8s.namespace.name",
        "k8s_namespace_name",
        "namespace",
        "namespace_name",
        "kubernetes_namespace_name",
        "kubernetes_namespace",
        "kubernetes_pod_namespace",
    ),
    "container": (
        "k8s.container.name",
        "k8s_container_name",
        "container",
        "container_name",
        "kubernetes_container_name",
    ),
    "file": ("log.file.path", "log_file_path", "filename", "file"),
}

#: Labels of a log stream, as Loki and VictoriaLogs write them: ``{pod="a", namespace="b"}``.
_LABEL = re.compile(r'([\w./-]+)="((?:[^"\\]|\\.)*)"')

#: Names of log streams of Container Insights: before what Fluentd writes, Fluent Bit puts the node and the path of the
#: log with points for slashes (amazon-cloudwatch-user-guide, "View Container Insights metrics and logs").
_LOG_STREAM = re.compile(
    r"(?:(?:(?P<node>.+)-)?[a-z]+\.var\.log\.containers\.)?"
    r"(?P<pod>[^_/]+)_(?P<namespace>[^_/]+)_(?P<container>[^_/]+)[-_][0-9a-f]{64}(?:\.log)?"
)


#: What syslog writes for a host that it does not know, and for one that is of no help.
_NOWHERE = frozenset({"-", "localhost", "localhost.localdomain"})


class Origin(NamedTuple):
    """Where a line was written; None where nobody says."""

    node: str | None = None
    pod: str | None = None
    namespace: str | None = None
    container: str | None = None

    def within(self, outer: Origin) -> Origin:
        """Add what only the envelope around it knows."""
        return Origin(*(own or other for own, other in zip(self, outer, strict=True)))


def facts_of(labels: Mapping[Any, Any]) -> tuple[tuple[str, str], ...]:
    """What labels say of an origin, by the names of its fields."""
    found = []
    for key, names in _NAMES.items():
        value = next((labels[name] for name in names if isinstance(labels.get(name), str) and labels[name]), None)
        if value and value not in _NOWHERE:
            found.append((key, value))
    return tuple(found)


def log_stream_origin(name: object) -> tuple[tuple[str, str], ...]:
    """What the name of a CloudWatch log stream says of where its lines were written."""
    if not isinstance(name, str) or not name:
        return ()
    match = _LOG_STREAM.fullmatch(name)
    if match is None:
        return (("file", name),)
    return tuple((key, value) for key, value in match.groupdict().items() if value)


def origin_of(known: Mapping[str, str]) -> Origin:
    """The origin that an envelope tells by its fields, by a stream's labels, or by the name of a container's log."""
    labels = {name: value for name, value in _LABEL.findall(known.get("labels", "")) if value}
    facts = dict(facts_of(labels | {name: value.strip() for name, value in known.items()}))
    file = facts.pop("file", "")
    found = Origin(**facts)
    if "/" not in file:
        return found.within(Origin(**{key: value for key, value in log_stream_origin(file) if key != "file"}))
    pod = pod_of_path(file)
    return found.within(Origin(None, *pod)) if pod else found
