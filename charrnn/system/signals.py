"""Signals that end a command: blocked or ignored in child processes, or held back for a moment.

Windows cannot block signals: there a Ctrl-C ends a child that is just starting.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from charrnn.system.platform import ENDING_SIGNALS


class HeldSignal:
    """Whether signals are held back, and the one that has arrived meanwhile.

    A handler that takes part looks at `active`, keeps the first signal in `number` and returns.
    """

    active = False
    number: int | None = None


HELD = HeldSignal()


@contextmanager
def signals_held() -> Iterator[None]:
    """Let handlers that look at `HELD` run after this block instead of in it.

    Unlike blocking, this holds for a signal that another thread receives, too.
    """
    HELD.active, HELD.number = True, None
    try:
        yield
    finally:
        number, HELD.number, HELD.active = HELD.number, None, False
        if number is not None:
            signal.raise_signal(number)


def ignore_signals() -> None:
    """Ignore `ENDING_SIGNALS` in this process, and unblock them."""
    for number in ENDING_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Block `ENDING_SIGNALS` while a child starts: it inherits the mask until it ignores them.

    The resource tracker of `multiprocessing` is started first: starting it unblocks SIGINT and
    SIGTERM (Python 3.11 to 3.13), so that a child started afterwards would inherit neither.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
