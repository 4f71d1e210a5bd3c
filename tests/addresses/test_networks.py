"""Network files, and what many ranges in several steps make of an address, held against `ipaddress` alone."""

from __future__ import annotations

import ipaddress
import itertools
import tempfile
import tomllib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.addresses.classify import Classifier, declared
from analyzer.addresses.networks import load_networks
from analyzer.addresses.ranges import NetworkRule, network_ranges, parse_addresses, to_number
from analyzer.errors import RuleError
from analyzer.rules import rules_dir

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

HEAD = 'name = "Mine"\nclass = "lb"\nkind = "cdn"\nsource = "https://example.com"\ndate = 2026-11-21\n'


class Said(NamedTuple):
    """One network, what it is, and who says so."""

    network: Network
    class_: str
    kind: str
    rule: str


@cache
def shipped() -> dict[str, list[Said]]:
    """Read the shipped files with the standard library alone."""
    found: dict[str, list[Said]] = {"published": [], "registry": [], "hint": []}
    for path in sorted((rules_dir() / "networks").glob("*.toml")):
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        role = next((role for role in ("registry", "hint") if table.get(role)), "published")
        for entry in table["range"]:
            what = {**table, **entry}
            name = entry["name"] if role == "hint" else f"networks/{path.name}: {entry['name']}"
            for cidr in entry["cidrs"].split():
                found[role].append(Said(ipaddress.ip_network(cidr), what["class"], what["kind"], name))
    return found


def holding(address: Address, step: list[Said]) -> list[Said]:
    """Return what holds an address, longest prefix first, of equals the earliest."""
    said = [each for each in step if address in each.network]
    return sorted(said, key=lambda each: -each.network.prefixlen)


def judge(address: Address, steps: list[list[Said]]) -> tuple[str, str, str]:
    """Say what an address is, one step after the other."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    for step in [*steps, shipped()["published"]]:
        for said in holding(address, step):
            return said[1:]
    found = holding(address, shipped()["registry"])
    class_, kind, rule = found[0][1:] if found else ("client", "public", "public address")
    hints = [said.rule for said in holding(address, shipped()["hint"])]
    if len(hints) > 1:
        rule += f", ambiguous: {', '.join(hints[:-1])} or {hints[-1]}"
    elif hints:
        rule += f", maybe {hints[0]}"
    return class_, kind, rule


BASES = ["10.0.0.0", "10.244.3.0", "100.64.0.7", "104.16.0.0", "8.8.8.8", "192.168.255.0", "169.254.169.254"]
BASES += ["2606:4700::", "fd00::7", "::", "2001:db8::1", "::fffe:ffff:ffff", "64:ff9b::1"]
NEAR = st.tuples(st.sampled_from(BASES), st.integers(-(2**18), 2**18))
OTHERS = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))
MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
SAID = [("node", "node"), ("lb", "cdn"), ("private", "pod"), ("client", "public"), ("lb", "cluster-lb")]


def near(pair: tuple[str, int]) -> Address:
    """Return an address beside another, of the same family."""
    base = ipaddress.ip_address(pair[0])
    return type(base)((int(base) + pair[1]) % (1 << base.max_prefixlen))


ADDRESSES = st.one_of(NEAR.map(near), OTHERS)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Return any network; those inside of ``::ffff:0:0/96`` are IPv4 and stand as such.

    Of those that hold it there is but ``::/0``: below it they are alike, and nobody has an address there.
    """
    address = draw(ADDRESSES)
    network = ipaddress.ip_network((address, draw(st.integers(0, address.max_prefixlen))), strict=False)
    if isinstance(network, ipaddress.IPv6Network) and network[0].ipv4_mapped and network.prefixlen >= 96:
        return ipaddress.ip_network(f"{network[0].ipv4_mapped}/{network.prefixlen - 96}")
    if isinstance(network, ipaddress.IPv6Network) and MAPPED.subnet_of(network):
        return ipaddress.ip_network("::/0")
    return network


STEP = st.lists(st.tuples(networks(), st.sampled_from(SAID)), max_size=8)


@settings(max_examples=150, deadline=None)
@given(STEP, STEP, STEP, st.lists(ADDRESSES, max_size=20))
def test_classes_agree_with_a_plain_search(
    own: list[tuple[Network, tuple[str, str]]],
    facts: list[tuple[Network, tuple[str, str]]],
    user: list[tuple[Network, tuple[str, str]]],
    addresses: list[Address],
) -> None:
    """The first step that knows an address decides, in it the longest prefix, in both families, mapped or not."""
    told = [Said(network, "node", "node", f"--node {network}") for network, _ in own]
    cluster = [Said(network, *said, f"c.json: {order}") for order, (network, said) in enumerate(facts)]
    rules = [
        NetworkRule(*pair, said.class_, said.kind, said.rule)
        for said in cluster
        for pair in network_ranges(str(said.network))
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "networks" / "mine.toml"
        path.parent.mkdir()
        published = [Said(network, *said, f"{path}: {order}") for order, (network, said) in enumerate(user)]
        path.write_text(HEAD + "range = []\n" * (not published) + "".join(entry(said, path) for said in published))
        classifier = Classifier(declared(node=[str(said.network) for said in told]), rules, [Path(folder)])
    edges = [edge for network, _ in (*own, *facts, *user) for edge in (network[0], network[-1])]
    addresses += [near((str(edge), by)) for edge in edges for by in (-1, 0, 1)]
    mapped = [ipaddress.ip_address(f"::ffff:{each}") for each in addresses if isinstance(each, ipaddress.IPv4Address)]
    addresses += mapped
    steps = [told, cluster, [*published, *shipped()["published"]]]
    labels = classifier.label(parse_addresses(pl.Series("address", map(str, addresses), dtype=pl.String)).to_frame())
    found = labels.select("class", "kind", "rule").rows()
    assert dict(zip(addresses, found, strict=True)) == {each: judge(each, steps) for each in addresses}
    for each, answer in zip(addresses, found, strict=True):
        number = to_number(str(each)) or 0
        assert [part[2:5] for part in classifier.parts(number, number)] == [answer]
        first = next(iter(classifier.matching(number, number)), None)
        if first is not None and first.step not in {"registry", "hint"}:
            assert (first.rule.class_, first.rule.kind, first.rule.rule) == answer


def entry(said: Said, path: Path) -> str:
    """Write a network as a range of a rule file."""
    name = said.rule.removeprefix(f"{path}: ")
    return f'[[range]]\nname = "{name}"\nclass = "{said.class_}"\nkind = "{said.kind}"\ncidrs = "{said.network}"\n'


@pytest.mark.parametrize("cidr", ["0.0.0.0/0", "::/0", "10.0.0.0/8", "100.0.0.0/8", "2606:4600::/24", "104.0.0.0/5"])
def test_parts_of_a_network_fit_together(cidr: str) -> None:
    """The parts of a network cover it without a gap, neighbours differ, and each is of one answer."""
    classifier = Classifier(declared(node=["10.1.0.0/24"], lb=["10.1.0.9"]))
    for first, last in network_ranges(cidr):
        parts = classifier.parts(first, last)
        assert (parts[0].first, parts[-1].last) == (first, last)
        for before, after in itertools.pairwise(parts):
            assert before.last + 1 == after.first
            assert before[2:] != after[2:]
        for part in parts:
            ends = pl.DataFrame({"address": pl.Series([part.first, part.last], dtype=pl.UInt128)})
            labels = classifier.label(ends).select("class", "kind", "rule", "step")
            assert set(labels.rows()) == {part[2:]}


def test_steps_are_named() -> None:
    """A label tells who decided, and so whether the traffic of an address may decide otherwise."""
    classifier = Classifier(declared(node=["9.9.9.9"]), [NetworkRule(*network_ranges("9.9.9.8")[0], "lb", "cdn", "c")])
    texts = ["9.9.9.9", "9.9.9.8", "104.16.0.1", "10.0.0.1", "9.9.9.7"]
    labels = classifier.label(parse_addresses(pl.Series("address", texts)).to_frame())
    assert labels["step"].to_list() == ["command-line", "cluster", "published", "registry", "none"]


def test_a_hint_decides_nothing() -> None:
    """Where a product defaults to a range the class stays what it is, and whatever is known goes before the hint."""
    address = to_number("10.42.0.1") or 0
    [part] = Classifier().parts(address, address)
    assert part[2:] == (
        "private", "rfc1918", "networks/special-purpose.toml: rfc1918, maybe k3s and RKE2 pods", "registry",
    )  # fmt: skip
    fact = NetworkRule(address, address, "node", "cni-gateway", "cluster.json: podCIDR of w1")
    [part] = Classifier((), [fact]).parts(address, address)
    assert part.rule == "cluster.json: podCIDR of w1"
    assert [match.step for match in Classifier((), [fact]).matching(address, address)] == [
        "cluster",
        "registry",
        "hint",
    ]


def test_hints_of_a_user(tmp_path: Path) -> None:
    """A user's own hints are named with the shipped ones, on public addresses too, and decide as little."""
    text = HEAD + 'hint = true\n[[range]]\nname = "our pods"\ncidrs = "10.42.0.0/17 9.0.0.0/8"\n'
    classifier = Classifier(extra_rules=[folder(tmp_path, "ours", text)])
    texts = ["10.42.0.1", "10.42.200.1", "9.9.9.9"]
    labels = classifier.label(parse_addresses(pl.Series("address", texts)).to_frame())
    rule = "networks/special-purpose.toml: rfc1918"
    assert labels.select("class", "rule").rows() == [
        ("private", f"{rule}, ambiguous: our pods or k3s and RKE2 pods"),
        ("private", f"{rule}, maybe k3s and RKE2 pods"),
        ("client", "public address, maybe our pods"),
    ]


def folder(parent: Path, name: str, text: str) -> Path:
    """Write one network file as a user would."""
    (parent / "networks").mkdir(parents=True, exist_ok=True)
    (parent / "networks" / f"{name}.toml").write_text(text, encoding="utf-8")
    return parent


def test_a_file_of_the_same_name_replaces(tmp_path: Path) -> None:
    """A user's newer list stands in place of the shipped one, and the last folder's in place of all."""
    one = folder(tmp_path / "1", "fastly", HEAD + '[[range]]\nname = "a"\ncidrs = ["9.9.9.0/24", "9.9.8.0/24"]\n')
    two = folder(tmp_path / "2", "fastly", HEAD + '[[range]]\nname = "b"\ncidrs = "9.9.7.0/24"\n')
    for folders, lasting in (([one], one), ([one, two], two)):
        files = {file.name: file for file in load_networks(folders)}
        assert files["fastly"].path == lasting / "networks" / "fastly.toml"
        assert (files["fastly"].replaces, files["fastly"].shipped) == (True, False)
        assert not files["cloudflare"].replaces
        labels = Classifier(extra_rules=folders).label(
            parse_addresses(pl.Series("address", ["151.101.1.1", "9.9.9.9", "9.9.7.9"])).to_frame()
        )
        classes = ["client", "lb", "client"] if lasting == one else ["client", "client", "lb"]
        assert labels["class"].to_list() == classes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "registry = true\nhint = true\nrange = []", "expected `registry` or `hint`, got both"),
        (HEAD + 'hint = "yes"\nrange = []', "expected `hint` of type bool, got 'yes'"),
        (HEAD + "range = {}", "expected `range` of type list, got {}"),
        (HEAD + '[[range]]\nname = "a"\ncidrs = 5', "a: expected `cidrs` of type list, got 5"),
        (HEAD + '[[range]]\nname = "a"\ncidrs = "9.9.9.0/24, 9.9.9.9"', 'expected a CIDR such as 10.0.0.0/16, got "9.'),
        (HEAD + "range = [[]]", "expected `name` of type str, got nothing"),
        (HEAD.replace("-21", "-21T00:00:00Z") + "range = []", "expected `date` of type date, got datetime.datetime"),
        (HEAD.replace("2026-11-21", "07:00:00") + "range = []", "expected `date` of type date, got datetime.time"),
        ("x = " + "[" * 5_000, "expected TOML"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    """A file of wrong types or nested without end is an error that names it."""
    with pytest.raises(RuleError) as error:
        load_networks([folder(tmp_path, "wrong", text)])
    assert str(error.value).startswith(f"{tmp_path}/networks/wrong.toml: ")
    assert message in str(error.value)
