"""Run one command as a whole process and say what it cost: wall time, processor time, peak memory.

The figures come from `wait4`, so they cover start-up, exit and every child that the process waited for. The kernel
starts a process's peak memory at the size of the process that launched it: nothing below the runner's own size can be
seen, which is why the runner imports the standard library only.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LIMIT_SECONDS = 900
PEAK_UNIT = 1 if sys.platform == "darwin" else 1024


class ToolError(Exception):
    """A tool that did not do its work."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one process: seconds, seconds, bytes."""

    wall: float
    cpu: float
    peak: int


def own_peak() -> int:
    """Return this process's own peak memory in bytes, the floor of every figure."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * PEAK_UNIT


def run(command: Sequence[str], environment: Mapping[str, str], scratch: Path) -> tuple[Sample, str, str]:
    """Run a command to its end and return its cost, its stdout and its stderr.

    stdin is empty and both outputs are files: several tools behave differently on a pipe, and reading one would disturb
    the measurement.
    """
    stdout, stderr = scratch / "stdout", scratch / "stderr"
    with stdout.open("wb") as out, stderr.open("wb") as err:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment)
        watchdog = threading.Timer(LIMIT_SECONDS, process.kill)
        watchdog.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        watchdog.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    complaint = stderr.read_text(errors="replace")
    if process.returncode != 0:
        last = complaint.strip().splitlines()[-1:] or ["nothing on stderr"]
        message = f"exit code {process.returncode}: {last[0][:200]}"
        raise ToolError(message)
    sample = Sample(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * PEAK_UNIT)
    return sample, stdout.read_text(errors="replace"), complaint
