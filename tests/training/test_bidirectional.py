"""Pairs read in both directions: resume, workers, backends, checkpoints, answers, presets."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from charrnn.checkpointing.checkpoint import load_checkpoint, save_checkpoint
from charrnn.checkpointing.npz_file import read_archive, write_archive
from charrnn.checkpointing.records import CorpusRecord
from charrnn.data.layouts import LAYOUTS, PairVocabulary
from charrnn.data.pair_files import PairCorpus, build_examples, split_pairs
from charrnn.data.pair_formats import Pair
from charrnn.errors import CheckpointError, UsageError
from charrnn.evaluation.pairs import score
from charrnn.inference.predictor import Predictor
from charrnn.inference.sampling import Sampling
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network, initialise
from charrnn.randomness import DropoutDraws
from charrnn.training.backends import load_backend
from charrnn.training.events import Evaluation
from charrnn.training.pair_dataset import PairDataset
from charrnn.training.pair_presets import plan_pairs
from charrnn.training.presets import Budget, plan
from charrnn.training.snapshot import restore, snapshot
from charrnn.training.trainer import Trainer, train
from charrnn.training_config import TrainingConfig
from charrnn.types import Array

RECORD = CorpusRecord("pairs", "0" * 64, 100, 0.1)
PLAN = TrainingConfig(
    steps=10, warmup_steps=3, batch_size=6, seed=6, eval_every=4, state_reset_prob=1.0
)
LAYOUT_NAMES = [name for name, one in LAYOUTS.items() if one.backward_use]
layout_names = pytest.mark.parametrize("layout", LAYOUT_NAMES)


def dataset_for(layout: str) -> PairDataset:
    """Return pairs of different lengths that fit a layout."""
    rng = np.random.default_rng(3)
    texts = ["".join(rng.choice(list("abcd"), rng.integers(1, 12))) for _ in range(60)]
    answers = {
        "many-to-one": lambda text: text[0],
        "many-to-many": lambda text: text[::-1][:4],
        "synced": lambda text: text[1:] + "e",
    }
    pairs = tuple(Pair(t, answers[layout](t), "line 1") for t in dict.fromkeys(texts))
    split = split_pairs(PairCorpus(pairs, "pairs"), layout, 0.2, 0)
    examples = [build_examples(split.pairing, part) for part in (split.train, split.validation)]
    return PairDataset(split.pairing, *examples)


def config_for(dataset: PairDataset, cell: str = "lstm", layers: int = 2) -> ModelConfig:
    """Return a small network that reads in both directions."""
    pairing = dataset.pairing
    use = pairing.layout_spec.backward_use
    return ModelConfig(
        pairing.inputs,
        pairing.outputs,
        cell=cell,
        hidden=5,
        layers=layers,
        dropout=0.2,
        bidirectional=use,
    )


def begin(layout: str, cell: str = "lstm", plan: TrainingConfig = PLAN) -> Trainer:
    dataset = dataset_for(layout)
    config = config_for(dataset, cell)
    return Trainer(config, plan, dataset, initialise(config, np.random.default_rng(1)))


@layout_names
@pytest.mark.parametrize("at", [3, 8])
def test_a_resumed_run_is_the_run_never_stopped(
    tmp_path: Path, layout: str, cell: str, at: int
) -> None:
    path = tmp_path / "last.npz"
    pairing = dataset_for(layout).pairing
    with begin(layout, cell) as whole:
        expected = list(train(whole))
        save_checkpoint(path, snapshot(whole, pairing, RECORD, resumable=True))
        final = path.read_bytes()
    with begin(layout, cell) as first:
        events = list(train(first, lambda: first.progress.step == at))
        save_checkpoint(path, snapshot(first, pairing, RECORD, resumable=True))
    stored = load_checkpoint(path)
    assert stored.training is not None
    assert stored.config.bidirectional == LAYOUTS[layout].backward_use
    dataset = dataset_for(layout)
    with Trainer(stored.config, stored.training.config, dataset, stored.parameters) as second:
        restore(second, stored)
        events = events[:-1] + list(train(second))
        save_checkpoint(path, snapshot(second, pairing, RECORD, resumable=True))
    assert path.read_bytes() == final
    assert [e for e in events if isinstance(e, Evaluation)] == [
        e for e in expected if isinstance(e, Evaluation)
    ]


@layout_names
def test_two_processes_compute_what_one_computes(layout: str) -> None:
    def walk(workers: int) -> list[Array]:
        dataset = dataset_for(layout)
        config = replace(config_for(dataset), dropout=0.0)
        initial = initialise(config, np.random.default_rng(1), np.float64)
        with Trainer(config, replace(PLAN, workers=workers), dataset, initial) as trainer:
            found = []
            for step in range(4):
                nats = trainer.pool.compute(step)
                found.append(np.append(trainer.pool.gradient, nats))
            return found

    np.testing.assert_allclose(walk(2), walk(1), rtol=1e-6, atol=1e-9)


@layout_names
@pytest.mark.parametrize("B", [1, 4])
def test_numba_computes_what_numpy_computes(layout: str, cell: str, B: int) -> None:
    pytest.importorskip("numba")
    dataset = dataset_for(layout)
    config = replace(config_for(dataset, cell), recurrent_dropout=0.2)
    parameters = initialise(config, np.random.default_rng(5))
    examples = dataset.train
    chosen = np.argsort(examples.lengths)[-B:]
    T = int(examples.lengths.max()) + 1
    inputs, targets, scored = examples.padded(chosen, T)
    lengths = config.read_lengths(examples.lengths[chosen], examples.first_targets[chosen])
    results = []
    for cells in (CELLS, load_backend("numba").cells):
        gradients = parameters.like(np.full_like(parameters.vector, np.nan))
        network = Network(config, parameters, T, B, gradients, cells)
        logits = network.forward(inputs, DropoutDraws(3), lengths).copy()
        network.loss(targets)
        network.backward(targets, scored.astype(np.float32))
        results.append((logits[scored], gradients.vector.copy()))
    for mine, expected in zip(*results, strict=True):
        np.testing.assert_allclose(mine, expected, atol=2e-5 * np.abs(expected).max(), rtol=0)


@layout_names
def test_it_learns_what_the_characters_further_on_decide(layout: str) -> None:
    """The next character cannot be told in one direction; a long answer is harder than a label."""
    dataset = dataset_for(layout)
    both = replace(config_for(dataset, layers=1), hidden=24, dropout=0.0)
    plan = replace(PLAN, steps=150, optimiser="adam", lr=1e-2, eval_every=150)
    accuracy = {}
    for config in (both, replace(both, bidirectional=None)):
        initial = initialise(config, np.random.default_rng(1))
        with Trainer(config, plan, dataset, initial) as trainer:
            list(train(trainer))
            found = score(config, trainer.model, dataset.train)
        assert found is not None
        accuracy[config.bidirectional is not None] = found.symbol_accuracy
    assert accuracy[True] > (0.9 if layout == "many-to-many" else 0.99)
    if layout == "synced":
        assert accuracy[False] < 0.7


@layout_names
def test_an_answer_does_not_depend_on_the_rest_of_the_batch(layout: str, cell: str) -> None:
    model = random_model(layout, cell)
    fields = ["abc", "a", "dcba" * 4, "bb", "ccab"]
    for beam in (1, 3):
        together = model.answer(fields, beam)
        for field, one in zip(fields, together, strict=True):
            (alone,) = model.answer([field], beam)
            assert alone.text == one.text
            assert alone.probability == pytest.approx(one.probability, rel=1e-9)


@layout_names
def test_the_probability_of_an_answer_is_that_of_reading_it_as_an_example(layout: str) -> None:
    """Step by step, from the carried contexts, as in one batch."""
    model = random_model(layout, "lstm")
    fields = ["abc", "a", "dcbadd", "bb", "ccab"]
    ended = 0
    for field, one in zip(fields, model.answer(fields), strict=True):
        if len(one.text) >= model.limit:
            continue
        ended += 1
        examples = build_examples(model.pairing, [Pair(field, one.text, "line 1")])
        found = score(model.config, model.parameters, examples)
        assert found is not None
        assert found.exact_match == 1
        nats = found.nats_per_symbol * found.symbols
        assert one.probability == pytest.approx(np.exp(-nats), rel=1e-9)
    assert ended


def random_model(layout: str, cell: str) -> Predictor:
    """Return a model with random weights."""
    pairing = dataset_for(layout).pairing
    config = config_for(dataset_for(layout), cell)
    parameters = initialise(config, np.random.default_rng(0), np.float64)
    parameters.vector[...] = np.random.default_rng(2).normal(0, 0.8, parameters.vector.shape)
    if layout == "many-to-many":
        parameters["b_y"][pairing.end_id] += 2  # so that answers end
    return Predictor(config, parameters, pairing)


def test_samples_are_drawn_from_the_context_too() -> None:
    model = random_model("many-to-many", "gru")
    drawn = model.sample("abcd", Sampling(seed=3), count=5)
    assert len(drawn) == 5
    assert drawn == model.sample("abcd", Sampling(seed=3), count=5)


@layout_names
def test_a_checkpoint_from_before_is_read_in_one_direction(tmp_path: Path, layout: str) -> None:
    dataset = dataset_for(layout)
    config = replace(config_for(dataset), bidirectional=None)
    path = tmp_path / "old.npz"
    initial = initialise(config, np.random.default_rng(1))
    with Trainer(config, PLAN, dataset, initial) as trainer:
        save_checkpoint(path, snapshot(trainer, dataset.pairing, RECORD, resumable=False))
    arrays, metadata = read_archive(path)
    assert metadata["model"].pop("bidirectional") is None
    write_archive(path, arrays, metadata)
    assert load_checkpoint(path).config == config


@pytest.mark.parametrize(("layout", "wrong"), [("many-to-one", "each"), ("synced", "context")])
def test_a_checkpoint_whose_use_does_not_fit_its_layout_is_refused(
    tmp_path: Path, layout: str, wrong: str
) -> None:
    path = tmp_path / "last.npz"
    with begin(layout) as trainer:
        pairing = trainer.dataset
        assert isinstance(pairing, PairDataset)
        save_checkpoint(path, snapshot(trainer, pairing.pairing, RECORD, resumable=True))
    arrays, metadata = read_archive(path)
    for value, message in ((wrong, f"model.bidirectional is {wrong}"), ("both", "no use of")):
        metadata["model"]["bidirectional"] = value
        write_archive(path, arrays, metadata)
        with pytest.raises(CheckpointError, match=message):
            load_checkpoint(path)
    metadata["model"]["bidirectional"] = True
    write_archive(path, arrays, metadata)
    with pytest.raises(CheckpointError, match=r"model\.bidirectional has a value of the wrong"):
        load_checkpoint(path)


def test_a_plan_asks_for_what_fits_the_layout() -> None:
    for name in LAYOUT_NAMES:
        dataset = dataset_for(name)
        made = plan_pairs(
            "default", {"bidirectional": True}, dataset.pairing, dataset.train, Budget(steps=5)
        )
        assert made.model.bidirectional == LAYOUTS[name].backward_use
        made = plan_pairs("default", {}, dataset.pairing, dataset.train, Budget(steps=5))
        default = {"synced": "each", "many-to-many": "context", "many-to-one": None}
        assert made.model.bidirectional == default[name]
        made = plan_pairs(
            "default", {"bidirectional": False}, dataset.pairing, dataset.train, Budget(steps=5)
        )
        assert made.model.bidirectional is None


def test_a_layer_with_twice_the_outputs_learns_at_half_the_rate() -> None:
    dataset = dataset_for("synced")
    rates = [
        plan_pairs(
            "default", {"bidirectional": both}, dataset.pairing, dataset.train, Budget(steps=5)
        ).training.lr
        for both in (True, False)
    ]
    assert rates == [0.2, 0.4]


def test_a_text_and_a_table_are_not_read_from_their_end() -> None:
    with pytest.raises(UsageError, match="--bidirectional is for pairs"):
        plan("default", {"bidirectional": True}, 60, 10**6, Budget(steps=5))
    pairing = PairVocabulary("one-to-one", ("a", "b"), ("x", "y"))
    examples = build_examples(pairing, [Pair("a", "x", "line 1"), Pair("b", "y", "line 2")])
    with pytest.raises(UsageError, match="an input of one-to-one is one symbol"):
        plan_pairs("default", {"bidirectional": True}, pairing, examples, Budget(steps=5))
