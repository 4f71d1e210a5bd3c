"""Write an access log of any length: the same bytes for the same seed, with its true totals.

The same seed gives the same requests in every form (`layouts`), ingress-nginx's default unless another is asked for. A
name that ends in `.gz` or `.zst` is compressed as the programs `gzip` and `zstd` do it unless told otherwise.

The log is in time order at about 1,000 requests a second and about 267 bytes a line. Visitors follow a Zipf law over
200,000 addresses, 8 % of the requests come over IPv6 and 15 % carry a node's or a CNI gateway's address. In every
50,000 lines the kinds (retried, aborted, unreadable, probe ...) have exact quotas. A shorter log of the same seed is a
prefix of a longer one. Sessions are not simulated: two requests of one visitor have nothing to do with each other.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import ipaddress
import itertools
import json
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, BinaryIO, TypeVar

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdFile
else:
    from backports.zstd import ZstdFile
from layouts import ENVELOPES, LAYOUTS, Request, Visitor, form

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from layouts import Envelope, Layout, Parts

Item = TypeVar("Item")

BATCH = 50_000
QUOTAS = {"retried": 2150, "redirected": 1000, "aborted": 600, "escaped": 300, "probe": 200, "unreadable": 150}
CLIENTS = 200_000
IPV6_SHARE = 0.08
NODE_SHARE = 0.15
START = datetime(2026, 11, 21, tzinfo=UTC)

NODES = ("10.0.10.11", "10.0.10.14", "10.0.10.17", "10.244.1.0", "10.244.1.1", "10.244.2.0", "10.244.3.0")
SERVICES = ("shop-web-80", "shop-cart-80", "shop-search-http", "auth-keycloak-8080", "media-images-8000", "api-v1-443")
METHODS = ("GET",) * 17 + ("POST",) * 4 + ("PUT", "DELETE", "HEAD", "OPTIONS")
PROTOCOLS = ("HTTP/2.0",) * 7 + ("HTTP/1.1",) * 3
# (status, requests in a thousand): only answers that one upstream gave at the first try.
STATUSES = {
    200: 815, 201: 15, 204: 20, 206: 5, 301: 8, 302: 20, 304: 50, 400: 2, 401: 10, 403: 8, 404: 34, 429: 2, 500: 5,
    502: 2, 503: 2, 504: 2,
}  # fmt: skip
BODILESS = (204, 304, 499)
UNREADABLE = (
    "", r"\x00", r"\x16\x03\x01\x00\xEE\x01\x00\x00\xEA\x03\x03\xA1\xF2", r"\x16\x03\x01\x02\x00\x01\x00\x01\xFC",
    r"\x05\x01\x00", "PROXY TCP4 198.51.100.9 10.0.10.11 51234 80",
)  # fmt: skip
PROBES = (
    ("10.0.10.11", "/healthz", "kube-probe/1.31"),
    ("10.0.10.14", "/healthz", "kube-probe/1.31"),
    ("35.191.12.7", "/", "GoogleHC/1.0"),
    ("10.0.20.5", "/health", "ELB-HealthChecker/2.0"),
)
ESCAPES = (r"/caf\xC3\xA9/men\xC3\xBC", r"/search?q=\x22quoted\x22", r"/files/a\x5Cb.txt", r"/?id=1\x27 OR 1=1--\x22")


@dataclasses.dataclass
class Summary:
    """What a log holds: the truth that a reader's figures are held against."""

    seed: int
    lines: int = 0
    bytes: int = 0
    addresses: int = 0
    errors: int = 0
    body_bytes: int = 0
    kinds: dict[str, int] = dataclasses.field(default_factory=dict)
    visitors: dict[str, int] = dataclasses.field(default_factory=dict)


def user_agents(rng: Random) -> list[str]:
    """Return 3,000 user agents: browsers in many versions, many more programs, an empty one and a missing one."""
    systems = (
        "Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64",
        "Linux; Android 14; Pixel 8", "Linux; Android 13; SM-A546B", "iPhone; CPU iPhone OS 17_5 like Mac OS X",
    )  # fmt: skip
    agents = []
    for _ in range(1080):
        system, version = rng.choice(systems), f"{rng.randint(96, 131)}.0"
        agents.append(rng.choice((
            f"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0 Safari/537.36",
            f"Mozilla/5.0 ({system}; rv:{version}) Gecko/20100101 Firefox/{version}",
            f"Mozilla/5.0 ({system}) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.{version[-1]} Safari/604.1",
        )))  # fmt: skip
    programs = ("okhttp/4.{}.{}", "Go-http-client/{}.{}", "curl/8.{}.{}", "python-requests/2.{}.{}", "Dalvik/2.{}.{}",
                "Mozilla/5.0 (compatible; Googlebot/{}.{}; +http://www.google.com/bot.html)")  # fmt: skip
    agents += [rng.choice(programs).format(rng.randint(0, 32), rng.randint(0, 9)) for _ in range(1917)]
    return [*agents, "", "-", r"Mozilla/5.0 (\x22quoted\x22; M\xC3\xBCnchen)"]


def visitors(rng: Random, agents: list[str]) -> tuple[list[Visitor], list[float]]:
    """Return everybody who asks, with cumulative weights: a few crowded node addresses, then clients by a Zipf law."""
    everybody = [Visitor("node", node, "-", agent) for node in NODES for agent in rng.sample(agents, 300)]
    weights = [NODE_SHARE / len(everybody)] * len(everybody)
    # The offset keeps the busiest client near one request a second, as busy as a person or a phone can be.
    zipf = [(rank + 50) ** -0.9 for rank in range(1, CLIENTS + 1)]
    scale = (1 - NODE_SHARE) / sum(zipf)
    octets = [octet for octet in range(1, 224) if octet not in (10, 100, 127, 169, 172, 192, 198, 203)]
    for weight in zipf:
        if rng.random() < IPV6_SHARE / (1 - NODE_SHARE):
            prefix = rng.choice((0x2A02_8109, 0x2600_1700, 0x2001_4DD0, 0x2409_8A20))
            kind, address = "ipv6", str(ipaddress.IPv6Address((prefix << 96) | rng.getrandbits(96)))
        else:
            kind, host = "ipv4", (rng.choice(octets), rng.getrandbits(8), rng.getrandbits(8), rng.randint(1, 254))
            address = ".".join(map(str, host))
        user = rng.choice(("alice", "bob", "build-bot")) if rng.random() < 0.005 else "-"
        everybody.append(Visitor(kind, address, user, rng.choice(agents)))
        weights.append(weight * scale)
    return everybody, list(itertools.accumulate(weights))


def paths(rng: Random) -> list[str]:
    """Return 20,000 request targets from 1 to some 300 characters."""

    def one() -> str:
        number, token = rng.randint(1, 99_999), f"{rng.getrandbits(64):016x}"
        return rng.choice((
            "/", "/robots.txt", "/cart", f"/api/v1/items/{number}", f"/api/v2/orders/{token}{token}/lines",
            f"/static/js/main.{token}.chunk.js", f"/images/{token[:2]}/{token}-640x480.webp", f"/p/{number}",
            f"/search?q={token[:6]}&page={number % 9}&sort=price", f"/api/v1/users/{number}/events?since={number}",
            "/", "/favicon.ico", "/graphql", f"/p/{number}", f"/api/v1/items/{number}",
            f"/landing/{number % 40}?utm_source=newsletter&utm_medium=email&utm_campaign={token}&gclid={token * 3}",
        ))  # fmt: skip

    return [one() for _ in range(20_000)]


def referers(rng: Random) -> list[str]:
    """Return 1,000 referers, three in four of them missing."""
    pages = (
        "https://shop.example.com/", "https://shop.example.com/search?q={:x}", "https://www.google.com/",
        "https://shop.example.com/category/{:x}/items", "https://news.example.org/2026/11/{:x}.html",
    )  # fmt: skip
    return ["-" if rng.random() < 0.75 else rng.choice(pages).format(rng.getrandbits(24)) for _ in range(1000)]


def upstreams(rng: Random, kind: str, status: int, body: int, seconds: float) -> tuple[str, str, str, str]:
    """Return the four `$upstream_*` variables, as lists where nginx asked more than one server."""
    if kind == "redirected":
        return "-", "-", "-", "-"
    address = [f"10.244.{rng.randint(1, 3)}.{rng.randint(2, 90)}:8080" for _ in range(3)]
    final = "-" if kind == "aborted" else str(status)
    if kind != "retried":
        return address[0], str(body), f"{seconds:.3f}", final
    # nginx writes ", " between servers of one pass and " : " between passes; no live server shows as the group's name.
    between = rng.choice((", ",) * 8 + (" : ", " : "))
    tried = rng.choice((2, 2, 2, 3))
    if rng.random() < 0.05:
        address[0], between, tried = "upstream_balancer", " : ", 2
    failed = tried - 1
    lengths, times, codes = ["0"] * failed, ["0.001"] * failed, [rng.choice(("502", "504", "503"))] * failed
    lengths, times, codes = [*lengths, str(body)], [*times, f"{seconds:.3f}"], [*codes, final]
    return between.join(address[:tried]), between.join(lengths), between.join(times), between.join(codes)


def requests(rng: Random) -> list[Request]:
    """Return the 50,000 requests that each batch shuffles, kinds by quota."""
    targets, pages = paths(rng), referers(rng)
    popular = list(itertools.accumulate((rank + 10) ** -0.8 for rank in range(len(targets))))
    kinds = [kind for kind, count in QUOTAS.items() for _ in range(count)]
    kinds += ["plain"] * (BATCH - len(kinds))
    picked = rng.choices(targets, cum_weights=popular, k=BATCH)
    answers = rng.choices(list(STATUSES), weights=list(STATUSES.values()), k=BATCH)
    return [one_request(rng, *each, rng.choice(pages)) for each in zip(kinds, picked, answers, strict=True)]


def one_request(rng: Random, kind: str, path: str, status: int, referer: str) -> Request:
    """Return one request of a kind, with the visitor where that kind has its own."""
    nowhere = ("-", "-", "-", "-")
    if kind == "unreadable":
        line, sender = rng.choice(UNREADABLE), Visitor("node", rng.choice(NODES[:3]), "-", "-")
        return Request(kind, line, 400, 150 if line else 0, "-", 0, 0.0, "", "", nowhere, sender)
    if kind == "probe":
        address, path, agent = rng.choice(PROBES)
        upstream = ("127.0.0.1:8181", "0", "0.000", "200")
        return Request(
            kind, f"GET {path} HTTP/1.1", 200, 0, "-", len(path) + 110, 0.0, "upstream-default-backend", "", upstream,
            Visitor("probe", address, "-", agent),
        )  # fmt: skip
    if kind == "escaped":
        path = rng.choice(ESCAPES)
    status = {"redirected": 308, "aborted": 499}.get(kind, status)
    body = 0 if status in BODILESS else 164 if status >= 301 else min(int(rng.lognormvariate(8.3, 1.6)), 90_000_000)
    seconds = min(rng.lognormvariate(-3.5, 1.3), 60.0)
    service = rng.choice(SERVICES)
    alternative = f"{service}-canary" if rng.random() < 0.01 else ""
    line = f"{rng.choice(METHODS)} {path} {rng.choice(PROTOCOLS)}"
    tail = upstreams(rng, kind, status, body, seconds)
    length = len(path) + rng.randint(180, 1600)
    return Request(kind, line, status, body, referer, length, seconds, service, alternative, tail, None)


def stamps(rng: Random, layout: Layout, envelopes: Sequence[Envelope]) -> Iterator[tuple[str, ...]]:
    """Yield the stamps of each request, of the layout and of each envelope; 800 to 1,200 requests a second."""
    for second in itertools.count():
        moment, count = START + timedelta(seconds=second), rng.randint(800, 1200)
        clocks = [layout.clock, *(envelope.clock for envelope in envelopes)]
        yield from zip(*(clock(moment, count) for clock in clocks), strict=True)


def once(write: Callable[[Item], Parts]) -> Callable[[Item], Parts]:
    """Return what writes each object only once, and returns the same from then on; the objects must live on."""
    written: dict[int, Parts] = {}

    def parts(item: Item) -> Parts:
        if id(item) not in written:
            written[id(item)] = write(item)
        return written[id(item)]

    return parts


def opened(path: Path, kind: str) -> BinaryIO | gzip.GzipFile | ZstdFile:
    """Open a file for writing, compressed if its kind says so."""
    if kind == ".gz":
        return gzip.GzipFile(path, "wb", compresslevel=6, mtime=0)
    return ZstdFile(path, "wb") if kind == ".zst" else path.open("wb")


def generate(output: Path, lines: int, seed: int, name: str = "text") -> Summary:
    """Write a log of so many lines in a form, whole or not at all, and say what it holds."""
    rng = Random(seed)
    layout, envelopes = form(name)
    everybody, weights = visitors(rng, user_agents(rng))
    about, parts = once(layout.visitor), once(layout.request)
    pool = requests(rng)
    clock = stamps(Random(seed + 1), layout, envelopes)
    summary, kinds, groups, seen = Summary(seed), Counter[str](), Counter[str](), set[str]()
    unfinished = output.with_name(output.name + ".part")
    with opened(unfinished, output.suffix) as file:
        for done in range(0, lines, BATCH):
            rng.shuffle(pool)
            drawn = rng.choices(everybody, cum_weights=weights, k=BATCH)
            ids = rng.randbytes(16 * BATCH).hex()
            for at, request, visitor in zip(range(min(BATCH, lines - done)), pool, drawn, strict=False):
                sender = request.sender or visitor
                inner, *outer = next(clock)
                line = layout.line(about(sender), inner, parts(request), ids[32 * at : 32 * at + 32])
                for envelope, stamp in zip(envelopes, outer, strict=True):
                    line = envelope.wrap(line, stamp)
                summary.bytes += file.write(f"{line}\n".encode())
                summary.lines += 1
                summary.errors += request.status >= 500
                summary.body_bytes += request.body
                kinds[request.kind] += 1
                groups[sender.kind] += 1
                seen.add(sender.address)
    summary.addresses = len(seen)
    summary.kinds, summary.visitors = dict(sorted(kinds.items())), dict(sorted(groups.items()))
    unfinished.replace(output)
    return summary


def main() -> None:
    """Write the log and print its summary as JSON on stderr."""
    parser = argparse.ArgumentParser(description="Write a synthetic access log.")
    parser.add_argument("--lines", type=int, default=3_000_000)
    parser.add_argument("--seed", type=int, default=1)
    around = ", ".join(f"+{envelope}" for envelope in ENVELOPES)
    parser.add_argument("--form", default="text", help=f"{', '.join(LAYOUTS)}, and any of {around} round it")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    summary = generate(options.output, options.lines, options.seed, options.form)
    print(json.dumps(dataclasses.asdict(summary)), file=sys.stderr)


if __name__ == "__main__":
    main()
