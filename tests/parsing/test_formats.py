"""Log formats: every shipped sample, what cannot be compiled, and layouts that users write themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from scanners import FORMATS, SAMPLES, read

from analyzer.errors import FormatError, RuleError
from analyzer.parsing import scanner
from analyzer.parsing.detect import HEAD, detect, detect_head
from analyzer.parsing.formats import choose_format, load_formats
from analyzer.parsing.log_format import compile_format
from analyzer.parsing.portable import Scanner
from analyzer.parsing.schema import SCHEMA, outputs

if TYPE_CHECKING:
    from pathlib import Path

    from analyzer.parsing.log_format import LineFormat

KNOWN = [format_.line_format for format_ in FORMATS.values()]
samples = pytest.mark.parametrize(
    ("name", "sample"), SAMPLES, ids=[f"{name}-{sample.get('about', 'plain')}" for name, sample in SAMPLES]
)
LINE = FORMATS["ingress-nginx"].samples[0]["line"].encode()


def row(line_format: LineFormat, line: bytes) -> dict[str, Any]:
    """Read a line that fits."""
    rows, misfits, *_ = read(Scanner, line_format, line, outputs(line_format, list(SCHEMA)))
    assert misfits.rows(named=True) == []
    return rows.row(0, named=True)


def reason(line_format: LineFormat, line: bytes) -> str:
    """Say why a line does not fit."""
    _, misfits, *_ = read(Scanner, line_format, line)
    found = misfits.row(0, named=True)
    return line_format.explain(found["field"] - 1, found["reason"])


@samples
def test_a_sample_reads_as_its_rule_says(name: str, sample: dict[str, Any]) -> None:
    """The format's own layout reads its sample as `expect` says, or rejects it for the reason under `reject`."""
    line_format = FORMATS[name].line_format
    if "reject" in sample:
        assert reason(line_format, sample["line"].encode()) == sample["reject"]
        return
    found = row(line_format, sample["line"].encode())
    assert {column: found[column] for column in sample["expect"]} == sample["expect"]


@samples
def test_a_sample_is_recognised(name: str, sample: dict[str, Any]) -> None:
    """Detection over all formats finds one that reads a sample as its rule says, and none for a rejected one."""
    line = sample["line"].encode()
    found = detect(line + b"\n", KNOWN)
    if "reject" in sample:
        assert found is None
        return
    assert found is not None
    values = row(found, line)
    assert {column: values[column] for column in sample["expect"]} == sample["expect"]


def test_every_rule_carries_samples() -> None:
    """Every format file has a line that it reads, and an expectation or a rejection for each of its lines."""
    for format_ in FORMATS.values():
        assert any("expect" in sample for sample in format_.samples), format_.path
        assert all(("expect" in sample) != ("reject" in sample) for sample in format_.samples), format_.path


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_log_of_samples_is_recognised_by_name(name: str) -> None:
    """A log of all lines that a format reads is told to be of that format, or of one with the same layout."""
    lines = [sample["line"] for sample in FORMATS[name].samples if "expect" in sample]
    found = detect("\n".join(lines).encode(), KNOWN)
    assert found is not None
    assert [field.literal for field in found.fields] == [field.literal for field in FORMATS[name].line_format.fields]


def test_most_lines_decide() -> None:
    """The format that reads most lines of the beginning wins, whatever stands between them."""
    combined = FORMATS["combined"].samples[0]["line"].encode()
    noise = b"I1121 07:08:09.123456       7 main.go:1] x\n\n"
    assert detect(noise + combined + b"\n" + noise, KNOWN) is FORMATS["combined"].line_format
    assert detect(noise + LINE + b"\n" + LINE, KNOWN) is FORMATS["ingress-nginx"].line_format
    assert detect(noise * 3, KNOWN) is None
    assert detect(b"", KNOWN) is None
    assert detect(LINE, []) is None


def test_detection_is_bounded() -> None:
    """Only the beginning counts, cut where a line ends, so that a cut line tells nothing."""
    head = (LINE + b"\n") * (HEAD // (len(LINE) + 1) + 1)
    assert detect_head(head + b"\n" * HEAD, KNOWN) is FORMATS["ingress-nginx"].line_format
    assert detect_head(b"\n" * HEAD + head, KNOWN) is None
    assert detect_head(b"x" * (2 * HEAD), KNOWN) is None


def test_both_scanners_recognise_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Detection does not depend on the scanner."""
    lines = [sample["line"].encode() for _, sample in SAMPLES]
    found = [detect(line, KNOWN) for line in lines]
    monkeypatch.setenv("LOGSCAN_SCANNER", "portable")
    assert [detect(line, KNOWN) for line in lines] == found
    assert isinstance(scanner.new_scanner(KNOWN[0], outputs(KNOWN[0], ["offset"])), Scanner)


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
    rule.write_text('name = "mine"\ntitle = "t"\nsource = "s"\nlog_format = "$remote_addr $"\n')
    with pytest.raises(RuleError, match=r"mine\.toml: key `log_format`: log format: expected the name of a variable"):
        load_formats([tmp_path])
    rule.write_text('name = "mine"\ntitle = "t"\nsource = "s"\n')
    with pytest.raises(RuleError, match=r"mine\.toml: expected a string under `log_format`, got None"):
        load_formats([tmp_path])


def test_names_aliases_and_strings_choose() -> None:
    """A format is chosen by its name, by an alias, or by a log_format string."""
    known = list(FORMATS.values())
    assert choose_format("kong", known) is FORMATS["kong"].line_format
    assert choose_format("f5-nginx-ingress", known) is FORMATS["main"].line_format
    assert choose_format("$remote_addr [$time_local]", known).name == "custom"


@pytest.mark.parametrize("escape", ["", "escape=default ", "escape=json ", "escape=none  "])
def test_the_escape_word_is_no_literal(escape: str) -> None:
    """What nginx's configuration says of escapes before the string is accepted and no part of a line."""
    line_format = compile_format(f"{escape}<$remote_addr>\n")
    assert row(line_format, b"<10.0.0.1>")["remote_addr"] == "10.0.0.1"


def test_names_in_braces_and_letters_beyond_ascii() -> None:
    """A name in braces ends with them, and a letter that nginx does not take in a name ends it too."""
    line_format = compile_format("${status}x$remote_addr\u00e9")
    assert row(line_format, "200x10.0.0.1\u00e9".encode())["remote_addr"] == "10.0.0.1"
    assert reason(line_format, b"200x10.0.0.1") == "expected `\u00e9` after $remote_addr"


def test_literals_that_are_no_utf8() -> None:
    """A byte that a shell handed over as it was is matched as it was, and shown as U+FFFD."""
    line_format = compile_format("$remote_addr \udcff $status")
    assert row(line_format, b"10.0.0.1 \xff 200")["status"] == 200
    assert reason(line_format, b"10.0.0.1 200") == "expected ` \ufffd ` after $remote_addr"


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
    line_format = compile_format("ip=$remote_addr\tt=$msec\tms=$request_time\tup=$upstream_addr")
    found = row(line_format, b"ip=::1\tt=1795244889.123\tms=0.250\tup=10.0.0.1:80, 10.0.0.2:80 : 10.0.0.3:80")
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
    line_format = compile_format('{"a":"$remote_addr","t":$upstream_response_time}')
    for text, total in ((b"", None), (b"0.001", 0.001), (b"0.001, 0.002", 0.003), (b"0.001 : 0.002", 0.003)):
        found = row(line_format, b'{"a":"","t":' + text + b"}")
        assert found["upstream_response_time"] == total
    assert reason(line_format, b'{"a":"","t":') == "expected `}` after $upstream_response_time"


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
    line_format = compile_format('$remote_addr:$remote_port - "$request" $status')
    for address in ("2001:db8::1", "::1", "10.0.0.1", "::ffff:10.0.0.1", "2001:db8:1:2:3:4:5:6"):
        found = row(line_format, f'{address}:51234 - "GET / HTTP/1.1" 200'.encode())
        assert (found["remote_addr"], found["remote_port"]) == (address, 51234)
        assert found["address"] is not None


def test_a_column_that_is_none() -> None:
    """Asking for what is no access-log column is refused by name; one that a format lacks is left out."""
    line_format = compile_format("$remote_addr $status")
    with pytest.raises(FormatError, match="expected the name of an access-log column, got 'ip'"):
        outputs(line_format, ["ip"])
    assert [output.name for output in outputs(line_format, ["time", "status"])] == ["status"]


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
    assert reason(FORMATS["ingress-nginx"].line_format, line) == why
