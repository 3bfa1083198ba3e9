"""`on_nonfinite`: what a run does at a loss or gradient that is not finite."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from charrnn.checkpointing import checkpoint as module
from charrnn.checkpointing.checkpoint import load_checkpoint, save_checkpoint
from charrnn.checkpointing.npz_file import write_archive
from charrnn.checkpointing.records import CorpusRecord
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import CheckpointError, DivergedError
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from charrnn.training.events import Event, NonFinite, Step, Stopped
from charrnn.training.snapshot import restore, snapshot
from charrnn.training.text_dataset import TextDataset
from charrnn.training.trainer import MAX_NONFINITE, ROLLBACK_EVERY, Trainer, train
from charrnn.training_config import TrainingConfig
from charrnn.types import Array

VOCABULARY = Vocabulary("abcdef")
V = len(VOCABULARY)
TEXT = np.random.default_rng(8).integers(V, size=200).astype(np.uint8)
RECORD = CorpusRecord("letters", "0" * 64, len(TEXT), 0.1)
STEPS = 2 * ROLLBACK_EVERY + 60
SKIP = TrainingConfig(
    steps=STEPS, on_nonfinite="skip", seq_length=5, batch_size=3, eval_every=50, seed=6
)
ROLLBACK = replace(SKIP, on_nonfinite="rollback")


def begin(training: TrainingConfig, cell: str = "gru") -> Trainer:
    config = ModelConfig(V, V, cell=cell, hidden=5, layers=2, dropout=0.2)
    initial = initialise(config, np.random.default_rng(1))
    return Trainer(config, training, TextDataset(TEXT, TEXT[:30]), initial)


def make_nan(trainer: Trainer, at: set[int]) -> None:
    """Make one element of the gradient NaN at these steps, counted from 1."""
    plain: Callable[[int], float] = trainer.pool.compute

    def compute(step: int) -> float:
        nats = plain(step)
        if step + 1 in at:
            trainer.pool.gradient[3] = np.nan
            trainer.states.vector[...] = np.nan
        return nats

    trainer.pool.compute = compute  # type: ignore[method-assign]  # the test's fault


def losses(events: list[Event]) -> list[tuple[int, float, float]]:
    return [(event.step, event.nats, event.lr) for event in events if isinstance(event, Step)]


def assert_finite(trainer: Trainer) -> None:
    arrays = (trainer.parameters, trainer.model, trainer.states)
    assert all(np.isfinite(array.vector).all() for array in arrays)
    assert all(np.isfinite(array).all() for array in trainer.optimiser.state.values())


def test_skip_makes_no_update_and_goes_on_with_the_next_batch() -> None:
    with begin(replace(SKIP, ema_decay=0.9)) as trainer:
        make_nan(trainer, {4, 9})
        events = train(trainer)
        for event in events:
            if trainer.progress.step == 3:
                before = trainer.parameters.vector.copy(), trainer.model.vector.copy()
            if isinstance(event, NonFinite):
                break
        assert isinstance(event, NonFinite)
        assert (event.step, event.restored, event.lr_scale) == (4, None, 1.0)
        np.testing.assert_array_equal(trainer.parameters.vector, before[0])
        np.testing.assert_array_equal(trainer.model.vector, before[1])
        assert not trainer.states.vector.any()
        *_, last = events
        assert last == Stopped(STEPS, "finished")
        assert trainer.progress.skipped == 2
        assert trainer.optimiser.updates == STEPS - 2
        assert_finite(trainer)


def test_the_smoothed_loss_is_one_of_the_steps_that_were_taken() -> None:
    with begin(SKIP) as trainer:
        make_nan(trainer, {1})
        events = train(trainer)
        next(events)
        second = next(events)
        assert isinstance(second, Step)
        assert second.smooth_nats == pytest.approx(second.nats)


@pytest.mark.parametrize(
    ("training", "done"), [(SKIP, "skipped updates"), (ROLLBACK, "rollbacks")], ids=["skip", "back"]
)
def test_a_run_stops_after_some_in_a_row(training: TrainingConfig, done: str) -> None:
    with begin(training) as trainer:
        make_nan(trainer, set(range(10, 10 + MAX_NONFINITE + 1)))
        found: list[Event] = []
        with pytest.raises(DivergedError, match=f"after {MAX_NONFINITE} {done} in a row"):
            found.extend(train(trainer))
        trainer.states.vector[...] = 0  # those of a run that diverged are not carried on
        assert_finite(trainer)
    with begin(training) as trainer:
        make_nan(trainer, set(range(10, 10 + MAX_NONFINITE)))
        assert list(train(trainer))[-1] == Stopped(STEPS, "finished")


def test_skip_cannot_help_where_a_weight_is_nan() -> None:
    with begin(SKIP) as trainer:
        trainer.step()
        trainer.parameters["W_hy"][0, 0] = np.nan
        with pytest.raises(DivergedError, match="W_hy is not finite at step 2"):
            list(train(trainer))


@pytest.mark.parametrize("name", list(ModelConfig(V, V, cell="gru", hidden=5, layers=2).shapes()))
def test_rollback_recovers_from_a_nan_in_each_parameter(name: str) -> None:
    with begin(replace(ROLLBACK, ema_decay=0.9, optimiser="adam", lr=0.01)) as trainer:
        state = trainer.optimiser.state
        arrays = (trainer.parameters.vector, trainer.model.vector, *state.values())
        known: dict[int, list[Array]] = {}
        for event in train(trainer):
            step = trainer.progress.step
            if isinstance(event, Step):
                known[step] = [array.copy() for array in arrays]
                if step == STEPS - 20:
                    trainer.parameters[name][...] = np.nan
            if isinstance(event, NonFinite):
                assert (event.step, event.restored) == (STEPS - 19, ROLLBACK_EVERY)
                assert event.lr_scale == 0.5
                for array, before in zip(arrays, known[ROLLBACK_EVERY], strict=True):
                    np.testing.assert_array_equal(array, before)
                assert trainer.optimiser.updates == ROLLBACK_EVERY
        assert event == Stopped(STEPS, "finished")
        assert trainer.progress.skipped == 1
        assert_finite(trainer)


def test_rollback_recovers_where_the_validation_is_not_finite() -> None:
    with begin(ROLLBACK) as trainer:
        events = []
        for event in train(trainer):
            events.append(event)
            if isinstance(event, Step) and event.step == 50:
                trainer.parameters["b_y"][...] = np.nan
        (found,) = [event for event in events if isinstance(event, NonFinite)]
        assert (found.step, found.restored) == (50, 0)
        assert trainer.progress.skipped == 0
        assert events[-1] == Stopped(STEPS, "finished")


def test_skip_cannot_help_where_the_validation_is_not_finite() -> None:
    with begin(SKIP) as trainer:
        list(train(trainer, lambda: trainer.progress.step == 49))
        trainer.step()
        trainer.parameters["b_y"][...] = np.nan
        with pytest.raises(DivergedError, match="validation loss is nan at step 50"):
            list(train(trainer))


def test_a_rollback_halves_the_learning_rate_from_then_on() -> None:
    with begin(ROLLBACK) as plain:
        expected = losses(list(train(plain)))
    with begin(ROLLBACK) as trainer:
        make_nan(trainer, {30})
        found = losses(list(train(trainer)))
    assert found[:29] == expected[:29]
    rates = {step: rate for step, _, rate in expected}
    assert all(rate == rates[step] / 2 for step, _, rate in found[29:])


@pytest.mark.parametrize("training", [SKIP, ROLLBACK], ids=["skip", "rollback"])
@pytest.mark.parametrize("stop", [ROLLBACK_EVERY, 150, 2 * ROLLBACK_EVERY + 5, 231, 240])
def test_a_resumed_run_is_the_one_that_never_stopped(
    tmp_path: Path, training: TrainingConfig, stop: int
) -> None:
    training = replace(training, ema_decay=0.9)
    faults = {20, 230, 235}
    with begin(training) as whole:
        make_nan(whole, faults)
        expected = losses(list(train(whole)))
    with begin(training) as first:
        make_nan(first, faults)
        found = losses(list(train(first, lambda: first.progress.step == stop)))
        saved = snapshot(first, VOCABULARY, RECORD, resumable=True)
        save_checkpoint(tmp_path / "last.npz", saved)
    checkpoint = load_checkpoint(tmp_path / "last.npz")
    with begin(training) as second:
        restore(second, checkpoint)
        make_nan(second, faults)
        found += losses(list(train(second)))
    assert found == expected
    np.testing.assert_array_equal(second.parameters.vector, whole.parameters.vector)
    np.testing.assert_array_equal(second.model.vector, whole.model.vector)
    assert second.progress == whole.progress


def test_a_run_may_ask_for_rollbacks_when_it_is_resumed(tmp_path: Path) -> None:
    with begin(replace(ROLLBACK, on_nonfinite="stop")) as first:
        list(train(first, lambda: first.progress.step == 30))
        saved = snapshot(first, VOCABULARY, RECORD, resumable=True)
        save_checkpoint(tmp_path / "last.npz", saved)
    with begin(ROLLBACK) as second:
        restore(second, load_checkpoint(tmp_path / "last.npz"))
        make_nan(second, {40})
        (found,) = [event for event in train(second) if isinstance(event, NonFinite)]
    assert found.restored == 30


def test_initial_weights_that_are_not_finite_stop_a_run() -> None:
    config = ModelConfig(V, V, hidden=5)
    initial = initialise(config, np.random.default_rng(1))
    initial["b_y"][...] = np.nan
    with (
        Trainer(config, ROLLBACK, TextDataset(TEXT, TEXT[:30]), initial) as trainer,
        pytest.raises(DivergedError, match="b_y is not finite at step 1"),
    ):
        list(train(trainer))


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"step": 10, "updates": 11}, r"training\.rollback\.0\.step or updates is out of range"),
        ({"step": 10**6, "updates": 0}, "out of range"),
        ({"step": -1, "updates": -1}, "out of range"),
        ({"step": "1", "updates": 0}, r"training\.rollback\.0\.step is missing or not of type int"),
        ({"step": 1}, "not an object with step and updates"),
        (7, "not an object"),
    ],
)
def test_a_damaged_rollback_point_is_refused(
    tmp_path: Path, point: object, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with begin(ROLLBACK) as trainer:
        list(train(trainer, lambda: trainer.progress.step == 20))
        saved = snapshot(trainer, VOCABULARY, RECORD, resumable=True)

    def forge(path: Path, arrays: dict[str, Array], metadata: dict[str, object]) -> None:
        training = metadata["training"]
        assert isinstance(training, dict)
        training["rollback"] = [point]
        write_archive(path, arrays, metadata)  # type: ignore[arg-type]  # forged

    monkeypatch.setattr(module, "write_archive", forge)
    save_checkpoint(tmp_path / "last.npz", saved)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "last.npz")
