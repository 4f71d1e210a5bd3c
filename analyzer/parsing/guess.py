"""What a text out of a log of unknown format may be: by how it looks, and by what it is called.

Guesses only, for `analyzer.parsing.suggest` to build a format from and to try; no log is read by them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Characters of a value that are looked at: the rest of a long one tells no more.
_LOOKED_AT = 512

_IPV4 = r"(?:\d{1,3}\.){3}\d{1,3}"
_IPV6 = r"(?=[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:)[0-9A-Fa-f:.]{3,45}"
_ADDRESS = rf"(?:{_IPV4}|{_IPV6})"
_ISO = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d"
_COMMON = r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d"
_METHOD = r"(?:GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH|PRI|PROPFIND|REPORT)"

#: Moments as they stand in a line, also where a blank is part of them.
MOMENT = rf"{_COMMON}(?:\.\d{{1,9}})?(?: [+-]\d{{4}})?|{_ISO}(?:[.,]\d{{1,9}})?(?:Z|[+-]\d\d:?\d\d)?"

#: What a value looks like: the first that fits the whole of it.
_LOOKS = [
    (look, re.compile(pattern))
    for look, pattern in (
        ("absent", r"-?"),
        ("time_local", rf"{_COMMON} [+-]\d{{4}}"),
        ("time_iso8601", rf"{_ISO.replace('[T ]', 'T')}[+-]\d\d:\d\d"),
        ("msec", r"[12]\d{9}\.\d{3}"),
        ("time_any", rf"{MOMENT}|1\d{{9}}(?:\d{{3}}){{0,3}}(?:\.\d{{1,9}})?"),
        ("request", rf"{_METHOD} \S+ HTTP/\d(?:\.\d)?"),
        ("request_method", _METHOD),
        ("server_protocol", r"HTTP/\d(?:\.\d)?"),
        ("address", _ADDRESS),
        ("address_port", rf"(?:{_IPV4}|\[{_IPV6}\]):\d{{1,5}}"),
        ("addresses", rf"{_ADDRESS}(?:, *(?:{_ADDRESS}|unknown))+"),
        ("status", r"[1-5]\d\d"),
        ("integer", r"\d{1,18}"),
        ("decimal", r"\d{1,9}\.\d{1,9}"),
        ("duration", r"\d{1,9}(?:\.\d{1,9})?(?:ms|us|s)"),
        ("id", r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
        ("http_referer", r"https?://.*"),
        ("request_uri", r"/.*"),
        ("http_user_agent", r"Mozilla/.*|[A-Za-z][\w.+-]*/v?\d[\w.-]*(?: .*)?"),
        ("host", r"(?=[\w.-]*[a-z])[\w-]+(?:\.[\w-]+)+(?::\d{1,5})?|localhost"),
        ("word", r"[A-Za-z_][\w-]*:?|[^\w\s]{1,3}"),
    )
]

#: How a value that has one of these looks may be called; compared without case, `_`, `-`, `.` and `@`.
_NAMES = {
    "remote_addr": "remoteaddr remoteaddress remoteip clientip clientaddr clientaddress clienthost client ip src srcip "
    "sourceip source peerip downstreamremoteaddress",
    "http_x_forwarded_for": "xforwardedfor httpxforwardedfor forwardedfor xff",
    "realip_remote_addr": "realipremoteaddr downstreamdirectremoteaddress peeraddr",
    "proxy_protocol_addr": "proxyprotocoladdr",
    "remote_port": "remoteport clientport srcport",
    "time_any": "time ts timestamp datetime date starttime eventtime timelocal timeiso8601 msec asctime startedat",
    "request": "request requestline",
    "request_method": "requestmethod method httpmethod verb",
    "request_uri": "requesturi uri url path requestpath requesturl target",
    "server_protocol": "serverprotocol protocol proto httpversion httpprotocol",
    "host": "host httphost vhost authority domain requesthost servername",
    "status": "status statuscode code responsecode httpstatus responsestatus httpstatuscode downstreamstatus",
    "body_bytes_sent": "bodybytessent bytessent bytes size responsesize bodysize bytesout contentlength respsize",
    "request_length": "requestlength requestsize bytesreceived bytesin",
    "request_time": "requesttime duration latency elapsed responsetime took timetaken rt",
    "http_referer": "httpreferer referer referrer httpreferrer",
    "http_user_agent": "httpuseragent useragent ua agent",
    "request_id": "requestid reqid xrequestid traceid correlationid rid",
    "upstream_target": "upstreamaddr upstreamhost upstream backend backendaddr upstreamaddress",
    "upstream_code": "upstreamstatus upstreamstatuscode originstatus",
    "upstream_time": "upstreamresponsetime upstreamtime urt upstreamduration",
    "remote_user": "remoteuser user username",
    "node": "node nodename",
    "pod": "pod podname",
    "namespace": "namespace podnamespace",
    "container": "container containername",
}
_VARIABLE_OF = {name: variable for variable, names in _NAMES.items() for name in names.split()}
_UNITS = ("ms", "us", "ns")
_PLAIN = re.compile(r"[^0-9a-z]+")

#: Looks that a variable may have; one that is not here may look like anything.
_FITTING = {
    "remote_addr": {"address", "address_port"},
    "realip_remote_addr": {"address"},
    "proxy_protocol_addr": {"address"},
    "http_x_forwarded_for": {"address", "addresses"},
    "time_any": {"time_any", "time_local", "time_iso8601", "msec"},
    "request": {"request"},
    "request_method": {"request_method"},
    "request_uri": {"request_uri", "http_referer"},
    "server_protocol": {"server_protocol"},
    "status": {"status"},
    "host": {"host", "word", "text"},
    "remote_port": {"integer", "status"},
    "body_bytes_sent": {"integer", "status"},
    "request_length": {"integer", "status"},
    "request_time": {"integer", "decimal", "status"},
    "upstream_time": {"integer", "decimal", "status"},
    "upstream_code": {"status"},
}

#: Looks that go together, as the wider of them.
_WIDER = {"integer": {"status", "integer"}, "addresses": {"address", "addresses"}}


def look_of(values: Iterable[str]) -> str:
    """What most of these values look like, those that are absent aside: a key of the table above, or ``text``."""
    counts: dict[str, int] = {}
    for value in values:
        look = _look(value[:_LOOKED_AT])
        counts[look] = counts.get(look, 0) + 1
    if len(counts) > 1:
        counts.pop("absent", None)
    for wider, looks in _WIDER.items():
        if set(counts) == looks:
            return wider
    most = max(counts, key=lambda look: counts[look])
    return most if counts[most] >= 0.8 * sum(counts.values()) else "text"


def _look(value: str) -> str:
    return next((look for look, pattern in _LOOKS if pattern.fullmatch(value)), "text")


def named(path: Iterable[str], look: str) -> str | None:
    """The variable that a value may be which is called so (keys from the outside in) and looks so."""
    keys = [_PLAIN.sub("", key.lower()) for key in path]
    names = ["".join(keys[start:]) for start in range(len(keys))]
    names += [name.removesuffix(unit) for name in names for unit in _UNITS if name.endswith(unit)]
    variable = next((_VARIABLE_OF[name] for name in names if name in _VARIABLE_OF), None)
    if variable is None:
        return None
    if look != "absent" and look not in _FITTING.get(variable, {look}):
        return None
    if variable in {"request_time", "upstream_time"}:
        return variable + _unit(keys[-1], look)
    return "remote_addr_port" if variable == "remote_addr" and look == "address_port" else variable


def _unit(name: str, look: str) -> str:
    """The unit of a duration: as its name says, else seconds where it has a fraction and milliseconds where not."""
    for unit in _UNITS:
        if name.endswith(unit):
            return f"_{unit}"
    return "" if look in {"decimal", "absent"} else "_ms"
