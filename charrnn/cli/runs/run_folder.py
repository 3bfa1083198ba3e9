"""Folder of a run: its lock, and its files as they are written and removed.

`run_files` lists the files, `checkpointing.lookup` finds the checkpoint in a folder, `metrics_log`
writes metrics.jsonl.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any, Self

from charrnn.checkpointing.checkpoint import save_checkpoint
from charrnn.checkpointing.lookup import numbered_saves, step_of
from charrnn.checkpointing.records import Checkpoint
from charrnn.checkpointing.run_records import read_facts
from charrnn.cli.output.console import warn
from charrnn.cli.output.safe_text import label
from charrnn.cli.runs.metrics_log import MetricsLog
from charrnn.errors import StorageError, UsageError
from charrnn.run_files import is_run_file
from charrnn.system.file_lock import NO_LOCKS, FileLock
from charrnn.system.files import (
    TEMPORARY,
    remove_stale_temporaries,
    unlink_if_possible,
    write_atomically,
)
from charrnn.types import JSON


class RunFolder:
    """The folder of one run, locked; a context manager."""

    def __init__(self, path: Path, *, new: bool = False, made: tuple[Path, ...] = ()) -> None:
        """Lock an existing folder.

        Args:
            path: the folder.
            new: whether it holds no run yet: if the run fails before its first checkpoint, its
                files are removed.
            made: the folders that were made for it, `path` first; then removed too.

        Raises `FolderInUseError` if another process is writing there, another `StorageError` if
        the folder cannot be locked.
        """
        self.path, self._new, self._made = path, new, made
        self._lock = lock_folder(path)
        if self._lock is None:
            remove_stale_temporaries(path)
        else:
            remove_own_temporaries(path)
        self.metrics = MetricsLog(path / "metrics.jsonl")

    @classmethod
    def claim(cls, wanted: Path) -> Self:
        """Return the folder for a new run: `wanted`, or `wanted-2`, `-3`, … if it holds a run.

        A folder that exists and holds no file of a run is used as it is. Raises `UsageError` if
        `wanted` holds a run and has no name to count on from, and `StorageError` if the folder
        cannot be made.
        """
        for number in count(1):
            path = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
            try:
                made = make_folders(path)
            except FileExistsError:
                remove_stale_temporaries(path)  # of a run that was killed before its first save
                if path.is_dir() and not holds_run_files(path):
                    with contextlib.suppress(FolderInUseError):
                        return cls(path, new=True)
                if wanted.name in ("", ".."):
                    raise UsageError(
                        f"the folder {str(wanted)!r} holds a run already", "--out DIR"
                    ) from None
            except OSError as error:
                raise StorageError(
                    f"cannot make the folder {str(path)!r}: {error.strerror}", "--out DIR"
                ) from error
            else:
                return cls(path, new=True, made=made)
        raise RuntimeError("there is always a next number")

    def keep(self) -> None:
        """Keep the files of a new run even if it fails before its first checkpoint."""
        self._new = False

    def discard(self) -> None:
        """Remove the files of a new run that has no checkpoint; other files are kept."""
        if not self._new or any(self.path.glob("*.npz")):
            return
        self.metrics.discard_rows()
        self.metrics.close()
        lock = self.path / "lock"
        for path in self.path.iterdir():
            if is_run_file(path.name) and path != lock:
                unlink_if_possible(path)
        try:
            lock.unlink(missing_ok=True)
        except PermissionError:  # Windows does not delete a file that is open
            self._release_lock()
            unlink_if_possible(lock)
        for folder in self._made:
            with contextlib.suppress(OSError):  # not empty: something else lies there
                folder.rmdir()

    def save(self, name: str, checkpoint: Checkpoint) -> None:
        """Write a checkpoint atomically, after the rows of metrics.jsonl of the steps before it.

        Raises `StorageError` if the checkpoint cannot be written.
        """
        self.metrics.sync()
        save_checkpoint(self.path / name, checkpoint)

    def prune(self, keep: int, step: int | None = None) -> None:
        """Delete all but the newest `keep` numbered checkpoints.

        With `step`, checkpoints of later steps are kept and not counted: a run that was resumed
        from an earlier checkpoint has not reached them yet.
        """
        numbered = [
            path for path in numbered_saves(self.path) if step is None or step_of(path) <= step
        ]
        for old in numbered[: max(0, len(numbered) - keep)]:
            unlink_if_possible(old)

    def write_facts(self, facts: Mapping[str, JSON]) -> None:
        """Write run.json: facts about the call and the machine. Raises `StorageError`."""
        path = self.path / "run.json"
        with storage_errors(path):
            write_atomically(path, (json.dumps(facts, indent=2) + "\n").encode())

    def read_facts(self) -> dict[str, Any]:
        """Return run.json, or an empty dictionary if it is missing or damaged."""
        return read_facts(self.path)

    def update_facts(self, facts: Mapping[str, JSON]) -> None:
        """Replace some values of run.json; a failure to write it is ignored."""
        with contextlib.suppress(StorageError):
            self.write_facts(self.read_facts() | dict(facts))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with contextlib.suppress(OSError):  # all rows up to the last checkpoint are written
            self.metrics.close()
            if kind is not None:
                self.discard()
        self._release_lock()

    def _release_lock(self) -> None:
        if self._lock is not None:
            with contextlib.suppress(OSError):  # nothing was written to it
                self._lock.release()


class FolderInUseError(StorageError):
    """Another process holds the lock of a run's folder."""


def lock_folder(folder: Path) -> FileLock | None:
    """Lock the folder of a run; on a file system without locks, warn and return None.

    Raises `FolderInUseError` if another process holds the lock, another `StorageError` if the lock
    file cannot be opened.
    """
    path = folder / "lock"
    with storage_errors(path):
        try:
            return FileLock(path)
        except BlockingIOError as error:
            raise FolderInUseError(
                f"another run is writing to {str(folder)!r}", "to wait until it has ended"
            ) from error
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
    warn(f"this file system has no locks: start no second run in {label(str(folder))}")
    return None


def remove_own_temporaries(folder: Path) -> None:
    """Delete the temporary files of run files in a folder that this process has just locked.

    No run is writing there, so that they are left over even if a process has their number: in a
    container, the next run often has the number of the one that was killed.
    """
    for path in list(folder.glob(".*.tmp-*")):
        target = path.name[1:].rpartition(".tmp-")[0]
        if TEMPORARY.fullmatch(path.name) and is_run_file(target):
            unlink_if_possible(path)


def make_folders(path: Path) -> tuple[Path, ...]:
    """Make a folder and missing parent folders; return those that were made, innermost first.

    Raises OSError, among them FileExistsError if `path` itself exists.
    """
    missing = [path]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    path.mkdir(parents=True)
    return tuple(missing)


def holds_run_files(folder: Path) -> bool:
    """Return whether a folder holds any file that a run would write, or cannot be listed."""
    try:
        return any(is_run_file(path.name) for path in folder.iterdir())
    except OSError:
        return True


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Raise `StorageError`, which names the file `path`, in place of an OSError."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot write {str(path)!r}: {error.strerror or error}") from error
