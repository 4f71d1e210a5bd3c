"""Cutting bytes into JSON values, without a thought to what they hold."""

from __future__ import annotations

import re

import orjson

from analyzer.errors import FormatError

#: Bytes that one JSON value may have.
MAX_VALUE = 64 << 20

#: Bytes in which the beginning of what holds the values must stand.
_HEAD = 4096

SPACE = b" \t\r\n"
BOM = b"\xef\xbb\xbf"


class DocumentError(FormatError):
    """A JSON value that should hold records and cannot be read."""


#: What stands between the brackets of a value: anything but brackets and quotes, and whole strings.
_UNBRACKETED = re.compile(rb'(?:[^"{}\[\]]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+', re.DOTALL)
_REST_OF_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_BETWEEN = re.compile(rb"[\s,]*+")
_SCALAR = re.compile(rb'(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^"\s,\]][^\s,\]]*+)(?=[\s,\]])', re.DOTALL)
#: How what holds the values begins, without blanks: the last brackets of an array are those of its first element.
_WRAPPERS = (b'{"events":[', b'{"records":[', b'{"data":[', b"[{", b"[]")


class ValueSplitter:
    """Cuts a stream of bytes into JSON values, however they are laid out.

    Values may follow one another with or without line breaks and commas; those in an array at the top, or in the array
    that an object at the top begins with (``{"records": [``), are values of their own. A line at the top that begins no
    such thing is given as it is, blank ones are not. Fed with blocks, it takes time in proportion to the bytes; it
    holds one unfinished value at most.
    """

    def __init__(self) -> None:
        self._held = bytearray(b"\n")  # the value that is looked at, and what comes behind it
        self._start: int | None = None  # where that value begins; None between values
        self._at = 0  # all before this is looked at
        self._depth = 0  # brackets that are open there
        self._in_string = False
        self._kept = True  # whether the value is to be given: what follows a wrapped array is not
        self._around: bytes | None = None  # the container round the values: `[` or `{`

    def feed(self, data: bytes) -> list[bytes]:
        """Take more bytes; return the values that are complete now.

        Raises
        ------
        DocumentError
            When a value is longer than `MAX_VALUE`.
        """
        self._held += data
        values = []
        while (value := self._next()) is not None:
            if value:
                values.append(value)
        done = self._at if self._start is None else self._start
        del self._held[:done]
        self._at -= done
        if self._start is not None:
            self._start = 0
        if len(self._held) > MAX_VALUE:
            raise DocumentError(f"expected a JSON value of at most {MAX_VALUE >> 20} MiB, got a longer one")
        return values

    def close(self) -> bytes:
        """Say that no more bytes come; return what is left, which is no complete value."""
        left = bytes(self._held) if self._kept else b""
        self._held, self._at, self._start = bytearray(), 0, None
        return left.strip()

    def _next(self) -> bytes | None:
        """The next value; empty where something else was passed over, None where more bytes are needed."""
        if self._start is None:
            return self._begin()
        end = self._end()
        if end is None:
            return None
        start, self._start, self._at = self._start, None, end
        value = bytes(self._held[start:end]) if self._kept else b""
        self._kept = True
        return value

    def _begin(self) -> bytes | None:
        """Look at what begins behind the last value."""
        held = self._held
        match = _BETWEEN.match(held, self._at)
        at = match.end() if match else self._at
        first = bytes(held[at : at + 1])
        if not first:
            # The last byte stays: it may be the line break before a value.
            self._at = max(self._at, at - 1)
            return None
        if self._around is None:
            return self._begin_at_top(at)
        if first == b"]":
            self._at = at + 1
            if self._around == b"{":  # what else the object says is nothing but its end
                self._start, self._depth, self._kept = at + 1, 1, False
            self._around = None
            return b""
        if first in {b"{", b"["}:
            return self._open(at)
        scalar = _SCALAR.match(held, at)
        self._at = scalar.end() if scalar else at
        return scalar[0] if scalar else None

    def _begin_at_top(self, at: int) -> bytes | None:
        held = self._held
        if held.startswith(BOM, at):
            self._at = at + len(BOM)
            return b""
        compact = bytes(held[at : at + _HEAD]).translate(None, SPACE)
        wrapper = next((one for one in _WRAPPERS if one.startswith(compact) or compact.startswith(one)), None)
        if wrapper is not None:
            is_there = len(compact) >= len(wrapper)
            self._at = held.index(b"[", at) + 1 if is_there else at
            self._around = wrapper[:1] if is_there else None
            return b"" if is_there else None
        if compact.startswith(b"{"):
            return self._open(at)
        stop = held.find(b"\n", at)
        self._at = at if stop < 0 else stop
        return None if stop < 0 else bytes(held[at:stop]).rstrip()

    def _open(self, at: int) -> bytes:
        """A value begins here. If it is a line, as it mostly is, the parser tells so faster than its brackets do."""
        held = self._held
        if b"\n" in held[self._at : at]:
            stop = held.find(b"\n", at)
            line = bytes(held[at:stop]).rstrip(b" \t\r,") if stop >= 0 else b""
            if line.endswith(b"}"):
                try:
                    orjson.loads(line)
                except orjson.JSONDecodeError:
                    pass
                else:
                    self._at = stop
                    return line
        self._start, self._at, self._depth = at, at + 1, 1
        return b""

    def _end(self) -> int | None:
        """Where the value ends that was begun, None where that is not to be seen yet."""
        held = self._held
        while True:
            pattern = _REST_OF_STRING if self._in_string else _UNBRACKETED
            match = pattern.match(held, self._at)
            self._at = at = match.end() if match else self._at
            if at == len(held):
                return None
            byte = held[at]
            if self._in_string:
                if byte != 0x22:  # a backslash at the very end
                    return None
                self._in_string = False
            elif byte == 0x22:
                self._in_string = True
            else:
                self._depth += 1 if byte in b"{[" else -1
                if not self._depth:
                    return at + 1
            self._at = at + 1
