"""Geo through the installed command: databases of two vendors, rules, and what a user reads of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mmdb
import pytest
from command import LINE, logscan

if TYPE_CHECKING:
    from pathlib import Path

ADDRESSES = {b"81.2.69.142": 60, b"104.16.0.1": 10, b"5.9.1.1": 20, b"10.0.0.7": 10}
"""A visitor, an edge of a CDN, a server in a data centre, a node."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A log and its databases."""
    mmdb.write(
        tmp_path / "country.mmdb",
        {
            "81.2.69.0/24": {"country": {"iso_code": "GB"}, "continent": {"code": "EU"}},
            "104.16.0.0/13": {"country": {"iso_code": "US"}, "continent": {"code": "NA"}},
            "5.9.0.0/16": {"country": {"iso_code": "DE"}, "continent": {"code": "EU"}},
        },
        database_type="GeoLite2-Country",
    )
    mmdb.write(tmp_path / "asn.mmdb", {"5.9.0.0/16": {"asn": "AS24940", "as_name": "Hetzner \x1b[31m"}})
    lines = b"".join(LINE.replace(b"81.2.69.142", address) * count for address, count in ADDRESSES.items())
    (tmp_path / "access.log").write_bytes(lines)
    return tmp_path


def test_rules_on_a_log(folder: Path) -> None:
    """What is rejected adds up to rightly and wrongly; a CDN's and a node's address are other machines'."""
    ran = logscan(
        "analyze", "access.log", "--geoip", "country.mmdb", "--geoip", "asn.mmdb", "--node", "10.0.0.0/8",
        "--deny-country", "us", "--allow-country", "GB", "--allowlist", "10.0.0.0/8", "--format", "json", cwd=folder,
    )  # fmt: skip
    geo = ran.report["geo"]
    assert (geo["locatable_pct"], geo["judged_by"], geo["judged_by_other_pct"]) == (80.0, {"cdn": 10, "node": 10}, 20.0)
    counts = [tuple(rule[name] for name in ("rejected", "rightly", "wrongly", "unseen")) for rule in geo["rules"]]
    assert counts == [(10, 0, 10, 10), (40, 20, 20, 0), (90, 80, 10, 10)]
    assert [(each["code"], each["requests"]) for each in geo["continents"]] == [("EU", 80)]
    assert [(each["class"], each["requests"]) for each in geo["asn_classes"]] == [("hosting", 20)]
    assert [each["knows"] for each in geo["database"]] == [["country"], ["asn"]]
    assert geo["database"][0]["age_days"] == 324
    assert geo["needs"] == []


@pytest.mark.parametrize("form", ["table", "markdown", "html"])
def test_every_form_tells_it(folder: Path, form: str) -> None:
    """The rule, its hits, the data centre and the age of the database stand in each report, and no escape sequence."""
    ran = logscan(
        "analyze", "access.log", "--geoip", "country.mmdb", "--geoip", "asn.mmdb", "--node", "10.0.0.0/8",
        "--deny-country", "DE", "--format", form, cwd=folder,
    )  # fmt: skip
    text = ran.stdout.decode().replace("\\", "")
    assert ran.status == 0
    assert "\x1b" not in text
    for said in ("deny-country DE", "data centres", "324 days before the last request"):
        assert said in text
