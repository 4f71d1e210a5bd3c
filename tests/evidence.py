"""Reads a log into the labelled address table that inference sees, the way the program does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.parsing.formats import load_formats
from analyzer.parsing.scanner import new_scanner
from analyzer.tables import Fold, limit_grid
from analyzer.tables.columns import narrow_outputs

if TYPE_CHECKING:
    import polars as pl

    from analyzer.addresses.classify import Classifier
    from analyzer.parsing.formats import Layout


def layout_of(name: str) -> Layout:
    """Return the first layout of a shipped format."""
    return next(known.layouts[0] for known in load_formats() if known.name == name)


_LAYOUTS = {
    with_forwarded: layout_of("main" if with_forwarded else "ingress-nginx") for with_forwarded in (False, True)
}


def labelled_table(text: bytes, *, with_forwarded: bool, classifier: Classifier) -> pl.DataFrame:
    """Scan, fold and label a log."""
    layout = _LAYOUTS[with_forwarded]
    scanner = new_scanner(layout, narrow_outputs(layout))
    scanner.scan(text, 0, len(text), 0)
    rows = scanner.take().rows
    fold = Fold(classifier, limit_grid([], 5)[:1])
    fold.add(0, rows, exact_times=False)
    return classifier.label(fold.tables().addresses)
