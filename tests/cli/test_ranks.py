"""Commands under `mpiexec`: what two ranks train, print and save, and how they end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.types import Array
from tests.mpi_launch import PATIENCE, launch, mpiexec, needs_mpi

CHARRNN = ("-m", "charrnn")
TINY = (
    *("--hidden", "12", "--layers", "2", "--batch-size", "5", "--seq-length", "12", "--seed", "3"),
    *("--workers", "1", "--backend", "numpy", "--sample-every", "0", "--dropout", "0"),
)
PAIRS = ("--layout", "many-to-many", *TINY[:2], *TINY[4:6], *TINY[8:])
SECONDS = 20.0
"""Within which all ranks must have ended after one was killed; alone, they take a tenth of one."""


@pytest.fixture
def text(empty_folder: Path) -> Path:
    """A text of some thousand characters."""
    words = "the cat sat on a mat and another dog came running over the hill".split()
    rng = np.random.default_rng(1)
    path = empty_folder / "text.txt"
    path.write_text(" ".join(rng.choice(words, 2_000)))
    return path


def arrays(run: Path | str) -> Array:
    """Return all weights, states and optimiser slots of a run as one vector."""
    checkpoint = load_checkpoint(Path(run) / "last.npz")
    state = checkpoint.training
    assert state is not None
    slots = [parameters.vector for parameters in state.optimiser.values()]
    return np.concatenate([checkpoint.parameters.vector, state.states.vector, *slots])


def start(ranks: int, *words: str | Path) -> subprocess.Popen[str]:
    """Start a command in some ranks, in a process group of its own."""
    return subprocess.Popen(
        launch(ranks, *CHARRNN, *words),
        env=os.environ | {"OMP_NUM_THREADS": "1"},
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


def interrupted(run: str, *words: str | Path) -> subprocess.Popen[str]:
    """Send SIGINT to mpiexec after the first save of a run; return the ended process."""
    process = start(2, "train", *words, "--save-every", "5", "--out", run)
    wait_for(Path(run, "last.npz"), process)
    process.send_signal(signal.SIGINT)
    return process


@needs_mpi
@pytest.mark.parametrize("options", [(), ("--optimizer", "adagrad")])
def test_ctrl_c_saves_and_resuming_ends_as_the_run_that_never_stopped(
    text: Path, options: tuple[str, ...]
) -> None:
    words = (text, *TINY, "--steps", "400", *options)
    process = interrupted("cut", *words)
    told = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 130, told
    assert "go on with: charrnn train --resume cut" in told
    step = load_checkpoint(Path("cut/last.npz")).step
    assert 5 <= step < 400
    again = mpiexec(2, *CHARRNN, "train", "--resume", "cut", "--quiet")
    assert again.returncode == 0, again.stderr
    assert "last bits" not in again.stderr
    whole = mpiexec(2, *CHARRNN, "train", *words, "--out", "whole", "--json", "--quiet")
    assert whole.stdout.count('"nats_per_char"') >= 1  # printed once, by rank 0
    assert len(whole.stdout.splitlines()) == 1
    np.testing.assert_array_equal(arrays("cut"), arrays("whole"))


@needs_mpi
def test_another_number_of_ranks_goes_on_with_the_same_curve(text: Path) -> None:
    words = (text, *TINY, "--steps", "400")
    assert interrupted("cut", *words).wait(PATIENCE) == 130
    again = mpiexec(3, *CHARRNN, "train", "--resume", "cut", "--quiet")
    assert again.returncode == 0, again.stderr
    assert "the run had 2 ranks, now 3: the last bits may differ; try mpiexec -n 2" in again.stderr
    alone = subprocess.run(
        [sys.executable, *CHARRNN, "train", *map(str, words), "--out", "alone", "--quiet"],
        check=True,
    )
    assert alone.returncode == 0
    np.testing.assert_allclose(arrays("cut"), arrays("alone"), rtol=0, atol=2e-3)


@needs_mpi
def test_pairs_are_shared_by_ranks(empty_folder: Path) -> None:
    lines = [f"{word}\t{word[::-1]}" for word in map(str, range(100, 180))]
    Path("pairs.tsv").write_text("\n".join(lines))
    words = ("train", "pairs.tsv", *PAIRS, "--steps", "12", "--quiet")
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
