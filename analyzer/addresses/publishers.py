"""The lists that are known by their content, each read into the ranges that matter.

They are ``ip-ranges.json`` of AWS, the answers of Cloudflare's and Fastly's API, ``goog.json`` and ``cloud.json`` of
Google, ``ServiceTags_*.json`` of Azure. Google says which addresses it and its customers have, not which of them are
proxies. Its files tell where a visitor comes from, and so count no more than a registry.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from analyzer.addresses.published_list import (
    Networks,
    Published,
    PublishedRange,
    date_of,
    list_of,
    read_networks,
    text_of,
    texts_of,
)
from analyzer.errors import RuleError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable


_MOST_RANGES = 1_000


class _Service(NamedTuple):
    """A service of a publisher whose file lists all of its services."""

    range: str
    kind: str
    health_probe: bool = False


_AWS = {
    "CLOUDFRONT_ORIGIN_FACING": _Service("cloudfront-origin-facing", "cdn"),
    "CLOUDFRONT": _Service("cloudfront", "cdn"),
    "ROUTE53_HEALTHCHECKS": _Service("route53-health-checks", "cloud-lb", health_probe=True),
}
_AZURE = {
    "AzureLoadBalancer": _Service("probe", "cloud-lb", health_probe=True),
    "AzureFrontDoor.Backend": _Service("front-door", "cdn"),
    "AzureTrafficManager": _Service("traffic-manager", "cloud-lb", health_probe=True),
    "ApplicationInsightsAvailability": _Service("availability-tests", "cloud-lb", health_probe=True),
}


def _aws(value: dict[str, Any], file: str, date: dt.date) -> Published:
    found: dict[str, list[str]] = {}
    for list_, key in (("prefixes", "ip_prefix"), ("ipv6_prefixes", "ipv6_prefix")):
        for entry in list_of(value[list_], file):
            found.setdefault(text_of(entry, "service", file), []).append(text_of(entry, key, file))
    created = value.get("createDate")
    date = date_of(created[:10] if isinstance(created, str) else None) or date
    source = "https://ip-ranges.amazonaws.com/ip-ranges.json"
    return Published("aws", "Amazon Web Services", source, date, _services(_AWS, found, file))


def _azure(value: dict[str, Any], file: str, date: dt.date) -> Published:
    found: dict[str, list[str]] = {}
    for entry in list_of(value["values"], file):
        name = text_of(entry, "name", file)
        if name in _AZURE:
            properties = entry.get("properties")
            prefixes = properties.get("addressPrefixes") if isinstance(properties, dict) else None
            found[name] = texts_of(prefixes, f"{file}: {name}")
    named = re.search("_([0-9]{4})([0-9]{2})([0-9]{2})[.]json$", file)
    date = (date_of("-".join(named.groups())) if named else None) or date
    source = "https://www.microsoft.com/download/details.aspx?id=56519"
    return Published("azure", "Azure service tags", source, date, _services(_AZURE, found, file))


def _google(value: dict[str, Any], file: str, date: dt.date) -> Published:
    found: dict[str, list[str]] = {}
    for entry in list_of(value["prefixes"], file):
        key = "ipv4Prefix" if isinstance(entry, dict) and "ipv4Prefix" in entry else "ipv6Prefix"
        scope = text_of(entry, "scope", file) if isinstance(entry, dict) and "scope" in entry else ""
        found.setdefault(scope, []).append(text_of(entry, key, file))
    created = value.get("creationTime")
    date = date_of(created[:10] if isinstance(created, str) else None) or date
    if len(found) > _MOST_RANGES:
        raise RuleError(f"{file}: expected at most {_MOST_RANGES} scopes, got {len(found)}")
    of_customers = any(found)
    ranges = tuple(
        PublishedRange(scope or "google", "client", "public", read_networks(texts, file))
        for scope, texts in found.items()
    )
    if of_customers:
        source = "https://www.gstatic.com/ipranges/cloud.json"
        return Published("google-cloud", "Machines of Google Cloud's customers", source, date, ranges, registry=True)
    return Published("google", "Google", "https://www.gstatic.com/ipranges/goog.json", date, ranges, registry=True)


def _cloudflare(value: dict[str, Any], file: str, date: dt.date) -> Published:
    result = value["result"] if isinstance(value["result"], dict) else {}
    if "ipv4_cidrs" not in result:
        raise RuleError(f"{file}: expected `result.ipv4_cidrs` as Cloudflare's API answers, got none")
    texts = [text for key in ("ipv4_cidrs", "ipv6_cidrs") for text in texts_of(result.get(key), f"{file}: {key}")]
    return cdn("cloudflare", read_networks(texts, file), date)


def _fastly(value: dict[str, Any], file: str, date: dt.date) -> Published:
    texts = [text for key in ("addresses", "ipv6_addresses") for text in texts_of(value[key], f"{file}: {key}")]
    return cdn("fastly", read_networks(texts, file), date)


CDNS = {
    "cloudflare": ("Cloudflare", "https://www.cloudflare.com/ips/"),
    "fastly": ("Fastly", "https://api.fastly.com/public-ip-list"),
}
READERS: tuple[tuple[tuple[str, ...], Callable[[dict[str, Any], str, dt.date], Published]], ...] = (
    (("prefixes", "ipv6_prefixes"), _aws),
    (("prefixes",), _google),
    (("values",), _azure),
    (("result",), _cloudflare),
    (("addresses", "ipv6_addresses"), _fastly),
)


def cdn(name: str, networks: Networks, date: dt.date) -> Published:
    """Return the list of a CDN that has one kind of address."""
    title, source = CDNS[name]
    return Published(name, title, source, date, (PublishedRange("edge", "lb", "cdn", networks),))


def _services(known: dict[str, _Service], found: dict[str, list[str]], file: str) -> tuple[PublishedRange, ...]:
    """Return the ranges of the services that matter: whoever else is at a cloud's addresses is a visitor."""
    ranges = tuple(
        PublishedRange(service.range, "lb", service.kind, read_networks(found[name], file), service.health_probe)
        for name, service in known.items()
        if found.get(name)
    )
    if not ranges:
        raise RuleError(f"{file}: expected ranges of {', '.join(known)}, got none of them")
    return ranges
