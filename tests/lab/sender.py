"""Sends requests from the addresses of many clients, one connection each; run in a namespace that has the addresses.

Standard input holds a line of JSON for each request: the address it comes from, the address and port it goes to, how
many seconds to wait, and its bytes as latin-1. For each a line goes to standard output: the status of the answer, or
`null` where none came.
"""

from __future__ import annotations

import json
import socket
import sys


def send(source: str, server: tuple[str, int], patience: float, payload: bytes) -> int | None:
    """Send a request and return the status of its answer."""
    answer = b""
    try:
        with socket.create_connection(server, patience, (source, 0)) as connection:
            connection.sendall(payload)
            while more := connection.recv(1 << 16):
                answer += more
    except OSError:
        pass
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.") else None


for line in sys.stdin:
    source, (host, port), patience, payload = json.loads(line)
    print(json.dumps(send(source, (host, port), patience, payload.encode("latin-1"))))
