"""Rate limits that can be tried: what each controller makes of a setting, in the numbers that it computes with.

==================  ===============================================================================================
type                decides
==================  ===============================================================================================
`Type.NGINX`        limit_req and limit_conn of one Ingress: a request passes where every limit_req lets it, then the
                    limit_conn; ``parts`` are (thousandths of a request per second, burst)
`Type.FIXED`        Kong's rate-limiting: windows of the UTC calendar; ``parts`` are (seconds, requests)
`Type.SLIDING`      Kong's rate-limiting-advanced: of the window before counts the share that a window which ends now
                    has of it; ``parts`` are (seconds, requests)
`Type.BUCKET`       Envoy's local rate limit: a bucket that fills steadily; ``parts`` is one (milliseconds, requests)
==================  ===============================================================================================

Sources: kubernetes/ingress-nginx internal/ingress/annotations/ratelimit/main.go; Kong/kong kong/plugins/rate-limiting
(handler.lua, policies/init.lua) and, for sliding windows, kong/tools/public/rate-limiting; envoyproxy/gateway
internal/xds/translator/local_ratelimit.go and envoyproxy/envoy source/common/common/token_bucket_impl.cc.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import product
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Requests per second that every report tries.
GRID = (1, 2, 5, 10, 20, 50, 100)
#: And those that are looked up besides, to find the smallest that spares visitors.
RUNGS = (*range(1, 21), 22, 25, 28, 32, 36, 40, 45, 50, 56, 63, 70, 80, 90, 100, 120, 150, 200, 300, 500, 1000)
#: Around a limit that was asked for, in percent of it.
AROUND = (10, 15, 20, 30, 40, 50, 60, 70, 80, 90, 100, 125, 150, 200, 300, 500, 1000)
#: So many limits can be tried at once that are a single limit_req, and so many others.
MOST_ALONE, MOST_POLICIES = 128, 64
#: Of a single limit_req: thousandths of a request per second, and burst.
MOST_RATE, MOST_BURST = 10**9, 10**6
#: ingress-nginx's ``limit-burst-multiplier`` where none is set.
BURST_MULTIPLIER = 5

INGRESS_NGINX, KONG, ENVOY_GATEWAY = "ingress-nginx", "kong", "envoy-gateway"

#: Windows by name, in seconds; a month and a year have no number of seconds.
MONTH, YEAR = -1, -2
WINDOWS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "month": MONTH, "year": YEAR}


class Type(IntEnum):
    """How a policy decides; the numbers are those of policies.c."""

    NGINX = 0
    FIXED = 1
    SLIDING = 2
    BUCKET = 3


@dataclass(frozen=True, slots=True)
class Policy:
    """What is decided, see above.

    `connections` is limit_conn's number, 0 without one. With `counts_rejected` a rejected request counts as well. A
    `shared` bucket is one for all clients.
    """

    type: Type
    parts: tuple[tuple[int, int], ...]
    connections: int = 0
    counts_rejected: bool = False
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit to try, in the words of its controller; `burst` where that has one.

    One that is `pooled` counts over all controller pods together, others in each pod for itself. Limits of the same
    `ladder` are of one kind, each laxer than those with a lower `rung`. One that is not `shown` is only looked up: who
    meets it, not how often.
    """

    name: str
    policy: Policy
    burst: int | None = None
    controller: str = INGRESS_NGINX
    rps: int | None = None
    rpm: int | None = None
    pooled: bool = False
    ladder: str = ""
    rung: int = 0
    shown: bool = True

    @property
    def rate(self) -> int:
        """Of a single limit_req: thousandths of a request per second."""
        return self.policy.parts[0][0]

    @property
    def is_combined(self) -> bool:
        """Whether several limits of ingress-nginx stand together on one Ingress."""
        return self.policy.type is Type.NGINX and len(self.policy.parts) + bool(self.policy.connections) > 1

    @property
    def twin(self) -> Limit | None:
        """The single limit_req that decides alike: the limit itself, or that of a bucket, for whoever the bucket is.

        A bucket of so many tokens is a burst of one less. It has a twin where it fills by whole thousandths of a token
        in a second; nginx then rounds nothing.
        """
        if self.stands_alone:
            return self
        if self.policy.type is not Type.BUCKET:
            return None
        ((interval, most),) = self.policy.parts
        rate, rest = divmod(most * 1_000_000, interval)
        if rest or rate > MOST_RATE or most > MOST_BURST:
            return None
        return replace(self, policy=Policy(Type.NGINX, ((rate, most - 1),)), burst=most - 1)

    @property
    def stands_alone(self) -> bool:
        """Whether it is a single limit_req, of which many are replayed at once (`analyzer.tables.limit_req`)."""
        return self.policy.type is Type.NGINX and len(self.policy.parts) == 1 and not self.policy.connections


def rps_limit(rps: int, multiplier: int = BURST_MULTIPLIER) -> Limit:
    """ingress-nginx's ``limit-rps``."""
    burst = rps * multiplier
    policy = Policy(Type.NGINX, ((rps * 1000, burst),))
    return Limit(f"limit-rps: {rps}", policy, burst, rps=rps, ladder="limit-rps", rung=rps)


def rpm_limit(rpm: int, multiplier: int = BURST_MULTIPLIER) -> Limit:
    """ingress-nginx's ``limit-rpm``: nginx cuts its rate off to thousandths of a request per second."""
    burst = rpm * multiplier
    return Limit(f"limit-rpm: {rpm}", Policy(Type.NGINX, ((rpm * 1000 // 60, burst),)), burst, rpm=rpm)


def connections_limit(connections: int) -> Limit:
    """ingress-nginx's ``limit-connections``, which knows no burst."""
    return Limit(f"limit-connections: {connections}", Policy(Type.NGINX, (), connections))


def together(limits: Sequence[Limit]) -> Limit:
    """Limits of ingress-nginx on one Ingress."""
    parts = tuple(part for limit in limits for part in limit.policy.parts)
    connections = next((limit.policy.connections for limit in limits if limit.policy.connections), 0)
    return Limit(" + ".join(limit.name for limit in limits), Policy(Type.NGINX, parts, connections))


def limit_grid(more: Iterable[int] = (), multiplier: int = BURST_MULTIPLIER) -> list[Limit]:
    """The limits of the shipped grid and these, in ascending order, each with ``rps * multiplier`` as burst."""
    return [rps_limit(rps, multiplier) for rps in sorted({*GRID, *more})]


def rps_rungs(multiplier: int = BURST_MULTIPLIER) -> list[Limit]:
    """The ladder of ``limit-rps``."""
    return [replace(rps_limit(rps, multiplier), shown=False) for rps in RUNGS]


def ladder_around(limit: Limit) -> list[Limit]:
    """The ladder that a limit stands in: its windows and its kind, its numbers from a tenth to ten times.

    A bucket that all share has none: which of its clients meets it does not depend on its size alone.
    """
    if limit.policy.shared:
        return [limit]

    def rung(percent: int) -> Limit:
        def scaled(number: int) -> int:
            return max(1, number * percent // 100)

        place: dict[str, Any] = {"ladder": f"{limit.controller} {limit.name}", "rung": percent, "shown": percent == 100}
        policy = limit.policy
        if limit.rpm is not None:
            return replace(rpm_limit(scaled(limit.rpm), (limit.burst or 0) // limit.rpm), **place)
        policy = replace(
            policy,
            parts=tuple((length, scaled(most)) for length, most in policy.parts),
            connections=policy.connections and scaled(policy.connections),
        )
        name = re.sub(r"(?<=: )\d+", lambda number: str(scaled(int(number[0]))), limit.name)
        return replace(limit, name=name, policy=policy, **place)

    return [each for each in map(rung, AROUND) if each.burst is None or each.burst <= MOST_BURST]


def ingress_limits(
    rps: Sequence[int], rpm: Sequence[int], connections: Sequence[int], multiplier: int = BURST_MULTIPLIER
) -> list[Limit]:
    """The shipped grid, each of these alone, and those of different kinds together."""
    kinds = [
        [rps_limit(each, multiplier) for each in dict.fromkeys(rps)],
        [rpm_limit(each, multiplier) for each in dict.fromkeys(rpm)],
        [connections_limit(each) for each in dict.fromkeys(connections)],
    ]
    given = [kind for kind in kinds if kind]
    combined = [together(limits) for limits in product(*given)] if len(given) > 1 else []
    return [*limit_grid(rps, multiplier), *kinds[1], *kinds[2], *combined]


def kong_limits(windows: Sequence[tuple[str, int]]) -> list[Limit]:
    """Kong's ``rate-limiting`` with these windows at once, by its policies.

    ``local`` counts in each pod, ``cluster`` and ``redis`` over all of them; with ``redis`` a rejected request counts,
    too. With one window that makes no difference: it is over all the same.
    """
    parts = tuple((WINDOWS[window], most) for window, most in windows)
    name = ", ".join(f"{window}: {most}" for window, most in windows)
    local = Limit(f"{name} (local)", Policy(Type.FIXED, parts), controller=KONG)
    if len(parts) == 1:
        return [local, replace(local, name=f"{name} (cluster, redis)", pooled=True)]
    return [
        local,
        replace(local, name=f"{name} (cluster)", pooled=True),
        replace(local, name=f"{name} (redis)", pooled=True, policy=replace(local.policy, counts_rejected=True)),
    ]


def kong_sliding_limits(windows: Sequence[tuple[int, int]]) -> list[Limit]:
    """Kong's ``rate-limiting-advanced`` with these windows of so many seconds, by strategy and ``disable_penalty``."""
    name = "sliding " + ", ".join(f"{seconds} s: {most}" for seconds, most in windows)
    return [
        Limit(
            f"{name} ({strategy}{'' if counts_rejected else ', disable_penalty'})",
            Policy(Type.SLIDING, tuple(windows), counts_rejected=counts_rejected),
            controller=KONG,
            pooled=pooled,
        )
        for strategy, pooled in (("local", False), ("cluster, redis", True))
        for counts_rejected in (True, False)
    ]


def envoy_limit(window: str, most: int, *, shared: bool) -> Limit:
    """Envoy Gateway's local rate limit: for each client (``sourceCIDR`` of type ``Distinct``), or one for a route."""
    policy = Policy(Type.BUCKET, ((WINDOWS[window] * 1000, most),), shared=shared)
    return Limit(f"{window}: {most}{' for all' if shared else ''}", policy, controller=ENVOY_GATEWAY)
