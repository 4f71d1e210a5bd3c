"""Visitors: who stands behind proxies, as both finders see it."""

from __future__ import annotations

import os

import pytest
from chains import ANN, CLASSIFIER, LB, MAL, NODE, Request, frame

from analyzer.addresses.ranges import format_addresses
from analyzer.tables import clients
from analyzer.tables.clients import NativeClients, PortableClients

NATIVE_BUILT = clients._NATIVE is not None
needs_native = pytest.mark.skipif(
    not NATIVE_BUILT and os.environ.get("LOGSCAN_REQUIRE_NATIVE") != "1", reason="the finder in C was not built"
)


@pytest.mark.parametrize("kind", [pytest.param(NativeClients, marks=needs_native), PortableClients])
def test_who_stands_behind_proxies(kind: type[NativeClients | PortableClients]) -> None:
    """The visitor is the first whose word nobody needs; where none is known it is the logged address."""
    requests = [
        Request(NODE, ANN),
        Request(NODE, f"{MAL}, {ANN}, {LB}"),
        Request(ANN, None, LB),
        Request(ANN, f"{MAL}, {ANN}", LB),
        Request(MAL, f"{MAL}, {ANN}", LB),
        Request(LB, None, LB, ANN),
        Request(MAL, MAL, ANN),
        Request("unix:", None, None, ANN),
        Request("unix:"),
        Request(NODE, "255.255.255.255"),
    ]
    found = format_addresses(kind(CLASSIFIER).find(frame(requests))).to_list()
    assert found == [ANN, ANN, ANN, ANN, ANN, ANN, ANN, ANN, None, NODE]
