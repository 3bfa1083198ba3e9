"""Saves of a run: last.npz, best.npz and the numbered checkpoints, also when a save fails.

A save that fails, for instance because the disk is full for a moment, is tried again with the next
one. Until then the best model is kept in memory, and last.npz is written with the best validation
of which best.npz holds the model, so that a resumed run knows what it has.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple, Self

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.checkpointing.records import Checkpoint
from charrnn.cli.output.console import warn
from charrnn.cli.runs.run_folder import RunFolder
from charrnn.errors import CheckpointError, StorageError
from charrnn.training.events import Evaluation
from charrnn.training.prepared_data import PreparedData
from charrnn.training.snapshot import snapshot
from charrnn.training.trainer import Trainer
from charrnn.training_config import Progress

MAX_FAILED_SAVES, MAX_UNSAVED_SECONDS = 3, 90.0
"""Failed saves in a row, and seconds since the first of them, after which a run ends."""

BEST, LAST = "best.npz", "last.npz"


class BestValidation(NamedTuple):
    """The fields of `Progress` that describe the best validation."""

    best_nats: float | None = None
    best_exact_match: float | None = None
    best_step: int = 0

    @classmethod
    def of(cls, progress: Progress) -> Self:
        """Return the best validation so far."""
        return cls(*(getattr(progress, name) for name in cls._fields))

    def is_better_than(self, other: "BestValidation") -> bool:
        """Return whether this would be the best after `other`."""
        known = Progress(**other._asdict())
        return self.best_nats is not None and known.is_best(self.best_nats, self.best_exact_match)


class Saves:
    """Writes the checkpoints of a run into its folder.

    Args:
        folder: the folder of the run.
        trainer: what is saved.
        prepared: the symbols and the corpus record that a checkpoint needs.
    """

    def __init__(self, folder: RunFolder, trainer: Trainer, prepared: PreparedData) -> None:
        self.folder, self.trainer, self.prepared = folder, trainer, prepared
        self._unsaved_best: Checkpoint | None = None
        """The model of the best validation, if best.npz could not be written."""
        self._saved_best = BestValidation.of(trainer.progress)
        """The best validation of which best.npz holds the model."""
        self._repeated: int | None = None
        """Step of best.npz if the resumed run has not reached it yet, and validates it again."""
        self._saved_at = self._failing_since = time.monotonic()
        self._failures = 0

    @property
    def seconds_since_last(self) -> float:
        """Seconds since last.npz was saved, or was tried to be."""
        return time.monotonic() - self._saved_at

    def model(self) -> Checkpoint:
        """Return the model as it is now, without training state. Raises `DivergedError`."""
        symbols, record = self.prepared.symbols, self.prepared.record
        return snapshot(self.trainer, symbols, record, resumable=False)

    def validated(self, event: Evaluation) -> None:
        """Save best.npz after the best validation; a failure is a note.

        Raises `StorageError` if saves have failed for long.
        """
        if event.step == self._repeated and not event.best:  # on a machine with other last bits
            # best.npz holds nothing better any more
            self._set_best(self._validation(event.nats, event.metrics, event.step))
        elif not event.best:
            return
        self._unsaved_best = self.model()
        failure = attempt(self._write_best)
        if failure is not None:
            self._unsaved_best = copied(self._unsaved_best)
        self._tolerate(failure)

    def last(self, keep: int = 0) -> None:
        """Save last.npz and, with `keep`, step-N.npz, of which so many are kept.

        A failure is a note. Raises `StorageError` if saves have failed for long.
        """

        def write_numbered() -> None:
            step = self.trainer.progress.step
            self.folder.save(f"step-{step:06d}.npz", self._resumable())
            self.folder.prune(keep, step)

        numbered = (write_numbered,) if keep else ()
        self._tolerate(attempt(self._write_best, self._write_last, *numbered))
        self._saved_at = time.monotonic()

    def interrupted(self) -> None:
        """Save last.npz to continue from. Raises `StorageError`."""
        attempt(self._write_best)
        self._write_last()

    def finished(self) -> None:
        """Save last.npz and, unless it is saved, best.npz. Raises `StorageError`.

        Without a validation set, best.npz is the model at the end.
        """
        if self._unsaved_best is None and not (self.folder.path / BEST).exists():
            self._choose_best(None)
            self._unsaved_best, self._saved_best = self.model(), BestValidation()
        failure = attempt(self._write_best, self._write_last)
        if failure is not None:
            raise failure

    def resumed(self) -> None:
        """Let the best validation of a resumed run be one that is on disk, with a note.

        After a kill or a copy, best.npz can be missing or of another step than last.npz says.
        Raises `StorageError` if best.npz cannot be read or written.
        """
        progress = self.trainer.progress
        best = self._load_best()
        step = 0 if best is None else best.step
        if not self.trainer.dataset.validation_size or step == progress.best_step:
            return
        if step > progress.evaluated:
            self._repeated = step
            return
        found = "is missing or unusable" if best is None else f"is of step {step:,}"
        problem = f"{BEST} {found}, the best validation was at step {progress.best_step:,}"
        self._choose_best(best)
        known = f"that of step {progress.best_step:,}" if progress.best_step else "none"
        warn(f"{problem}; going on with {known} as the best")
        if progress.best_step == progress.step:
            self._unsaved_best = self.model()
            self._write_best()
        self._saved_best = BestValidation.of(progress)

    def _load_best(self) -> Checkpoint | None:
        """Return best.npz, or None if it is missing, damaged or not of this run."""
        try:
            best = load_checkpoint(self.folder.path / BEST)
        except CheckpointError:
            return None
        own = self.model()
        same = (best.config, best.symbols, best.corpus) == (own.config, own.symbols, own.corpus)
        return best if same else None

    def _choose_best(self, best: Checkpoint | None) -> None:
        """Set the best validation: that of `best`, or of the present weights, or none."""
        progress, found = self.trainer.progress, BestValidation()
        if best is not None and best.validation_nats is not None:
            found = self._validation(best.validation_nats, best.validation, best.step)
        if progress.evaluated == progress.step and progress.last_nats is not None:
            last = self._validation(progress.last_nats, self.trainer.metrics, progress.step)
            found = last if last.is_better_than(found) else found
        self._set_best(found)

    def _validation(self, nats: float, metrics: Mapping[str, float], step: int) -> BestValidation:
        """Return a validation as the best one is described."""
        by_match = self.trainer.dataset.best_by_exact_match
        return BestValidation(nats, metrics["exact_match"] if by_match else None, step)

    def _set_best(self, best: BestValidation) -> None:
        for name, value in best._asdict().items():
            setattr(self.trainer.progress, name, value)

    def _write_best(self) -> None:
        """Write best.npz, unless it holds the best model already. Raises `StorageError`."""
        if self._unsaved_best is not None:
            self.folder.save(BEST, self._unsaved_best)
            self._unsaved_best = self._repeated = None
            self._saved_best = BestValidation.of(self.trainer.progress)

    def _write_last(self) -> None:
        self.folder.save(LAST, self._resumable())

    def _resumable(self) -> Checkpoint:
        """Return the state of training, with the best validation of which best.npz has the model.

        If the validation of this very step is the best and best.npz could not be written, the state
        is that before the validation: a resumed run repeats it, and saves best.npz then.
        """
        symbols, record = self.prepared.symbols, self.prepared.record
        now = snapshot(self.trainer, symbols, record, resumable=True)
        unsaved, state = self._unsaved_best, now.training
        if unsaved is None or state is None:
            return now
        progress, metrics = state.progress, now.validation
        before = self.trainer.before_validation
        if before is not None and before[0].step == unsaved.step == progress.step:
            progress, metrics = before
        progress = replace(progress, **self._saved_best._asdict())
        return replace(now, validation=metrics, training=replace(state, progress=progress))

    def _tolerate(self, failure: StorageError | None) -> None:
        """Note the first failure of several in a row; raise one that comes too often."""
        if failure is None:
            self._failures = 0
            return
        if not self._failures:
            self._failing_since = time.monotonic()
            warn(f"not saved, training goes on: {failure.problem}")
        self._failures += 1
        unsaved = time.monotonic() - self._failing_since
        if self._failures >= MAX_FAILED_SAVES and unsaved >= MAX_UNSAVED_SECONDS:
            raise failure


def attempt(*writes: Callable[[], None]) -> StorageError | None:
    """Call all functions, and return the first `StorageError` that one raises."""
    failures = []
    for write in writes:
        try:
            write()
        except StorageError as error:
            failures.append(error)
    return failures[0] if failures else None


def copied(checkpoint: Checkpoint) -> Checkpoint:
    """Return a checkpoint without training state whose parameters no further step changes."""
    parameters = checkpoint.parameters
    return replace(checkpoint, parameters=parameters.like(parameters.vector.copy()), training=None)
