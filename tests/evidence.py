"""Reads a log into the labelled address table that inference sees, the way the program does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from analyzer.parsing.formats import load_formats
from analyzer.parsing.log_format import LineFormat
from analyzer.parsing.scanner import new_scanner
from analyzer.parsing.schema import Kind, Output
from analyzer.tables import Fold, limit_grid
from analyzer.tables.columns import HEALTH_PROBES, complete, narrow_outputs

if TYPE_CHECKING:
    from analyzer.addresses.classify import Classifier
    from analyzer.parsing.formats import Layout

_COUNT = pl.UInt64()
CRAWLERS = (
    b"Mozilla/5.0 (compatible; MSIE ",  # a browser
    b"Mozilla/5.0 (compatible; ",
    b"Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; ",
    b"facebookexternalhit/",
    b"Twitterbot/",
    b"Googlebot",
)
SCANS = (b"\\x", b"GET /.env", b"GET /.git/", b"GET /vendor/phpunit/", b"POST /vendor/phpunit/", b"GET /boaform/",
         b"POST /boaform/", b"GET /cgi-bin/", b"POST /cgi-bin/", b"GET /HNAP1", b"POST /HNAP1")  # fmt: skip


def layout_of(name: str) -> Layout:
    """Return the first layout of a shipped format."""
    return next(known.layouts[0] for known in load_formats() if known.name == name)


_LAYOUTS = {
    with_forwarded: layout_of("main" if with_forwarded else "ingress-nginx") for with_forwarded in (False, True)
}


def labelled_table(text: bytes, *, with_forwarded: bool, classifier: Classifier) -> pl.DataFrame:
    """Scan, fold and label a log; the columns that the tables do not hold yet are summed here."""
    layout = _LAYOUTS[with_forwarded]
    assert isinstance(layout, LineFormat)
    fields = layout.columns
    outputs = [
        *narrow_outputs(layout),
        Output("crawler", Kind.TAG, fields["user_agent"], CRAWLERS),
        Output("scan", Kind.TAG, fields["request"], SCANS),
        Output("prober", Kind.TAG, fields["user_agent"], HEALTH_PROBES),
    ]
    scanner = new_scanner(layout, outputs)
    scanner.scan(text, 0, len(text), 0)
    rows = scanner.take().rows
    fold = Fold(classifier, limit_grid([], 5)[:1])
    fold.add(0, rows, exact_times=False)
    return classifier.label(fold.tables().addresses.join(_more(complete(rows)), on="address", nulls_equal=True))


def _more(rows: pl.DataFrame) -> pl.DataFrame:
    two = pl.lit(2, pl.UInt32)
    signs = (
        pl.when(pl.col("prober") > 0).then(two.pow(pl.col("prober").cast(pl.UInt32) - 1)).otherwise(0)
        + pl.when(pl.col("crawler") > 1).then(32).otherwise(0)
        + pl.when(pl.col("signal").is_between(1, 6)).then(64).otherwise(0)
        + pl.when(pl.col("signal") > 6).then(128).otherwise(0)
        + pl.when(pl.col("scan") > 0).then(256).otherwise(0)
    ).cast(pl.UInt32)
    return rows.group_by("address").agg(
        signs=signs.bitwise_or(),
        crawlers=(pl.col("crawler") > 1).sum().cast(_COUNT),
    )
