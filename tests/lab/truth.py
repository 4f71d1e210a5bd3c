"""What the log holds in truth: read line by line with the numbers of the requests, and none of logscan's own code."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from lab.visitors import Sent

_CRI = re.compile(r"\S+ (stdout|stderr) ([FP]) (.*)")
_NUMBER = re.compile(r"/n/(\d+)")
_ERROR = re.compile(r"\d{4}/\d\d/\d\d \S+ \[")
_UVICORN = re.compile(r"INFO: +(\S+):\d+ - ")


@dataclass(frozen=True)
class Truth:
    """Counts of requests in a log.

    Attributes
    ----------
    visits
        Of visitors, those below among them.
    own
        Where the logged address is the one that the request came from.
    forged
        Where it is what the visitor claimed.
    probes, callers
        Of health checks, and of pods.
    unreadable
        That were no requests to the server.
    broken, limited
        Records of the error log about PROXY headers, and about requests that a limit rejected.
    addresses
        Every logged address of a visit that is not its visitor's, and how often it was logged.
    pods
        The visits in each file.
    """

    visits: int
    own: int
    forged: int
    probes: int
    callers: int
    unreadable: int
    broken: int
    limited: int
    addresses: dict[str, int]
    pods: dict[str, int]

    @property
    def preserved_pct(self) -> float | None:
        """The share of visits whose address was kept; one that was forged in a header looks like that too."""
        return 100 * (self.own + self.forged) / self.visits if self.visits else None


def read(
    logs: Iterable[Path], sent: list[Sent], *, probes: set[int], callers: set[int], controllers: set[str]
) -> Truth:
    """Compare logs with what was sent.

    `probes` and `callers` are numbers of requests that no visitor sent, `controllers` the pods that call where the log
    is an application's.
    """
    own = forged = probed = called = unreadable = broken = limited = 0
    addresses: dict[str, int] = {}
    pods: dict[str, int] = {}
    for log in logs:
        visits = 0
        for line in _lines(log):
            broken += "broken header: " in line
            limited += "limiting requests, " in line
            number = _NUMBER.search(line)
            if _ERROR.match(line):
                continue
            if number is None:
                unreadable += '" 400 ' in line
                continue
            request = sent[int(number[1])]
            if int(number[1]) in probes:
                probed += 1
                continue
            logged = _address(line)
            if int(number[1]) in callers or logged in controllers:
                called += 1
                continue
            visits += 1
            own += logged == request.client
            forged += logged == request.claimed != request.client
            if logged not in (request.client, request.claimed):
                addresses[logged] = addresses.get(logged, 0) + 1
        pods[str(log)] = visits
    return Truth(sum(pods.values()), own, forged, probed, called, unreadable, broken, limited, addresses, pods)


def numbers(logs: Iterable[Path]) -> set[int]:
    """Return the numbers of the requests that logs hold."""
    lines = (line for log in logs for line in _lines(log) if not _ERROR.match(line))
    return {int(found[1]) for line in lines if (found := _NUMBER.search(line))}


def _lines(log: Path) -> Iterator[str]:
    """Yield the lines that a program wrote: a container runtime may have taken one in parts."""
    parts = {"stdout": "", "stderr": ""}
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        record = _CRI.fullmatch(line)
        if record is None:
            yield line
            continue
        stream, tag, part = record.groups()
        parts[stream] += part
        if tag == "F":
            yield parts[stream]
            parts[stream] = ""


def _address(line: str) -> str:
    if line.startswith("{"):
        entry = json.loads(line)
        return str(entry.get("remote_addr") or entry["downstream_remote_address"].rpartition(":")[0])
    if found := _UVICORN.match(line):
        return found[1]
    return line.partition(" ")[0]
