"""Status of a run: whether it is being trained, and how it ended."""

import time
from pathlib import Path

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.cli.output.safe_text import shell_command
from charrnn.errors import CharRNNError
from charrnn.system.file_lock import is_locked

MAX_IDLE_SECONDS = 90.0
"""Seconds without a new row after which a run without a lock file has ended: three saves."""


def is_training(folder: Path) -> bool:
    """Whether a process is training in a run's folder: it holds the lock, which is not waited for.

    Without a lock file, or without locks, a run is training if its files changed recently.
    """
    lock = is_locked(folder / "lock")
    if lock is not None:
        return lock
    ages = [
        time.time() - path.stat().st_mtime
        for path in (folder / "metrics.jsonl", folder / "last.npz")
        if path.exists()
    ]
    return min(ages, default=MAX_IDLE_SECONDS) < MAX_IDLE_SECONDS


def how_it_ended(folder: Path, step: int, planned: int | None) -> str:
    """Return one sentence on how the run in `folder` ended: finished, interrupted or killed.

    `step` is the last step of metrics.jsonl, `planned` the last step of the plan.
    """
    of_all = "" if planned is None else f" of {planned:,}"
    if planned is not None and step >= planned:
        return f"the run has taken all of its {planned:,} steps"
    try:
        checkpoint = load_checkpoint(folder / "last.npz")
    except CharRNNError:
        return f"the run ended at step {step:,}{of_all}, and nothing was saved"
    if checkpoint.step < step:
        return (
            f"the run was killed or diverged after step {step:,}{of_all}; "
            f"last.npz is of step {checkpoint.step:,}"
        )
    state = checkpoint.training
    if state is not None and state.finished:
        return f"the run is finished, at step {checkpoint.step:,}{of_all}"
    resume = shell_command("charrnn", "train", "--resume", str(folder))
    return f"the run was interrupted at step {checkpoint.step:,}{of_all}; go on with: {resume}"
