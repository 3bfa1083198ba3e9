"""The program `charrnn`, which also reports saves and validations as they begin and end.

The lines go to the descriptor in the environment variable `CHARRNN_TEST_REPORT`: `save`, `saved`,
`validate` or `validated`, and the step. With `CHARRNN_TEST_NAIVE`, checkpoints are written straight
into their files, without a temporary file. With `CHARRNN_TEST_FSYNC`, an fsync takes so many
seconds; with `CHARRNN_TEST_PAUSE`, each save is followed by so many.
"""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from charrnn.__main__ import main
from charrnn.checkpointing import npz_file
from charrnn.checkpointing.records import Checkpoint
from charrnn.cli.runs.run_folder import RunFolder
from charrnn.training.trainer import Trainer

PIECE, PIECE_SECONDS = 1024, 0.001
"""Bytes that the naive writer writes at once, and what that takes: it is most of the time in it."""


def report(event: str, step: int) -> None:
    os.write(int(os.environ["CHARRNN_TEST_REPORT"]), f"{event} {step}\n".encode())


def reporting_save(save: Callable[..., None]) -> Callable[..., None]:
    def saved(self: RunFolder, name: str, checkpoint: Checkpoint) -> None:
        if name != "last.npz":
            save(self, name, checkpoint)
            return
        report("save", checkpoint.step)
        save(self, name, checkpoint)
        report("saved", checkpoint.step)
        time.sleep(float(os.environ.get("CHARRNN_TEST_PAUSE", "0")))

    return saved


def reporting_validation(evaluate: Callable[..., Any]) -> Callable[..., Any]:
    def validated(self: Trainer, *arguments: Any) -> Any:
        report("validate", self.progress.step)
        found = evaluate(self, *arguments)
        report("validated", self.progress.step)
        return found

    return validated


def write_straight(path: Path, content: bytes | bytearray | Iterable[bytes]) -> None:
    """Write as `numpy.savez(path)` does: into the file itself, piece by piece."""
    whole = content if isinstance(content, bytes | bytearray) else b"".join(content)
    with path.open("wb", buffering=0) as file:
        for start in range(0, len(whole), PIECE):
            file.write(whole[start : start + PIECE])
            time.sleep(PIECE_SECONDS)


def slow_fsync(seconds: float) -> Callable[[int], None]:
    fsync = os.fsync

    def slow(descriptor: int) -> None:
        time.sleep(seconds)
        fsync(descriptor)

    return slow


if __name__ == "__main__":
    RunFolder.save = reporting_save(RunFolder.save)  # type: ignore[method-assign]
    Trainer.evaluate = reporting_validation(Trainer.evaluate)  # type: ignore[method-assign]
    if "CHARRNN_TEST_NAIVE" in os.environ:
        npz_file.write_atomically = write_straight  # type: ignore[attr-defined]
    if "CHARRNN_TEST_FSYNC" in os.environ:
        os.fsync = slow_fsync(float(os.environ["CHARRNN_TEST_FSYNC"]))  # type: ignore[assignment]
    main()
