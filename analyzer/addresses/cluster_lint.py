"""Settings that a controller does not read as they are written: misspelt keys, and values that it refuses.

ingress-nginx and Kong pass over a key that they do not know without a word, so a misspelt one looks like one that does
not help. Every key of an ingress-nginx ConfigMap is held against the controller's own list; of the others, keys alone
that are nearly one of those that matter here.
"""

from __future__ import annotations

import difflib
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from analyzer.addresses.cluster_model import Lint
from analyzer.addresses.cluster_objects import KONG_VARIABLES, containers, dicts, plain_cidrs, sub, text
from analyzer.addresses.cluster_settings import CONFIG_KEYS, go_bool
from analyzer.rules import load_toml, rules_dir

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from analyzer.addresses.cluster_controllers import Workload
    from analyzer.addresses.cluster_objects import Object

_NEAR, _VERY_NEAR = 0.72, 0.8
_SWITCHES = ("use-forwarded-headers", "use-proxy-protocol", "enable-real-ip", "compute-full-forwarded-for")
#: What other controllers call the same thing.
_MEANT = {
    "f5-nginx": {"use-proxy-protocol": "proxy-protocol", "proxy-real-ip-cidr": "set-real-ip-from"},
    "haproxy": {},
}


class _Keys(NamedTuple):
    known: frozenset[str]
    meant: dict[str, str]


def lint(workload: Workload, config: Object | None) -> tuple[Lint, ...]:
    """Return what is wrong with a controller's settings, in the order in which they are written."""
    if workload.kind == "kong":
        return tuple(_kong(workload))
    if config is None:
        return ()
    data = sub(config, "data")
    if workload.kind == "ingress-nginx":
        return tuple(_ingress_nginx(data))
    if workload.kind in _MEANT:
        return tuple(_unknown(data, workload.kind))
    return ()


def unknown_keys(workload: Workload, keys: Iterable[str]) -> list[str]:
    """Return those of a ConfigMap's keys that `lint` speaks of; their values it never needs."""
    if workload.kind == "ingress-nginx":
        return [key for key in keys if key.lower() not in _ingress_nginx_keys().known]
    if workload.kind in _MEANT:
        return [each.key for each in _unknown(keys, workload.kind)]
    return []


def is_misspelt_variable(name: str) -> bool:
    """Whether a variable is nearly one of Kong's, and none of them."""
    return (
        name.startswith("KONG_") and name not in KONG_VARIABLES and _near(name, KONG_VARIABLES, _VERY_NEAR) is not None
    )


@cache
def _ingress_nginx_keys() -> _Keys:
    table = load_toml(rules_dir() / "controllers" / "ingress-nginx.toml")
    return _Keys(frozenset(table["keys"]) | frozenset(table["older"]), table["meant"])


def _ingress_nginx(data: Object) -> Iterator[Lint]:
    known, meant = _ingress_nginx_keys()
    for key, value in data.items():
        plain = key.lower()
        if plain not in known:
            near = meant.get(plain) or _near(plain, known, _NEAR)
            yield _unread(key, near, "ingress-nginx")
        elif plain in _SWITCHES and isinstance(value, str) and go_bool(value) is None:
            yield Lint("bad-value", key, f'{key}: expected "true" or "false", got "{value}"')
        elif plain == "proxy-real-ip-cidr" and isinstance(value, str):
            for entry in plain_cidrs(value.split(","))[1]:
                yield Lint("bad-value", key, f'{key}: expected CIDRs with commas between, got "{entry}"')


def _unknown(keys: Iterable[str], kind: str) -> Iterator[Lint]:
    known, meant = CONFIG_KEYS[kind], _MEANT[kind]
    for key in keys:
        if key not in known and (near := meant.get(key) or _near(key, known, _VERY_NEAR)):
            yield _unread(key, near, "the controller")


def _kong(workload: Workload) -> Iterator[Lint]:
    names = (
        text(variable, "name") or ""
        for container in containers(workload.spec)
        for variable in dicts(container.get("env"))
    )
    for name in dict.fromkeys(names):
        if is_misspelt_variable(name):
            near = _near(name, KONG_VARIABLES, _VERY_NEAR)
            yield _unread(name, near, "Kong")


def _unread(key: str, near: str | None, reader: str) -> Lint:
    guess = f", which reads {near}" if near else ""
    return Lint("unknown-key", key, f"{key} is not read by {reader}{guess}")


def _near(key: str, known: Iterable[str], cutoff: float) -> str | None:
    wanted = key.replace("_", "-") if "-" in next(iter(known)) else key
    found = difflib.get_close_matches(wanted, sorted(known), n=1, cutoff=cutoff)
    return found[0] if found else None
