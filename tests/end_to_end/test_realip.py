"""A real nginx finds its clients in X-Forwarded-For and PROXY headers; the walk must find the same in its log."""

from __future__ import annotations

import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import polars as pl
import pytest
from nginx_chains import heard, trust
from nginx_server import LIFETIME, NGINX, PATIENCE, receive, wait_until_it_listens
from scanners import read

from analyzer.addresses.forwarded import walk
from analyzer.addresses.ranges import format_addresses, parse_addresses
from analyzer.parsing.log_format import compile_format
from analyzer.parsing.portable import Scanner
from analyzer.parsing.schema import outputs
from analyzer.readings.trust import LOG_FORMAT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian: apt-get install nginx-light)")

#: The headers of one request each; several are logged as one.
CHAINS: list[tuple[bytes, ...]] = [
    (), (b"",), (b"1.1.1.1",), (b"10.0.0.5",), (b"2001:db8::7",), (b"unknown",), (b"-",), (b"1.1.1.1", b"10.0.0.5"),
    (b"1.1.1.1, 198.51.100.7, 10.0.0.5",), (b"1.1.1.1,198.51.100.7,10.0.0.5",), (b"1.1.1.1 198.51.100.7  10.0.0.5",),
    (b"1.1.1.1", b"198.51.100.7", b"10.0.0.5"), (b"1.1.1.1, unknown, 10.0.0.5",), (b"garbage, 10.0.0.5, 10.0.0.6",),
    (b"10.0.0.1, 10.0.0.2, 10.0.0.3",), (b"127.0.0.1, ::1, 10.0.0.5",), (b"1.1.1.1", b""), (b"", b"1.1.1.1"),
    (b"1.1.1.1,",), (b"1.1.1.1 ,, ,",), (b",",), (b",,",), (b", ,",), (b",1.1.1.1",), (b", 1.1.1.1",), (b",,1.1.1.1",),
    (b"1.1.1.1\t10.0.0.5",), (b"1.1.1.1:4444, 10.0.0.5:80",), (b"1.1.1.1:0",), (b"1.1.1.1:",), (b"1.1.1.1:65536",),
    (b"1.1.1.1:00065535",), (b"1.1.1.1:80:80",), (b"[2001:db8::7]:443, 10.0.0.5",), (b"[2001:db8::7]",),
    (b"[2001:db8::7",), (b"[1.1.1.1]:80",), (b"[]:80",), (b"[::1]]:80",), (b"[2001:db8::7]:0",), (b"::ffff:1.1.1.1",),
    (b"1.1.1.1, ::ffff:10.0.0.5",), (b"1.1.1.1, [::ffff:10.0.0.5]:80",), (b"::ffff:255.255.255.255",),
    (b"255.255.255.255",), (b"1.1.1.1, 255.255.255.255, 10.0.0.5",), (b"0.0.0.0",), (b"...",), (b"1..2.03",),
    (b"00000000001.1.1.1",), (b"256.1.1.1",), (b"1.1.1",), (b"1.1.1.1.1",), (b"0x1.1.1.1",), (b"1.1.1.1/32",), (b"::",),
    (b":",), (b":::",), (b"1::2:",), (b":1::2",), (b":1:2",), (b":1:2:3:4:5:6:7:8",), (b"1:2:3:4:5:6:7:8",),
    (b"1:2:3:4:5:6:7::",), (b"1:2:3:4:5:6:7:",), (b"::2:3:4:5:6:7:8",), (b"::1:2:3:4:5:6:7:8",), (b"1::3::5",),
    (b"12345::",), (b"::g",), (b"2001:DB8::AbC",), (b"::1.2.3.4",), (b":1.2.3.4",), (b"1:2:3:4:5:6:1.2.3.4",),
    (b"1:2:3:4:5:6:7:1.2.3.4",), (b"::ffff:00001.2.3.4",), (b"::ffff:0001.2.3.4",), (b"::ffff:1..3.4",),
    (b"fe80::1%eth0",), (b"1.1.1.1, 2001:db8::7, ::1",), (b"for=1.1.1.1",), (b'"1.1.1.1"',), (b"1.1.1.1\\",),
    (b"\xff\xfe", b"10.0.0.5"), ("\u0661.1.1.1".encode(),), (b"1.1.1.1, " + b"10.0.0.5, " * 30 + b"10.0.0.5",),
    (b"x" * 3000,), (b"1.1.1.1, " * 300 + b"9.9.9.9",), (b"1.1.1.1" + b"," * 3000 + b"10.0.0.5, x",),
]  # fmt: skip
TRUST = {
    "nobody": [],
    "elsewhere": ["192.0.2.0/24"],
    "loopback": ["127.0.0.0/8", "10.0.0.0/8"],
    "one": ["127.0.0.1", "10.0.0.5"],
    "ipv4": ["0.0.0.0/0"],
    "ipv6": ["::/0"],
    "both": ["0.0.0.0/0", "::/0"],
    "all": ["0.0.0.0/0", "::/0", "unix:"],
    "unix": ["unix:", "10.0.0.0/8", "2001:db8::/32"],
    "few": ["::1", "127.0.0.2/31", "2001:db8::7", "198.51.100.0/24", "unix:"],
}
PROXY = {
    "none": b"PROXY UNKNOWN\r\n",
    "ipv4": b"PROXY TCP4 203.0.113.7 127.0.0.1 4444 80\r\n",
    "ipv4 inside": b"PROXY TCP4 10.0.0.5 127.0.0.1 4444 80\r\n",
    "ipv6": b"PROXY TCP6 2001:db8::9 ::1 4444 80\r\n",
    "mapped": b"PROXY TCP6 ::ffff:203.0.113.7 ::1 4444 80\r\n",
    "version 2": b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([203, 0, 113, 7, 127, 0, 0, 1]) + b"\xc8\x22\0\x50",
    "local": b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
}

_CONFIGURATION = """
daemon off;
master_process off;
pid nginx.pid;
error_log error.log;
events { worker_connections 64; }
http {
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    keepalive_requests 1000000;
    large_client_header_buffers 4 16k;
    underscores_in_headers on;
    map "" $proxy_upstream_name { default ""; }
    map "" $req_id { default $request_id; }
    log_format deciding @FORMAT@;
    access_log access.log deciding;
    @SERVERS@
}
"""


class Peer(NamedTuple):
    """Who connects, and to which listener; `source` is the address it comes from."""

    family: socket.AddressFamily
    listener: tuple[str, int] | str
    source: str | None = None

    def connect(self) -> socket.socket:
        """Open a connection."""
        client = socket.socket(self.family)
        try:
            client.settimeout(PATIENCE)
            if self.source:
                client.bind((self.source, 0))
            client.connect(self.listener)
        except OSError:
            client.close()
            raise
        return client


class Server(NamedTuple):
    """A virtual server."""

    trust: list[str]
    header: str


SERVERS = {
    f"{name}-{header}".lower(): Server(trust, header)
    for name, trust in TRUST.items()
    for header in ("X-Forwarded-For", "proxy_protocol")
}


def send(peer: Peer, lead: bytes, requests: list[bytes]) -> None:
    """Send requests over one connection and wait for its end."""
    with peer.connect() as client:
        client.sendall(lead + b"".join(requests))
        answer = receive(client)
    assert answer.count(b"HTTP/1.1 200 ") == len(requests), answer[:400]


def request(path: str, host: str, headers: tuple[bytes, ...], *, last: bool) -> bytes:
    """Write a request; the last one ends the connection."""
    lines = [f"GET {path} HTTP/1.1".encode(), f"Host: {host}".encode(), *(b"X-Forwarded-For: " + h for h in headers)]
    return b"\r\n".join([*lines, b"Connection: " + (b"close" if last else b"keep-alive"), b"", b""])


@contextmanager
def running(folder: Path) -> Iterator[dict[str, Peer]]:
    """Start nginx; yield who may connect to it: as peers of a plain listener, and of one that takes PROXY headers."""
    sockets = [socket.socket() for _ in range(3)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    plain, dual, proxied = (each.getsockname()[1] for each in sockets)
    for each in sockets:
        each.close()
    ipv4, ipv6, unix = socket.AF_INET, socket.AF_INET6, socket.AF_UNIX
    peers = {
        "ipv4": Peer(ipv4, ("127.0.0.1", plain), "127.0.0.1"),
        "another ipv4": Peer(ipv4, ("127.0.0.1", plain), "127.0.0.3"),
        "unix": Peer(unix, str(folder / "plain.sock")),
        "PROXY ipv4": Peer(ipv4, ("127.0.0.1", proxied), "127.0.0.1"),
        "PROXY unix": Peer(unix, str(folder / "proxied.sock")),
    }
    listens = [f"127.0.0.1:{plain}", f"unix:{folder}/plain.sock"]
    listens += [f"127.0.0.1:{proxied} proxy_protocol", f"unix:{folder}/proxied.sock proxy_protocol"]
    if _has_ipv6():
        peers["ipv6"] = Peer(ipv6, ("::1", plain))
        peers["mapped"] = Peer(ipv4, ("127.0.0.1", dual), "127.0.0.1")
        listens += [f"[::1]:{plain}", f"[::]:{dual} ipv6only=off"]
    lines = [f"listen {listen};" for listen in listens]
    servers = []
    for name, server in SERVERS.items():
        settings = [f"set_real_ip_from {cidr};" for cidr in server.trust]
        settings += [f"real_ip_header {server.header};", "real_ip_recursive on;"]
        # What a listener is said to be for one server it is for all.
        bare = [line.replace(" proxy_protocol", "").replace(" ipv6only=off", "") for line in lines]
        listening = bare if servers else lines
        servers.append(
            f"server {{ server_name {name}; {' '.join(listening + settings)} location / {{ return 200; }} }}"
        )
    escape, _, body = LOG_FORMAT.partition(" ")
    text = _CONFIGURATION.replace("@FORMAT@", f"{escape} '{body}'").replace("@SERVERS@", "\n".join(servers))
    (folder / "nginx.conf").write_text(text)
    process = subprocess.Popen(
        ["timeout", str(LIFETIME), str(NGINX), "-p", str(folder), "-e", "error.log", "-c", "nginx.conf"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        wait_until_it_listens(peers["ipv4"].connect, process)
        yield peers
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """Send every chain to every server as every peer, and read the log; ``path`` says which request it was."""
    folder = tmp_path_factory.mktemp("realip")
    sent = 0
    with running(folder) as peers:
        for number, (name, peer) in enumerate(peers.items()):
            for host in SERVERS:
                for lead_name, lead in PROXY.items() if name.startswith("PROXY") else [("", b"")]:
                    chains = CHAINS if not lead else CHAINS[:16]
                    requests = [
                        request(f"/{number}/{at}?{lead_name.replace(' ', '-')}", host, chain, last=chain is chains[-1])
                        for at, chain in enumerate(chains)
                    ]
                    send(peer, lead, requests)
                    sent += len(requests)
        log = folder / "access.log"
        deadline = time.monotonic() + PATIENCE
        while log.read_bytes().count(b"\n") < sent:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    layout = compile_format(LOG_FORMAT)
    wanted = ["remote_addr", "address", "realip_remote_addr", "proxy_protocol_addr", "x_forwarded_for", "host", "path"]
    found = read(Scanner, layout, log.read_bytes(), outputs(layout, wanted))
    assert found.misfits.height == 0
    assert found.rows.height == sent
    return found.rows


@pytest.mark.parametrize("name", SERVERS)
def test_the_walk_finds_the_client_that_nginx_found(name: str, rows: pl.DataFrame) -> None:
    """For every chain, peer and kind of header the walk over what was logged ends where nginx's own did."""
    server = SERVERS[name]
    of_server = rows.filter(pl.col("host") == name)
    peers = parse_addresses(of_server["realip_remote_addr"])
    column = "x_forwarded_for" if server.header == "X-Forwarded-For" else "proxy_protocol_addr"
    found = walk(peers, heard(peers, server.trust), of_server[column], trust(server.trust))
    looked = found["position"].is_not_null()
    differ = of_server.with_columns(found, mine=format_addresses(found["client"])).filter(
        looked & found["client"].ne_missing(of_server["address"])
    )
    assert differ.select("path", "remote_addr", "mine", "realip_remote_addr", column).rows() == []
    assert of_server.height > 100
    assert (~looked).sum() <= 6 * 3  # the chains that are longer than is looked, where everybody is trusted


def test_the_chains_end_in_every_way(rows: pl.DataFrame) -> None:
    """The table of cases is wide enough: remote addresses of all kinds came of it."""
    seen = set(rows["remote_addr"])
    assert {"127.0.0.1", "127.0.0.3", "unix:", "1.1.1.1", "198.51.100.7", "10.0.0.5", "203.0.113.7", "1.0.2.3"} <= seen
    assert {"2001:db8::7", "2001:db8::9", "::ffff:1.1.1.1"} <= seen
