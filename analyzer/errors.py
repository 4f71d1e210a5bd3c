"""Everything logscan raises for bad usage or bad input; a bug raises something else.

::

    LogscanError
    ├── UsageError      an option or argument that cannot be meant
    ├── SourceError     a log that is missing, unreadable or broken
    │   └── NothingReadError    logs without a line of any known format
    ├── FormatError     a log format that is unknown or cannot be compiled
    ├── RuleError       a file under ``rules/`` or ``--rules`` that cannot be used
    ├── ClusterError    a cluster file that is not what kubectl writes
    ├── GeoError        a geo database that is not one
    └── StateError      what --state keeps, and cannot be read or written

`LogscanWarning` is no error: what `analyzer.scan` could not read and left out.

The command line catches `LogscanError` alone, prints its message as one line and leaves with status 2, or with 3 where
nothing could be read.
"""

from __future__ import annotations


class LogscanError(Exception):
    """Base of all errors that a user can cause and mend.

    Parameters
    ----------
    message
        One sentence without a full stop: what was expected, what was found, and where.
    hint
        What to do about it, shown on a line of its own.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class LogscanWarning(UserWarning):
    """Something in a log could not be read, and the rest of it was."""


class UsageError(LogscanError):
    """An option or argument that cannot be meant."""


class SourceError(LogscanError):
    """A log that is missing, unreadable or broken."""


class NothingReadError(SourceError):
    """Logs without a line of any known format."""


class FormatError(LogscanError):
    """A log format that is unknown or cannot be compiled."""


class RuleError(LogscanError):
    """A rule file that cannot be used."""


class ClusterError(LogscanError):
    """A cluster file that is not what kubectl writes."""


class GeoError(LogscanError):
    """A geo database that cannot be read."""


class StateError(LogscanError):
    """A state that cannot be read or written."""
