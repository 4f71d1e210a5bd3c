"""Compressed streams, recognised by their first bytes and read to bounded memory, whatever they claim to hold.

UTF-16, which PowerShell writes where output goes to a file, is read as one of them: what comes out is UTF-8.
"""

from __future__ import annotations

import codecs
import re
import sys
from typing import TYPE_CHECKING, NamedTuple, Protocol

from analyzer.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable

#: Bytes that are enough to tell the kind of a stream.
MAGIC = 6

#: Compressed bytes a step, at most and at least, and text bytes a step: what a damaged step held is lost, so it is kept
#: small, and smaller still where little was read before. Larger steps are no faster.
_STEP = 32 << 10
_FIRST_STEP = 256
_TEXT = 64 << 10
#: Text bytes a step where a stream is not expected to be damaged.
_READ = 256 << 10

#: The longest header of a gzip member that is read.
_HEADER = 1 << 20
#: What a frame of zstd may ask to keep of its text, and a stream of xz to work in: what ``zstd --long`` and any level
#: of xz use.
_ZSTD_WINDOW_LOG = 27
_XZ_MEMORY = 128 << 20


class _Decompressor(Protocol):
    """As `bz2`, `lzma` and `compression.zstd` have it; reads one member."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /, max_length: int = -1) -> bytes: ...


class _Library(NamedTuple):
    new: Callable[[], _Decompressor]
    errors: tuple[type[Exception], ...]


class Kind(NamedTuple):
    """A way to compress."""

    name: str
    member: str
    magic: re.Pattern[bytes]
    load: Callable[[], _Library] | None  #: None where it is another encoding


class Stored(Protocol):
    """The bytes of a source as they are stored."""

    bytes_read: int

    def read(self, size: int, /) -> bytes:
        """At most so many more bytes, none at the end."""

    def readinto(self, buffer: memoryview, /) -> int:
        """As `read`, to where it is wanted."""

    def rewind(self) -> bool:
        """Begin again; False where that cannot be."""


class Text(Protocol):
    """What a stream holds."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Read more text; 0 at the end.

        Raises
        ------
        SourceError
            Where the stream is damaged or ends too soon, after everything before that was given out.
        """


def unpacked(kind: Kind, stored: Stored, begun: bytes) -> Text:
    """The text of a compressed stream of any number of members; `begun` was read from it already.

    Raises
    ------
    SourceError
        Where this Python lacks the library.
    """
    if kind.load is None:
        return _Transcoded(kind.name, stored, begun)
    try:
        library = kind.load()
        fast = kind.name == "gzip" and stored.rewind()
        return _Gunzipped(kind, library, stored) if fast else _Unpacked(kind, library, stored, begun)
    except ImportError as error:
        raise SourceError(f"expected a Python that reads {kind.name}, got one without {error.name}") from None


class _GzipMember:
    """isal's decompressor behind a header of our own reading: isal fails where fields of a header come in parts."""

    def __init__(self, inside: _Decompressor) -> None:
        self._inside = inside
        self._header = b""
        self._begun = False

    @property
    def eof(self) -> bool:
        return self._inside.eof

    @property
    def needs_input(self) -> bool:
        return self._inside.needs_input

    @property
    def unused_data(self) -> bytes:
        return self._inside.unused_data

    def decompress(self, data: bytes, /, max_length: int = -1) -> bytes:
        if not self._begun:
            self._header += data
            size = _header_size(self._header)
            if not size:
                if len(self._header) > _HEADER:
                    raise ValueError("its header is longer than 1 MiB")
                return b""
            self._begun, data = True, self._header[size:]
        return self._inside.decompress(data, max_length)


def _header_size(begun: bytes) -> int:
    """How long a gzip header is (RFC 1952, section 2.3), 0 where more of it is needed to tell."""
    size, flags = 10, int.from_bytes(begun[3:4], "little")
    if begun[2:3] not in {b"", b"\x08"} or flags & 0xE0:
        raise ValueError("its header asks for what gzip does not have")
    if flags & 4:
        size += 2 + int.from_bytes(begun[size : size + 2], "little")
    for flag in (8, 16):
        if flags & flag:
            end = begun.find(b"\0", size)
            if end < 0:
                return 0
            size = end + 1
    size += flags & 2
    return size if size <= len(begun) else 0


def _gzip() -> _Library:
    from isal import igzip_lib  # noqa: PLC0415 - each library costs its import only where it is used

    def new() -> _GzipMember:
        return _GzipMember(igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP_NO_HDR_VER))

    return _Library(new, (igzip_lib.IsalError, EOFError, ValueError))  # type: ignore[arg-type]


def _zstd() -> _Library:
    if sys.version_info >= (3, 14):
        from compression import zstd  # noqa: PLC0415
    else:
        from backports import zstd  # noqa: PLC0415

    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
    return _Library(lambda: zstd.ZstdDecompressor(options=options), (zstd.ZstdError, EOFError))


def _bzip2() -> _Library:
    import bz2  # noqa: PLC0415

    return _Library(bz2.BZ2Decompressor, (OSError, ValueError, EOFError))


def _xz() -> _Library:
    import lzma  # noqa: PLC0415

    return _Library(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY), (lzma.LZMAError, EOFError))


_KINDS = (
    Kind("gzip", "member", re.compile(rb"\x1f\x8b"), _gzip),
    # A frame that holds text, or one that readers skip (RFC 8878, sections 3.1.1 and 3.1.2).
    Kind("zstd", "frame", re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"), _zstd),
    Kind("bzip2", "stream", re.compile(rb"BZh[1-9][\x31\x17]"), _bzip2),
    Kind("xz", "stream", re.compile(rb"\xfd7zXZ\0"), _xz),
    # A byte order mark and a letter of ASCII, for the mark's bytes may begin a line that is broken; or three letters.
    Kind("utf-16-le", "text", re.compile(rb"\xff\xfe[\t-~]\0|(?:[\t -~]\0){3}"), None),
    Kind("utf-16-be", "text", re.compile(rb"\xfe\xff\0[\t-~]|(?:\0[\t -~]){3}"), None),
)


def kind_of(first: bytes) -> Kind | None:
    """How a source is compressed that begins with these bytes (`MAGIC` of them, where it has so many)."""
    return next((kind for kind in _KINDS if kind.magic.match(first)), None)


#: What libraries say before the reason.
_PREAMBLE = re.compile(r"^(?:Error -?\d+ |Unable to decompress Zstandard data: )")


class _Unpacked:
    """Member by member, in small steps."""

    def __init__(self, kind: Kind, library: _Library, stored: Stored, begun: bytes) -> None:
        self._library = library
        self._kind = kind
        self._stored = stored
        self._member = self._library.new()
        self._pending = begun
        self._begin = 0
        self._text = 0

    def readinto(self, buffer: memoryview, /) -> int:
        """See `Text`."""
        while True:
            if self._member.eof and not self._next_member():
                return 0
            if self._member.needs_input and not self._pending:
                at = self._stored.bytes_read
                self._pending = self._stored.read(min(_STEP, max(_FIRST_STEP, at // 4)))
                if not self._pending:
                    raise self._error(f"stream ends too soon, at byte {at:,}, after {self._text:,} bytes of its text")
            try:
                text = self._member.decompress(self._pending, max_length=min(len(buffer), _TEXT))
            except self._library.errors as error:
                raise self._damaged(_PREAMBLE.sub("", str(error)).strip().rstrip(".")) from None
            self._pending = b""
            if text:
                buffer[: len(text)] = text
                self._text += len(text)
                return len(text)

    def _next_member(self) -> bool:
        """Begin the next member; False at the end of the stream. Zeros behind a member are padding."""
        rest = self._member.unused_data.lstrip(b"\0")
        while len(rest) < MAGIC and (more := self._stored.read(_STEP)):
            rest = (rest + more).lstrip(b"\0")
        if not rest:
            return False
        self._begin = self._stored.bytes_read - len(rest)
        if not self._kind.magic.match(rest):
            raise SourceError(
                f"expected another {self._kind.name} {self._kind.member} or the end after byte {self._begin:,}, "
                f"after {self._text:,} bytes of text"
            )
        self._member = self._library.new()
        self._pending = rest
        return True

    def _damaged(self, reason: str) -> SourceError:
        if "too much memory" in reason or "Memory usage limit" in reason:
            return self._error(
                f"{self._kind.member} at byte {self._begin:,} needs over 128 MiB of memory to decompress"
            )
        place = f"after {self._text:,} bytes of its text, before byte {self._stored.bytes_read:,} of it"
        return self._error(f"stream is damaged {place}: {reason}")

    def _error(self, what: str) -> SourceError:
        return SourceError(f"the {self._kind.name} {what}")


class _Gunzipped:
    """gzip, read a tenth faster than member by member, where it can be read again.

    isal's own reader needs fewer steps, and waits less often for other threads. Where it fails, all of its last step is
    lost and nobody knows where, so then the stream is read once more, in small steps.
    """

    def __init__(self, kind: Kind, library: _Library, stored: Stored) -> None:
        from isal import igzip  # noqa: PLC0415

        self._kind = kind
        self._library = library
        self._stored = stored
        self._file = igzip.GzipFile(fileobj=stored, mode="rb")  # type: ignore[no-untyped-call]
        self._text = 0
        self._again: _Unpacked | None = None

    def readinto(self, buffer: memoryview, /) -> int:
        """See `Text`."""
        if self._again is None:
            try:
                got: int = self._file.readinto(buffer[:_READ])
            except (SourceError, MemoryError):
                raise
            except Exception:  # noqa: BLE001 - OSError, EOFError, OverflowError and errors of its own, at least
                self._again = self._from_the_beginning()
            else:
                self._text += got
                return got
        return self._again.readinto(buffer)

    def _from_the_beginning(self) -> _Unpacked:
        self._stored.rewind()
        again = _Unpacked(self._kind, self._library, self._stored, b"")
        known = memoryview(bytearray(_READ))
        while self._text and (got := again.readinto(known[: self._text])):
            self._text -= got
        return again


class _Transcoded:
    """UTF-16 as UTF-8; U+FFFD stands for what is none."""

    def __init__(self, encoding: str, stored: Stored, begun: bytes) -> None:
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._stored = stored
        self._text = memoryview(self._decoder.decode(begun).encode())
        self._ended = False

    def readinto(self, buffer: memoryview, /) -> int:
        """See `Text`."""
        while not self._text and not self._ended:
            read = self._stored.read(_TEXT)
            self._ended = not read
            self._text = memoryview(self._decoder.decode(read, final=self._ended).encode())
        got = min(len(self._text), len(buffer))
        buffer[:got] = self._text[:got]
        self._text = self._text[got:]
        return got
