"""Log formats: every shipped sample, what cannot be compiled, and layouts that users write themselves."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest
from scanners import FORMATS, SAMPLES, read

from analyzer.errors import FormatError, RuleError
from analyzer.parsing import scanner
from analyzer.parsing.detect import HEAD, Known, Shape, by_detail, detect, detect_head
from analyzer.parsing.envelopes import load_envelopes
from analyzer.parsing.formats import choose_format, load_formats
from analyzer.parsing.log_format import compile_format
from analyzer.parsing.portable import Scanner
from analyzer.parsing.schema import SCHEMA, outputs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from analyzer.parsing.formats import Layout

KNOWN = Known([layout for format_ in FORMATS.values() for layout in format_.layouts], load_envelopes())
samples = pytest.mark.parametrize(
    ("name", "sample"), SAMPLES, ids=[f"{name}-{sample.get('about', 'plain')}" for name, sample in SAMPLES]
)
INGRESS = FORMATS["ingress-nginx"].layouts[0]
LINE = FORMATS["ingress-nginx"].samples[0]["line"].encode()


def row(layout: Layout, line: bytes) -> dict[str, Any]:
    """Read a line that fits."""
    rows, misfits, *_ = read(Scanner, layout, line, outputs(layout, list(SCHEMA)))
    assert misfits.rows(named=True) == []
    return rows.row(0, named=True)


def reason(layout: Layout, line: bytes) -> str:
    """Say why a line does not fit."""
    _, misfits, *_ = read(Scanner, layout, line)
    found = misfits.row(0, named=True)
    return layout.explain(found["field"] - 1, found["reason"])


def fitting(layouts: Sequence[Layout], line: bytes) -> Layout | None:
    """The layout that reads a line, tried in the order of a run."""
    return next((layout for layout in by_detail(layouts) if not read(Scanner, layout, line).misfits.height), None)


def of_format(name: str, line: bytes) -> dict[str, Any]:
    """Read a line by the variants of one format."""
    layout = fitting(FORMATS[name].layouts, line)
    assert layout is not None, [reason(layout, line) for layout in FORMATS[name].layouts]
    return row(layout, line)


@samples
def test_a_sample_reads_as_its_rule_says(name: str, sample: dict[str, Any]) -> None:
    """The format's own layouts read its sample as `expect` says, or reject it for the reason under `reject`."""
    line = sample["line"].encode()
    if "reject" in sample:
        assert fitting(FORMATS[name].layouts, line) is None
        assert sample["reject"] in [reason(layout, line) for layout in FORMATS[name].layouts]
        return
    found = of_format(name, line)
    assert {column: found.get(column, ...) for column in sample["expect"]} == sample["expect"]


@samples
def test_a_sample_is_recognised(name: str, sample: dict[str, Any]) -> None:
    """Detection over all formats and envelopes names the sample's own format, and none for a rejected line."""
    found = detect(sample["line"].encode() + b"\n", KNOWN)
    if "reject" in sample:
        assert found.layout is None
        return
    assert found.layout is not None
    assert (found.layout.name, found.layers) == (name, ())
    values = row(found.layout, sample["line"].encode())
    assert {column: values.get(column, ...) for column in sample["expect"]} == sample["expect"]


def test_every_rule_carries_samples() -> None:
    """Every variant of every format reads a sample that no other reads better; each has an expectation or a reason."""
    for format_ in FORMATS.values():
        assert all(("expect" in sample) != ("reject" in sample) for sample in format_.samples), format_.path
        used = {id(fitting(format_.layouts, sample["line"].encode())) for sample in format_.samples}
        assert {id(layout) for layout in format_.layouts} <= used, format_.path


def test_samples_name_nobody() -> None:
    """No sample holds an address that a visitor may have: they are private ones and those kept for documents."""
    columns = ("remote_addr", "realip_remote_addr", "proxy_protocol_addr", "x_forwarded_for")
    for name, sample in SAMPLES:
        for address in ",".join(str(sample.get("expect", {}).get(column, "")) for column in columns).split(","):
            try:
                assert not ip_address(address.strip()).is_global, name
            except ValueError:
                assert address.strip() in {"", "-", "unix", "unix:"}, name


def test_names_are_told_apart() -> None:
    """No two formats share a name or an alias, and a file is called as its format."""
    names = [name for format_ in load_formats() for name in (format_.name, *format_.aliases)]
    assert sorted(names) == sorted(set(names))
    assert {format_.path.stem for format_ in FORMATS.values()} == set(FORMATS)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_log_of_samples_is_recognised_by_name(name: str) -> None:
    """A log of all lines that a format reads is told to be of that format."""
    lines = [sample["line"] for sample in FORMATS[name].samples if "expect" in sample]
    found = detect("\n".join(lines).encode(), KNOWN)
    assert found.layout is not None
    assert found.layout.name == name


@pytest.mark.parametrize(
    ("name", "about", "absent"),
    [
        ("combined", "Traefik's genericCLF: no answer, so neither status nor size", "status body_bytes_sent"),
        ("haproxy-http", "a server that does not answer: times that never came are -1", "upstream_response_time"),
        ("haproxy-http", "the client went away before an answer: the status is -1", "status upstream_response_time"),
        ("aws-alb", "quotes and backslashes of a header are escaped", "upstream_response_time"),
        ("aws-elb", "the TCP example: no status, no request", "status"),
        ("aws-elb", "no instance took it", "upstream_response_time"),
        ("istio", "a TCP connection over IPv6", "upstream_response_time"),
        ("traefik", "from Traefik's tests: all that can be missing is missing", "status body_bytes_sent"),
    ],
)
def test_what_was_not_logged_is_null(name: str, about: str, absent: str) -> None:
    """A number that stands for nothing, `-` or -1, is null and never 0."""
    line = next(sample["line"] for sample in FORMATS[name].samples if sample.get("about") == about)
    found = of_format(name, line.encode())
    assert {column: found[column] for column in absent.split()} == dict.fromkeys(absent.split())


@pytest.mark.parametrize("name", ["envoy", "emissary", "ingress-nginx-stream"])
def test_no_address_is_no_address(name: str) -> None:
    """What logs only a header has no address of its own: the header may be anybody's."""
    sample = FORMATS[name].samples[-1 if name != "ingress-nginx-stream" else 2]
    assert "remote_addr" not in of_format(name, sample["line"].encode())


def test_most_lines_decide() -> None:
    """The format that reads most lines of the beginning wins, whatever stands between them."""
    combined = FORMATS["combined"].samples[0]["line"].encode()
    noise = b"I1121 07:08:09.123456       7 main.go:1] x\n\n"
    assert detect(noise + combined + b"\n" + noise, KNOWN) == Shape(FORMATS["combined"].layouts[0])
    assert detect(noise + LINE + b"\n" + LINE, KNOWN) == Shape(INGRESS)
    assert detect(noise * 3, KNOWN).layout is None
    assert detect(b"", KNOWN) == Shape()
    assert detect(LINE, Known([], [])) == Shape()


@pytest.mark.parametrize(
    ("name", "other"), [("kong", "combined"), ("main", "combined"), ("nginx-stream", "f5-nginx-stream")]
)
def test_lines_of_a_shorter_format_do_not_decide(name: str, other: str) -> None:
    """A shorter format does not read the lines of a longer one, so a few lines of its own do not make it win.

    Kong's proxy and its admin listener write to one stream.
    """
    line, shorter = (FORMATS[of].samples[0]["line"].encode() + b"\n" for of in (name, other))
    assert detect(line * 9 + shorter, KNOWN).layout is FORMATS[name].layouts[0]
    assert fitting(FORMATS[other].layouts, line.strip()) is None


def test_detection_is_bounded() -> None:
    """Only the beginning counts, cut where a line ends, so that a cut line tells nothing."""
    head = (LINE + b"\n") * (HEAD // (len(LINE) + 1) + 1)
    assert detect_head(head + b"\n" * HEAD, KNOWN) == Shape(INGRESS)
    assert detect_head(b"\n" * HEAD + head, KNOWN).layout is None
    assert detect_head(b"x" * (2 * HEAD), KNOWN).layout is None


def test_both_scanners_recognise_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Detection does not depend on the scanner."""
    logs = ["\n".join(sample["line"] for sample in format_.samples).encode() for format_ in FORMATS.values()]
    found = [detect(log, KNOWN) for log in logs]
    monkeypatch.setenv("LOGSCAN_SCANNER", "portable")
    assert [detect(log, KNOWN) for log in logs] == found
    assert isinstance(scanner.new_scanner(INGRESS, outputs(INGRESS, ["offset"])), Scanner)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "log format: expected nginx variables such as $remote_addr, got none in ''"),
        ("%h %l %u", "log format: expected nginx variables such as $remote_addr, got none in '%h %l %u'"),
        ("$foo", "log format: expected at least one variable that logscan reads, got only $foo"),
        ("$remote_addr $ $status", "expected the name of a variable after `$` at column 14, got ' $status'"),
        ("$remote_addr ${status", "expected the name of a variable after `$` at column 14, got '{status'"),
        ("$$remote_addr", "expected the name of a variable after `$` at column 1, got '$remote_ad'"),
        ("$remote_addr\n$status", "log format: expected one line, got 2"),
        ("$status " * 65, "log format: expected at most 64 variables, got 65"),
    ],
)
def test_what_cannot_be_compiled(text: str, message: str) -> None:
    """A string that makes no format is refused in one sentence that shows the place."""
    with pytest.raises(FormatError) as raised:
        compile_format(text)
    assert message in str(raised.value)


def test_unknown_name_and_rule(tmp_path: Path) -> None:
    """An unknown name lists the known ones; a rule file with a bad format names the file, the key and the reason."""
    with pytest.raises(FormatError, match="expected a known name or a log_format string") as raised:
        choose_format("ingres-nginx", list(FORMATS.values()))
    assert "ingress-nginx" in (raised.value.hint or "")
    folder = tmp_path / "formats"
    folder.mkdir()
    rule = folder / "mine.toml"
    about = 'name = "mine"\ntitle = "t"\nsource = "s"\n'
    for text, message in (
        ('log_format = "$remote_addr $"', "key `log_format`: log format: expected the name of a variable"),
        ('log_format = ["$status", "$"]', "key `log_format`: log format: expected the name of a variable"),
        ("", "expected a string under `log_format` or a table `json`, got None"),
        ("log_format = []", r"expected a string under `log_format` or a table `json`, got \[\]"),
        ("log_format = [1]", r"expected a string under `log_format` or a table `json`, got \[1\]"),
        ('log_format = "$status"\naliases = "a"', "expected a list of names under `aliases`, got 'a'"),
    ):
        rule.write_text(about + text)
        with pytest.raises(RuleError, match=rf"mine\.toml: {message}"):
            load_formats([tmp_path])


def test_names_aliases_and_strings_choose() -> None:
    """A format is chosen by its name, by an alias, or by a log_format string."""
    known = list(FORMATS.values())
    assert choose_format("kong", known) is FORMATS["kong"].layouts
    assert choose_format("f5-nginx-ingress", known) is FORMATS["main"].layouts
    assert [layout.name for layout in choose_format("$remote_addr [$time_local]", known)] == ["custom"]


@pytest.mark.parametrize("escape", ["", "escape=default ", "escape=json ", "escape=none  "])
def test_the_escape_word_is_no_literal(escape: str) -> None:
    """What nginx's configuration says of escapes before the string is accepted and no part of a line."""
    layout = compile_format(f"{escape}<$remote_addr>\n")
    assert row(layout, b"<10.0.0.1>")["remote_addr"] == "10.0.0.1"


def test_names_in_braces_and_letters_beyond_ascii() -> None:
    """A name in braces ends with them, and a letter that nginx does not take in a name ends it too."""
    layout = compile_format("${status}x$remote_addr\u00e9")
    assert row(layout, "200x10.0.0.1\u00e9".encode())["remote_addr"] == "10.0.0.1"
    assert reason(layout, b"200x10.0.0.1") == "expected `\u00e9` after $remote_addr"


def test_literals_that_are_no_utf8() -> None:
    """A byte that a shell handed over as it was is matched as it was, and shown as U+FFFD."""
    layout = compile_format("$remote_addr \udcff $status")
    assert row(layout, b"10.0.0.1 \xff 200")["status"] == 200
    assert reason(layout, b"10.0.0.1 200") == "expected ` \ufffd ` after $remote_addr"


def test_variables_that_touch() -> None:
    """Where two variables stand without anything between them neither is known, and what follows is read right."""
    found = row(compile_format("$remote_addr$host [$status]"), b"10.0.0.1example.org [200]")
    assert (found.get("remote_addr"), found.get("host"), found["status"]) == (None, None, 200)


def test_unknown_variables_are_passed_over() -> None:
    """A variable that logscan does not know is a text that no column takes."""
    found = row(compile_format('"$geoip_city" "$http_cookie" $status'), b'"K [ ]" "a=b; c" 200')
    assert found == {"status": 200, "offset": 0}


def test_text_layout() -> None:
    """A layout with tabs and pairs of names and values is read, also with the list at the end of the line."""
    layout = compile_format("ip=$remote_addr\tt=$msec\tms=$request_time\tup=$upstream_addr")
    found = row(layout, b"ip=::1\tt=1795244889.123\tms=0.250\tup=10.0.0.1:80, 10.0.0.2:80 : 10.0.0.3:80")
    assert found["time"].isoformat() == "2026-11-21T07:08:09.123000+00:00"
    assert found["request_time"] == 0.25
    assert found["upstream_addr"] == "10.0.0.1:80, 10.0.0.2:80 : 10.0.0.3:80"


DOCUMENTED = compile_format(
    'escape=json {"time": "$time_iso8601", "remote_addr": "$proxy_protocol_addr", "x_forwarded_for": '
    '"$proxy_add_x_forwarded_for", "request_id": "$req_id", "remote_user": "$remote_user", "bytes_sent": $bytes_sent, '
    '"request_time": $request_time, "status": $status, "vhost": "$host", "request_proto": "$server_protocol", "path": '
    '"$uri", "request_query": "$args", "request_length": $request_length, "duration": $request_time,"method": '
    '"$request_method", "http_referrer": "$http_referer", "http_user_agent": "$http_user_agent" }'
)


def test_json_as_ingress_nginx_documents_it() -> None:
    r"""The documented JSON layout is read: strings with \" in them, empty strings, and a string at the end."""
    found = row(
        DOCUMENTED,
        rb'{"time": "2026-11-21T08:08:09+01:00", "remote_addr": "", "x_forwarded_for": "203.0.113.7, 10.0.0.1", '
        rb'"request_id": "ab", "remote_user": "a \"b\", \"c\": \"", "bytes_sent": 5, "request_time": 0.004, '
        rb'"status": 200, "vhost": "example.org", "request_proto": "HTTP/1.1", "path": "/\\", '
        rb'"request_query": "a=\"&b=\\\"", "request_length": 88, "duration": 0.004,"method": "GET", '
        rb'"http_referrer": "", "http_user_agent": "\"x\\" }',
    )
    assert found["time"].isoformat() == "2026-11-21T07:08:09+00:00"
    assert (found["proxy_protocol_addr"], found["x_forwarded_for"]) == ("", "203.0.113.7, 10.0.0.1")
    assert (found["remote_user"], found["path"], found["user_agent"]) == (r"a \"b\", \"c\": \"", r"/\\", r"\"x\\")
    assert (found["method"], found["protocol"], found["host"]) == ("GET", "HTTP/1.1", "example.org")


def test_json_values_at_the_end() -> None:
    """The last value of an object may be a number, an empty number, a string, or a list of tries."""
    layout = compile_format('{"a":"$remote_addr","t":$upstream_response_time}')
    for text, total in ((b"", None), (b"0.001", 0.001), (b"0.001, 0.002", 0.003), (b"0.001 : 0.002", 0.003)):
        found = row(layout, b'{"a":"","t":' + text + b"}")
        assert found["upstream_response_time"] == total
    assert reason(layout, b'{"a":"","t":') == "expected `}` after $upstream_response_time"


def test_the_finest_time_wins() -> None:
    """Of several notations of the time in one line the finest is the column."""
    line = b"[21/Nov/2026:07:08:09 +0000] 1795244889.123 2026-11-21T07:08:09+00:00"
    found = row(compile_format("[$time_local] $msec $time_iso8601"), line)
    assert found["time"].isoformat(timespec="milliseconds") == "2026-11-21T07:08:09.123+00:00"


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("21/Nov/2026:00:00:00 +0530", "2026-11-20T18:30:00+00:00"),
        ("20/Nov/2026:23:30:00 -0330", "2026-11-21T03:00:00+00:00"),
        ("31/Dec/2026:23:59:59 -1200", "2027-01-01T11:59:59+00:00"),
        ("29/Feb/2028:00:30:00 +0100", "2028-02-28T23:30:00+00:00"),
    ],
)
def test_time_zones(text: str, utc: str) -> None:
    """A time is given in UTC, whatever the zone of the server that wrote it."""
    assert row(compile_format("$time_local"), text.encode())["time"].isoformat() == utc


def test_address_and_port() -> None:
    """`$remote_addr:$remote_port` reads IPv6 addresses, which nginx writes without brackets."""
    layout = compile_format('$remote_addr:$remote_port - "$request" $status')
    for address in ("2001:db8::1", "::1", "10.0.0.1", "::ffff:10.0.0.1", "2001:db8:1:2:3:4:5:6"):
        found = row(layout, f'{address}:51234 - "GET / HTTP/1.1" 200'.encode())
        assert (found["remote_addr"], found["remote_port"]) == (address, 51234)
        assert found["address"] is not None


def test_a_column_that_is_none() -> None:
    """Asking for what is no access-log column is refused by name; one that a format lacks is left out."""
    layout = compile_format("$remote_addr $status")
    with pytest.raises(FormatError, match="expected the name of an access-log column, got 'ip'"):
        outputs(layout, ["ip"])
    assert [output.name for output in outputs(layout, ["time", "status"])] == ["status"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"\n", "expected ` - ` after $remote_addr"),
        (LINE[:-33], "expected ` ` after $upstream_status"),
        (LINE.replace(b"+0000", b"UTC"), "$time_local is not a time such as 21/Nov/2026:07:08:09 +0000"),
        (LINE.replace(b" 612 ", b" many ", 1), "$body_bytes_sent is not a whole number"),
        (LINE.replace(b" 0.004 ", b" fast ", 1), "$request_time is not a number of seconds"),
    ],
)
def test_reasons_in_words(line: bytes, why: str) -> None:
    """A line that does not fit is told where it stops and what should stand there."""
    assert reason(INGRESS, line) == why
