"""Lists of ranges as their publishers hand them out, and rule files for ``networks/`` made of them.

Known by content: ``ip-ranges.json`` of AWS, the answers of Cloudflare's and Fastly's API, ``goog.json`` and
``cloud.json`` of Google, ``ServiceTags_*.json`` of Azure. A plain list of CIDRs (lines, or a geofeed after RFC 8805) is
Cloudflare's or Fastly's where most of it lies in what is known of them; any other needs to be told what it is. A list
is taken as a whole or refused: an entry that is none may be the end of a download that broke off.

Google says which addresses it and its customers have, not which of them are proxies. Its files tell where a visitor
comes from, and so count no more than a registry.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from analyzer.addresses.networks import check_kind
from analyzer.addresses.ranges import MAPPED, format_range, parse_network
from analyzer.errors import RuleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from analyzer.addresses.networks import NetworkFile

LARGEST = 64 << 20
"""Bytes of a list; those of the largest publishers have four million."""

_WIDTH = 118
_SHOWN = 60
_MOST_NETWORKS, _MOST_RANGES = 500_000, 1_000
#: More addresses of one network than any publisher has: of the whole Internet's size it is a slip or a trick.
_LARGEST_IPV4, _LARGEST_IPV6 = 1 << 24, 1 << 112
_NAME = re.compile("[a-z0-9][a-z0-9._-]{0,63}")
#: Of the addresses of a plain list, those that a publisher is known to have, to take the list for its.
_SHARE_KNOWN = 0.8

_Networks = tuple[tuple[int, int], ...]


class PublishedRange(NamedTuple):
    """Networks under one name; `health_probe` where nothing but probes comes from there."""

    name: str
    class_: str
    kind: str
    networks: _Networks
    health_probe: bool = False


@dataclass(frozen=True, slots=True)
class Published:
    """What a list says; `name` is that of the rule file, and `registry` as such a file has it."""

    name: str
    title: str
    source: str
    date: dt.date
    ranges: tuple[PublishedRange, ...]
    registry: bool = False


class Said(NamedTuple):
    """What a user says of a list that does not say it itself."""

    name: str | None = None
    class_: str | None = None
    kind: str | None = None


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


def read_published(data: bytes, file: str, date: dt.date, known: Sequence[NetworkFile], said: Said) -> Published:
    """Read a list.

    Parameters
    ----------
    data
        The file's bytes.
    file
        Its name, for errors, for Azure's date, and as the source of a list that nobody is known for.
    date
        The day the file was written, which counts where it does not say one itself.
    known
        The shipped network files.
    said
        What the user says of it.

    Raises
    ------
    RuleError
        Where the file is none of those that are known, or is damaged; says what was expected.
    """
    if len(data) > LARGEST:
        raise RuleError(f"{file}: expected a list of at most {LARGEST >> 20} MiB, got more")
    if said.name is not None and not _NAME.fullmatch(said.name):
        raise RuleError(f'--name: expected a file name of a-z, 0-9, ".", "_" and "-", got "{_short(said.name)}"')
    if data.lstrip()[:1] in {b"{", b"["}:
        found = _json(data, file, date, said)
    else:
        found = _lines(data, file, date, known, said)
    if said.name is not None:
        found = replace(found, name=said.name)
    if not found.ranges:
        raise RuleError(f"{file}: expected a list of ranges, got an empty one")
    return found


def merge(lists: Sequence[Published], known: Sequence[NetworkFile]) -> list[Published]:
    """Put lists of one name together, such as Cloudflare's of each family, and see that none falls short.

    Raises
    ------
    RuleError
        Where a list would replace a shipped file and has none of a family that this has, or not half as many ranges:
        then it is no whole list.
    """
    merged: dict[str, Published] = {}
    for each in lists:
        before = merged.get(each.name)
        if before is not None:
            each = replace(before, date=min(before.date, each.date), ranges=_together(before.ranges + each.ranges))  # noqa: PLW2901
        merged[each.name] = each
    for each in merged.values():
        networks = [pair for part in each.ranges for pair in part.networks]
        rules = [rule for file in known if file.name == each.name for rule in file.rules]
        lacks = _families((rule.first, rule.last) for rule in rules) - _families(networks)
        got = (
            f"none of {' and '.join(sorted(lacks))}"
            if lacks
            else f"{len(networks)} ranges where {len(rules)} are known"
        )
        if lacks or len(networks) < len(rules) / 2:
            hint = "give the lists of both families at once" if each.name == "cloudflare" else None
            raise RuleError(f"{each.name}: expected all of its IPv4 and IPv6 ranges, got {got}", hint)
    return list(merged.values())


def to_toml(published: Published) -> str:
    """Write a list as a rule file, in which the CIDRs are one text: so it loads fast."""
    first = published.ranges[0]
    lines = [
        "# Written by logscan networks --update.",
        f"name = {_quoted(published.title)}",
        f"class = {_quoted(first.class_)}",
        f"kind = {_quoted(first.kind)}",
        *(["registry = true"] if published.registry else []),
        f"source = {_quoted(published.source)}",
        f"date = {published.date.isoformat()}",
    ]
    for part in published.ranges:
        lines += ["", "[[range]]", f"name = {_quoted(part.name)}"]
        if (part.class_, part.kind) != (first.class_, first.kind):
            lines += [f"class = {_quoted(part.class_)}", f"kind = {_quoted(part.kind)}"]
        if part.health_probe:
            lines.append("health_probe = true")
        lines += ["cidrs = '''", *_wrapped(format_range(*pair) for pair in part.networks), "'''"]
    return "\n".join(lines) + "\n"


def _json(data: bytes, file: str, date: dt.date, said: Said) -> Published:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise RuleError(f"{file}: expected a whole JSON file, got: {error}") from error
    if isinstance(value, list):
        return _listed(_texts(value, file), file, date, said)
    for keys, read in _READERS:
        if all(isinstance(value.get(key), list | dict) for key in keys):
            found = read(value, file, date)
            if said.class_ is not None or said.kind is not None:
                raise RuleError(f"{file}: expected no --class and --kind with a list of {found.title}, which says both")
            return found
    raise RuleError(
        f"{file}: expected a list that is known, got JSON with the keys {_short(', '.join(value))}",
        "known are ip-ranges.json, ServiceTags_*.json, goog.json, cloud.json, Cloudflare's and Fastly's answers",
    )


def _aws(value: dict[str, Any], file: str, date: dt.date) -> Published:
    found: dict[str, list[str]] = {}
    for list_, key in (("prefixes", "ip_prefix"), ("ipv6_prefixes", "ipv6_prefix")):
        for entry in _list(value[list_], file):
            found.setdefault(_text(entry, "service", file), []).append(_text(entry, key, file))
    created = value.get("createDate")
    date = _date(created[:10] if isinstance(created, str) else None) or date
    source = "https://ip-ranges.amazonaws.com/ip-ranges.json"
    return Published("aws", "Amazon Web Services", source, date, _services(_AWS, found, file))


def _azure(value: dict[str, Any], file: str, date: dt.date) -> Published:
    found: dict[str, list[str]] = {}
    for entry in _list(value["values"], file):
        name = _text(entry, "name", file)
        if name in _AZURE:
            properties = entry.get("properties")
            prefixes = properties.get("addressPrefixes") if isinstance(properties, dict) else None
            found[name] = _texts(prefixes, f"{file}: {name}")
    named = re.search("_([0-9]{4})([0-9]{2})([0-9]{2})[.]json$", file)
    date = (_date("-".join(named.groups())) if named else None) or date
    source = "https://www.microsoft.com/download/details.aspx?id=56519"
    return Published("azure", "Azure service tags", source, date, _services(_AZURE, found, file))


def _google(value: dict[str, Any], file: str, date: dt.date) -> Published:
    found: dict[str, list[str]] = {}
    for entry in _list(value["prefixes"], file):
        key = "ipv4Prefix" if isinstance(entry, dict) and "ipv4Prefix" in entry else "ipv6Prefix"
        scope = _text(entry, "scope", file) if isinstance(entry, dict) and "scope" in entry else ""
        found.setdefault(scope, []).append(_text(entry, key, file))
    created = value.get("creationTime")
    date = _date(created[:10] if isinstance(created, str) else None) or date
    if len(found) > _MOST_RANGES:
        raise RuleError(f"{file}: expected at most {_MOST_RANGES} scopes, got {len(found)}")
    of_customers = any(found)
    ranges = tuple(
        PublishedRange(scope or "google", "client", "public", _networks(texts, file)) for scope, texts in found.items()
    )
    if of_customers:
        source = "https://www.gstatic.com/ipranges/cloud.json"
        return Published("google-cloud", "Machines of Google Cloud's customers", source, date, ranges, registry=True)
    return Published("google", "Google", "https://www.gstatic.com/ipranges/goog.json", date, ranges, registry=True)


def _cloudflare(value: dict[str, Any], file: str, date: dt.date) -> Published:
    result = value["result"] if isinstance(value["result"], dict) else {}
    if "ipv4_cidrs" not in result:
        raise RuleError(f"{file}: expected `result.ipv4_cidrs` as Cloudflare's API answers, got none")
    texts = [text for key in ("ipv4_cidrs", "ipv6_cidrs") for text in _texts(result.get(key), f"{file}: {key}")]
    return _cdn("cloudflare", _networks(texts, file), date)


def _fastly(value: dict[str, Any], file: str, date: dt.date) -> Published:
    texts = [text for key in ("addresses", "ipv6_addresses") for text in _texts(value[key], f"{file}: {key}")]
    return _cdn("fastly", _networks(texts, file), date)


_CDNS = {
    "cloudflare": ("Cloudflare", "https://www.cloudflare.com/ips/"),
    "fastly": ("Fastly", "https://api.fastly.com/public-ip-list"),
}
_READERS: tuple[tuple[tuple[str, ...], Callable[[dict[str, Any], str, dt.date], Published]], ...] = (
    (("prefixes", "ipv6_prefixes"), _aws),
    (("prefixes",), _google),
    (("values",), _azure),
    (("result",), _cloudflare),
    (("addresses", "ipv6_addresses"), _fastly),
)


def _cdn(name: str, networks: _Networks, date: dt.date) -> Published:
    title, source = _CDNS[name]
    return Published(name, title, source, date, (PublishedRange("edge", "lb", "cdn", networks),))


def _services(known: dict[str, _Service], found: dict[str, list[str]], file: str) -> tuple[PublishedRange, ...]:
    """Return the ranges of the services that matter: whoever else is at a cloud's addresses is a visitor."""
    ranges = tuple(
        PublishedRange(service.range, "lb", service.kind, _networks(found[name], file), service.health_probe)
        for name, service in known.items()
        if found.get(name)
    )
    if not ranges:
        raise RuleError(f"{file}: expected ranges of {', '.join(known)}, got none of them")
    return ranges


def _lines(data: bytes, file: str, date: dt.date, known: Sequence[NetworkFile], said: Said) -> Published:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RuleError(f"{file}: expected JSON or a list of CIDRs in UTF-8, got: {error.reason}") from error
    texts = []
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.partition("#")[0].replace(",", " ").split(maxsplit=1)[:1]
        if entry:
            cidr = entry[0].strip("\"'")
            _parse(cidr, f"{file}:{number}")
            texts.append(cidr)
    if said.class_ is None and said.kind is None:
        networks = _networks(texts, file)
        for each in known:
            if each.name in _CDNS and _share(networks, each) >= _SHARE_KNOWN:
                return _cdn(each.name, networks, date)
    return _listed(texts, file, date, said)


def _listed(texts: Sequence[str], file: str, date: dt.date, said: Said) -> Published:
    """Read a list that nobody is known for: the user says what it is."""
    networks = _networks(texts, file)
    if said.name is None or said.class_ is None or said.kind is None:
        raise RuleError(
            f"{file}: expected --name, --class and --kind with a list of CIDRs that is no known publisher's",
            "such as --name office --class lb --kind trusted-proxy",
        )
    check_kind(said.class_, said.kind, "--class, --kind")
    part = PublishedRange(said.name, said.class_, said.kind, networks)
    return Published(said.name, said.name, file, date, (part,))


def _share(networks: _Networks, file: NetworkFile) -> float:
    """Return what part of the networks touches a known range of the file."""
    touching = sum(any(first <= rule.last and rule.first <= last for rule in file.rules) for first, last in networks)
    return touching / len(networks) if networks else 0


def _together(ranges: Iterable[PublishedRange]) -> tuple[PublishedRange, ...]:
    merged: dict[str, PublishedRange] = {}
    for each in ranges:
        before = merged.get(each.name)
        networks = each.networks if before is None else _outermost([*before.networks, *each.networks])
        merged[each.name] = (before or each)._replace(networks=networks)
    return tuple(merged.values())


def _families(networks: Iterable[tuple[int, int]]) -> set[str]:
    return {"IPv4" if MAPPED <= first <= MAPPED | 0xFFFF_FFFF else "IPv6" for first, _ in networks}


def _networks(texts: Sequence[str], where: str) -> _Networks:
    if not texts:
        raise RuleError(f"{where}: expected a list of ranges, got an empty one")
    if len(texts) > _MOST_NETWORKS:
        raise RuleError(f"{where}: expected at most {_MOST_NETWORKS} ranges, got {len(texts)}")
    return _outermost([_parse(text, where) for text in texts])


def _outermost(networks: list[tuple[int, int]]) -> _Networks:
    """Return the networks in order without those that lie in others."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(networks, key=lambda pair: (pair[0], -pair[1])):
        if not found or first > found[-1][1]:
            found.append((first, last))
    return tuple(found)


def _parse(text: str, where: str) -> tuple[int, int]:
    try:
        first, last = parse_network(_short(text))
    except ValueError as error:
        raise RuleError(f"{where}: {error}") from error
    is_ipv4 = MAPPED <= first <= MAPPED | 0xFFFF_FFFF
    if last - first >= (_LARGEST_IPV4 if is_ipv4 else _LARGEST_IPV6):
        raise RuleError(f"{where}: expected networks of at most {'/8' if is_ipv4 else '/16'}, got {text}")
    return first, last


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise RuleError(f"{where}: expected a list of ranges, got {_short(repr(value))}")
    return value


def _texts(value: Any, where: str) -> list[str]:
    wrong = [item for item in _list(value, where) if not isinstance(item, str)][:1]
    if wrong:
        raise RuleError(f"{where}: expected CIDRs, got {_short(repr(wrong[0]))}")
    return value  # type: ignore[no-any-return]


def _text(entry: Any, key: str, where: str) -> str:
    value = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(value, str):
        raise RuleError(f"{where}: expected entries with a text `{key}`, got {_short(repr(entry))}")
    return value


def _date(text: str | None) -> dt.date | None:
    try:
        return None if text is None else dt.date.fromisoformat(text)
    except ValueError:
        return None


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _quoted(text: str) -> str:
    """Write a text as a string of TOML, which takes no control characters and no half of a surrogate pair."""
    escaped = (f"\\u{ord(char):04x}" if char in '"\\\x7f' or char < " " else char for char in text)
    return f'"{"".join(escaped).encode(errors="replace").decode()}"'


def _wrapped(words: Iterable[str]) -> list[str]:
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + 1 + len(word) <= _WIDTH:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
