"""Commands under `mpiexec`: what two ranks train, print and save, and how they end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.types import Array
from tests.cli.conftest import WORDS
from tests.mpi_launch import PATIENCE, launch, mpiexec, needs_mpi

CHARRNN = ("-m", "charrnn")
TINY = (
    *("--hidden", "12", "--layers", "1", "--batch-size", "5", "--seq-length", "12", "--seed", "3"),
    *("--workers", "1", "--backend", "numpy", "--sample-every", "0", "--dropout", "0"),
)
PAIRS = ("--layout", "many-to-many", *TINY[:2], *TINY[4:6], *TINY[8:])


@pytest.fixture
def text(empty_folder: Path) -> Path:
    """A text of some thousand characters."""
    rng = np.random.default_rng(1)
    path = empty_folder / "text.txt"
    path.write_text(" ".join(rng.choice(WORDS, 2_000)))
    return path


def arrays(run: Path | str) -> Array:
    """Return all weights, states and optimiser slots of a run as one vector."""
    checkpoint = load_checkpoint(Path(run) / "last.npz")
    state = checkpoint.training
    assert state is not None
    slots = [parameters.vector for parameters in state.optimiser.values()]
    return np.concatenate([checkpoint.parameters.vector, state.states.vector, *slots])


RANK, WORKER = b"charrnn\0train", b"spawn_main"
"""Words in the commands of ranks and of their workers."""

SECONDS = 20.0
"""Within which all ranks must have ended after one was killed; alone, they take a tenth of one."""


def start(
    ranks: int, *words: str | Path, env: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start a command in some ranks, in a process group of its own."""
    return subprocess.Popen(
        launch(ranks, *CHARRNN, *words),
        env=os.environ | {"OMP_NUM_THREADS": "1"} | dict(env or {}),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a running command has written a file."""
    until = time.monotonic() + PATIENCE
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.005)


def interrupt(run: str, *words: str) -> str:
    """Send SIGINT to mpiexec after the first save of a run; return what it then says."""
    process = start(2, "train", *words, "--save-every", "5", "--out", run)
    wait_for(Path(run, "last.npz"), process)
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 130, told
    return told


@needs_mpi
@pytest.mark.parametrize(
    "options",
    [
        (),
        pytest.param(("--optimizer", "adagrad", "--dropout", "0.2"), marks=pytest.mark.slow),
        pytest.param(("--backend", "numba", "--cell", "gru"), marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_saves_and_resuming_ends_as_the_run_that_never_stopped(
    text: Path, options: tuple[str, ...]
) -> None:
    words = (str(text), *TINY, "--steps", "300", *options)
    assert "go on with: charrnn train --resume cut" in interrupt("cut", *words)
    step = load_checkpoint(Path("cut/last.npz")).step
    assert 5 <= step < 300
    again = mpiexec(2, *CHARRNN, "train", "--resume", "cut", "--quiet")
    assert again.returncode == 0, again.stderr
    assert "the run had" not in again.stderr
    whole = mpiexec(2, *CHARRNN, "train", *words, "--out", "whole", "--json", "--quiet")
    assert whole.stdout.count('"nats_per_char"') >= 1  # printed once, by rank 0
    assert len(whole.stdout.splitlines()) == 1
    np.testing.assert_array_equal(arrays("cut"), arrays("whole"))


def losses(run: str) -> Array:
    """Return the training loss of each step of a run."""
    rows = map(json.loads, Path(run, "metrics.jsonl").read_text().splitlines())
    return np.array([row["nats_per_char"] for row in rows if "nats_per_char" in row])


@needs_mpi
def test_another_number_of_ranks_goes_on_with_the_same_curve(text: Path) -> None:
    dropped = ("--dropout", "0.3", "--recurrent-dropout", "0.2", "--state-reset-prob", "0.1")
    words = (str(text), *TINY, "--steps", "200", "--optimizer", "adagrad", "--lr", "0.05", *dropped)
    interrupt("cut", *words)
    again = mpiexec(3, *CHARRNN, "train", "--resume", "cut", "--quiet")
    assert again.returncode == 0, again.stderr
    assert "the run had 2 ranks, now 3: the last bits may differ; try mpiexec -n 2" in again.stderr
    alone = [sys.executable, *CHARRNN, "train", *words, "--out", "alone", "--quiet"]
    subprocess.run(alone, check=True)
    assert len(losses("alone")) == 200
    np.testing.assert_allclose(losses("cut"), losses("alone"), rtol=0, atol=1e-4)


@needs_mpi
def test_pairs_are_shared_by_ranks(empty_folder: Path) -> None:
    lines = [f"{word}\t{word[::-1]}" for word in map(str, range(100, 180))]
    Path("pairs.tsv").write_text("\n".join(lines))
    words = ("train", "pairs.tsv", *PAIRS, "--steps", "12", "--quiet", "--dropout", "0.3")
    two = mpiexec(2, *CHARRNN, *words, "--out", "two")
    assert two.returncode == 0, two.stderr
    subprocess.run([sys.executable, *CHARRNN, *words, "--out", "alone"], check=True)
    np.testing.assert_allclose(arrays("two"), arrays("alone"), rtol=0, atol=1e-4)


@needs_mpi
def test_other_commands_run_once_and_say_so() -> None:
    done = mpiexec(2, *CHARRNN, "--version")
    assert done.returncode == 0
    assert done.stdout.count("charrnn ") == 1
    assert (
        done.stderr.strip() == "charrnn: note: only train shares its work: 1 of 2 ranks have none"
    )


def marked(mark: str, word: bytes) -> Iterator[tuple[int, int]]:
    """Yield rank and process of what a marked launch has started with a word in its command."""
    for folder in Path("/proc").iterdir():
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes()
        except OSError:  # not a process, or one that has just ended
            continue
        ranks = [value for value in environment if value.startswith(b"PMI_RANK=")]
        if ranks and word in command and f"CHARRNN_TEST={mark}".encode() in environment:
            yield int(ranks[0].removeprefix(b"PMI_RANK=")), int(folder.name)


@needs_mpi
@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_is_named_and_ends_all_and_the_checkpoint_is_kept(
    text: Path, rank: int
) -> None:
    words = (str(text), *TINY, "--steps", "100000", "--save-every", "5", "--out", "run")
    process = start(3, "train", *words, env={"CHARRNN_TEST": f"rank {rank}"})
    wait_for(Path("run/last.npz"), process)
    processes = dict(marked(f"rank {rank}", RANK))
    assert sorted(processes) == [0, 1, 2]
    os.kill(processes[rank], signal.SIGKILL)
    began = time.monotonic()
    told = process.communicate(timeout=PATIENCE)[1]
    assert time.monotonic() - began < SECONDS
    assert process.returncode != 0
    lines = [line for line in told.splitlines() if line.startswith("charrnn: error: ")]
    assert lines == [
        f"charrnn: error: rank {rank} (process {processes[rank]}) of 3 ranks was killed; all ranks "
        "end, and the last checkpoint is kept"
    ]
    assert not dict(marked(f"rank {rank}", RANK))
    step = load_checkpoint(Path("run/last.npz")).step
    Path("run/last.npz").rename("run/step-000001.npz")  # resumed from, and written again
    process = start(3, "train", "--resume", "run", "--save-every", "5")
    wait_for(Path("run/last.npz"), process)
    process.send_signal(signal.SIGTERM)
    told = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 143
    assert load_checkpoint(Path("run/last.npz")).step >= step >= 5


@needs_mpi
def test_a_worker_of_another_rank_that_is_killed_ends_the_run_saved(text: Path) -> None:
    words = (str(text), *TINY, "--workers", "2", "--steps", "100000", "--save-every", "5")
    process = start(2, "train", *words, "--out", "run", env={"CHARRNN_TEST": "worker"})
    wait_for(Path("run/last.npz"), process)
    workers = dict(marked("worker", WORKER))
    os.kill(workers[1], signal.SIGKILL)
    told = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 5
    (line,) = [line for line in told.splitlines() if line.startswith("charrnn: error: ")]
    assert "rank 1 of 2: a worker process was killed by SIGKILL" in line
    assert "saved at step" in line
    assert load_checkpoint(Path("run/last.npz")).training is not None


def as_rank(rank: int, code: str) -> subprocess.CompletedProcess[str]:
    """Run Python code as one of two ranks that Open MPI has started."""
    places = {"OMPI_COMM_WORLD_RANK": str(rank), "OMPI_COMM_WORLD_SIZE": "2"}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={k: v for k, v in os.environ.items() if not k.startswith("PMI")} | places,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize("rank", [0, 1])
def test_without_mpi4py_one_rank_says_what_to_install(rank: int) -> None:
    hide = "import sys; sys.modules['mpi4py'] = None; sys.argv = ['charrnn', 'train']; "
    done = as_rank(rank, hide + "from charrnn.__main__ import main; main()")
    assert done.returncode == 2
    error = (
        "charrnn: error: mpiexec has started 2 processes, which need mpi4py to work together; "
        "try pip install mpi4py mpich, or the command without mpiexec\n"
    )
    assert done.stderr == (error if rank == 0 else "")


@needs_mpi
@pytest.mark.parametrize("rank", [0, 1])
def test_the_launcher_of_another_mpi_is_an_error_of_one_rank(rank: int) -> None:
    program = "import sys; sys.argv = ['charrnn', 'train']; "
    done = as_rank(rank, program + "from charrnn.__main__ import main; main()")
    assert done.returncode == 2
    assert ("it was built for another MPI; try" in done.stderr) == (rank == 0)
    assert len(done.stderr.splitlines()) == (rank == 0)
