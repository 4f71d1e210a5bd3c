"""Controllers of other makers than ingress-nginx: what their settings say of addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import clusters
import pytest
from clusters import load, only

from analyzer.addresses.cluster_model import Lint
from analyzer.addresses.ranges import to_text

if TYPE_CHECKING:
    from pathlib import Path


def test_kong(tmp_path: Path) -> None:
    """Kong is set up by its environment; a variable that it does not know is found when it is nearly one it does."""
    controller = only(load(tmp_path, clusters.aks()))
    settings = controller.settings
    assert (settings.header, settings.recursive, settings.use_proxy_protocol) == ("X-Forwarded-For", False, False)
    assert settings.trusted == ("10.224.0.0/16", "168.63.129.16/32")
    assert settings.sources["recursive"] == "default"
    assert settings.sources["trusted"] == "KONG_TRUSTED_IPS of pod kong/kong-kong-7f9c-xyzab"
    assert controller.lint == (
        Lint("unknown-key", "KONG_READ_IP_RECURSIVE",
             "KONG_READ_IP_RECURSIVE is not read by Kong, which reads KONG_REAL_IP_RECURSIVE"),
    )  # fmt: skip
    assert [(front.name, front.ip_modes) for front in controller.services] == [("kong-kong-proxy", ("VIP",))]


def kong(**variables: str | None) -> list[dict[str, Any]]:
    """Make a Kong with an environment, None for a value that comes from a Secret."""
    env = [
        {"name": name, "value": value} if value is not None else {"name": name, "valueFrom": {"secretKeyRef": {}}}
        for name, value in variables.items()
    ]
    return [clusters.pod("kong-1", "n1", "10.0.0.1", image="kong:3.9", env=env)]


def test_kong_proxy_protocol_and_log_format(tmp_path: Path) -> None:
    """PROXY stands in the listeners; the log format is the one that the access log names, escape and all."""
    items = kong(
        KONG_PROXY_LISTEN="0.0.0.0:8000 proxy_protocol, 0.0.0.0:8443 ssl proxy_protocol",
        KONG_TRUSTED_IPS="10.0.0.0/8",
        KONG_REAL_IP_HEADER="proxy_protocol",
        KONG_REAL_IP_RECURSIVE="on",
        KONG_NGINX_HTTP_LOG_FORMAT='mine escape=json \'{"a": "$remote_addr"}\'',
        KONG_PROXY_ACCESS_LOG="/dev/stdout mine",
    )
    controller = only(load(tmp_path, items))
    settings = controller.settings
    assert (settings.use_proxy_protocol, settings.use_forwarded_headers, settings.recursive) == (True, False, True)
    assert controller.log_format == 'escape=json {"a": "$remote_addr"}'
    assert controller.lint == ()


def test_kong_trusts_nobody_by_default(tmp_path: Path) -> None:
    """Without a word Kong takes no header from anybody; a value from a Secret is said to come from elsewhere."""
    settings = only(load(tmp_path, kong())).settings
    assert (settings.trusted, settings.header, settings.in_use) == ((), "X-Real-IP", False)
    elsewhere = only(load(tmp_path, kong(KONG_TRUSTED_IPS=None))).settings
    assert elsewhere.sources["trusted"] == "KONG_TRUSTED_IPS of pod default/kong-1"


def test_traefik(tmp_path: Path) -> None:
    """Traefik's arguments count whatever their case, joined by ``=`` or not; the dashboard's entry point does not."""
    cluster = load(tmp_path, clusters.k3s())
    settings = only(cluster).settings
    assert (settings.use_forwarded_headers, settings.use_proxy_protocol) == (True, True)
    assert settings.trusted == ("10.42.0.0/16",)
    assert settings.proxy_trusted == ("192.168.5.0/24", "127.0.0.1/32")
    assert settings.sources["trusted"] == "forwardedheaders of entry points web of kube-system/traefik"
    assert [to_text(number) for number in cluster.nodes[0].addresses] == ["192.168.5.15", "203.0.113.8"]


@pytest.mark.parametrize(
    ("argument", "trusted"),
    [
        ("--entrypoints.web.forwardedheaders.insecure", ("0.0.0.0/0", "::/0")),
        ("--entryPoints.web.forwardedHeaders.insecure=true", ("0.0.0.0/0", "::/0")),
        ("--entryPoints.web.forwardedHeaders.insecure=false", ()),
        ("--entryPoints.traefik.forwardedHeaders.insecure", ()),
    ],
)
def test_traefik_insecure(tmp_path: Path, argument: str, trusted: tuple[str, ...]) -> None:
    """An insecure entry point takes the header from everybody."""
    items = [clusters.pod("traefik-1", "n1", "10.0.0.1", image="traefik:v3", args=[argument, "--log.level=INFO"])]
    settings = only(load(tmp_path, items)).settings
    assert settings.trusted == trusted
    assert settings.use_forwarded_headers is bool(trusted)


def test_traefik_environment(tmp_path: Path) -> None:
    """Traefik's environment is read as its arguments are."""
    env = [{"name": "TRAEFIK_ENTRYPOINTS_WEB_FORWARDEDHEADERS_TRUSTEDIPS", "value": "10.0.0.0/8"}]
    items = [clusters.pod("traefik-1", "n1", "10.0.0.1", image="traefik:v3", env=env)]
    assert only(load(tmp_path, items)).settings.trusted == ("10.0.0.0/8",)


def test_envoy_gateway(tmp_path: Path) -> None:
    """A ClientTrafficPolicy of the gateway that owns the pods says what they trust; ranges are without host bits."""
    cluster = load(tmp_path, clusters.kind())
    controller = only(cluster)
    settings = controller.settings
    assert settings.trusted == ("10.0.0.0/8", "203.0.113.0/24")
    assert (settings.recursive, settings.use_proxy_protocol, settings.header) == (True, True, "X-Forwarded-For")
    assert settings.sources["trusted"] == "ClientTrafficPolicy web/ip"
    assert (controller.name, controller.services[0].external_traffic_policy) == ("envoy-web-eg-1", "Local")
    assert cluster.pod_cidrs == ("10.244.0.0/16", "fd00:10:244::/56")
    assert cluster.service_cidrs == ("10.96.0.0/16", "fd00:10:96::/112")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, (False, False, None, ())),
        ({"clientIPDetection": {"xForwardedFor": {"numTrustedHops": 2}}}, (True, False, 2, ())),
        ({"clientIPDetection": {"customHeader": {"name": "X-Mine"}}}, (True, False, None, ("0.0.0.0/0", "::/0"))),
        ({"enableProxyProtocol": True}, (False, True, None, ())),
        ({"targetRefs": [{"name": "another"}], "proxyProtocol": {}}, (False, False, None, ())),
    ],
)
def test_client_traffic_policies(tmp_path: Path, spec: dict[str, Any], expected: tuple[Any, ...]) -> None:
    """Hops, a header of one's own and PROXY are read; a policy for another gateway is none of this one's."""
    items = clusters.kind()
    items[-1]["spec"] = {"targetRefs": [{"name": "eg"}], **spec}
    settings = only(load(tmp_path, items)).settings
    found = (settings.use_forwarded_headers, settings.use_proxy_protocol, settings.trusted_hops, settings.trusted)
    assert found == expected


def test_f5(tmp_path: Path) -> None:
    """F5's controller has its own keys, a log format of several lines, and the other controller's keys are no use.

    https://docs.nginx.com/nginx-ingress-controller/configuration/global-configuration/configmap-resource/
    """
    data = {
        "proxy-protocol": "True", "real-ip-header": "proxy_protocol", "set-real-ip-from": "192.168.192.168",
        "log-format": "$remote_addr\n$status", "log-format-escaping": "json", "use-proxy-protocol": "true",
    }  # fmt: skip
    items = [
        clusters.pod("nginx-ingress-1", "n1", "10.0.0.1", namespace="nginx-ingress", image="nginx/nginx-ingress:5.0",
                     args=["-nginx-configmaps=$(POD_NAMESPACE)/nginx-config"]),
        clusters.config_map("nginx-ingress", "nginx-config", data),
    ]  # fmt: skip
    controller = only(load(tmp_path, items))
    settings = controller.settings
    assert controller.kind == "f5-nginx"
    assert (settings.use_proxy_protocol, settings.use_forwarded_headers, settings.enable_real_ip) == (True, False, True)
    assert (settings.trusted, settings.recursive) == (("192.168.192.168/32",), False)
    assert controller.log_format == "escape=json $remote_addr $status"
    assert [each.text for each in controller.lint] == [
        "use-proxy-protocol is not read by the controller, which reads proxy-protocol"
    ]


def test_gateway_fabric(tmp_path: Path) -> None:
    """NGINX Gateway Fabric is set up by a NginxProxy.

    https://docs.nginx.com/nginx-gateway-fabric/how-to/data-plane-configuration/
    """
    items = [
        clusters.pod("gw-nginx-1", "n1", "10.0.0.1", image="ghcr.io/nginx/nginx-gateway-fabric/nginx:2.0.0"),
        {
            "kind": "NginxProxy",
            "metadata": {"name": "p", "namespace": "ngf"},
            "spec": {
                "rewriteClientIP": {
                    "mode": "XForwardedFor", "setIPRecursively": True,
                    "trustedAddresses": [{"type": "CIDR", "value": "10.8.0.0/14"}],
                }
            },
        },
    ]  # fmt: skip
    settings = only(load(tmp_path, items)).settings
    assert (settings.use_forwarded_headers, settings.recursive, settings.trusted) == (True, True, ("10.8.0.0/14",))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"proxy-protocol": "10.0.0.0/8, 192.168.1.1"}, (True, False, (), ("10.0.0.0/8", "192.168.1.1/32"))),
        ({"use-proxy-protocol": "true"}, (True, False, (), ())),
        ({"src-ip-header": "X-Real-IP"}, (False, True, ("0.0.0.0/0", "::/0"), ())),
        ({}, (False, False, (), ())),
    ],
)
def test_haproxy(tmp_path: Path, data: dict[str, str], expected: tuple[Any, ...]) -> None:
    """Both HAProxy controllers are read by the ConfigMap that their argument names, in the next word too."""
    items = [
        clusters.pod("ha-1", "n1", "10.0.0.1", namespace="ha", image="haproxytech/kubernetes-ingress:3.1",
                     args=["--configmap", "ha/settings"]),
        clusters.config_map("ha", "settings", data),
    ]  # fmt: skip
    found = only(load(tmp_path, items)).settings
    assert (found.use_proxy_protocol, found.use_forwarded_headers, found.trusted, found.proxy_trusted) == expected


def test_cilium_ingress(tmp_path: Path) -> None:
    """Cilium that is told to be an ingress controller is one, by its own Envoys, behind Services that select nothing.

    https://docs.cilium.io/en/stable/network/servicemesh/ingress/
    """
    config = {"enable-ingress-controller": "true", "enable-gateway-api": "false", "kube-proxy-replacement": "true",
              "ingress-default-xff-num-trusted-hops": "1"}  # fmt: skip
    items = [
        *(clusters.pod(f"{name}-abcde", "n1", namespace="kube-system", labels={"k8s-app": name},
                       owner=("DaemonSet", name), host_network=True) for name in ("cilium", "cilium-envoy")),
        clusters.service("cilium-ingress", "10.96.5.5", namespace="kube-system", ingress=[{"ip": "192.0.2.9"}]),
        clusters.config_map("kube-system", "cilium-config", config),
    ]  # fmt: skip
    cluster = load(tmp_path, items)
    controller = only(cluster)
    assert (controller.kind, controller.name) == ("cilium", "cilium-envoy")
    assert [front.name for front in controller.services] == ["cilium-ingress"]
    assert (controller.settings.trusted_hops, controller.settings.use_forwarded_headers) == (1, True)
    assert cluster.kube_proxy_mode == "cilium"


def test_istio_and_contour(tmp_path: Path) -> None:
    """An ingress gateway is one, a sidecar is none; hops stand in an annotation or in the product's own YAML.

    https://istio.io/latest/docs/ops/configuration/traffic-management/network-topologies/;
    https://projectcontour.io/docs/main/configuration/
    """
    gateway = clusters.pod("istio-ingressgateway-1", "n1", "10.0.0.1", namespace="istio-system", name="istio-proxy",
                           labels={"istio": "ingressgateway"}, image="docker.io/istio/proxyv2:1.26")  # fmt: skip
    gateway["metadata"]["annotations"]["proxy.istio.io/config"] = '{"gatewayTopology": {"numTrustedProxies": 2}}'
    meshed = clusters.pod("web-1", "n1", "10.0.0.2", name="istio-proxy", image="docker.io/istio/proxyv2:1.26")
    labels = {"app.kubernetes.io/name": "contour", "app.kubernetes.io/component": "envoy"}
    envoy = clusters.pod("envoy-abcde", "n1", "10.0.0.3", namespace="projectcontour", labels=labels)
    contour = clusters.pod("contour-1", "n1", "10.0.0.4", namespace="projectcontour",
                           args=["serve", "--use-proxy-protocol", "--incluster"])  # fmt: skip
    settings = clusters.config_map("projectcontour", "contour", {"contour.yaml": "network:\n  num-trusted-hops: 3\n"})
    items = [gateway, meshed, envoy, contour, clusters.workload("Deployment", contour, "contour"), settings]
    found = {each.kind: each.settings for each in load(tmp_path, items).controllers}
    assert set(found) == {"istio", "contour"}
    assert (found["istio"].trusted_hops, found["istio"].use_proxy_protocol) == (2, False)
    assert (found["contour"].trusted_hops, found["contour"].use_proxy_protocol) == (3, True)


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        ("registry.k8s.io/ingress-nginx/controller:v1.13.0@sha256:00", "ingress-nginx"),
        ("quay.io/kubernetes-ingress-controller/nginx-ingress-controller:0.26.1", "ingress-nginx"),
        ("rancher/nginx-ingress-controller:v1.12.1-hardened1", "ingress-nginx"),
        ("localhost:5000/ingress-nginx/controller", "ingress-nginx"),
        ("nginx/nginx-ingress:5.0.0", "f5-nginx"),
        ("private-registry.nginx.com/nginx-ic/nginx-plus-ingress:5.0.0", "f5-nginx"),
        ("kong:3.9", "kong"),
        ("kong/kong-gateway:3.10", "kong"),
        ("traefik:v3.4", "traefik"),
        ("quay.io/jcmoraisjr/haproxy-ingress:v0.14", "haproxy"),
        ("kong/kubernetes-ingress-controller:3.4", None),
        ("traefik/whoami", None),
        ("ghcr.io/nginx/nginx-gateway-fabric:2.0.0", None),
        ("nginx:1.27", None),
    ],
)
def test_images(tmp_path: Path, image: str, kind: str | None) -> None:
    """A controller is known by its image under any registry; its helpers and other programs are not it."""
    cluster = load(tmp_path, [clusters.pod("p-1", "n1", "10.0.0.1", image=image)])
    assert [each.kind for each in cluster.controllers] == ([kind] if kind else [])
