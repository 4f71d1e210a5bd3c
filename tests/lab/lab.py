"""Runs one scenario: programs in their namespaces, traffic, and what is left of it in logs."""

from __future__ import annotations

import json
import re
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from end_to_end.servers import PATIENCE, contained, running
from lab import kube_proxy, programs, truth
from lab.network import BALANCER_FRONT, BALANCERS, CDN_FRONT, EDGES, NODES, VIP
from lab.objects import log_of, write_cluster
from lab.programs import APPLICATION_PORT, Controller
from lab.visitors import Visitors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from end_to_end.servers import Command
    from lab.network import Network
    from lab.truth import Truth
    from lab.visitors import Sent


#: How nginx and the container runtime write times.
_TIMES = {
    "%d/%b/%Y:%H:%M:%S": rb"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d",
    "%Y/%m/%d %H:%M:%S": rb"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d",
    "%Y-%m-%dT%H:%M:%S": rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d",
}
_CLOCK = re.compile(b"|".join(_TIMES.values()))


@dataclass(frozen=True)
class Ran:
    """What a scenario left: its logs, the cluster file, and the truth about them."""

    logs: Path
    cluster: Path
    truth: Truth
    lost: int


@dataclass
class Lab:
    """A network in which one scenario runs, with a folder for what it writes."""

    network: Network
    folder: Path
    name: str
    controller: Controller = field(default_factory=Controller)
    in_cri: bool = False
    lost: int = 0
    cluster: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with nobody, and nothing sent."""
        self.visitors = Visitors(self.name)
        self.files: list[Path] = []
        self.policy = "Cluster"
        self.pods: list[str] = []
        self._places: dict[str, ExitStack] = {}
        self._answered: set[int] = set()
        self._probes: set[int] = set()
        self._callers: set[int] = set()
        self.network.spread(*NODES)
        self.network.overlay(on=True)

    # ---- what runs ---------------------------------------------------------------------------------------------------

    def run(self, place: str, command: Command, port: int, log: Path | None = None) -> None:
        """Run a program in a namespace; `log` is where a container runtime would write what it prints."""
        folder = self._folder(place)
        inside, ready = self.network.command(place, command), self.network.listens(place, port)
        stack = self._places.setdefault(place, ExitStack())
        stack.enter_context(contained(inside, folder, log, ready) if log else running(inside, folder, ready))

    def stop(self, place: str) -> None:
        """End what runs in a namespace."""
        self._places.pop(place).close()

    def close(self) -> None:
        """End everything, also when one of the programs does not end well."""
        with ExitStack() as stack:
            for each in self._places.values():
                stack.push(each)
        self._places.clear()

    def serve(self, policy: str, *places: str) -> None:
        """Run controllers in these places, where none runs yet, and lead the Service to them."""
        if "application" not in self._places:
            self.run("application", programs.nginx_application(self._folder("application")), APPLICATION_PORT)
        self.policy, self.pods = policy, list(places)
        for place in places:
            if place in self._places:
                continue
            log = log_of(self.folder / "logs", place, self.controller)
            if not self.in_cri:
                log.parent.mkdir(parents=True)
            path = "-" if self.in_cri else str(log)
            command = self.controller.command(self._folder(place), path, self.network.pod("application"))
            self.run(place, command, self.controller.port, log if self.in_cri else None)
            self.files.append(log)
        kube_proxy.serve(self.network, policy, places, self.controller.port)

    def serve_with_uvicorn(self, *options: str) -> None:
        """Run the application under Uvicorn; its log is the one that is looked at."""
        log = log_of(self.folder / "application-logs", "application")
        command = programs.uvicorn_application(self._folder("application"), *options)
        self.run("application", command, APPLICATION_PORT, log)
        self.files.append(log)

    def balance(self, nodes: Iterable[str], *more: str, mode: str = "http") -> tuple[str, int]:
        """Run a load balancer before the nodes; return where clients find it."""
        servers = programs.to_nodes(nodes, BALANCERS, *more)
        self.run("lb", programs.balancer(self._folder("lb"), BALANCER_FRONT, servers, mode=mode), 80)
        return BALANCER_FRONT, 80

    def distribute(self) -> tuple[str, int]:
        """Run a CDN before the Service; return where clients find it."""
        servers = programs.to_service(EDGES)
        self.run("cdn", programs.balancer(self._folder("cdn"), CDN_FRONT, servers), 80)
        return CDN_FRONT, 80

    def _folder(self, place: str) -> Path:
        folder = self.folder / place
        folder.mkdir(exist_ok=True)
        return folder

    # ---- what is sent ------------------------------------------------------------------------------------------------

    def send(
        self, visits: Sequence[tuple[int, Sent]], to: tuple[str, int] = (VIP, 80), *, place: str = "world",
        patience: float = PATIENCE,
    ) -> None:  # fmt: skip
        """Send requests one after another, and wait until those that were answered stand in the logs."""
        plan = "\n".join(json.dumps([one.client, to, patience, one.payload.decode("latin-1")]) for _, one in visits)
        script = Path(__file__).parent / "sender.py"
        answers = self.network.run(place, programs.python(script), plan).split()
        assert len(answers) == len(visits)
        for (number, _), answer in zip(visits, answers, strict=True):
            if answer == "200":
                self._answered.add(number)
            elif answer == "null":
                self.lost += 1
        self._wait()

    def pass_time(self, minutes: int) -> None:
        """Make all that the logs hold so much older: nobody waits that long."""
        for file in self.files:
            lines = file.read_bytes()
            older = _CLOCK.sub(lambda found: _earlier(found[0].decode(), minutes), lines)
            assert len(older) == len(lines)
            with file.open("r+b") as log:  # in its place: who writes it goes on at its end
                log.write(older)

    def probe(self, address: str, agent: str, count: int, to: tuple[str, int], place: str = "world") -> None:
        """Let somebody check the health of something."""
        visits = self.visitors.probe(address, agent, count)
        self._probes |= {number for number, _ in visits}
        self.send(visits, to, place=place)

    def call(self, pod: str, count: int) -> None:
        """Let a pod call the Service by its public address."""
        visits = self.visitors.probe(self.network.pod(pod), "python-requests/2.32.3", count)
        self._callers |= {number for number, _ in visits}
        self.send(visits, place=pod)

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self._answered <= truth.numbers(file for file in self.files if file.exists()):
            assert time.monotonic() < deadline, "answered requests are missing in the log"
            time.sleep(0.01)

    # ---- what is left ------------------------------------------------------------------------------------------------

    def finish(self) -> Ran:
        """End everything and compare the logs with what was sent."""
        self.close()
        cluster = self.folder / "cluster.json"
        write_cluster(cluster, self.network, self.controller, self.pods, self.policy, **self.cluster)
        logs = next(folder for folder in (self.folder / "application-logs", self.folder / "logs") if folder.exists())
        files = [file for file in self.files if file.is_relative_to(logs)]
        counted = truth.read(
            files, self.visitors.sent, probes=self._probes, callers=self._callers,
            controllers={self.network.pod(place) for place in self.pods},
        )  # fmt: skip
        return Ran(logs, cluster, counted, self.lost)


def _earlier(written: str, minutes: int) -> bytes:
    form = next(form for form, pattern in _TIMES.items() if re.fullmatch(pattern, written.encode()))
    moment = datetime.strptime(written, form).replace(tzinfo=UTC)
    return (moment - timedelta(minutes=minutes)).strftime(form).encode()
