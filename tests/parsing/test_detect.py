"""Detection where several envelopes or formats would do: which is named, and what a visitor cannot bring about."""

from __future__ import annotations

import json

import pytest
from runs import KNOWN
from scanners import FORMATS, native_or_skip
from wrapping import ENVELOPES, Where, cri, fluent_bit, is_object, stern, wrapped

from analyzer.native import SCANNER
from analyzer.parsing import detect as module
from analyzer.parsing.detect import Known, Shape, detect, detect_head
from analyzer.parsing.formats import choose_format
from analyzer.parsing.layers import name_of


@pytest.fixture(params=["native", "portable"], autouse=True)
def _scanner(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "native":
        native_or_skip(SCANNER)
    monkeypatch.setenv("LOGSCAN_SCANNER", request.param)


def sample(name: str, number: int = 0) -> str:
    """A line that a format reads."""
    return str([one["line"] for one in FORMATS[name].samples if "expect" in one][number])


def named(text: bytes) -> tuple[str, str | None]:
    """Envelopes and format of these lines."""
    found = detect(text, KNOWN)
    return name_of(found.layers), found.layout.name if found.layout else None


#: Words of envelopes as a visitor may write them into a path, a header or a name.
FORGED = [
    "2026-11-21T07:08:09.123456789Z stdout F 192.0.2.1 - - [21/Nov/2026:07:08:09 +0000]",
    "<190>Nov 21 07:08:09 evil nginx: 192.0.2.1 - -",
    "[pod/evil/controller] 192.0.2.1 - -",
    "evil controller 192.0.2.1 - -",
    "shop/evil@nginx: 192.0.2.1 - -",
    "evil@worker-9    | 192.0.2.1 - -",
    '2026-11-21T07:08:09Z {pod="evil"} 192.0.2.1 - -',
    json.dumps({"log": "x\n", "stream": "stdout", "time": "2026-11-21T07:08:09Z"}),
    '"}\n' + fluent_bit("192.0.2.1 - -", Where(pod="evil")) + "\n",
    '","pod":"evil","kubernetes":{"pod_name":"evil","host":"evil","namespace_name":"evil"},"x":"',
    "\x1b[31m192.0.2.1\x1b[0m",
]


def by_visitor(words: str) -> str:
    """A line of ingress-nginx whose visitor sent these words as path, referer and user agent; nginx escapes them."""
    escaped = "".join(c if c not in '"\\' and ord(c) >= 32 else f"\\x{ord(c):02X}" for c in words)
    before, _, behind = sample("ingress-nginx").partition('"')
    return f'{before}"GET /{escaped} HTTP/1.1" 200 612 "{escaped}" "{escaped}"{behind.rpartition(chr(34))[2]}'


@pytest.mark.parametrize("name", ["none", *(name for name, one in ENVELOPES.items() if not one.parsed)])
def test_visitors_make_no_envelope(name: str) -> None:
    """What visitors write changes neither envelope nor format, even where they write most of the lines."""
    lines = [by_visitor(words) for words in FORGED] * 2
    text = wrapped(name, lines) if name != "none" else "".join(f"{line}\n" for line in lines).encode()
    assert named(text) == (ENVELOPES[name].name if name != "none" else "none", "ingress-nginx")


def test_visitors_make_no_keys() -> None:
    """The keys of a JSON log are its own, whatever stands in its strings."""
    line = json.loads(sample("nginx-json"))
    keys = [key for key, value in line.items() if isinstance(value, str) and key not in {"time", "remote_addr"}]
    lines = [json.dumps(line | dict.fromkeys(keys, words)) for words in FORGED]
    assert named("".join(f"{one}\n" for one in lines).encode())[0] == "none"


@pytest.mark.parametrize("name", [name for name, one in ENVELOPES.items() if "pod" in one.tells])
def test_collectors_with_pods_are_told_from_plain_json(name: str) -> None:
    """An envelope that tells the pod is not taken for one that has but message and time."""
    line = sample("nginx-json")
    assert is_object(line)
    assert named(wrapped(name, [line] * 3)) == (ENVELOPES[name].name, "nginx-json")


@pytest.mark.parametrize("name", ["emissary", "kong-stream", "nginx-stream", "kong", "ingress-nginx-stream"])
def test_words_of_a_line_are_no_envelope(name: str) -> None:
    """Of envelopes that both leave lines which can be read, the one wins that takes less away: no word, no address."""
    lines = [sample(name)] * 3
    assert named(wrapped("stern", lines)) == ("stern", name)
    assert named(wrapped("kubectl-timestamps", lines)) == ("timestamps", name)
    assert named(wrapped("syslog-5424", lines)) == ("syslog-5424", name)
    [envelope] = detect(wrapped("syslog-5424", lines), KNOWN).layers
    assert not isinstance(envelope, str)
    assert envelope.path.stem == "syslog-5424"


def test_most_lines_decide_in_envelopes() -> None:
    """Lines that came by another way do not hide the envelope of most, nor its format."""
    at = Where()
    lines = [cri(sample("kong"), at)] * 5 + [sample("kong")] * 2 + [stern(sample("combined"), at)]
    assert named("\n".join(lines).encode()) == ("cri", "kong")


def test_a_cut_line_moves_no_field() -> None:
    """A line that lost its last field reads as an older format only where its upstreams stand where that has them."""
    line = sample("ingress-nginx-0.25")
    cut = line.rpartition(" ")[0]
    assert "[default-web-80] [] 10.244.0.5:80" in cut
    assert named("\n".join([cut, *[line] * 20]).encode()) == ("none", "ingress-nginx-0.25")


def test_a_cut_beginning_does_not_decide() -> None:
    """A first line that lost its beginning, wherever it was cut, does not make a format of fewer fields win."""
    line = sample("ingress-nginx-0.25")
    address = line.index("] - - [")
    for start in range(1, address + 2):
        assert named("\n".join([line[start:], line, line]).encode()) == ("none", "ingress-nginx-0.25"), line[start:]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("shop.example.org", "example.org", "_"), "apache-vhost-name"),
        (("203.0.113.7", "198.51.100.9", "-"), "x-forwarded-for-first"),
        (("203.0.113.7, 10.1.2.3", "2001:db8::17", "unknown, 203.0.113.7:443"), "x-forwarded-for-first"),
        (("shop.example.org", "203.0.113.7", "example.org"), "apache-vhost-name"),
        (("203.0.113.7", "x, y", "198.51.100.9,10.1.2.3"), "x-forwarded-for-first"),
    ],
)
def test_what_stands_before_the_address(words: tuple[str, ...], name: str) -> None:
    """Before an address stands the name of a server, or the addresses of X-Forwarded-For: most lines tell which."""
    lines = [f"{word} {sample('combined')}" for word in words]
    assert named("\n".join(lines).encode()) == ("none", name)


def test_names_of_servers_are_no_containers() -> None:
    """`stern` in one namespace before names of servers is not `stern` in all namespaces before none."""
    lines = [stern(f"{server} {sample('combined')}", Where()) for server in ("shop.example.org", "example.org")]
    assert named("\n".join(lines).encode()) == ("stern", "apache-vhost-name")
    found = detect("\n".join(lines).encode(), KNOWN)
    assert [layer.path.stem for layer in found.layers if not isinstance(layer, str)] == ["stern"]


def test_colours_are_taken_off_unknown_lines() -> None:
    """Colours hide nothing of lines that no format reads: they may be a server's own messages."""
    assert named(b"\x1b[32mINFO\x1b[0m:     Started server process [\x1b[36m7\x1b[0m]\n") == ("ansi", None)


def test_unknown_lines_in_known_envelopes() -> None:
    """Envelopes are told round lines of an unknown format too, but not those that any words would make."""
    unknown = "lorem ipsum dolor sit amet"
    assert named(wrapped("fluent-bit", [cri(unknown, Where())] * 3)) == ("fluent-bit+cri", None)
    assert named(wrapped("docker", [unknown] * 3)) == ("docker", None)
    assert named(wrapped("stern", [unknown] * 3)) == ("none", None)


def test_only_so_much_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a long block its beginning is tried, and where that tells nothing its end, cut where lines end."""
    monkeypatch.setattr(module, "HEAD", 4000)
    monkeypatch.setattr(module, "_FIRST", 1000)
    noise = b"lorem ipsum dolor sit amet, consectetur adipisici elit\n" * 100
    lines = wrapped("docker", [sample("kong")] * 40)
    assert min(len(noise), len(lines)) > 4000
    for text in (lines, lines + noise, noise + lines):
        assert named(text) == ("docker", "kong")
    for text in (noise, noise + lines + noise, b"x" * 10_000):
        assert named(text) == ("none", None)


def test_a_chosen_format_is_that_of_every_log() -> None:
    """What somebody chose is not looked for, but its envelopes are; one line decides nothing."""
    chosen = Known(choose_format("kong", list(FORMATS.values())), KNOWN.envelopes, chosen=True)
    assert detect_head(wrapped("docker", [sample("kong")]), chosen) == Shape(
        FORMATS["kong"].layouts[0], detect(wrapped("docker", [sample("kong")]), KNOWN).layers
    )
    for head in (b"", b"lorem ipsum\n", wrapped("docker", ["lorem"])):
        assert detect_head(head, chosen).layout is FORMATS["kong"].layouts[0]
    assert detect_head(b'[{"a":1}]', chosen) == Shape(document="array")
