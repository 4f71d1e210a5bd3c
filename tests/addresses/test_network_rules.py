"""Every file of ``rules/networks`` holds samples; all must come out as they say."""

from __future__ import annotations

import ipaddress
import itertools
import re
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from analyzer.addresses.classify import Classifier, classify
from analyzer.addresses.networks import load_networks
from analyzer.addresses.ranges import parse_addresses
from analyzer.rules import load_toml, rule_files

if TYPE_CHECKING:
    from pathlib import Path

FILES = rule_files("networks")
EACH_FILE = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
TEXT_KEYS = ("class", "kind", "rule")


def expected(sample: dict[str, Any]) -> dict[str, Any]:
    """Return what a sample says that its address is."""
    return {key: sample[key] for key in TEXT_KEYS} | {"health_probe": sample.get("health_probe", False)}


def test_the_files_are_shipped() -> None:
    """The registries, the clouds, the networks that deliver content and products' defaults have a file each."""
    assert {"special-purpose", "defaults", "gcp", "azure", "cloudflare", "fastly"} <= {file.stem for file in FILES}


@EACH_FILE
def test_samples(file: Path) -> None:
    """Every sample gets the class, kind and rule it names, and is a probe's only where it says so."""
    samples = load_toml(file)["sample"]
    column = parse_addresses(pl.Series("address", [sample["address"] for sample in samples]))
    assert column.null_count() == 0
    labels = Classifier().label(column.to_frame()).select(*TEXT_KEYS, "health_probe").to_dicts()
    assert dict(zip(column, labels, strict=True)) == {
        number: expected(sample) for number, sample in zip(column, samples, strict=True)
    }


@EACH_FILE
def test_samples_cover_every_range_and_what_lies_beside(file: Path) -> None:
    """Each range of a file has a sample, and there are samples that no range of the file holds."""
    table = load_toml(file)
    sampled = {sample["rule"] for sample in table["sample"]}
    if table.get("hint"):
        said = [
            re.split(", | or ", rule.split(": ", 1)[1].removeprefix("ambiguous: ")) for rule in sampled if ": " in rule
        ]
        names = {name.split(": ")[-1].removeprefix("maybe ") for each in said for name in each}
        assert {entry["name"] for entry in table["range"]} <= names
        assert "public address" in sampled
        return
    rules = {f"networks/{file.name}: {entry['name']}" for entry in table["range"]}
    assert rules <= {rule.partition(", ")[0] for rule in sampled}
    assert sampled - rules


@pytest.mark.parametrize("role", ["published", "registry"])
def test_ranges_are_disjoint(role: str) -> None:
    """No shipped CIDR lies in another one of its step: each address has one owner, and a doubled entry is a slip."""
    rules = [rule for file in load_networks() if file.role == role for rule in file.rules]
    ranges = sorted((rule.first, rule.last) for rule in rules)
    assert len(ranges) > 20
    assert all(before[1] < after[0] for before, after in itertools.pairwise(ranges))


@EACH_FILE
def test_the_cidrs_are_one_text(file: Path) -> None:
    """Shipped files have their CIDRs in the layout that loads fast, and no range is empty."""
    assert all(entry["cidrs"].split() for entry in load_toml(file)["range"])


def test_what_the_standard_library_calls_private_is_no_client() -> None:
    """Addresses at the edges of private, loopback, link-local, multicast and reserved networks are never visitors."""
    networks = "0/8 10/8 100.64/10 127/8 169.254/16 172.16/12 192.0.0/24 192.0.2/24 192.168/16 198.18/15 198.51.100/24"
    for short in [*networks.split(), "203.0.113/24", "224/4", "240/4"]:
        base, prefix = short.split("/")
        network = ipaddress.ip_network(f"{base}{'.0' * (3 - base.count('.'))}/{prefix}")
        edges = pl.Series([str(network[0]), str(network[-1])])
        assert classify(edges)["class"].to_list() == ["private", "private"]
