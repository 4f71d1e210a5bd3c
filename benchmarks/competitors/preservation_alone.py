"""The preserved share and nothing else, by logscan's own parts: what every other reading is measured against.

Of each line only what preservation needs is read (address, chain, user agent, request, status, time, bytes); no limit
is tried, no place looked up, no load, timeline or skew is counted. The addresses are still judged by ranges and by
inference, as the share hangs on what they are.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import analyzer.runs.piece_scan
from analyzer.addresses.classify import Classifier
from analyzer.jobs.given import Given
from analyzer.readings.preservation import preservation
from analyzer.readings.proxies import infer
from analyzer.readings.trust import recoverable
from analyzer.runs.logs import Log
from analyzer.runs.run import Run
from analyzer.sources import find
from analyzer.tables.address_table import new_address_table
from analyzer.tables.chain_table import new_chain_table
from analyzer.tables.chains import chain_outputs
from analyzer.tables.columns import narrow_outputs

if TYPE_CHECKING:
    import polars as pl

    from analyzer.parsing.formats import Layout
    from analyzer.parsing.schema import Output
    from analyzer.tables.labels import Labels


class Addresses:
    """A fold of addresses and of the chains that lost ones stand in."""

    def __init__(self, labels: Labels) -> None:
        self.addresses = new_address_table()
        self.chains = new_chain_table(labels)
        self.rows = 0

    def add(self, source: int, rows: pl.DataFrame, *, exact_times: bool) -> None:
        """Count the rows of a stream."""
        del source, exact_times
        marks = self.addresses.add(rows)
        self.chains.add(rows.with_columns(marks["outcome"]))
        self.rows += rows.height

    def prepare(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Nothing is said of rows."""
        return rows

    def close_source(self, source: int) -> None:
        """Nothing is kept of a stream."""


def outputs(layout: Layout, **_: bool) -> list[Output]:
    """What preservation needs of a line."""
    return [*narrow_outputs(layout), *chain_outputs(layout)]


analyzer.runs.piece_scan.fold_outputs = outputs
classifier = Classifier()
fold = Addresses(classifier)
known = Given().formats()
Run([Log(number, each) for number, each in enumerate(find(sys.argv[1:]))], known, fold, (None, None), None).read(
    len(os.sched_getaffinity(0)), None
)
labelled = classifier.label(fold.addresses.finish())
labelled = infer(labelled.with_columns(range_class=labelled["class"]), nodes_known=False)
reading = preservation(labelled, recoverable=recoverable(fold.chains.table(), labelled), top=20)
print(json.dumps({"rows": fold.rows, "preserved_pct": reading.preserved_pct}))
