"""A real kubectl shows what two pods logged, in each way it can; the cluster is made up, its logs are not."""

from __future__ import annotations

import json
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from end_to_end.reading import SCANNERS, Log, assert_clients, assert_read
from end_to_end.servers import LOOPBACK, PATH, PATIENCE, Sent, program
from end_to_end.traffic import READABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What each pod logged, and from whom the requests came.
PODS = {"controller-a": "198.51.100.7", "controller-b": "2001:db8::7"}
LINES = 5
_LINE = (
    '{address} - - [21/Nov/2026:07:08:{second:02} +0000] "GET /[x] HTTP/1.1" 200 612 "-" "a [b] \\x22c\\x22" 88 0.004 '
    "[shop-web-8080] [] 10.244.1.7:8080 612 0.004 200 1c6f0d8a3b5e4c7d9e0f1a2b3c4d5e6f\n"
)
#: How logs are asked for, and the envelope that logscan sees.
ASKED = {
    "plain": ([], "none"),
    "prefix": (["--prefix"], "kubectl-prefix"),
    "timestamps": (["--timestamps"], "timestamps"),
    "both": (["--prefix", "--timestamps"], "kubectl-prefix+timestamps"),
}


class _Cluster(BaseHTTPRequestHandler):
    """The few answers of a Kubernetes API server that ``kubectl logs`` asks for."""

    def do_GET(self) -> None:
        path, options = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        pods = {name: _pod(name) for name in PODS}
        name = path.split("/pods/")[-1].removesuffix("/log")
        resource = {"name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod", "verbs": ["get", "list"]}
        known: dict[str, dict[str, Any]] = {
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
            "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": [resource]},
            "/api/v1/namespaces/ingress/pods": {"kind": "PodList", "apiVersion": "v1", "items": list(pods.values())},
            **{f"/api/v1/namespaces/ingress/pods/{pod}": found for pod, found in pods.items()},
        }
        if path.endswith("/log"):
            self._answer(_logged(name, timestamps="timestamps" in options), "text/plain")
        elif path in known:
            self._answer(json.dumps(known[path]).encode(), "application/json")
        else:
            self.send_error(404)

    def _answer(self, body: bytes, media_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def _pod(name: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "ingress", "labels": {"app": "ingress"}}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": {"containers": [{"name": "controller"}]}}


def _logged(pod: str, *, timestamps: bool) -> bytes:
    """A log as a kubelet hands it out."""
    lines = [_LINE.format(address=PODS[pod], second=second) for second in range(LINES)]
    times = [f"2026-11-21T07:08:{second:02}.{second}23456789Z " if timestamps else "" for second in range(LINES)]
    return "".join(time + line for time, line in zip(times, lines, strict=True)).encode()


@contextmanager
def _running_cluster() -> Iterator[str]:
    with ThreadingHTTPServer((LOOPBACK, 0), _Cluster) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(PATIENCE)


def _place(line: bytes) -> int:
    """The number of the pod that a line is of."""
    return [address.encode() in line for address in PODS.values()].index(True)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> list[Log]:
    """Ask for the logs of both pods in each way."""
    kubectl = program("kubectl", "Debian: apt-get install kubernetes-client")
    folder = tmp_path_factory.mktemp("kubectl")
    sent = [Sent(READABLE["plain"], (address, 0)) for address in PODS.values() for _ in range(LINES)]
    with _running_cluster() as server:
        for name, (options, _) in ASKED.items():
            command = [kubectl, "--server", server, "--namespace", "ingress", "logs", "--selector", "app=ingress"]
            shown = subprocess.run(
                [*command, *options], capture_output=True, check=True, timeout=PATIENCE,
                env={"PATH": PATH, "HOME": str(folder), "KUBECONFIG": "/dev/null"},
            )  # fmt: skip
            # kubectl asks all pods at once, and the first to answer comes first.
            lines = sorted(shown.stdout.splitlines(keepends=True), key=_place)
            (folder / f"{name}.log").write_bytes(b"".join(lines))
    return [Log(folder / f"{name}.log", "ingress-nginx", sent, envelope) for name, (_, envelope) in ASKED.items()]


@pytest.mark.parametrize("scanner", SCANNERS)
def test_every_line_is_read(scanner: str, logs: list[Log]) -> None:
    """Every way to show logs is told from the others, and every line is read."""
    assert_read(logs, scanner)


def test_every_line_names_its_client(logs: list[Log]) -> None:
    """The address of each line is the client's."""
    assert_clients(logs, ports=False)
