"""The command line: runs a command, and makes every error that a user can mend one line on stderr and status 2.

Polars and all that needs it are imported by the commands that use them, so that ``--help`` answers at once.
"""

from __future__ import annotations

import gc
import os
import sys
import warnings
from importlib import import_module

import typer
from typer.exceptions import TyperException

from analyzer.commands.app import app
from analyzer.commands.output import DONE, NOTHING_READ, UNREADABLE, say
from analyzer.errors import LogscanError, NothingReadError, UsageError

#: In the order of the help; each is a module of `analyzer.commands`, which adds itself to the app.
COMMANDS = ("analyze", "compare", "explain", "formats", "networks", "plan", "snapshot", "state", "watch")


def main() -> None:
    """Run the command; every error that a user can mend is one line on stderr and status 2."""
    _run_fast()
    warnings.showwarning = _note
    if sys.stderr is None:  # closed: what is said goes nowhere, and no log is opened in its place
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - open to the end
    try:
        if sys.stdout is None:
            raise UsageError("standard output: cannot be written: it is closed")
        arguments = sys.argv[1:] or ["--help"]
        _add_commands(arguments[0])
        status = app(arguments, standalone_mode=False)
        sys.stdout.flush()
    except LogscanError as error:
        say(str(error), error.hint)
        status = NOTHING_READ if isinstance(error, NothingReadError) else UNREADABLE
    except TyperException as error:
        message = error.format_message().rstrip(".").replace("Value error, ", "")
        say(message, "logscan --help lists commands and options")
        status = UNREADABLE
    except BrokenPipeError:
        status = _reader_left()
    except OSError as error:
        _drop_output()
        say(f"{error.filename or 'standard output'}: {error.strerror or error}")
        status = UNREADABLE
    except SystemExit as leaving:
        # Typer makes status 1 of a broken pipe.
        if not isinstance(leaving.__context__, BrokenPipeError):
            raise
        status = _reader_left()
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    gc.freeze()  # the search for garbage at the end would take longer than many a run
    sys.exit(status if isinstance(status, int) else DONE)


def _add_commands(first: str) -> None:
    """Add the command that is meant, or all of them: the options of each take Typer a millisecond."""
    for name in [first] if first in COMMANDS else COMMANDS:
        import_module(f"analyzer.commands.{name}")


def _note(message: Warning | str, *_: object, **__: object) -> None:
    """Say what the library warns of as a note on one line."""
    say(f"note: {message}")


def _run_fast() -> None:
    """What a process may do that runs one command and ends: measured, a fifth of the processor time of a short run."""
    # Imports and frames make no garbage in cycles that would be worth looking for.
    gc.disable()
    # Polars' allocator gives memory back after half a second, and takes it anew, page by page, for the next frames.
    os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:10000,muzzy_decay_ms:10000")


def _reader_left() -> int:
    """Whoever reads the output has what was wanted."""
    _drop_output()
    return DONE


def _drop_output() -> None:
    """Let go of what is still buffered, which must not fail at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
