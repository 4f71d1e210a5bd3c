"""What a rule by country or by network would do to the requests of a log, if it stood in the controller now.

The controller judges the logged address. Where that is the visitor's own, a request that the rule rejects is hit
*rightly*: as the rule is meant. Where it is another machine's, every request that the rule rejects is hit *wrongly*,
for its visitor was never looked at, and every one that it lets through passes *unseen*.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from analyzer.addresses.ranges import RangeTable, network_ranges
from analyzer.errors import UsageError
from analyzer.readings.shares import percent

if TYPE_CHECKING:
    from collections.abc import Collection

#: What to get where a lookup finds nothing, by what is looked up.
NEEDS = {
    "country": "a country database (--geoip FILE.mmdb): GeoLite2 Country, DB-IP Country Lite, IPinfo Lite",
    "asn": "an ASN database (--geoip FILE.mmdb): GeoLite2 ASN, DB-IP ASN Lite, IPinfo Lite",
}


@dataclass(frozen=True, slots=True)
class GeoRules:
    """The rules to try: countries (ISO 3166-1 alpha-2) to reject, or to let in alone; networks to let in alone."""

    deny_country: tuple[str, ...] = ()
    allow_country: tuple[str, ...] = ()
    allowlist: tuple[str, ...] = ()

    @classmethod
    def given(cls, deny_country: list[str], allow_country: list[str], allowlist: list[str]) -> GeoRules:
        """Check what a user gives.

        Raises
        ------
        UsageError
            For what is no country code and no CIDR.
        """
        codes = []
        for option, values in (("--deny-country", deny_country), ("--allow-country", allow_country)):
            for value in values:
                if not (len(value) == 2 and value.isascii() and value.isalpha()):
                    raise UsageError(f"{option}: expected a country code of two letters such as DE, got {value!r}")
            codes.append(tuple(value.upper() for value in values))
        for value in allowlist:
            try:
                network_ranges(value)
            except ValueError as error:
                raise UsageError(f"--allowlist: {error}") from error
        return cls(codes[0], codes[1], tuple(allowlist))

    def check(self, knows: Collection[str]) -> None:
        """Raise `UsageError` for a rule by country where the databases know none."""
        if (self.deny_country or self.allow_country) and "country" not in knows:
            option = "--deny-country" if self.deny_country else "--allow-country"
            raise UsageError(
                f"{option}: expected a database that knows countries, got none", f"give {NEEDS['country']}"
            )


@dataclass(frozen=True, slots=True)
class RuleHit:
    """What one rule would do; percentages are of considered requests.

    `rejected` requests are those hit `rightly` and `wrongly`, see the module; `unseen` are let through by another
    machine's address. `rejected_addresses` are distinct, `wrongly_addresses` those of them that are another machine's.
    """

    rule: str
    values: list[str]
    rejected: int
    rejected_pct: float | None
    rejected_addresses: int
    rightly: int
    wrongly: int
    wrongly_addresses: int
    unseen: int
    unseen_pct: float | None


def simulate(judged: pl.DataFrame, rules: GeoRules, total: int) -> list[RuleHit]:
    """Try rules.

    Parameters
    ----------
    judged
        A row per considered address: ``address``, ``considered``, ``visitor`` (the address is the visitor's own), and
        ``country``, null where none is known: such a request passes a list of countries to reject, and none to let in.
    rules
        The rules.
    total
        All considered requests.
    """
    country = pl.col("country")
    tried = []
    if rules.deny_country:
        rejects = country.is_in(rules.deny_country).fill_null(value=False)
        tried.append(_hit("deny-country", rules.deny_country, judged, rejects, total))
    if rules.allow_country:
        rejects = ~country.is_in(rules.allow_country).fill_null(value=False)
        tried.append(_hit("allow-country", rules.allow_country, judged, rejects, total))
    if rules.allowlist:
        table = RangeTable.build([(*pair, 0) for cidr in rules.allowlist for pair in network_ranges(cidr)])
        outside = table.lookup(judged["address"]).is_null()
        tried.append(_hit("allowlist", rules.allowlist, judged, pl.lit(outside), total))
    return tried


def _hit(rule: str, values: tuple[str, ...], judged: pl.DataFrame, rejects: pl.Expr, total: int) -> RuleHit:
    requests, visitor = pl.col("considered"), pl.col("visitor")
    sums = judged.with_columns(rejects=rejects).select(
        rejected=requests.filter("rejects").sum(),
        rejected_addresses=pl.col("rejects").sum(),
        rightly=requests.filter(pl.col("rejects") & visitor).sum(),
        wrongly=requests.filter(pl.col("rejects") & ~visitor).sum(),
        wrongly_addresses=(pl.col("rejects") & ~visitor).sum(),
        unseen=requests.filter(~pl.col("rejects") & ~visitor).sum(),
    )
    found = sums.row(0, named=True)
    return RuleHit(
        rule=rule,
        values=list(values),
        rejected_pct=percent(found["rejected"], total),
        unseen_pct=percent(found["unseen"], total),
        **found,
    )
