"""Lookup of checkpoints by path: one rule for the commands and for the Python API.

A path of a file stands for that file. Of a run's folder, `merged.npz` is used if the run trained
several networks, else `best.npz`, or `last.npz` as long as nothing has been validated, or the
newest numbered save. Training is resumed from `last.npz`, or from the newest numbered save.
"""

import os
from pathlib import Path

from charrnn.checkpointing.npz_format import bounded_repr
from charrnn.errors import CheckpointError, StorageError, UsageError
from charrnn.limits import format_value
from charrnn.run_files import NUMBERED, is_run

MERGED = "merged.npz"
"""Name of the mean of several networks of a run."""

RUNS = Path("checkpoints")
"""Where runs are made and looked for."""


def checked_path(path: str | os.PathLike[str]) -> Path:
    """Return an argument as a path; `UsageError` for one that no file can have."""
    try:
        checked = Path(path)
        encoded = os.fsencode(checked)
    except (TypeError, UnicodeEncodeError) as error:
        raise UsageError(f"{format_value(path)} is no path; it must be a str or a Path") from error
    if b"\0" in encoded:
        raise UsageError(f"{bounded_repr(checked)} is no path: it holds a NUL character")
    return checked


def numbered_saves(folder: Path) -> list[Path]:
    """Return the checkpoints `step-N.npz` of a run, sorted by N."""
    found = [path for path in folder.glob("step-*.npz") if NUMBERED.fullmatch(path.name)]
    return sorted(found, key=step_of)


def step_of(path: Path) -> int:
    """Return N of a checkpoint `step-N.npz`."""
    return int(path.stem.removeprefix("step-"))


def checkpoint_in(path: Path) -> Path:
    """Return the file to use a model from.

    Raises `CheckpointError` for a folder without one, and `StorageError` if the system cannot look
    for it, as for a name that is too long.
    """
    try:
        if not path.is_dir():
            return path
    except OSError as error:
        problem = f"cannot read {bounded_repr(path)}: {error.strerror}"
        raise StorageError(problem, "another path") from error
    names = (MERGED, "best.npz", "last.npz")
    for candidate in (*(path / name for name in names), *reversed(numbered_saves(path))):
        if candidate.exists():
            return candidate
    raise CheckpointError(
        f"no checkpoint in the folder {str(path)!r}", "the path of an .npz or of a run's folder"
    )


def resumable_in(path: Path) -> Path:
    """Return the file to resume training from. Raises `CheckpointError` for a folder without."""
    if path.suffix == ".npz":
        return path
    for candidate in (path / "last.npz", *reversed(numbered_saves(path))):
        if candidate.exists():
            return candidate
    raise CheckpointError(
        f"no last.npz in {str(path)!r} to resume from", "another run, which charrnn info shows"
    )


def saved_runs(runs: Path = RUNS) -> dict[Path, int]:
    """Return the runs that have a checkpoint, each with the time of its last save in ns."""
    saved = {}
    for folder in sorted(runs.glob("*/")):
        checkpoints = [folder / "last.npz", folder / "best.npz", *numbered_saves(folder)]
        newest = next((path for path in checkpoints if path.is_file()), None)
        if is_run(folder) and newest is not None:
            saved[folder] = newest.stat().st_mtime_ns
    return saved


def runs_under(folder: Path) -> list[Path]:
    """Return the runs in a folder, sorted by name, also those without a checkpoint.

    Raises `CheckpointError` if the folder cannot be read.
    """
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and is_run(path))
    except OSError as error:
        raise CheckpointError(
            f"cannot read the folder {bounded_repr(folder)}: {error.strerror}", "another folder"
        ) from error


def newest_run(runs: Path = RUNS) -> Path:
    """Return the run that was saved last. Raises `CheckpointError` if there is none."""
    saved = saved_runs(runs)
    if not saved:
        raise CheckpointError(f"no run under {str(runs)!r}", "charrnn train first", "a path")
    return max(saved, key=lambda folder: (saved[folder], folder))


def is_checkpoint_argument(argument: str) -> bool:
    """Return whether a first argument means a checkpoint: an .npz, or the folder of a run."""
    return argument.endswith(".npz") or is_run(Path(argument))


def find_checkpoint(argument: str | None) -> Path:
    """Return the file meant by a checkpoint argument; without one, that of the newest run."""
    return checkpoint_in(newest_run() if argument is None else Path(argument))
