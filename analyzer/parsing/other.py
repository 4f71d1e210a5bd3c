"""Lines that are no access-log lines: which kind each is, and what error-log lines give away.

A misfit is either *other* (blank, nginx's error log, a controller's own messages) or *rejected*: an access-log line
that cannot be read. nginx's error-log line is `YYYY/MM/DD hh:mm:ss [level] ...` (nginx src/core/ngx_log.c); klog's
begins with severity and date (kubernetes/klog). An error record that quotes what a peer sent goes on over several
lines when the quoted bytes hold newlines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from analyzer.parsing.log_format import REASONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ERROR_LINE = r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[(?:debug|info|notice|warn|error|crit|alert|emerg)\] "
#: kind -> lines that are of it.
_KINDS = {
    "error-log": (
        f"{_ERROR_LINE}|^PHP message: "  # the second: FastCGI's further lines
        r"|^\[[^\]]+\] \[[\w-]*:?(?:emerg|alert|crit|error|warn|notice|info|debug|trace\d)\] "  # Apache httpd
    ),
    "controller": (
        r"^[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ "  # klog
        r"|^-{20,}$|^NGINX Ingress controller$|^  (?:Release|Build|Repository|nginx version):"  # ingress-nginx's banner
        # What klog's last words and a panic are followed by: Go's stacks.
        r"|^Refer to the troubleshooting guide |^goroutine \d+ \[.+\]:$|^\t\S+\.go:\d+(?: |$)|^created by "
        r"|^(?:[\w.-]+/)*[\w.-]+\.(?:\(\*?\w+\)\.)?\w+\((?:\.\.\.|0x[0-9a-f]+.*)?\)$"
    ),
    "server": (
        r"^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] \[\d+\] \[[A-Z]+\] "  # gunicorn, Hypercorn
        r"|^(?:DEBUG|INFO|WARNING|ERROR|CRITICAL): +(?:[A-Z][a-z]|connection )"  # Uvicorn
        r"|^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+\]\[\d+\]\[\w+\]\["  # Envoy
        r"|^time=\"\d{4}-\d\d-\d\dT|^\d{4}-\d\d-\d\dT\S+ (?:TRC|DBG|INF|WRN|ERR|FTL) "  # Traefik 2 and 3
        # Caddy, all loggers but http.log.access
        r"|^\{\"level\":\"[a-z]+\",\"ts\":[\d.]+,"
        r"(?:\"logger\":\"(?:[^h\"][^\"]*|http(?:\.(?:[^l\"][^\"]*|log(?:\.error[^\"]*)?))?)\",)?\"msg\":\""
        r"|^Proxy \S+ started\.$"  # HAProxy
    ),
    # what is said of a log instead of a line of it: stern, kubectl, the kubelet (pkg/kubelet/kuberuntime/logs/logs.go)
    "collector": (
        r"^(?:[+-] \S+ )?\x{203A} \S+$|^Defaulted container \"|^Found \d+ pods, using pod/|^Error from server "
        r"|^-- (?:Journal begins at |Logs begin at |Boot [0-9a-f]|Reboot --|No entries --)"  # journalctl
        r"|^unable to retrieve container logs for |^failed to (?:watch file|try resolving symlinks|open log file) "
    ),
    # HAProxy's connection errors (doc/configuration.txt, section 8.2.6, "Error log format")
    "connection-error": r"^\S+:\d+ \[\d\d/\w{3}/\d{4}:[\d:.]+\] \S+/\S+: ",
    # of an export: CloudFront, an ELB's trial of its bucket, an array written over several lines
    "header": r"^#(?:Version|Fields): |^Enable (?:AccessLog|ConnectionLog) for ELB|^[\[\]],?$",
    "blank": r"^\s*$",
}

#: contract name -> what a line about an error holds then (nginx ngx_proxy_protocol.c, ngx_http_limit_*_module.c,
#: ngx_http_request.c; HAProxy src/connection.c).
_SIGNALS = {
    "broken_proxy_header": ('broken header: "', "Received something which does not look like a PROXY protocol header"),
    "empty_proxy_header": ('broken header: "" while reading PROXY protocol',),
    "limiting_requests": ("limiting requests, excess:",),
    "limiting_connections": ("limiting connections by zone",),
    "plain_to_tls_listener": ("client sent plain HTTP request to HTTPS port",),
}
_QUOTE_BEGINS, _QUOTE_ENDS = 'broken header: "', "while reading PROXY protocol"
#: Who sent what is no PROXY header; nginx names the peer at the end of the record (ngx_log_error of a listener).
_SENDER = f"{_QUOTE_ENDS}, client: ([0-9a-fA-F:.]+)"
_NOTHING_SENT = f'{_QUOTE_BEGINS}" {_QUOTE_ENDS}'
_MOST_SENDERS = 1000
_TOO_LONG = REASONS.index("too_long")
#: Lines that an error record may have: nginx cuts it at so many bytes (NGX_MAX_ERROR_STR in src/core/ngx_log.h).
_MOST_CONTINUED = 2048


class OtherLines:
    """Tells other lines from rejected ones, for one source whose misfits come in order.

    `senders` counts, by address, who sent something else than the PROXY header that was expected.
    """

    def __init__(self) -> None:
        self.kinds: dict[str, int] = {}
        self.signals: dict[str, int] = dict.fromkeys(_SIGNALS, 0)
        self.senders: dict[str, int] = {}
        self.continues_at: int | None = None  # number of the line that an unfinished error record goes on in

    def add(self, later: OtherLines) -> None:
        """Add what another one counted in the misfits that come next."""
        for kind, count in later.kinds.items():
            self.count(kind, count)
        for name, count in later.signals.items():
            self.signals[name] += count
        self._count_senders(later.senders.items())
        if later.continues_at is not None:  # a record that is open goes on in one line only: what it is told of is kept
            self.continues_at = later.continues_at

    def count(self, kind: str, lines: int) -> None:
        """Count lines of a kind."""
        if lines:
            self.kinds[kind] = self.kinds.get(kind, 0) + lines

    def _count_senders(self, counted: Iterable[tuple[str, int]]) -> None:
        for sender, count in counted:
            if sender in self.senders or len(self.senders) < _MOST_SENDERS:
                self.senders[sender] = self.senders.get(sender, 0) + count

    def end_piece(self, lines: int) -> None:
        """A piece of so many lines is over; the lines of the next one are numbered from 0 again."""
        if self.continues_at is not None:
            self.continues_at -= lines

    def sort(self, misfits: pl.DataFrame) -> pl.DataFrame:
        """Count the other lines and return the rejected ones, in order, with the parts of lines that are too long."""
        if misfits.is_empty():
            return misfits
        text = _texts(misfits["line"]).str.strip_chars_end("\r\n")
        labelled = misfits.with_columns(text=text).with_columns(kind=_kind())
        labelled = labelled.with_columns(pl.Series("kind", self._join_records(labelled), dtype=pl.String))
        for kind, count in sorted(labelled["kind"].drop_nulls().value_counts().iter_rows()):
            self.count(kind, count)
        errors = labelled.filter(pl.col("kind").is_in(["error-log", "connection-error"]))["text"]
        for name, signs in _SIGNALS.items():
            self.signals[name] += int(errors.str.contains_any(list(signs)).sum())
        if self.signals["broken_proxy_header"]:
            senders = errors.filter(~errors.str.contains(_NOTHING_SENT, literal=True)).str.extract(_SENDER)
            self._count_senders(senders.drop_nulls().value_counts().sort("text").iter_rows())
        return labelled.filter(pl.col("kind").is_null()).drop("text", "kind")

    def _join_records(self, labelled: pl.DataFrame) -> list[str | None]:
        """The kinds, with the lines that continue an error record counted to it."""
        kinds = labelled["kind"].to_list()
        begins = labelled["text"].str.contains(_QUOTE_BEGINS, literal=True) & (labelled["kind"] == "error-log")
        if self.continues_at is None and not begins.any():
            return kinds
        open_at, self.continues_at = self.continues_at, None
        for row, (text, number, reason, begin) in enumerate(
            zip(*labelled.select("text", "number", "reason"), begins, strict=True)
        ):
            if begin:
                open_at = None if _QUOTE_ENDS in text else number + 1
            elif open_at == number and kinds[row] != "error-log" and reason < _TOO_LONG:
                kinds[row] = "error-log"
                open_at = None if _QUOTE_ENDS in text else number + 1
            else:
                open_at = None
        self.continues_at = open_at
        return kinds


def split_lead(misfits: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Take off the misfits that stand together at the beginning of a piece, whose lines are numbered from 0.

    They alone may continue an error record of the piece before: such a record ends where another begins, and nginx cuts
    it at 2,048 bytes.
    """
    if misfits.is_empty():
        return misfits, misfits
    first = misfits.head(_MOST_CONTINUED)
    together = pl.col("number") == pl.int_range(pl.len())
    begins = _texts(first["line"]).str.contains(_ERROR_LINE)
    lead = int(first.select((together & ~begins).cum_prod().sum()).item() or 0)
    return misfits[:lead], misfits[lead:]


def unexplained(misfits: pl.DataFrame) -> pl.DataFrame:
    """Those of some misfits that are no other lines by what stands in them alone."""
    text = _texts(misfits["line"]).str.strip_chars_end("\r\n")
    return misfits.with_columns(text=text).filter(_kind().is_null()).drop("text")


def _texts(lines: pl.Series) -> pl.Series:
    try:
        return lines.cast(pl.String)
    except pl.exceptions.ComputeError:  # no UTF-8; not even a lenient cast takes it
        return pl.Series([line.decode("utf-8", "replace") for line in lines.to_list()], dtype=pl.String)


def most_first(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts by name, the largest first."""
    return dict(sorted(counts.items(), key=lambda counted: (-counted[1], counted[0])))


def _kind() -> pl.Expr:
    kind = pl.lit(None, pl.String)
    for name, pattern in _KINDS.items():
        kind = pl.when(pl.col("text").str.contains(pattern)).then(pl.lit(name)).otherwise(kind)
    return pl.when(pl.col("reason") < _TOO_LONG).then(kind)
