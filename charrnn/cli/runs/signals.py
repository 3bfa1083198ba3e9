"""Signals that end a command: Ctrl-C, SIGTERM, and SIGHUP where a terminal is closed.

While `raise_on_signal` is active, a signal raises `Interrupted` at once, so that context managers
clean up. Inside `StopOnSignal`, it sets a flag that training checks between two steps. A second
signal ends the process immediately: saving is atomic, so that nothing is damaged.

`timeout` and some shells deliver one signal twice, to the process and to its group; what arrives
within `SAME_SIGNAL_SECONDS` counts once.
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

from charrnn.system.platform import ENDING_SIGNALS

SAME_SIGNAL_SECONDS = 0.2


class Interrupted(KeyboardInterrupt):
    """A signal has arrived; `number` says which, `exit_code` is 128 more."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP."""
        return 128 + self.number


class _State:
    """The signal that has arrived, and who is to be told."""

    def __init__(self) -> None:
        self.received: int | None = None
        self.at = 0.0
        self.flags = 0
        """How many `StopOnSignal` are active: with none, a signal raises."""

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        """React to a signal; runs in the main thread between two bytecodes."""
        now = time.monotonic()
        if self.received is not None:
            if now - self.at < SAME_SIGNAL_SECONDS:
                return
            os._exit(128 + number)
        self.received, self.at = number, now
        if not self.flags:
            raise Interrupted(number)
        with suppress(OSError, ValueError, AttributeError):  # no terminal to talk to
            if sys.stderr.isatty():
                os.write(2, b"\nstopping after this step; press Ctrl-C again to end at once\n")


_STATE = _State()


@contextmanager
def raise_on_signal() -> Iterator[None]:
    """Let `ENDING_SIGNALS` raise `Interrupted`, except SIGHUP where it is ignored (nohup)."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    before: dict[signal.Signals, Any] = {}
    _STATE.received = None
    for number in ENDING_SIGNALS:
        usual = signal.getsignal(number)
        if number in (signal.SIGINT, signal.SIGTERM) or usual is not signal.SIG_IGN:
            before[number] = usual
            signal.signal(number, _STATE.on_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class StopOnSignal:
    """While active, signals set a flag instead of raising; called, it says whether to stop."""

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
