"""Work on several threads: results in order, never far ahead, and nobody at work when it is over."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from analyzer.runs.threads import ordered_map

if TYPE_CHECKING:
    from collections.abc import Iterator


def counted(taken: list[int]) -> Iterator[int]:
    """Numbers without end, noted as they are taken."""
    for number in range(10**9):
        taken.append(number)
        yield number


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_order(workers: int) -> None:
    """Whichever thread is done first, each item comes with its own result, in the order in which they were given."""
    first_waits = threading.Event()

    def square(number: int) -> int:
        if number == 0 and workers > 1:
            first_waits.wait(1)
        first_waits.set()
        return number * number

    assert list(ordered_map(square, range(50), workers)) == [(number, number * number) for number in range(50)]


@pytest.mark.parametrize(("workers", "most"), [(1, 1), (2, 4), (5, 7)])
def test_little_is_in_flight(workers: int, most: int) -> None:
    """Memory is bounded: no more pieces are taken than the threads and two that wait."""
    taken: list[int] = []
    coming = ordered_map(str, counted(taken), workers)
    for number in range(20):
        assert next(coming) == (number, str(number))
        assert len(taken) - number <= most
    coming.close()


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_comes_where_its_result_would(workers: int) -> None:
    """What went well before it is handed on, and no thread is left."""
    before = threading.active_count()
    coming = ordered_map(lambda number: 1 // (5 - number), counted([]), workers)
    assert [next(coming)[0] for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ZeroDivisionError):
        next(coming)
    assert threading.active_count() == before
