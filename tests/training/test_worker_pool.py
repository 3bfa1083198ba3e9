"""Worker pool: same results for any number of processes, and no process left behind."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from charrnn.data.layouts import vocabulary_of_pairs
from charrnn.data.pair_batches import PairBatchConfig
from charrnn.data.pair_files import build_examples
from charrnn.data.pair_formats import Pair
from charrnn.data.text_batches import TextBatchConfig
from charrnn.errors import CharRNNError, UsageError, WorkerError
from charrnn.nn.cells import CELLS, RNNCell
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from charrnn.nn.parameters import Parameters
from charrnn.training.text_dataset import TextDataset
from charrnn.training.trainer import Trainer
from charrnn.training.worker_pool import WorkerPool
from charrnn.training_config import TrainingConfig
from charrnn.types import Array

V, T, B = 6, 5, 5
TEXT = np.random.default_rng(8).integers(V, size=120).astype(np.uint8)
ARRAYS = {"ids": TEXT}
BATCH_CONFIG = TextBatchConfig(T, B, seed=3, state_reset_prob=0.3, loss_weight=1 / (T * B))
PATIENCE = 60.0
"""Seconds after which a step that should end at once counts as hanging."""


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    before = set(multiprocessing.active_children())
    yield
    assert set(multiprocessing.active_children()) == before


def model(cell: str, **settings: Any) -> ModelConfig:
    return ModelConfig(V, V, cell=cell, hidden=4, layers=2, **settings)


def weights(config: ModelConfig) -> Parameters:
    return initialise(config, np.random.default_rng(1), np.float64)


def train_steps(pool: WorkerPool, steps: int) -> list[Array]:
    """Return the nats, gradient and states of each step, the weights moving a little."""
    results = []
    for step in range(steps):
        nats = pool.compute(step)
        assert np.linalg.norm(pool.gradient) > 1e-3
        results.append(np.concatenate([[nats], pool.gradient, pool.states.vector]))
        pool.parameters.vector -= 0.5 * pool.gradient
    return results


def test_two_processes_compute_what_one_computes(cell: str) -> None:
    config = model(cell)
    with WorkerPool(config, BATCH_CONFIG, ARRAYS, weights(config)) as alone:
        expected = train_steps(alone, 7)  # into the second epoch
        assert alone.size == 1
    with WorkerPool(config, BATCH_CONFIG, ARRAYS, weights(config), workers=2) as pool:
        assert pool.size == 2
        computed = train_steps(pool, 7)
    assert alone.states.vector.any()
    np.testing.assert_allclose(computed, expected, rtol=1e-9, atol=1e-13)


DROPS: dict[str, Any] = {"dropout": 0.4, "recurrent_dropout": 0.3}


@pytest.mark.parametrize("workers", [2, 3])
def test_dropout_is_the_same_however_the_rows_are_shared(workers: int) -> None:
    """Two, two and one of five rows with an odd number of draws each; some rows are reset."""
    config = ModelConfig(V, V, cell="gru", hidden=3, layers=2, **DROPS)
    assert T * config.hidden % 2
    with WorkerPool(config, BATCH_CONFIG, ARRAYS, weights(config)) as alone:
        expected = train_steps(alone, 7)
    with WorkerPool(config, BATCH_CONFIG, ARRAYS, weights(config), workers) as pool:
        assert pool.size == workers
        computed = train_steps(pool, 7)
    np.testing.assert_allclose(computed, expected, rtol=1e-9, atol=1e-13)
    kept = replace(config, dropout=0.0, recurrent_dropout=0.0)
    with WorkerPool(kept, BATCH_CONFIG, ARRAYS, weights(config)) as whole:
        assert not np.allclose(train_steps(whole, 1), expected[:1])


def test_dropout_of_pairs_is_the_same_however_they_are_shared() -> None:
    words = ["abc", "ba", "cab", "bcab", "a", "cc", "abab", "bb", "ca", "aacb"]
    pairing = vocabulary_of_pairs("many-to-many", [(word, word[::-1]) for word in words])
    examples = build_examples(pairing, [Pair(word, word[::-1], "here") for word in words])
    config = ModelConfig(
        pairing.inputs, pairing.outputs, hidden=3, bidirectional="context", **DROPS
    )
    found = []
    for workers in (1, 2, 3):
        batches = PairBatchConfig(B, seed=3)
        with WorkerPool(config, batches, examples.arrays, weights(config), workers) as pool:
            assert pool.size == workers
            found.append(train_steps(pool, 5))
    for computed in found[1:]:
        np.testing.assert_allclose(computed, found[0], rtol=1e-9, atol=1e-13)


def test_two_processes_compute_the_same_twice_bit_for_bit() -> None:
    config = TrainingConfig(steps=8, warmup_steps=0, seq_length=T, batch_size=B, workers=2, seed=2)
    dropped = model(list(CELLS)[-1], dropout=0.4)
    ends = []
    for _ in range(2):
        initial = initialise(dropped, np.random.default_rng(1))
        with Trainer(dropped, config, TextDataset(TEXT), initial) as trainer:
            nats = [trainer.step().nats for _ in range(config.steps)]
            ends.append((nats, trainer.parameters.vector.copy(), trainer.states.vector.copy()))
        assert not np.array_equal(ends[-1][1], initial.vector)
    for first, second in zip(*ends, strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_killed_worker_is_an_error_and_not_a_hang() -> None:
    config = model("rnn")
    caught: list[BaseException] = []

    def work() -> None:
        try:
            for step in range(3):
                pool.compute(step)
        except CharRNNError as error:
            caught.append(error)

    with WorkerPool(config, BATCH_CONFIG, ARRAYS, weights(config), workers=2) as pool:
        pool.compute(0)
        (process,) = multiprocessing.active_children()
        process.kill()
        process.join()
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(PATIENCE)
        assert not thread.is_alive(), "compute waits for a worker that is gone"
    assert "a worker process was killed by SIGKILL" in str(caught[0])
    assert "--workers 1" in str(caught[0])


def test_a_step_that_a_worker_does_not_end_leaves_the_carried_states(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = model("rnn")
    with WorkerPool(config, BATCH_CONFIG, ARRAYS, weights(config), workers=2) as pool:
        pool.compute(0)
        before, own = pool.states.vector.copy(), pool._own.compute
        (process,) = multiprocessing.active_children()
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSTOP)  # it must not answer before it is killed

        def kill_meanwhile(step: int) -> float:
            nats = own(step)
            assert not np.array_equal(pool.states.vector, before)
            process.kill()
            return nats

        monkeypatch.setattr(pool._own, "compute", kill_meanwhile)
        with pytest.raises(WorkerError):
            pool.compute(1)
        np.testing.assert_array_equal(pool.states.vector, before)


def test_there_are_never_more_processes_than_rows() -> None:
    config = model("rnn")
    one_row = TextBatchConfig(T, 1, seed=0, state_reset_prob=0.0, loss_weight=1.0)
    for workers in (-1, 0, 1, 7):
        with WorkerPool(config, one_row, ARRAYS, weights(config), workers) as pool:
            assert pool.size == 1
            assert pool.compute(0) > 0


def test_closing_twice_is_no_mistake() -> None:
    config = model("rnn")
    pool = WorkerPool(config, BATCH_CONFIG, ARRAYS, weights(config))
    pool.close()
    pool.close()


def test_a_pool_trains_a_copy_of_the_initial_weights(cell: str) -> None:
    config = model(cell)
    initial = weights(config)
    before = initial.vector.copy()
    with WorkerPool(config, BATCH_CONFIG, ARRAYS, initial) as pool:
        train_steps(pool, 1)
        assert not np.array_equal(pool.parameters.vector, before)
    np.testing.assert_array_equal(initial.vector, before)


def test_reset_rows_start_from_zero_and_others_continue(cell: str) -> None:
    config = model(cell)
    with WorkerPool(config, BATCH_CONFIG, ARRAYS, weights(config)) as pool:
        batcher = BATCH_CONFIG.batcher(ARRAYS)
        step = next(k for k in range(1, 99) if 0 < batcher.at(k).reset_mask.sum() < B)
        reset_mask = batcher.at(step).reset_mask
        ends = []
        for filling in (0.0, 0.5):
            pool.states.vector[...] = filling
            pool.compute(step)
            ends.append({name: state.copy() for name, state in pool.states.items()})
    for name in config.state_shapes(B):
        same = np.all(ends[0][name] == ends[1][name], axis=-1)
        np.testing.assert_array_equal(same, reset_mask, err_msg=name)


@pytest.mark.parametrize("kind", ["dropout", "recurrent_dropout"])
def test_dropout_masks_are_a_function_of_the_step(cell: str, kind: str) -> None:
    """The batches of this text are all the same, so that only the masks can differ."""
    config, same = model(cell, **{kind: 0.5}), {"ids": np.zeros_like(TEXT)}
    never_reset = replace(BATCH_CONFIG, state_reset_prob=0.0)
    with WorkerPool(config, never_reset, same, weights(config)) as pool:
        start = pool.states.vector.copy()
        nats = []
        for step in (1, 1, 2, 1):
            pool.states.vector[...] = start
            nats.append(pool.compute(step))
    assert nats[0] == nats[1] == nats[3] != nats[2]


def test_a_cell_defined_in_a_function_needs_a_single_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Local(RNNCell):
        """A cell that no other process can import."""

    monkeypatch.setitem(CELLS, "local", Local)
    config = model("local")
    with WorkerPool(config, BATCH_CONFIG, ARRAYS, weights(config)) as alone:
        assert alone.compute(0) > 0
    with pytest.raises(UsageError, match=r"worker processes cannot import .*Local"):
        WorkerPool(config, BATCH_CONFIG, ARRAYS, weights(config), workers=2)
