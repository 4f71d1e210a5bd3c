"""From the tables of what was read to a report with its findings."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

import polars as pl

from analyzer._version import __version__
from analyzer.errors import UsageError
from analyzer.findings.evaluate import findings
from analyzer.findings.facts import read_facts
from analyzer.findings.log_facts import Read
from analyzer.readings.geo import geo
from analyzer.readings.geo_rules import GeoRules
from analyzer.readings.preservation import preservation
from analyzer.readings.proxies import infer
from analyzer.readings.rate_limit import rate_limit
from analyzer.readings.skew import skew
from analyzer.readings.suggested_limits import HARMED_PCT, replicas_of
from analyzer.readings.timeline import timeline
from analyzer.readings.trust import recoverable, trust
from analyzer.report.model import Report
from analyzer.tables.pooled import pooled_rejections

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analyzer.addresses.classify import Classifier
    from analyzer.addresses.cluster import Cluster
    from analyzer.addresses.geo import GeoDatabase
    from analyzer.findings.model import Rule
    from analyzer.readings.skew import By
    from analyzer.report.model import Input
    from analyzer.tables import Tables
    from analyzer.tables.limits import Limit


class WasRead(Protocol):
    """What is known of the logs beside their tables: `analyzer.runs.run.Run` and its like."""

    def input(self, tables: Tables, cluster: Cluster | None, begun: float) -> Input: ...  # noqa: D102
    def signals(self, tables: Tables) -> dict[str, int]: ...  # noqa: D102
    def formats(self) -> dict[str, int]: ...  # noqa: D102
    def senders(self, classifier: Classifier) -> pl.DataFrame: ...  # noqa: D102
    def origins(self, cluster: Cluster | None) -> pl.DataFrame: ...  # noqa: D102


class Judged(NamedTuple):
    """A report, and the address table that it was read off, with what each address was found to be."""

    report: Report
    labelled: pl.DataFrame


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Reads reports off tables, with what a user said of addresses, cluster, limits and rules."""

    classifier: Classifier
    finding_rules: Sequence[Rule]
    cluster: Cluster | None
    by: By | None
    top: int
    limits: Sequence[Limit] = ()
    limit_harm: float = HARMED_PCT
    geo_rules: GeoRules = field(default_factory=GeoRules)
    database: GeoDatabase | None = None
    asn_classes: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what a user may say wrongly."""
        if self.by not in {None, "node", "zone", "pod", "source"}:
            raise UsageError(f"--by: expected node, zone, pod or source, got {self.by!r}")
        if self.top < 0:
            raise UsageError(f"--top: expected 0 or more, got {self.top}")
        if not 0 < self.limit_harm <= 100:
            raise UsageError(f"--limit-harm: expected a percentage above 0 and up to 100, got {self.limit_harm:g}")
        self.geo_rules.check(self.database.knows if self.database is not None else ())

    def judge(self, read: WasRead, tables: Tables, begun: float) -> Judged:
        """Read the report off `tables`; `begun` is when the run did (`time.perf_counter`)."""
        classifier, cluster = self.classifier, self.cluster
        labelled = classifier.label(tables.addresses).with_columns(pl.col("class").alias("range_class"))
        labelled = infer(labelled, nodes_known=cluster is not None)
        lost = recoverable(tables.chains, labelled)
        controllers = [each.settings for each in cluster.controllers] if cluster else []
        origins = _without_strangers(read.origins(cluster), tables.sources)
        signals = read.signals(tables)
        report = Report(
            version=__version__,
            input=read.input(tables, cluster, begun),
            preservation=preservation(labelled, recoverable=lost, top=self.top),
            trust=trust(tables.chains, labelled, controllers),
            signals=signals,
            skew=skew(origins, tables.loads, tables.entries, labelled, by=self.by, cluster=cluster, top=self.top),
            geo=geo(
                labelled,
                self.database,
                asn_classes=self.asn_classes,
                rules=self.geo_rules,
                recoverable=lost,
                top=self.top,
            ),
            rate_limit=rate_limit(
                labelled,
                pl.concat([tables.limits, pooled_rejections(tables.pooled, self.limits)]),
                tables.limit_totals,
                self.limits,
                clients=classifier.label(tables.clients) if tables.clients.height else None,
                signals=signals,
                replicas=replicas_of(origins.join(tables.sources, on="source")),
                harmed_pct=self.limit_harm,
                lasted_ms=tables.loads.lasted_ms(),
            ),
            timeline=timeline(tables.timeline, tables.bucket_seconds, labelled),
        )
        known = Read(
            report, labelled=labelled, streams=origins, formats=read.formats(), senders=read.senders(classifier)
        )
        return Judged(replace(report, findings=findings(self.finding_rules, read_facts(known, cluster))), labelled)


def _without_strangers(origins: pl.DataFrame, sources: pl.DataFrame) -> pl.DataFrame:
    """Leave out streams without a request (`sources` counts them) of other namespaces than those with one.

    In ``/var/log/pods`` stand all pods of a node, and one of another program is no idle pod of the controller.
    """
    asked = pl.col("source").is_in(sources["source"].implode())
    namespaces = origins.filter(asked)["namespace"].drop_nulls()
    if namespaces.is_empty():
        return origins
    return origins.filter(asked | pl.col("namespace").is_null() | pl.col("namespace").is_in(namespaces.implode()))
