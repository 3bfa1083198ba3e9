"""Training over MPI ranks: steps against processes, the exchange by size, and what is to expect.

    python -m tests.benchmarks.distributed [--quick] [--json FILE] [--rounds 5]

Steps are measured in turn, in rounds: one process, two worker processes, two ranks. The exchange of
a step (weights to all, sum of the gradients to rank 0) is measured alone, by number of weights, in
turn with an all-reduce of MPI, which would leave the sum on all ranks.
From the step of one process and the bytes of the exchange follows the table of speed-ups, for
machines of one process each. Needs `pip install '.[mpi]'`.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from charrnn.system.launchers import launched
from charrnn.system.mpi import Ranks, connect, transfer
from charrnn.training.rank_pool import END, serve
from charrnn.training.text_dataset import TextDataset
from charrnn.training.trainer import Trainer
from charrnn.training_config import TrainingConfig
from tests.benchmarks.measuring import options, show, spread, write_json

V, T, B = 65, 64, 64
MODELS = {"128 lstm": 128, "384 lstm": 384, "768 lstm": 768}
MACHINES = (2, 4, 8, 16, 32, 64)
GIGABITS = (1, 10, 100)
LATENCY = 50e-6
"""Assumed seconds of one message between machines."""

USED = 0.8
"""Assumed share of the nominal bandwidth that a message gets."""


def trainer(hidden: int, workers: int, ranks: Ranks | None) -> Trainer:
    """Return a trainer of one layer on random text, with NumPy and Adagrad."""
    model = ModelConfig(V, V, cell="lstm", hidden=hidden)
    config = TrainingConfig(steps=10**6, seq_length=T, batch_size=B, workers=workers)
    text = np.random.default_rng(0).integers(V, size=100_000).astype(np.uint8)
    initial = initialise(model, np.random.default_rng(0))
    return Trainer(model, config, TextDataset(text), initial, ranks)


def seconds_of_steps(running: Trainer, steps: int) -> float:
    """Return the mean seconds of some steps."""
    began = time.perf_counter()
    for _ in range(steps):
        running.step()
    return (time.perf_counter() - began) / steps


def steps_of(ranks: Ranks, rounds: int, models: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return, by model, its weights and the seconds of a step in each way and round."""
    found = {}
    for name in models:
        hidden = MODELS[name]
        ways = {"1 × 1": (1, None), "1 × 2": (2, None), "2 × 1": (1, ranks)}
        running = {way: trainer(hidden, *how) for way, how in ways.items()}
        steps = max(2, 2_000 // hidden)
        for one in running.values():
            seconds_of_steps(one, 2)
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, one in running.items():
                times[way].append(seconds_of_steps(one, steps))
        found[name] = {"weights": len(running["1 × 1"].parameters.vector), "seconds": times}
        for one in running.values():
            one.close()
    return found


def exchange(ranks: Ranks, weights: int, times: int) -> tuple[list[float], list[float]]:
    """Return the seconds that a step's exchange of so many weights takes each time.

    In the second place those of an all-reduce of MPI, in turn with it and with the same waits.
    """
    from mpi4py import MPI

    vector, whole, ours, theirs = np.ones(weights, np.float32), np.ones(weights, np.float32), [], []
    for _ in range(times):
        ranks.meet()
        began = time.perf_counter()
        ranks.broadcast(vector)
        ranks.sum(vector)
        ours.append(time.perf_counter() - began)
        vector.fill(1)
        ranks.meet()
        began = time.perf_counter()
        transfer(MPI.COMM_WORLD.Iallreduce(vector, whole))
        theirs.append(time.perf_counter() - began)
    return ours, theirs


def expected(step: float, weights: int, machines: int, gigabits: float) -> float:
    """Return the speed-up that is to be expected of so many machines over one.

    The computation is divided by the machines. The exchange is not hidden behind it: with n
    machines and a vector of S bytes, a link carries the weights (a scatter and a gather in rings,
    2 S (n - 1)/n), the pieces of the gradient (S (n - 1)/n), and the sum (S (n - 1)/n); each in
    log2 n messages or more.
    """
    size = 4 * weights * (machines - 1) / machines
    messages = LATENCY * (3 * np.log2(machines) + 2 * (machines - 1) + 6)
    return float(step / (step / machines + 4 * size / (USED * gigabits * 1e9 / 8) + messages))


def rank_main(rounds: int, models: Sequence[str]) -> None:
    """Measure, in both ranks; rank 0 prints what it has found."""
    launch = launched()
    if launch is None:
        raise SystemExit("started by mpiexec only")
    ranks, steps = connect(launch), {}
    if ranks.rank:
        serve(ranks)
    else:
        steps = steps_of(ranks, rounds, models)
        with ranks.command(END):
            pass
    sizes = [ModelConfig(V, V, cell="lstm", hidden=MODELS[name]).size for name in models]
    exchanges = {str(weights): exchange(ranks, weights, 5 * rounds) for weights in sizes}
    if not ranks.rank:
        print(json.dumps({"steps": steps, "exchange": exchanges}))


def main() -> None:
    """Start two ranks that measure, and show what they find."""
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--gflops", type=float, help="expect this of a process; default: as the steps show"
    )
    asked = parser.parse_args()
    models = list(MODELS)[: 1 if asked.quick else None]
    rounds = 1 if asked.quick else asked.rounds
    launcher = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or "mpiexec"
    words = [launcher, "-n", "2", sys.executable, "-m", "tests.benchmarks.distributed"]
    done = subprocess.run(
        [*words, "--as-rank", str(rounds), *models], stdout=subprocess.PIPE, text=True, check=True
    )
    found = json.loads(done.stdout)
    rows = []
    for name, one in found["steps"].items():
        times, weights = one["seconds"], one["weights"]
        alone = median(times["1 × 1"])
        gains = [
            spread(sorted(a / b for a, b in zip(times["1 × 1"], times[way], strict=True)))
            for way in ("1 × 2", "2 × 1")
        ]
        taken = [f"{1000 * median(times):.2f}" for times in found["exchange"][str(weights)]]
        rows.append([name, f"{weights:,}", f"{1000 * alone:.1f}", *gains, *taken])
    columns = ["units", "weights", "ms a step", "1 × 2", "2 × 1", "exchange, ms", "all-reduce, ms"]
    print("Two processes on one machine: times as fast as one process")
    show(columns, rows)
    table = speedups(found, asked.gflops)
    columns = ["units", "Gbit/s", *(f"{machines} machines" for machines in MACHINES)]
    print("Expected speed-up over one machine, one process a machine")
    show(columns, table)
    write_json(asked.json, {"measured": found, "expected": table})


def speedups(found: dict[str, Any], gflops: float | None) -> list[list[str]]:
    """Return the rows of the expected speed-ups."""
    rows = []
    for name, one in found["steps"].items():
        step = median(one["seconds"]["1 × 1"])
        if gflops is not None:
            step = 6 * one["weights"] * B * T / (1e9 * gflops)
        for gigabits in GIGABITS:
            gains = [expected(step, one["weights"], machines, gigabits) for machines in MACHINES]
            rows.append([name, str(gigabits), *(f"{gain:.1f}" for gain in gains)])
    return rows


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as-rank"]:
        rank_main(int(sys.argv[2]), sys.argv[3:])
    else:
        main()
