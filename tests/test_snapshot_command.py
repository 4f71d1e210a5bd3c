"""``logscan snapshot``: what it asks kubectl for, and what it says."""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import clusters
import orjson
import pytest
from clusters import load
from command import LINE, Result, logscan

from analyzer.errors import ClusterError
from analyzer.jobs import snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


KUBECTL = """#!{python}
import json, os, sys, time
folder = os.path.dirname(os.path.abspath(__file__))
with open(folder + "/asked", "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
name = "discovery" if "api-resources" in sys.argv else "objects"
answer = json.load(open(folder + "/" + name + ".json"))
time.sleep(answer["seconds"])
sys.stderr.write(answer["stderr"])
sys.stdout.write(answer["stdout"])
sys.exit(answer["status"])
"""


THERE = "\n".join((*snapshot.RESOURCES, "secrets", "gateways.gateway.networking.k8s.io", "events")) + "\n"


class Fake:
    """A kubectl that gives set answers and writes down what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "kubectl"
        self.path.write_text(KUBECTL.format(python=sys.executable))
        self.path.chmod(0o755)
        self.answer("discovery", THERE)
        self.answer("objects", json.dumps({"kind": "List", "items": clusters.eks()}))

    def answer(self, name: str, stdout: str = "", stderr: str = "", status: int = 0, seconds: float = 0) -> None:
        """Set an answer."""
        answer = {"stdout": stdout, "stderr": stderr, "status": status, "seconds": seconds}
        self.path.with_name(f"{name}.json").write_text(json.dumps(answer))

    def asked(self) -> list[list[str]]:
        """Return the arguments of each call."""
        return [json.loads(line) for line in self.path.with_name("asked").read_text().splitlines()]


@pytest.fixture
def kubectl(tmp_path: Path) -> Fake:
    """A kubectl with an EKS cluster."""
    folder = tmp_path / "bin"
    folder.mkdir()
    return Fake(folder)


def run(folder: Path, *args: str | Path) -> Result:
    """Run the command."""
    return logscan("snapshot", *args, cwd=folder)


def test_the_command(tmp_path: Path, kubectl: Fake) -> None:
    """The file goes to stdout or, whole, where it is told to; stderr says what is in it; analyze reads it."""
    ran = run(tmp_path, "--kubectl", kubectl.path, "--context", "prod", "--kubeconfig", "my config")
    assert ran.status == 0
    assert ran.stderr == (
        "logscan: snapshot: 2 Node, 7 Pod, 3 Service, 2 ConfigMap, 1 Deployment; "
        "ingress controllers: ingress-nginx ingress-nginx/ingress-nginx-controller\n"
    )
    assert clusters.SECRET not in ran.stdout.decode()
    discovery, objects = kubectl.asked()
    assert discovery[:3] == ["--context=prod", "--kubeconfig=my config", "api-resources"]
    assert objects[2] == "get"
    assert objects[4:] == ["--all-namespaces", "--output=json"]
    assert objects[3].split(",") == [*snapshot.RESOURCES, "gateways.gateway.networking.k8s.io"]

    (tmp_path / "c.json").write_text("old")
    written = run(tmp_path, "--kubectl", kubectl.path, "-o", "c.json", "--quiet")
    assert (written.status, written.stdout, written.stderr) == (0, b"", "")
    without_time = [text.partition('"items"')[2] for text in (ran.stdout.decode(), (tmp_path / "c.json").read_text())]
    assert without_time[0] == without_time[1]
    (tmp_path / "a.log").write_bytes(LINE.replace(b"81.2.69.142", b"10.0.1.12"))
    report = logscan("analyze", "a.log", "--cluster", "c.json", "--format", "json", cwd=tmp_path).report
    assert report["preservation"]["addresses"][0]["kind"] == "node"


def test_secrets_are_never_asked_for(tmp_path: Path, kubectl: Fake) -> None:
    """Neither Secrets nor everything is asked for, by no name and in no order."""
    run(tmp_path, "--kubectl", kubectl.path)
    asked = " ".join(" ".join(call) for call in kubectl.asked()).lower()
    assert "secret" not in asked
    assert not {"all", "events"} & set(asked.replace(",", " ").split())


def test_a_controller_is_named(tmp_path: Path, kubectl: Fake) -> None:
    """A controller that is named and not there is an error, and nothing is written."""
    ran = run(tmp_path, "--kubectl", kubectl.path, "--controller", "a/b", "-o", "c.json")
    assert ran.status == 2
    assert ran.stderr == "logscan: --controller a/b: expected a workload, Service or pod of the cluster, got none\n"
    assert not (tmp_path / "c.json").exists()


FORBIDDEN = (
    "E1121 07:08:09.000000 1 memcache.go:265] couldn't get current server API group list\n"
    'Error from server (Forbidden): configmaps is forbidden: User "bob" cannot list resource "configmaps" in API group '
    '"" at the cluster scope\n'
    "Warning: v1 ComponentStatus is deprecated in v1.19+\n"
)


def test_what_may_not_be_read_is_left_out(tmp_path: Path, kubectl: Fake) -> None:
    """Where a kind is forbidden the rest is taken, and both the file and stderr say what is missing."""
    rest = [item for item in clusters.eks() if item["kind"] != "ConfigMap"]
    kubectl.answer("objects", json.dumps({"kind": "List", "items": rest}), FORBIDDEN, status=1)
    ran = run(tmp_path, "--kubectl", kubectl.path, "--quiet")
    assert ran.status == 0
    assert ran.stderr == "logscan: snapshot: left out: configmaps (not allowed)\n"
    assert json.loads(ran.stdout)["logscan"]["missing"] == ["configmaps (not allowed)"]


@pytest.mark.parametrize(
    ("name", "answer", "message"),
    [
        (
            "discovery",
            {"stderr": "E1121 07:08:09.0 1 memcache.go:265] x\nUnable to connect to the server: EOF\n\n", "status": 1},
            "expected an answer from the cluster, got: Unable to connect to the server: EOF",
        ),
        (
            "discovery",
            {"stderr": 'error: context "nope" does not exist\n', "status": 1},
            'expected an answer from the cluster, got: context "nope" does not exist',
        ),
        ("discovery", {"status": 1}, "expected an answer from the cluster, got: nothing"),
        (
            "objects",
            {"stderr": "error: You must be logged in to the server (Unauthorized)\n", "status": 1},
            "expected a list of objects, got: You must be logged in to the server (Unauthorized)",
        ),
        ("objects", {"stdout": "[]"}, "expected a list of objects, got JSON without a `kind`"),
        (
            "objects",
            {"stdout": '{"kind": "List", "items": []}'},
            "expected Nodes, Pods and Services, got a cluster without any",
        ),
        (
            "objects",
            {"stdout": '{"kind": "List", "items": []}', "stderr": FORBIDDEN, "status": 1},
            "expected Nodes, Pods and Services, got configmaps (not allowed)",
        ),
    ],
)  # fmt: skip
def test_errors_in_one_line(tmp_path: Path, kubectl: Fake, name: str, answer: dict[str, Any], message: str) -> None:
    """What kubectl says in many lines is said in one, with status 2, and no file is left behind."""
    kubectl.answer(name, **answer)
    ran = run(tmp_path, "--kubectl", kubectl.path, "-o", "c.json")
    assert (ran.status, ran.stdout) == (2, b"")
    assert ran.stderr == f"logscan: {kubectl.path}: {message}\n"
    assert not (tmp_path / "c.json").exists()


def test_no_kubectl(tmp_path: Path) -> None:
    """A kubectl that is not there or cannot be run is named, with what to do."""
    (tmp_path / "text").write_text("x")
    for path, reason in (("nowhere/kubectl", "No such file or directory"), ("./text", "Permission denied")):
        ran = run(tmp_path, "--kubectl", path)
        assert ran.status == 2
        assert ran.stderr == (
            f"logscan: {path}: expected a program that can be run, got: {reason}\n"
            "  hint: give the path of kubectl with --kubectl\n"
        )


def test_a_kubectl_that_hangs(kubectl: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer in time is an error."""
    monkeypatch.setattr(snapshot, "_DISCOVERY_SECONDS", 1)
    kubectl.answer("discovery", THERE, seconds=30)
    with pytest.raises(ClusterError, match="expected an answer within 1 s, got none"):
        snapshot.take(kubectl=kubectl.path)


def test_output_that_cannot_be_written(tmp_path: Path, kubectl: Fake) -> None:
    """A folder that is not there is an error that names the file."""
    ran = run(tmp_path, "--kubectl", kubectl.path, "-o", "nowhere/c.json")
    assert (ran.status, ran.stderr) == (2, "logscan: nowhere/c.json: cannot be written: No such file or directory\n")


class ApiServer(BaseHTTPRequestHandler):
    """Discovery and lists of an API server, for the kinds that a snapshot asks for and Secrets."""

    items: list[dict[str, Any]] = clusters.eks()
    forbidden = "ingresses"
    paths: list[str] = []  # noqa: RUF012 - set anew for a test

    def do_GET(self) -> None:
        """Answer."""
        path = self.path.partition("?")[0].strip("/")
        self.paths.append(path)
        groups: dict[str, list[str]] = {}
        for resource in (*snapshot.RESOURCES, "secrets"):
            name, _, group = resource.partition(".")
            groups.setdefault(group, []).append(name)
        versions = {f"apis/{group}/v1" if group else "api/v1": group for group in groups}
        status, answer = 200, self._list(path)
        if path == "api":
            answer = {"kind": "APIVersions", "versions": ["v1"]}
        elif path == "apis":
            named = [
                {"name": group, "versions": [{"groupVersion": f"{group}/v1", "version": "v1"}]} for group in groups
            ]
            answer = {"kind": "APIGroupList", "apiVersion": "v1", "groups": [each for each in named if each["name"]]}
        elif path in versions:
            group = versions[path]
            answer = {
                "kind": "APIResourceList",
                "groupVersion": f"{group}/v1" if group else "v1",
                "resources": [
                    {"name": name, "namespaced": name not in ("nodes", "ingressclasses"), "kind": KINDS[name],
                     "verbs": ["list"]}
                    for name in groups[group]
                ],
            }  # fmt: skip
        elif path.endswith(self.forbidden):
            status = 403
            message = (
                f'{self.forbidden} is forbidden: User "bob" cannot list resource "{self.forbidden}" in API group "x"'
            )
            answer = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403,
                      "message": message}  # fmt: skip
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _list(self, path: str) -> dict[str, Any]:
        *version, name = path.split("/")
        kind = KINDS.get(name, "")
        items = [{**item, "apiVersion": None, "kind": None} for item in self.items if item["kind"] == kind]
        items = [{key: value for key, value in item.items() if value is not None} for item in items]
        return {"kind": f"{kind}List", "apiVersion": "/".join(version[1:]), "metadata": {}, "items": items}

    def log_message(self, *_: object) -> None:
        """Say nothing."""


KINDS = {
    "nodes": "Node", "services": "Service", "pods": "Pod", "endpointslices": "EndpointSlice", "configmaps": "ConfigMap",
    "daemonsets": "DaemonSet", "deployments": "Deployment", "statefulsets": "StatefulSet", "ingresses": "Ingress",
    "ingressclasses": "IngressClass", "secrets": "Secret",
}  # fmt: skip


@contextmanager
def api_server() -> Iterator[str]:
    """Serve, and give the address."""
    ApiServer.paths = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), ApiServer)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here")
def test_a_real_kubectl(tmp_path: Path) -> None:
    """The real kubectl understands what it is asked, and its partial answer is understood."""
    with api_server() as url:
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {"token": "x"}}],
        }  # fmt: skip
        (tmp_path / "config").write_text(json.dumps(config))
        kubectl = shutil.which("kubectl")
        assert kubectl
        ran = logscan(
            "snapshot", "--kubectl", kubectl, "--kubeconfig", "config", cwd=tmp_path, env={"HOME": str(tmp_path)}
        )
    assert ran.status == 0, ran.stderr
    assert ran.stderr.endswith("logscan: snapshot: left out: ingresses (not allowed)\n")
    assert not [path for path in ApiServer.paths if "secrets" in path]
    cluster = load(tmp_path, ran.stdout)
    whole = load(tmp_path, orjson.dumps({"kind": "List", "items": clusters.eks()}))
    assert replace(cluster, name="") == replace(whole, name="")
