"""What ``logscan snapshot`` keeps of a cluster, and that nothing else gets into the file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import clusters
import orjson
import pytest
from clusters import load

from analyzer.addresses.cluster_objects import by_kind
from analyzer.addresses.cluster_services import SERVICE_ANNOTATIONS
from analyzer.jobs import snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CANARY = "CANARY"


def reduced(items: list[dict[str, Any]], *controllers: str) -> str:
    """Return the snapshot of objects."""
    return snapshot.reduce(by_kind({"kind": "List", "items": items}), controllers).text


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
