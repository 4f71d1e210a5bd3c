"""Rate limits that a user wants tried, as options say them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from analyzer.addresses.ranges import RangeTable, network_ranges
from analyzer.errors import UsageError
from analyzer.tables.limits import (
    MOST_ALONE,
    MOST_POLICIES,
    WINDOWS,
    Limit,
    envoy_limit,
    ingress_limits,
    kong_limits,
    kong_sliding_limits,
    ladder_around,
    rps_rungs,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MOST = 50
_NUMBER = 1_000_000
_LONGEST_WINDOW = 366 * 86_400


@dataclass(frozen=True, slots=True)
class GivenLimits:
    """What is tried beside the shipped grid, in the words of the options; the allowlist spares addresses from all."""

    rps: Sequence[int] = ()
    rpm: Sequence[int] = ()
    connections: Sequence[int] = ()
    burst_multiplier: int = 5
    allowlist: Sequence[str] = ()
    kong: Sequence[str] = ()
    kong_sliding: Sequence[str] = ()
    envoy: Sequence[str] = ()

    def limits(self) -> list[Limit]:
        """The limits to try: the shipped grid, and these.

        Raises
        ------
        UsageError
            For what cannot be meant.
        """
        for option, values, most in (
            ("--limit-rps", self.rps, 10_000),
            ("--limit-rpm", self.rpm, 600_000),
            ("--limit-connections", self.connections, 100_000),
            ("--limit-burst-multiplier", [self.burst_multiplier], 100),
        ):
            for value in values:
                if not 1 <= value <= most:
                    raise UsageError(f"{option}: expected a whole number from 1 to {most:,}, got {value}")
        if max(self.rpm, default=0) * self.burst_multiplier > _NUMBER:
            raise UsageError(
                f"--limit-rpm: expected a burst of at most {_NUMBER:,}, got {max(self.rpm):,} times the multiplier"
            )
        if len(self.rps) > _MOST:
            raise UsageError(f"--limit-rps: expected at most {_MOST} limits, got {len(self.rps)}")
        found = ingress_limits(self.rps, self.rpm, self.connections, self.burst_multiplier)
        found += [limit for text in self.kong for limit in kong_limits(_windows("--kong-limit", text, WINDOWS))]
        found += [limit for text in self.kong_sliding for limit in kong_sliding_limits(_seconds(text))]
        found += [_envoy(text) for text in self.envoy]
        if max(_counts(found)) > _MOST + 7:
            raise UsageError(f"rate limits: expected at most {_MOST} to try at once, got {len(found)}")
        return list({(limit.controller, limit.name): limit for limit in found}.values())

    def tried(self) -> list[Limit]:
        """`limits`, and behind them other rungs of the ladders they stand in, as far as there is room for a ladder."""
        found = self.limits()
        asked = [limit for limit in found if not limit.ladder and not limit.is_combined]
        for ladder in [rps_rungs(self.burst_multiplier), *map(ladder_around, asked)]:
            known = {(limit.controller, limit.name): limit for limit in found}
            for rung in ladder:
                name = rung.controller, rung.name
                if name not in known or rung.shown:
                    known[name] = rung
            every = list(known.values())
            _, *policies = _counts(every)
            if sum(bool(limit.twin) for limit in every) <= MOST_ALONE and max(policies) <= MOST_POLICIES:
                found = every
        return found

    def allowed(self) -> RangeTable | None:
        """The addresses of the allowlist."""
        if not self.allowlist:
            return None
        ranges = []
        for cidr in self.allowlist:
            try:
                ranges += network_ranges(cidr)
            except ValueError as error:
                raise UsageError(f"--limit-allowlist: {error}") from None
        return RangeTable.build((first, last, 1) for first, last in ranges)


def _counts(limits: Sequence[Limit]) -> tuple[int, int, int]:
    """How many are a single limit_req, other limits of each controller, and limits over all controllers."""
    alone, pooled = sum(limit.stands_alone for limit in limits), sum(limit.pooled for limit in limits)
    return alone, len(limits) - alone - pooled, pooled


def _windows(option: str, text: str, names: Iterable[str]) -> list[tuple[str, int]]:
    """Pairs of a window and a number: ``second:5,minute:100``."""
    known = list(names)
    found: dict[str, int] = {}
    for part in text.split(","):
        window, _, most = part.strip().partition(":")
        if window not in known or not most.isdecimal() or not 1 <= int(most[:9]) <= _NUMBER or window in found:
            raise UsageError(
                f"{option}: expected WINDOW:N such as minute:100, the window one of {', '.join(known)}, got {text!r}"
            )
        found[window] = int(most)
    return list(found.items())


def _seconds(text: str) -> list[tuple[int, int]]:
    """Pairs of seconds, or the name of a window, and a number: ``60:100`` or ``minute:100``."""
    found: dict[int, int] = {}
    for part in text.split(","):
        window, _, most = part.strip().partition(":")
        seconds = WINDOWS.get(window, int(window[:9]) if window.isdecimal() else 0)
        fits = 1 <= seconds <= _LONGEST_WINDOW and most.isdecimal() and 1 <= int(most[:9]) <= _NUMBER
        if not fits or seconds in found or len(found) == 8:
            raise UsageError(
                "--kong-sliding-limit: expected WINDOW:N such as 60:100 or minute:100, the window in seconds or one of"
                f" second, minute, hour, day, got {text!r}"
            )
        found[seconds] = int(most)
    return list(found.items())


def _envoy(text: str) -> Limit:
    rule, _, whose = text.partition("/")
    names = [name for name in WINDOWS if WINDOWS[name] > 0]
    pairs = _windows("--envoy-limit", rule, names)
    if len(pairs) > 1 or whose not in {"", "route"}:
        raise UsageError(f"--envoy-limit: expected WINDOW:N, or WINDOW:N/route for one of all clients, got {text!r}")
    return envoy_limit(*pairs[0], shared=whose == "route")
