"""Archives on disk: replaced in one step, read with suspicion; `npz` knows what is inside them."""

import errno
import os
import re
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from charrnn.checkpointing.npz_format import MAXIMUM_SIZE, parse, require, serialise, shown
from charrnn.errors import CheckpointError, StorageError
from charrnn.types import JSON, Array

TEMPORARY = re.compile(r"\..+\.tmp-([1-9][0-9]{0,8})")


def write_archive(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, JSON]) -> None:
    """Replace the file at `path` in one step, and return when no loss of power can undo it.

    A symlink at `path` is replaced, not followed. Raises StorageError if the file cannot be
    written; then `path` is as it was, or as it should be if only the last step failed, which makes
    the folder durable. Raises ValueError for content that `read_archive` would refuse.
    """
    try:
        write_atomically(path, serialise(arrays, metadata))
    except OSError as error:
        problem = f"cannot write {shown(path)}: {error.strerror}"
        raise StorageError(f"{problem}; try to free some space, or another folder") from error


def write_atomically(path: Path, content: bytes | bytearray) -> None:
    """Replace the file at `path`; fsync the file and its folder before returning.

    Raises OSError; then the file that was there still is, and no temporary file is left.
    """
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        temporary.unlink(missing_ok=True)  # a killed process may have had our number
        write_durably(temporary, content)
        os.replace(temporary, path)  # noqa: PTH105 (stands beside the other calls of `os`)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    make_folder_durable(path.parent)


def write_durably(path: Path, content: bytes | bytearray) -> None:
    """Create the file `path`, and return when its content has reached the disk."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, mode=0o666)
    try:
        remaining = memoryview(content)
        while remaining:
            remaining = remaining[os.write(descriptor, remaining) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder_durable(folder: Path) -> None:
    """Let a rename inside `folder` survive a loss of power, where the system can do that."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # all of Windows, and a folder one may write to but not list
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # this file system cannot
            raise
    finally:
        os.close(descriptor)


def remove_stale_temporaries(folder: Path) -> None:
    """Delete what processes that were killed inside `write_archive` left in `folder`.

    Does what it can and raises nothing: a file that stays is in nobody's way.
    """
    if os.name != "posix":  # elsewhere `os.kill` does not ask, it kills
        return
    for path in list(folder.glob(".*.tmp-*")):
        if match := TEMPORARY.fullmatch(path.name):
            with suppress(OSError):  # among them PermissionError: it lives, under another user
                try:
                    os.kill(int(match[1]), 0)
                except ProcessLookupError:
                    path.unlink()


def read_archive(
    path: Path, maximum: int = MAXIMUM_SIZE
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the arrays, writable and in the order of the file, and the metadata.

    Takes the memory of two such files, whatever the file claims. Raises CheckpointError if there is
    no file, if it has more than `maximum` bytes, or if they are not what `write_archive` writes;
    StorageError if the system does not hand them over.
    """
    try:
        return parse(read_regular_file(path, maximum))
    except CheckpointError as error:
        raise CheckpointError(f"{shown(path)} {error}; try another checkpoint") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        problem = f"no checkpoint at {shown(path)}"
        raise CheckpointError(f"{problem}; try the path of an .npz that charrnn wrote") from error
    except OSError as error:
        problem = f"cannot read {shown(path)}: {error.strerror}"
        raise StorageError(f"{problem}; try a copy that you may read") from error
    except MemoryError as error:
        problem = f"cannot read {shown(path)}: it does not fit into memory"
        raise StorageError(f"{problem}; try to close other programs") from error


def read_regular_file(path: Path, maximum: int) -> bytes:
    """Return the content of a file; refuse a pipe or a device without waiting for it."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        require(error.errno != errno.ENXIO, "is a socket, not a file")
        raise
    try:
        status = os.fstat(descriptor)
        require(not stat.S_ISDIR(status.st_mode), "is a directory, not a file")
        require(stat.S_ISREG(status.st_mode), "is a pipe or a device, not a file")
        require(status.st_size <= maximum, f"is larger than {maximum:,} bytes")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(status.st_size + 1)
    finally:
        os.close(descriptor)
    require(len(content) == status.st_size, "changed while it was read")
    return content
