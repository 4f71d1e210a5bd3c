"""Where in a file which times are, by lines here and there: for a file that is said to be in order of time.

Some lines are looked at in each `analyzer.sources.reading.PIECE`, and at the end. Where they show that the file is in
no order, nothing is told of it.
"""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING

from analyzer.sources import Piece, reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from analyzer.runs.time_range import TimeRange

    Span = tuple[int, int]

#: Milliseconds by which lines of a file in order may stand in another one: workers write what they hold now and then.
SLACK = 300_000
#: Bytes that are looked at in each place.
_LOOK = 32 << 10


class TimeOrder:
    """The times of a file in order.

    Parameters
    ----------
    fd
        The file.
    look
        Says the first and the last time in a piece; None where there is none.
    """

    def __init__(self, fd: int, look: Callable[[Piece], Span | None]) -> None:
        self._begins: list[int] = []
        self._ends: list[int] = []
        self._spans: list[Span] = []
        size = os.fstat(fd).st_size
        for at in [*range(0, max(size - _LOOK, 1), reading.PIECE), max(size - _LOOK, 0)]:
            text = os.pread(fd, _LOOK, at)
            begin = text.find(b"\n") + 1 if at else 0
            end = text.rfind(b"\n") + 1 or len(text)
            span = look(Piece(at + begin, inside=False, content=(fd, at + begin, at + end))) if begin < end else None
            if span is not None:
                self._begins.append(at)
                self._ends.append(at + len(text))
                self._spans.append(span)
        self._told = all(later[0] >= sooner[1] - SLACK for sooner, later in pairwise(self._spans))

    def outside(self, piece: Piece, wanted: TimeRange) -> bool:
        """Whether no row of a piece of the file is within the range."""
        if not self._told or not isinstance(piece.content, tuple):
            return False
        _, start, stop = piece.content
        before, after = bisect_right(self._begins, start) - 1, bisect_left(self._ends, stop)
        return (
            wanted.first is not None and after < len(self._spans) and self._spans[after][1] + SLACK < wanted.first
        ) or (wanted.last is not None and before >= 0 and self._spans[before][0] - SLACK > wanted.last)
