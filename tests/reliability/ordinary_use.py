"""Ordinary use of the package in a second: train, resume, sample, evaluate, show.

`python -m tests.reliability.ordinary_use FOLDER WORKERS` works in an empty folder and fails if a
command fails. A weakening must pass it: one that breaks ordinary use would be seen without a test.
"""

import os
import sys
import warnings
from pathlib import Path

import charrnn
from charrnn.cli.app import app

TEXT = "the quick brown fox jumps over the lazy dog\n" * 40
COMMANDS = (
    "train text.txt --out run --steps 6 --hidden 8 --seq-length 10 --batch-size 4 "
    "--save-every 3 --keep 2 --eval-every 3 --ema-decay 0.9 --quiet",
    "train --resume run/step-000003.npz --quiet",
    "sample run --length 20 --seed 1",
    "eval run text.txt --no-baselines",
    "info run",
)


def main(folder: Path, workers: str) -> None:
    """Run all commands in `folder`; exit with a message if one fails."""
    root = Path.cwd()
    if not Path(charrnn.__file__).is_relative_to(root):
        raise SystemExit(f"the package is {charrnn.__file__}, not the one in {root}")
    warnings.simplefilter("error")
    os.chdir(folder)
    Path("text.txt").write_text(TEXT, encoding="utf-8")
    first, *others = COMMANDS
    for command in (f"{first} --workers {workers}", *others):
        try:
            app(command.split())
        except SystemExit as end:
            if end.code:
                raise SystemExit(f"charrnn {command}: exit code {end.code}") from end


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
