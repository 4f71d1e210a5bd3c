"""From what the user named to a list of sources: files, globs, directories, ``-``.

Where a path is one that the kubelet writes, it also says from which pod the log comes.
"""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analyzer.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Names that a directory is searched for.
_LOG_NAME = re.compile(r"access|\.log\b|\.(gz|zst|bz2|xz)$", re.IGNORECASE)

#: ``/var/log/pods/<namespace>_<pod>_<uid>/<container>/<restart>.log``, also rotated
#: (open-telemetry/opentelemetry-collector-contrib pkg/stanza, parser "container").
_POD_PATH = re.compile(
    r"(?:^|/)(?P<namespace>[^/_]+)_(?P<pod>[^/_]+)_[0-9a-f-]+/(?P<container>[^/._]+)/\d+\.log(?:\.[\w.-]+)?$"
)
#: ``/var/log/containers/<pod>_<namespace>_<container>-<64 hex digits>.log``
_CONTAINER_PATH = re.compile(r"(?:^|/)(?P<pod>[^/_]+)_(?P<namespace>[^/_]+)_(?P<container>[^/_]+)-[0-9a-f]{64}\.log$")


@dataclass(frozen=True, slots=True)
class Source:
    """One log: a file or standard input (``-``), and the pod that its path tells of."""

    uri: str
    namespace: str | None = None
    pod: str | None = None
    container: str | None = None


def find(names: Iterable[str | os.PathLike[str]]) -> list[Source]:
    """The sources behind these names, in the order given and sorted within a glob or directory.

    Each file comes once, by whatever names: ``/var/log/containers`` holds links to the files of ``/var/log/pods``.

    Raises
    ------
    SourceError
        For a glob that matches nothing, and for a directory without logs. A file that is not there is for
        `open_source` to miss, because a log may be rotated away at any moment.
    """
    paths: dict[object, str] = {}
    for name in names:
        for path in _paths(os.fspath(name)):
            paths.setdefault(_identity(path), path)
    return [_source(path) for path in paths.values()]


def _identity(path: str) -> object:
    try:
        about = os.stat(0 if path == "-" else path)
    except OSError:
        return path
    return about.st_dev, about.st_ino


def _paths(name: str) -> list[str]:
    if name != "-" and os.path.isdir(name):
        return _in_directory(name)
    if name == "-" or os.path.lexists(name) or not glob.has_magic(name):
        return [name]
    found = sorted(glob.glob(name, recursive=True))
    if not found:
        raise SourceError(f"{name}: expected a file that matches, found nothing there")
    paths = [path for match in found for path in (_logs_in(match) if os.path.isdir(match) else [match])]
    return paths or _in_directory(found[0])


def _in_directory(directory: str) -> list[str]:
    found = _logs_in(directory)
    if not found:
        raise SourceError(
            f"{directory}: expected logs in this directory, "
            "found no file named like access*, *.log, *.log.1, *.gz or *.zst",
            hint="name the files themselves, or a glob in quotes",
        )
    return found


def _logs_in(directory: str) -> list[str]:
    """Regular files that are named like logs; nginx's image links its access.log to a device that never ends.

    A folder that cannot be searched and a link that leads nowhere are among them, so that opening them tells.
    """
    found: list[str] = []
    walk = os.walk(directory, onerror=lambda error: found.append(str(error.filename)))
    for parent, directories, files in walk:
        directories.sort()  # walk goes on in this order
        paths = [os.path.join(parent, name) for name in sorted(files) if _is_log(name)]
        found += [path for path in paths if os.path.isfile(path) or not os.path.exists(path)]
    return found


def _is_log(name: str) -> bool:
    return _LOG_NAME.search(name) is not None and not name.startswith(".")


def pod_of_path(path: str) -> tuple[str, str, str] | None:
    """Pod, namespace and container of a log by its path, where the kubelet or the container runtime named it."""
    match = _POD_PATH.search(path) or _CONTAINER_PATH.search(path)
    return (match["pod"], match["namespace"], match["container"]) if match else None


def _source(path: str) -> Source:
    pod, namespace, container = pod_of_path(path) or (None, None, None)
    return Source(path, namespace, pod, container)
