"""A seeded world of visitors, and the network between them and an ingress controller: its log, and the truth apart.

The log is as the controller would write it: ingress-nginx's default format, or nginx's ``main`` with X-Forwarded-For.
`Log.truth` says of each address in it who has it, `Log.own` how many requests carry the address of who sent them.
Nothing of the truth is in the log.

The world has visitors by a Pareto law with one to six user agents each, out of a pool that may hold 2 or 400; crawlers
and scanners; a rhythm of day and night; visits of several requests, which keep to one connection. Offices keep working
hours and have few browsers. What a network makes of the addresses is the scenario's matter (`topologies`).
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence


PROXIES = frozenset({"node", "lb", "cdn", "sidecar"})
"""Roles whose address stands for others; the rest is people, companies and programs with an address of their own."""


_MONDAY = datetime(2026, 11, 16, tzinfo=UTC)


_DAY = 86_400


# First octets of large access providers, none of them in a published range of a proxy.
OCTETS = (24, 31, 37, 46, 49, 58, 59, 60, 61, 62, 71, 73, 76, 79, 81, 84, 86, 88, 90, 93, 95, 109, 114, 117, 126, 176,
           178, 201, 212, 213, 217)  # fmt: skip


HOSTED = (5, 45, 51, 65, 78, 89, 91, 94, 116, 128, 135, 138, 142, 144, 159, 161, 164, 165, 168, 193, 194, 195)


_SYSTEMS = ("Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64",
            "Linux; Android 10; K", "Linux; Android 14; SM-S918B", "iPhone; CPU iPhone OS 18_6 like Mac OS X",
            "iPhone; CPU iPhone OS 18_5 like Mac OS X", "iPad; CPU OS 18_6 like Mac OS X")  # fmt: skip


_CRAWLERS = (
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
    "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X) AppleWebKit/537.36 (compatible; Googlebot/2.1; +http://www.google.com/)",
)


_PAYLOADS = ("/.env", "/wp-login.php", "/.git/config", "/phpmyadmin/index.php", "/actuator/health", "/cgi-bin/luci",
             "/vendor/phpunit/src/Util/PHP/eval-stdin.php", "/boaform/admin/formLogin", "/xmlrpc.php")  # fmt: skip


_UNREADABLE = ("", r"\x16\x03\x01\x00\xEE\x01\x00\x00\xEA\x03\x03", r"\x03\x00\x00/*\xE0\x00", r"\x05\x01\x00")


_PAGES = ("/", "/cart", "/search?q=shoes", "/api/v1/items/17", "/static/app.js", "/images/hero.webp", "/login",
          "/api/v1/me", "/p/4711", "/p/815", "/checkout", "/favicon.ico")  # fmt: skip


class Actor(NamedTuple):
    """Somebody with an address and the user agents of the devices behind it."""

    address: str
    agents: Sequence[str]


class Visit(NamedTuple):
    """Who comes when, as a route sees it; `elapsed` runs from 0 to 1 over the log."""

    actor: Actor
    kind: str
    elapsed: float


class Group(NamedTuple):
    """Actors of one kind with their share of the requests, their rhythm, and how many requests a visit has."""

    kind: str
    actors: Sequence[Actor]
    weights: Sequence[float]
    share: float
    rhythm: str
    visit: float


@dataclass
class Log:
    """A log and, apart from it, the truth."""

    name: str
    text: bytes
    with_forwarded: bool
    truth: dict[str, str]
    considered: int
    own: int


@dataclass
class Network:
    """One simulated cluster, its surroundings and its visitors.

    `route` says which address a visit carries; None is its own. `unread` does so for requests that the controller could
    not read: nginx logs the peer there.
    """

    rng: random.Random
    requests: int
    with_forwarded: bool = False
    groups: list[Group] = field(default_factory=list)
    roles: dict[str, str] = field(default_factory=dict)
    probes: list[tuple[str, str, float]] = field(default_factory=list)
    route: Callable[[Visit], str | None] = lambda _: None
    unread: Callable[[Visit], str | None] | None = None
    forwards: bool = False
    announces: Callable[[Visit], bool] = lambda _: False

    def __post_init__(self) -> None:
        """Draw what all scenarios have: how long, when, what site, whose visitors."""
        rng = self.rng
        spans = (600, 3600, 6 * 3600, _DAY, 3 * _DAY, 14 * _DAY)
        self.seconds = rng.choice([span for span in spans if 0.002 < self.requests / span < 300])
        self.start = _MONDAY + timedelta(seconds=rng.randrange(7 * _DAY))
        self.zone = rng.choice((-8, -5, 0, 1, 3, 5.5, 8, 9))
        self.night = rng.choice((0.03, 0.1, 0.3, 0.8))
        size = rng.choice((25, 60, 150, 400))
        self.agents = [_browser(rng) for _ in range(size)]
        self.agent_weights = list(itertools.accumulate((rank + 1) ** -0.9 for rank in range(size)))
        self.blocks = [f"{rng.choice(OCTETS)}.{rng.randrange(256)}" for _ in range(rng.choice((6, 40, 300)))]

    # ---- who comes ---------------------------------------------------------------------------------------------------

    def agent(self) -> str:
        """Draw a user agent as common as it is."""
        return self.rng.choices(self.agents, cum_weights=self.agent_weights)[0]

    def devices(self) -> list[str]:
        """Draw what one household surfs with; over two weeks browsers are updated."""
        count = self.rng.choices((1, 2, 3, 6), weights=(65, 22, 9, 4))[0]
        if self.seconds > 7 * _DAY and self.rng.random() < 0.3:
            count += 1
        return [self.agent() for _ in range(count)]

    def public(self, octets: Sequence[int] | None = None) -> str:
        """Draw a public address, IPv6 now and then."""
        rng = self.rng
        if octets is not None:
            return f"{rng.choice(octets)}.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"
        if rng.random() < 0.08:
            return str(ip_address((rng.choice((0x2A02_8109, 0x2600_1700, 0x2409_8A20)) << 96) | rng.getrandbits(96)))
        return f"{rng.choice(self.blocks)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"

    def add(self, kind: str, actors: Sequence[Actor], share: float, rhythm: str = "day", visit: float = 4.0) -> None:
        """Let these actors send a share of the requests; a few of them come often."""
        weights = [min(self.rng.paretovariate(1.1), 60.0) for _ in actors]
        self.groups.append(Group(kind, actors, list(itertools.accumulate(weights)), share, rhythm, visit))
        for actor in actors:
            self.roles.setdefault(actor.address, kind)

    def world(self, share: float = 1.0, *, bots: bool | None = None) -> None:
        """Visitors of a public site, with the crawlers and scanners that it has, if not always in a short log."""
        rng = self.rng
        bots = self.requests >= 10_000 or rng.random() < 0.85 if bots is None else bots
        noise = share * rng.uniform(0.02, 0.2) if bots else 0.0
        count = max(12, round(self.requests * share / rng.uniform(2.5, 25)))
        self.add("person", [Actor(self.public(), self.devices()) for _ in range(count)], share - noise)
        if bots:
            self.bots(noise)

    def bots(self, share: float) -> None:
        """Crawlers with a name or two each, scanners with any number of made-up ones."""
        rng = self.rng
        block = f"{rng.choice((66, 40, 54))}.{rng.randrange(256)}.{rng.randrange(256)}"
        crawlers = [
            Actor(f"{block}.{rng.randrange(1, 255)}", rng.sample(_CRAWLERS, rng.choice((1, 1, 2)))) for _ in range(12)
        ]
        crawlers += [Actor(self.public(HOSTED), [rng.choice(_CRAWLERS)]) for _ in range(12)]
        self.add("bot", crawlers, share * 0.7, "flat", 12)
        scanners = [
            Actor(self.public(HOSTED), [_browser(rng) for _ in range(rng.choice((1, 1, 1, 5, 60, 300)))])
            for _ in range(rng.randrange(3, 12))
        ]
        self.add("scanner", scanners, share * 0.3, "flat", 25)

    def offices(self, share: float, addresses: Sequence[str]) -> None:
        """Companies behind one address each: few browsers, working hours."""
        rng = self.rng
        actors = []
        for address in addresses:
            browsers = rng.sample(self.agents, min(len(self.agents), rng.randrange(5, 25)))
            actors.append(Actor(address, rng.choices(browsers, k=rng.randrange(15, 400))))
        self.add("company", actors, share, "office", 8)

    def carriers(self, share: float, addresses: Sequence[str]) -> None:
        """Carrier NATs: ten thousand users each, phones and what is tethered to them."""
        phones = [agent for agent in self.agents if "Mobile" in agent or "Android" in agent] or self.agents
        actors = [Actor(address, self.rng.choices(phones, k=10_000)) for address in addresses]
        self.add("carrier", actors, share)

    def vpn(self, share: float, count: int) -> None:
        """People with a private address each."""
        net = f"10.{self.rng.randrange(256)}"
        pool = [f"{net}.{third}.{host}" for third in range(1 + count // 150) for host in range(2, 255)]
        addresses = self.rng.sample(pool, count)
        agents = [[self.agent() for _ in range(self.rng.choices((1, 2, 3), weights=(75, 20, 5))[0])] for _ in addresses]
        actors = [Actor(address, devices) for address, devices in zip(addresses, agents, strict=True)]
        self.add("person", actors, share, "office")

    def monitors(self, share: float, count: int) -> None:
        """Programs with private addresses that ask for the same at all hours."""
        names = (
            "Prometheus/3.5.0",
            "Blackbox Exporter/0.27.0",
            "Icinga/2.14",
            "check_http/v2.4 (monitoring-plugins 2.4)",
        )
        net = f"10.{self.rng.randrange(256)}.{self.rng.randrange(256)}"
        actors = [Actor(f"{net}.{self.rng.randrange(2, 255)}", [self.rng.choice(names)]) for _ in range(count)]
        self.add("monitor", actors, share, "flat", 1)

    # ---- the way in --------------------------------------------------------------------------------------------------

    def spread(self, role: str, addresses: Sequence[str], evenness: float = 0.1) -> Callable[[Visit], str]:
        """Declare addresses that visits come through, each in about the same share."""
        weights = list(itertools.accumulate(self.rng.lognormvariate(0, evenness) for _ in addresses))
        for address in addresses:
            self.roles[address] = role
        return lambda _: self.rng.choices(addresses, cum_weights=weights)[0]

    # ---- the log -----------------------------------------------------------------------------------------------------

    def write(self, name: str) -> Log:
        """Write the log."""
        rows = [*self._visits(), *self._probes()]
        rows.sort(key=lambda row: row[0])
        rows = rows[: self.requests]
        shape = _main_line if self.with_forwarded else _ingress_line
        stamps = {second: _stamp(self.start, second) for second in {row[0] for row in rows}}
        lines = [shape(self.rng, stamps[second], *row) for second, *row, _, _ in rows]
        counted = Counter((row[-2], row[-1]) for row in rows)
        return Log(
            name=name,
            text="".join(lines).encode(),
            with_forwarded=self.with_forwarded,
            truth={address: self.roles[address] for address in sorted({row[1] for row in rows})},
            considered=counted["visit", True] + counted["visit", False],
            own=counted["visit", True],
        )

    def _visits(self) -> list[tuple]:
        rng, rows = self.rng, []
        shares = list(itertools.accumulate(group.share for group in self.groups))
        wanted = self.requests + 20 - len(self.probes)
        while len(rows) < wanted:
            group = rng.choices(self.groups, cum_weights=shares)[0]
            actor = rng.choices(group.actors, cum_weights=group.weights)[0]
            begun = self._moment(group.rhythm)
            visit = Visit(actor, group.kind, begun / self.seconds)
            carried = self.route(visit) or actor.address
            agent = rng.choice(actor.agents)
            for _ in range(min(1 + int(rng.expovariate(1 / group.visit)), 200)):
                if group.kind == "scanner" and len(actor.agents) > 3:
                    agent = rng.choice(actor.agents)
                rows.append(self._request(visit, int(begun), carried, agent))
                begun = min(begun + rng.expovariate(1 / 4), self.seconds - 1)
        return rng.sample(rows, wanted) if len(rows) > wanted else rows

    def _request(self, visit: Visit, second: int, carried: str, agent: str) -> tuple:
        rng = self.rng
        own = carried == visit.actor.address
        if self.announces(visit):
            request = f"PROXY TCP4 {visit.actor.address} 198.51.100.40 {rng.randrange(20000, 60000)} 443"
            return second, carried, "-", request, 400, "-", "unread", False
        if visit.kind == "scanner" and rng.random() < 0.2:
            peer = (self.unread(visit) if self.unread else None) or carried
            return second, peer, "-", rng.choice(_UNREADABLE), 400, "-", "unread", False
        path = rng.choice(_PAYLOADS if visit.kind == "scanner" else _PAGES)
        status = (
            404 if visit.kind == "scanner" else 200 if rng.random() < 0.93 else rng.choice((304, 404, 302, 500, 403))
        )
        forwarded = visit.actor.address if self.forwards else "-"
        if visit.kind == "scanner" and rng.random() < 0.3:  # made up
            made_up = f"{rng.randrange(1, 224)}.{rng.randrange(256)}.1.1"
            forwarded = f"{made_up}, {forwarded}" if self.forwards else made_up
        return second, carried, forwarded, f"GET {path} HTTP/1.1", status, agent, "visit", own

    def _probes(self) -> list[tuple]:
        room = self.requests // (10 * max(len(self.probes), 1))
        rows = []
        for address, agent, interval in self.probes:
            every = max(interval, self.seconds / max(room, 1))
            seconds = [int(every * number) for number in range(int(self.seconds / every))]
            rows += [(second, address, "-", "GET /healthz HTTP/1.1", 200, agent, "probe", False) for second in seconds]
        return rows

    def _moment(self, rhythm: str) -> float:
        while True:
            second = self.rng.random() * self.seconds
            moment = self.start + timedelta(seconds=second, hours=self.zone)
            hour = moment.hour + moment.minute / 60
            if rhythm == "flat":
                return second
            if rhythm == "office":
                open_ = moment.weekday() < 5 and 7 <= hour < 19
                likely = math.sin(math.pi * (hour - 6.5) / 13) if open_ else 0.004
                likely = max(likely, 0.004)
            else:
                likely = self.night + (1 - self.night) * (1 + math.cos(math.pi * (hour - 20) / 12)) / 2
            # A log shorter than a night may lie in it altogether.
            if self.rng.random() < (likely if self.seconds >= _DAY else 0.3 + 0.7 * likely):
                return second


def _browser(rng: random.Random) -> str:
    system, version = rng.choice(_SYSTEMS), rng.randint(118, 142)
    if "iP" in system:
        build = f"Version/{rng.choice((17, 18, 26))}.{rng.randrange(7)} Mobile/15E148 Safari/604.1"
        return f"Mozilla/5.0 ({system}) AppleWebKit/605.1.15 (KHTML, like Gecko) {build}"
    if rng.random() < 0.15 and "Android" not in system:
        return f"Mozilla/5.0 ({system}; rv:{version}.0) Gecko/20100101 Firefox/{version}.0"
    mobile = "Mobile " if "Android" in system else ""
    edge = f" Edg/{version}.0.0.0" if rng.random() < 0.2 else ""
    kit = f"AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 {mobile}Safari/537.36"
    return f"Mozilla/5.0 ({system}) {kit}{edge}"


def _stamp(start: datetime, second: int) -> str:
    return f"{start + timedelta(seconds=second):%d/%b/%Y:%H:%M:%S} +0000"


def _main_line(
    rng: random.Random, stamp: str, address: str, forwarded: str, request: str, status: int, agent: str
) -> str:
    return f'{address} - - [{stamp}] "{request}" {status} {rng.randrange(9000)} "-" "{agent}" "{forwarded}"\n'


def _ingress_line(rng: random.Random, stamp: str, address: str, _: str, request: str, status: int, agent: str) -> str:
    start = f'{address} - - [{stamp}] "{request}" {status} {rng.randrange(9000)} "-" "{agent}"'
    ending = f"{rng.getrandbits(128):032x}\n"
    if not request.startswith("GET"):
        return f"{start} 0 0.000 [] [] - - - - {ending}"
    return f"{start} 412 0.004 [shop-web-8080] [] 10.244.1.7:8080 612 0.004 {status} {ending}"
