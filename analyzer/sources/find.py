"""From what the user named to a list of sources: files, globs, directories, ``-``.

Where a path is one that the kubelet writes, it also says from which pod the log comes.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from analyzer.errors import SourceError

#: Names that a directory is searched for.
_LOG_NAME = re.compile(r"access|\.log\b|\.gz$", re.IGNORECASE)

#: ``/var/log/pods/<namespace>_<pod>_<uid>/<container>/<restart>.log``, also rotated
#: (open-telemetry/opentelemetry-collector-contrib pkg/stanza, parser "container").
_POD_PATH = re.compile(
    r"(?:^|/)(?P<namespace>[^/_]+)_(?P<pod>[^/_]+)_[0-9a-f-]+/(?P<container>[^/._]+)/\d+\.log(?:\.[\w.-]+)?$"
)
#: ``/var/log/containers/<pod>_<namespace>_<container>-<64 hex digits>.log``
_CONTAINER_PATH = re.compile(
    r"(?:^|/)(?P<pod>[^/_]+)_(?P<namespace>[^/_]+)_(?P<container>[^/_]+)-[0-9a-f]{64}\.log$"
)


@dataclass(frozen=True, slots=True)
class Source:
    """One log: a file or standard input (``-``), and the pod that its path tells of."""

    uri: str
    namespace: str | None = None
    pod: str | None = None
    container: str | None = None


def find(names: Iterable[str | os.PathLike[str]]) -> list[Source]:
    """The sources behind these names, each once, in the order given and sorted within a glob or directory.

    Raises
    ------
    SourceError
        For a name with no file behind it, and for a directory without logs.
    """
    paths = [path for name in names for path in _paths(os.fspath(name))]
    return [_source(path) for path in dict.fromkeys(paths)]


def _paths(name: str) -> list[str]:
    if name == "-" or (os.path.lexists(name) and not Path(name).is_dir()):
        return [name]
    if Path(name).is_dir():
        return _in_directory(name)
    found = sorted(glob.glob(name, recursive=True)) if glob.has_magic(name) else []
    if not found:
        what = "a file that matches" if glob.has_magic(name) else "a file, a directory, a glob or -"
        raise SourceError(f"{name}: expected {what}, found nothing there")
    return [path for match in found for path in (_in_directory(match) if Path(match).is_dir() else [match])]


def _in_directory(directory: str) -> list[str]:
    found = [
        os.path.join(parent, file)
        for parent, directories, files in os.walk(directory)
        if directories.sort() is None  # walk goes on in the order that this list has then
        for file in sorted(files)
        if _LOG_NAME.search(file) and not file.startswith(".")
    ]
    if not found:
        raise SourceError(
            f"{directory}: expected logs in this directory, found no file named like access*, *.log, *.log.1 or *.gz",
            hint="name the files themselves, or a glob in quotes",
        )
    return found


def _source(path: str) -> Source:
    match = _POD_PATH.search(path) or _CONTAINER_PATH.search(path)
    return Source(path, **match.groupdict()) if match else Source(path)
