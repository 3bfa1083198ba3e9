"""R21: numbers that are not finite never reach a checkpoint, and a rollback recovers from them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from charrnn.checkpointing.checkpoint import load_checkpoint, save_checkpoint
from charrnn.checkpointing.records import CorpusRecord
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import DivergedError
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from charrnn.training.events import NonFinite, Step
from charrnn.training.snapshot import snapshot
from charrnn.training.text_dataset import TextDataset
from charrnn.training.trainer import Trainer, train
from charrnn.training_config import TrainingConfig
from tests.reliability.scale import tries

VOCABULARY = Vocabulary("abcdef")
TEXT = np.random.default_rng(8).integers(6, size=400).astype(np.uint8)
RECORD = CorpusRecord("letters", "0" * 64, len(TEXT), 0.1)
STEPS = 300
BAD = (np.nan, np.inf, -np.inf)


@pytest.mark.parametrize("policy", ["stop", "skip", "rollback"])
@pytest.mark.parametrize("seeds", tries(1, whole=40))
def test_no_fault_in_the_weights_reaches_a_checkpoint(
    policy: str, seeds: int, cell: str, tmp_path: Path, record_figure: Callable[[str, str], None]
) -> None:
    recovered = noticed = saves = 0
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        config = ModelConfig(6, 6, cell=cell, hidden=5, layers=int(rng.integers(1, 3)))
        training = TrainingConfig(
            steps=STEPS, on_nonfinite=policy, seq_length=5, batch_size=3, seed=seed, eval_every=100
        )
        initial = initialise(config, rng)
        fault, name = int(rng.integers(20, STEPS - 20)), str(rng.choice(list(config.shapes())))
        with Trainer(config, training, TextDataset(TEXT, TEXT[:30]), initial) as trainer:
            diverged = False
            try:
                for event in train(trainer):
                    noticed += isinstance(event, NonFinite)
                    if isinstance(event, Step) and event.step == fault:
                        trainer.parameters[name][...] = rng.choice(BAD)
                    if isinstance(event, Step) and event.step % 25 == 0:
                        saves += save_if_finite(trainer, tmp_path / "last.npz")
            except DivergedError:
                diverged = True
            recovered += not diverged and bool(np.isfinite(trainer.parameters.vector).all())
    assert saves >= 3 * seeds
    if policy == "rollback" and seeds >= 10:
        assert noticed >= 0.9 * seeds
        assert recovered >= 0.9 * seeds
        record_figure(
            f"divergence, {cell}", f"{recovered} of {seeds} runs recovered, {noticed} rollbacks"
        )


def save_if_finite(trainer: Trainer, path: Path) -> bool:
    """Save as a run does, and load the file, which refuses what is not finite."""
    try:
        save_checkpoint(path, snapshot(trainer, VOCABULARY, RECORD, resumable=True))
    except DivergedError:
        return False
    load_checkpoint(path)
    return True
