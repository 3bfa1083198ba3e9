"""Files: atomic writing, defensive opening and reading, and removal of stale temporary files.

Windows is allowed for: it cannot open a folder to fsync it, refuses to rename or to delete a file
that is open, and has no symbolic links that `os.open` could refuse.
"""

import errno
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from charrnn.system.platform import IS_WINDOWS, O_BINARY, O_NOFOLLOW, O_NONBLOCK

TEMPORARY = re.compile(r"\..+\.tmp-([1-9][0-9]{0,8})")
"""The name of a temporary file: its target's, and the number of the process that writes it."""

MAX_TEMPORARY_SECONDS = 86_400
"""Age at which a temporary file is stale on Windows, where processes are not asked for."""

REPLACE_ATTEMPTS, REPLACE_RETRY_SECONDS = 20, 0.05
"""Attempts to replace a file on Windows, which refuses it while another process reads the file."""

CHUNK_BYTES = 2**20

END_BYTES = 2**16 + 22
"""Bytes at the beginning and at the end of a file that are checked before the rest is read: those
of the longest record that can end a zip."""


class UnsuitableFileError(OSError):
    """A file is not regular, is larger than allowed, or changed while it was read.

    `strerror` completes a sentence that begins with the path: "is a directory, not a file".
    """


def write_atomically(path: Path, content: bytes | bytearray | Iterable[bytes]) -> None:
    """Replace the file at `path`; fsync the file and its folder before returning.

    Args:
        path: the file. A symlink there is replaced, not followed.
        content: the bytes, or an iterable of chunks, which are written as they are produced.

    Raises OSError, and what the iterable raises. The old file is then kept and the temporary file
    removed. Only an error of the last step, the fsync of the folder, leaves the new file in place.
    """
    temporary = temporary_path(path)
    try:
        temporary.unlink(missing_ok=True)  # of a killed process that had the same number
        write_durably(temporary, content)
        rename(temporary, path)
    finally:
        unlink_if_possible(temporary)
    fsync_folder(path.parent)


def temporary_path(path: Path) -> Path:
    """Return the path at which this process writes a file that will replace `path`."""
    return path.with_name(f".{path.name}.tmp-{os.getpid()}")


def write_durably(path: Path, content: bytes | bytearray | Iterable[bytes]) -> None:
    """Create the file `path` and fsync it. Raises FileExistsError if there is one."""
    chunks = (content,) if isinstance(content, bytes | bytearray) else content
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | O_BINARY, mode=0o666)
    try:
        for chunk in chunks:
            write_all(descriptor, chunk)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, content: bytes | bytearray) -> None:
    """Write `content`, in as many parts as the system needs."""
    remaining = memoryview(content)
    while remaining:
        remaining = remaining[os.write(descriptor, remaining) :]


def rename(source: Path, target: Path) -> None:
    """Rename a file, replacing `target`; on Windows, wait up to a second for readers of it."""
    for _ in range(REPLACE_ATTEMPTS - 1 if IS_WINDOWS else 0):
        with suppress(PermissionError):
            os.replace(source, target)  # noqa: PTH105 (as the other calls of `os` here)
            return
        time.sleep(REPLACE_RETRY_SECONDS)
    os.replace(source, target)  # noqa: PTH105


def move(source: Path, target: Path) -> None:
    """Move a file to another folder, replacing `target`; fsync that folder.

    A file that cannot be renamed is copied and not removed: a file on another file system, and on
    Windows one that is mapped into memory. Raises OSError.
    """
    try:
        rename(source, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EACCES):
            raise
        write_atomically(target, read_chunks(source))
    else:
        fsync_folder(target.parent)


def unlink_if_possible(path: Path) -> None:
    """Delete a file if it exists and the system permits it: Windows keeps a file that is open."""
    with suppress(OSError):
        path.unlink(missing_ok=True)


def read_chunks(path: Path) -> Iterator[bytes]:
    """Yield the content of a file, `CHUNK_BYTES` at a time."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def fsync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a loss of power, if the system supports it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # always on Windows; elsewhere a folder without read permission
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # not supported here
            raise
    finally:
        os.close(descriptor)


def remove_stale_temporaries(folder: Path) -> None:
    """Delete the temporary files of ended processes in `folder`.

    Errors are ignored: a file that cannot be deleted is kept.
    """
    for path in list(folder.glob(".*.tmp-*")):
        if match := TEMPORARY.fullmatch(path.name):
            with suppress(OSError):
                if is_stale(path, int(match[1])):
                    path.unlink()


def is_stale(path: Path, process: int) -> bool:
    """Return whether the process that wrote a temporary file has ended.

    Raises OSError, for instance PermissionError for a live process of another user.
    """
    if IS_WINDOWS:  # there `os.kill` ends the process
        return time.time() - path.stat().st_mtime > MAX_TEMPORARY_SECONDS
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def open_regular_file(path: Path, flags: int, *, follow_links: bool = False) -> int:
    """Open a regular file and return its descriptor; never waits, not even for a pipe.

    Args:
        path: the file.
        flags: as for `os.open`; with `O_CREAT` a missing file is created with mode 0o666 & ~umask.
        follow_links: whether `path` may be a symbolic link.

    Raises `UnsuitableFileError` for a directory, pipe, device or socket, and another OSError if the
    file cannot be opened, for instance because it is a link that may not be followed.
    """
    if not follow_links:
        if not O_NOFOLLOW and path.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        flags |= O_NOFOLLOW
    try:
        descriptor = os.open(path, flags | O_NONBLOCK | O_BINARY, mode=0o666)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise UnsuitableFileError(errno.ENXIO, "is a socket, not a file") from error
        if path.is_dir():
            raise UnsuitableFileError(errno.EISDIR, "is a directory, not a file") from error
        raise
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        what = "a directory" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise UnsuitableFileError(errno.EINVAL, f"is {what}, not a file")
    return descriptor


def read_regular_file(
    path: Path, max_bytes: int, check_ends: Callable[[bytes, bytes, int], object] | None = None
) -> bytes:
    """Return the content of a regular file.

    Args:
        path: the file.
        max_bytes: the largest size that is read.
        check_ends: is called with the first and the last bytes, up to `END_BYTES` of each, and the
            size, before memory is allocated for the rest. An exception of it is passed on.

    Raises OSError: `UnsuitableFileError` for a directory, pipe, device or socket, for a file larger
    than `max_bytes`, and for one that changes while it is read.
    """
    descriptor = open_regular_file(path, os.O_RDONLY, follow_links=True)
    try:
        size = os.fstat(descriptor).st_size
        if size > max_bytes:
            raise UnsuitableFileError(errno.EFBIG, f"is larger than {max_bytes:,} bytes")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            if check_ends is not None:
                count = min(size, END_BYTES)
                first = file.read(count)
                file.seek(size - count)
                check_ends(first, file.read(count), size)
                file.seek(0)
            content = file.read(size + 1)
    finally:
        os.close(descriptor)
    if len(content) != size:
        raise UnsuitableFileError(errno.EIO, "changed while it was read")
    return content
