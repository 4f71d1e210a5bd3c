"""Starts real programs on loopback, sends them what real networks send, and stops them, also when a test fails."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sysconfig
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from end_to_end.traffic import Request

#: Seconds that a client waits at most, and a whole server may live.
PATIENCE, LIFETIME = 20, 120
#: Seconds after which an answer is taken to be over, and a client that got none says that no more will come.
SILENCE = 0.05
#: The interpreter's own scripts come first; servers are not always on a user's path.
PATH = f"{sysconfig.get_path('scripts')}:{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
LOOPBACK = "127.0.0.1"
#: A runtime as conmon calls it, `runtime create ... --pid-file FILE ID`; what it runs is not contained by anything.
_RUNTIME = """#!/bin/sh
while [ "$1" != --pid-file ]; do shift; done
{} &
echo $! > "$2"
"""

Address = tuple[str, int]
Command = list["str | Path | int"]


def program(name: str, package: str) -> str:
    """Return the path of a program; without it a test is skipped, but fails in continuous integration."""
    return shutil.which(name, path=PATH) or missing(f"{name} is not installed ({package})")


def missing(reason: str) -> NoReturn:
    """Skip a test for want of a program, but fail in continuous integration."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def free_port(family: socket.AddressFamily = socket.AF_INET) -> int:
    """Return a port of loopback that nothing listens on."""
    with socket.socket(family) as probe:
        probe.bind(("::1" if family == socket.AF_INET6 else LOOPBACK, 0))
        return int(probe.getsockname()[1])


def has_ipv6() -> bool:
    """Say whether loopback speaks IPv6 here."""
    with suppress(OSError):
        return bool(free_port(socket.AF_INET6))
    return False


def make_certificate(folder: Path) -> None:
    """Write `certificate.pem`, `key.pem` and `both.pem` for localhost."""
    openssl = program("openssl", "Debian: apt-get install openssl")
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)
    both = (folder / "certificate.pem").read_bytes() + (folder / "key.pem").read_bytes()
    (folder / "both.pem").write_bytes(both)


@contextmanager
def running(command: Command, folder: Path, ready: Callable[[], object], *, mixed: bool = False) -> Iterator[None]:
    """Run a program in a folder until the block ends; what it prints goes to `stdout` and `stderr` there.

    `mixed` writes both to `stdout`, as a container's log holds them. `ready` raises an OSError for as long as the
    program is not.
    """
    # `timeout` ends the program even where this process is killed; it hands on the signal that stops it before.
    limited = ["timeout", str(LIFETIME), *map(str, command)]
    with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            limited, cwd=folder, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stdout if mixed else stderr,
            env={"PATH": PATH, "TZ": "UTC", "HOME": str(folder), "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
    try:
        wait_until(ready, lambda: process.poll() is None)
        yield
    except AssertionError as failed:
        failed.add_note((folder / "stderr").read_text()[-2000:])
        raise
    finally:
        process.terminate()
        try:
            process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=PATIENCE)


@contextmanager
def contained(command: Command, folder: Path, log: Path, ready: Callable[[], object]) -> Iterator[None]:
    """Run a program as conmon runs a container until the block ends; what it prints goes to `log`, in CRI's form.

    `ready` raises an OSError for as long as the program is not.
    """
    conmon = program("conmon", "Debian: apt-get install conmon")
    runtime = folder / "runtime"
    runtime.write_text(_RUNTIME.format(shlex.join(["timeout", str(LIFETIME), *map(str, command)])))
    runtime.chmod(0o755)
    for name in ("bundle", "exits", "sockets"):
        (folder / name).mkdir()
    log.parent.mkdir(parents=True)
    start: Command = [
        conmon, "--cid", "c", "--cuuid", "c", "--name", "c", "--runtime", runtime, "--bundle", folder / "bundle",
        "--container-pidfile", folder / "pid", "--log-path", f"k8s-file:{log}", "--exit-dir", folder / "exits",
        "--socket-dir-path", folder / "sockets", "--no-sync-log",
    ]  # fmt: skip
    environment = {"PATH": PATH, "TZ": "UTC"}
    subprocess.run(start, check=True, timeout=PATIENCE, stdin=subprocess.DEVNULL, env=environment)
    ended = folder / "exits" / "c"  # conmon writes it last, when it has read all
    try:
        wait_until(ready, lambda: not ended.exists())
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(int((folder / "pid").read_text()), signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE
        while not ended.exists():
            assert time.monotonic() < deadline, "conmon does not end"
            time.sleep(0.01)


def wait_until(ready: Callable[[], object], is_alive: Callable[[], bool] = lambda: True) -> None:
    """Wait until `ready` raises no OSError any more."""
    deadline = time.monotonic() + PATIENCE
    while not _is(ready):
        assert is_alive(), "the program ended"
        assert time.monotonic() < deadline, "the program is not ready"
        time.sleep(0.01)


def _is(ready: Callable[[], object]) -> bool:
    with suppress(OSError):
        ready()
        return True
    return False


def listens(server: Address | str) -> Callable[[], None]:
    """Make a check whether something listens there."""
    return lambda: connect(server).close()


def connect(server: Address | str) -> socket.socket:
    """Open a connection to an address, or to the path of a unix socket."""
    if not isinstance(server, str):
        return socket.create_connection(server, PATIENCE)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(PATIENCE)
        connection.connect(server)
    except OSError:
        connection.close()
        raise
    return connection


def send(server: Address | str, request: Request, *, prefix: bytes = b"", tls: bool = False) -> Address:
    """Send a request, wait until it is answered, and return the address and port that it came from."""
    with connect(server) as plain:
        plain.sendall(prefix)
        with _context().wrap_socket(plain) if tls else plain as connection:
            name = connection.getsockname()
            with suppress(ConnectionError, ssl.SSLError):  # it may refuse before it has read all
                connection.sendall(request.payload)
            _receive(connection, PATIENCE if request.readable else SILENCE)
        return (name[0], name[1]) if isinstance(name, tuple) else ("", 0)


def _receive(connection: socket.socket, patience: float) -> None:
    connection.settimeout(patience)
    with suppress(ConnectionError, ssl.SSLError, TimeoutError):
        try:
            more = connection.recv(1 << 16)
        except TimeoutError:
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(PATIENCE)
            more = connection.recv(1 << 16)
        connection.settimeout(SILENCE)
        while more:
            more = connection.recv(1 << 16)


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Sent(NamedTuple):
    """A line that a log must hold: what was sent, and the address and port that it must name."""

    request: Request
    client: Address


class Listener(NamedTuple):
    """Where requests go, the log that holds a line for each, and what was sent there so far.

    Only lines that end with `end` are counted.
    """

    server: Address | str
    log: Path
    sent: list[Sent]
    end: bytes = b"\n"

    def send(
        self, request: Request, lines: int = 1, *, client: Address | None = None, prefix: bytes = b"", tls: bool = False
    ) -> None:
        """Send a request and wait for its lines; they must name `client` where it is not who sends."""
        sender = send(self.server, request, prefix=prefix, tls=tls)
        self.sent.extend([Sent(request, client or sender)] * lines)
        wait_for_lines(self.log, len(self.sent), self.end)


def wait_for_lines(path: Path, count: int, end: bytes = b"\n") -> None:
    """Wait until a file has so many lines; programs write one when a request is over."""
    deadline = time.monotonic() + PATIENCE
    while (found := path.read_bytes().count(end) if path.exists() else 0) < count:
        assert time.monotonic() < deadline, f"{path.name}: {found} of {count} lines"
        time.sleep(0.002)


@contextmanager
def syslog_server(log: Path) -> Iterator[Address]:
    """Receive datagrams and write each as a line of a file, as it came."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind((LOOPBACK, 0))
        address = receiver.getsockname()

        def receive() -> None:
            with log.open("ab", buffering=0) as out:
                while datagram := receiver.recv(1 << 16):
                    out.write(datagram.rstrip(b"\n") + b"\n")

        thread = threading.Thread(target=receive, name=log.name)
        thread.start()
        try:
            yield address
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stop:
                stop.sendto(b"", address)
            thread.join(PATIENCE)
