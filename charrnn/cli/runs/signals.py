"""Signal handling of commands: Ctrl-C, SIGTERM, and SIGHUP when a terminal is closed.

While `raise_on_signal` is active, a signal raises `Interrupted` at once, so that context managers
clean up. Inside `StopOnSignal`, it sets a flag that training checks between two steps. A second
signal ends the process immediately: saving is atomic, so that nothing is damaged.

`timeout` and some shells deliver one signal twice, to the process and to its group; signals within
`SAME_SIGNAL_SECONDS` of the first are ignored.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Self

from charrnn.cli.output.safe_text import stderr_is_terminal
from charrnn.system.platform import ENDING_SIGNALS
from charrnn.system.signals import HELD

SAME_SIGNAL_SECONDS = 0.2

AGAIN_SECONDS = 0.05
"""Seconds after which a signal is delivered again whose exception Python has discarded."""


class Interrupted(KeyboardInterrupt):
    """A signal has arrived: `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def exit_code(self) -> int:
        """128 + `number`: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP."""
        return 128 + self.number


class _State:
    """The signal that has arrived, and whether it raises or sets a flag."""

    def __init__(self) -> None:
        self.received: int | None = None
        self.at = 0.0
        self.flags = 0
        """Number of active `StopOnSignal`; while it is 0, a signal raises `Interrupted`."""
        self.again: threading.Timer | None = None

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal; Python calls this in the main thread."""
        now = time.monotonic()
        if self.received is not None or HELD.number is not None:
            if now - self.at < SAME_SIGNAL_SECONDS:
                return
            os._exit(128 + number)
        if HELD.active:
            HELD.number, self.at = number, now
            return
        self.received, self.at = number, now
        if not self.flags:
            raise Interrupted(number)
        with suppress(OSError, ValueError, AttributeError):  # stderr is closed
            if stderr_is_terminal():
                os.write(2, b"\nstopping after this step; press Ctrl-C again to end at once\n")

    def deliver_again(self, number: int) -> None:
        """Let the signal arrive a second time, a moment later."""
        self.received = None
        self.again = threading.Timer(AGAIN_SECONDS, signal.raise_signal, (number,))
        self.again.daemon = True
        self.again.start()


_STATE = _State()


@contextmanager
def raise_on_signal() -> Iterator[None]:
    """Raise `Interrupted` for `ENDING_SIGNALS`; SIGHUP stays ignored under `nohup`.

    Python discards an exception in a finaliser, and in a callback of compiled code, for instance of
    the compiler of Numba; the signal is then delivered again. Does nothing outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    before: dict[signal.Signals, Any] = {}
    report_unraisable = sys.unraisablehook

    def on_unraisable(unraisable: Any) -> None:
        if isinstance(unraisable.exc_value, Interrupted):
            _STATE.deliver_again(unraisable.exc_value.number)
        else:
            report_unraisable(unraisable)

    sys.unraisablehook = on_unraisable
    _STATE.received = None
    for number in ENDING_SIGNALS:
        usual = signal.getsignal(number)
        if number in (signal.SIGINT, signal.SIGTERM) or usual is not signal.SIG_IGN:
            before[number] = usual
            signal.signal(number, _STATE.on_signal)
    try:
        yield
    finally:
        if _STATE.again is not None:
            _STATE.again.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = report_unraisable


def continue_after_interrupt(error: KeyboardInterrupt) -> bool:
    """Return whether an interrupt was Ctrl-C, and forget it: the next signal is a first one again.

    For a command that Ctrl-C does not end. SIGTERM and SIGHUP are not forgotten.
    """
    if isinstance(error, Interrupted) and error.number != signal.SIGINT:
        return False
    _STATE.received = None
    return True


class StopOnSignal:
    """Context manager in which signals set a flag; calling it returns the flag, as a `StopFlag`."""

    def __call__(self) -> bool:
        return _STATE.received is not None

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP, 0 without any."""
        return 0 if _STATE.received is None else 128 + _STATE.received

    def __enter__(self) -> Self:
        _STATE.flags += 1
        return self

    def __exit__(self, *_: object) -> None:
        _STATE.flags -= 1
