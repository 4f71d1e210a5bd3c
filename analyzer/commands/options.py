"""Options of the commands: those that several share, and those of `logscan analyze`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class OutputFormat(StrEnum):
    """How a report is written."""

    TABLE = "table"
    JSON = "json"
    JSON_LINE = "json-line"
    MARKDOWN = "markdown"
    HTML = "html"
    PROMETHEUS = "prometheus"


class DescriptionFormat(StrEnum):
    """How the answer to a question is written."""

    TABLE = "table"
    JSON = "json"


class GroupBy(StrEnum):
    """What skew is measured over."""

    NODE = "node"
    ZONE = "zone"
    POD = "pod"
    SOURCE = "source"


Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE",
        help="A file, a glob, a directory, a URL such as s3://BUCKET/PREFIX/, or - for standard input.",
    ),
]
ReportFormat = Annotated[OutputFormat, typer.Option("--format", help="How the report is written.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write there instead of stdout, whole or not at all."),
]
ClusterFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="What `logscan snapshot` or `kubectl get ... -A -o json` wrote, to tell nodes from visitors.",
    ),
]
Controller = Annotated[
    list[str] | None,
    typer.Option(metavar="NAMESPACE/NAME", help="An ingress controller of the cluster file. Repeatable."),
]
LogFormat = Annotated[
    str | None,
    typer.Option(
        metavar="STRING|NAME",
        help="An nginx log_format string or the name of a known format. Detected where not given.",
    ),
]
Node = Annotated[list[str] | None, typer.Option(metavar="CIDR", help="These addresses are nodes. Repeatable.")]
Lb = Annotated[list[str] | None, typer.Option(metavar="CIDR", help="These addresses are load balancers. Repeatable.")]
Client = Annotated[list[str] | None, typer.Option(metavar="CIDR", help="These addresses are visitors. Repeatable.")]
Private = Annotated[list[str] | None, typer.Option(metavar="CIDR", help="These addresses are private. Repeatable.")]
Rules = Annotated[list[Path] | None, typer.Option(metavar="DIR", help="A folder with more rules. Repeatable.")]
GeoIp = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", envvar="LOGSCAN_GEOIP", help="A country or ASN database (.mmdb). Repeatable."),
]
DenyCountry = Annotated[
    list[str] | None, typer.Option(metavar="CC", help="Try a rule that rejects this country. Repeatable.")
]
AllowCountry = Annotated[
    list[str] | None, typer.Option(metavar="CC", help="Try a rule that lets only this country in. Repeatable.")
]
Allowlist = Annotated[
    list[str] | None, typer.Option(metavar="CIDR", help="Try a rule that lets only this network in. Repeatable.")
]
Since = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", help="Only requests from this time on, such as 2026-11-21T07:00Z, or 24h for a day ago."
    ),
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Only requests before this time.")]
LimitRps = Annotated[
    list[int] | None,
    typer.Option(metavar="N", help="Try ingress-nginx's limit-rps: N beside the shipped limits. Repeatable."),
]
LimitRpm = Annotated[list[int] | None, typer.Option(metavar="N", help="Try ingress-nginx's limit-rpm: N. Repeatable.")]
LimitConnections = Annotated[
    list[int] | None, typer.Option(metavar="N", help="Try ingress-nginx's limit-connections: N. Repeatable.")
]
LimitBurstMultiplier = Annotated[int, typer.Option(metavar="N", help="ingress-nginx's limit-burst-multiplier.")]
LimitAllowlist = Annotated[
    list[str] | None, typer.Option(metavar="CIDR", help="No limit is for these addresses. Repeatable.")
]
LimitHarm = Annotated[
    float, typer.Option(metavar="PCT", help="Suggest a limit that rejects fewer percent of the visitors.")
]
KongLimit = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WINDOW:N",
        help="Try Kong's rate-limiting, by pod and over all; several windows by commas. Repeatable.",
    ),
]
KongSlidingLimit = Annotated[
    list[str] | None,
    typer.Option(metavar="SECONDS:N", help="Try Kong's rate-limiting-advanced, sliding. Repeatable."),
]
EnvoyLimit = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WINDOW:N", help="Try Envoy Gateway's local limit for a client; WINDOW:N/route for all. Repeatable."
    ),
]
Rejects = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write every line that could not be read there, byte for byte.")
]
FailUnder = Annotated[
    float | None, typer.Option(metavar="PCT", min=0, max=100, help="Exit with 1 when fewer percent are preserved.")
]
FailOn = Annotated[
    list[str] | None,
    typer.Option(metavar="FINDING|SEVERITY", help="Exit with 1 when there is such a finding. Repeatable."),
]
State = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="Read only what is new since the last run, and add it to what this folder or bucket holds."
    ),
]
Window = Annotated[
    str | None, typer.Option(metavar="TIME", help="With --state: report the last hours only, such as 24h or 7d.")
]
By = Annotated[GroupBy | None, typer.Option(help="What skew is measured over.")]
Top = Annotated[int, typer.Option(metavar="N", help="How many rows a list shows; 0 is all.")]
Workers = Annotated[
    int | None, typer.Option(metavar="N", help="Threads; default: the processors this process may use.")
]
ClusterEngine = Annotated[
    str | None,
    typer.Option(
        metavar="dask://HOST:PORT|dask", help="Have a Dask cluster read the logs, or processes on this machine."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes on stderr.")]
