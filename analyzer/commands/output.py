"""What commands write: data to stdout or a file, everything else to stderr; and the exit codes."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

from analyzer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.report.formats import SourceFound
    from analyzer.report.model import SourceRow

DONE, GATE_MISSED, UNREADABLE, NOTHING_READ = range(4)


def say(message: str, hint: str | None = None) -> None:
    """Say something on stderr, where a log's text cannot drive the terminal."""
    from analyzer.report.text import printable  # noqa: PLC0415

    with suppress(OSError):  # nobody to tell
        print(f"logscan: {printable(message)}", file=sys.stderr)
        if hint:
            print(f"  hint: {printable(hint)}", file=sys.stderr)


def say_broken(sources: Iterable[SourceRow | SourceFound]) -> bool:
    """Say on stderr which sources could not be read to their end; return whether any could not."""
    broken = [source for source in sources if source.error]
    for source in broken:
        say(f"{'standard input' if source.uri == '-' else source.uri}: {source.error}")
    return bool(broken)


def deliver(text: str, output: Path | None) -> None:
    """Write to stdout, or a file, whole or not at all.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    if output is None:
        show(text)
        return
    try:
        if output.exists() and not output.is_file():  # a pipe or a device stays what it is
            output.write_text(text, encoding="utf-8")
        else:
            _write_whole(text, Path(os.path.realpath(output)))
    except OSError as error:
        raise UsageError(f"{output}: cannot be written: {error.strerror}") from None


def show(text: str) -> None:
    """Write to stdout."""
    if isinstance(sys.stdout, TextIOWrapper):
        encoding = None if sys.stdout.isatty() else "utf-8"
        sys.stdout.reconfigure(encoding=encoding, errors="backslashreplace")
    sys.stdout.write(text)
    sys.stdout.flush()


def _write_whole(text: str, output: Path) -> None:
    """Write a file beside it and rename that; a file that was there keeps its permissions."""
    handle, unfinished = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(unfinished, stat.S_IMODE(output.stat().st_mode) if output.exists() else 0o666 & ~_umask())
        os.replace(unfinished, output)
    except BaseException:
        os.unlink(unfinished)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
