"""Checkpoint files: atomic writing and defensive reading of archives.

The byte format is in `npz_format`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from charrnn.checkpointing.npz_format import (
    MAX_ARCHIVE_BYTES,
    bounded_repr,
    check_ends,
    deserialise,
    serialise,
)
from charrnn.errors import CheckpointError, StorageError
from charrnn.system.files import UnsuitableFileError, read_regular_file, write_atomically
from charrnn.types import JSON, Array


def write_archive(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, JSON]) -> None:
    """Atomically replace the file at `path`; fsync the file and its folder before returning.

    Args:
        path: the file. A symlink there is replaced, not followed.
        arrays: arrays by name, of the types in `npz_format.DTYPES`.
        metadata: a JSON object.

    Raises StorageError if the file cannot be written. The old file is then kept, unless only the
    fsync of the folder has failed. Raises ValueError for content that `read_archive` would refuse.
    """
    try:
        write_atomically(path, serialise(arrays, metadata))
    except OSError as error:
        problem = f"cannot write {bounded_repr(path)}: {error.strerror}"
        raise StorageError(f"{problem}; try to free some space, or another folder") from error


def read_archive(
    path: Path, max_bytes: int = MAX_ARCHIVE_BYTES
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the arrays, writable and in the order of the file, and the metadata.

    Uses at most twice the size of the file in memory, whatever sizes the file declares, and next to
    none for a file whose beginning or end is not that of an archive. Raises
    CheckpointError if there is no file, if it is larger than `max_bytes`, or if it is not as
    `write_archive` writes it; StorageError if it cannot be read.
    """
    try:
        return deserialise(read_regular_file(path, max_bytes, check_ends))
    except (CheckpointError, UnsuitableFileError) as error:
        problem = error.strerror if isinstance(error, UnsuitableFileError) else error
        raise CheckpointError(f"{bounded_repr(path)} {problem}; try another checkpoint") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        problem = f"no checkpoint at {bounded_repr(path)}"
        raise CheckpointError(f"{problem}; try the path of an .npz that charrnn wrote") from error
    except OSError as error:
        problem = f"cannot read {bounded_repr(path)}: {error.strerror}"
        raise StorageError(f"{problem}; try a copy that you may read") from error
    except MemoryError as error:
        problem = f"cannot read {bounded_repr(path)}: it does not fit into memory"
        raise StorageError(f"{problem}; try to close other programs") from error
