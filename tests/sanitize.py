"""Runs the tests of all that is written in C under the address and undefined-behaviour sanitizers.

``python tests/sanitize.py [pytest arguments]`` compiles the C files of a copy of this checkout with gcc and runs the
tests against that copy. It ends with status 1 where a test fails or a sanitizer has anything to report.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = (
    "tests/parsing/test_scanner.py",
    "tests/parsing/test_scanner_values.py",
    "tests/parsing/test_agreement.py",
    "tests/parsing/test_json_scanner.py",
    "tests/parsing/test_json_agreement.py",
    "tests/parsing/test_unwrap.py",
    "tests/parsing/test_unwrap_agreement.py",
    "tests/tables/test_limit_req.py",
    "tests/tables/test_policies.py",
    "tests/tables/test_replay.py",
    "tests/tables/test_address_table.py",
    "tests/tables/test_chain_agreement.py",
    "tests/tables/test_chains.py",
    "tests/tables/test_timeline.py",
    "tests/tables/test_loads.py",
    "tests/tables/test_fold.py",
)
FLAGS = ("-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
#: Reads past the end of an allocation, which the address sanitizer must see: else it is not at work.
OVERREAD = "import ctypes; ctypes.string_at((ctypes.c_char * 64)(), 65)"


def main(arguments: list[str]) -> int:
    """Compile, check that the sanitizers are at work, run the tests; return an exit status."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "checkout"
        for name in ("analyzer", "rules", "tests"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        compiled = [compile_sanitized(source) for source in sorted(copy.glob("analyzer/*/*.c"))]
        reports = Path(folder) / "reports"
        reports.mkdir()
        environment = sanitized_environment(copy, reports)
        if run(copy, environment, "-c", OVERREAD) == 0 or not any(reports.iterdir()):
            print("sanitize: expected a report on reading past an allocation, got none", file=sys.stderr)
            return 1
        for report in reports.iterdir():
            report.unlink()
        modules = [".".join(file.relative_to(copy).parts).removesuffix(".abi3.so") for file in compiled]
        check = f"import importlib; [print(importlib.import_module(name).__file__) for name in {modules}]"
        loaded = subprocess.run(
            [sys.executable, "-c", check], cwd=copy, env=environment, check=True, capture_output=True, text=True
        )
        if loaded.stdout.split() != [str(file) for file in compiled]:
            print(f"sanitize: expected the modules of {copy}, got {loaded.stdout.split()}", file=sys.stderr)
            return 1
        # The tests must not catch the signals that the sanitizers catch, nor what they print.
        status = run(copy, environment, "-m", "pytest", "-q", "-p", "no:faulthandler", *(arguments or TESTS))
        for report in sorted(reports.iterdir()):
            print(report.read_text(errors="replace"), file=sys.stderr)
            status = status or 1
    return status


def compile_sanitized(source: Path) -> Path:
    """Compile an extension beside its source."""
    target = source.with_name(f"_{source.stem}.abi3.so")
    include = sysconfig.get_path("include")
    command = ["gcc", *FLAGS, "-shared", "-fPIC", "-fvisibility=hidden", f"-I{include}", str(source), "-o", str(target)]
    subprocess.run(command, check=True)
    return target


def sanitized_environment(copy: Path, reports: Path) -> dict[str, str]:
    """Return what the interpreter needs: all allocations seen, all reports kept, its own leaks left out."""
    library = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], check=True, capture_output=True, text=True
    ).stdout.strip()
    return {
        **os.environ,
        "LD_PRELOAD": library,
        "ASAN_OPTIONS": f"detect_leaks=0:log_path={reports}/address",
        "UBSAN_OPTIONS": f"print_stacktrace=1:halt_on_error=1:log_path={reports}/undefined",
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(copy),
        "LOGSCAN_REQUIRE_NATIVE": "1",
    }


def run(copy: Path, environment: dict[str, str], *arguments: str) -> int:
    """Run the interpreter in the copy."""
    return subprocess.run([sys.executable, *arguments], cwd=copy, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
