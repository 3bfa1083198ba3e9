"""The files of a run's folder, and how such a folder is recognised.

best.npz  last.npz  step-NNNNNN.npz    checkpoints
metrics.jsonl                          one JSON object a line
run.json                               the command, its paths, the machine
lock                                   held while a run writes here
ids.bin                                the ids of a text too large to be held in memory
"""

import re
from pathlib import Path

RUN_FILES = frozenset({"best.npz", "last.npz", "metrics.jsonl", "run.json", "lock", "ids.bin"})

NUMBERED = re.compile(r"step-([0-9]+)\.npz")
"""The name of a checkpoint that `--keep` keeps."""


def is_run_file(name: str) -> bool:
    """Return whether a run writes a file of this name into its folder."""
    return name in RUN_FILES or NUMBERED.fullmatch(name) is not None


def is_run(folder: Path) -> bool:
    """Return whether a folder holds a run: a checkpoint, or a run that has not saved one yet."""
    if (folder / "best.npz").is_file() or (folder / "last.npz").is_file():
        return True
    return (folder / "run.json").is_file() and (folder / "lock").is_file()
