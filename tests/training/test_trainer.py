"""Trainer: convergence, exact resume, order of events, and weights kept finite."""

import math
from dataclasses import astuple, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charrnn.checkpointing.checkpoint import load_checkpoint, save_checkpoint
from charrnn.checkpointing.records import CorpusRecord
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import DivergedError, UsageError
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from charrnn.optim.optimisers import OPTIMISERS
from charrnn.training.events import Evaluation, Event, Step, Stopped
from charrnn.training.snapshot import restore, snapshot
from charrnn.training.text_dataset import TextDataset
from charrnn.training.trainer import LOSS_EMA_DECAY, Trainer, train
from charrnn.training_config import TrainingConfig
from charrnn.types import Array

VOCABULARY = Vocabulary("abcdef")
V = len(VOCABULARY)
TEXT = np.random.default_rng(8).integers(V, size=100).astype(np.uint8)
VALIDATION = np.random.default_rng(9).integers(V, size=30).astype(np.uint8)
NOTHING = VALIDATION[:0]
CORPUS = CorpusRecord("letters", "0" * 64, len(TEXT), 0.1)
PLAN = TrainingConfig(
    steps=14, warmup_steps=3, seq_length=5, batch_size=3, state_reset_prob=0.3, seed=6
)
STEPS_PER_EPOCH = 6
EVAL_EVERY = 3


def model(cell: str = "rnn", layers: int = 1, dropout: float = 0.0) -> ModelConfig:
    return ModelConfig(V, V, cell=cell, hidden=5, layers=layers, dropout=dropout)


def begin(config: ModelConfig, training: TrainingConfig, text: Array = TEXT) -> Trainer:
    return Trainer(
        config,
        training,
        TextDataset(text, VALIDATION),
        initialise(config, np.random.default_rng(1)),
    )


def text_of(trainer: Trainer) -> TextDataset:
    assert isinstance(trainer.dataset, TextDataset)
    return trainer.dataset


def listen(
    trainer: Trainer, until: int | None = None, validation: Array = VALIDATION
) -> list[Event]:
    """Train to the end, or stop after that many steps."""
    trainer.dataset = replace(text_of(trainer), validation=validation)
    return list(train(trainer, lambda: trainer.progress.step == until))


def write(trainer: Trainer, path: Path) -> None:
    save_checkpoint(path, snapshot(trainer, VOCABULARY, CORPUS, resumable=True))


def resume(path: Path) -> Trainer:
    checkpoint = load_checkpoint(path)
    assert checkpoint.training is not None
    config = checkpoint.training.config
    trainer = Trainer(
        checkpoint.config, config, TextDataset(TEXT, VALIDATION), checkpoint.parameters
    )
    restore(trainer, checkpoint)
    return trainer


def remember(trainer: Trainer) -> dict[str, Any]:
    """Return copies of everything a run consists of."""
    arrays = {
        "parameters": trainer.parameters.vector,
        "model": trainer.model.vector,
        "states": trainer.states.vector,
        **{f"optimiser.{slot}": array for slot, array in trainer.optimiser.state.items()},
    }
    counts = {"progress": astuple(trainer.progress), "updates": trainer.optimiser.updates}
    return {name: array.copy() for name, array in arrays.items()} | counts


def assert_same(left: dict[str, Any], right: dict[str, Any]) -> None:
    """Compare two runs bit for bit."""
    assert left.keys() == right.keys()
    for name, value in left.items():
        np.testing.assert_array_equal(value, right[name], err_msg=name)


def timeless(events: list[Event]) -> list[Event]:
    return [
        replace(e, seconds=0.0, chars_per_second=0.0) if isinstance(e, Step) else e for e in events
    ]


@pytest.mark.parametrize("average", [0.0, 0.9], ids=["weights", "average"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_a_resumed_run_is_the_one_that_never_stopped(
    tmp_path: Path, cell: str, optimiser: str, layers: int, average: float
) -> None:
    rng = np.random.default_rng([*map(ord, cell + optimiser), layers])
    stop = int(rng.integers(1, PLAN.steps))
    training = replace(
        PLAN,
        optimiser=optimiser,
        lr=OPTIMISERS[optimiser].default_lr,
        weight_decay=0.01,
        ema_decay=average,
        eval_every=EVAL_EVERY,
    )
    config = model(cell, layers, dropout=0.3)
    with begin(config, training) as whole:
        assert whole.steps_per_epoch == STEPS_PER_EPOCH
        events = listen(whole)
        expected = remember(whole)
    with begin(config, training) as first:
        before = listen(first, until=stop)
        assert before.pop() == Stopped(stop, "interrupted")
        write(first, tmp_path / "last.npz")
    with resume(tmp_path / "last.npz") as second:
        assert_same(remember(second), remember(first))
        after = listen(second)
        assert_same(remember(second), expected)
    assert timeless(before + after) == timeless(events)
    assert expected["progress"][0] == PLAN.steps
    assert not np.array_equal(expected["parameters"], remember(first)["parameters"])


def test_a_run_stopped_where_it_should_be_scored_is_scored_when_resumed(tmp_path: Path) -> None:
    """Else it could reach its plateau, or keep its best model, at another step."""
    training = replace(PLAN, eval_every=EVAL_EVERY)
    with begin(model(), training) as whole:
        events = listen(whole)
    with begin(model(), training) as first:
        before = listen(first, until=2 * EVAL_EVERY)
        write(first, tmp_path / "last.npz")
    with resume(tmp_path / "last.npz") as second:
        after = listen(second)
    scores = [event for event in before + after if isinstance(event, Evaluation)]
    assert scores == [event for event in events if isinstance(event, Evaluation)]
    assert_same(remember(second), remember(whole))


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, PLAN.steps - 1), min_size=2, max_size=4, unique=True).map(sorted))
def test_a_run_may_stop_any_number_of_times(tmp_path: Path, stops: list[int]) -> None:
    config = model("gru", dropout=0.2)
    training = replace(PLAN, loss="sum", clip_norm=None, clip_value=0.5, schedule="step")
    with begin(config, training) as whole:
        listen(whole)
        expected = remember(whole)
    trainer = begin(config, training)
    for stop in stops:
        listen(trainer, until=stop)
        write(trainer, tmp_path / "last.npz")
        trainer = resume(tmp_path / "last.npz")
    listen(trainer)
    assert_same(remember(trainer), expected)


def test_loss_falls_on_a_text_that_repeats_itself(cell: str) -> None:
    text = np.tile(np.array([0, 1, 2, 0, 3, 4, 5], np.uint8), 100)
    training = TrainingConfig(steps=80, warmup_steps=5, seq_length=10, batch_size=4)
    config = ModelConfig(V, V, cell=cell, hidden=16)
    with begin(config, training, text) as trainer:
        events = listen(trainer, validation=text[:70])
    losses = [event.nats for event in events if isinstance(event, Step)]
    assert losses[0] == pytest.approx(math.log(V), abs=0.5)
    assert losses[-1] < 0.15
    evaluation = next(event for event in events if isinstance(event, Evaluation))
    assert evaluation.nats < 0.3


def test_events_come_in_order() -> None:
    training = replace(PLAN, steps=7, eval_every=3)
    with begin(model(), training) as trainer:
        events = listen(trainer)
    validated = [Step, Step, Step, Evaluation]
    assert [type(event) for event in events] == [*validated, *validated, Step, Evaluation, Stopped]
    assert [event.step for event in events] == [1, 2, 3, 3, 4, 5, 6, 6, 7, 7, 7]
    assert events[-1] == Stopped(7, "finished")


def test_a_step_reports_where_the_run_stands() -> None:
    training = replace(PLAN, clip_norm=0.2)
    with begin(model("lstm"), training) as trainer:
        steps = [event for event in listen(trainer) if isinstance(event, Step)]
    assert [step.characters for step in steps] == [15 * k for k in range(1, 15)]
    assert steps[5].epoch == 1
    assert {step.steps for step in steps} == {14}
    assert steps[0].lr == pytest.approx(training.lr / 3)
    assert all(later.lr < earlier.lr for earlier, later in pairwise(steps[3:]))
    assert all(step.gradient_norm_clipped <= 0.2 for step in steps)
    assert any(step.gradient_norm > 0.2 for step in steps)
    assert all(step.chars_per_second > 0 for step in steps)
    for count in range(1, 15):
        weights = LOSS_EMA_DECAY ** np.arange(count)[::-1]
        smooth = np.average([step.nats for step in steps[:count]], weights=weights)
        assert steps[count - 1].smooth_nats == pytest.approx(smooth, rel=1e-9)


def test_without_an_interval_only_the_end_is_scored() -> None:
    with begin(model(), PLAN) as trainer:
        events = [event for event in listen(trainer) if not isinstance(event, Step)]
    assert [type(event) for event in events] == [Evaluation, Stopped]


@pytest.mark.parametrize("characters", [0, 1])
def test_a_validation_part_with_nothing_to_predict_is_not_scored(characters: int) -> None:
    with begin(model(), replace(PLAN, eval_every=2)) as trainer:
        events = listen(trainer, validation=VALIDATION[:characters])
    assert not any(isinstance(event, Evaluation) for event in events)
    assert events[-1] == Stopped(PLAN.steps, "finished")


@pytest.mark.parametrize("average", [0.0, 0.9], ids=["weights", "average"])
def test_watching_does_not_change_what_is_learnt(cell: str, average: float) -> None:
    ends = []
    for every in (0, 1):
        training = replace(PLAN, eval_every=every, ema_decay=average)
        with begin(model(cell, 2, dropout=0.3), training) as trainer:
            listen(trainer, validation=VALIDATION if every else NOTHING)
            ends.append(remember(trainer))
    for end in ends:
        del end["progress"]
    assert_same(*ends)


def test_no_progress_for_a_while_is_a_plateau() -> None:
    training = replace(PLAN, lr=1e-30, eval_every=2, patience=3)
    with begin(model(), training) as trainer:
        events = listen(trainer)
    scores = [event for event in events if isinstance(event, Evaluation)]
    assert [score.best for score in scores] == [True, False, False, False]
    assert {score.best_nats for score in scores} == {scores[0].nats}
    assert events[-1] == Stopped(8, "plateau")
    assert trainer.progress.best_step == 2


def test_the_stop_flag_ends_the_run_after_its_step() -> None:
    with begin(model(), PLAN) as trainer:
        events = listen(trainer, until=4)
        assert events[-1] == Stopped(4, "interrupted")
        assert listen(trainer)[0] != events[-1]  # and it may go on
        assert trainer.progress.step == PLAN.steps


def test_a_stop_after_the_last_step_leaves_only_its_score_to_do() -> None:
    with begin(model(), PLAN) as trainer:
        assert listen(trainer, until=PLAN.steps)[-1] == Stopped(PLAN.steps, "interrupted")
        assert [type(event) for event in listen(trainer)] == [Evaluation, Stopped]
        assert listen(trainer) == [Stopped(PLAN.steps, "finished")]
    with begin(model(), PLAN) as trainer:
        events = listen(trainer, until=PLAN.steps, validation=NOTHING)
        assert events[-1] == Stopped(PLAN.steps, "finished")


def test_a_stop_during_the_evaluation_leaves_no_figure() -> None:
    def stop() -> bool:
        return trainer.progress.step == 2

    with begin(model(), replace(PLAN, eval_every=2)) as trainer:
        events = list(train(trainer, stop))
        assert [type(event) for event in events] == [Step, Step, Stopped]
        assert trainer.progress.best_nats is None
        assert isinstance(listen(trainer)[0], Evaluation)  # which is made up for
        assert trainer.progress.best_nats is not None


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_same_seed_trains_the_same_and_another_does_not(cell: str, dropout: float) -> None:
    ends = []
    for seed in (6, 6, 7):
        with begin(model(cell, dropout=dropout), replace(PLAN, seed=seed)) as trainer:
            listen(trainer)
            ends.append(remember(trainer))
    assert_same(ends[0], ends[1])
    assert not np.array_equal(ends[0]["parameters"], ends[2]["parameters"])


def test_a_summed_loss_has_a_gradient_longer_by_the_window(cell: str) -> None:
    norms = {}
    for loss in ("mean", "sum"):
        with begin(model(cell), replace(PLAN, loss=loss, clip_norm=None)) as trainer:
            norms[loss] = trainer.step().gradient_norm
    assert norms["sum"] == pytest.approx(PLAN.seq_length * norms["mean"], rel=1e-5)


def test_clipping_by_value_binds_every_element() -> None:
    config = model()
    training = replace(
        PLAN, optimiser="sgd", lr=1.0, warmup_steps=0, clip_norm=None, clip_value=1e-3
    )
    with begin(config, training) as trainer:
        before = trainer.parameters.vector.copy()
        step = trainer.step()
        moved = np.abs(trainer.parameters.vector - before)
    assert moved.max() == pytest.approx(1e-3, rel=1e-3)
    assert step.gradient_norm_clipped < step.gradient_norm


def test_the_average_follows_the_weights() -> None:
    with begin(model("gru"), replace(PLAN, ema_decay=0.5)) as trainer:
        expected = trainer.model.vector.astype(np.float64)
        for number in range(PLAN.steps):
            trainer.step()
            keep = min(0.5, (1 + number) / (10 + number))
            expected = keep * expected + (1 - keep) * trainer.parameters.vector
        np.testing.assert_allclose(trainer.model.vector, expected, rtol=1e-4, atol=1e-6)
        assert not np.allclose(trainer.model.vector, trainer.parameters.vector)
    with begin(model("gru"), PLAN) as trainer:
        assert trainer.model is trainer.parameters


def put_nan(trainer: Trainer, name: str) -> None:
    """Set one element of a parameter that the next window reads to NaN."""
    ids = trainer.pool.batcher.at(trainer.progress.step).inputs
    array = trainer.parameters[name]
    row = (0, int(ids[0, 0]), 0) if name == "layers.0.W_xh" else (0,) * array.ndim
    array[row] = np.nan


def parameters_of(cell: str) -> list[str]:
    return list(model(cell, layers=2).shapes())


@pytest.mark.parametrize(
    ("cell", "name"), [(cell, name) for cell in CELLS for name in parameters_of(cell)]
)
def test_a_nan_weight_stops_the_run_and_changes_nothing_else(cell: str, name: str) -> None:
    with begin(model(cell, layers=2), replace(PLAN, ema_decay=0.9)) as trainer:
        trainer.step()
        trainer.step()
        put_nan(trainer, name)
        before = remember(trainer)
        with pytest.raises(DivergedError, match="not finite at step 3; try a smaller") as caught:
            trainer.step()
        after = remember(trainer)
    assert any(parameter in str(caught.value) for parameter in parameters_of(cell))
    del before["states"], after["states"]  # a run that diverged is not carried on
    assert_same(after, before)
    assert np.isfinite(after["model"]).all()


def test_an_infinite_validation_loss_is_divergence() -> None:
    with begin(model(), PLAN) as trainer:
        trainer.step()
        trainer.parameters["b_y"][...] = np.nan
        with pytest.raises(DivergedError, match="validation loss is nan at step 1; try a smaller"):
            trainer.evaluate()
        assert trainer.progress.best_nats is None


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("lr", [1e6, 3e38])
def test_no_learning_rate_gets_a_number_that_is_none_into_a_checkpoint(
    tmp_path: Path, optimiser: str, lr: float
) -> None:
    training = replace(
        PLAN,
        optimiser=optimiser,
        lr=lr,
        warmup_steps=0,
        clip_norm=None,
        weight_decay=0.1,
        ema_decay=0.9,
    )
    with begin(model(), training) as trainer:
        for _ in range(training.steps):
            try:
                trainer.step()
                write(trainer, tmp_path / "last.npz")
            except DivergedError:
                break
            saved = load_checkpoint(tmp_path / "last.npz")  # which refuses what is not finite
            assert np.isfinite(saved.parameters.vector).all()
        else:
            assert lr == 1e6  # the larger one cannot go well


def test_a_snapshot_names_the_weight_that_is_not_finite() -> None:
    with begin(model(), PLAN) as trainer:
        trainer.step()
        trainer.parameters["W_hy"][0, 0] = np.inf
        for resumable in (True, False):
            with pytest.raises(DivergedError, match="W_hy is not finite at step 1"):
                snapshot(trainer, VOCABULARY, CORPUS, resumable=resumable)


def exploding(seq_length: int, optimiser: str) -> Trainer:
    """Return a run whose gradient triples with every character, while its loss is as it should."""
    config = ModelConfig(
        V, V, cell="rnn", hidden=5, init="identity", gain=3.0, input_init="normal:0"
    )
    training = replace(
        PLAN, optimiser=optimiser, lr=1e-3, clip_norm=None, seq_length=seq_length, batch_size=1
    )
    return begin(config, training, np.tile(TEXT, 4))


def test_an_infinite_gradient_of_a_finite_loss_stops_the_run() -> None:
    with exploding(128, "sgd") as trainer:  # 3¹²⁸ is beyond float32
        before = remember(trainer)
        with pytest.raises(DivergedError, match=r"the gradient of layers\.0\.\S+ is not finite"):
            trainer.step()
        assert_same(remember(trainer), before)  # the state too: it stays at zero


@pytest.mark.parametrize("optimiser", ["adagrad", "adam", "adamw", "rmsprop"])
def test_a_gradient_whose_square_is_infinite_makes_no_unreadable_checkpoint(
    tmp_path: Path, optimiser: str
) -> None:
    with exploding(64, optimiser) as trainer:  # 3⁶⁴ is a number in float32, its square is none
        try:
            assert 1e20 < trainer.step().gradient_norm < math.inf
            write(trainer, tmp_path / "last.npz")
        except DivergedError:
            return
    load_checkpoint(tmp_path / "last.npz")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimiser": "lion"}, "no optimiser called 'lion'; there are adagrad, adagrad-damped"),
        ({"schedule": "linear"}, "no schedule called 'linear'; there are constant, cosine, step"),
        ({"loss": "median"}, "the loss is 'median'; it must be 'mean' or 'sum'"),
        ({"seq_length": 0}, "--seq-length is 0; it must be a whole number from 1 to"),
        ({"seq_length": 10**9}, "--seq-length is 1000000000; it must be"),
        (
            {"batch_size": 0},
            "--batch-size is 0; it must be a whole number from 1 to 1,048,576; try --batch-size",
        ),
        ({"batch_size": 2.5}, "--batch-size is 2.5; it must be a whole number"),
        ({"workers": 0}, "workers is 0; it must be a whole number from 1 to 256"),
        ({"steps": -1}, "--steps is -1"),
        ({"steps": 10**30}, "--steps is about 2**99"),
        ({"warmup_steps": -1}, "--warmup-steps is -1; it must be a whole number from 0 to"),
        ({"weight_decay": -0.1}, "--weight-decay is -0.1; it must be from 0 to 1,000"),
        ({"weight_decay": float("nan")}, "--weight-decay is nan"),
        ({"weight_decay": float("inf")}, "--weight-decay is inf"),
        ({"eval_every": -1}, "--eval-every is -1"),
        ({"patience": -1}, "--patience is -1"),
        ({"seed": -1}, "--seed is -1"),
        ({"seed": 2**200}, "--seed is about 2**200"),
        ({"lr": 0.0}, "--lr is 0.0; it must be from 1e-30 to 3e+38; try --lr 0.1"),
        ({"lr": float("nan")}, "--lr is nan"),
        ({"lr": float("inf")}, "--lr is inf"),
        ({"lr": 1e308}, "--lr is 1e+308"),
        ({"clip_norm": 0.0}, "--clip-norm is 0.0"),
        ({"clip_norm": 1e-320}, "--clip-norm is 1e-320"),
        ({"clip_value": -5.0}, "--clip-value is -5.0"),
        ({"state_reset_prob": 1.1}, "--state-reset-prob is 1.1; it must be from 0 to 1"),
        ({"state_reset_prob": float("nan")}, "--state-reset-prob is nan"),
        ({"ema_decay": -0.1}, "--ema-decay is -0.1; it must be from 0 to 1"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        replace(PLAN, **options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_plan_has_all_its_values_in_its_dictionary() -> None:
    assert list(PLAN.as_dict().values()) == list(vars(PLAN).values())


@pytest.mark.slow
def test_every_cell_learns_a_poem_by_heart(cell: str) -> None:
    poem = (
        "O Rose thou art sick.\nThe invisible worm,\nThat flies in the night\n"
        "In the howling storm:\nHas found out thy bed\nOf crimson joy:\n"
        "And his dark secret love\nDoes thy life destroy.\n\n"
    )
    known = Vocabulary.from_text(poem)
    text = known.encode(poem * 60)
    config = ModelConfig(len(known), len(known), cell=cell, hidden=48)
    training = TrainingConfig(steps=250, lr=0.2, warmup_steps=20, seq_length=32, batch_size=16)
    with begin(config, training, text) as trainer:
        events = listen(trainer, validation=text[: 4 * len(poem)])
    evaluation = next(event for event in events if isinstance(event, Evaluation))
    assert evaluation.nats < 0.1  # from the zero state it has to find its place first


def test_a_plan_that_is_changed_twice_at_one_step_is_changed_once() -> None:
    """By the time that is left after a step, and by the validation after it."""
    trainer = begin(model(), TrainingConfig(steps=20, batch_size=2, seq_length=4))
    trainer.replan(19)
    assert (trainer.config.steps, trainer.config.earlier_plans) == (19, "")
    for _ in range(3):
        trainer.step()
    trainer.replan(15)
    trainer.replan(9)
    assert (trainer.config.steps, trainer.config.earlier_plans) == (9, "3:19")
    trainer.step()
    trainer.replan(8)
    assert (trainer.config.steps, trainer.config.earlier_plans) == (8, "3:19,4:9")
