"""The installed command where a golden case cannot say it: pipes, closed and full files, signals, and large inputs."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import pty
import random
import signal
import stat
import subprocess
import termios
import threading
import time
import zlib
from pathlib import Path

import pytest
from command import ENVIRONMENT, LINE, PATH, bash, checked, logscan

JSON = ("--format", "json", "--quiet")
MIB = 1 << 20


def visits(count: int, seed: int = 1) -> bytes:
    """Make requests of as many visitors, in which gzip finds little to save."""
    rng = random.Random(seed)
    address = b"%d.%d.%d.%d"
    return b"".join(
        LINE.replace(b"81.2.69.142", address % (81, *(rng.randrange(1, 255) for _ in range(3)))).replace(
            b"1c6f0d8a3b5e4c7d9e0f1a2b3c4d5e6f", b"%032x" % rng.getrandbits(128)
        )
        for _ in range(count)
    )


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """One small log."""
    path = tmp_path / "access.log"
    path.write_bytes(LINE * 3)
    return path


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log whose report is larger than a pipe holds."""
    path = tmp_path_factory.mktemp("large") / "access.log"
    path.write_bytes(visits(4000))
    return path


# Where the output goes


@pytest.mark.parametrize("reader", ["head -n 1", "true"])
def test_a_reader_that_leaves_is_no_error(large: Path, reader: str, tmp_path: Path) -> None:
    """`| head` ends quietly with 0, whether it has read a part of the report or nothing."""
    script = f"logscan analyze {large} --top 0 --format json | {reader}; exit ${{PIPESTATUS[0]}}"
    result = bash(script, cwd=tmp_path)
    assert (result.status, result.stderr) == (0, "")
    assert len(logscan("analyze", large, "--top", "0", *JSON, cwd=tmp_path).stdout) > 64 << 10, "the pipe holds it all"


def test_help_into_a_pipe_that_nobody_reads(tmp_path: Path) -> None:
    """Help and version may be cut short as well."""
    for option in ("--help", "--version"):
        result = bash(f"(sleep 0.3; logscan {option}; echo $? >&2) | true", cwd=tmp_path)
        assert result.stderr == "0\n", option


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("arguments", ["analyze access.log", "--help", "--version"])
def test_full_disk_behind_stdout(log: Path, arguments: str) -> None:
    """What cannot be written is said in one line, with exit code 2."""
    result = bash(f"logscan {arguments} > /dev/full", cwd=log.parent)
    assert result.stderr == "logscan: standard output: No space left on device\n"
    assert result.status == 2


def test_closed_stdout_and_stderr(log: Path) -> None:
    """A closed stdout is an error; a closed stderr changes neither the report nor the exit code."""
    result = bash("logscan analyze access.log >&-", cwd=log.parent)
    assert (result.status, result.stderr) == (2, "logscan: standard output: cannot be written: it is closed\n")
    result = bash("logscan analyze access.log --format json 2>&-", cwd=log.parent)
    assert result.status == 0
    assert result.report["input"]["parsed"] == 3
    assert bash("logscan analyze missing.log 2>&-", cwd=log.parent)[:2] == (2, b"")


def test_stdout_in_another_encoding(large: Path, tmp_path: Path) -> None:
    """A report is UTF-8 in a file or pipe, whatever the locale."""
    (tmp_path / "naïve.log").write_bytes(large.read_bytes())
    plain = logscan("analyze", "naïve.log", *JSON, cwd=tmp_path)
    other = logscan("analyze", "naïve.log", *JSON, cwd=tmp_path, env={"PYTHONIOENCODING": "ascii"})
    assert other.status == 0
    assert other.report["input"]["sources"] == plain.report["input"]["sources"]
    table = logscan("analyze", "naïve.log", cwd=tmp_path, env={"PYTHONIOENCODING": "ascii"})
    assert table.status == 0
    assert "Rate limits" in table.stdout.decode()


def test_output_is_written_whole_or_not_at_all(large: Path, tmp_path: Path) -> None:
    """Where the disk ends half-way the old report stays as it was, and nothing is left beside it."""
    report = tmp_path / "report.json"
    report.write_text("of yesterday\n")
    arguments = f"analyze {large} --top 0 --format json -o report.json"
    # Under this limit Python would leave broken bytecode behind.
    result = bash(f"ulimit -f 16; PYTHONDONTWRITEBYTECODE=1 logscan {arguments}", cwd=tmp_path)
    assert (result.status, result.stdout) == (2, b"")
    assert result.stderr == "logscan: report.json: cannot be written: File too large\n"
    assert report.read_text() == "of yesterday\n"
    assert os.listdir(tmp_path) == ["report.json"]
    assert bash(f"logscan {arguments}", cwd=tmp_path) == (0, b"", "")
    assert checked(report.read_bytes())["input"]["parsed"] == 4000
    assert os.listdir(tmp_path) == ["report.json"]


def test_output_keeps_what_stands_there(log: Path) -> None:
    """A file keeps its permissions, a link still points to its file, a new file has those of the user's umask."""
    folder = log.parent
    (folder / "reports").mkdir()
    kept = folder / "reports" / "kept.json"
    kept.touch()
    kept.chmod(0o600)
    (folder / "latest.json").symlink_to(kept)
    assert logscan("analyze", log, *JSON, "-o", "latest.json", cwd=folder).status == 0
    assert (folder / "latest.json").is_symlink()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert checked(kept.read_bytes())["input"]["parsed"] == 3
    bash("umask 027; logscan analyze access.log --format json -o new.json", cwd=folder)
    assert stat.S_IMODE((folder / "new.json").stat().st_mode) == 0o640


def test_output_to_a_pipe_stays_a_pipe(log: Path) -> None:
    """A named pipe is written to, never replaced by a file: what holds for it holds for a device."""
    os.mkfifo(log.parent / "out")
    result = bash("cat out & logscan analyze access.log --format json -o out; wait", cwd=log.parent)
    assert result.report["input"]["parsed"] == 3
    assert (log.parent / "out").is_fifo()


# What a terminal shows


def on_terminal(folder: Path, *args: str, env: dict[str, str]) -> tuple[str, str]:
    """Run the command with stdout and stderr on a terminal each, and return what these showed."""
    shown: list[bytearray] = [bytearray(), bytearray()]
    pairs = [pty.openpty() for _ in shown]
    threads = [threading.Thread(target=_read, args=(pair[0], text)) for pair, text in zip(pairs, shown, strict=True)]
    for thread in threads:
        thread.start()
    environment = {**{key: value for key, value in ENVIRONMENT.items() if key != "NO_COLOR"}, "TERM": "xterm", **env}
    ran = subprocess.run(
        ["logscan", *args],
        cwd=folder, stdin=subprocess.DEVNULL, stdout=pairs[0][1], stderr=pairs[1][1], env=environment, timeout=60,
        check=False,
    )  # fmt: skip
    for _, slave in pairs:
        os.close(slave)
    for thread in threads:
        thread.join()
    assert ran.returncode == 0
    return shown[0].decode(), shown[1].decode()


def _read(terminal: int, text: bytearray) -> None:
    try:
        while part := os.read(terminal, 1 << 16):
            text += part
    except OSError:  # how Linux says that nobody holds the other end any more
        pass
    finally:
        os.close(terminal)


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", PATH)


def test_colours_and_progress_on_a_terminal(log: Path) -> None:
    """A terminal has colours and progress, NO_COLOR takes the colours, --quiet the progress; the words are the same."""
    coloured, progress = on_terminal(log.parent, "analyze", "access.log", env={})
    assert "\x1b[" in coloured
    assert progress
    plain, _ = on_terminal(log.parent, "analyze", "access.log", env={"NO_COLOR": "1"})
    assert "\x1b" not in plain
    assert "PRESERVED   100.0 % of visitors keep their IP" in plain
    _, nothing = on_terminal(log.parent, "analyze", "access.log", "--quiet", env={})
    assert nothing == ""


def test_quiet_takes_the_notes(log: Path) -> None:
    """A note stands on stderr without --quiet, and nothing with it; stdout is the same."""
    command = "logscan analyze access.log --format json"
    noted = subprocess.run(
        ["bash", "-c", command], cwd=log.parent, env={**ENVIRONMENT, "LOGSCAN_SCANNER": "portable"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert noted.stderr.startswith("logscan: note: reading with the portable scanner")
    quiet = subprocess.run(
        ["bash", "-c", f"{command} --quiet"], cwd=log.parent, env={**ENVIRONMENT, "LOGSCAN_SCANNER": "portable"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert quiet.stderr == ""
    first, second = json.loads(noted.stdout), json.loads(quiet.stdout)
    assert first["preservation"] == second["preservation"]


def test_shell_completion(tmp_path: Path) -> None:
    """A shell that asks is told the commands and the options."""
    for words, expected in (("logscan ana", "analyze"), ("logscan analyze --fail-u", "--fail-under")):
        env = {"_LOGSCAN_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        assert logscan(cwd=tmp_path, env=env).stdout.decode().split() == [expected]


def test_interrupted(tmp_path: Path) -> None:
    """Ctrl-C ends a run that waits for a pipe, with 130 and without a traceback."""
    os.mkfifo(tmp_path / "pipe")
    command = ["logscan", "analyze", "pipe"]
    captured = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, **captured) as process:
        try:
            with open(tmp_path / "pipe", "wb") as pipe:  # waits until the command has opened it, and keeps it reading
                pipe.write(LINE[:10])
                pipe.flush()
                while fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)) != bytes(4):
                    time.sleep(0.01)
                time.sleep(0.2)  # it has read this much and waits for more
                process.send_signal(signal.SIGINT)
                stdout, stderr = process.communicate(timeout=20)
        finally:
            process.kill()
    assert (process.returncode, stdout, stderr) == (130, b"", b"")


# What cannot be read


def test_closed_stdin(tmp_path: Path) -> None:
    """A closed standard input is one line on stderr and exit code 2."""
    result = bash("logscan analyze - <&-", cwd=tmp_path)
    assert result == (2, b"", "logscan: standard input: cannot be read: it is closed\n")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(log: Path) -> None:
    """A file that may not be read is named, with what the system says."""
    log.chmod(0)
    assert logscan("analyze", log.name, cwd=log.parent) == (
        2, b"", "logscan: access.log: cannot be read: Permission denied\n",
    )  # fmt: skip


def test_a_link_to_itself_among_readable_files(log: Path) -> None:
    """Two of three sources are read where the third cannot be opened: the report has them, the exit code is 2."""
    (log.parent / "loop.log").symlink_to("loop.log")
    (log.parent / "more.log").write_bytes(LINE)
    result = logscan("analyze", ".", *JSON, cwd=log.parent)
    assert result.status == 2
    assert result.stderr == "logscan: ./loop.log: cannot be read: Too many levels of symbolic links\n"
    report = result.report
    assert [(row["uri"], row["parsed"]) for row in report["input"]["sources"]] == [
        ("./access.log", 3), ("./loop.log", 0), ("./more.log", 1),
    ]  # fmt: skip
    assert "Too many levels" in report["input"]["sources"][1]["error"]
    alone = logscan("analyze", "loop.log", cwd=log.parent)
    assert alone == (2, b"", "logscan: loop.log: cannot be read: Too many levels of symbolic links\n")


@pytest.fixture(scope="module")
def compressed() -> bytes:
    """A gzip file of some hundred kilobytes, 5,000 lines."""
    return gzip.compress(visits(5000), mtime=0)


@pytest.mark.parametrize("stdin", [False, True])
def test_gzip_cut_short(compressed: bytes, stdin: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """All that a cut gzip file gives counts, and the report and stderr say where it broke off."""
    cut = compressed[: len(compressed) // 2]
    (tmp_path / "access.log.gz").write_bytes(cut)
    text = zlib.decompressobj(wbits=31).decompress(cut)
    result = logscan("analyze", "-" if stdin else "access.log.gz", *JSON, cwd=tmp_path, stdin=cut if stdin else b"")
    assert result.status == 2
    name = "standard input" if stdin else "access.log.gz"
    broken_off = f"the gzip stream ends too soon, at byte {len(cut):,}, after {len(text):,} bytes of its text"
    assert result.stderr == f"logscan: {name}: {broken_off}\n"
    read = result.report["input"]
    assert read["parsed"] == text.count(b"\n")
    assert read["lines"] == text.count(b"\n") + 1
    assert read["sources"][0]["error"] == broken_off


@pytest.mark.parametrize("size", [60, 5000])
def test_gzip_with_a_bit_flipped(compressed: bytes, size: int, tmp_path: Path) -> None:
    """Most of what stands before a damage counts, in a small file too; where it shows is said."""
    damaged = bytearray(compressed if size == 5000 else gzip.compress(visits(size), mtime=0))
    # Deep in the stream a single bit may pass as another text until the checksum; what no block can begin with shows.
    at = len(damaged) * 3 // 4
    damaged[at : at + 64] = bytes(byte ^ 0xFF for byte in damaged[at : at + 64])
    (tmp_path / "access.log.gz").write_bytes(damaged)
    result = logscan("analyze", "access.log.gz", *JSON, cwd=tmp_path)
    assert result.status == 2
    assert result.stderr.startswith("logscan: access.log.gz: the gzip stream is damaged after ")
    assert "Error" not in result.stderr
    assert result.stderr.count("\n") == 1
    assert size * 0.4 < result.report["input"]["parsed"] <= size


def test_gzip_with_a_wrong_checksum_among_others(compressed: bytes, tmp_path: Path) -> None:
    """A damage that only the checksum at the end shows is told too, and other sources are read to their end."""
    damaged = bytearray(compressed)
    damaged[-8] ^= 1
    (tmp_path / "a.log.gz").write_bytes(damaged)
    (tmp_path / "b.log.gz").write_bytes(compressed)
    result = logscan("analyze", "a.log.gz", "b.log.gz", *JSON, cwd=tmp_path)
    assert result.status == 2
    assert result.stderr.startswith("logscan: a.log.gz: the gzip stream is damaged after ")
    first, second = result.report["input"]["sources"]
    assert 4500 < first["parsed"] <= 5000
    assert (second["parsed"], second["rejected"], second["error"]) == (5000, 0, None)


def test_gzip_followed_by_something_else(compressed: bytes, tmp_path: Path) -> None:
    """What is no gzip behind a gzip member is an error after the whole text; zeros are padding."""
    (tmp_path / "padded.gz").write_bytes(compressed + bytes(600))
    assert logscan("analyze", "padded.gz", *JSON, cwd=tmp_path).report["input"]["parsed"] == 5000
    (tmp_path / "more.gz").write_bytes(compressed + b"more")
    result = logscan("analyze", "more.gz", *JSON, cwd=tmp_path)
    assert result.status == 2
    assert "expected another gzip member or the end after" in result.stderr
    assert result.report["input"]["parsed"] == 5000


# What is read


def test_rejects_byte_for_byte(tmp_path: Path) -> None:
    """Rejected lines are written as they came: carriage returns, NUL, invalid UTF-8, in the order of the input."""
    bad = [b"\xff\xfe no UTF-8\n", b"\0\0\0\n", b"with a return\r\n", b"\xef\xbb\xbfwithin\n", b" \x1b[31m\n"]
    (tmp_path / "a.log").write_bytes(b"".join(piece for line in bad for piece in (LINE, line)))
    (tmp_path / "b.log.gz").write_bytes(gzip.compress(bad[0] + LINE + b"\n" + b"the last one has no newline"))
    result = logscan("analyze", "a.log", "b.log.gz", "-", *JSON, "--rejects", "bad", cwd=tmp_path, stdin=LINE)
    assert result.status == 0
    assert (tmp_path / "bad").read_bytes() == b"".join(bad) + bad[0] + b"the last one has no newline"
    read = result.report["input"]
    assert (read["lines"], read["parsed"], read["rejected"], read["other"]) == (15, 7, 7, 1)
    samples = [(sample["uri"], sample["line"]) for sample in read["rejected_samples"]]
    assert samples == [("a.log", line) for line in (2, 4, 6, 8, 10)] + [("b.log.gz", 1), ("b.log.gz", 4)]


def test_rejects_of_many_pieces_stay_in_order(tmp_path: Path) -> None:
    """Pieces are scanned side by side, and the rejected lines still stand as in the log."""
    bad = [b"bad %07d\n" % number for number in range(700)]
    (tmp_path / "access.log").write_bytes(b"".join(line + LINE * 400 for line in bad))
    assert (tmp_path / "access.log").stat().st_size > 40 * MIB
    result = logscan("analyze", "access.log", *JSON, "--rejects", "bad", "--workers", "4", cwd=tmp_path)
    assert result.report["input"]["rejected"] == 700
    assert (tmp_path / "bad").read_bytes() == b"".join(bad)


@pytest.mark.parametrize("how", ["file", "gzip on stdin"])
def test_a_line_of_50_mb(how: str, tmp_path: Path) -> None:
    """A line longer than any request can be is one rejected line, written to --rejects whole."""
    line = b"x" * (50 * MIB) + b"\n"
    text = LINE + line + LINE
    (tmp_path / "access.log").write_bytes(text if how == "file" else b"")
    stdin = b"" if how == "file" else gzip.compress(text, compresslevel=1)
    name = "access.log" if how == "file" else "-"
    result = logscan("analyze", name, *JSON, "--rejects", "bad", cwd=tmp_path, stdin=stdin)
    read = result.report["input"]
    assert (read["lines"], read["parsed"], read["rejected"]) == (3, 2, 1)
    [sample] = read["rejected_samples"]
    assert (sample["line"], sample["reason"]) == (2, "the line is longer than 1 MiB")
    assert len(sample["text"]) <= 500
    assert (tmp_path / "bad").read_bytes() == line


def test_a_named_pipe(tmp_path: Path) -> None:
    """A pipe by name is read like standard input, plain or compressed."""
    os.mkfifo(tmp_path / "pipe")
    for content in (LINE * 5, gzip.compress(LINE * 5)):
        writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(content,))
        writer.start()
        result = logscan("analyze", "pipe", *JSON, cwd=tmp_path)
        writer.join()
        assert result.report["input"]["parsed"] == 5


def test_stdin_that_comes_in_pieces(tmp_path: Path) -> None:
    """A pipe that gives a few bytes at a time, within a line and within the magic number, is read as one log."""
    (tmp_path / "a").write_bytes(LINE)
    (tmp_path / "a.gz").write_bytes(gzip.compress(LINE * 3))
    for name, lines in (("a", 1), ("a.gz", 3)):
        pieces = f"head -c 1 {name}; sleep 0.2; tail -c +2 {name} | head -c 30; sleep 0.2; tail -c +32 {name}"
        result = bash(f"({pieces}) | logscan analyze - --format json", cwd=tmp_path)
        assert result.report["input"]["parsed"] == lines, name


def test_a_file_name_that_is_no_utf8(tmp_path: Path) -> None:
    """A log whose name has bytes that are no UTF-8 is read, also with a state; the name comes with escapes for them."""
    (tmp_path / "logs").mkdir()
    odd = os.fsencode(tmp_path / "logs") + b"/a\xff\x1b[31m.log"
    Path(os.fsdecode(odd)).write_bytes(LINE * 2 + b"what is no request\n")
    escaped = "logs/a\\xff\x1b[31m.log"
    read = logscan("analyze", "logs", *JSON, cwd=tmp_path).report["input"]
    assert [(row["uri"], row["parsed"]) for row in read["sources"]] == [(escaped, 2)]
    assert [row["uri"] for row in read["rejected_samples"]] == [escaped]
    for _ in range(2):  # the second run finds it again, and nothing new
        run = logscan("analyze", "logs", *JSON, "--state", "state", cwd=tmp_path)
        assert (run.status, json.loads(run.stdout)["input"]["parsed"]) == (0, 2), run.stderr
    assert b"\x1b[31m" not in logscan("analyze", "logs", "--by", "source", cwd=tmp_path).stdout
    assert logscan("formats", "logs", cwd=tmp_path).status == 0


def test_links_lead_to_one_log(log: Path) -> None:
    """A file, a link to it and another name of it count once, as /var/log/containers beside /var/log/pods do."""
    (log.parent / "links").mkdir()
    (log.parent / "links" / "symbolic.log").symlink_to(log)
    (log.parent / "links" / "hard.log").hardlink_to(log)
    report = logscan("analyze", ".", "links", *JSON, cwd=log.parent).report
    assert report["input"]["lines"] == 3
    assert len(report["input"]["sources"]) == 1


def test_geo_database_that_is_broken(log: Path) -> None:
    """A file with the metadata of a geo database and nothing before it is refused in one line."""
    (log.parent / "broken.mmdb").write_bytes(b"\xab\xcd\xefMaxMind.com" + b"\xe0" * 20)
    result = logscan("analyze", log, "--geoip", "broken.mmdb", cwd=log.parent, env={"HOME": str(log.parent)})
    assert (result.status, result.stdout) == (2, b"")
    assert result.stderr.startswith("logscan: broken.mmdb: ")
    assert "Traceback" not in result.stderr


def test_the_log_format_of_the_cluster_file_is_tried(tmp_path: Path) -> None:
    """A layout that only the controller's ConfigMap knows is read, under the controller's name."""
    layout = "$remote_addr|$time_iso8601|$status|$host"
    image = {"name": "controller", "image": "registry.k8s.io/ingress-nginx/controller:v1.13.3"}
    image["args"] = ["/nginx-ingress-controller", "--configmap=$(POD_NAMESPACE)/settings"]  # type: ignore[assignment]
    labels = {"app.kubernetes.io/name": "ingress-nginx", "app.kubernetes.io/component": "controller"}
    about = {"name": "edge", "namespace": "shop", "labels": labels}
    spec = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [image]}},
    }
    settings = {"name": "settings", "namespace": "shop"}
    items = [
        {"kind": "Node", "metadata": {"name": "n1"}},
        {"kind": "Deployment", "metadata": about, "spec": spec},
        {"kind": "ConfigMap", "metadata": settings, "data": {"log-format-upstream": layout}},
    ]
    (tmp_path / "cluster.json").write_text(json.dumps({"kind": "List", "items": items}))
    (tmp_path / "access.log").write_text("203.0.113.7|2026-11-21T07:08:09+00:00|200|shop\n")
    read = logscan("analyze", "access.log", "--cluster", "cluster.json", *JSON, cwd=tmp_path).report["input"]
    assert read["sources"][0]["format"] == "shop/edge"
    assert read["parsed"] == 1
    assert logscan("analyze", "access.log", *JSON, cwd=tmp_path).status == 3


def test_controller_needs_a_cluster_file(tmp_path: Path) -> None:
    """``--controller`` without a cluster file is wrong usage."""
    (tmp_path / "access.log").write_bytes(LINE)
    result = logscan("analyze", "access.log", "--controller", "a/b", cwd=tmp_path)
    assert (result.status, result.stderr.count("\n")) == (2, 1)
