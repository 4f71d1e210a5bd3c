"""Trust: the verdict, what it is drawn from, and what can be recovered."""

from __future__ import annotations

import polars as pl
import pytest
from chains import ANN, BOB, CID, CLASSIFIER, EDGE, LB, MAL, NODE, POD, Request, addresses, frame, rules, table

from analyzer.addresses.classify import Classifier, declared
from analyzer.addresses.cluster_model import ProxySettings
from analyzer.parsing.log_format import compile_format
from analyzer.readings.shares import considered
from analyzer.readings.trust import LOG_FORMAT, Forged, Hop, Trust, recoverable, summary, trust
from analyzer.tables import chains
from analyzer.tables.chain_table import new_chain_table
from analyzer.tables.columns import Outcome

SAID = {"use_forwarded_headers": "ConfigMap ingress-nginx/controller", "trusted": "default"}
EVERYONE = ProxySettings(
    use_forwarded_headers=True, trusted=("0.0.0.0/0",), recursive=True, header="X-Forwarded-For", sources=SAID
)
NARROW = ProxySettings(
    use_forwarded_headers=True, trusted=("10.9.0.0/16",), recursive=True, header="X-Forwarded-For", sources=SAID
)
NO_HEADER = ProxySettings(
    use_forwarded_headers=False, use_proxy_protocol=False, enable_real_ip=False, trusted=("0.0.0.0/0",), sources=SAID
)
PROXY_ONLY = ProxySettings(
    use_forwarded_headers=False, use_proxy_protocol=True, trusted=("0.0.0.0/0",), header="proxy_protocol", sources=SAID
)
PLAIN = Request(ANN, ANN, LB, times=50)
BELIEVED = Request(BOB, f"{BOB}, {MAL}", LB)
NOT_BELIEVED = Request(MAL, f"{BOB}, {MAL}", LB)


def read(*requests: Request, settings: tuple[ProxySettings, ...] = (), classifier: Classifier = CLASSIFIER) -> Trust:
    """Read trust off requests."""
    return trust(table(requests, classifier), addresses(requests, classifier), settings)


def test_a_log_with_the_remote_address_alone_cannot_tell() -> None:
    """Nothing is known, nothing is counted, and the format that would decide is named."""
    reading = read(Request(ANN), Request(LB))
    assert (reading.verdict, reading.forged_requests, reading.hops, reading.examples) == ("cannot-tell", None, [], [])
    assert reading.log_format == LOG_FORMAT
    assert summary(reading)[0] == "cannot tell: the log holds no X-Forwarded-For and no address of the peer"
    assert "$http_x_forwarded_for" in summary(reading)[1]


def test_the_format_that_decides_is_one_that_can_be_read() -> None:
    """The format named holds every address that tells, and the program takes it."""
    columns = compile_format(LOG_FORMAT).columns
    assert {"remote_addr", "realip_remote_addr", "proxy_protocol_addr", "x_forwarded_for", "request_time"} <= set(
        columns
    )


def test_headers_that_are_not_believed() -> None:
    """Clients wrote addresses and the server took the one that its load balancer wrote: that is sound."""
    reading = read(PLAIN, NOT_BELIEVED._replace(times=3))
    assert (reading.verdict, reading.forged_requests, reading.log_format) == ("sound", 0, None)
    assert "3 requests" in reading.reason
    assert reading.hops == [Hop(1, 50), Hop(2, 3)]


def test_nobody_tried() -> None:
    """Where no client wrote an address of its own nothing shows whether one would be believed."""
    reading = read(PLAIN)
    assert (reading.verdict, reading.forged_requests, reading.log_format) == ("cannot-tell", 0, None)
    unreadable = read(PLAIN, Request(ANN, f"unknown, {ANN}", LB))
    assert unreadable.verdict == "cannot-tell"


def test_what_stands_left_of_a_proxy_is_its_own_word() -> None:
    """Two proxies in a row of which one is trusted: that the visitor behind the other was not taken shows nothing."""
    assert read(PLAIN, Request("10.9.0.3", f"{ANN}, 10.9.0.3", LB)).verdict == "cannot-tell"


def test_the_leftmost_entry_is_believed() -> None:
    """An address left of one that is no proxy is the client's own word; the example says who wrote what."""
    reading = read(PLAIN, BELIEVED._replace(times=2), NOT_BELIEVED)
    assert (reading.verdict, reading.forged_requests) == ("spoofed", 2)
    assert reading.examples == [Forged(BOB, LB, f"{BOB}, {MAL}", 2)]
    assert reading.reason == "the logged address of 2 requests is what the client wrote"
    assert summary(reading) == [f"spoofed: {reading.reason}"]


@pytest.mark.parametrize(
    "request_",
    [
        Request(BOB, f"{BOB}, {MAL}, 10.9.0.2", LB),
        Request(BOB, f"{BOB}, {LB}, {MAL}", LB),
        Request(BOB, f"{BOB}, {LB}, {MAL}, 10.9.0.2", LB),
        Request(BOB, f"{BOB}, {MAL}, {LB}, 10.9.0.2", LB),
        Request("127.0.0.1", f"127.0.0.1, {MAL}", LB),
        Request(BOB, f"{BOB}, unknown, {LB}", LB),
        Request(BOB, BOB, MAL),
        Request(BOB, f"{BOB}, {LB}", MAL),
        Request(BOB, BOB, LB, proxied=MAL),
        Request(BOB, peer=MAL),
        Request(BOB, ", ".join([BOB, *[LB] * 40, MAL]), LB),
    ],
)
def test_ways_to_forge(request_: Request) -> None:
    """Whoever is no proxy and stands right of the logged address, or sent the request, wrote it."""
    requests = [PLAIN, request_] if request_.chain else [request_, Request(ANN, peer=LB, times=50)]
    reading = read(*requests)
    assert (reading.verdict, reading.forged_requests) == ("spoofed", 1)


@pytest.mark.parametrize(
    "request_",
    [
        Request(BOB, f"{BOB}, 10.9.0.2, 192.168.7.7", LB),
        Request(BOB, f"{MAL}, {BOB}, 10.9.0.2", LB),
        Request(BOB, f"{BOB}, {BOB}", LB),
        Request(BOB, BOB, BOB),
        Request(BOB, MAL, BOB),
        Request(BOB, None, LB, proxied=BOB),
        Request(BOB, MAL, LB, proxied=BOB),
        Request(LB, f"{BOB}, {MAL}", LB),
        Request(LB, None, LB, proxied=BOB),
        Request(LB, LB, LB, proxied=BOB),
        Request(BOB, None, LB),
    ],
)
def test_what_is_not_forged(request_: Request) -> None:
    """Behind known proxies, or from the connection itself, an address is what it is."""
    assert read(PLAIN, request_).forged_requests == 0


def test_a_proxy_header_that_is_not_used_forges_nothing() -> None:
    """Where no chain is logged, an address other than the PROXY header's may be the connection's own."""
    for request in (Request(LB, None, LB, proxied=BOB), Request(LB, None, None, proxied=BOB)):
        assert read(request).forged_requests == 0
    assert read(Request(ANN, None, LB, proxied=BOB), Request(BOB, None, LB, BOB, times=9)).forged_requests == 1


def test_another_header_shows_nothing_of_this_one() -> None:
    """An address that stands in no chain, and is not the peer's, does not show that the chain is not believed."""
    reading = read(PLAIN, Request(CID, BOB, LB))
    assert reading.verdict == "cannot-tell"


def test_one_sender_that_claims_many() -> None:
    """Rotation is named: one entry that proxies wrote, many addresses claimed behind it."""
    rotating = [Request(f"81.2.69.{n}", f"81.2.69.{n}, {MAL}", LB) for n in range(40)]
    reading = read(PLAIN, *rotating)
    assert reading.forged_requests == 40
    assert "one sender claimed about" in reading.reason
    assert len(reading.examples) == 1


def test_an_unnamed_proxy_is_no_forger() -> None:
    """Where most requests passed an address that no rule knows it is a proxy; naming or inferring it settles that."""
    requests = [Request(f"81.2.69.{n}", f"81.2.69.{n}, {EDGE}", LB, times=5) for n in range(20)]
    reading = read(*requests)
    assert (reading.verdict, reading.forged_requests) == ("cannot-tell", 0)
    assert "--lb" in reading.reason
    beyond = Request(BOB, f"{BOB}, {MAL}, {EDGE}", LB, times=2)
    reading = read(*requests, beyond)
    assert (reading.verdict, reading.forged_requests) == ("spoofed", 2)
    named = Classifier([*rules(), *declared(lb=[EDGE])])
    assert read(*requests, beyond, classifier=named).forged_requests == 2
    assert read(*requests, classifier=named).reason.startswith("no client wrote")


def test_what_was_inferred_counts() -> None:
    """An address that inference knows as a proxy is one in the chain too, though by its range it is a visitor."""
    requests = [PLAIN, BELIEVED, Request(MAL, None, LB)]
    labelled = addresses(requests)
    inferred = labelled.with_columns(
        pl.when(pl.col("address") == addresses([Request(MAL)])["address"][0])
        .then(pl.lit("lb", labelled.schema["class"]))
        .otherwise("class")
        .alias("class")
    )
    assert trust(table(requests), labelled).forged_requests == 1
    assert trust(table(requests), inferred).forged_requests == 0


class TestWithoutThePeer:
    """Formats that log X-Forwarded-For, but not who sent it."""

    def test_a_few_believed_chains_are_forged(self) -> None:
        """No proxy writes a chain for these visitors, and the server believes those that have one."""
        reading = read(Request(ANN, times=50), Request(BOB, BOB, times=2))
        assert (reading.verdict, reading.forged_requests) == ("spoofed", 2)
        assert reading.examples == [Forged(BOB, None, BOB, 2)]

    def test_chains_that_are_not_believed(self) -> None:
        """Visitors send chains and their own addresses are logged all the same."""
        reading = read(Request(ANN, times=50), Request(MAL, BOB, times=2), Request(CID, CID))
        assert (reading.verdict, reading.forged_requests) == ("sound", 0)

    def test_a_chain_for_everyone(self) -> None:
        """A proxy writes them all, and nobody added to them."""
        reading = read(Request(ANN, ANN, times=50))
        assert (reading.verdict, reading.forged_requests) == ("cannot-tell", 0)
        assert reading.log_format == LOG_FORMAT

    def test_other_formats_hide_how_many_have_a_chain(self) -> None:
        """Where only some lines could hold a chain, few chains show nothing."""
        requests = [Request(ANN, ANN, times=2), Request(BOB, times=50)]
        found = new_chain_table(CLASSIFIER)
        found.add(frame(requests[:1], ["chain"]))
        found.add(frame(requests[1:], []))
        assert trust(found.table(), addresses(requests)).forged_requests == 0

    def test_the_leftmost_of_several(self) -> None:
        """A second entry shows what is believed."""
        assert read(Request(ANN, ANN, times=50), Request(BOB, f"{BOB}, {MAL}")).verdict == "spoofed"
        assert read(Request(ANN, ANN, times=50), Request(MAL, f"{BOB}, {MAL}")).verdict == "sound"

    def test_health_probes_are_no_visitors(self) -> None:
        """Many probes without a chain do not make the chains of visitors few."""
        probes = Request(NODE, times=5000, outcome=Outcome.HEALTH_PROBE)
        assert read(probes, Request(ANN, ANN, times=50)).forged_requests == 0

    def test_an_address_that_is_in_its_chain_by_chance(self) -> None:
        """Where chains are not believed a client that writes its own address into one has forged nothing."""
        ignored = Request(MAL, BOB, times=3)
        assert read(Request(ANN, times=50), ignored, Request(CID, f"{CID}, {BOB}")).forged_requests == 0


SETTINGS = [
    ((EVERYONE,), "exposed", "everybody is trusted to write X-Forwarded-For, clients too (default)"),
    ((NARROW, EVERYONE), "exposed", "everybody is trusted to write X-Forwarded-For, clients too (default)"),
    ((NARROW,), "sound", "only 10.9.0.0/16 may name the client"),
    ((NO_HEADER,), "sound", "no header is read for the client's address"),
    ((PROXY_ONLY,), "sound", "no header is read for the client's address"),
]


@pytest.mark.parametrize(("settings", "verdict", "reason"), SETTINGS)
def test_settings_decide_where_no_header_is_logged(
    settings: tuple[ProxySettings, ...], verdict: str, reason: str
) -> None:
    """The cluster file says who may write the header; forged requests cannot be counted."""
    reading = read(Request(ANN), settings=settings)
    assert (reading.verdict, reading.reason) == (verdict, reason)
    assert (reading.forged_requests, reading.log_format) == (None, None)


def test_settings_that_nobody_knows_decide_nothing() -> None:
    """A cluster file without ConfigMaps is as good as none."""
    assert read(Request(ANN), settings=(ProxySettings(),)).verdict == "cannot-tell"


def test_both_headers_and_everyone_trusted_is_a_trap() -> None:
    """With PROXY and forwarded headers on, everybody's header counts, PROXY or not."""
    both = ProxySettings(
        use_forwarded_headers=True, use_proxy_protocol=True, trusted=("0.0.0.0/0", "::/0"), recursive=True,
        header="X-Forwarded-For", sources=SAID,
    )  # fmt: skip
    assert read(Request(ANN), settings=(both,)).verdict == "exposed"


def test_the_last_entry_alone_is_read() -> None:
    """Without recursion the peer's own entry counts: sound where the log shows that a proxy writes one each time."""
    last = ProxySettings(
        use_forwarded_headers=True, trusted=("0.0.0.0/0",), recursive=False, header="X-Forwarded-For", sources=SAID
    )
    assert read(PLAIN, settings=(last,)).verdict == "sound"
    assert read(Request(ANN), settings=(last,)).verdict == "exposed"
    other = ProxySettings(
        use_forwarded_headers=True, trusted=("0.0.0.0/0",), recursive=False, header="X-Real-IP", sources=SAID
    )
    assert read(PLAIN, settings=(other,)).verdict == "exposed"


def test_trusted_hops_are_not_everyone() -> None:
    """A number of trusted hops leaves nothing to the client."""
    hops = ProxySettings(use_forwarded_headers=True, trusted=("0.0.0.0/0",), trusted_hops=1, sources=SAID)
    assert read(Request(ANN), settings=(hops,)).verdict == "sound"


def test_what_happened_counts_before_what_is_set() -> None:
    """A forged request in the log is one, whatever the cluster file says of today; else the settings decide."""
    assert read(PLAIN, BELIEVED, settings=(NARROW,)).verdict == "spoofed"
    assert read(PLAIN, settings=(EVERYONE,)).verdict == "exposed"
    assert read(PLAIN, NOT_BELIEVED, settings=(EVERYONE,)).verdict == "exposed"
    assert read(PLAIN, settings=(NARROW,)).verdict == "sound"


def test_forgery_shows_when_names_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """With more senders than the table holds the number is the same, only that nobody is named."""
    requests = [PLAIN._replace(times=4000), *(
        Request(f"81.2.{n // 250}.{n % 250}", f"81.2.{n // 250}.{n % 250}, 89.160.{n // 250}.{n % 250}", LB)
        for n in range(1000)
    )]  # fmt: skip
    before = read(*requests)
    for rows, detail in ((100, 1), (1, 2)):
        monkeypatch.setattr(chains, "ROWS", rows)
        assert table(requests).detail == detail
        after = read(*requests)
        assert (after.verdict, after.forged_requests, after.hops) == ("spoofed", 1000, before.hops)
        assert after.examples[0].x_forwarded_for is not None
        assert after.examples[0].remote_addr == after.examples[0].x_forwarded_for.split(",")[0]


def test_a_far_place_is_not_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the least detail the place in a long chain is not known, nor which address it was."""
    monkeypatch.setattr(chains, "ROWS", 1)
    far = Request(BOB, f"{BOB}, {CID}, {EDGE}, {MAL}", LB)
    assert read(PLAIN, far).examples == [Forged(None, None, far.chain, 1)]


def test_hops_are_those_of_formats_that_log_them() -> None:
    """Requests by length, those without a chain among them; long chains are counted as 32."""
    reading = read(Request(ANN, None, LB, times=4), PLAIN, Request(ANN, ", ".join([ANN] * 50), LB))
    assert reading.hops == [Hop(0, 4), Hop(1, 50), Hop(32, 1)]
    assert read(Request(ANN, peer=LB)).hops == []


def lost(*requests: Request) -> int | None:
    """Count what is recoverable, and hold it against what is lost at all."""
    labelled = addresses(requests)
    count = recoverable(table(requests), labelled)
    not_preserved = labelled.filter(pl.col("class") != "client").select(considered().sum()).item()
    assert count is None or 0 <= count <= not_preserved
    return count


@pytest.mark.parametrize(
    ("requests", "count"),
    [
        ([Request(NODE)], None),
        ([Request(NODE, times=9), Request(NODE, ANN)], 1),
        ([Request(NODE, times=10), Request(NODE, ANN)], 0),
        ([Request(NODE, ANN, times=3), Request(LB, BOB, times=2), Request(ANN, ANN)], 5),
        ([Request(LB, f"{BOB}, {MAL}, 10.9.0.2", LB, times=2)], 2),
        ([Request(LB, "unknown", LB), Request(LB, f"{ANN}, unknown", LB), Request(LB, "192.168.1.1", LB)], 0),
        ([Request(NODE, proxied=ANN, times=3), Request(NODE, times=300)], 3),
        ([Request(NODE, None, NODE, proxied=ANN), Request(NODE, times=300)], 1),
        ([Request(LB, f"{ANN}, {LB}"), Request(LB, times=300)], 1),
        ([Request(BOB, BOB, MAL)], 0),
        ([Request("192.168.1.1", "192.168.1.1", MAL)], 1),
        ([Request("192.168.1.1", f"192.168.1.1, {MAL}", LB)], 1),
        ([Request("10.9.0.2", f"{ANN}, 10.9.0.2", LB)], 1),
        ([Request(NODE, ANN, outcome=Outcome.HEALTH_PROBE), Request(NODE, ANN)], 1),
        ([Request("unix:", ANN)], 0),
        ([Request(ANN, MAL)], 0),
    ],
)
def test_what_is_recoverable(requests: list[Request], count: int | None) -> None:
    """A visitor that stands in another column, or in a chain that a proxy wrote, is not lost for good."""
    assert lost(*requests) == count


class Pods:
    """Knows one live pod besides."""

    pod = addresses([Request(POD)])["address"][0]

    @property
    def starts(self) -> pl.Series:
        """Where the answer changes."""
        own = pl.Series([self.pod, self.pod + 1], dtype=pl.UInt128)
        return pl.concat([CLASSIFIER.starts.alias(""), own]).unique().sort()

    def label(self, labelled: pl.DataFrame) -> pl.DataFrame:
        """Label addresses."""
        is_pod = (pl.col("address") == self.pod).fill_null(value=False)
        return CLASSIFIER.label(labelled).with_columns(in_cluster=is_pod)


def test_live_pods_are_not_lost() -> None:
    """A pod's own requests are left out of what can be recovered as they are of what is considered."""
    requests = [Request(POD, ANN), Request(NODE, ANN)]
    found = new_chain_table(Pods())
    found.add(frame(requests, ["chain"]))
    columns = ["address", "requests", "health_probes", "unparsed_requests"]
    assert recoverable(found.table(), Pods().label(addresses(requests).select(columns))) == 1
