"""What a log does not hold, which reading suffers from it, and what to log instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from analyzer.errors import FormatError
from analyzer.parsing.json_format import JsonFormat
from analyzer.parsing.log_format import compile_format
from analyzer.readings.products import AS_NGINX, product_of
from analyzer.tables.columns import has_exact_times

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from analyzer.parsing.formats import Layout
    from analyzer.parsing.log_format import LineFormat
    from analyzer.readings.products import Product


@dataclass(frozen=True, slots=True)
class Missing:
    """What a reading lacks, in plain words, and what to do about it where something can be done."""

    reading: str
    text: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class LogInstead:
    """What to log, so that nothing is missing.

    `kind` says what `text` is: the ``whole`` format; what to ``append`` to it; ``members`` to add to a JSON object;
    ``options`` of the program. `where` it is set is said in `source`. `read_with` is the ``--log-format`` for what is
    logged then, None where that is detected.
    """

    kind: str
    text: str
    where: str
    source: str
    read_with: str | None = None


_TIMES = "take it with times: the files of /var/log/pods, or kubectl logs --timestamps"
_EMPTY = "let the program listen on a port, or log what the proxy before it says of its clients"


class Found(NamedTuple):
    """What a look at a log found.

    `columns` are those of `layout`, with the share of lines in which each has a value. `fine` says whether a time has
    a part of a second; None where there is no time. `node` and `pod`: whether any is known.
    """

    layout: Layout
    columns: Mapping[str, float]
    fine: bool | None
    node: bool
    pod: bool


class _Gap(NamedTuple):
    reading: str
    text: str
    columns: tuple[str, ...] = ()
    remedy: str | None = None


def missing(found: Found) -> tuple[list[Missing], LogInstead | None]:
    """Say what readings lack in a log, and what to log instead."""
    product = product_of(found.layout)
    gaps = list(_gaps(found, product))
    wanted = list(dict.fromkeys(column for gap in gaps for column in gap.columns if column in product.adds))
    return [_told(gap, product) for gap in gaps], _instead(found.layout, product, wanted)


def _gaps(found: Found, product: Product) -> Iterator[_Gap]:
    layout, columns = found.layout, found.columns
    # A stream has no headers.
    unasked = product.always | ({"x_forwarded_for", "user_agent"} if _is_stream(layout) else set())

    def lacks(column: str) -> bool:
        # A member that is in no object cannot be told from one that is not logged.
        is_there = column in columns and (bool(columns[column]) or not isinstance(layout, JsonFormat))
        return not is_there and column not in unasked

    if lacks("remote_addr"):
        yield _Gap("preservation", "no address of visitor or peer: nothing can be told", ("remote_addr",))
        yield _Gap("geo", "no address to locate", ("remote_addr",))
    elif not columns["remote_addr"]:
        yield _Gap("preservation", "the address is empty in all lines: nothing can be told", remedy=_EMPTY)
    if not _is_stream(layout):
        yield from _trust([column for column in ("x_forwarded_for", "realip_remote_addr") if lacks(column)], product)
    yield from _rate_limits(found, product)
    if not found.pod and not found.node:
        yield _Gap(
            "skew",
            "no node and no pod is known",
            remedy="read the files of /var/log/pods, what a collector or kubectl logs --prefix wrote; or --cluster",
        )
    elif not found.node:
        yield _Gap("skew", "pods are known, their nodes are not", remedy="give --cluster, which says where pods run")
    if found.fine is None:
        remedy = None if "msec" in product.adds else _TIMES
        yield _Gap("timeline", "no time: --since and --until cannot be used either", ("msec",), remedy)
    if lacks("user_agent"):
        yield _Gap("health probes", "no user agent: probes count as visitors", ("user_agent",))
    if lacks("status"):
        yield _Gap("unreadable", "no status: unreadable requests count as visitors", ("status",))


def _trust(lacking: list[str], product: Product) -> Iterator[_Gap]:
    if not lacking or (lacking == ["realip_remote_addr"] and lacking[0] not in product.adds):
        return
    peer = "$realip_remote_addr" if product.kind == "whole" and product.adds else "address of the peer"
    names = {"x_forwarded_for": "X-Forwarded-For", "realip_remote_addr": peer}
    which = " and ".join(f"no {names[column]}" for column in lacking)
    yield _Gap("trust", f"{which}: cannot test for forging", tuple(lacking))


def _rate_limits(found: Found, product: Product) -> Iterator[_Gap]:
    if has_exact_times(found.layout):
        return
    wanted = ("msec",) if found.columns.get("request_time") else ("msec", "request_time")
    if found.fine is None:
        remedy = None if "msec" in product.adds else _TIMES
        yield _Gap("rate limits", "no time: no limit can be simulated", wanted, remedy)
    else:
        what = "it is not logged when requests began" if found.fine else "whole seconds only"
        yield _Gap("rate limits", f"{what}: what a limit would reject has bounds", wanted)


def _told(gap: _Gap, product: Product) -> Missing:
    wanted = [product.adds[column] for column in gap.columns if column in product.adds]
    logged = f"log {' and '.join(dict.fromkeys(wanted))}" if wanted else None
    return Missing(gap.reading, gap.text, gap.remedy or logged or product.remedy)


def _instead(layout: Layout, product: Product, columns: list[str]) -> LogInstead | None:
    if not columns:
        return None
    added = list(dict.fromkeys(product.adds[column] for column in columns))
    read_with = None
    text = (", " if product.kind == "members" else " ").join(added)
    if not isinstance(layout, JsonFormat):
        if product.kind == "whole":
            text = read_with = _appended(_as_nginx_has_it(layout), columns, added)
        elif product.read_as:
            read_as = [product.read_as[column] for column in columns]
            read_with = _appended(layout.text.replace("$blanks", ""), columns, read_as)
        try:
            compile_format(read_with or "$remote_addr")
        except FormatError:  # too many variables
            return None
    return LogInstead(product.kind, text, product.where, product.source, read_with)


def _appended(text: str, columns: list[str], added: list[str]) -> str:
    """A format with more at its end; in one that writes a JSON object, as members of it."""
    if text.lstrip().removeprefix("escape=json").lstrip().startswith("{") and text.rstrip().endswith("}"):
        members = (f'"{column}": "{variable.strip(chr(34))}"' for column, variable in zip(columns, added, strict=True))
        return f"{text.rstrip()[:-1].rstrip()}, {', '.join(members)}}}"
    return " ".join([text, *added])


def _as_nginx_has_it(layout: LineFormat) -> str:
    """In nginx's own variables; a stream's size is read as a body's, but nginx has a variable for it."""
    text = layout.text
    for own, variable in AS_NGINX.items():
        text = text.replace(own, variable)
    return text.replace("$body_bytes_sent", "$bytes_sent") if _is_stream(layout) else text


def _is_stream(layout: Layout) -> bool:
    return any(field.variable == "session_time" for field in layout.fields)
