"""The cluster file made by kubectl: what the analyzer reads of a cluster, without anything that is nobody's business.

kubectl is run twice, for what kinds there are and for the objects; Secrets are never asked for. What is kept of the
objects is the matter of `analyzer.addresses.cluster_keep`.
"""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from analyzer._version import __version__
from analyzer.addresses.cluster import Cluster
from analyzer.addresses.cluster_controllers import find_workloads
from analyzer.addresses.cluster_keep import keep
from analyzer.addresses.cluster_objects import by_kind
from analyzer.errors import ClusterError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from analyzer.addresses.cluster_objects import Object

RESOURCES = (
    "nodes",
    "services",
    "pods",
    "endpointslices.discovery.k8s.io",
    "configmaps",
    "daemonsets.apps",
    "deployments.apps",
    "statefulsets.apps",
    "ingresses.networking.k8s.io",
    "ingressclasses.networking.k8s.io",
)
OPTIONAL = (
    "servicecidrs.networking.k8s.io",
    "gateways.gateway.networking.k8s.io",
    "clienttrafficpolicies.gateway.envoyproxy.io",
    "nginxproxies.gateway.nginx.org",
    "ciliumnodes.cilium.io",
)
"""Asked for where the cluster has them."""

_DISCOVERY_SECONDS, _OBJECTS_SECONDS = 60, 600
_FORBIDDEN = re.compile(r'\(Forbidden\).*cannot list resource "([^"]+)"')
_LOG_LINE = re.compile(r"[EWI]\d{4} ")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A cluster file to be written.

    Parameters
    ----------
    text
        The file, JSON with a line for each object.
    counts
        Kind to how many objects of it are in the file.
    missing
        What could not be read, each with the reason.
    cluster
        What the analyzer will read in the file.
    """

    text: str
    counts: Mapping[str, int]
    missing: tuple[str, ...]
    cluster: Cluster

    def summary(self) -> str:
        """Say in a line what the file holds."""
        counts = ", ".join(f"{count:,} {kind}" for kind, count in self.counts.items())
        found = [f"{each.kind} {each.namespace}/{each.name}" for each in self.cluster.controllers]
        return f"{counts}; ingress controllers: {', '.join(found) or 'none found, name one with --controller'}"


def take(
    *,
    kubectl: str | os.PathLike[str] = "kubectl",
    context: str | None = None,
    kubeconfig: str | os.PathLike[str] | None = None,
    controllers: Sequence[str] = (),
) -> Snapshot:
    """Read a cluster by kubectl.

    Parameters
    ----------
    kubectl
        The program.
    context, kubeconfig
        As kubectl has them; its own defaults where not given.
    controllers
        ``NAMESPACE/NAME`` of the ingress controllers; searched where not given.

    Raises
    ------
    ClusterError
        Where kubectl cannot be run, gets no answer, or may read neither nodes, pods nor services.
    """
    command = [str(kubectl)]
    command += [f"--context={context}"] if context is not None else []
    command += [f"--kubeconfig={kubeconfig}"] if kubeconfig is not None else []
    known, said = _run([*command, "api-resources", "--verbs=list", "--output=name"], _DISCOVERY_SECONDS)
    if not known:
        raise ClusterError(f"{kubectl}: expected an answer from the cluster, got: {_last_line(said)}")
    there = set(known.decode("utf-8", "replace").split())
    wanted = [*RESOURCES, *(name for name in OPTIONAL if name in there)]
    answer, said = _run([*command, "get", ",".join(wanted), "--all-namespaces", "--output=json"], _OBJECTS_SECONDS)
    objects = by_kind(_list(answer, said, str(kubectl)))
    missing = _missing(said)
    if not any(objects[kind] for kind in ("Node", "Pod", "Service")):
        got = ", ".join(missing) or "a cluster without any"
        raise ClusterError(f"{kubectl}: expected Nodes, Pods and Services, got {got}")
    return reduce(objects, controllers, missing)


def reduce(
    objects: Mapping[str, Sequence[Object]], controllers: Sequence[str] = (), missing: Sequence[str] = ()
) -> Snapshot:
    """Make a snapshot of kind to objects."""
    workloads = find_workloads(objects, controllers)
    kept = list(keep(objects, workloads))
    head = {
        "snapshot": 1,
        "version": __version__,
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "controllers": list(controllers),
        "missing": list(missing),
    }
    start = orjson.dumps({"apiVersion": "v1", "kind": "List", "metadata": {}, "logscan": head})[:-1]
    lines = b",\n".join(orjson.dumps(item) for item in kept)
    return Snapshot(
        text=(start + b',"items":[\n' + lines + b"\n]}\n").decode(),
        counts=Counter(item["kind"] for item in kept),
        missing=tuple(missing),
        cluster=Cluster.of("cluster.json", objects, workloads),
    )


def _run(command: list[str], seconds: int) -> tuple[bytes, str]:
    """Return what a command writes on stdout and stderr, whatever its status: kubectl's is 1 for a partial answer."""
    try:
        done = subprocess.run(  # noqa: S603 - a list, and no shell
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False
        )
    except OSError as error:
        message = f"{command[0]}: expected a program that can be run, got: {error.strerror or error}"
        raise ClusterError(message, "give the path of kubectl with --kubectl") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"{command[0]}: expected an answer within {seconds} s, got none") from error
    return done.stdout, done.stderr.decode("utf-8", "replace")


def _list(answer: bytes, said: str, kubectl: str) -> dict[str, Any]:
    try:
        data = orjson.loads(answer)
    except orjson.JSONDecodeError as error:
        got = _last_line(said) if said.strip() else f"no JSON: {error}"
        raise ClusterError(f"{kubectl}: expected a list of objects, got: {got}") from error
    if not isinstance(data, dict) or not isinstance(data.get("kind"), str):
        raise ClusterError(f"{kubectl}: expected a list of objects, got JSON without a `kind`")
    return data


def _missing(said: str) -> list[str]:
    """Return from kubectl's complaints what is not in its answer."""
    found = []
    for line in said.splitlines():
        if match := _FORBIDDEN.search(line):
            found.append(f"{match[1]} (not allowed)")
        elif line.strip() and not _LOG_LINE.match(line) and not line.startswith("Warning:"):
            found.append(_plain(line))
    return list(dict.fromkeys(found))


def _last_line(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip() and not _LOG_LINE.match(line)]
    return _plain(lines[-1]) if lines else "nothing"


def _plain(line: str) -> str:
    return line.strip().removeprefix("error: ").removeprefix("Error from server: ")
