"""Names of the files in the folder of a run, and how such a folder is recognised.

best.npz  last.npz  step-NNNNNN.npz    checkpoints
merged.npz                             the mean of several networks, if the run trained them
metrics.jsonl                          metrics, one JSON object per line
run.json                               the command, its paths, the machine
lock                                   locked while a run writes to the folder
teachers/                              the runs of its teachers, if it trained them
ids.bin                                the ids of a text that is too large for memory
"""

import re
from pathlib import Path

RUN_FILES = frozenset(
    {"best.npz", "last.npz", "merged.npz", "metrics.jsonl", "run.json", "lock", "ids.bin"}
)

NUMBERED = re.compile(r"step-([0-9]+)\.npz")
"""The name of a numbered checkpoint, of which `--keep` limits the number."""


def is_run_file(name: str) -> bool:
    """Return whether a run writes a file of this name into its folder."""
    return name in RUN_FILES or NUMBERED.fullmatch(name) is not None


def is_run(folder: Path) -> bool:
    """Return whether a folder is that of a run, which may not have a checkpoint yet."""
    if (folder / "best.npz").is_file() or (folder / "last.npz").is_file():
        return True
    return (folder / "run.json").is_file() and (folder / "lock").is_file()
