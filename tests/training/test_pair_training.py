"""Training on pairs: exact resume, independence of the number of workers, convergence."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charrnn.checkpointing.checkpoint import load_checkpoint, save_checkpoint
from charrnn.checkpointing.npz_file import read_archive, write_archive
from charrnn.checkpointing.records import CorpusRecord
from charrnn.data.builtin_pairs import demonstration
from charrnn.data.layouts import LAYOUTS, PairVocabulary
from charrnn.data.pair_batches import Examples
from charrnn.data.pair_files import PairCorpus, build_examples, split_pairs
from charrnn.data.pair_formats import Pair
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import CheckpointError, TextError, UsageError
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from charrnn.nn.ops import smoothed_nats
from charrnn.training import pair_dataset
from charrnn.training.dataset import ValidationResult
from charrnn.training.events import Evaluation, Stopped
from charrnn.training.pair_dataset import PairDataset
from charrnn.training.pair_presets import MAX_POSITIONS, PATIENCE, plan_pairs
from charrnn.training.presets import MANY_EPOCHS, WEIGHT_DECAY, Budget
from charrnn.training.snapshot import restore, snapshot
from charrnn.training.trainer import Trainer, train
from charrnn.training_config import TrainingConfig
from charrnn.types import Array

RECORD = CorpusRecord("pairs", "0" * 64, 100, 0.1)
PLAN = TrainingConfig(
    steps=14, warmup_steps=3, batch_size=6, seed=6, eval_every=4, state_reset_prob=1.0
)


def pairs_for(layout: str, count: int = 60) -> PairCorpus:
    """Make pairs of different lengths that fit a layout."""
    rng = np.random.default_rng(3)
    made = {}
    for number in range(count):
        text = "".join(rng.choice(list("abcd"), rng.integers(1, 12)))
        made[text] = {
            "one-to-one": (str(number), f"n{number % 7}"),
            "one-to-many": (f"L{number % 3}", text),
            "many-to-one": (text, "long" if len(text) > 5 else "short"),
            "many-to-many": (text, text[::-1][:4]),
            "synced": (text, text.upper()),
        }[layout]
    unique = dict.fromkeys(made.values())
    return PairCorpus(tuple(Pair(*pair, f"line {n}") for n, pair in enumerate(unique, 1)), "pairs")


def lessons_for(layout: str) -> PairDataset:
    split = split_pairs(pairs_for(layout), layout, 0.2, 0)
    pairing = split.pairing
    return PairDataset(
        pairing, build_examples(pairing, split.train), build_examples(pairing, split.validation)
    )


def begin(layout: str, cell: str = "lstm", plan: TrainingConfig = PLAN) -> Trainer:
    dataset = lessons_for(layout)
    pairing = dataset.pairing
    config = ModelConfig(
        pairing.inputs, pairing.outputs, cell=cell, hidden=5, layers=2, dropout=0.2
    )
    return Trainer(config, plan, dataset, initialise(config, np.random.default_rng(1)))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("at", [3, 4, 9])
def test_a_resumed_run_is_the_run_never_stopped(
    tmp_path: Path, layout: str, cell: str, at: int
) -> None:
    path = tmp_path / "last.npz"
    with begin(layout, cell) as whole:
        expected = list(train(whole))
        save_checkpoint(path, snapshot(whole, lessons_for(layout).pairing, RECORD, resumable=True))
        final = path.read_bytes()
    with begin(layout, cell) as first:
        events = list(train(first, lambda: first.progress.step == at))
        save_checkpoint(path, snapshot(first, lessons_for(layout).pairing, RECORD, resumable=True))
    checkpoint = load_checkpoint(path)
    assert checkpoint.training is not None
    dataset = lessons_for(layout)
    assert checkpoint.pairing == dataset.pairing
    with Trainer(
        checkpoint.config, checkpoint.training.config, dataset, checkpoint.parameters
    ) as second:
        restore(second, checkpoint)
        events = events[:-1] + list(train(second))
        save_checkpoint(path, snapshot(second, dataset.pairing, RECORD, resumable=True))
    assert path.read_bytes() == final
    assert [e for e in events if isinstance(e, Evaluation)] == [
        e for e in expected if isinstance(e, Evaluation)
    ]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_two_processes_compute_what_one_computes(layout: str) -> None:
    def walk(workers: int) -> list[Array]:
        dataset = lessons_for(layout)
        config = ModelConfig(dataset.pairing.inputs, dataset.pairing.outputs, hidden=5)
        initial = initialise(config, np.random.default_rng(1), np.float64)
        with Trainer(config, replace(PLAN, workers=workers), dataset, initial) as trainer:
            found = []
            for step in range(9):
                nats = trainer.pool.compute(step)
                found.append(np.append(trainer.pool.gradient, nats))
            return found

    np.testing.assert_allclose(walk(2), walk(1), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_solved_run_ends_and_stays_ended(tmp_path: Path, smoothing: float) -> None:
    plan = replace(PLAN, steps=600, lr=0.4, eval_every=20, batch_size=16, label_smoothing=smoothing)
    pairs = PairCorpus(tuple(Pair(c, c.upper(), "") for c in "abcdefghijklmnopqrstuvwxyz"), "case")
    split = split_pairs(pairs, "one-to-one", 0.1, 0)
    examples = build_examples(split.pairing, split.train)
    dataset = PairDataset(split.pairing, examples, examples)
    config = ModelConfig(split.pairing.inputs, split.pairing.outputs, hidden=32)
    initial = initialise(config, np.random.default_rng(1))
    with Trainer(config, plan, dataset, initial) as trainer:
        *_, last = train(trainer)
        assert isinstance(last, Stopped)
        assert last.reason == "solved"
        assert last.step < 600
        assert trainer.metrics["exact_match"] == 1
        learned = smoothed_nats(smoothing, config.outputs)
        assert trainer.metrics["nats_per_symbol"] == pytest.approx(learned, abs=0.005)
        assert trainer.progress.finished(plan)
        save_checkpoint(
            tmp_path / "a.npz", snapshot(trainer, split.pairing, RECORD, resumable=True)
        )
    state = load_checkpoint(tmp_path / "a.npz").training
    assert state is not None
    assert state.finished


@pytest.mark.parametrize(("many", "best"), [(True, [1, 2, 3, 5]), (False, [1, 2, 4])])
def test_exact_matches_decide_which_model_is_best_where_there_are_many(
    many: bool, best: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = iter([(0.5, 0.2), (0.4, 0.3), (0.45, 0.4), (0.3, 0.35), (0.44, 0.4), (0.6, 0.4)])

    def validate(*_: object) -> ValidationResult:
        nats, exact = next(figures)
        return ValidationResult(nats, {"nats_per_symbol": nats, "exact_match": exact})

    monkeypatch.setattr(PairDataset, "validate", validate)
    monkeypatch.setattr(pair_dataset, "MIN_EXACTLY_MATCHED", 1 if many else 1_000)
    plan = replace(PLAN, steps=6, eval_every=1)
    with begin("many-to-many", plan=plan) as trainer:
        events = [event for event in train(trainer) if isinstance(event, Evaluation)]
    assert [event.step for event in events if event.best] == best
    assert trainer.progress.best_step == best[-1]
    assert trainer.progress.best_exact_match == (0.4 if many else None)
    assert trainer.progress.best_nats == (0.44 if many else 0.3)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_only_answers_that_are_searched_for_are_compared_exactly(
    layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_dataset, "MIN_EXACTLY_MATCHED", 1)
    assert lessons_for(layout).best_by_exact_match == (layout == "many-to-many")


def test_an_empty_validation_is_none() -> None:
    dataset = lessons_for("many-to-one")
    empty = replace(dataset, validation=dataset.train.first(0))
    assert empty.validation_size == 0
    with begin("many-to-one") as trainer:
        trainer.dataset = empty
        events = list(train(trainer))
    assert not [event for event in events if isinstance(event, Evaluation)]


# --- the checkpoint of pairs


@pytest.fixture
def good(tmp_path: Path) -> Path:
    with begin("many-to-many") as trainer:
        dataset = lessons_for("many-to-many")
        save_checkpoint(
            tmp_path / "good.npz", snapshot(trainer, dataset.pairing, RECORD, resumable=False)
        )
    return tmp_path / "good.npz"


def test_a_model_of_pairs_is_not_one_of_a_text(good: Path) -> None:
    checkpoint = load_checkpoint(good)
    assert checkpoint.pairing.layout == "many-to-many"
    with pytest.raises(UsageError, match=r"trained on pairs \(many-to-many\).*try charrnn predict"):
        checkpoint.vocabulary  # noqa: B018
    other = replace(checkpoint, symbols=Vocabulary("ab"))
    with pytest.raises(UsageError, match=r"trained on a text.*try charrnn sample"):
        other.pairing  # noqa: B018


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": "diagonal"}, "pairs: no layout called 'diagonal'"),
        ({"layout": 3}, r"pairs\.layout has a value of the wrong type"),
        ({"sources": "abc"}, r"pairs\.sources is missing or not of type list"),
        ({"sources": [1, 2]}, r"pairs\.sources holds something that is not a text"),
        ({"sources": ["a"]}, "does not match"),
        ({"answers": ["a", "a"]}, "pairs: the answers must be different symbols"),
        ({"answers": ["ab"]}, "pairs: the answers must be single characters"),
        ({"longest": 0}, "pairs: the longest answer"),
        ({"longest": 2**16 + 1}, r"pairs\.longest is 65537; it must be"),
        ({"longest": "7"}, r"pairs\.longest has a value of the wrong type"),
        ({"more": 1}, r"pairs\.more is missing or unknown"),
        (None, "pairs is missing"),
    ],
)
def test_nonsense_in_a_checkpoint_is_refused(
    good: Path, change: dict[str, object] | None, message: str
) -> None:
    arrays, metadata = read_archive(good)
    if change is None:
        del metadata["pairs"]
    else:
        metadata["pairs"] |= change
    write_archive(good, arrays, metadata)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(good)


@pytest.mark.parametrize("name", ["languages", "france", "france:40", "../../etc/passwd"])
def test_a_checkpoint_names_built_in_pairs_of_its_layout(good: Path, name: str) -> None:
    arrays, metadata = read_archive(good)
    metadata["corpus"]["built_in"] = "dates"
    write_archive(good, arrays, metadata)
    assert load_checkpoint(good).corpus.built_in == "dates"
    metadata["corpus"]["built_in"] = name
    write_archive(good, arrays, metadata)
    with pytest.raises(CheckpointError, match=r"corpus\.built_in is .*, which is not built in"):
        load_checkpoint(good)


# --- what is chosen where nothing is said


def planned(layout: str, **given: object) -> tuple[ModelConfig, TrainingConfig]:
    dataset = lessons_for(layout)
    plan = plan_pairs("default", given, dataset.pairing, dataset.train, Budget(minutes=3))
    return plan.model, plan.training


def test_the_forget_bias_follows_from_the_longest_example() -> None:
    model, training = planned("many-to-one")
    assert training.seq_length == lessons_for("many-to-one").train.lengths.max()
    assert model.forget_bias == pytest.approx(np.log(training.seq_length - 1), abs=0.01)
    assert model.forget_bias == round(model.forget_bias, 2)
    assert planned("one-to-one")[0].forget_bias == 1  # short examples: no less than for texts
    assert planned("many-to-one", forget_bias=0.5)[0].forget_bias == 0.5


@pytest.mark.parametrize("layout", LAYOUTS)
def test_few_examples_still_make_some_batches(layout: str) -> None:
    model, training = planned(layout)
    dataset = lessons_for(layout)
    assert training.batch_size <= max(1, len(dataset.train) // 4)
    assert dataset.batch_config(training).batcher(dataset.arrays).steps_per_epoch >= 2
    assert training.patience == PATIENCE
    assert (model.inputs, model.outputs) == (dataset.pairing.inputs, dataset.pairing.outputs)


def test_another_optimiser_brings_its_own_rate() -> None:
    assert planned("many-to-one")[1].optimiser == "muon"
    assert planned("many-to-one", cell="gru")[1].optimiser == "muon"
    assert planned("many-to-one", cell="rnn")[1].optimiser == "adam"
    assert planned("many-to-one", optimiser="adagrad")[1].lr == 0.4
    assert planned("many-to-one", cell="rnn")[1].lr < planned("many-to-one")[1].lr
    assert planned("many-to-one", lr=0.7)[1].lr == 0.7


@pytest.mark.parametrize("layout", ["synced", "many-to-many"])
def test_dropout_grows_with_the_epochs(layout: str) -> None:
    dataset = lessons_for(layout)
    rates = [
        plan_pairs("default", {}, dataset.pairing, dataset.train, Budget(epochs=n)).model.dropout
        for n in (0.05, 0.5, 5, 500)
    ]
    assert rates == sorted(rates)
    assert rates[0] == 0 < rates[-1]
    assert planned("one-to-one")[0].dropout == 0


def repeated(layout: str, pairs: int) -> tuple[PairVocabulary, Examples]:
    """Return `pairs` examples of eight characters."""
    pairing = PairVocabulary(layout, tuple("abcdefgh"), ("x", "y"))
    answer = "x" if LAYOUTS[layout].classifies else "xy"
    return pairing, build_examples(pairing, [Pair("abcdefgh", answer, "")] * pairs)


def test_a_text_to_a_text_has_the_regularisation_of_texts() -> None:
    pairing, few = repeated("many-to-many", 500)
    model, training = vars_of(pairing, few, Budget(minutes=3))
    assert (training["optimiser"], training["weight_decay"]) == ("muon", WEIGHT_DECAY)
    assert (model["hidden"], model["dropout"]) == (256, MANY_EPOCHS["dropout"])
    assert model["recurrent_dropout"] == 0
    model, training = vars_of(pairing, few, Budget(steps=1), hidden=768)
    assert training["lr"] * training["weight_decay"] == pytest.approx(0.2 * WEIGHT_DECAY, rel=0.02)


@pytest.mark.parametrize(
    ("pairs", "budget", "hidden"),
    [
        (500, Budget(minutes=60), 256),
        (30_000, Budget(minutes=3, relative_speed=0.45), 256),
        (30_000, Budget(minutes=10, relative_speed=0.45), 384),
        (30_000, Budget(minutes=30, relative_speed=0.45), 512),
        (30_000, Budget(minutes=30, relative_speed=0.2), 384),
        (30_000, Budget(epochs=30), 256),
    ],
)
def test_more_minutes_mean_more_units_for_many_texts(
    pairs: int, budget: Budget, hidden: int
) -> None:
    model, training = vars_of(*repeated("many-to-many", pairs), budget)
    assert model["hidden"] == hidden
    assert (model["bidirectional"], model["attention"]) == ("context", 1)
    many = (128, 0.5) if pairs == 30_000 else (32, 0.2)
    assert (training["batch_size"], training["lr"]) == many


@pytest.mark.parametrize(
    ("pairs", "budget", "hidden", "dropout"),
    [
        (500, Budget(minutes=3), 128, 0.3),
        (5_000, Budget(minutes=3), 128, 0.5),
        (20_000, Budget(minutes=3), 160, 0.5),
        (20_000, Budget(epochs=3), 160, 0.5),
        (20_000, Budget(minutes=0.1), 128, 0.5),  # too short for so many units
        (20_000, Budget(minutes=3, relative_speed=0.01), 128, 0.5),
    ],
)
def test_many_labels_mean_more_units_and_dropout(
    pairs: int, budget: Budget, hidden: int, dropout: float
) -> None:
    model, _ = vars_of(*repeated("many-to-one", pairs), budget)
    assert (model["hidden"], model["dropout"]) == (hidden, dropout)
    assert model["bidirectional"] == ("last" if pairs == 20_000 else None)
    given = vars_of(*repeated("many-to-one", pairs), budget, bidirectional=False)[0]
    assert given["bidirectional"] is None


def vars_of(
    pairing: PairVocabulary, train: Examples, budget: Budget, **given: object
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of the model and of training."""
    plan = plan_pairs("default", given, pairing, train, budget)
    return vars(plan.model), vars(plan.training)


def test_what_makes_no_sense_with_pairs_is_refused() -> None:
    dataset = lessons_for("synced")
    with pytest.raises(UsageError, match="--preset min-char-rnn is for texts"):
        plan_pairs("min-char-rnn", {}, dataset.pairing, dataset.train, Budget(minutes=1))
    long = PairVocabulary("synced", ("a",), ("b",))
    n = MAX_POSITIONS + 1
    examples = build_examples(long, [Pair("a" * n, "b" * n, "")])
    with pytest.raises(TextError, match="the longest example has 32,769 characters"):
        plan_pairs("default", {}, long, examples, Budget(minutes=1))


def test_a_batch_larger_than_the_pairs_is_all_of_them() -> None:
    dataset = lessons_for("synced")
    plan = plan_pairs(
        "default", {"batch_size": 5000}, dataset.pairing, dataset.train, Budget(minutes=1)
    )
    assert plan.training.batch_size == len(dataset.train)
    assert "do not fill a batch of 5000" in plan.notes[0]


# --- demonstrations, learnt to the figures that README tells

CharrnnRun = Callable[..., dict[str, Any]]
FIGURES = {
    "dates": ("many-to-many", 0.98),
    "languages": ("many-to-one", 0.95),
    "vowels": ("synced", 0.98),
    "case": ("one-to-one", 1.0),
    "france:100": ("many-to-one", 0.95),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_the_defaults_learn_the_demonstrations(name: str, charrnn_run: CharrnnRun) -> None:
    layout, least = FIGURES[name]
    found = charrnn_run("--builtin", name, "--layout", layout)
    assert found["validation"]["exact_match"] >= least
    assert found["seconds"] < 200


@pytest.mark.slow
def test_a_plain_network_of_small_weights_does_not_learn_france(charrnn_run: CharrnnRun) -> None:
    small = ("--cell", "rnn", "--recurrent-init", "normal:0.01", "--input-init", "normal:0.01")
    found = charrnn_run("--builtin", "france:100", "--layout", "many-to-one", *small)
    assert found["validation"]["symbol_accuracy"] < 0.2


@pytest.fixture
def charrnn_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CharrnnRun:
    """Run `charrnn train` in an empty folder; return its JSON."""

    def run(*options: str) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "charrnn", "train", "--json", "--quiet", *options],
            cwd=tmp_path,
            capture_output=True,
            check=True,
        )
        return dict(json.loads(done.stdout))

    return run


def test_every_cell_and_layout_is_covered() -> None:
    assert set(CELLS) >= {"rnn", "lstm", "gru"}
    assert {"one-to-one", "one-to-many", "many-to-one", "many-to-many", "synced"} <= set(LAYOUTS)
    assert demonstration("case", "one-to-one").pairs
