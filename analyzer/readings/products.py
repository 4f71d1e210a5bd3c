"""How products are told to log what a reading lacks: their own names for it, and where those are set.

Every fact has the document that says so. Where a product's log cannot hold a thing, there is no entry for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from analyzer.parsing.json_format import JsonFormat

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analyzer.parsing.formats import Layout

#: Variables of `VARIABLES` that are logscan's own: a format with one of them is not nginx's. (`$blanks` says of some
#: formats that nothing follows.)
OWN_VARIABLES = frozenset({
    "remote_addr_port", "time_any", "time_begun", "syslog_time", "request_time_ms", "request_time_us",
    "request_time_ns",
    "upstream_time", "upstream_time_ms", "upstream_time_us", "upstream_time_ns", "upstream_name",
    "upstream_target", "upstream_code", "request_raw", "referer_raw", "user_agent_raw", "x_forwarded_for_raw",
    "request_id_raw", "host_raw", "number", "seconds", "millis", "name", "rest", "message", "node", "pod",
    "container", "labels", "file", "stream", "cri_tag", "realip_remote_addr_port",
})  # fmt: skip

#: Variables that only read more of what nginx's own write.
AS_NGINX = {
    "$remote_addr_first": "$remote_addr",
    "$x_forwarded_for_list": "$http_x_forwarded_for",
    "$vhost": "$host",
    "$blanks": "",
}


@dataclass(frozen=True, slots=True)
class Product:
    """What writes a log.

    Attributes
    ----------
    formats
        How the names of its formats begin.
    where
        Where its format is set.
    source
        The document that says so.
    adds
        How it calls a column; `msec` is a time to the millisecond.
    kind
        What its entries are: the ``whole`` format is written anew, or they are to ``append`` to it, ``members`` of the
        JSON object, ``options`` of the program.
    read_as
        How logscan reads what is appended.
    always
        Columns that are logged whenever a request has them, or that there cannot be.
    remedy
        What else can be done about something that its log cannot hold.
    """

    formats: tuple[str, ...]
    where: str = ""
    source: str = ""
    adds: Mapping[str, str] = field(default_factory=dict)
    kind: Literal["whole", "append", "members", "options"] = "append"
    read_as: Mapping[str, str] = field(default_factory=dict)
    always: frozenset[str] = frozenset()
    remedy: str = "add it to the log format, and say how that reads with --log-format or --rules"


_HEADERS = frozenset({"x_forwarded_for", "user_agent"})
_BEHIND = "this log has no place for it: compare it with that of the ingress behind it (logscan compare --layers)"

#: DOWNSTREAM_REMOTE_ADDRESS may come from X-Forwarded-For or PROXY protocol, the direct one is always the peer.
_ENVOY_DOCS = "https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage"
_ENVOY_WHERE = "the log format (Istio: meshConfig.accessLogFormat; Envoy Gateway: telemetry.accessLog of EnvoyProxy)"

#: The first counts whose `formats` a name begins with.
_PRODUCTS = (
    Product(
        ("envoy-json",),
        _ENVOY_WHERE,
        _ENVOY_DOCS,
        {
            "remote_addr": '"downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%"',
            "realip_remote_addr": '"downstream_direct_remote_address_without_port": '
            '"%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"',
            "x_forwarded_for": '"x_forwarded_for": "%REQ(X-FORWARDED-FOR)%"',
            "user_agent": '"user_agent": "%REQ(USER-AGENT)%"',
        },
        "members",
    ),
    Product(
        ("envoy", "istio", "emissary"),
        _ENVOY_WHERE,
        _ENVOY_DOCS,
        {
            "remote_addr": "%DOWNSTREAM_REMOTE_ADDRESS%",
            "realip_remote_addr": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
            "x_forwarded_for": '"%REQ(X-FORWARDED-FOR)%"',
            "user_agent": '"%REQ(USER-AGENT)%"',
        },
        read_as={
            "remote_addr": "$remote_addr_port",
            "realip_remote_addr": "$realip_remote_addr",
            "x_forwarded_for": '"$x_forwarded_for_raw"',
            "user_agent": '"$user_agent_raw"',
        },
    ),
    # The first header that is captured has the number 0; `+Q` puts quotes round it.
    Product(
        ("haproxy-http",),
        'log-format "${HAPROXY_HTTP_LOG_FMT} ..." with `capture request header X-Forwarded-For len 128` and then '
        "`capture request header User-Agent len 256`",
        "https://docs.haproxy.org/2.8/configuration.html#8.8",
        {"x_forwarded_for": "%{+Q}[capture.req.hdr(0)]", "user_agent": "%{+Q}[capture.req.hdr(1)]"},
        read_as={"x_forwarded_for": '"$http_x_forwarded_for"', "user_agent": '"$http_user_agent"'},
    ),
    Product(
        ("haproxy-clf",),
        'log-format "${HAPROXY_HTTP_LOG_FMT} ..." instead of `option httplog clf`, with `capture request header '
        "X-Forwarded-For len 128` and then `capture request header User-Agent len 256`",
        "https://docs.haproxy.org/2.8/configuration.html#8.8",
        {"x_forwarded_for": "%{+Q}[capture.req.hdr(0)]", "user_agent": "%{+Q}[capture.req.hdr(1)]"},
        "options",
        remedy="`option httplog` without `clf` has milliseconds",
    ),
    Product(
        ("traefik-json",),
        "Traefik's static configuration",
        "https://doc.traefik.io/traefik/observability/access-logs/",
        {
            "x_forwarded_for": "--accesslog.fields.headers.names.X-Forwarded-For=keep",
            "user_agent": "--accesslog.fields.headers.names.User-Agent=keep",
        },
        "options",
        remedy="keep StartUTC, ClientAddr and the others of Traefik's fields (--accesslog.fields.defaultmode=keep)",
    ),
    Product(
        ("traefik",),
        "Traefik's static configuration",
        "https://doc.traefik.io/traefik/observability/access-logs/",
        {
            "x_forwarded_for": "--accesslog.fields.headers.names.X-Forwarded-For=keep",
            "realip_remote_addr": "--accesslog.format=json",
            "user_agent": "--accesslog.fields.headers.names.User-Agent=keep",
            "msec": "--accesslog.format=json",
        },
        "options",
    ),
    # The times are those of the end, as `$msec` is.
    Product(
        ("apache-",),
        "LogFormat",
        "https://httpd.apache.org/docs/2.4/mod/mod_log_config.html#formats",
        {
            "x_forwarded_for": r"\"%{X-Forwarded-For}i\"",
            "realip_remote_addr": "%{c}a",
            "msec": "%{end:sec}t.%{end:msec_frac}t",
            "request_time": "%D",
            "user_agent": r"\"%{User-Agent}i\"",
        },
        read_as={
            "x_forwarded_for": '"$http_x_forwarded_for"',
            "realip_remote_addr": "$realip_remote_addr",
            "msec": "$msec",
            "request_time": "$request_time_us",
            "user_agent": '"$user_agent_raw"',
        },
    ),
    Product(
        ("hypercorn",),
        "--access-logformat",
        "https://hypercorn.readthedocs.io/en/latest/how_to_guides/logging.html",
        {"x_forwarded_for": '"%({x-forwarded-for}i)s"'},
        read_as={"x_forwarded_for": '"$x_forwarded_for_raw"'},
        remedy="Hypercorn has no finer time: read the log of the proxy before it",
    ),
    Product(("uvicorn",), remedy="Uvicorn cannot log it: read the log of the proxy before it"),
    Product(
        ("cloudflare-logpush",),
        "the zone's custom fields, and RequestHeaders among the fields of the Logpush job",
        "https://developers.cloudflare.com/logs/reference/custom-fields/",
        {"x_forwarded_for": "x-forwarded-for"},
        "options",
        remedy="choose the field for the Logpush job (EdgeEndTimestamp, ClientRequestUserAgent)",
    ),
    # Connections, not requests.
    Product(
        ("haproxy-tcp", "haproxy-connect", "aws-nlb", "aws-alb-connection", "kong-stream-json"),
        always=_HEADERS | {"status"},
        remedy=_BEHIND,
    ),
    Product(("aws-", "azure-", "gcp-", "linkerd-", "skipper-"), remedy=_BEHIND),
    # These write every header of a request.
    Product(
        ("caddy-", "kong-json", "apisix-json"),
        always=_HEADERS,
        remedy="the product's own access log has it, unless a filter took it away",
    ),
)

#: nginx's variables, as they stand in a format of text.
_NGINX = {
    "remote_addr": "$remote_addr",
    "realip_remote_addr": "$realip_remote_addr",
    "x_forwarded_for": '"$http_x_forwarded_for"',
    "user_agent": '"$http_user_agent"',
    "status": "$status",
    "msec": "$msec",
    "request_time": "$request_time",
}

#: Where nginx's format is set, by how the names of formats begin.
_NGINX_WHERE = (
    (
        "ingress-nginx-stream",
        "log-format-stream in the ConfigMap of ingress-nginx",
        "https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/configmap/#log-format-stream",
    ),
    (
        ("ingress-nginx", "ack-ingress", "nginx-json"),
        "log-format-upstream in the ConfigMap of ingress-nginx",
        "https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/log-format/",
    ),
    (
        "kong-stream",
        'KONG_NGINX_STREAM_LOG_FORMAT="more \'...\'" and KONG_PROXY_STREAM_ACCESS_LOG="/dev/stdout more"',
        "https://developer.konghq.com/support/how-to-add-any-variable-to-kong-access-logs/",
    ),
    (
        "kong",
        'KONG_NGINX_HTTP_LOG_FORMAT="more \'...\'" and KONG_PROXY_ACCESS_LOG="/dev/stdout more"',
        "https://developer.konghq.com/support/how-to-add-any-variable-to-kong-access-logs/",
    ),
    (
        "apisix",
        "nginx_config.http.access_log_format in config.yaml",
        "https://github.com/apache/apisix/blob/master/apisix/cli/config.lua",
    ),
    (
        "main",
        "log_format in nginx.conf; log-format in the ConfigMap of F5 NGINX Ingress Controller",
        "https://docs.nginx.com/nginx-ingress-controller/configuration/global-configuration/configmap-resource/",
    ),
    # %a and %h may be what mod_remoteip made of a header, %{c}a is the peer (Apache's mod_log_config).
    (
        ("combined", "common"),
        "log_format in nginx.conf (Apache: %{X-Forwarded-For}i, %{c}a; gunicorn: %({x-forwarded-for}i)s)",
        "https://nginx.org/en/docs/http/ngx_http_log_module.html#log_format",
    ),
    ("", "log_format in nginx.conf", "https://nginx.org/en/docs/http/ngx_http_log_module.html#log_format"),
)


def product_of(layout: Layout) -> Product:
    """What writes lines of this layout; with nothing to add where that is not known or cannot be told to."""
    for product in _PRODUCTS:
        if layout.name.startswith(product.formats):
            return product
    adds: Mapping[str, str] = {}
    if isinstance(layout, JsonFormat):
        if layout.name.startswith("nginx-json"):
            adds = _members(layout)
    elif not OWN_VARIABLES & {field.variable for field in layout.fields}:
        adds = _NGINX
    where, source = next((where, source) for names, where, source in _NGINX_WHERE if layout.name.startswith(names))
    kind: Literal["members", "whole"] = "members" if isinstance(layout, JsonFormat) else "whole"
    return Product((), where, source, adds, kind)


def _members(layout: JsonFormat) -> dict[str, str]:
    """The variables of nginx as members of an object, by the names that the format reads them from."""
    columns = {"msec": "time"}
    places = {field.column: field.pointers[0] for field in layout.fields}
    found = {column: places.get(columns.get(column, column), ()) for column in _NGINX}
    return {
        column: f'"{path[0].decode()}": "{_NGINX[column].strip(chr(34))}"'
        for column, path in found.items()
        if len(path) == 1 and (column != "msec" or path[0] == b"msec")
    }
