"""Buffers that are used again, because fresh memory costs more than what is done in it."""

from __future__ import annotations


class Buffers:
    """Buffers of one size. One that nobody gives back is let go like any other memory.

    Parameters
    ----------
    size
        Bytes of each.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._free: list[bytearray] = []
        self._closed = False

    def new(self) -> bytearray:
        """A buffer, with whatever was in it."""
        try:
            return self._free.pop()
        except IndexError:
            return bytearray(self.size)

    def free(self, buffer: bytearray) -> None:
        """Give one back."""
        if not self._closed:
            self._free.append(buffer)

    def close(self) -> None:
        """Keep none any more."""
        self._closed = True
        self._free.clear()
