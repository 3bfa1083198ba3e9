"""Finite weights near the largest float32: an error or a result, and no warning of NumPy."""

from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from typing import Any

import numpy as np
import pytest

from charrnn.checkpointing.records import Checkpoint, CorpusRecord
from charrnn.data.layouts import LAYOUTS, vocabulary_of_pairs
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import DivergedError
from charrnn.evaluation.text import evaluate
from charrnn.inference.ensemble import Ensemble
from charrnn.inference.fast_step import MAX_SUM, single_step
from charrnn.inference.model import Model
from charrnn.inference.predictor import Predictor
from charrnn.inference.sampling import Sampling, generate
from charrnn.inference.tree_reader import MIN_TREE_PROMPTS
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network, initialise
from charrnn.nn.parameters import Parameters
from charrnn.training.speed import measure_speed
from charrnn.training.text_dataset import TextDataset
from charrnn.training.trainer import Trainer
from charrnn.training_config import TrainingConfig

HUGE = np.float32(3e38)


def fill(parameters: Parameters) -> None:
    parameters.vector[...] = HUGE


def alternate(parameters: Parameters) -> None:
    parameters.vector[...] = np.where(np.arange(len(parameters.vector)) % 2, HUGE, -HUGE)


def fill_recurrent(parameters: Parameters) -> None:
    parameters["layers.0.W_hh"][...] = HUGE


def fill_readout(parameters: Parameters) -> None:
    parameters["W_hy"][...] = HUGE


Change = Callable[[Parameters], None]
CHANGES = [fill, alternate, fill_recurrent, fill_readout]
every_kind = pytest.mark.parametrize("cell", CELLS)
every_change = pytest.mark.parametrize("change", CHANGES)


def network(change: Change, **settings: Any) -> tuple[ModelConfig, Parameters]:
    config = ModelConfig(**{"inputs": 5, "outputs": 5, "hidden": 4, "layers": 2} | settings)
    parameters = initialise(config, np.random.default_rng(0))
    change(parameters)
    return config, parameters


@every_kind
@every_change
@pytest.mark.parametrize(
    ("sampling", "count"), [(Sampling(), 1), (Sampling(top_k=2), 1), (Sampling(), 3)]
)
def test_sampling_ends_in_an_error_or_in_characters(
    cell: str, change: Change, sampling: Sampling, count: int
) -> None:
    config, parameters = network(change, cell=cell)
    with suppress(DivergedError):
        for ids in islice(generate(config, parameters, np.arange(5), sampling, count), 20):
            assert ids.shape == (count,)
            assert ids.max() < 5


def test_predictions_that_are_not_finite_are_an_error() -> None:
    config, parameters = network(fill, cell="lstm")
    with pytest.raises(DivergedError, match="predictions of this model are not finite"):
        next(generate(config, parameters, np.arange(5), Sampling()))


@every_kind
@every_change
def test_a_text_is_scored(cell: str, change: Change) -> None:
    config, parameters = network(change, cell=cell)
    assert evaluate(config, parameters, np.arange(50) % 5) is not None


@pytest.mark.parametrize("layout", LAYOUTS)
@every_change
def test_pairs_are_answered_or_refused(layout: str, change: Change) -> None:
    pairing = vocabulary_of_pairs(layout, [("a", "b"), ("b", "a"), ("c", "c")])
    config, parameters = network(change, inputs=pairing.inputs, outputs=pairing.outputs)
    predictor = Predictor(config, parameters, pairing)
    for inputs in (["a", "b"], ["a", "b"] * MIN_TREE_PROMPTS):
        with suppress(DivergedError):
            assert len(predictor.answer(inputs)) == len(inputs)
        if not pairing.layout_spec.answer_is_text:
            with suppress(DivergedError):
                assert len(predictor.label_probabilities(inputs)) == len(inputs)
        elif pairing.layout_spec.feeds_back:
            with suppress(DivergedError):
                assert len(predictor.answer(inputs, beam=3)) == len(inputs)
    if pairing.layout_spec.feeds_back:
        with suppress(DivergedError):
            assert len(predictor.sample("a", Sampling(), count=2)) == 2


@every_kind
@every_change
def test_training_from_them_diverges_without_a_warning(cell: str, change: Change) -> None:
    config, parameters = network(change, cell=cell)
    ids = np.arange(400, dtype=np.uint8) % 5
    run = TrainingConfig(steps=3, seq_length=5, batch_size=2, warmup_steps=0)
    with Trainer(config, run, TextDataset(ids, ids[:50]), parameters) as trainer:
        measure_speed(trainer, lambda: True)
        with suppress(DivergedError):
            for step in range(1, 4):
                assert trainer.step().step == step


def test_usual_weights_are_read_the_fast_way() -> None:
    config, parameters = network(lambda _: None)
    states = Network(config, parameters, 1, 1).states()
    assert not single_step(config, parameters, states).may_overflow
    parameters["b_y"][0] = MAX_SUM
    assert single_step(config, parameters, states).may_overflow


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    config, parameters = network(fill, cell="lstm")
    record = CorpusRecord("letters", "0" * 64, 0, 0.1)
    model = Model(Checkpoint(config, Vocabulary("abcde"), parameters, record, 0))
    with pytest.raises(DivergedError, match="predictions of this model are not finite"):
        model.score(np.arange(5))
    with pytest.raises(DivergedError, match="predictions of this model are not finite"):
        Ensemble([model, model]).score(np.arange(5))
