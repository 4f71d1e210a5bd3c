"""`logscan watch` in a real terminal: through rotation, and a switch from Cluster to Local; and without one."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from command import ENVIRONMENT, LINE, PATH, validator
from end_to_end.servers import PATIENCE, program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOSTILE = b"curl/8.16.0\x1b[2J\x1b]0;owned\x07\xe2\x80\xae"


class Terminal:
    """A terminal of tmux, with a server of its own."""

    def __init__(self, folder: Path) -> None:
        self._tmux = [program("tmux", "Debian: apt-get install tmux"), "-S", str(folder / "tmux"), "-f", os.devnull]

    def run(self, *args: str) -> str:
        """Tell the server something."""
        command = [*self._tmux, *args]
        environment = {**ENVIRONMENT, "TERM": "xterm-256color"}
        done = subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE, env=environment)
        return done.stdout.decode()

    def until(self, seen: Callable[[str], bool]) -> str:
        """Wait until the screen shows it; return the screen."""
        deadline = time.monotonic() + PATIENCE
        while not seen(screen := self.run("capture-pane", "-p")):
            assert time.monotonic() < deadline, screen
            time.sleep(0.05)
        return screen


@contextmanager
def terminal(folder: Path, command: str) -> Iterator[Terminal]:
    """Run a command in a terminal; the shell goes on when it has ended."""
    shown = Terminal(folder)
    shell = f"trap : INT; export PATH={shlex.quote(PATH)}; echo before; {command}; echo status=$?; stty -a; exec cat"
    shown.run("new-session", "-d", "-x", "100", "-y", "40", f"timeout --foreground 120 sh -c {shlex.quote(shell)}")
    try:
        yield shown
    finally:
        shown.run("kill-server")


def _requests(address: bytes, times: int, agent: bytes = b"curl/8.16.0") -> bytes:
    lines = (LINE.replace(b"81.2.69.142", address).replace(b"curl/8.16.0", agent + b"%d" % at) for at in range(times))
    return b"".join(lines)


def test_rotation_and_the_switch(tmp_path: Path) -> None:
    """The view shows the loss, then through a rotation the switch to Local; it resizes, and leaves as it came."""
    log = tmp_path / "access.log"
    log.write_bytes(b"")
    with terminal(tmp_path, f"logscan watch --node 10.0.0.0/24 --interval 0.2 {log}") as shown:
        shown.until(lambda screen: "waiting" in screen)
        log.write_bytes(_requests(b"10.0.0.11", 300))
        screen = shown.until(lambda screen: "NOT PRESERVED   0.0 %" in screen)
        assert "before" not in screen
        assert "10.0.0.11" in screen
        assert "Addresses of nodes" in screen
        log.rename(tmp_path / "access.log.1")
        log.write_bytes(_requests(b"81.2.69.142", 700, HOSTILE))
        screen = shown.until(lambda screen: "70.0 %" in screen)
        assert "1 log " in screen
        assert "1,000 lines in the window, 0 rejected" in screen
        shown.run("resize-window", "-x", "60", "-y", "15")
        screen = shown.until(lambda screen: "q leaves" in screen.split("\n")[0] and len(screen.split("\n")) <= 16)
        assert all(len(line) <= 60 for line in screen.split("\n"))
        shown.run("resize-window", "-x", "100", "-y", "40")
        shown.run("send-keys", "q")
        screen = shown.until(lambda screen: "status=0" in screen and "icanon" in screen)
        assert "before" in screen
        assert "PARTLY PRESERVED  70.0 %" in screen
        assert " icanon" in screen


def test_signals_restore_the_terminal(tmp_path: Path) -> None:
    """Ctrl-C and SIGTERM leave with status 0, and the terminal as it was."""
    log = tmp_path / "access.log"
    log.write_bytes(b"")
    for number, leave in enumerate(("C-c", "TERM")):
        folder = tmp_path / str(number)
        folder.mkdir()
        command = f"sh -c 'echo $$ > {folder}/pid; exec logscan watch --interval 0.2 {log}'"
        with terminal(folder, command) as shown:
            shown.until(lambda screen: "q leaves" in screen)
            if leave == "C-c":
                shown.run("send-keys", leave)
            else:
                os.kill(int((folder / "pid").read_text()), signal.SIGTERM)
            screen = shown.until(lambda screen: "status=0" in screen and "icanon" in screen)
            assert "before" in screen
            assert " icanon" in screen


def test_piped_into_the_view(tmp_path: Path) -> None:
    """What another program writes is watched while keys come from the keyboard; its end is shown."""
    (tmp_path / "log").write_bytes(_requests(b"81.2.69.142", 50))
    with terminal(tmp_path, f"cat {tmp_path}/log | logscan watch --interval 0.2 -") as shown:
        shown.until(lambda screen: "100.0 %" in screen and "input ended" in screen)
        shown.run("send-keys", "q")
        shown.until(lambda screen: "status=0" in screen)


def test_lines_without_a_terminal(tmp_path: Path) -> None:
    """Without a terminal each interval is an object of the schema on a line; requests add up; the end is the end."""
    command = ["logscan", "watch", "--format", "json", "--interval", "0.2", "-"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENVIRONMENT
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        first = json.loads(running.stdout.readline())
        running.stdin.write(_requests(b"81.2.69.142", 10)[:-20])
        running.stdin.flush()
        while (told := json.loads(running.stdout.readline()))["lines"] < 9:
            pass
        running.stdin.close()
        *_, last = map(json.loads, running.stdout)
        assert running.wait(PATIENCE) == 0
    for line in (first, told, last):
        validator("watch.schema.json").validate(line)
    assert (first["schema"], first["lines"], first["preservation"]["preserved_pct"]) == ("logscan.watch/1", 0, None)
    assert (told["lines"], told["formats"]) == (9, ["ingress-nginx"])
    assert last["lines"] == last["parsed"] + last["rejected"] + last["other"] == 10
    assert last["preservation"]["preserved"] == last["parsed"]


def test_memory_does_not_grow_with_visitors(tmp_path: Path) -> None:
    """Ten times as many visitors, each with an address of his own, need hardly more memory, and all are counted."""
    peaks = []
    for visitors in (100_000, 1_000_000):
        log = tmp_path / "log"
        with log.open("wb") as file:
            for at in range(visitors):
                file.write(LINE.replace(b"81.2.69.142", b"2a00:%x:%x::1" % divmod(at, 1 << 16)))
        command = ["logscan", "watch", "--format", "json", "--interval", "30", "-"]
        with (
            log.open("rb") as file,
            subprocess.Popen(command, stdin=file, stdout=subprocess.PIPE, env=ENVIRONMENT) as ran,
        ):
            assert ran.stdout is not None
            *_, last = map(json.loads, ran.stdout)
            peaks.append(os.wait4(ran.pid, 0)[2].ru_maxrss)
            ran.returncode = 0
        assert last["preservation"]["preserved"] == visitors
        assert last["others"]["requests"] >= visitors - 20_000
        assert sum(part["preserved"] for part in last["shares"]) == visitors
    assert peaks[1] <= 1.5 * peaks[0]


def test_the_reader_leaves(tmp_path: Path) -> None:
    """Whoever reads the lines may leave: the status is 0, and nothing is said."""
    script = "logscan watch --interval 0.2 . | head -1; echo ${PIPESTATUS[0]}"
    (tmp_path / "access.log").write_bytes(b"")
    ran = subprocess.run(
        ["timeout", "30", "bash", "-c", script],
        cwd=tmp_path, capture_output=True, timeout=PATIENCE, check=True, env=ENVIRONMENT,
    )  # fmt: skip
    assert ran.stdout.decode().splitlines()[-1] == "0"
    assert ran.stderr == b""
