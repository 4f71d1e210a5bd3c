"""Watch a log of which each line has an address of its own, and say what memory that needs as it goes on.

    python benchmarks/watch.py --seconds 300 --rate 100000 --window 1m

Lines come over a pipe at the rate that is asked for. One line of the answer for every ten seconds: the lines that were
shown, the memory of `logscan watch`, and the share of a processor that it took. Linux alone tells these.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sysconfig
import time
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import IO

#: Times a second that lines are written.
_TURNS = 20
_EVERY = 10.0
_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Feed, and print the table."""
    parser = argparse.ArgumentParser(description="Measure the memory of `logscan watch`.")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--rate", type=int, default=100_000)
    parser.add_argument("--window", default="1m")
    options = parser.parse_args()
    logscan = Path(sysconfig.get_path("scripts")) / "logscan"
    command = [str(logscan), "watch", "--format", "json", "--window", options.window, "-"]
    print("  seconds        lines    MB  processor %")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as watch:
        if watch.stdin is None or watch.stdout is None:
            raise SystemExit("expected pipes")
        feeder = Thread(target=_feed, args=(watch.stdin, options.rate, options.seconds))
        feeder.start()
        begun = last = time.monotonic()
        used = 0.0
        for line in watch.stdout:
            now = time.monotonic()
            if now - last < _EVERY:
                continue
            taken = _processor_seconds(watch.pid)
            lines = json.loads(line)["total_lines"]
            share = 100 * (taken - used) / (now - last)
            print(f"{now - begun:9.0f} {lines:12,} {_megabytes(watch.pid):5.0f} {share:12.0f}", flush=True)
            last, used = now, taken
        feeder.join()


def _feed(log: IO[bytes], rate: int, seconds: float) -> None:
    begun, number, some = time.monotonic(), 0, rate // _TURNS
    with log:
        while time.monotonic() - begun < seconds:
            moment = f"{datetime.now(UTC):%d/%b/%Y:%H:%M:%S} +0000".encode()
            behind = (
                b'::1 - - [%b] "GET /shop HTTP/1.1" 200 612 "-" "curl/8.16.0" 88 0.004 [shop-web-8080] [] '
                b"10.244.1.7:8080 612 0.004 200 1c6f0d8a3b5e4c7d9e0f1a2b3c4d5e6f\n" % moment
            )
            log.write(
                b"".join([b"2a00:%x:%x%b" % (*divmod(at, 1 << 16), behind) for at in range(number, number + some)])
            )
            number += some
            time.sleep(max(0.0, begun + number / rate - time.monotonic()))


def _megabytes(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _processor_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


if __name__ == "__main__":
    main()
