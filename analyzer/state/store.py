"""Where a state is kept: files that are written once, and a manifest that says which of them count.

In a folder a file comes into being under another name and is renamed when it is on the disk, so that what a killed run
leaves behind counts for nothing. The manifest is replaced in the same way, by one run at a time. `bucket` has the same
for buckets.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from analyzer.errors import SourceError, StateError
from analyzer.sources.buckets import parse_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

MANIFEST = "manifest.json"
_LOCK = "lock"
_UNFINISHED = ".unfinished"
_FILE = re.compile(r"(?:known|tables)-(\d{8,})-[0-9a-f]{8}\.frames")

#: Seconds that a run waits for another one, and between its looks.
_PATIENCE, _LOOK = 60.0, 0.1


class Store(Protocol):
    """Files by name; `StateError` where one cannot be read or written."""

    url: str

    def locked(self, say: Callable[[str], object]) -> AbstractContextManager[None]:
        """Keep other runs from doing harm to what this one writes, and this one to theirs."""

    def read(self, name: str) -> bytes | None:
        """The content of a file; None where there is none."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file of a new name, whole or not at all."""

    def replace(self, content: bytes, before: bytes | None) -> None:
        """Replace the manifest, which must still be `before`."""

    def keep(self, names: set[str], generation: int) -> None:
        """Remove the files of this generation of a state and of those before that are none of these.

        What others write meanwhile belongs to a later one. What cannot be removed is of no harm.
        """

    def tidy(self, names: set[str], generation: int) -> None:
        """Remove what runs left that were to write the generation after this, where nobody else can be writing."""


class Folder:
    """A local folder, made where there is none when something is written."""

    def __init__(self, path: str) -> None:
        self.url = path
        self._path = path

    @contextmanager
    def locked(self, say: Callable[[str], object]) -> Iterator[None]:
        """Keep other runs from writing meanwhile; the lock of a run that was killed is gone with it.

        Raises
        ------
        StateError
            Where another run does not end in time.
        """
        with self._errors("cannot be written"):
            os.makedirs(self._path, exist_ok=True)
            lock = os.open(os.path.join(self._path, _LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            until = time.monotonic() + _PATIENCE
            told = False
            while not self._locks(lock):
                if time.monotonic() > until:
                    raise StateError(
                        f"{self.url}: another run has been writing this state for {_PATIENCE:.0f} seconds",
                        hint="run again when it is over, or give each its own state",
                    )
                if not told:
                    say(f"{self.url}: another run writes this state, waiting for it")
                    told = True
                time.sleep(_LOOK)
            yield
        finally:
            os.close(lock)

    def _locks(self, lock: int) -> bool:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
                return False
            raise StateError(f"{self.url}: cannot be locked: {error.strerror}") from None
        return True

    def read(self, name: str) -> bytes | None:
        """See `Store`."""
        try:
            with open(os.path.join(self._path, name), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"{os.path.join(self.url, name)}: cannot be read: {error.strerror}") from None

    def write(self, name: str, content: bytes) -> None:
        """See `Store`."""
        path = os.path.join(self._path, name)
        unfinished = f"{path}{_UNFINISHED}"
        with self._errors("cannot be written"):
            try:
                with open(unfinished, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(unfinished, path)
                self._settle()
            except BaseException:
                with suppress(OSError):
                    os.unlink(unfinished)
                raise

    def replace(self, content: bytes, before: bytes | None) -> None:
        """See `Store`."""
        if self.read(MANIFEST) != before:
            raise written_meanwhile(self.url)
        self.write(MANIFEST, content)

    def keep(self, names: set[str], generation: int) -> None:
        """See `Store`."""
        with suppress(OSError):
            for name in os.listdir(self._path):
                if is_left_over(name.removesuffix(_UNFINISHED), names, generation):
                    with suppress(OSError):
                        os.unlink(os.path.join(self._path, name))

    def tidy(self, names: set[str], generation: int) -> None:
        """See `Store`; the lock keeps others out."""
        self.keep(names, generation + 1)

    def _settle(self) -> None:
        """Have the folder itself on the disk."""
        folder = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StateError(
                f"{self.url}: {what}: {error.strerror}; the state is as it was before",
                hint="nothing of this run counts: mend it and run again",
            ) from None


def file_name(kind: str, generation: int) -> str:
    """A name that no file has."""
    return f"{kind}-{generation:08d}-{secrets.token_hex(4)}.frames"


def is_left_over(name: str, names: set[str], generation: int) -> bool:
    """Whether this is a file of a state that counts no longer, or never did; see `Store.keep`."""
    written = _FILE.fullmatch(name)
    return written is not None and name not in names and int(written[1]) <= generation


def written_meanwhile(url: str) -> StateError:
    """Another run came first."""
    return StateError(
        f"{url}: another run wrote this state meanwhile; what this one read since does not count",
        hint="run again, and let one run at a time write a state",
    )


def open_store(url: str) -> Store:
    """The place that the user names.

    Raises
    ------
    StateError
        Where no state can be kept.
    """
    path = url.removeprefix("file://")
    try:
        bucket = parse_url(path)
    except SourceError as error:
        raise StateError(f"--state: {error}") from None
    if bucket is not None:
        from analyzer.state.bucket import Bucket  # noqa: PLC0415 - only where there is one

        return Bucket(bucket)
    if not path or (os.path.exists(path) and not os.path.isdir(path)):
        raise StateError(f"--state: expected a folder or the URL of a bucket, got {url or 'an empty name'}")
    return Folder(path)
