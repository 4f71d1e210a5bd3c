"""Requests as the table of chains takes them, written by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from analyzer.addresses.classify import Classifier, declared
from analyzer.addresses.ranges import parse_addresses
from analyzer.tables.address_table import PortableAddressTable
from analyzer.tables.chain_table import new_chain_table
from analyzer.tables.columns import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.addresses.ranges import NetworkRule
    from analyzer.tables.chains import Chains

NODE, LB, EDGE, POD = "10.0.0.10", "10.9.0.1", "81.2.70.9", "10.244.1.9"
ANN, BOB, CID, MAL = "81.2.69.142", "2a02:cf40::7", "81.2.69.160", "89.160.20.112"


def rules() -> list[NetworkRule]:
    """Return what the addresses above are; the visitors are what is left."""
    return declared(node=["10.0.0.0/24"], lb=["10.9.0.0/16"], private=["10.244.0.0/16"])


CLASSIFIER = Classifier(rules())


class Request(NamedTuple):
    """What a line says of addresses, `times` over; None is what its format does not log."""

    remote: str = ANN
    chain: str | None = None
    peer: str | None = None
    proxied: str | None = None
    times: int = 1
    outcome: Outcome = Outcome.CONSIDERED


def frame(requests: Iterable[Request], logged: Iterable[str] = ("peer", "proxied", "chain")) -> pl.DataFrame:
    """Make the rows that a scanner gives; a value that is logged and missing is `-`."""
    requests = [request for request in requests for _ in range(request.times)]
    texts = {
        name: pl.Series([getattr(each, name) or "-" for each in requests], dtype=pl.String)
        for name in ("remote", *logged)
    }
    columns = {name: parse_addresses(column) for name, column in texts.items() if name != "chain"}
    rows = pl.DataFrame({"address": columns.pop("remote"), **columns})
    if "chain" in texts:
        rows = rows.with_columns(single=parse_addresses(texts["chain"]), chain=texts["chain"])
    return rows.with_columns(outcome=pl.Series([each.outcome for each in requests], dtype=pl.UInt8))


def logged_by(requests: Iterable[Request]) -> list[str]:
    """Return the columns that a request says something of."""
    requests = list(requests)
    return [name for name in ("peer", "proxied", "chain") if any(getattr(each, name) is not None for each in requests)]


def table(requests: Iterable[Request], classifier: Classifier = CLASSIFIER) -> Chains:
    """Make the table of requests; logged is what any of them says something of."""
    requests = list(requests)
    found = new_chain_table(classifier)
    found.add(frame(requests, logged_by(requests)))
    return found.table()


def addresses(requests: Iterable[Request], classifier: Classifier = CLASSIFIER) -> pl.DataFrame:
    """Make the labelled address table of requests."""
    rows = frame(requests, ()).with_columns(
        time=pl.lit(0).cast(pl.Datetime("ms", "UTC")), status=pl.lit(200, pl.UInt16), bytes=pl.lit(0, pl.UInt64),
        user_agents=pl.lit(1, pl.UInt64), forwarded=pl.lit(0, pl.UInt64),
    )  # fmt: skip
    found = PortableAddressTable()
    found.add(rows)
    return classifier.label(found.finish())
