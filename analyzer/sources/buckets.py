"""Buckets: what a URL such as ``s3://logs/ingress/2026/11/2*/`` names, and how an object in it is asked for.

obstore does the talking, with its own retries and pauses. Its paths are made of segments, so objects whose keys have an
empty segment, ``.``, ``..`` or control characters cannot be read; where there is one, listing says so.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from analyzer.errors import SourceError
from analyzer.sources.bucket_config import VARIABLES, bucket_config

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from obstore import ObjectMeta
    from obstore.store import ObjectStore

_URL = re.compile(r"(s3|gs|az)://([^/]*)/?(.*)", re.DOTALL)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)

#: Prefixes that are listed at the same time.
_LISTED_AT_ONCE = 16
#: Objects that come from obstore at once: as many as a request brings.
_PAGE = 1000

#: How long a request may last, and how long nothing may come: an answer is 8 MiB at most.
_TIMEOUT, _READ_TIMEOUT = timedelta(minutes=2), timedelta(seconds=20)
_RETRY_TIMEOUT = timedelta(minutes=2)


class Url(NamedTuple):
    """A bucket and a key in it; the key may be a glob or a prefix."""

    scheme: str
    bucket: str
    key: str

    def __str__(self) -> str:
        """As the user writes it."""
        return f"{self.scheme}://{self.bucket}/{self.key}"


class Object(NamedTuple):
    """An object as it was listed; `uri` is its URL as the user writes it."""

    uri: str
    size: int
    etag: str | None
    modified: datetime


def parse_url(name: str) -> Url | None:
    """The URL of a bucket; None for any other name.

    Raises
    ------
    SourceError
        For a URL of another kind, or one without a bucket.
    """
    match = _URL.fullmatch(name)
    if match is None:
        if _SCHEME.match(name):
            raise SourceError(f"{name}: expected s3://, gs://, az:// or file://, got another kind of URL")
        return None
    if not match[2]:
        raise SourceError(f"{name}: expected the name of a bucket, as in {match[1]}://BUCKET/PREFIX/")
    return Url(match[1], match[2], match[3])


def open_store(url: Url) -> ObjectStore:
    """The bucket of a URL, to be used with obstore's functions.

    Raises
    ------
    SourceError
        Without obstore, or where what the user set cannot be used.
    """
    try:
        import obstore.store  # noqa: F401, PLC0415 - costs its import only where it is used
    except ImportError:
        raise SourceError(
            f"{url}: expected obstore, which reads buckets, found it not installed",
            hint="pip install '.[buckets]' in logscan's source folder installs it",
        ) from None
    try:
        options, client, retries = bucket_config(url.scheme)
    except SourceError as error:
        raise SourceError(f"{url}: {error}", error.hint) from None
    return _store(url.scheme, url.bucket, _frozen(options), _frozen(client), retries)


def _frozen(options: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(options.items()))


@lru_cache(maxsize=64)
def _store(
    scheme: str, bucket: str, options: tuple[tuple[str, str], ...], client: tuple[tuple[str, Any], ...], retries: int
) -> ObjectStore:
    """One store for all objects of a bucket, because it keeps their connections."""
    from obstore.exceptions import BaseError  # noqa: PLC0415
    from obstore.store import AzureStore, GCSStore, S3Store  # noqa: PLC0415

    kind: Any = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}[scheme]
    # obstore writes to Google only with a token, though an emulator asks for none.
    emulated = scheme == "gs" and "skip_signature" in dict(options)
    token: dict[str, Any] = {"credential_provider": _token_of_emulators} if emulated else {}
    try:
        store: ObjectStore = kind(
            bucket,
            **token,
            config=dict(options),
            client_options={"timeout": _TIMEOUT, "read_timeout": _READ_TIMEOUT, **dict(client)},
            retry_config={
                "max_retries": retries,
                "retry_timeout": _RETRY_TIMEOUT,
                "backoff": {"init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=10), "base": 2},
            },
        )
    except (BaseError, ValueError, OSError) as error:
        raise failure(Url(scheme, bucket, ""), error) from None
    return store


def _token_of_emulators() -> dict[str, str | None]:
    return {"token": "emulator", "expires_at": None}


def list_objects(urls: Iterable[Url]) -> list[Object]:
    """The objects of these URLs: each a key, a prefix (what is below it counts) or a glob; in order, each once.

    Raises
    ------
    SourceError
        Where a bucket cannot be listed.
    """
    wanted = list(urls)
    if len(wanted) == 1:
        found = [_list(wanted[0])]
    else:
        with ThreadPoolExecutor(_LISTED_AT_ONCE) as threads:
            found = list(threads.map(_list, wanted))
    return found[0] if len(found) == 1 else list({each.uri: each for part in found for each in part}.values())


def _list(url: Url) -> list[Object]:
    store = open_store(url)
    from obstore.exceptions import BaseError  # noqa: PLC0415

    try:
        is_glob = re.search(r"[*?[]", url.key) is not None
        if not is_glob and url.key and not url.key.endswith("/"):
            one = _head(store, url)
            if one is not None:
                return [one]
        listed = [_object(url, about) for about in _matching(store, url, is_glob=is_glob)]
        if is_glob and not listed and not url.key.endswith("/"):  # a key may look like a glob
            one = _head(store, url)
            return [one] if one is not None else []
    except (BaseError, ValueError, OSError) as error:
        raise failure(url, error) from None
    empty = {each.uri for each in listed if not each.size}
    if empty:  # some tools make one of each folder; its key lost the "/" at the end
        folders = {each.uri[:at] for each in listed for at in _slashes(each.uri)}
        listed = [each for each in listed if each.uri not in empty or each.uri not in folders]
    listed.sort(key=lambda each: each.uri)
    return listed


def _slashes(uri: str) -> Iterator[int]:
    at = uri.find("/")
    while at >= 0:
        yield at
        at = uri.find("/", at + 1)


def _head(store: ObjectStore, url: Url) -> Object | None:
    import obstore  # noqa: PLC0415

    try:
        return _object(url, obstore.head(store, url.key))
    except FileNotFoundError:
        return None


def _object(url: Url, about: ObjectMeta) -> Object:
    uri = f"{url.scheme}://{url.bucket}/{about['path']}"
    return Object(uri, about["size"], bare_etag(about), about["last_modified"])


def bare_etag(about: ObjectMeta) -> str | None:
    """An ETag without its quotes, which not every listing has."""
    etag = about["e_tag"]
    return etag.strip('"') if etag else None


def _matching(store: ObjectStore, url: Url, *, is_glob: bool) -> Iterator[ObjectMeta]:
    """What is below a prefix or matches a glob; of an ordered listing only the part that begins like the glob."""
    import obstore  # noqa: PLC0415

    begin = re.split(r"[*?[]", url.key, maxsplit=1)[0] if is_glob else url.key.rstrip("/") + "/" * bool(url.key)
    folder, offset = begin[: begin.rfind("/") + 1], None
    # Directory buckets have no order (docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html).
    ordered = not url.bucket.endswith("--x-s3") and len(begin) > len(folder)
    if ordered and ord(begin[-1]) > 0x20:
        # Before the first key that may match; a slash would end a segment, which none may do that is empty.
        offset = f"{begin[:-1]}{chr(ord(begin[-1]) - 1).replace('/', '.')}~"
    fits = re.compile(glob_pattern(url.key) if is_glob else re.escape(begin) + ".*", re.DOTALL).fullmatch
    for page in obstore.list(store, folder or None, offset=offset, chunk_size=_PAGE):
        for about in page:
            if ordered and about["path"] > begin and not about["path"].startswith(begin):
                return
            if fits(about["path"]):
                yield about


def glob_pattern(glob: str) -> str:
    """The regular expression of keys that a glob matches, or that lie below a folder that it matches."""
    parts: list[str] = []
    for token in re.findall(r"\*\*/|\*\*|\*|\?|\[!?\]?[^]]*\]|.", glob.rstrip("/"), re.DOTALL):
        known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(token)
        if known is None and len(token) > 1:
            negated = token[1] == "!"
            inside = re.sub(r"([\\^\[\]&~|])", r"\\\1", token[1 + negated : -1])
            known = f"(?!/)[{'^' * negated}{inside}]"
        parts.append(known or re.escape(token))
    return "".join(parts) + ("/.*" if glob.endswith("/") else "(?:/.*)?")


def failure(url: Url, error: Exception, what: str = "cannot be read") -> SourceError:
    """What went wrong with a bucket, in one line: obstore says it in many, with query strings that may hold secrets."""
    from obstore.exceptions import InvalidPathError  # noqa: PLC0415

    text, _, source = str(error).partition("\n\nDebug source:")
    reason = _reason(text, source)
    hint = None
    if "169.254.169.254" in text or "metadata.google.internal" in text or "Account must be specified" in text:
        reason, hint = "expected credentials, found none", f"set {VARIABLES[url.scheme]}"
    elif re.search(r"status code: 40[13] ", text):  # obstore has exceptions for it, but not of a listing
        reason, hint = f"access was denied: {reason}", f"look at {VARIABLES[url.scheme]}"
    elif "NoSuchBucket" in text or "ContainerNotFound" in text:
        reason = f"expected a bucket, found none named {url.bucket}"
    elif isinstance(error, FileNotFoundError):
        reason = "expected an object, found nothing there"
    elif isinstance(error, InvalidPathError):
        reason, hint = f"cannot be listed: {reason}", "name a prefix without such an object"
    else:
        reason = f"{what}: {reason}"
    return SourceError(f"{url}: {reason}", hint=hint)


def _reason(text: str, source: str) -> str:
    """The words of an error that say why; the innermost of its `source` where no answer came."""
    status = re.search(r"status code: (\d{3} [A-Za-z ]+)", text)
    if status:
        code = re.search(r"<Code>([\w.-]{1,80})</Code>", text)
        return f"the server answered {status[1].strip()}" + (f" ({code[1]})" if code else "")
    line = re.sub(r"\?\S*", "", text.partition("\n")[0])
    server = re.search(r" (https?://[^/\s]+)\S* in .* - HTTP error: error sending request", line)
    if server:
        causes = re.findall(r'(?:message|error): "([^"]{1,200})"', source)
        return f"no answer from {server[1]}" + (f": {causes[-1]}" if causes else "")
    return re.sub(r"^.*? in [\d.]+[mµn]?s(?:, after \d+ retries[^-]*)? - ", "", line).strip().rstrip(".")[:300]
