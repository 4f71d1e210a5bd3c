"""``logscan snapshot``: what it asks kubectl for, what it keeps, and that nothing else gets into the file."""

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
from command import LINE, Result, logscan

from analyzer.addresses.cluster import Cluster
from analyzer.addresses.cluster_objects import by_kind
from analyzer.addresses.cluster_services import SERVICE_ANNOTATIONS
from analyzer.errors import ClusterError
from analyzer.jobs import snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CANARY = "CANARY"


def reduced(items: list[dict[str, Any]], *controllers: str) -> str:
    """Return the snapshot of objects."""
    return snapshot.reduce(by_kind({"kind": "List", "items": items}), controllers).text


def load(folder: Path, text: str | bytes, *controllers: str) -> Cluster:
    """Write a cluster file and read it."""
    file = folder / "cluster.json"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return Cluster.load(file, controllers)


# What is kept.


@pytest.mark.parametrize("name", clusters.CLUSTERS)
def test_a_snapshot_says_what_the_whole_says(tmp_path: Path, name: str) -> None:
    """A cluster read from a snapshot is the cluster read from everything, and no secret stands in it."""
    items = clusters.CLUSTERS[name]()
    text = reduced(items)
    assert clusters.SECRET not in text
    whole = load(tmp_path, orjson.dumps({"kind": "List", "items": items}))
    cut = load(tmp_path, text)
    assert cut == whole
    assert cut.controllers
    assert cut.networks() == whole.networks()
    assert reduced(json.loads(text)["items"]).partition('"items"')[2] == text.partition('"items"')[2]


def test_a_snapshot_has_what_findings_are_made_of(tmp_path: Path) -> None:
    """Limits, lists, other traffic policies and --enable-ssl-passthrough are kept, values of annotations not."""
    items = [
        *clusters.ingress_nginx(
            ("n1", "10.0.0.1"),
            config={"limit-req-status-code": "429", "whitelist-source-range": "198.51.100.0/24"},
            front={"ingress": [{"ip": "203.0.113.9"}], "externalIPs": ["198.51.100.7"],
                   "loadBalancerSourceRanges": ["198.51.100.0/24"]},
        ),
        clusters.service("web", "10.96.0.77", type="NodePort", externalTrafficPolicy="Local"),
        {
            "kind": "Ingress",
            "metadata": {
                "name": "shop",
                "namespace": "shop",
                "annotations": {
                    "nginx.ingress.kubernetes.io/limit-rps": "5",
                    "nginx.ingress.kubernetes.io/whitelist-source-range": CANARY,
                    "nginx.ingress.kubernetes.io/auth-secret": clusters.SECRET,
                },
            },
            "spec": {},
        },
    ]  # fmt: skip
    items[0]["spec"]["containers"][0]["args"].append("--enable-ssl-passthrough")
    text = reduced(items)
    assert CANARY not in text
    assert clusters.SECRET not in text
    cut = load(tmp_path, text)
    assert cut == load(tmp_path, orjson.dumps({"kind": "List", "items": items}))
    (controller,) = cut.controllers
    assert controller.options == {
        "limit-req-status-code": "429", "whitelist-source-range": "198.51.100.0/24", "enable-ssl-passthrough": "true",
    }  # fmt: skip
    assert (controller.services[0].external_ips, controller.services[0].source_ranges) == (True, True)
    assert [each.name for each in cut.services if each.is_local] == ["web"]
    assert [len(each.acts_on_clients) for each in cut.ingresses] == [2]


def test_a_snapshot_knows_the_controllers_that_it_was_told(tmp_path: Path) -> None:
    """A controller that was named is found in the file again without naming it, and another one may be named then."""
    items = [
        *clusters.ingress_nginx(("n1", "10.0.0.1")),
        clusters.pod("edge-5c9d8f7b6-abcde", "n1", "10.0.0.5", namespace="web", labels={"app": "edge"}),
        clusters.service("front", "10.96.0.9", namespace="web", selector={"app": "edge"}),
    ]
    for name in ("web/edge", "web/front"):
        text = reduced(items, name)
        assert [(each.kind, each.namespace) for each in load(tmp_path, text).controllers] == [("other", "web")]
        assert load(tmp_path, text).controllers[0].services[0].name == "front"


def test_one_object_a_line() -> None:
    """Each object has a line of its own, so that a snapshot can be looked through and compared."""
    text = reduced(clusters.eks())
    head, *lines, end = text.splitlines()
    assert json.loads(head + end)["logscan"]["snapshot"] == 1
    assert end == "]}"
    assert all(json.loads(line.removesuffix(","))["kind"] for line in lines)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield the place of every value that is neither object nor list."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from leaves(entry, (*path, key))
    elif isinstance(value, list):
        for place, entry in enumerate(value):
            yield from leaves(entry, (*path, place))
    else:
        yield path, value


def put(value: Any, path: tuple[Any, ...], new: Any) -> None:
    """Set the value at a place."""
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = new


def grow(value: Any) -> Any:
    """Plant a canary under a new key of every object, and in new items of every list.

    A selector stays as it is, or it would not select.
    """
    if isinstance(value, dict):
        grown = {key: entry if key == "selector" else grow(entry) for key, entry in value.items()}
        return {**grown, f"{CANARY}-key": CANARY, f"{CANARY}-map": {CANARY: CANARY}}
    if isinstance(value, list):
        return [*map(grow, value), CANARY, f"--{CANARY}=x", {CANARY: CANARY}, [CANARY]]
    return value


@pytest.mark.parametrize("name", clusters.CLUSTERS)
def test_nothing_unknown_is_kept(name: str) -> None:
    """Of keys and items that no Kubernetes has, planted everywhere, none is kept but the name of a ConfigMap's key."""
    grown = [grow(item) for item in clusters.CLUSTERS[name]()]
    kept = json.loads(reduced(grown))["items"]
    assert len(kept) > 3
    found = {(path, value) for item in kept for path, value in leaves(item) if CANARY in f"{path}{value}"}
    assert found <= {(("data", f"{CANARY}-key"), None), (("data", f"{CANARY}-map"), None)}


#: Where a value may be kept whatever it is; all of it is read, by the names that the reader gives it.
OPEN = {
    "*": ("metadata.name", "metadata.namespace"),
    "Node": ("status.nodeInfo.kubeletVersion", "metadata.labels.topology.kubernetes.io/zone"),
    "CiliumNode": ("spec.addresses.[].type",),
    "Pod": (
        "spec.nodeName", "status.phase",
        # Of controllers, of the control plane and of the pod network alone:
        "metadata.ownerReferences.[].kind", "metadata.ownerReferences.[].name",
        "metadata.ownerReferences.[].controller",
        "spec.containers.[].name", "spec.containers.[].image", "spec.containers.[].args.[]",
        "spec.containers.[].command.[]", "spec.containers.[].env.[].name", "spec.containers.[].env.[].value",
        "metadata.labels.",
    ),
    "Deployment": ("spec.template.",),
    "DaemonSet": ("spec.template.",),
    "Service": (
        "spec.type", "spec.externalTrafficPolicy", "spec.healthCheckNodePort",
        "spec.loadBalancerClass", "spec.ports.[].name", "status.loadBalancer.ingress.[].ipMode",
        *(f"metadata.annotations.{key}" for key in SERVICE_ANNOTATIONS),
    ),
    "Gateway": ("spec.gatewayClassName",),
    "Ingress": ("metadata.annotations.kubernetes.io/ingress.class",),
    "ClientTrafficPolicy": ("spec.targetRefs.[].name",),
    "ConfigMap": (
        "data.use-forwarded-headers", "data.use-proxy-protocol", "data.enable-real-ip", "data.proxy-real-ip-cidr",
        "data.log-format-upstream", "data.log-format-escape-json", "data.kube-proxy-replacement",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", clusters.CLUSTERS)
def test_no_value_is_kept_that_is_not_read(name: str) -> None:
    """A canary in place of, behind, or inside of every single value comes through where such a value is read alone."""
    items = clusters.CLUSTERS[name]()
    for path, value in list(leaves(items)):
        if path[1:] == ("kind",):
            continue
        kind, title = items[path[0]]["kind"], ".".join("[]" if isinstance(key, int) else key for key in path[1:])
        for new in (CANARY, f"{value}{CANARY}", {"x": CANARY, "name": CANARY}, [CANARY], None, 5):
            put(items, path, new)
            text = reduced(items)
            if CANARY in text:
                assert title.startswith((*OPEN["*"], *OPEN.get(kind, ()))), (kind, title, new)
        put(items, path, value)


@pytest.mark.parametrize("name", ["DB_PASSWORD", "KONG_PG_PASSWORD", "KONG_ADMIN_TOKEN", "TRAEFIK_PROVIDERS_X", ""])
def test_no_other_variable(name: str) -> None:
    """Of a controller's environment only what it is told about proxies is kept."""
    items = [clusters.pod("kong-1", "n1", "10.0.0.1", image="kong:3.9", env=[{"name": name, "value": CANARY}])]
    assert CANARY not in reduced(items)


def test_a_misspelt_variable_is_kept_without_its_value() -> None:
    """What is nearly a setting is named, for it is a finding; its value is nobody's business."""
    env = [{"name": "KONG_TRUSTED_IP", "value": CANARY}]
    text = reduced([clusters.pod("kong-1", "n1", "10.0.0.1", image="kong:3.9", env=env)])
    assert CANARY not in text
    assert '{"name":"KONG_TRUSTED_IP"}' in text


# How kubectl is run.

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


# With a real kubectl, against a server that answers as an API server does.


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
