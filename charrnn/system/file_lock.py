"""Exclusive lock on a file between processes: `flock`, or `LockFileEx` on Windows.

`filelock.lock_descriptor` takes the lock. The file is opened here, so that a link is never followed
and the file is never deleted. The lock belongs to the open file: it ends with the process, also if
the process is killed, and spawned worker processes do not inherit it.
"""

import errno
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from filelock import lock_descriptor

from charrnn.system.files import open_regular_file

NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP)
"""Errors of file systems that have no locks: some network and cluster file systems."""

LOCK_ATTEMPTS, LOCK_RETRY_SECONDS = 5, 0.02
"""Attempts to take a lock, and the time between two: `is_locked` takes it for microseconds."""


class FileLock:
    """The lock on the file `path`, held from construction to `release`; a context manager.

    Args:
        path: the file; created if it does not exist, and kept after the release.

    Raises `BlockingIOError` if another process holds the lock, another `OSError` if the file cannot
    be opened or locked, or is a link or not a regular file.
    """

    def __init__(self, path: Path) -> None:
        for attempt in range(1, LOCK_ATTEMPTS + 1):
            self._descriptor: int | None = open_regular_file(path, os.O_RDWR | os.O_CREAT)
            try:
                if lock_descriptor(self._descriptor, blocking=False):
                    if is_file_at(self._descriptor, path):
                        return
                elif attempt == LOCK_ATTEMPTS:
                    raise BlockingIOError(errno.EAGAIN, "locked by another process", str(path))
            except OSError:
                self.release()
                raise
            self.release()
            time.sleep(LOCK_RETRY_SECONDS)
        raise FileNotFoundError(errno.ENOENT, "removed while it was locked", str(path))

    def release(self) -> None:
        """Release the lock; does nothing the second time."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def is_locked(path: Path) -> bool | None:
    """Return whether a process holds the lock on `path`, or None if that cannot be found out.

    Takes the lock for microseconds, and creates no file. A lock that is held is tried again for a
    moment, because another process may be asking the same.
    """
    for flags in (os.O_RDWR, os.O_RDONLY):  # to read is enough, except on network file systems
        with suppress(OSError):
            descriptor = open_regular_file(path, flags)
            try:
                for attempt in range(LOCK_ATTEMPTS):
                    if lock_descriptor(descriptor, blocking=False):
                        return False
                    if attempt < LOCK_ATTEMPTS - 1:
                        time.sleep(LOCK_RETRY_SECONDS)
                return True
            finally:
                os.close(descriptor)
    return None


def is_file_at(descriptor: int, path: Path) -> bool:
    """Return whether `path` is the open file, and not removed or replaced since."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
