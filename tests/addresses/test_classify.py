"""What an address is said to be, and which of several sayings counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from analyzer.addresses.classify import CLASSES, STEPS, Class, Classifier, classify, declared
from analyzer.addresses.cluster import Cluster, Node
from analyzer.addresses.ranges import NetworkRule, parse_addresses, parse_network, to_number
from analyzer.errors import ClusterError, RuleError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

RULES = 'name = "Office"\nclass = "lb"\nkind = "trusted-proxy"\nsource = "https://example.com"\ndate = 2026-11-21\n'


def label(classifier: Classifier, *texts: str | None) -> pl.DataFrame:
    """Label addresses written as text."""
    return classifier.label(parse_addresses(pl.Series("address", texts, dtype=pl.String)).to_frame())


def said(classifier: Classifier, text: str) -> tuple[str, str, str]:
    """Return class, kind and rule of one address."""
    row = label(classifier, text).row(0, named=True)
    return row["class"], row["kind"], row["rule"]


def rule(cidr: str, class_: str = "node", kind: str = "node", by: str = "cluster.json") -> NetworkRule:
    """Return a rule as the cluster file makes it."""
    return NetworkRule(*parse_network(cidr), class_, kind, by)


def rules_folder(parent: Path, text: str, name: str = "office.toml") -> Path:
    """Write one network file as a user would."""
    (parent / "networks").mkdir(parents=True, exist_ok=True)
    (parent / "networks" / name).write_text(text, encoding="utf-8")
    return parent


def test_labels_have_fixed_names_and_types() -> None:
    """The frame keeps its own columns and rows and gets seven more of fixed types."""
    frame = pl.DataFrame({"requests": [3, 4], "address": pl.Series([to_number("10.0.0.1"), None], dtype=pl.UInt128)})
    labelled = Classifier().label(frame)
    assert labelled.select("requests", "address").equals(frame)
    assert {name: labelled.schema[name] for name in labelled.columns[2:]} == {
        "class": Class, "kind": pl.Categorical, "rule": pl.Categorical, "node": pl.Categorical,
        "in_cluster": pl.Boolean, "health_probe": pl.Boolean, "step": pl.Enum(STEPS),
    }  # fmt: skip
    assert Classifier().label(labelled).equals(labelled)
    assert Classifier().label(frame.clear()).schema == labelled.schema


def test_an_absent_address_is_unknown() -> None:
    """No address is class unknown, in the middle of a column too, and names no node."""
    row = label(Classifier(), "8.8.8.8", None, "8.8.4.4").row(1, named=True)
    assert row == {
        "address": None, "class": "unknown", "kind": "not-an-address", "rule": "not an address", "node": None,
        "in_cluster": False, "health_probe": False, "step": "none",
    }  # fmt: skip


def test_any_other_public_address_is_a_client() -> None:
    """An address that no rule names is a visitor, IPv4 and IPv6 alike."""
    assert label(Classifier(), "8.8.8.8", "2001:4860:4860::8888")["kind"].to_list() == ["public", "public"]
    assert said(Classifier(), "8.8.8.8")[0] == "client"


def test_steps_go_in_order() -> None:
    """The command line beats the cluster file, which beats shipped ranges, however large the range is."""
    inner = rule("10.1.0.0/24")
    cloudflare = rule("104.16.5.5", by="mine")
    classifier = Classifier(declared(client=["10.1.0.0/16"]), [inner, rule("10.0.0.0/8", "private", "pod"), cloudflare])
    assert said(classifier, "10.1.0.7") == ("client", "declared", "--client 10.1.0.0/16")
    assert said(classifier, "10.2.0.7") == ("private", "pod", "cluster.json")
    assert said(classifier, "104.16.5.5") == ("node", "node", "mine")
    assert said(classifier, "104.16.5.6")[2] == "networks/cloudflare.toml: edge"
    assert said(Classifier((), [inner]), "10.1.0.7") == ("node", "node", "cluster.json")
    assert said(Classifier((), [rule("10.7.0.0/24")]), "10.7.1.7")[2] == "networks/special-purpose.toml: rfc1918"


def test_the_more_specific_prefix_wins_within_a_step() -> None:
    """A single address says more than the network round it, whichever was named first."""
    for options in (["10.0.0.0/8", "10.1.2.3"], ["10.1.2.3", "10.0.0.0/8"]):
        classifier = Classifier(declared(lb=options, node=["10.1.0.0/16"]))
        assert said(classifier, "10.1.2.3") == ("lb", "cluster-lb", "--lb 10.1.2.3")
        assert said(classifier, "10.1.2.4") == ("node", "node", "--node 10.1.0.0/16")
        assert said(classifier, "10.2.0.0") == ("lb", "cluster-lb", "--lb 10.0.0.0/8")


@pytest.mark.parametrize(
    ("cidr", "kind"),
    [
        ("10.20.0.0/16", "rfc1918"), ("100.64.0.0/10", "cgnat"), ("fd00::/8", "ula"), ("127.0.0.6", "loopback"),
        ("169.254.0.0/16", "link-local"), ("8.8.8.0/24", "special"), ("0.0.0.0/0", "special"), ("::/0", "special"),
    ],
)  # fmt: skip
def test_declared_private_takes_its_kind_from_the_registry(cidr: str, kind: str) -> None:
    """``--private`` is of the registry entry that holds all of it, ``special`` where none does."""
    assert {(made.class_, made.kind, made.rule) for made in declared(private=[cidr])} == {
        ("private", kind, f"--private {cidr}")
    }


@pytest.mark.parametrize("option", ["node", "lb", "client", "private"])
def test_a_wrong_option_is_named(option: str) -> None:
    """A CIDR that is none is a usage error that names the option and what was given."""
    with pytest.raises(UsageError) as error:
        declared(**{option: ["10.0.0.0/33"]})
    assert str(error.value) == f'--{option}: expected a CIDR such as 10.0.0.0/16, got "10.0.0.0/33"'


def test_declaring_all_of_ipv6_leaves_ipv4_alone() -> None:
    """``--client ::/0`` says nothing of IPv4, though IPv4 is held inside of IPv6."""
    classifier = Classifier(declared(client=["::/0"]))
    assert said(classifier, "10.0.0.1")[0] == "private"
    assert said(classifier, "::1") == said(classifier, "fd00::1") == ("client", "declared", "--client ::/0")


def test_rules_carry_what_else_is_known() -> None:
    """The node an address names, live pods and probe ranges come through to the labels."""
    pod = NetworkRule(*parse_network("10.0.0.9"), "private", "pod", "pod", in_cluster=True)
    gateway = NetworkRule(*parse_network("10.0.0.1"), "node", "cni-gateway", "podCIDR", node="worker-1")
    frame = label(Classifier((), [pod, gateway]), "10.0.0.1", "10.0.0.9", "168.63.129.16", "8.8.8.8")
    assert frame["node"].to_list() == ["worker-1", None, None, None]
    assert frame["in_cluster"].to_list() == [False, True, False, False]
    assert frame["health_probe"].to_list() == [False, False, True, False]


def test_classify_reads_text_and_numbers() -> None:
    """Text, categories and numbers give the same labels, a row for each input row."""
    texts = ["10.0.0.1", "8.8.8.8", None, "::ffff:127.0.0.1", "10.0.0.1"]
    of_text = classify(pl.Series(texts))
    assert of_text.columns == ["class", "kind", "rule"]
    assert of_text["class"].to_list() == ["private", "client", "unknown", "private", "private"]
    assert of_text["class"].dtype == pl.Enum(CLASSES)
    assert classify(pl.Series(texts, dtype=pl.Categorical)).equals(of_text)
    assert classify(parse_addresses(pl.Series(texts))).equals(of_text)
    assert classify(pl.Series([], dtype=pl.String)).schema == of_text.schema


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        ("not-an-address", ["-", "", "unix:", "unix:/run/x.sock", "localhost", "web-1.example.com", None]),
        ("invalid", ["10.0.0", "10.0.0.256", "010.0.0.1", "10.0.0.1:8080", "1::2::3", "12345::"]),
    ],
)
def test_classify_tells_what_is_no_address(kind: str, texts: Sequence[str | None]) -> None:
    """What looks like an address and is none is invalid, anything else is not an address; both are unknown."""
    labels = classify(pl.Series(texts))
    assert set(labels["class"]) == {"unknown"}
    assert labels["kind"].to_list() == [kind] * len(texts)


def test_classify_takes_a_cluster_and_options(tmp_path: Path) -> None:
    """A cluster, as an object or as a file, and the options decide before shipped ranges do."""
    cluster = Cluster("c.json", nodes=(Node("n1", (to_number("8.8.8.8") or 0,), (), schedulable=True, zone=None),))
    texts = pl.Series(["8.8.8.8", "9.9.9.9", "192.168.1.1"])
    labels = classify(texts, cluster=cluster, lb=["9.9.9.0/24"], client=["192.168.1.0/24"])
    assert labels["rule"].to_list() == ["c.json: node n1", "--lb 9.9.9.0/24", "--client 192.168.1.0/24"]
    with pytest.raises(ClusterError, match=r"nothing\.json: expected Nodes"):
        classify(texts, cluster=tmp_path / "nothing.json")


def test_classify_refuses_other_columns() -> None:
    """A column of another type is a usage error that names the type."""
    with pytest.raises(UsageError, match="expected addresses as String or UInt128, got Int64"):
        classify(pl.Series([1, 2]))


def test_user_rules_are_added(tmp_path: Path) -> None:
    """A user's file is read besides the shipped ones, bears its own path, and counts where both name one range."""
    ranges = '[[range]]\nname = "vpn"\ncidrs = ["9.9.9.0/24", "104.16.0.0/13"]\n'
    folder = rules_folder(tmp_path / "mine", RULES + ranges)
    classifier = Classifier(extra_rules=[folder])
    assert said(classifier, "9.9.9.9") == ("lb", "trusted-proxy", f"{folder}/networks/office.toml: vpn")
    assert said(classifier, "104.16.0.1")[2] == f"{folder}/networks/office.toml: vpn"
    assert said(classifier, "104.24.0.1")[2] == "networks/cloudflare.toml: edge"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "expected TOML in UTF-8, got: "),
        (RULES, "expected `range` of type list, got nothing"),
        (RULES + "range = [5]", "expected `name` of type str, got nothing"),
        (RULES + '[[range]]\nname = "a"\n', "a: expected `cidrs` of type list, got nothing"),
        (RULES + '[[range]]\nname = "a"\ncidrs = ["10.0.0.1/8"]', "a: expected a CIDR without host bits such as 10.0"),
        (RULES + '[[range]]\nname = "a"\ncidrs = [5]', 'a: expected a CIDR such as 10.0.0.0/16, got "5"'),
        (RULES + '[[range]]\nname = "a"\nclass = "node"\ncidrs = []', "a class and a kind of it, got node trusted"),
        (RULES + '[[range]]\nname = "a"\nhealth_probe = 1\ncidrs = []', "expected `health_probe` of type bool, got 1"),
        (RULES.replace("2026-11-21", '"today"') + "range = []", "expected `date` of type date, got 'today'"),
    ],
)
def test_a_wrong_rule_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    """A rule file that cannot be used is an error that names the file, the range and what was expected."""
    folder = rules_folder(tmp_path, text)
    with pytest.raises(RuleError) as error:
        Classifier(extra_rules=[folder])
    assert str(error.value).startswith(f"{folder}/networks/office.toml: ")
    assert message in str(error.value)


def test_a_folder_without_rules_is_refused(tmp_path: Path) -> None:
    """``--rules`` with a folder that is missing or holds no rules is an error and not silently nothing."""
    with pytest.raises(RuleError, match="got no such folder"):
        Classifier(extra_rules=[tmp_path / "missing"])
    with pytest.raises(RuleError, match="expected a folder that holds formats, envelopes, networks, asns, findings"):
        Classifier(extra_rules=[tmp_path])


def test_parts_end_where_an_answer_does() -> None:
    """A stretch of addresses falls into parts of one answer, down to a single address at its end."""
    classifier = Classifier(declared(node=["10.0.0.5"]))
    first, node, last = (to_number(text) or 0 for text in ("10.0.0.3", "10.0.0.5", "10.0.0.6"))
    parts = [(part.first, part.last, part.class_) for part in classifier.parts(first, node)]
    assert parts == [(first, node - 1, "private"), (node, node, "node")]
    parts = [(part.first, part.last, part.class_) for part in classifier.parts(node, last)]
    assert parts == [(node, node, "node"), (last, last, "private")]
