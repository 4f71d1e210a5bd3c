"""logscan against clusters of real proxies, with a cluster file and without; the truth is kept apart."""

from __future__ import annotations

import os
import re
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from command import bash, logscan
from lab import network
from lab.lab import Lab, Ran
from lab.scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Play = Callable[[str], Ran]

pytestmark = pytest.mark.lab

#: How many points the percentage may be off with a cluster file.
POINTS = 0.1
README = Path(__file__).parent.parent.parent / "README.md"
SHOWN = re.compile(
    r"<!-- lab: (?P<name>\w+) -->\n```text\n\$ (?P<command>.*)\n(?P<output>(?:.*\n)*?)```$", re.MULTILINE
)

every_scenario = pytest.mark.parametrize("name", SCENARIOS)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    """Run scenarios as they are asked for, each once; networks are set up once for all of them."""
    network.require()
    done: dict[str, Ran] = {}
    networks: dict[str, network.Network] = {}
    with ExitStack() as stack:

        def play(name: str) -> Ran:
            if name not in done:
                scenario = SCENARIOS[name]
                if scenario.pods not in networks:
                    networks[scenario.pods] = stack.enter_context(network.running(scenario.pods))
                lab = Lab(networks[scenario.pods], tmp_path_factory.mktemp(name), name)
                try:
                    scenario.play(lab)
                finally:
                    lab.close()
                done[name] = lab.finish()
            return done[name]

        yield play


def analyzed(ran: Ran, *options: str, with_cluster: bool = True) -> dict[str, Any]:
    """Return the report on what a scenario left."""
    known = ("--cluster", str(ran.cluster)) if with_cluster else ()
    return _report(ran.logs, *known, *options)


@cache
def _report(logs: Path, *options: str) -> dict[str, Any]:
    done = logscan("analyze", logs, "--format", "json", *options, cwd=logs.parent)
    assert done.stdout, done.stderr
    return done.report


@every_scenario
def test_the_numbers_are_the_truth(name: str, ran: Play) -> None:
    """With a cluster file the percentage is within 0.1 points of the truth, and whoever is no visitor is left out."""
    scenario, left = SCENARIOS[name], ran(name)
    truth, report = left.truth, analyzed(left, *scenario.options)
    found = report["preservation"]
    if scenario.preserved is None:
        assert truth.preserved_pct is None
        assert found["preserved_pct"] is None
    else:
        assert truth.preserved_pct is not None
        assert scenario.preserved[0] <= truth.preserved_pct <= scenario.preserved[1], truth
        assert abs(found["preserved_pct"] - truth.preserved_pct) <= POINTS
    assert found["considered"] == truth.visits
    assert found["excluded"] == {
        "health_probe": truth.probes, "unparsed_request": truth.unreadable, "in_cluster": truth.callers, "unknown": 0,
    }  # fmt: skip
    assert report["input"]["rejected"] == 0
    assert truth.addresses.items() <= {row["address"]: row["requests"] for row in found["addresses"]}.items()
    if scenario.stand_in:
        assert found["classes"][scenario.stand_in[0]]["considered"] == truth.visits - truth.own - truth.forged


@every_scenario
def test_the_log_alone_tells_no_less_of_visitors(name: str, ran: Play) -> None:
    """Without a cluster file the percentage is the same, but that calls of pods cannot be told from lost visitors."""
    scenario, left = SCENARIOS[name], ran(name)
    truth, found = left.truth, analyzed(left, *scenario.options, with_cluster=False)["preservation"]
    assert found["preserved"] == truth.own + truth.forged
    assert found["considered"] == truth.visits + truth.callers
    assert found["excluded"]["health_probe"] == truth.probes
    if scenario.stand_in:
        assert found["classes"][scenario.stand_in[1]]["considered"] == truth.visits - truth.own - truth.forged


@every_scenario
def test_trust_is_what_clients_can_do(name: str, ran: Play) -> None:
    """The verdict is the one that the controller's settings, or the forged addresses, call for."""
    scenario, left = SCENARIOS[name], ran(name)
    for with_cluster, verdict in zip((True, False), scenario.trust, strict=True):
        report = analyzed(left, *scenario.options, with_cluster=with_cluster)
        assert report["trust"]["verdict"] == verdict
        assert report["trust"]["forged_requests"] in (left.truth.forged, None)
        assert report["trust"]["forged_requests"] is not None or verdict != "spoofed"
        assert report["preservation"]["recoverable_pct"] == scenario.recoverable


@every_scenario
def test_what_is_wrong_is_found(name: str, ran: Play) -> None:
    """Whatever is wrong is found, and nothing is called an error that is none; so also by the log alone."""
    scenario, left = SCENARIOS[name], ran(name)
    alone = scenario.findings if scenario.alone is None else scenario.alone
    for with_cluster, expected in ((True, scenario.findings), (False, alone)):
        found = analyzed(left, *scenario.options, with_cluster=with_cluster)["findings"]
        assert expected <= {finding["id"] for finding in found}
        assert {finding["id"] for finding in found if finding["severity"] == "error"} <= expected


@every_scenario
def test_requests_that_are_none_are_counted(name: str, ran: Play) -> None:
    """What the log gives away of PROXY headers is counted, every one, and nothing is where there is none."""
    left = ran(name)
    expected = dict.fromkeys(
        ("proxy_v1_to_plain_listener", "proxy_v2_to_plain_listener", "broken_proxy_header", "tls_to_plain_listener"), 0
    )
    if signal := SCENARIOS[name].signal:
        expected[signal] = left.truth.unreadable + left.truth.broken
        assert expected[signal] > 0
    signals = analyzed(left)["signals"]
    assert {key: signals[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("name", "by", "verdict"),
    [
        ("local_even", "node", "even"),
        ("local_even", "pod", "even"),
        ("local_uneven", "node", "even"),
        ("local_uneven", "pod", "uneven"),
        ("cluster", "pod", "even"),
    ],
)
def test_skew_is_that_of_the_balancing(name: str, by: str, verdict: str, ran: Play) -> None:
    """The pods of a log have as many requests as they answered; under Local pods that share a node have less."""
    left = ran(name)
    skew = analyzed(left, "--by", by)["skew"]
    assert skew["verdict"] == verdict
    if by == "pod":
        assert sorted(group["requests"] for group in skew["groups"]) == sorted(left.truth.pods.values())
        assert skew["fits"] == ("by_node" if verdict == "uneven" else "even")


def test_a_limit_rejects_what_the_replay_says(ran: Play) -> None:
    """What nginx rejected by `limit-rps` is what logscan finds for that limit; nginx's log has milliseconds."""
    left = ran("limited")
    report = analyzed(left)
    assert report["signals"]["limiting_requests"] == left.truth.limited > 0
    replayed = next(each for each in report["rate_limit"]["simulations"] if each["limit"] == "limit-rps: 5")
    assert abs(replayed["rejected"] - left.truth.limited) <= left.truth.visits * POINTS / 10


def test_lost_requests_stand_in_no_log(ran: Play) -> None:
    """While a pod is replaced under Local, requests are lost that no log tells of."""
    left = ran("rolling_update")
    assert left.lost > 0
    assert left.truth.visits + left.lost == 920


def test_private_visitors_are_no_proxies(ran: Play) -> None:
    """Colleagues behind a VPN that nobody declared are neither nodes nor load balancers, whatever else is known."""
    for with_cluster in (True, False):
        classes = analyzed(ran("vpn_clients"), with_cluster=with_cluster)["preservation"]["classes"]
        assert classes["node"]["requests"] == classes["lb"]["requests"] == 0


def test_a_change_stands_in_the_timeline(ran: Play) -> None:
    """The percentage goes from nothing to all at the moment when the policy was changed."""
    points = analyzed(ran("switched_half_way"))["timeline"]["points"]
    assert [point["preserved_pct"] for point in (points[0], points[-1])] == [0, 100]


def test_the_readme_shows_a_run(ran: Play) -> None:
    """What the README shows of a scenario is what the command prints; LOGSCAN_UPDATE_CASES=1 rewrites it."""
    text = README.read_text()
    shown = SHOWN.search(text)
    assert shown
    printed = bash(shown["command"], cwd=ran(shown["name"]).logs.parent).stdout.decode()
    if os.environ.get("LOGSCAN_UPDATE_CASES") == "1":
        README.write_text(text[: shown.start("output")] + printed + text[shown.end("output") :])
        return
    assert printed == shown["output"]


def test_a_network_leaves_nothing_behind() -> None:
    """Namespaces, and with them every interface and rule, are gone also when what ran in them failed."""
    network.require()
    before = network.namespaces()

    def fail() -> None:
        with network.running("10.99") as made:
            assert set(network.namespaces()) > set(before)
            assert made.pod("controller-1") in made.run("controller-1", ["ip", "address"])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert network.namespaces() == before
