"""Status of a run: whether it is being trained, how it ended, and a summary of it."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.checkpointing.lookup import checkpoint_in, resumable_in
from charrnn.checkpointing.records import Checkpoint
from charrnn.checkpointing.run_records import (
    complete_lines,
    open_metrics,
    parse_row,
    planned_steps,
    read_facts,
)
from charrnn.cli.output.safe_text import shell_command
from charrnn.errors import CharRNNError, CheckpointError
from charrnn.run_files import is_run_file
from charrnn.system.file_lock import is_locked

ENDED, DIVERGED = "ended", "diverged"
"""Name and value in run.json of a run that ended with `DivergedError`."""

TAIL_BYTES = 2**16
"""Bytes at the end of metrics.jsonl in which the last row is looked for."""

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


class Status(StrEnum):
    """What has become of a run."""

    RUNNING = "running"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    DIVERGED = "diverged"
    DAMAGED = "damaged"
    MODEL = "model only"


@dataclass(frozen=True)
class RunSummary:
    """One run in a list of runs.

    Args:
        folder: the folder of the run.
        status: `MODEL` is a folder without the state of training, `DAMAGED` one whose checkpoint
            cannot be read.
        step: the last step that is saved or, of a run that is being trained, logged.
        steps: the planned number of steps, or None if it is not known.
        best_nats: the loss of the best validation, in nats per `unit`.
        best_step: its step.
        unit: `char` for a text, `symbol` for pairs; None if no checkpoint can be read.
        network: cell, layers, units and number of parameters; None if no checkpoint can be read.
        corpus: the name of the training data.
        size_bytes: bytes of the files of the run.
        changed: when one of them was last written, in seconds since the epoch.
    """

    folder: Path
    status: Status
    step: int | None
    steps: int | None
    best_nats: float | None
    best_step: int | None
    unit: str | None
    network: dict[str, Any] | None
    corpus: str | None
    size_bytes: int
    changed: float


def summary_of(folder: Path) -> RunSummary:
    """Return the summary of a run, also of one whose files are missing or damaged."""
    files = run_files_in(folder)
    running, facts = is_training(folder), read_facts(folder)
    checkpoint, damaged = newest_checkpoint(folder)
    status = status_from(checkpoint, facts, running=running, damaged=damaged)
    step, steps = (None if checkpoint is None else checkpoint.step), planned_steps(facts)
    best_nats = best_step = unit = network = corpus = None
    if checkpoint is not None:
        best_nats, best_step = checkpoint.validation_nats, checkpoint.step
        if (state := checkpoint.training) is not None:
            steps = state.config.steps
            best_nats, best_step = state.progress.best_nats, state.progress.best_step
        best_step = None if best_nats is None else best_step
        unit = "symbol" if checkpoint.symbols.of_pairs else "char"
        config = checkpoint.config
        network = {"cell": config.cell, "layers": config.layers, "hidden": config.hidden}
        network["parameters"] = len(checkpoint.parameters.vector)
        corpus = checkpoint.corpus.name
    if running and (logged := last_logged_step(folder)) is not None:
        step = max(step or 0, logged)
    size = sum(stat.st_size for stat in files)
    changed = max((stat.st_mtime for stat in files), default=0.0)
    return RunSummary(
        folder, status, step, steps, best_nats, best_step, unit, network, corpus, size, changed
    )


def newest_checkpoint(folder: Path) -> tuple[Checkpoint | None, bool]:
    """Return the checkpoint to resume from, or else the model; and whether one is unreadable."""
    damaged = False
    for find in (resumable_in, checkpoint_in):
        try:
            path = find(folder)
        except CharRNNError:
            continue
        try:
            return load_checkpoint(path), damaged
        except CharRNNError:
            damaged = True
    return None, damaged


def status_from(
    checkpoint: Checkpoint | None, facts: Mapping[str, Any], *, running: bool, damaged: bool
) -> Status:
    """Return the status of a run.

    Args:
        checkpoint: its newest checkpoint, or None.
        facts: run.json.
        running: whether a process is training in its folder.
        damaged: whether a newer checkpoint cannot be read.
    """
    state = None if checkpoint is None else checkpoint.training
    if running:
        return Status.RUNNING
    if damaged:
        return Status.DAMAGED
    if state is not None and state.finished:
        return Status.FINISHED
    if facts.get(ENDED) == DIVERGED:
        return Status.DIVERGED
    return Status.MODEL if checkpoint is not None and state is None else Status.INTERRUPTED


def last_logged_step(folder: Path) -> int | None:
    """Return the step of the last complete row of metrics.jsonl, or None if there is none."""
    step = None
    try:
        with open_metrics(folder / "metrics.jsonl") as file:
            end = os.fstat(file.fileno()).st_size
            if end > TAIL_BYTES:
                file.seek(end - TAIL_BYTES)
                file.readline()
            for line in complete_lines(file):
                row = parse_row(line)
                step = step if row is None else row["step"]
    except OSError:
        return None
    return step


def run_files_in(folder: Path) -> list[os.stat_result]:
    """Return the status of the files of a run; those that vanish meanwhile are left out.

    Raises `CheckpointError` if the folder cannot be read.
    """
    found = []
    try:
        for path in folder.iterdir():
            if is_run_file(path.name):
                try:
                    found.append(path.stat())
                except FileNotFoundError:
                    continue
    except OSError as error:
        raise CheckpointError(f"cannot read {str(folder)!r}: {error.strerror}") from error
    return found
