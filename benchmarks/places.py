"""What it costs to read a log from a bucket instead of a disk, and to have a Dask cluster read it.

    python benchmarks/places.py                 four files of 130 MB, plain and gzip, three runs
    python benchmarks/places.py --files 16      two GB
    python benchmarks/places.py --only dask

The S3 server is one of this file: it sends ranges of files from the page cache and does nothing else, so that what is
measured is the reading. It shares the machine's processors with logscan, as does everything here. Cases take turns, and
ratios are of the best run of each.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import Process
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import measure

if TYPE_CHECKING:
    from collections.abc import Iterator

LINES = 500_000
HERE = Path(__file__).parent


class _Bucket(BaseHTTPRequestHandler):
    """GET and HEAD of objects, and one listing, of a folder as the bucket ``logs``."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    folder = Path()

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        key = path.removeprefix("/logs").removeprefix("/")
        if not key:
            self._answer(200, self._listing(query).encode())
            return
        file = self.folder / key
        size = file.stat().st_size
        first, last = 0, size - 1
        if asked := self.headers.get("Range"):
            first, last = (int(number) for number in asked.removeprefix("bytes=").split("-"))
            last = min(last, size - 1)
        self.send_response(206 if asked else 200)
        self.send_header("ETag", f'"{_etag(file)}"')
        self.send_header("Last-Modified", "Sat, 21 Nov 2026 00:00:00 GMT")
        self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        self.wfile.flush()
        if self.command == "HEAD":
            return
        with file.open("rb") as content:
            self.connection.sendfile(content, first, last + 1 - first)

    do_HEAD = do_GET  # noqa: N815 - the library's name

    def _listing(self, query: str) -> str:
        prefix = next((part[7:] for part in query.split("&") if part.startswith("prefix=")), "").replace("%2F", "/")
        files = sorted(
            file for file in self.folder.glob("*/*") if str(file.relative_to(self.folder)).startswith(prefix)
        )
        entries = "".join(
            f"<Contents><Key>{escape(str(file.relative_to(self.folder)))}</Key><Size>{file.stat().st_size}</Size>"
            f"<LastModified>2026-11-21T00:00:00Z</LastModified><ETag>&quot;{_etag(file)}&quot;</ETag></Contents>"
            for file in files
        )
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _etag(file: Path) -> str:
    return hashlib.sha256(str(file).encode()).hexdigest()[:32]


def _serve(folder: Path, port: int) -> None:
    _Bucket.folder = folder
    ThreadingHTTPServer(("127.0.0.1", port), _Bucket).serve_forever()


def _free_port() -> int:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    for _ in range(400):
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise measure.ToolError("a server does not begin to listen")


@contextmanager
def _bucket(folder: Path) -> Iterator[dict[str, str]]:
    port = _free_port()
    server = Process(target=_serve, args=(folder, port), daemon=True)
    server.start()
    _wait_for(port)
    key = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
    yield {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", **key}
    server.terminate()
    server.join()


@contextmanager
def _cluster(workers: int) -> Iterator[str]:
    port = _free_port()
    with ExitStack() as stack:

        def start(*args: str) -> None:
            command = [sys.executable, "-m", "dask", *args, "--host", "127.0.0.1", "--no-dashboard"]
            environment = {**os.environ, "POLARS_MAX_THREADS": "1"}
            null = subprocess.DEVNULL
            process = subprocess.Popen(command, stdout=null, stderr=null, env=environment)
            stack.callback(process.wait)
            stack.callback(process.terminate)

        start("scheduler", "--port", str(port))
        _wait_for(port)
        for _ in range(workers):
            start("worker", f"tcp://127.0.0.1:{port}", "--nthreads", "1", "--no-nanny")
        time.sleep(5)
        yield f"dask://127.0.0.1:{port}"


def _generate(job: tuple[int, Path, str]) -> None:
    seed, folder, ending = job
    output = folder / ("gz" if ending else "plain") / f"{seed:02}.log{ending}"
    output.parent.mkdir(exist_ok=True)
    if not output.exists():
        lines, generator = str(LINES), str(HERE / "generate.py")
        command = [sys.executable, generator, "--lines", lines, "--seed", str(seed), "-o", str(output)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _logs(data: Path, files: int) -> None:
    """Logs of this many files."""
    data.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(_generate, [(seed, data, ending) for ending in ("", ".gz") for seed in range(1, files + 1)]))


def _compare(cases: dict[str, tuple[list[str], dict[str, str]]], runs: int) -> dict[str, measure.Sample]:
    """The best run of each case."""
    samples: dict[str, list[measure.Sample]] = {name: [] for name in cases}
    with tempfile.TemporaryDirectory() as scratch:
        for _ in range(runs):
            for name, (args, more) in cases.items():
                command = [sys.executable, "-c", "from analyzer.cli import main; main()", "analyze", "--quiet", *args]
                environment = {**os.environ, **more}
                samples[name].append(measure.run([*command, "--format", "json"], environment, Path(scratch))[0])
    return {name: min(taken, key=lambda sample: sample.wall) for name, taken in samples.items()}


def _show(title: str, best: dict[str, measure.Sample], size: int) -> None:
    first = next(iter(best.values())).wall
    print(f"\n| {title} | seconds | MB/s | times the first | processor | peak MB |\n|---|---|---|---|---|---|")
    for name, sample in best.items():
        rate, peak = size / 1e6 / sample.wall, sample.peak / 1e6
        print(
            f"| {name} | {sample.wall:.2f} | {rate:,.0f} | {sample.wall / first:.2f} | {sample.cpu:.2f} | {peak:,.0f} |"
        )


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=4, help="files of 130 MB each")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", choices=("buckets", "dask"))
    parser.add_argument("--data", type=Path, default=Path.home() / ".cache" / "logscan-benchmarks" / "places")
    chosen = parser.parse_args()
    _logs(chosen.data, chosen.files)
    names = [f"{seed:02}.log" for seed in range(1, chosen.files + 1)]
    size = sum((chosen.data / "plain" / name).stat().st_size for name in names)
    if chosen.only != "dask":
        with _bucket(chosen.data) as environment:
            for folder, ending in (("plain", ""), ("gz", ".gz")):
                disk = [str(chosen.data / folder / f"{name}{ending}") for name in names]
                objects = [f"s3://logs/{folder}/{name}{ending}" for name in names]
                cases = {"disk": (disk, {}), "bucket": (objects, environment)}
                _show(f"{folder}, {size / 1e6:,.0f} MB of text", _compare(cases, chosen.runs), size)
    if chosen.only != "buckets":
        disk = [str(chosen.data / "plain" / name) for name in names]
        with _cluster(1) as one, _cluster(2) as two:
            cases = {
                "one thread": ([*disk, "--workers", "1"], {}),
                "Dask, one worker": ([*disk, "--cluster-engine", one], {}),
                "Dask, two workers": ([*disk, "--cluster-engine", two], {}),
                "two threads": ([*disk, "--workers", "2"], {}),
            }
            _show(f"plain, {size / 1e6:,.0f} MB", _compare(cases, chosen.runs), size)


if __name__ == "__main__":
    main()
