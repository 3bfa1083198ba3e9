"""Cluster of Dask workers for trials: connection, checks, and the signal to stop.

The workers must see the folder of the sweep under the same path, and have charrnn installed. Dask
runs what its scheduler sends: connect to one that you trust.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from charrnn.errors import StorageError, UsageError
from charrnn.system.files import unlink_if_possible
from charrnn.types import StopFlag

STOP = "stop"
CONNECT_SECONDS = 10.0
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class StopFile:
    """A `StopFlag` that workers on other machines see: whether a file exists."""

    path: str

    def __call__(self) -> bool:
        return os.path.exists(self.path)  # noqa: PTH110 (called ten times a second)


@contextmanager
def stop_file(folder: Path, stop: StopFlag) -> Iterator[StopFile]:
    """Yield a flag for workers: the file `stop` in `folder`, made once `stop()` is true.

    The file is removed first and last.
    """
    path = folder / STOP
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            if stop():
                path.touch()
                return
            time.sleep(POLL_SECONDS)

    unlink_if_possible(path)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield StopFile(str(path))
    finally:
        ended.set()
        watcher.join()
        unlink_if_possible(path)


@contextmanager
def connected(address: str, folder: Path) -> Iterator[int]:
    """Connect to a Dask scheduler; yield the number of threads of its workers.

    Args:
        address: as `tcp://HOST:PORT`.
        folder: the absolute path of a folder that every worker must see.

    Raises `UsageError` without Dask, for a worker without charrnn and one that does not see the
    folder, and `StorageError` if no scheduler answers, or one without workers.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise UsageError(
            "--backend dask needs distributed", "pip install distributed", "--backend local"
        ) from error
    make: Any = Client  # without types
    try:
        client = make(address, timeout=CONNECT_SECONDS, set_as_default=True)
    except (OSError, ValueError, TypeError) as error:
        raise StorageError(
            f"no Dask scheduler answers at {address[:60]!r}", "--scheduler tcp://HOST:PORT"
        ) from error
    with client:
        wait_for_workers(client, address)
        require(client, find_spec, "charrnn", "has no charrnn installed")
        require(client, os.path.isdir, str(folder), f"does not see the folder {str(folder)!r}")
        yield sum(client.nthreads().values())


def wait_for_workers(client: Any, address: str) -> None:
    """Wait for the first worker. Raises `StorageError` if none comes."""
    try:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except TimeoutError as error:
        raise StorageError(
            f"the Dask scheduler at {address[:60]!r} has no workers", "dask worker ADDRESS"
        ) from error


def require(client: Any, check: Callable[[str], object], argument: str, lack: str) -> None:
    """Raise `UsageError` unless a function returns something true on every worker."""
    for worker, found in client.run(check, argument).items():
        if not found:
            raise UsageError(f"the Dask worker {worker} {lack}", "a cluster where all do")
