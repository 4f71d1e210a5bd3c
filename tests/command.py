"""Runs the installed ``logscan`` as a user does, and checks what holds for every report it writes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sysconfig
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

import jsonschema

if TYPE_CHECKING:
    from pathlib import Path

#: The scripts of the interpreter that runs the tests come before whatever else is called logscan.
PATH = os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)))
ENVIRONMENT = {"PATH": PATH, "TZ": "UTC", "NO_COLOR": "1", "COLUMNS": "80", "LC_ALL": "C.UTF-8"}

#: A request of a visitor as ingress-nginx writes it by default, and what stands in a log beside such lines.
LINE = (
    b'81.2.69.142 - - [21/Nov/2026:07:08:09 +0000] "GET /shop HTTP/1.1" 200 612 "-" "curl/8.16.0" 88 0.004 '
    b"[shop-web-8080] [] 10.244.1.7:8080 612 0.004 200 1c6f0d8a3b5e4c7d9e0f1a2b3c4d5e6f\n"
)


class Result(NamedTuple):
    """How a run ended."""

    status: int
    stdout: bytes
    stderr: str

    @property
    def report(self) -> dict[str, Any]:
        """The JSON report on stdout, checked."""
        return checked(self.stdout)


def logscan(
    *args: str | Path, cwd: Path, stdin: bytes = b"", env: dict[str, str] | None = None, timeout: float = 60
) -> Result:
    """Run the installed command with nothing of the tester's environment."""
    executable = shutil.which("logscan", path=PATH)
    assert executable, "logscan is not installed for this interpreter"
    ran = subprocess.run(
        [executable, *map(str, args)],
        cwd=cwd, input=stdin, capture_output=True, timeout=timeout, check=False, env={**ENVIRONMENT, **(env or {})},
    )  # fmt: skip
    return Result(ran.returncode, ran.stdout, _without_note(ran.stderr.decode()))


def bash(script: str, *, cwd: Path) -> Result:
    """Run a script with the installed command on its path."""
    ran = subprocess.run(["bash", "-c", script], cwd=cwd, capture_output=True, timeout=60, check=False, env=ENVIRONMENT)
    return Result(ran.returncode, ran.stdout, _without_note(ran.stderr.decode()))


def checked(text: bytes) -> dict[str, Any]:
    """Parse a JSON report: it fits its schema, and no line and no request of it is lost."""
    report: dict[str, Any] = json.loads(text)
    validator().validate(report)
    read = report["input"]
    for row in (read, *read["sources"]):
        assert row["lines"] == row["parsed"] + row["rejected"] + row["other"], row
    for name in ("bytes", "lines", "parsed", "rejected", "other"):
        assert read[name] == sum(row[name] for row in read["sources"]), name
    assert read["other"] == sum(read["other_kinds"].values())
    counted = report["preservation"]
    assert counted["requests"] == counted["considered"] + sum(counted["excluded"].values())
    assert counted["requests"] <= read["parsed"]
    assert counted["considered"] == sum(row["considered"] for row in counted["classes"].values())
    return report


@cache
def validator(name: str = "schema.json") -> jsonschema.Draft202012Validator:
    """A validator of a schema that is shipped, which is itself checked."""
    schema = json.loads((files("analyzer") / "report" / name).read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def _without_note(stderr: str) -> str:
    """Leave out what is said where no C compiler was at hand."""
    return re.sub(r"logscan: note: reading with the portable scanner.*\n", "", stderr)
