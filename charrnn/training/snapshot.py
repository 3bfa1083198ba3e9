"""A run at one moment: what a checkpoint holds, taken from a trainer and put back into one."""

from dataclasses import dataclass, field

import numpy as np

from charrnn.data.layouts import Pairing
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import DivergedError, UsageError
from charrnn.nn.network import ModelConfig
from charrnn.nn.parameters import Parameters
from charrnn.training.trainer import RATE_CURES, Trainer
from charrnn.training_config import Progress, TrainingConfig


@dataclass(frozen=True)
class CorpusRecord:
    """Which text a model was trained on, and how it was read: enough to know it again."""

    name: str
    sha256: str
    characters: int
    val_fraction: float
    min_count: int = 1
    encoding: str = "utf-8"
    as_bytes: bool = False
    normalise: str | None = None
    built_in: str | None = None


@dataclass(frozen=True)
class TrainingState:
    """All that continues a run, apart from its text."""

    config: TrainingConfig
    progress: Progress
    updates: int
    parameters: Parameters | None
    optimiser: dict[str, Parameters]
    states: Parameters

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to resume."""
        return self.progress.finished(self.config)


@dataclass(frozen=True)
class Checkpoint:
    """A model with its symbols, and, if it can be resumed, its training state."""

    config: ModelConfig
    symbols: Vocabulary | Pairing
    parameters: Parameters
    corpus: CorpusRecord
    step: int
    validation: dict[str, float] = field(default_factory=dict)
    training: TrainingState | None = None

    @property
    def vocabulary(self) -> Vocabulary:
        """The characters of a language model; `UsageError` for one of pairs."""
        if isinstance(self.symbols, Vocabulary):
            return self.symbols
        raise UsageError(
            f"this model learnt pairs ({self.symbols.layout}), not a text", "charrnn predict"
        )

    @property
    def pairing(self) -> Pairing:
        """The layout and symbols of a model of pairs; `UsageError` for a language model."""
        if isinstance(self.symbols, Pairing):
            return self.symbols
        raise UsageError("this model learnt a text, not pairs", "charrnn sample")


def snapshot(
    trainer: Trainer,
    symbols: Vocabulary | Pairing,
    corpus: CorpusRecord,
    *,
    resumable: bool,
) -> Checkpoint:
    """Look at a run: the checkpoint's arrays are the trainer's own, to be saved at once.

    Raises `DivergedError` rather than let a number that is not finite be saved.
    """
    arrays = [*trainer.parameters.items(), *trainer.model.items()]
    if resumable:
        arrays += [*trainer.optimiser.state.items(), *trainer.states.items()]
    for name, array in arrays:
        if not np.isfinite(array).all():
            problem = f"{name} is not finite at step {trainer.progress.step:,}"
            raise DivergedError(problem, *RATE_CURES)
    state = None
    if resumable:
        weights, optimiser = trainer.parameters, trainer.optimiser
        state = TrainingState(
            config=trainer.config,
            progress=trainer.progress,
            updates=optimiser.updates,
            parameters=None if trainer.model is weights else weights,
            optimiser={slot: weights.like(array) for slot, array in optimiser.state.items()},
            states=trainer.states,
        )
    step, figures = trainer.progress.step, dict(trainer.figures)
    return Checkpoint(trainer.model_config, symbols, trainer.model, corpus, step, figures, state)


def restore(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """Put a fresh trainer where the saved run stood; `ValueError` without a training state."""
    state = checkpoint.training
    if state is None:
        raise ValueError("this checkpoint holds no training state")
    trainer.parameters.vector[...] = (state.parameters or checkpoint.parameters).vector
    trainer.model.vector[...] = checkpoint.parameters.vector
    trainer.progress = Progress(**vars(state.progress))
    trainer.figures = dict(checkpoint.validation)
    trainer.optimiser.updates = state.updates
    for slot, parameters in state.optimiser.items():
        trainer.optimiser.state[slot][...] = parameters.vector
    trainer.states.vector[...] = state.states.vector
