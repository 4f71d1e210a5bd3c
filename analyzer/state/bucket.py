"""A state below a prefix of a bucket.

There are no locks in a bucket. What makes a whole of a state is the manifest alone, and it is replaced on the condition
that it is still the one that was read: of two runs at once, the one that ends last counts for nothing and says so.
obstore tries requests again; an answer that was lost on the way is found out by reading what stands there.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn, cast

from analyzer.errors import SourceError, StateError
from analyzer.sources.buckets import Url, failure, open_store
from analyzer.state.store import MANIFEST, is_left_over, written_meanwhile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from obstore import ObjectMeta, PutMode, PutResult, UpdateVersion
    from obstore.store import ObjectStore

#: An empty object; that it is not written over tells that the bucket heeds conditions.
_PROBE = "conditions"
#: What no object is: the version that a refused request asks for.
_NEVER: UpdateVersion = {"e_tag": '"00000000000000000000000000000000"', "version": "1"}
#: Bytes of a request of a large file.
_PART = 8 << 20


class Bucket:
    """A prefix of a bucket."""

    def __init__(self, url: Url) -> None:
        key = url.key.strip("/")
        self._prefix = Url(url.scheme, url.bucket, f"{key}/" if key else "")
        self.url = str(self._prefix).rstrip("/")
        self._store = _opened(self._prefix)
        self._manifest: tuple[bytes, UpdateVersion] | None = None

    @contextmanager
    def locked(self, say: Callable[[str], object]) -> Iterator[None]:  # noqa: ARG002 - nothing to wait for
        """Make sure that the bucket heeds conditions, on which it hangs that runs at once do no harm.

        Raises
        ------
        StateError
            Where it does not.
        """
        with self._errors(self._key(_PROBE), "cannot be written"):
            there = self._refuses("create") or self._refuses("create")  # the first run makes it
            heeds = there and self._refuses(_NEVER)
        if not heeds:
            raise StateError(
                f"{self.url}: expected a bucket that heeds If-None-Match and If-Match, got one that writes regardless",
                hint="two runs at once could lose what one of them read: keep the state in a folder, "
                "or in a bucket of another server",
            )
        yield

    def _refuses(self, mode: PutMode) -> bool:
        import obstore  # noqa: PLC0415 - an extra
        from obstore.exceptions import AlreadyExistsError, NotSupportedError, PreconditionError  # noqa: PLC0415

        try:
            obstore.put(self._store, self._key(_PROBE), b"", mode=mode)
        except (AlreadyExistsError, PreconditionError):
            return True
        except NotSupportedError:
            pass
        return False

    def read(self, name: str) -> bytes | None:
        """See `Store`."""
        import obstore  # noqa: PLC0415

        key = self._key(name)
        with self._errors(key, "cannot be read"):
            try:
                answer = obstore.get(self._store, key)
                content = bytes(answer.bytes())
            except FileNotFoundError:
                return None
            if name == MANIFEST:
                self._manifest = content, _version(answer.meta)
        return content

    def write(self, name: str, content: bytes) -> None:
        """See `Store`."""
        import obstore  # noqa: PLC0415

        key = self._key(name)
        with self._errors(key, "cannot be written", "the state is as it was before"):
            obstore.put(self._store, key, content, chunk_size=_PART)

    def replace(self, content: bytes, before: bytes | None) -> None:
        """See `Store`."""
        import obstore  # noqa: PLC0415
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError  # noqa: PLC0415

        key = self._key(MANIFEST)
        if before is not None and (self._manifest is None or self._manifest[0] != before):
            raise written_meanwhile(self.url)
        try:
            mode: PutMode = "create" if before is None or self._manifest is None else self._manifest[1]
            done = obstore.put(self._store, key, content, mode=mode)
        except (AlreadyExistsError, PreconditionError):
            # An answer that was lost makes obstore ask again, and what it meets then is its own.
            if self.read(MANIFEST) != content:
                raise written_meanwhile(self.url) from None
        except (BaseError, OSError, ValueError) as error:
            with suppress(StateError):
                if self.read(MANIFEST) == content:
                    return
            self._raise(key, error, "cannot be written", "the state is as it was before, or has all of this run")
        else:
            self._manifest = content, _version(done)

    def keep(self, names: set[str], generation: int) -> None:
        """See `Store`."""
        import obstore  # noqa: PLC0415
        from obstore.exceptions import BaseError  # noqa: PLC0415

        with suppress(BaseError, OSError, ValueError):
            listed = [about["path"] for page in obstore.list(self._store, self._prefix.key or None) for about in page]
            left = [path for path in listed if is_left_over(path.removeprefix(self._prefix.key), names, generation)]
            if left:
                obstore.delete(self._store, left)

    def tidy(self, names: set[str], generation: int) -> None:
        """See `Store`: nothing, for another run may be writing."""

    def _key(self, name: str) -> str:
        return self._prefix.key + name

    @contextmanager
    def _errors(self, key: str, what: str, then: str = "") -> Iterator[None]:
        from obstore.exceptions import BaseError  # noqa: PLC0415

        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            self._raise(key, error, what, then)

    def _raise(self, key: str, error: Exception, what: str, then: str) -> NoReturn:
        said = failure(self._prefix._replace(key=key), error, what)
        more = f"; {then}" if then else ""
        raise StateError(f"{said}{more}", hint=said.hint or (then and "run again") or None) from None


def _opened(url: Url) -> ObjectStore:
    try:
        return open_store(url)
    except SourceError as error:
        raise StateError(str(error), hint=error.hint) from None


def _version(about: ObjectMeta | PutResult) -> UpdateVersion:
    told = {"e_tag": about["e_tag"], "version": about["version"]}
    return cast("UpdateVersion", {name: value for name, value in told.items() if value is not None})
