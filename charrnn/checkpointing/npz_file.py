"""Archives on disk: replaced in one step, read with suspicion; `npz` knows what is inside them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from charrnn.checkpointing.npz_format import MAX_ARCHIVE_BYTES, bounded_repr, deserialise, serialise
from charrnn.errors import CheckpointError, StorageError
from charrnn.system.files import UnsuitableFileError, read_regular_file, write_atomically
from charrnn.types import JSON, Array


def write_archive(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, JSON]) -> None:
    """Replace the file at `path` in one step, and return when no loss of power can undo it.

    A symlink at `path` is replaced, not followed. Raises StorageError if the file cannot be
    written; then `path` is as it was, or as it should be if only the last step failed, which makes
    the folder durable. Raises ValueError for content that `read_archive` would refuse.
    """
    try:
        write_atomically(path, serialise(arrays, metadata))
    except OSError as error:
        problem = f"cannot write {bounded_repr(path)}: {error.strerror}"
        raise StorageError(f"{problem}; try to free some space, or another folder") from error


def read_archive(
    path: Path, maximum: int = MAX_ARCHIVE_BYTES
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the arrays, writable and in the order of the file, and the metadata.

    Takes the memory of two such files, whatever the file claims. Raises CheckpointError if there is
    no file, if it has more than `maximum` bytes, or if they are not what `write_archive` writes;
    StorageError if the system does not hand them over.
    """
    try:
        return deserialise(read_regular_file(path, maximum))
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
