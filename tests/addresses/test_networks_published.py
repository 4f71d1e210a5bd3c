"""Published lists: each publisher's is known by its content, taken whole or refused, and written as a rule file."""

from __future__ import annotations

import datetime as dt
import json
import tomllib
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.addresses.networks import NetworkFile, load_networks
from analyzer.addresses.published import Said, merge, read_published, to_toml
from analyzer.addresses.published_list import Published, PublishedRange
from analyzer.addresses.ranges import format_range, parse_network
from analyzer.errors import RuleError

if TYPE_CHECKING:
    from pathlib import Path

DAY = dt.date(2026, 11, 20)
OFFICE = Said("office", "lb", "trusted-proxy")

# The publishers' shapes, in short: https://docs.aws.amazon.com/vpc/latest/userguide/aws-ip-syntax.html,
# https://www.fastly.com/documentation/reference/api/utils/public-ip-list/,
# https://developers.cloudflare.com/api/resources/ips/methods/list/, https://www.gstatic.com/ipranges/cloud.json,
# https://learn.microsoft.com/azure/virtual-network/service-tags-overview.
AWS: dict[str, Any] = {
    "syncToken": "1795200000",
    "createDate": "2026-11-19-18-07-13",
    "prefixes": [
        {"ip_prefix": "3.5.140.0/22", "region": "ap-northeast-2", "service": "AMAZON", "network_border_group": "x"},
        {"ip_prefix": "120.52.22.96/27", "region": "GLOBAL", "service": "CLOUDFRONT", "network_border_group": "GLOBAL"},
        {"ip_prefix": "13.124.199.0/24", "region": "GLOBAL", "service": "CLOUDFRONT", "network_border_group": "GLOBAL"},
        {"ip_prefix": "13.124.199.0/24", "region": "GLOBAL", "service": "CLOUDFRONT_ORIGIN_FACING"},
        {"ip_prefix": "15.177.0.0/18", "region": "GLOBAL", "service": "ROUTE53_HEALTHCHECKS"},
    ],
    "ipv6_prefixes": [
        {"ipv6_prefix": "2600:9000::/28", "region": "GLOBAL", "service": "CLOUDFRONT"},
        {"ipv6_prefix": "2a05:d07a:a000::/40", "region": "eu-south-1", "service": "AMAZON"},
    ],
}
GOOGLE: dict[str, Any] = {
    "syncToken": "1795200000000",
    "creationTime": "2026-11-18T16:07:06.12345",
    "prefixes": [{"ipv4Prefix": "8.8.4.0/24"}, {"ipv6Prefix": "2001:4860::/32"}],
}
CLOUD: dict[str, Any] = {
    "creationTime": "2026-11-18T16:07:06",
    "prefixes": [
        {"ipv4Prefix": "34.1.208.0/20", "service": "Google Cloud", "scope": "africa-south1"},
        {"ipv4Prefix": "34.35.0.0/16", "service": "Google Cloud", "scope": "africa-south1"},
        {"ipv6Prefix": "2600:1900:8000::/44", "service": "Google Cloud", "scope": "europe-west1"},
    ],
}
AZURE: dict[str, Any] = {
    "changeNumber": 391,
    "cloud": "Public",
    "values": [
        {"name": "ActionGroup", "properties": {"addressPrefixes": ["4.145.74.52/30"]}},
        {"name": "AzureFrontDoor.Backend", "properties": {"addressPrefixes": ["147.243.0.0/16", "2a01:111:2050::/44"]}},
        {"name": "AzureLoadBalancer", "properties": {"addressPrefixes": ["168.63.129.16/32"]}},
        {"name": "AzureTrafficManager", "properties": {"addressPrefixes": ["13.65.92.252/32"]}},
    ],
}


@cache
def known() -> tuple[NetworkFile, ...]:
    """Return the shipped files."""
    return tuple(load_networks())


def shipped(name: str) -> list[str]:
    """Return the networks of a shipped file as text."""
    [file] = (file for file in known() if file.name == name)
    return [format_range(rule.first, rule.last) for rule in file.rules]


FASTLY: dict[str, Any] = {
    "addresses": [text for text in shipped("fastly") if ":" not in text],
    "ipv6_addresses": [text for text in shipped("fastly") if ":" in text],
}
CLOUDFLARE: dict[str, Any] = {
    "result": {
        "ipv4_cidrs": [text for text in shipped("cloudflare") if ":" not in text],
        "ipv6_cidrs": [text for text in shipped("cloudflare") if ":" in text],
        "etag": "38f79d050aa027e3be3865e495dcc9bc",
    },
    "success": True,
    "errors": [],
    "messages": [],
}


def read(content: Any, file: str = "list.json", said: Said = Said()) -> Published:  # noqa: B008 - a tuple
    """Read a list given as JSON, text or bytes."""
    if not isinstance(content, bytes):
        content = (content if isinstance(content, str) else json.dumps(content)).encode()
    return read_published(content, file, DAY, known(), said)


def said_of(published: Published) -> dict[str, list[str]]:
    """Return the networks of each range."""
    return {part.name: [format_range(*pair) for pair in part.networks] for part in published.ranges}


def test_aws() -> None:
    """Of AWS's services those that stand before an origin or probe it count, each under its name."""
    found = read(AWS)
    assert (found.name, found.date, found.registry) == ("aws", dt.date(2026, 11, 19), False)
    assert said_of(found) == {
        "cloudfront-origin-facing": ["13.124.199.0/24"],
        "cloudfront": ["13.124.199.0/24", "120.52.22.96/27", "2600:9000::/28"],
        "route53-health-checks": ["15.177.0.0/18"],
    }
    assert [(part.class_, part.kind, part.health_probe) for part in found.ranges] == [
        ("lb", "cdn", False), ("lb", "cdn", False), ("lb", "cloud-lb", True),
    ]  # fmt: skip


def test_azure() -> None:
    """Of Azure's tags Front Door and what probes count; the date is that of the file's name, else of the file."""
    found = read(AZURE, "ServiceTags_Public_20261116.json")
    assert (found.name, found.date) == ("azure", dt.date(2026, 11, 16))
    assert said_of(found) == {
        "probe": ["168.63.129.16"],
        "front-door": ["147.243.0.0/16", "2a01:111:2050::/44"],
        "traffic-manager": ["13.65.92.252"],
    }
    assert [part.health_probe for part in found.ranges] == [True, False, True]
    assert read(AZURE, "ServiceTags_Public_20261399.json").date == read(AZURE).date == DAY


def test_google() -> None:
    """Google's addresses and its customers' are told apart, and are visitors: neither file says who is a proxy."""
    google, cloud = read(GOOGLE), read(CLOUD)
    assert (google.name, google.registry, google.date) == ("google", True, dt.date(2026, 11, 18))
    assert said_of(google) == {"google": ["8.8.4.0/24", "2001:4860::/32"]}
    assert (cloud.name, cloud.registry) == ("google-cloud", True)
    assert said_of(cloud) == {
        "africa-south1": ["34.1.208.0/20", "34.35.0.0/16"], "europe-west1": ["2600:1900:8000::/44"],
    }  # fmt: skip
    assert {(part.class_, part.kind) for part in (*google.ranges, *cloud.ranges)} == {("client", "public")}


@pytest.mark.parametrize(("name", "content"), [("cloudflare", CLOUDFLARE), ("fastly", FASTLY)])
def test_cdns(name: str, content: Any) -> None:
    """The answers of Cloudflare's and Fastly's API, and the same as plain lists, are what is shipped."""
    found = read(content)
    assert (found.name, found.date) == (name, DAY)
    assert sorted(said_of(found)["edge"]) == sorted(shipped(name))
    for text in ("\n".join(shipped(name)), "\ufeff# list\r\n" + ",,\r\n".join(shipped(name)) + "\n\n"):
        assert read(text, "ips").ranges == found.ranges


def test_lists_of_both_families_become_one() -> None:
    """Cloudflare's two lists are one file; one alone would lose the other family, and is refused."""
    families = [read("\n".join(CLOUDFLARE["result"][key]), key) for key in ("ipv4_cidrs", "ipv6_cidrs")]
    assert merge(families, known()) == [read(CLOUDFLARE)]
    assert merge([*families, read(AWS)], known())[1].name == "aws"
    for one, lacking in zip(families, ("IPv6", "IPv4"), strict=True):
        with pytest.raises(RuleError, match=f"got none of {lacking}") as error:
            merge([one], known())
        assert error.value.hint == "give the lists of both families at once"
    broken = read([*shipped("fastly")[:3], *shipped("fastly")[-1:]], said=Said("fastly", "lb", "cdn"))
    with pytest.raises(RuleError, match=r"expected all of its .* got 4 ranges where 21 are known"):
        merge([broken], known())


@pytest.mark.parametrize(
    "content",
    [
        "9.9.9.0/24\n# more\n2620:fe::/48  # ours\n\n9.9.9.9\n",
        '"9.9.9.0/24",CH,CH-ZH,Zurich,\n2620:fe::/48,US,,,\n',
        ["9.9.9.0/24", "2620:fe::/48", "9.9.9.0/25"],
    ],
)
def test_any_other_list_is_what_the_user_says(content: Any) -> None:
    """Lines, a geofeed and an array of CIDRs are read; what lies in another of the list is left out."""
    found = read(content, "ours.txt", OFFICE)
    assert (found.name, found.source, found.date) == ("office", "ours.txt", DAY)
    assert said_of(found) == {"office": ["9.9.9.0/24", "2620:fe::/48"]}
    assert (found.ranges[0].class_, found.ranges[0].kind) == ("lb", "trusted-proxy")
    with pytest.raises(RuleError, match=r"ours\.txt: expected --name, --class and --kind with a list"):
        read(content, "ours.txt")


NESTED = b'{"a":' * 100_000
HOSTILE: dict[str, tuple[Any, str]] = {
    "empty": (b"", "expected a list of ranges, got an empty one"),
    "html": ("<!DOCTYPE html>\n<p>503</p>", 'list.json:1: expected a CIDR such as 10.0.0.0/16, got "<!DOCTYPE"'),
    "binary": (b"\xff\xfe1\x000\x00", "expected JSON or a list of CIDRs in UTF-8"),
    "nul": (b"10.0.0.0/8\0\n", "list.json:1: expected a CIDR"),
    "escapes": (b"\x1b[31m10.0.0.0/8\n", "list.json:1: expected a CIDR"),
    "long-line": (b"9" * 1_000_000, 'got "' + "9" * 57 + '..."'),
    "cut-json": (json.dumps(AWS)[:-40], "expected a whole JSON file, got: "),
    "nested": (NESTED, "expected a whole JSON file, got: "),
    "nested-lists": (b"[" * 100_000, "expected a whole JSON file, got: "),
    "nested-whole": (b"[" * 900 + b"]" * 900, "expected CIDRs, got [["),
    "too-large": (b"10.0.0.0/24\n" * (6 << 20), "expected a list of at most 64 MiB, got more"),
    "other-json": ({"kind": "List", "items": []}, "expected a list that is known, got JSON with the keys kind, items"),
    "numbers": ([1, 2], "expected CIDRs, got 1"),
    "host-bits": ("10.0.0.1/8", "expected a CIDR without host bits such as 10.0.0.0/8"),
    "all-of-ipv4": (["0.0.0.0/0"], "expected networks of at most /8, got 0.0.0.0/0"),
    "half-of-ipv4": ({**FASTLY, "addresses": ["128.0.0.0/1"]}, "expected networks of at most /8"),
    "all-of-ipv6": ("2000::/3", "expected networks of at most /16, got 2000::/3"),
    "mapped": (["::ffff:0:0/96"], "expected networks of at most /8"),
    "aws-prefixes": ({**AWS, "prefixes": {}}, "expected a list of ranges, got {}"),
    "aws-entry": ({**AWS, "prefixes": [None]}, "expected entries with a text `service`, got None"),
    "aws-cidr": ({**AWS, "prefixes": [{"service": "CLOUDFRONT", "ip_prefix": 5}]}, "a text `ip_prefix`"),
    "aws-nothing": ({**AWS, "prefixes": [], "ipv6_prefixes": []}, "expected ranges of CLOUDFRONT_ORIGIN_FACING, "),
    "azure-entry": ({"values": [[]]}, "expected entries with a text `name`, got []"),
    "azure-tag": ({"values": [{"name": "AzureLoadBalancer", "properties": 5}]}, "AzureLoadBalancer: expected a list"),
    "azure-cidr": (
        {"values": [{"name": "AzureLoadBalancer", "properties": {"addressPrefixes": [{}]}}]}, "expected CIDRs, got {}",
    ),
    "google-entry": ({"prefixes": [{"ipv4Prefix": None}]}, "expected entries with a text `ipv4Prefix`"),
    "google-scope": ({"prefixes": [{"ipv4Prefix": "8.8.8.0/24", "scope": 5}]}, "expected entries with a text `scope`"),
    "google-scopes": (
        {"prefixes": [{"ipv4Prefix": "8.8.8.0/24", "scope": str(number)} for number in range(2_000)]},
        "expected at most 1000 scopes, got 2000",
    ),
    "google-empty": ({"prefixes": []}, "expected a list of ranges, got an empty one"),
    "cloudflare-result": ({"result": []}, "expected `result.ipv4_cidrs` as Cloudflare's API answers, got none"),
    "cloudflare-half": ({"result": {"ipv4_cidrs": ["104.16.0.0/13"]}}, "ipv6_cidrs: expected a list of ranges"),
    "fastly-wrong": ({"addresses": {}, "ipv6_addresses": []}, "addresses: expected a list of ranges, got {}"),
    "many": (json.dumps(["9.9.9.9"] * 500_001), "expected at most 500000 ranges, got 500001"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "message"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_list(content: Any, message: str) -> None:
    """A list that is broken, cut off, huge, nested or of wrong types is refused with what was expected, in short."""
    with pytest.raises(RuleError) as error:
        read(content)
    assert message in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("content", "said", "message"),
    [
        (
            "9.9.9.9",
            Said("../x", "lb", "cdn"),
            '--name: expected a file name of a-z, 0-9, ".", "_" and "-", got "../x"',
        ),
        ("9.9.9.9", Said("a/b", "lb", "cdn"), "--name: expected a file name"),
        ("9.9.9.9", Said("x" * 65, "lb", "cdn"), "--name: expected a file name"),
        ("9.9.9.9", Said("x\n", "lb", "cdn"), "--name: expected a file name"),
        ("9.9.9.9", Said("x", "lb", "pod"), "--class, --kind: expected a class and a kind of it, got lb pod"),
        ("9.9.9.9", Said("x", "unknown", "invalid"), "expected a class and a kind of it, got unknown invalid"),
        (AWS, Said(None, "lb", "cdn"), "expected no --class and --kind with a list of Amazon Web Services, which says"),
        (b"", OFFICE, "expected a list of ranges, got an empty one"),
        ("# nothing\n", OFFICE, "expected a list of ranges, got an empty one"),
    ],
)
def test_what_a_user_says_must_fit(content: Any, said: Said, message: str) -> None:
    """Names are file names, and what a list says itself is not said again."""
    with pytest.raises(RuleError) as error:
        read(content, said=said)
    assert message in str(error.value)


KEYS = ["prefixes", "ipv6_prefixes", "values", "result", "addresses", "ipv6_addresses", "ip_prefix", "service", "scope"]
KEYS += ["ipv4Prefix", "name", "properties", "addressPrefixes", "ipv4_cidrs", "ipv6_cidrs"]
JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=9), st.sampled_from(["9.9.9.0/24", "::/0"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)  # fmt: skip


@given(JUNK)
def test_no_json_breaks_the_reader(content: Any) -> None:
    """Whatever stands where, it is read or refused, never a crash."""
    with suppress(RuleError):
        assert read(content).ranges


@given(
    st.text(max_size=40),
    st.text(max_size=40),
    st.lists(
        st.tuples(
            st.text(max_size=40).filter(lambda text: "\ud800" not in text),
            st.lists(st.ip_addresses().map(str), min_size=1, max_size=40),
            st.booleans(),
        ),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from([0, 1]),
    st.dates(),
)
def test_what_is_written_is_read(
    title: str, source: str, parts: list[tuple[str, list[str], bool]], registry: Literal[0, 1], date: dt.date
) -> None:
    """A rule file says what the list said, whatever characters its names hold."""
    ranges = tuple(
        PublishedRange(name, "lb", "cloud-lb" if probe else "cdn", tuple(map(parse_network, texts)), probe)
        for name, texts, probe in parts
    )
    table = tomllib.loads(to_toml(Published("x", title, source, date, ranges, bool(registry))))
    assert (table["name"], table["source"], table["date"], table.get("registry", False)) == (
        title, source, date, registry,
    )  # fmt: skip
    for entry, part in zip(table["range"], ranges, strict=True):
        assert entry["name"] == part.name
        assert entry.get("kind", table["kind"]) == part.kind
        assert entry.get("health_probe", False) == part.health_probe
        assert [parse_network(text) for text in entry["cidrs"].split()] == list(part.networks)


def test_what_is_written_is_loaded(tmp_path: Path) -> None:
    """Every publisher's list, written, is a network file that loads with the same ranges."""
    lists = [read(content) for content in (AWS, GOOGLE, CLOUD, AZURE, CLOUDFLARE, FASTLY)]
    (tmp_path / "networks").mkdir()
    for each in lists:
        (tmp_path / "networks" / f"{each.name}.toml").write_text(to_toml(each), encoding="utf-8")
    files = {file.name: file for file in load_networks([tmp_path])}
    for each in lists:
        file = files[each.name]
        assert (file.title, file.source, file.date) == (each.title, each.source, each.date)
        assert file.role == ("registry" if each.registry else "published")
        assert [(rule.first, rule.last) for rule in file.rules] == [
            pair for part in each.ranges for pair in part.networks
        ]
