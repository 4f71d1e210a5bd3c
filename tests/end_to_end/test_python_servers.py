"""Real Uvicorn, gunicorn and Hypercorn write the logs: apart from what else they say, and mixed with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from end_to_end.reading import SCANNERS, Log, assert_clients, assert_read
from end_to_end.servers import LOOPBACK, Listener, free_port, listens, program, running
from end_to_end.traffic import ODD, READABLE

if TYPE_CHECKING:
    from end_to_end.servers import Address, Command

_APPLICATION = """
async def asgi(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6")]})
        await send({"type": "http.response.body", "body": b"answer"})

def wsgi(environ, start):
    start("200 OK", [("Content-Length", "6")])
    return [b"" if environ["REQUEST_METHOD"] == "HEAD" else b"answer"]
"""
#: What Uvicorn and gunicorn refuse without an access line, and what gunicorn alone does.
REFUSED = {
    "path: quotes and bytes", "path: a blank", "HTTP/0.9", "only CRLF", "nothing", "NUL bytes", "garbage",
    "quotes instead of a request", "NUL in a header", "TLS to the plain port", "PROXY v1 to the plain port",
    "PROXY v2 to the plain port",
}  # fmt: skip
REFUSED_BY_UVICORN = {*REFUSED, "no host"}
REFUSED_BY_GUNICORN = {*REFUSED, "method: lower case", "HTTP/3.0", "HTTP/2 preface", "huge header"}
#: How Uvicorn runs, and the addresses that it takes from X-Forwarded-For; it believes loopback where nothing is said.
UVICORN: dict[str, tuple[list[str], dict[str, str]]] = {
    "direct": (["--no-proxy-headers"], {}),
    "colours": (["--no-proxy-headers", "--use-colors"], {}),
    "default": ([], {
        "X-Forwarded-For": "198.51.100.9",
        "X-Forwarded-For of several": "10.0.0.3",
        "X-Forwarded-For twice": "198.51.100.9",
        "X-Forwarded-For IPv6": "2001:db8::7",
        "X-Forwarded-For garbage": '"; DROP',
    }),
    "believing": (["--forwarded-allow-ips", "*"], {
        "X-Forwarded-For": "198.51.100.9",
        "X-Forwarded-For of several": "6.6.6.6",
        "X-Forwarded-For twice": "6.6.6.6",
        "X-Forwarded-For IPv6": "2001:db8::7",
        "X-Forwarded-For garbage": '"; DROP',
    }),
}  # fmt: skip


@pytest.fixture(scope="module")
def uvicorn_logs(tmp_path_factory: pytest.TempPathFactory) -> list[Log]:
    """Send everything to Uvicorn in each way it runs; the last two mix their access lines with all others."""
    uvicorn = program("uvicorn", "pip install --group test")
    logs = []
    for name, (options, forwarded) in UVICORN.items():
        folder = tmp_path_factory.mktemp(f"uvicorn-{name}")
        (folder / "application.py").write_text(_APPLICATION)
        server = (LOOPBACK, free_port())
        command: Command = [
            uvicorn,
            "application:asgi",
            "--http",
            "h11",
            "--host",
            server[0],
            "--port",
            server[1],
            *options,
        ]
        listener = Listener(server, folder / "stdout", [], b"200 OK\x1b[0m\n" if name == "colours" else b"200 OK\n")
        with running(command, folder, listens(server), mixed=bool(forwarded)):
            for one in [*READABLE.values(), *ODD.values()]:
                address = forwarded.get(one.name)
                client = (address, 0) if address else None
                listener.send(one, lines=one.name not in REFUSED_BY_UVICORN, client=client)
        logs.append(_log(listener, "uvicorn", "ansi" if name == "colours" else "none"))
    return logs


def _log(listener: Listener, name: str, envelope: str = "none") -> Log:
    text = listener.log.read_bytes()
    other = text.count(b"\n") - text.count(listener.end)
    return Log(listener.log.rename(listener.log.with_suffix(".log")), name, listener.sent, envelope, other)


@pytest.fixture(scope="module")
def gunicorn_logs(tmp_path_factory: pytest.TempPathFactory) -> list[Log]:
    """Send everything to gunicorn over TCP, over a unix socket, and with all it says in one log."""
    gunicorn = program("gunicorn", "pip install --group test")
    logs = []
    for name in ("tcp", "unix", "mixed"):
        folder = tmp_path_factory.mktemp(f"gunicorn-{name}")
        (folder / "application.py").write_text(_APPLICATION)
        server: Address | str = f"{folder}/socket" if name == "unix" else (LOOPBACK, free_port())
        bind = f"unix:{server}" if isinstance(server, str) else f"{server[0]}:{server[1]}"
        listener = Listener(server, folder / "stdout", [], b'"\n')
        command: Command = [gunicorn, "application:wsgi", "--bind", bind, "--access-logfile", "-"]
        with running(command, folder, listens(server), mixed=name == "mixed"):
            for one in [*READABLE.values(), *ODD.values()]:
                listener.send(one, lines=one.name not in REFUSED_BY_GUNICORN)
        logs.append(_log(listener, "combined"))
    return logs


@pytest.fixture(scope="module")
def hypercorn_logs(tmp_path_factory: pytest.TempPathFactory) -> list[Log]:
    """Send to Hypercorn what it answers; it writes headers as they come, with nothing escaped."""
    hypercorn = program("hypercorn", "pip install --group test")
    folder = tmp_path_factory.mktemp("hypercorn")
    (folder / "application.py").write_text(_APPLICATION)
    server = (LOOPBACK, free_port())
    listener = Listener(server, folder / "stdout", [])
    command: Command = [hypercorn, "application:asgi", "--bind", f"{LOOPBACK}:{server[1]}", "--access-logfile", "-"]
    with running(command, folder, listens(server)):
        for one in [*READABLE.values(), ODD["HTTP/1.0"], ODD["method: lower case"], ODD["HTTP/3.0"]]:
            listener.send(one)
    return [_log(listener, "hypercorn")]


@pytest.mark.parametrize("scanner", SCANNERS)
def test_every_line_of_uvicorn_is_read(scanner: str, uvicorn_logs: list[Log]) -> None:
    """Every access line is read, in colours too, and nothing else is taken for one."""
    assert_read(uvicorn_logs, scanner)


def test_every_line_of_uvicorn_names_its_client(uvicorn_logs: list[Log]) -> None:
    """The address and the port of each line are the client's: port 0 where X-Forwarded-For is believed."""
    assert_clients(uvicorn_logs)


@pytest.mark.parametrize("scanner", SCANNERS)
def test_every_line_of_gunicorn_is_read(scanner: str, gunicorn_logs: list[Log]) -> None:
    """Every access line is read, whatever quotes and backslashes it holds, and nothing else is taken for one."""
    assert_read(gunicorn_logs, scanner)


def test_every_line_of_gunicorn_names_its_client(gunicorn_logs: list[Log]) -> None:
    """The address of each line is the client's; over a unix socket there is none."""
    assert_clients(gunicorn_logs, ports=False)


@pytest.mark.parametrize("scanner", SCANNERS)
def test_every_line_of_hypercorn_is_read(scanner: str, hypercorn_logs: list[Log]) -> None:
    """Every access line is read, whatever quotes it holds."""
    assert_read(hypercorn_logs, scanner)


def test_every_line_of_hypercorn_names_its_client(hypercorn_logs: list[Log]) -> None:
    """The address and the port of each line are the client's."""
    assert_clients(hypercorn_logs)
