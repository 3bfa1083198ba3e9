"""Snapshots: a checkpoint taken from a trainer, and put back into one."""

import numpy as np

from charrnn.checkpointing.records import Checkpoint, CorpusRecord, TrainingState
from charrnn.data.layouts import PairVocabulary
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import DivergedError
from charrnn.training.trainer import DIVERGENCE_ADVICE, Trainer
from charrnn.training_config import Progress


def snapshot(
    trainer: Trainer,
    symbols: Vocabulary | PairVocabulary,
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
            raise DivergedError(problem, *DIVERGENCE_ADVICE)
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
            rollback=tuple(trainer.rollback),
        )
    step, metrics = trainer.progress.step, dict(trainer.metrics)
    return Checkpoint(trainer.model_config, symbols, trainer.model, corpus, step, metrics, state)


def restore(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """Put a fresh trainer where the saved run stood; `ValueError` without a training state."""
    state = checkpoint.training
    if state is None:
        raise ValueError("this checkpoint holds no training state")
    trainer.parameters.vector[...] = (state.parameters or checkpoint.parameters).vector
    trainer.model.vector[...] = checkpoint.parameters.vector
    trainer.progress = Progress(**vars(state.progress))
    trainer.metrics = dict(checkpoint.validation)
    trainer.optimiser.updates = state.updates
    for slot, parameters in state.optimiser.items():
        trainer.optimiser.state[slot][...] = parameters.vector
    trainer.states.vector[...] = state.states.vector
    if trainer.config.on_nonfinite == "rollback":
        trainer.rollback = list(state.rollback)
        if not state.rollback:  # the run did not ask for rollbacks before
            trainer.add_rollback_point()
