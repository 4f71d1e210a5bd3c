"""The golden cases: each file of ``cases`` is a run of the installed command and what must come of it.

Above ``[expect]`` stand `about`; `args`; `stdin` and `files` (name to content), each as text or as a table with one of
`hex`, `gzip` (text to compress) and `gzip_members` (texts); `pick`, dotted keys of the JSON report; `keep`, a pattern
for the lines of stdout to compare. What stands below is compared, and rewritten, to be read before it is committed,
by ``LOGSCAN_UPDATE_CASES=1 pytest tests/test_cases.py``.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from command import Result, checked, logscan

CASES = sorted((Path(__file__).parent / "cases").glob("*.toml"))
#: What drives a terminal or turns the reading order: nothing that a log or a name holds may reach one as it is.
UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
UPDATE = os.environ.get("LOGSCAN_UPDATE_CASES") == "1"


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case(path: Path, tmp_path: Path) -> None:
    """The command gives the expected stdout, stderr, files and exit code, and loses no line."""
    text = path.read_text(encoding="utf-8")
    case = tomllib.loads(text)
    assert case["about"]
    given = case.get("files", {})
    result = run(case, case["args"], tmp_path / "run")
    found = outcome(case, result, tmp_path / "run")
    assert not UNSAFE.search(result.stdout.decode() + result.stderr)
    if result.stdout and "analyze" in case["args"] and "--format" not in case["args"]:
        again = run(case, [*case["args"], "--format", "json"], tmp_path / "again")
        assert again.status == result.status
        checked(again.stdout)
    if UPDATE:
        path.write_text(text.partition("\n[expect]")[0].rstrip() + "\n\n[expect]\n" + written(found), encoding="utf-8")
        return
    assert found == case["expect"]
    for name, content in given.items():
        assert (tmp_path / "run" / name).read_bytes() == as_bytes(content), "an input was written to"


def run(case: dict[str, Any], args: list[str], folder: Path) -> Result:
    """Run a case in a folder of its own."""
    for name, content in case.get("files", {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(as_bytes(content))
    folder.mkdir(exist_ok=True)
    return logscan(*args, cwd=folder, stdin=as_bytes(case.get("stdin", "")))


def as_bytes(content: str | dict[str, Any]) -> bytes:
    """Return the bytes that a case means."""
    if isinstance(content, str):
        return content.encode()
    [(kind, value)] = content.items()
    if kind == "hex":
        return bytes.fromhex(value)
    members = [value] if kind == "gzip" else value
    return b"".join(gzip.compress(text.encode(), mtime=0) for text in members)


def outcome(case: dict[str, Any], result: Result, folder: Path) -> dict[str, Any]:
    """Return what is compared."""
    found: dict[str, Any] = {"status": result.status, "stderr": result.stderr}
    if "pick" in case:
        report = checked(result.stdout)
        found["report"] = {key: picked(report, key) for key in case["pick"]}
    else:
        stdout = steady(result.stdout)
        if "keep" in case:
            stdout = "".join(line for line in stdout.splitlines(keepends=True) if re.search(case["keep"], line))
        found["stdout"] = stdout
    made = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    new = {name: steady(path.read_bytes()) for name, path in made.items() if name not in case.get("files", {})}
    return {**found, **({"files": new} if new else {})}


def steady(text: bytes) -> str:
    """Return what was written with the seconds that it took and the versions of others left out."""
    found = re.sub(r"\b\d+\.\d s$", "T s", text.decode(), flags=re.MULTILINE)
    return re.sub(r"\((native|portable) scanner, Polars [\w.]+\)", "(... scanner, Polars ...)", found)


def picked(report: Any, key: str) -> str:
    """Return a part of the report as JSON on one line."""
    for name in key.split("."):
        report = report[int(name) if isinstance(report, list) else name]
    return json.dumps(report, ensure_ascii=True)


def written(table: dict[str, Any], name: str = "expect") -> str:
    """Write the expectations of a case as TOML."""
    nested = {key: value for key, value in table.items() if isinstance(value, dict)}
    plain = (f"{key_of(key)} = {value_of(value)}\n" for key, value in table.items() if key not in nested)
    return "".join(plain) + "".join(f"\n[{name}.{key}]\n{written(value)}" for key, value in nested.items())


def key_of(key: str) -> str:
    """Write a TOML key."""
    return key if re.fullmatch(r"[\w-]+", key) else json.dumps(key)


def value_of(value: str | int) -> str:
    """Write a TOML value: text of several lines as it reads, where TOML lets it."""
    if isinstance(value, str) and "\n" in value and "'''" not in value and value.replace("\n", "").isprintable():
        return f"'''\n{value}'''"
    if isinstance(value, str) and '"' in value and "'" not in value and value.isprintable():
        return f"'{value}'"
    return json.dumps(value)
