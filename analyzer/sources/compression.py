"""gzip, recognised by its first bytes and read to bounded memory, whatever it claims to hold."""

from __future__ import annotations

import re
from typing import BinaryIO

from isal import igzip_lib

from analyzer.errors import SourceError

MAGIC_ZSTD = b"\x28\xb5\x2f\xfd"
_MAGIC_GZIP = b"\x1f\x8b"
_ERROR_NUMBER = re.compile(r"^Error -?\d+ ")
#: Compressed bytes a step, at most and at least: what a damaged step held is lost, so it is kept small, and smaller
#: still where little was read before.
_STEP = 8 << 10
_FIRST_STEP = 256


def is_gzip(first: bytes) -> bool:
    """Whether a source that begins with these bytes is gzip."""
    return first.startswith(_MAGIC_GZIP)


class Gunzip:
    """The decompressed bytes of a gzip stream of any number of members; `begun` was read from it already."""

    def __init__(self, raw: BinaryIO, begun: bytes) -> None:
        self._raw = raw
        self._member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        self._pending = begun
        self.bytes_read = len(begun)
        self._bytes_out = 0

    def read(self, size: int) -> bytes:
        """At most `size` more bytes, none at the end.

        Raises
        ------
        SourceError
            Where the stream is damaged or ends too soon, after everything before that was given out.
        """
        while True:
            if self._member.eof and not self._next_member():
                return b""
            if self._member.needs_input and not self._pending:
                self._pending = self._raw.read(min(_STEP, max(_FIRST_STEP, self.bytes_read // 4)))
                self.bytes_read += len(self._pending)
                if not self._pending:
                    raise SourceError(f"the gzip stream ends too soon, after {self._bytes_out:,} bytes of its text")
            try:
                text = self._member.decompress(self._pending, size)
            except (igzip_lib.IsalError, EOFError) as error:  # type: ignore[misc]  # so says its stub
                reason = _ERROR_NUMBER.sub("", str(error)).strip().rstrip(".")
                place = f"after {self._bytes_out:,} bytes of its text"
                raise SourceError(f"the gzip stream is damaged {place}: {reason}") from None
            self._pending = b""
            self._bytes_out += len(text)
            if text:
                return text

    def _next_member(self) -> bool:
        """Begin the next member; False at the end of the stream. Zeros behind a member are padding."""
        rest = self._member.unused_data.lstrip(b"\0")
        while len(rest) < 2 and (more := self._raw.read(_STEP)):
            self.bytes_read += len(more)
            rest = (rest + more).lstrip(b"\0")
        if not rest:
            return False
        if not is_gzip(rest):
            raise SourceError(f"expected another gzip member or the end after {self._bytes_out:,} bytes of text")
        self._member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        self._pending = rest
        return True
