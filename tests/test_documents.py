"""Everything the README shows was run: its transcripts and its Python, against the installed command."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
SCRIPTS = Path(sysconfig.get_path("scripts"))
TRANSCRIPT = re.compile(r"^```console\n\$ (?P<command>logscan .*)\n(?P<output>(?:.*\n)*?)```$", re.MULTILINE)
LIMITS = re.compile(r"^logscan analyze sample_logs/.*-limit.*$", re.MULTILINE)
PYTHON = re.compile(r"^```python\n(?P<code>(?:.*\n)*?)```$", re.MULTILINE)
ELAPSED = re.compile(r"\d+\.\d s$", re.MULTILINE)


def run(command: str) -> str:
    """Run a command of the README as the README's reader would, at 80 columns."""
    program, *arguments = shlex.split(command)
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "TZ": "UTC"}
    done = subprocess.run(
        [SCRIPTS / program, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.skipif("LOGSCAN_UPDATE_CASES" not in os.environ, reason="only with LOGSCAN_UPDATE_CASES=1")
def test_update_transcripts() -> None:
    """Rewrite what the README shows with what the command prints now."""
    README.write_text(TRANSCRIPT.sub(_rewritten, README.read_text()))


def _rewritten(shown: re.Match[str]) -> str:
    output = run(shown["command"])
    if ELAPSED.sub("T s", output) == ELAPSED.sub("T s", shown["output"]):  # the time alone is no news
        return shown[0]
    return f"```console\n$ {shown['command']}\n{output}```"


@pytest.mark.parametrize(
    "shown", list(TRANSCRIPT.finditer(README.read_text())), ids=lambda match: match["command"][:40]
)
def test_transcript_is_what_the_command_prints(shown: re.Match[str]) -> None:
    """A transcript is what the command prints, but for the time it took."""
    assert ELAPSED.sub("T s", run(shown["command"])) == ELAPSED.sub("T s", shown["output"])


@pytest.mark.parametrize("command", LIMITS.findall(README.read_text()), ids=lambda command: command.split()[2])
def test_limits_that_the_readme_tries_reject_something(command: str) -> None:
    """An example of limits on a sample log runs, and shows what it is for."""
    assert "rejected %" in run(command)


def test_python_of_the_readme_runs() -> None:
    """The README's Python does what it says."""
    code = "\n".join(match["code"] for match in PYTHON.finditer(README.read_text()))
    assert code
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "0.0 unknown" in done.stdout


def test_every_option_stands_in_the_readme() -> None:
    """The README's help block is whole: no option is missing from it."""
    shown = next(m["output"] for m in TRANSCRIPT.finditer(README.read_text()) if "--help" in m["command"])
    for option in ("--cluster", "--log-format", "--geoip", "--since", "--fail-under", "--rejects", "--workers"):
        assert option in shown


def test_every_command_stands_in_the_readme() -> None:
    """The README tells of every command that there is."""
    commands = re.findall(r"^  (\w+) ", run("logscan --help").partition("Commands:\n")[2], re.MULTILINE)
    assert "analyze" in commands
    assert [name for name in commands if f"`logscan {name}" not in README.read_text()] == []
