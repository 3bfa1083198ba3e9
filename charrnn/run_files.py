"""Files of a run folder, by name: what a search for texts leaves out."""

import re
from pathlib import Path

RUN_FILES = frozenset({"best.npz", "last.npz", "metrics.jsonl", "run.json", "lock", "ids.bin"})
"""Names of the files that training writes into a run folder, numbered saves aside."""

NUMBERED_SAVE = re.compile(r"step-\d+\.npz")


def is_run(folder: Path) -> bool:
    """Whether `folder` is that of a run: it holds a checkpoint, or both run.json and lock."""
    if (folder / "best.npz").is_file() or (folder / "last.npz").is_file():
        return True
    return (folder / "run.json").is_file() and (folder / "lock").is_file()


def is_run_file(name: str) -> bool:
    """Whether a file of this name in a run folder was written by training."""
    return name in RUN_FILES or NUMBERED_SAVE.fullmatch(name) is not None
