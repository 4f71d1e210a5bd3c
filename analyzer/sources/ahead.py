"""An iterator that runs on a thread of its own, ahead of whoever takes what it gives."""

from __future__ import annotations

from collections.abc import Generator
from queue import Empty, SimpleQueue
from threading import Semaphore, Thread
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

Item = TypeVar("Item")


class _End(NamedTuple):
    error: BaseException | None


class Ahead(Generic[Item]):
    """Takes items from an iterator on a thread, at most so many ahead, and gives them out in order, once.

    An exception of the iterator is raised where the items before it were given out. The thread ends with the iterator,
    and within one item of it after `stop`, when it closes a generator; it keeps no program from ending.
    """

    def __init__(self, items: Iterator[Item], most: int) -> None:
        self._items = items
        self._made: SimpleQueue[Item | _End] = SimpleQueue()
        self._room = Semaphore(most)
        self._stopped = False
        self._thread = Thread(target=self._make, name="logscan-ahead", daemon=True)
        self._thread.start()

    def _make(self) -> None:
        error = None
        try:
            for item in self._items:
                self._room.acquire()
                if self._stopped:
                    if isinstance(self._items, Generator):
                        self._items.close()
                    break
                self._made.put(item)
        except BaseException as raised:  # noqa: BLE001 - raised again where the items are taken
            error = raised
        self._made.put(_End(error))

    def __iter__(self) -> Iterator[Item]:
        """All items; a second time, none."""
        for item in self.paced(None):
            if item is not None:
                yield item

    def paced(self, seconds: float | None) -> Iterator[Item | None]:
        """All items, and None whenever none was made for so long."""
        while True:
            try:
                item = self._made.get(timeout=seconds)
            except Empty:
                yield None
                continue
            if isinstance(item, _End):
                break
            self._room.release()
            yield item
        self._made.put(_End(None))
        if item.error is not None:
            raise item.error

    def stop(self) -> None:
        """Let the thread end. What was made and not taken may still be taken."""
        self._stopped = True
        self._room.release()

    def join(self) -> None:
        """Wait until the thread has ended."""
        self._thread.join()
