"""Files: atomic writing, defensive opening and reading, and removal of stale temporary files.

Windows is allowed for: it cannot open a folder to fsync it, refuses to rename or to delete a file
that is open, and has no symbolic links that `os.open` could refuse.
"""

import errno
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from charrnn.system.platform import IS_WINDOWS, O_BINARY, O_NOFOLLOW, O_NONBLOCK

TEMPORARY = re.compile(r"\..+\.tmp-([1-9][0-9]{0,8})")
"""The name of a temporary file: its target's, and the number of the process that writes it."""

MAX_TEMPORARY_SECONDS = 86_400
"""Age at which a temporary file is stale, on systems that do not tell whether a process lives."""

REPLACE_ATTEMPTS, REPLACE_RETRY_SECONDS = 20, 0.05
"""Attempts to replace a file on Windows, which refuses it while another process reads the file."""

CHUNK_BYTES = 2**20


class UnsuitableFileError(OSError):
    """A file is not a regular one, larger than allowed, or changes while it is read.

    `strerror` is a phrase that completes a sentence about the file: "is a directory, not a file".
    """


def write_atomically(path: Path, content: bytes | bytearray | Iterable[bytes]) -> None:
    """Replace the file at `path`; fsync the file and its folder before returning.

    Args:
        path: the file. A symlink there is replaced, not followed.
        content: the bytes, or pieces of them that are made while the file is written.

    Raises OSError, and what making a piece raises. Then the file that was there still is, and no
    temporary file is left; only if the last step fails, the fsync of the folder, the file is
    replaced.
    """
    temporary = temporary_path(path)
    try:
        temporary.unlink(missing_ok=True)  # a killed process may have had this process's number
        write_durably(temporary, content)
        rename(temporary, path)
    finally:
        unlink_if_possible(temporary)
    fsync_folder(path.parent)


def temporary_path(path: Path) -> Path:
    """Return the name under which this process writes a file that will replace `path`."""
    return path.with_name(f".{path.name}.tmp-{os.getpid()}")


def write_durably(path: Path, content: bytes | bytearray | Iterable[bytes]) -> None:
    """Create the file `path`, and return when its content has reached the disk."""
    pieces = (content,) if isinstance(content, bytes | bytearray) else content
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | O_BINARY, mode=0o666)
    try:
        for piece in pieces:
            write_all(descriptor, piece)
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
            os.replace(source, target)  # noqa: PTH105 (stands beside the other calls of `os`)
            return
        time.sleep(REPLACE_RETRY_SECONDS)
    os.replace(source, target)  # noqa: PTH105


def move(source: Path, target: Path) -> None:
    """Move a file to another folder, replacing `target`; fsync that folder.

    A file that cannot be renamed is copied, and stays: one on another file system, and on Windows
    one that is mapped into memory. Raises OSError.
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
        while piece := file.read(CHUNK_BYTES):
            yield piece


def fsync_folder(folder: Path) -> None:
    """Let a rename inside `folder` survive a loss of power, where the system can do that."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # all of Windows, and a folder that one may write to but not list
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # this file system cannot
            raise
    finally:
        os.close(descriptor)


def remove_stale_temporaries(folder: Path) -> None:
    """Delete the temporary files in `folder` whose process has ended.

    Raises nothing: a file that cannot be deleted, or whose process cannot be asked for, stays.
    """
    for path in list(folder.glob(".*.tmp-*")):
        if match := TEMPORARY.fullmatch(path.name):
            with suppress(OSError):
                if is_stale(path, int(match[1])):
                    path.unlink()


def is_stale(path: Path, process: int) -> bool:
    """Return whether the process that wrote a temporary file has ended.

    Raises OSError: among others PermissionError if it lives, under another user.
    """
    if IS_WINDOWS:  # where `os.kill` does not ask, it kills
        return time.time() - path.stat().st_mtime > MAX_TEMPORARY_SECONDS
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def open_regular_file(path: Path, flags: int, *, follow_links: bool = False) -> int:
    """Return a descriptor of a regular file; refuse a pipe or a device without waiting for it.

    Args:
        path: the file.
        flags: those of `os.open`; with `O_CREAT`, the file is made with the usual permissions.
        follow_links: whether `path` may be a symbolic link.

    Raises `UnsuitableFileError` for what is not a regular file, another OSError for what cannot be
    opened, among others for a link that may not be followed.
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


def read_regular_file(path: Path, max_bytes: int) -> bytes:
    """Return the content of a file. Raises OSError, or `UnsuitableFileError` for what is not one.

    `UnsuitableFileError` is also raised for a file that is larger than `max_bytes`.
    """
    descriptor = open_regular_file(path, os.O_RDONLY, follow_links=True)
    try:
        size = os.fstat(descriptor).st_size
        if size > max_bytes:
            raise UnsuitableFileError(errno.EFBIG, f"is larger than {max_bytes:,} bytes")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(size + 1)
    finally:
        os.close(descriptor)
    if len(content) != size:
        raise UnsuitableFileError(errno.EIO, "changed while it was read")
    return content
