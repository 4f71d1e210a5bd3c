"""Who comes: visitors with addresses and browsers of their own, a few of whom come often, and what they send.

Every request has a number in its path, by which the log tells whose it was; its user agent is its sender's.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from lab.network import VISITORS

_SYSTEMS = ("Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64",
            "Linux; Android 10; K", "iPhone; CPU iPhone OS 18_6 like Mac OS X")  # fmt: skip
_PAGES = ("", "/cart", "/search?q=shoes", "/api/v1/items/17", "/static/app.js", "/login")


class Sent(NamedTuple):
    """A request: who sends it, and its bytes; `claimed` is the address that its sender wrote into X-Forwarded-For."""

    client: str
    payload: bytes
    claimed: str | None = None


class Visitors:
    """An endless crowd, the same for the same seed; numbers run on from call to call."""

    def __init__(self, seed: str) -> None:
        self._rng = rng = random.Random(seed)
        self.sent: list[Sent] = []
        versions = range(120, 143)
        self._browsers = [
            f"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 Safari/537.36"
            for system in _SYSTEMS
            for version in versions
        ]
        devices = (1, 1, 1, 2)
        self._people = [(self._public(), rng.choices(self._browsers, k=rng.choice(devices))) for _ in range(1000)]

    def _public(self) -> str:
        rng = self._rng
        return f"{rng.choice(VISITORS)}.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"

    def visit(self, count: int, *, forging: float = 0.0) -> list[tuple[int, Sent]]:
        """Return requests with their numbers; a share of them claims an address in X-Forwarded-For."""
        weights = [1 / (1 + at) ** 0.5 for at in range(len(self._people))]
        chosen = self._rng.choices(self._people, weights, k=count)
        return [self._request(address, self._rng.choice(browsers), forging) for address, browsers in chosen]

    def visit_from(self, addresses: list[str], count: int) -> list[tuple[int, Sent]]:
        """Return requests of people with these addresses, each with one browser."""
        people = [(address, self._rng.choice(self._browsers)) for address in addresses]
        return [self._request(*self._rng.choice(people)) for _ in range(count)]

    def probe(self, address: str, agent: str, count: int) -> list[tuple[int, Sent]]:
        """Return the requests of somebody with one address and one user agent."""
        return [self._request(address, agent) for _ in range(count)]

    def _request(self, client: str, agent: str, forging: float = 0.0) -> tuple[int, Sent]:
        number = len(self.sent)
        claimed = self._public() if self._rng.random() < forging else None
        lines = [f"GET /n/{number}{self._rng.choice(_PAGES)} HTTP/1.1", "Host: shop.example.org", "Connection: close"]
        lines += [f"User-Agent: {agent}", *([f"X-Forwarded-For: {claimed}"] if claimed else []), "", ""]
        self.sent.append(Sent(client, "\r\n".join(lines).encode(), claimed))
        return number, self.sent[-1]
