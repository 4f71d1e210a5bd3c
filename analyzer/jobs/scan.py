"""The access log as a Polars LazyFrame: an IO plugin that reads no more than a query needs."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import polars as pl
from polars.io.plugins import register_io_source

from analyzer.addresses.forwarded import Trusted
from analyzer.errors import UsageError
from analyzer.jobs.given import Given, logs_named, time_span
from analyzer.runs.row_reading import RowReader
from analyzer.runs.row_scan import COLUMNS
from analyzer.runs.threads import thread_count
from analyzer.sources import find

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from datetime import datetime

    from analyzer.addresses.cluster import Cluster
    from analyzer.runs.row_reading import OnUnreadable


def scan(  # noqa: PLR0913 - the options of the command line
    source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    cluster: Cluster | str | os.PathLike[str] | None = None,
    controller: Iterable[str] = (),
    log_format: str | None = None,
    node: Iterable[str] = (),
    lb: Iterable[str] = (),
    client: Iterable[str] = (),
    private: Iterable[str] = (),
    rules: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] = (),
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    in_order: bool = False,
    on_unreadable: OnUnreadable = "warn",
    workers: int | None = None,
) -> pl.LazyFrame:
    """Read access logs lazily, a row for each request, in the order of the logs.

    Columns that a query does not use are not parsed, filters run beside the parsing on several threads, and ``head``
    stops reading. A LazyFrame remembers what times each part of a file has, so that a second query for a range of
    ``time`` skips the parts outside; no order of the lines is taken for granted unless `in_order` says so.

    Parameters
    ----------
    source
        A file, a glob, a directory, ``-`` for standard input, a URL (``s3://``, ``gs://``, ``az://``, ``file://``), or
        several of them; plain or compressed, of any format and envelope. Standard input can be read once.
    cluster
        What ``logscan snapshot`` or ``kubectl get ... -A -o json`` wrote, as a file or loaded: for `node`, for
        `client_addr`, and for the log format that a controller is set to.
    controller
        ``NAMESPACE/NAME`` of the ingress controllers, where the cluster file does not tell them.
    log_format
        An nginx ``log_format`` string or the name of a known format; detected for each source where not given.
    node, lb, client, private
        CIDRs that are so whatever any rule says; nodes, load balancers and private addresses are trusted to say for
        whom they send a request (`client_addr`).
    rules
        Folders with more rules, read after the shipped ones.
    since, until
        Only requests in this half-open range of time, as datetimes or as text. A time without a zone is UTC.
    in_order
        Lines of each plain file are in order of time, give or take five minutes: also the first query for a range of
        ``time`` skips what lies outside it. A file is looked at here and there, and read whole where it is seen to be
        in no order; lines that stand elsewhere in a way that was not seen are missed, so never say it of files that
        were put together of several.
    on_unreadable
        What is done about lines that cannot be read, which are no rows, and about a source that breaks off: ``warn``
        says for each source how many (`LogscanWarning`), ``raise`` ends the query, ``ignore`` says nothing. Lines of an
        error log, of a controller and blank ones are no access-log lines and are left out; `analyze` counts all. Only
        of what a query reads is anything said.
    workers
        Threads that parse; default: the processors that this process may use.

    Returns
    -------
    polars.LazyFrame
        =============================================  ===============  ================================================
        column                                         dtype
        =============================================  ===============  ================================================
        time                                           Datetime ms UTC  end of the request as logged
        remote_addr                                    String           as logged
        address                                        UInt128          IPv4 as ::ffff:a.b.c.d; null where it is none
        remote_port                                    UInt16
        x_forwarded_for, proxy_protocol_addr,          String           as logged
        realip_remote_addr
        remote_user, request, method, path, protocol,  String           `request` is the raw line, escapes kept
        host
        status                                         UInt16
        body_bytes_sent, request_length                UInt64           bytes
        request_time, upstream_response_time           Float64          seconds; the sum of an upstream list
        referer, user_agent, request_id                String
        upstream_name, upstream_addr, upstream_status  String           lists as logged
        node, pod, namespace, container                String           of the envelope, the path or the cluster file
        source                                         String           which input
        offset                                         UInt64           byte of the line in the decompressed source;
                                                                        null in a document, such as an answer of Loki
        client_addr                                    String           the visitor's address by the best evidence
        client_from                                    Enum             the column that it was taken from
        =============================================  ===============  ================================================

        A column that a format does not carry is null.

    Raises
    ------
    LogscanError
        For options that cannot be meant; when the query runs, for files that cannot be read.

    Examples
    --------
    >>> import analyzer as logscan
    >>> import polars as pl
    >>> log = logscan.scan("sample_logs/cluster")
    >>> log.filter(pl.col("status") >= 500).select(pl.len()).collect().item()
    10
    >>> log.group_by("pod").len().sort("pod").collect()["len"].to_list()
    [167, 167]
    """
    span = time_span(since, until)
    given = Given(
        cluster=cluster,
        controller=controller,
        log_format=log_format,
        node=node,
        lb=lb,
        client=client,
        private=private,
        rules=rules,
    )
    if on_unreadable not in {"warn", "ignore", "raise"}:
        raise UsageError(f"on_unreadable: expected warn, ignore or raise, got {on_unreadable!r}")

    @cache
    def trusted() -> Trusted:
        return Trusted.proxies(given.classifier().label)

    reader = RowReader(
        find(logs_named(source), span),
        given.formats(),
        given.cluster,
        trusted,
        on_unreadable,
        thread_count(workers),
        in_order=in_order,
    )
    frame = register_io_source(reader.frames, schema=COLUMNS, is_pure=True, explain_name="logscan")
    if span[0] is not None:
        frame = frame.filter(pl.col("time") >= span[0])
    return frame if span[1] is None else frame.filter(pl.col("time") < span[1])


def read(source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], **options: Any) -> pl.DataFrame:
    """Read access logs into a frame, a row for each request: ``scan(source, **options).collect()``.

    Parameters
    ----------
    source
        As for `scan`.
    **options
        Those of `scan`.

    Returns
    -------
    polars.DataFrame
        With the columns of `scan`.

    Raises
    ------
    LogscanError
        For options that cannot be meant and files that cannot be read.

    Examples
    --------
    >>> import analyzer as logscan
    >>> logscan.read("sample_logs/local")["status"].value_counts(sort=True).row(0)
    (200, 266)
    """
    return scan(source, **options).collect()
