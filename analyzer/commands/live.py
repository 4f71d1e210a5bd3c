"""Shows what is watched until somebody has seen enough: on a whole terminal, or line by line.

Keys, signals, a resize and new bytes on a pipe all wake one wait; files are looked at a few times a second. The
terminal is put back as it was however the watching ends.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import time
import tty
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from analyzer.commands.output import show

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.live import Live

    from analyzer.jobs.watch import Watch
    from analyzer.report.watch import Watched

#: Seconds between two looks at files, which tell nobody when they grow.
_PAUSE = 0.1
_LEAVE = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_QUIT_KEYS = b"qQ\x03\x04"


class _Signals:
    """Notes the signals that end the watching, or say that the terminal has another size."""

    def __init__(self) -> None:
        self.leaving = False
        self.resized = False
        self.wake, self._woken = os.pipe()
        for end in (self.wake, self._woken):
            os.set_blocking(end, False)

    @contextmanager
    def noted(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._leave) for number in _LEAVE}
        before[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, self._resize)
        before[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, signal.SIG_IGN)  # a stopped view would keep the screen
        woken = signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(woken)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _leave(self, number: int, _: object) -> None:
        self.leaving = True
        signal.signal(number, signal.SIG_DFL)  # whoever asks twice does not want to wait

    def _resize(self, *_: object) -> None:
        self.resized = True


def has_screen() -> bool:
    """Whether there is a terminal that can be drawn on."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def show_lines(watching: Watch, every: float, write: Callable[[Watched], str]) -> Watched:
    """Write a line every so many seconds until a signal comes or the input is over; return the last readings."""
    signals = _Signals()
    with signals.noted():
        while True:
            until = time.monotonic() + every
            while not signals.leaving and not watching.ended and time.monotonic() < until:
                _wait_and_read(watching, until, [signals.wake])
            watched = watching.turn()
            show(write(watched))
            if signals.leaving or watching.ended:
                return watched


def show_screen(watching: Watch, every: float) -> Watched:
    """Draw every so many seconds until a key or a signal says that it is enough; return the last readings."""
    signals = _Signals()
    with ExitStack() as stack:
        stack.enter_context(signals.noted())
        keys = stack.enter_context(_keys())
        live = stack.enter_context(_live())
        watched = watching.turn()
        while True:
            with suppress(OSError):
                _draw(live, watched)
            until = time.monotonic() + every
            while time.monotonic() < until and not signals.resized:
                awake = _wait_and_read(watching, until, [signals.wake, *keys])
                if any(key in awake and _pressed(key) for key in keys):
                    return watched
                if signals.leaving:
                    return watched
            if signals.resized:
                signals.resized = False
            else:
                watched = watching.turn()


def _wait_and_read(watching: Watch, until: float, more: list[int]) -> set[int]:
    """Wait for something to do, and read; return which of `more` have something to say."""
    poll = select.poll()
    pipes = watching.pipes
    for descriptor in (*pipes, *more):
        poll.register(descriptor, select.POLLIN)
    pause = 0.0 if watching.read() else min(_PAUSE, max(0.0, until - time.monotonic()))
    awake = {descriptor for descriptor, _ in poll.poll(pause * 1000)}
    if more[0] in awake:
        with suppress(OSError):
            os.read(more[0], 64)
    return awake


def _pressed(keys: int) -> bool:
    try:
        got = os.read(keys, 64)
    except OSError:
        return True
    return not got or any(key in _QUIT_KEYS for key in got)


@contextmanager
def _keys() -> Iterator[list[int]]:
    """The keyboard, a key at a time and without an echo; none where there is none."""
    try:
        keyboard = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        yield []
        return
    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard)
        yield [keyboard]
    finally:
        with suppress(termios.error):
            termios.tcsetattr(keyboard, termios.TCSAFLUSH, before)
        os.close(keyboard)


def _live() -> Live:
    from rich.console import Console  # noqa: PLC0415
    from rich.live import Live  # noqa: PLC0415

    console = Console(markup=False, emoji=False, highlight=False, legacy_windows=False)
    return Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)


def _draw(live: Live, watched: Watched) -> None:
    from rich.console import ConsoleDimensions, Group  # noqa: PLC0415

    from analyzer.report.watch_screen import screen  # noqa: PLC0415

    columns, rows = os.get_terminal_size(sys.stdout.fileno())  # COLUMNS does not tell of a resize
    lines = screen(watched, columns, rows)
    for line in lines:
        line.no_wrap, line.overflow = True, "crop"
    live.console.size = ConsoleDimensions(columns, rows)
    live.update(Group(*lines), refresh=True)
