"""Child processes: spawned workers, each connected to the parent process by a pipe.

A terminal (Ctrl-C), `timeout`, systemd and batch schedulers send signals to the whole process
group. Only the parent process reacts to them: children ignore them and end when their pipe is
closed, which also happens when the parent is killed.
"""

import gc
import multiprocessing
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from charrnn.errors import WorkerError
from charrnn.system.signals import ignore_signals, signals_blocked

BUSY_WAIT_SECONDS = 1e-3
"""Seconds that `receive` polls before it blocks: waking a blocked process takes 0.3 ms."""

JOIN_SECONDS = 5.0
"""Seconds that a child may take to notice that its pipe is closed before it is killed."""

DISCONNECTED = (EOFError, BrokenPipeError, ConnectionResetError)
"""Errors of a connection whose other process has ended."""


class ChildProcess:
    """A spawned process that runs `target(connection, *args)`.

    The attribute `connection` is the parent's end of the pipe.

    Args:
        target: an importable function. It receives its end of the pipe first and should return
            when `connection.recv()` raises one of `DISCONNECTED`.
        args: further arguments; they must be picklable.
    """

    def __init__(self, target: Callable[..., None], *args: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, child_connection = context.Pipe()
        self.process: BaseProcess = context.Process(
            target=_run, args=(target, child_connection, *args), daemon=True
        )
        with signals_blocked():
            self.process.start()
        child_connection.close()

    def close(self) -> None:
        """Close the pipe and wait until the process has ended; kill it if it does not."""
        self.connection.close()
        self.process.join(JOIN_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End the process at once."""
        self.connection.close()
        if self.process.is_alive():
            self.process.kill()
        self.process.join()

    def failure(self, *advice: str) -> WorkerError:
        """Return the error that reports the end of this process; waits for its exit code.

        `advice` is what the user may try: options of the command that started the process.
        """
        self.process.join(JOIN_SECONDS)
        code = self.process.exitcode
        if code is None or code >= 0:
            how = "ended" if code is None else f"ended with exit code {code}"
        else:
            how = f"was killed by {signal.Signals(-code).name}"
        hint = " (perhaps for lack of memory)" if code in (-9, EXIT_OUT_OF_MEMORY) else ""
        return WorkerError(f"a worker process {how}{hint}", *advice)


EXIT_OUT_OF_MEMORY = 77
"""Exit code of a child that could not allocate memory."""


def _run(target: Callable[..., None], connection: Connection, *args: Any) -> None:
    """Run `target` in the child, with the signals ignored that end a command."""
    ignore_signals()
    try:
        target(connection, *args)
    except DISCONNECTED:
        return
    except MemoryError as error:
        raise SystemExit(EXIT_OUT_OF_MEMORY) from error
    finally:
        gc.freeze()  # else Python searches all objects, such as Numba's, for cycles as it ends


def receive(connection: Connection) -> Any:
    """Return what the other end sends; raises one of `DISCONNECTED` if it has ended."""
    until = time.perf_counter() + BUSY_WAIT_SECONDS
    while not connection.poll() and time.perf_counter() < until:
        pass
    return connection.recv()
