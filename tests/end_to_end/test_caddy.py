"""A real Caddy writes the log: JSON, with who it believes the client to be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from end_to_end.reading import SCANNERS, Log, assert_clients, assert_read
from end_to_end.servers import LOOPBACK, Listener, free_port, listens, program, running
from end_to_end.traffic import ODD, READABLE

if TYPE_CHECKING:
    from pathlib import Path

#: The odd requests that reach Caddy; Go's server refuses the others before.
ANSWERED = {"HTTP/1.0", "method: lower case"}
#: What Caddy makes of the header where it believes whoever sends it.
FORWARDED = {
    "X-Forwarded-For": "198.51.100.9",
    "X-Forwarded-For of several": "6.6.6.6",
    "X-Forwarded-For twice": "6.6.6.6",
    "X-Forwarded-For IPv6": "2001:db8::7",
}


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> list[Log]:
    """Send everything to a server that believes nobody, and to one that believes loopback."""
    caddy = program("caddy", "pip install --group programs")
    folder = tmp_path_factory.mktemp("caddy")
    listeners = {name: Listener((LOOPBACK, free_port()), folder / f"{name}.log", []) for name in ("plain", "believing")}
    configuration = folder / "caddy.json"
    configuration.write_text(json.dumps(_configuration(listeners)))
    with running([caddy, "run", "--config", configuration], folder, listens(listeners["believing"].server)):
        for name, listener in listeners.items():
            for one in [*READABLE.values(), *ODD.values()]:
                address = FORWARDED.get(one.name) if name == "believing" else None
                read = one.readable or one.name in ANSWERED
                listener.send(one, lines=read, client=(address, 0) if address else None)
    return [Log(listener.log, "caddy-json", listener.sent) for listener in listeners.values()]


def _configuration(listeners: dict[str, Listener]) -> dict[str, Any]:
    answer = {"handler": "static_response", "status_code": 200, "body": "answer"}
    servers: dict[str, dict[str, Any]] = {
        name: {
            "listen": ["{}:{}".format(*listener.server)],
            "automatic_https": {"disable": True},
            "logs": {"default_logger_name": name},
            "routes": [{"handle": [answer]}],
        }
        for name, listener in listeners.items()
    }
    servers["believing"]["trusted_proxies"] = {"source": "static", "ranges": ["127.0.0.0/8"]}
    logs = {
        name: {"writer": _file(listener.log), "encoder": {"format": "json"}, "include": [f"http.log.access.{name}"]}
        for name, listener in listeners.items()
    }
    return {"admin": {"disabled": True}, "logging": {"logs": logs}, "apps": {"http": {"servers": servers}}}


def _file(path: Path) -> dict[str, str]:
    return {"output": "file", "filename": str(path)}


@pytest.mark.parametrize("scanner", SCANNERS)
def test_every_line_is_read(scanner: str, logs: list[Log]) -> None:
    """Every line is read, whatever was sent."""
    assert_read(logs, scanner)


def test_every_line_names_its_client(logs: list[Log]) -> None:
    """The address of each line is the client's, as Caddy knows it."""
    assert_clients(logs, ports=False)
