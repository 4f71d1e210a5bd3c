"""From what the user named to a list of sources: files, globs, directories, ``-``, and URLs of buckets.

Where a path or a key is one that the kubelet writes, it also says from which pod the log comes.
"""

from __future__ import annotations

import glob
import os
import re
import stat
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import unquote

from analyzer.errors import SourceError
from analyzer.sources.buckets import list_objects, parse_url
from analyzer.sources.dates import dated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from analyzer.sources.dates import Span

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
    """One log: a file, an object of a bucket or standard input (``-``), and the pod that its path tells of.

    `size` in bytes and `modified` are those of the moment when it was found, None where they were not to be had (of
    standard input, and of a file that is not there). `etag` is what a bucket tells one content of a key from another
    by. `part` are the bytes that are meant, from the beginning of a line to the end of one, where it is not all of it.
    """

    uri: str
    namespace: str | None = None
    pod: str | None = None
    container: str | None = None
    size: int | None = None
    modified: datetime | None = None
    etag: str | None = None
    part: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        r"""The `uri` as a column can hold it: bytes of a file's name that are no UTF-8 as escapes (``\xff``)."""
        return self.uri if self.uri.isascii() else os.fsencode(self.uri).decode(errors="backslashreplace")

    @property
    def in_bucket(self) -> bool:
        """Whether it is an object of a bucket."""
        return parse_url(self.uri) is not None


def find(names: Iterable[str | os.PathLike[str]], span: Span = (None, None)) -> list[Source]:
    """The sources behind these names, in the order given and sorted within a glob, directory or prefix.

    Each file comes once, by whatever names: ``/var/log/containers`` holds links to the files of ``/var/log/pods``.
    Of a name with dates (`analyzer.sources.dates`) come those that may hold requests of the span.

    Raises
    ------
    SourceError
        For a glob that matches nothing, a directory without logs, and a bucket that cannot be listed. A file that is
        not there is for `open_source` to miss, because a log may be rotated away at any moment.
    UsageError
        For a name with dates that cannot be meant.
    """
    found: dict[object, Source] = {}
    for name in names:
        given = os.fspath(name)
        for identity, source in _in_bucket(given, span) or _in_files(given, span):
            found.setdefault(identity, source)
    return list(found.values())


def _in_bucket(name: str, span: Span) -> list[tuple[object, Source]]:
    """The objects of a URL; none for other names."""
    if name.startswith("file://") or parse_url(name) is None:
        return []
    objects = list_objects(url for each in dated(name, span) if (url := parse_url(each)) is not None)
    if not objects:
        raise SourceError(f"{name}: expected an object, a prefix or a glob that matches, found nothing there")
    return [(each.uri, _source(each.uri, size=each.size, modified=each.modified, etag=each.etag)) for each in objects]


def _in_files(name: str, span: Span) -> list[tuple[object, Source]]:
    if name.startswith("file://"):
        host, slash, path = name.removeprefix("file://").partition("/")
        if host not in {"", "localhost"} or not slash:
            raise SourceError(f"{name}: expected the path of this machine, as in file:///var/log/access.log")
        name = unquote(slash + path)
    names = [name] if os.path.lexists(name) else dated(name, span)
    if names == [name]:
        return [_file(path) for path in _paths(name)]
    paths: list[str] = []
    for each in names:
        try:
            paths += [path for path in _paths(each) if os.path.lexists(path)]
        except SourceError:
            continue  # no log of that time
    if not paths:
        raise SourceError(f"{name}: expected a file that matches in the time asked for, found nothing there")
    return [_file(path) for path in paths]


def _file(path: str) -> tuple[object, Source]:
    """A file and what tells it from others."""
    try:
        about = os.stat(0 if path == "-" else path)
    except OSError:
        return path, _source(path)
    identity = about.st_dev, about.st_ino
    if not stat.S_ISREG(about.st_mode):
        return identity, _source(path)
    modified = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=about.st_mtime_ns // 1000)
    return identity, _source(path, size=about.st_size, modified=modified)


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


def _source(path: str, *, size: int | None = None, modified: datetime | None = None, etag: str | None = None) -> Source:
    pod, namespace, container = pod_of_path(path) or (None, None, None)
    return Source(path, namespace, pod, container, size, modified, etag)
