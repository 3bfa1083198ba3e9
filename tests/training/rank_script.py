"""Compare a `RankPool` with worker pools; run by `mpiexec`, in `test_rank_pool`.

Prints one JSON object: for each case, the largest difference to one process, and whether the
numbers are those of as many worker processes bit for bit.
"""

import json
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.data.layouts import vocabulary_of_pairs
from charrnn.data.pair_batches import PairBatchConfig
from charrnn.data.pair_files import build_examples
from charrnn.data.pair_formats import Pair
from charrnn.data.text_batches import TextBatchConfig
from charrnn.errors import UsageError, WorkerError
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from charrnn.system import launchers, mpi
from charrnn.training.array_places import ArrayPlace
from charrnn.training.pools import Pool
from charrnn.training.rank_pool import END, RankPool, serve
from charrnn.training.text_dataset import TextDataset
from charrnn.training.trainer import Trainer
from charrnn.training.worker_pool import WorkerPool
from charrnn.training_config import TrainingConfig
from charrnn.types import Array

V, T, B = 6, 5, 7
TEXT = np.random.default_rng(8).integers(V, size=160).astype(np.uint8)
TEXT_BATCHES = TextBatchConfig(T, B, seed=3, state_reset_prob=0.3, loss_weight=1 / (T * B))
WORDS = ("abc", "ba", "cab", "bcab", "a", "cc", "abab", "bb", "ca", "aacb")
STEPS = 6
ELSEWHERE = sys.argv[2:] == ["elsewhere"]
"""Whether the other ranks are to find no file, as on another machine."""


def trained(pool: Pool, steps: int = STEPS) -> Array:
    """Return the nats, gradient and states of each step, the weights moving a little."""
    rows = []
    for step in range(steps):
        nats = pool.compute(step)
        rows.append(np.concatenate([[nats], pool.gradient, pool.states.vector]))
        pool.parameters.vector -= 0.5 * pool.gradient
    return np.array(rows)


def compare(
    ranks: mpi.Ranks,
    config: ModelConfig,
    batches: Any,
    arrays: Any,
    dtype: Any = np.float64,
    *,
    as_workers: bool = False,
    workers: int = 1,
) -> dict[str, Any]:
    """Return how far the ranks are from one process and, if asked, from as many workers."""
    initial = initialise(config, np.random.default_rng(1), dtype)
    with WorkerPool(config, batches, arrays, initial) as alone:
        expected = trained(alone)
    shared = None
    if as_workers:
        with WorkerPool(config, batches, arrays, initial, ranks.size) as pool:
            shared = trained(pool)
    runs = []
    for _ in range(2):
        with RankPool(ranks, config, batches, arrays, initial, workers) as pool_of_ranks:
            assert pool_of_ranks.size == min(B, ranks.size * workers)
            runs.append(trained(pool_of_ranks))
    return {
        "difference": float(np.abs(runs[0] - expected).max()),
        "largest": float(np.abs(expected).max()),
        "as workers": shared is None or bool(np.array_equal(runs[0], shared)),
        "twice the same": bool(np.array_equal(runs[0], runs[1])),
    }


def trainers(ranks: mpi.Ranks, optimiser: str) -> dict[str, Any]:
    """Return how far a trainer with ranks is from one without, over some updates."""
    model = ModelConfig(V, V, cell="lstm", hidden=6)
    config = TrainingConfig(
        steps=8, warmup_steps=0, lr=0.1, seq_length=T, batch_size=B, optimiser=optimiser
    )
    ends = []
    for given in (None, ranks, ranks):
        initial = initialise(model, np.random.default_rng(1))
        with Trainer(model, config, TextDataset(TEXT), initial, given) as trainer:
            nats = [trainer.step().nats for _ in range(config.steps)]
            ends.append(np.concatenate([nats, trainer.parameters.vector, trainer.states.vector]))
    return {
        "difference": float(np.abs(ends[1] - ends[0]).max()),
        "largest": float(np.abs(ends[0]).max()),
        "as workers": True,
        "twice the same": bool(np.array_equal(ends[1], ends[2])),
    }


def files(ranks: mpi.Ranks, folder: Path) -> dict[str, Any]:
    """Return the same for a text in a file, which the other ranks map or are sent."""
    path = folder / "ids"
    path.write_bytes(b"head" + TEXT.tobytes())
    mapped = np.memmap(path, np.uint8, "r", 4)[5:]
    return compare(ranks, ModelConfig(V, V, hidden=4), TEXT_BATCHES, {"ids": mapped})


def failures(ranks: mpi.Ranks) -> dict[str, Any]:
    """Return the messages of ranks that fail, and whether the states of the step are restored."""
    config = ModelConfig(V, V, hidden=4)
    initial = initialise(config, np.random.default_rng(1))
    told: dict[str, Any] = {}
    with RankPool(ranks, config, TEXT_BATCHES, {"ids": TEXT}, initial) as pool:
        pool.compute(0)
        before = pool.states.vector.copy()
        try:
            pool.compute(FAILING_STEP)
        except WorkerError as error:
            told["step"] = str(error)
        told["states kept"] = bool(before.any() and np.array_equal(pool.states.vector, before))
    try:
        RankPool(ranks, replace(config, hidden=UNLUCKY), TEXT_BATCHES, {"ids": TEXT}, initial)
    except WorkerError as error:
        told["opening"] = str(error)
    few = replace(TEXT_BATCHES, B=ranks.size - 1)
    try:
        RankPool(ranks, config, few, {"ids": TEXT}, initial)
    except UsageError as error:
        told["rows"] = str(error)
    return told


FAILING_STEP = 1_000
UNLUCKY = 5
"""Units of a network that the last rank pretends to have no memory for."""


def unlucky(ranks: mpi.Ranks) -> None:
    """Make the last rank fail at `FAILING_STEP`, and for a network of `UNLUCKY` units."""
    if ranks.rank != ranks.size - 1:
        return
    make, compute = WorkerPool.__init__, WorkerPool.compute

    def failing_make(self: WorkerPool, config: ModelConfig, *rest: Any) -> None:
        if config.hidden == UNLUCKY:
            raise MemoryError
        make(self, config, *rest)

    def failing_compute(self: WorkerPool, step: int) -> float:
        if step == FAILING_STEP:
            raise OSError(28, "No space left on device")
        return compute(self, step)

    setattr(WorkerPool, "__init__", failing_make)  # noqa: B010  # a stand-in, of another type
    WorkerPool.compute = failing_compute  # type: ignore[method-assign]  # a stand-in


def main() -> None:
    """Compare on rank 0; serve on the others."""
    launch = launchers.launched()
    if launch is None:
        raise SystemExit("run this with mpiexec")
    ranks = mpi.connect(launch)
    unlucky(ranks)
    if ranks.rank:
        if ELSEWHERE:
            ArrayPlace.open = lambda self: None  # type: ignore[method-assign]  # a stand-in
        serve(ranks)
        return
    try:
        if ELSEWHERE:
            print(json.dumps({"cases": {"file": files(ranks, Path(sys.argv[1]))}}))
        else:
            print(json.dumps({"cases": cases(ranks), "failures": failures(ranks)}))
    except BaseException:
        traceback.print_exc()
        ranks.abort(1)
    with ranks.command(END):
        pass


def cases(ranks: mpi.Ranks) -> dict[str, Any]:
    """Return the comparisons by name."""
    pairs = [Pair(word, word[::-1], "here") for word in WORDS]
    pairing = vocabulary_of_pairs("many-to-many", [(pair.input, pair.output) for pair in pairs])
    examples = build_examples(pairing, pairs)
    pair_model = ModelConfig(pairing.inputs, pairing.outputs, hidden=4)
    results: dict[str, Any] = {}
    text = {"ids": TEXT}
    for cell in ("rnn", "lstm", "gru"):
        config = ModelConfig(V, V, cell=cell, hidden=4, layers=2)
        results[cell] = compare(ranks, config, TEXT_BATCHES, text)
    drops: dict[str, Any] = {"dropout": 0.4, "recurrent_dropout": 0.3}
    dropped = ModelConfig(V, V, hidden=3, layers=2, **drops)
    results["dropout"] = compare(ranks, dropped, TEXT_BATCHES, text)
    single = ModelConfig(V, V, hidden=4)
    results["float32"] = compare(ranks, single, TEXT_BATCHES, text, np.float32, as_workers=True)
    if ranks.size == 2:
        results["two workers each"] = compare(ranks, single, TEXT_BATCHES, text, workers=2)
    pair_batches = PairBatchConfig(B, 3)
    results["pairs"] = compare(ranks, pair_model, pair_batches, examples.arrays)
    results["pairs with dropout"] = compare(
        ranks, replace(pair_model, **drops), pair_batches, examples.arrays
    )
    results["file"] = files(ranks, Path(sys.argv[1]))
    results["adagrad"] = trainers(ranks, "adagrad")
    results["muon"] = trainers(ranks, "muon")
    return results


if __name__ == "__main__":
    main()
