"""What the log says, as facts: shares of what addresses are, and what lines gave away."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from analyzer.addresses.ranges import MAPPED, to_number, to_text
from analyzer.readings.bitmap import linear_count
from analyzer.readings.shares import considered, percent
from analyzer.tables.columns import PROBES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analyzer.addresses.cluster import Cluster
    from analyzer.readings.preservation import Preservation
    from analyzer.readings.rate_limit import RateLimit
    from analyzer.readings.skew import Skew
    from analyzer.readings.timeline import Timeline
    from analyzer.readings.trust import Trust

APPLICATIONS = ("uvicorn", "hypercorn")
CONTROLLERS = ("ingress-nginx", "kong", "traefik", "istio", "emissary", "apisix", "skipper")
"""Beginnings of formats' names that tell the controller; others, Envoy's and HAProxy's too, are of many products."""
_GFE = "gcp.toml: gfe"
_KLIPPER = ": load balancer pod "
_ISTIO = to_number("127.0.0.6")
_LOOPBACK = pl.col("address").is_between(
    pl.lit(to_number("127.0.0.0"), pl.UInt128), pl.lit(to_number("127.255.255.255"), pl.UInt128)
) | (pl.col("address") == pl.lit(1, pl.UInt128))
_IS_IPV4 = pl.col("address").is_between(pl.lit(MAPPED, pl.UInt128), pl.lit(MAPPED | 0xFFFFFFFF, pl.UInt128))
_LEAST_PART, _LEAST_REQUESTS = 0.05, 20
"""What a change must have before and after it: a share of the log, and so many requests."""
_CHANGE = 30.0
"""Points between before and after that make a change."""


class Readings(Protocol):
    """The readings of a report, of which facts are made."""

    @property
    def preservation(self) -> Preservation: ...  # noqa: D102
    @property
    def trust(self) -> Trust: ...  # noqa: D102
    @property
    def signals(self) -> Mapping[str, int]: ...  # noqa: D102
    @property
    def skew(self) -> Skew: ...  # noqa: D102
    @property
    def rate_limit(self) -> RateLimit: ...  # noqa: D102
    @property
    def timeline(self) -> Timeline: ...  # noqa: D102


@dataclass(frozen=True)
class Read:
    """What was read of a log.

    Parameters
    ----------
    readings
        The report without findings.
    labelled
        The address table with the columns that `analyzer.readings.proxies.infer` appends.
    streams
        One row for each stream, with ``pod`` and ``namespace``.
    formats
        Lines that each format read.
    senders
        The addresses that sent something else than a PROXY header, with the columns that `Classifier.label` appends and
        ``count``.
    """

    readings: Readings
    labelled: pl.DataFrame
    streams: pl.DataFrame
    formats: Mapping[str, int]
    senders: pl.DataFrame

    @property
    def format(self) -> str | None:
        """The format that reads most lines."""
        return max(self.formats, key=lambda name: self.formats[name], default=None)

    @property
    def product(self) -> str | None:
        """The controller that writes that format, where it is of one alone."""
        return next((name for name in CONTROLLERS if (self.format or "").startswith(name)), None)


def log_facts(read: Read, cluster: Cluster | None) -> dict[str, Any]:
    """Return the facts that the log has."""
    readings = read.readings
    reading, trust = readings.preservation, readings.trust
    return {
        "format": read.format,
        "is_application": (read.format or "").startswith(APPLICATIONS),
        "controller": read.product,
        "requests": reading.requests,
        "considered": reading.considered,
        "preserved_pct": reading.preserved_pct,
        "lost_pct": percent(reading.considered - reading.preserved, reading.considered),
        "recoverable_pct": reading.recoverable_pct,
        "trust_verdict": trust.verdict,
        "trust_reason": trust.reason,
        "forged_requests": trust.forged_requests,
        "shared_key_pct": readings.rate_limit.shared_key_pct,
        "shared_keys": readings.rate_limit.shared_keys,
        **_change(readings.timeline, reading.preserved_pct),
        **_kinds(reading),
        **_addresses(read.labelled, reading.considered),
        **_pods(read, cluster),
        **_skew(read),
        **_signals(read),
    }


def _kinds(reading: Preservation) -> dict[str, Any]:
    def share(class_: str, kind: str | None = None) -> float | None:
        rows = [row for row in reading.kinds if row.class_ == class_ and kind in (None, row.kind)]
        # A private address that is a visitor's own stands for nobody else.
        count = sum(row.considered - (row.preserved if class_ != "client" else 0) for row in rows)
        return percent(count, reading.considered)

    def addresses(class_: str) -> int:
        return sum(row.addresses for row in reading.kinds if row.class_ == class_)

    return {
        **{f"{class_}_pct": share(class_) for class_ in ("client", "node", "lb", "private")},
        "own_node_pct": share("node", "node"),
        "cni_gateway_pct": share("node", "cni-gateway"),
        "pod_pct": share("private", "pod"),
        "cdn_pct": share("lb", "cdn"),
        "trusted_proxy_pct": share("lb", "trusted-proxy"),
        **{f"{class_}_addresses": addresses(class_) for class_ in ("node", "lb", "private")},
    }


def _addresses(labelled: pl.DataFrame, total: int) -> dict[str, Any]:
    visits = labelled.select(
        "address", "class", "kind", "range_class", "user_agents", "signs", "rule", "visitor", considered()
    )
    rest = visits.filter(~pl.col("visitor"), pl.col("considered") > 0)
    rule = pl.col("rule").cast(pl.String)
    is_gfe, is_klipper = rule.str.ends_with(_GFE), rule.str.contains(_KLIPPER, literal=True)
    is_plain = (pl.col("class") == "lb") & ~is_gfe & ~is_klipper & ~_LOOPBACK
    own_lb = is_plain & (pl.col("kind").cast(pl.String) == "cluster-lb")
    other = is_plain & ~pl.col("kind").cast(pl.String).is_in(["cdn", "cluster-lb", "trusted-proxy"])
    guessed = other & (pl.col("kind").cast(pl.String) == "inferred") & (pl.col("range_class") == "private")
    probes = visits.filter(guessed, (pl.col("signs") & int(PROBES)) > 0).height
    sums = rest.select(
        pl.col("considered").filter(mask).sum().alias(name)
        for name, mask in {
            "loopback_pct": _LOOPBACK,
            "istio_pct": pl.col("address") == pl.lit(_ISTIO, pl.UInt128),
            "gfe_pct": is_gfe,
            "klipper_pct": is_klipper,
            "cluster_lb_pct": own_lb,
            "other_lb_pct": other,
            "unsettled_lb_pct": guessed & pl.lit(not probes),
        }.items()
    ).row(0, named=True)
    found: dict[str, Any] = {name: percent(count, total) for name, count in sums.items()}
    families = visits.select(
        four=pl.col("considered").filter(_IS_IPV4).sum(),
        four_kept=pl.col("considered").filter(_IS_IPV4 & pl.col("visitor")).sum(),
        kept=pl.col("considered").filter("visitor").sum(),
    ).row(0, named=True)
    six, six_kept = total - families["four"], families["kept"] - families["four_kept"]
    found["ipv6_pct"] = percent(six, total)
    found["preserved_ipv4_pct"] = percent(families["four_kept"], families["four"])
    found["preserved_ipv6_pct"] = percent(six_kept, six)
    if total:
        most = visits.filter(pl.col("considered") == pl.col("considered").max())
        row = most.row(most["address"].arg_min() or 0, named=True)
        found |= {
            "top_address": to_text(row["address"]),
            "top_address_pct": percent(row["considered"], total),
            "top_address_is_public": _is_public(row["address"]),
            "top_address_agents": linear_count(row["user_agents"]),
        }
    return found


def _is_public(address: int) -> bool:
    """Whether no registry of special purposes has an address."""
    return ip_address(to_text(address)).is_global


def _pods(read: Read, cluster: Cluster | None) -> dict[str, Any]:
    if cluster is None:
        return {}
    pods = [pod for controller in cluster.controllers for pod in controller.pods]
    addresses = pl.Series([number for pod in pods for number in pod.addresses], dtype=pl.UInt128)
    of_pods = read.labelled.filter("in_cluster").filter(pl.col("address").is_in(addresses.implode()))["requests"].sum()
    known = {(pod.namespace, pod.name) for pod in pods}
    names = [f"{controller.name}-" for controller in cluster.controllers]
    logged = {
        (namespace, pod)
        for namespace, pod in read.streams.select("namespace", "pod").iter_rows()
        if pod and namespace and pod.startswith(tuple(names))
    }
    return {
        "controller_pod_pct": percent(int(of_pods), read.readings.preservation.requests),
        "replaced_pods": len(logged - known),
    }


def _skew(read: Read) -> dict[str, Any]:
    skew = read.readings.skew
    top = skew.groups[0] if skew.groups else None
    serving = skew.groups if skew.basis == "serving" else []
    return {
        "skew_by": skew.by,
        "skew_basis": skew.basis,
        "skew_verdict": skew.verdict,
        "skew_fits": skew.fits,
        "skew_reason": skew.reason or None,
        "interruptions": skew.interrupted,
        "max_over_mean": skew.max_over_mean,
        "top_group": top.name if top else None,
        "top_group_pct": top.share_pct if top else None,
        "silent_groups": [group.name for group in serving if not group.requests],
    }


def _signals(read: Read) -> dict[str, Any]:
    signals, senders = read.readings.signals, read.senders
    sent = {name: signals.get(name, 0) for name in ("proxy_v1_to_plain_listener", "proxy_v2_to_plain_listener")}
    empty = signals.get("empty_proxy_header", 0)
    of_pods = pl.col("in_cluster") | (pl.col("kind") == "pod")
    return {
        **sent,
        "proxy_header_pct": percent(sum(sent.values()), read.readings.preservation.requests),
        "empty_headers": empty,
        "broken_headers": signals.get("broken_proxy_header", 0) - empty,
        "broken_headers_of_pods": int(senders.filter(of_pods)["count"].sum()),
        "broken_headers_of_nodes": int(senders.filter(pl.col("class") == "node")["count"].sum()),
        **{name: signals.get(name, 0) for name in ("limiting_requests", "limiting_connections")},
    }


def _change(timeline: Timeline, preserved_pct: float | None) -> dict[str, Any]:
    """Find the moment at which the share before and the share after differ most, by weight of both parts."""
    points = [point for point in timeline.points if point.considered]
    total, kept = sum(point.considered for point in points), sum(point.preserved for point in points)
    least = max(_LEAST_PART * total, _LEAST_REQUESTS)
    best: tuple[float, float, float, str] | None = None
    before, kept_before = 0, 0
    for point, later in pairwise(points):
        before, kept_before = before + point.considered, kept_before + point.preserved
        after = total - before
        if before < least or after < least:
            continue
        first, second = 100 * kept_before / before, 100 * (kept - kept_before) / after
        weight = before * after * (second - first) ** 2
        if abs(second - first) >= _CHANGE and (best is None or weight > best[0]):
            best = (weight, first, second, f"{later.time:%Y-%m-%dT%H:%M:%SZ}")
    if best is None:
        return {"preserved_end_pct": preserved_pct}
    _, first, second, moment = best
    return {
        "preserved_before_pct": first,
        "preserved_after_pct": second,
        "preserved_end_pct": second,
        "changed_at": moment,
    }
