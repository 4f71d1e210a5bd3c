"""Kubernetes objects as ``kubectl get -o json`` shows them, and whole clusters in the shape of real ones.

Each cluster is built from what its provider documents, named at its function; addresses are of the ranges that it gives
out by default. They carry what the analyzer has no use for, too: a secret in every place where people keep them.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import orjson

from analyzer.addresses.cluster import Cluster

if TYPE_CHECKING:
    from pathlib import Path

    from analyzer.addresses.cluster_model import Controller

SECRET = "hunter2"  # noqa: S105 - what no snapshot may hold


def load(folder: Path, items: list[dict[str, Any]] | str | bytes, *controllers: str) -> Cluster:
    """Write a cluster file, of objects or as it stands, and read it."""
    file = folder / "cluster.json"
    text = items if isinstance(items, str | bytes) else orjson.dumps({"kind": "List", "items": items})
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return Cluster.load(file, controllers)


def only(cluster: Cluster) -> Controller:
    """Return the one controller."""
    assert len(cluster.controllers) == 1, cluster.controllers
    return cluster.controllers[0]


def node(
    name: str,
    *addresses: tuple[str, str],
    provider_id: str = "",
    cidrs: tuple[str, ...] = (),
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    version: str = "v1.33.1",
) -> dict[str, Any]:
    """Make a Node."""
    ranges = {"podCIDR": cidrs[0], "podCIDRs": list(cidrs)} if cidrs else {}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "uid": f"uid-{SECRET}",
            "labels": {"kubernetes.io/os": "linux", "team": SECRET, **(labels or {})},
            "annotations": {"cluster.x-k8s.io/token": SECRET, **(annotations or {})},
        },
        "spec": {**ranges, **({"providerID": provider_id} if provider_id else {})},
        "status": {
            "addresses": [{"type": type_, "address": address} for type_, address in addresses],
            "images": [{"names": [f"registry.example/{SECRET}:1"]}],
            "nodeInfo": {"kubeletVersion": version, "machineID": SECRET},
        },
    }


def pod(
    pod_name: str,
    node_name: str,
    /,
    *ips: str,
    namespace: str = "default",
    labels: dict[str, str] | None = None,
    owner: tuple[str, str] | None = None,
    host_network: bool = False,
    **container: Any,
) -> dict[str, Any]:
    """Make a running Pod of one container; `container` is more of it."""
    references = [{"kind": owner[0], "name": owner[1], "controller": True, "uid": SECRET}] if owner else []
    env = [{"name": "DB_PASSWORD", "value": SECRET}, *container.pop("env", [])]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name,
            "namespace": namespace,
            "labels": {"release": SECRET, **(labels or {})},
            "annotations": {"vault.example/secret": SECRET},
            "ownerReferences": references,
        },
        "spec": {
            "nodeName": node_name,
            "hostNetwork": host_network,
            "containers": [{"name": "main", "image": "web:1", **container, "env": env}],
            "imagePullSecrets": [{"name": SECRET}],
        },
        "status": {
            "phase": "Running",
            "message": SECRET,
            **({"podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips]} if ips else {}),
        },
    }


def workload(kind: str, of: dict[str, Any], name: str) -> dict[str, Any]:
    """Make the Deployment or DaemonSet that would run such a pod."""
    meta = {key: of["metadata"][key] for key in ("labels", "annotations")}
    return {
        "kind": kind,
        "metadata": {"name": name, "namespace": of["metadata"]["namespace"], "annotations": {"note": SECRET}},
        "spec": {"replicas": 2, "template": deepcopy({"metadata": meta, "spec": of["spec"]})},
    }


def service(
    name: str,
    *cluster_ips: str,
    namespace: str = "default",
    selector: dict[str, str] | None = None,
    ingress: list[dict[str, str]] | None = None,
    annotations: dict[str, str] | None = None,
    ports: tuple[str, ...] = ("http", "https"),
    **spec: Any,
) -> dict[str, Any]:
    """Make a Service, of type LoadBalancer where it has an ingress."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"owner": SECRET},
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": SECRET, **(annotations or {})},
        },
        "spec": {
            "type": "LoadBalancer" if ingress else "ClusterIP",
            "clusterIP": cluster_ips[0],
            "clusterIPs": list(cluster_ips),
            "ports": [{"name": port, "port": 80 + at} for at, port in enumerate(ports)],
            **({"selector": selector} if selector else {}),
            **spec,
        },
        "status": {"loadBalancer": {"ingress": ingress} if ingress else {}},
    }


def config_map(namespace: str, name: str, data: dict[str, str]) -> dict[str, Any]:
    """Make a ConfigMap."""
    meta = {"name": name, "namespace": namespace, "annotations": {"note": SECRET}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def other_configs() -> list[dict[str, Any]]:
    """Make ConfigMaps that are nobody's business."""
    return [
        config_map("default", "app", {"config.yaml": f"password: {SECRET}"}),
        config_map("kube-system", "coredns", {"Corefile": SECRET}),
    ]


INGRESS_NGINX = {
    "app.kubernetes.io/name": "ingress-nginx",
    "app.kubernetes.io/instance": "ingress-nginx",
    "app.kubernetes.io/component": "controller",
}
"""https://github.com/kubernetes/ingress-nginx/blob/main/charts/ingress-nginx/templates/_helpers.tpl"""


def ingress_nginx(
    *places: tuple[str, str],
    config: dict[str, str] | None = None,
    kind: str = "Deployment",
    front: dict[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Make ingress-nginx as its chart installs it, a pod for each (node, address).

    https://github.com/kubernetes/ingress-nginx/blob/main/deploy/static/provider/cloud/deploy.yaml
    """
    reference = ("ReplicaSet", "ingress-nginx-controller-5d8c6") if kind == "Deployment" else (
        kind, "ingress-nginx-controller"
    )  # fmt: skip
    made = [
        pod(
            f"ingress-nginx-controller-5d8c6-{at}abcd",
            node_name,
            address,
            namespace="ingress-nginx",
            labels={**INGRESS_NGINX, "pod-template-hash": "5d8c6"},
            owner=reference,
            name="controller",
            image="registry.k8s.io/ingress-nginx/controller:v1.13.0@sha256:1c6f",
            args=[
                "/nginx-ingress-controller",
                "--publish-service=$(POD_NAMESPACE)/ingress-nginx-controller",
                "--configmap=$(POD_NAMESPACE)/ingress-nginx-controller",
                f"--default-ssl-certificate=ingress-nginx/{SECRET}",
            ],
        )
        for at, (node_name, address) in enumerate(places)
    ]
    hook = pod("ingress-nginx-admission-create-x1y2z", places[0][0], "10.9.9.9", namespace="ingress-nginx",
               labels={**INGRESS_NGINX, "app.kubernetes.io/component": "admission-webhook"},
               owner=("Job", "ingress-nginx-admission-create"),
               image="registry.k8s.io/ingress-nginx/kube-webhook-certgen:v1.6.0")  # fmt: skip
    inner = {"namespace": "ingress-nginx", "selector": INGRESS_NGINX}
    return [
        *made,
        hook,
        workload(kind, made[0], "ingress-nginx-controller"),
        config_map("ingress-nginx", "ingress-nginx-controller", config or {}),
        service("ingress-nginx-controller-admission", "10.96.0.11", ports=("https-webhook",), **inner),
        service("ingress-nginx-controller-metrics", "10.96.0.12", ports=("metrics",), **inner),
        service("ingress-nginx-controller", "10.96.0.10", **inner, **(front or {})),
        *other_configs(),
    ]


def eks() -> list[dict[str, Any]]:
    """EKS with an NLB of the AWS Load Balancer Controller to instances; pods live in the VPC's subnets.

    https://github.com/kubernetes-sigs/aws-load-balancer-controller/blob/main/docs/guide/service/nlb.md and
    annotations.md; https://docs.aws.amazon.com/eks/latest/userguide/network-load-balancing.html
    """
    names = ("ip-10-0-1-12.eu-central-1.compute.internal", "ip-10-0-2-31.eu-central-1.compute.internal")
    labels = {"eks.amazonaws.com/nodegroup": SECRET, "topology.kubernetes.io/zone": "eu-central-1a"}
    return [
        *(
            node(name, ("InternalIP", address), ("ExternalIP", outer), ("InternalDNS", name), ("Hostname", name),
                 provider_id=f"aws:///eu-central-1a/i-{SECRET}", labels=labels, version="v1.33.1-eks-1fbb135")
            for name, address, outer in ((names[0], "10.0.1.12", "18.156.3.4"), (names[1], "10.0.2.31", "18.156.3.5"))
        ),
        *(
            pod(f"{name}-{place[3:10]}", place, namespace="kube-system", labels={"k8s-app": name}, host_network=True)
            for name in ("aws-node", "kube-proxy")
            for place in names
        ),
        config_map("kube-system", "kube-proxy-config", {
            "config": f'clientConnection:\n  kubeconfig: {SECRET}\nclusterCIDR: ""\nmode: "iptables"\n',
        }),
        *ingress_nginx(
            (names[0], "10.0.1.77"),
            (names[1], "10.0.2.78"),
            front={
                "annotations": {
                    "service.beta.kubernetes.io/aws-load-balancer-type": "external",
                    "service.beta.kubernetes.io/aws-load-balancer-nlb-target-type": "instance",
                    "service.beta.kubernetes.io/aws-load-balancer-ssl-cert": f"arn:aws:acm:eu-central-1:1:{SECRET}",
                },
                "ingress": [{"hostname": "k8s-ingressn-0a1b.elb.eu-central-1.amazonaws.com"}],
                "loadBalancerClass": "service.k8s.aws/nlb",
                "externalTrafficPolicy": "Local",
                "internalTrafficPolicy": "Cluster",
                "healthCheckNodePort": 32123,
            },
        ),
    ]  # fmt: skip


def gke() -> list[dict[str, Any]]:
    """GKE with Dataplane V2, a container-native load balancer (GCE Ingress) in front of ingress-nginx.

    https://cloud.google.com/kubernetes-engine/docs/concepts/ingress-xlb and
    .../how-to/container-native-load-balancing
    """
    front = {"annotations": {"cloud.google.com/neg": '{"ingress": true}'}, "type": "ClusterIP"}
    return [
        *(
            node(f"gke-a-{at}", ("InternalIP", f"10.128.0.{at}"), ("ExternalIP", ""), cidrs=(f"10.4.{at}.0/24",),
                 provider_id=f"gce://{SECRET}/europe-west1-b/gke-a-{at}", version="v1.33.1-gke.1107000",
                 labels={"cloud.google.com/gke-nodepool": SECRET})
            for at in (2, 3)
        ),
        pod("anetd-abcde", "gke-a-2", namespace="kube-system", labels={"k8s-app": "cilium"}, host_network=True,
            image="gke.gcr.io/cilium/cilium:v1.16"),
        config_map("kube-system", "cilium-config", {"kube-proxy-replacement": "true", "debug": SECRET}),
        *ingress_nginx(("gke-a-2", "10.4.2.7"), front=front,
                       config={"use-forwarded-headers": "true",
                               "proxy-real-ip-cidr": "130.211.0.0/22,35.191.0.0/16,34.120.1.2/32"}),
        {
            "kind": "Ingress",
            "metadata": {
                "name": "edge",
                "namespace": "ingress-nginx",
                "annotations": {"kubernetes.io/ingress.class": "gce"},
            },
            "spec": {
                "defaultBackend": {"service": {"name": "ingress-nginx-controller", "port": {"number": 80}}},
                "tls": [{"secretName": SECRET}],
                "rules": [{"host": f"{SECRET}.example"}],
            },
            "status": {"loadBalancer": {"ingress": [{"ip": "34.120.1.2"}]}},
        },
    ]  # fmt: skip


def aks() -> list[dict[str, Any]]:
    """AKS with Azure CNI Overlay and Kong behind a standard load balancer.

    https://cloud-provider-azure.sigs.k8s.io/topics/loadbalancer/;
    https://github.com/Kong/charts/blob/main/charts/kong/README.md (environment of the proxy container)
    """
    labels = {"app.kubernetes.io/name": "kong", "app.kubernetes.io/component": "app", "pod-template-hash": "7f9c"}
    kong = pod(
        "kong-kong-7f9c-xyzab", "aks-nodepool1-1-vmss000000", "10.244.0.15", namespace="kong", labels=labels,
        owner=("ReplicaSet", "kong-kong-7f9c"), name="proxy", image="kong/kong-gateway:3.10",
        env=[
            {"name": "KONG_TRUSTED_IPS", "value": "10.224.0.0/16, 168.63.129.16"},
            {"name": "KONG_REAL_IP_HEADER", "value": "X-Forwarded-For"},
            {"name": "KONG_READ_IP_RECURSIVE", "value": "on"},
            {"name": "KONG_PROXY_LISTEN", "value": "0.0.0.0:8000, 0.0.0.0:8443 http2 ssl"},
            {"name": "KONG_PG_PASSWORD", "value": SECRET},
            {"name": "KONG_ADMIN_GUI_SESSION_CONF", "valueFrom": {"secretKeyRef": {"name": SECRET}}},
        ],
    )  # fmt: skip
    return [
        node("aks-nodepool1-1-vmss000000", ("InternalIP", "10.224.0.4"), ("Hostname", "aks-nodepool1-1-vmss000000"),
             provider_id=f"azure:///subscriptions/{SECRET}/resourceGroups/mc/providers/Microsoft.Compute/vmss/0",
             labels={"kubernetes.azure.com/cluster": SECRET}, cidrs=("10.244.0.0/24",)),
        pod("azure-cns-12345", "aks-nodepool1-1-vmss000000", namespace="kube-system", labels={"k8s-app": "azure-cns"}),
        kong,
        service("kong-kong-proxy", "10.0.33.1", namespace="kong", selector={"app.kubernetes.io/name": "kong"},
                ingress=[{"ip": "20.50.2.3", "ipMode": "VIP"}], externalTrafficPolicy="Cluster",
                annotations={"service.beta.kubernetes.io/azure-load-balancer-health-probe-request-path": "/healthz"}),
        service("kong-kong-manager", "10.0.33.2", namespace="kong", selector={"app.kubernetes.io/name": "kong"},
                ports=("kong-manager", "kong-manager-tls"), type="NodePort"),
    ]  # fmt: skip


def k3s() -> list[dict[str, Any]]:
    """K3s with its own flannel, Traefik and service load balancer.

    https://docs.k3s.io/networking/networking-services; annotations are those of k3s's embedded flannel and cloud
    provider
    """
    traefik = {"app.kubernetes.io/name": "traefik", "app.kubernetes.io/instance": "traefik-kube-system"}
    svclb = {"svccontroller.k3s.cattle.io/svcname": SECRET, "app": "svclb-traefik-1"}
    return [
        node("k3s-1", ("InternalIP", "192.168.5.15"), ("Hostname", "k3s-1"), provider_id="k3s://k3s-1",
             cidrs=("10.42.0.0/24",), version="v1.33.1+k3s1",
             annotations={"flannel.alpha.coreos.com/backend-type": "vxlan", "k3s.io/internal-ip": "192.168.5.15",
                          "flannel.alpha.coreos.com/public-ip": "192.168.5.15", "k3s.io/external-ip": "203.0.113.8",
                          "k3s.io/node-args": f'["server","--token","{SECRET}"]'}),
        pod("svclb-traefik-1-abcde", "k3s-1", "10.42.0.8", namespace="kube-system", labels=svclb,
            image="rancher/klipper-lb:v0.4.13"),
        pod("traefik-c98fdf6fb-abcde", "k3s-1", "10.42.0.9", namespace="kube-system", labels=traefik, name="traefik",
            image="rancher/mirrored-library-traefik:3.3.6",
            args=["--entryPoints.web.address=:8000/tcp", "--entryPoints.web.forwardedHeaders.trustedIPs=10.42.0.0/16",
                  "--entryPoints.websecure.proxyProtocol.trustedIPs", "192.168.5.0/24,127.0.0.1/32",
                  f"--certificatesresolvers.le.acme.email={SECRET}"]),
        service("traefik", "10.43.9.9", namespace="kube-system", selector=traefik, externalTrafficPolicy="Cluster",
                ingress=[{"ip": "192.168.5.15", "ipMode": "VIP"}]),
    ]  # fmt: skip


def kind() -> list[dict[str, Any]]:
    """A dual-stack kind cluster: kubeadm's control plane, kindnet, Envoy Gateway.

    https://kind.sigs.k8s.io/docs/user/configuration/;
    https://gateway.envoyproxy.io/docs/tasks/traffic/client-traffic-policy/
    """
    owning = {
        "gateway.envoyproxy.io/owning-gateway-name": "eg",
        "gateway.envoyproxy.io/owning-gateway-namespace": "web",
        "app.kubernetes.io/name": "envoy",
        "pod-template-hash": "6d",
    }
    system = {"namespace": "kube-system", "host_network": True}
    return [
        node("kind-control-plane", ("InternalIP", "172.18.0.2"), ("InternalIP", "fc00:f853::2"), version="v1.33.1",
             provider_id="kind://docker/kind/kind-control-plane", cidrs=("10.244.0.0/24", "fd00:10:244::/64")),
        pod("kube-apiserver-kind-control-plane", "kind-control-plane", **system,
            command=["kube-apiserver", "--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112",
                     f"--etcd-servers=https://{SECRET}:2379"]),
        pod("kube-controller-manager-kind-control-plane", "kind-control-plane", **system,
            command=["kube-controller-manager", "--cluster-cidr=10.244.0.0/16,fd00:10:244::/56"]),
        pod("kindnet-abcde", "kind-control-plane", namespace="kube-system", labels={"k8s-app": "kindnet"}),
        config_map("kube-system", "kube-proxy", {
            "config.conf": f'bindAddress: 0.0.0.0\nclusterCIDR: 10.244.0.0/16\nmode: "ipvs"\ntoken: {SECRET}\n',
            "kubeconfig.conf": SECRET,
        }),
        pod("envoy-web-eg-1-6d-abcde", "kind-control-plane", "10.244.0.9", "fd00:10:244::9", labels=owning,
            namespace="envoy-gateway-system", owner=("ReplicaSet", "envoy-web-eg-1-6d"), name="envoy",
            image="docker.io/envoyproxy/envoy:distroless-v1.34"),
        service("envoy-web-eg-1", "10.96.7.7", namespace="envoy-gateway-system", ingress=[{"ip": "172.18.0.240"}],
                externalTrafficPolicy="Local", ports=("http-80",),
                selector={"gateway.envoyproxy.io/owning-gateway-name": "eg"}),
        {
            "kind": "Gateway",
            "metadata": {"name": "eg", "namespace": "web"},
            "spec": {"gatewayClassName": "eg", "listeners": [{"tls": {"certificateRefs": [{"name": SECRET}]}}]},
            "status": {"addresses": [{"type": "IPAddress", "value": "172.18.0.240"}]},
        },
        {
            "kind": "ClientTrafficPolicy",
            "metadata": {"name": "ip", "namespace": "web"},
            "spec": {
                "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "eg"}],
                "clientIPDetection": {"xForwardedFor": {"trustedCIDRs": ["10.0.0.0/8", "203.0.113.7/24"]}},
                "proxyProtocol": {"optional": True},
                "tls": {"clientValidation": {"caCertificateRefs": [{"name": SECRET}]}},
            },
        },
    ]  # fmt: skip


def digitalocean() -> list[dict[str, Any]]:
    """DigitalOcean with Cilium and a PROXY-speaking load balancer that is reached by name.

    https://github.com/digitalocean/digitalocean-cloud-controller-manager/blob/master/docs/controllers/services/annotations.md
    """
    return [
        node("pool-1-abc", ("Hostname", "pool-1-abc"), ("InternalIP", "10.114.0.2"), ("ExternalIP", "164.90.1.2"),
             provider_id="digitalocean://1234", labels={"doks.digitalocean.com/node-pool": SECRET}),
        pod("cilium-abcde", "pool-1-abc", namespace="kube-system", labels={"k8s-app": "cilium"}, host_network=True,
            image="docker.io/cilium/cilium:v1.16"),
        {
            "kind": "CiliumNode",
            "metadata": {"name": "pool-1-abc"},
            "spec": {
                "addresses": [
                    {"type": "InternalIP", "ip": "10.114.0.2"},
                    {"type": "CiliumInternalIP", "ip": "10.244.0.88"},
                ],
                "ipam": {"podCIDRs": ["10.244.0.0/25"]},
                "encryption": {"key": SECRET},
            },
        },
        *ingress_nginx(
            ("pool-1-abc", "10.244.0.17"),
            kind="DaemonSet",
            config={"use-proxy-protocol": "true", "use-forward-headers": "true", "compute-full-forward-for": "true",
                    "proxy-real-ip-cidr": "10.114.0.0/20", "enable-real-ip": "on", "http-snippet": SECRET},
            front={
                "annotations": {
                    "service.beta.kubernetes.io/do-loadbalancer-enable-proxy-protocol": "true",
                    "service.beta.kubernetes.io/do-loadbalancer-hostname": "www.example.com",
                    "service.beta.kubernetes.io/do-loadbalancer-certificate-id": SECRET,
                },
                "ingress": [{"hostname": "www.example.com"}],
                "externalTrafficPolicy": "Cluster",
            },
        ),
    ]  # fmt: skip


def hetzner() -> list[dict[str, Any]]:
    """Hetzner Cloud with Calico and a load balancer that speaks PROXY and is of ipMode Proxy for that.

    https://github.com/hetznercloud/hcloud-cloud-controller-manager/blob/main/docs/reference/load_balancer_annotations.md
    """
    log = '{"time": "$time_iso8601", "remote_addr": "$remote_addr", "status": $status}'
    return [
        node("node-1", ("InternalIP", "10.0.0.3"), ("ExternalIP", "162.55.1.2"), provider_id="hcloud://4711",
             labels={"instance.hetzner.cloud/provided-by": "cloud"}, cidrs=("10.233.64.0/24",),
             annotations={"projectcalico.org/IPv4Address": "10.0.0.3/24",
                          "projectcalico.org/IPv4VXLANTunnelAddr": "10.233.72.128"}),
        pod("calico-node-abcde", "node-1", namespace="kube-system", labels={"k8s-app": "calico-node"}),
        *ingress_nginx(
            ("node-1", "10.233.72.130"),
            config={"use-proxy-protocol": "true", "use-forwarded-headers": "true", "log-format-upstream": log,
                    "log-format-escape-json": "true"},
            front={
                "annotations": {
                    "load-balancer.hetzner.cloud/uses-proxyprotocol": "true",
                    "load-balancer.hetzner.cloud/use-private-ip": "true",
                    "load-balancer.hetzner.cloud/http-certificates": SECRET,
                },
                "ingress": [{"ip": "49.12.1.2", "ipMode": "Proxy"}, {"ip": "2a01:4f8::1", "ipMode": "Proxy"}],
                "externalTrafficPolicy": "Cluster",
            },
        ),
    ]  # fmt: skip


CLUSTERS = {each.__name__: each for each in (eks, gke, aks, k3s, kind, digitalocean, hetzner)}
