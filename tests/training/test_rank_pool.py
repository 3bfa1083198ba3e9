"""Rank pool: MPI ranks compute what one process computes, and what as many workers compute."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from charrnn.training.worker_pool import split
from tests.mpi_launch import mpiexec, needs_mpi

SCRIPT = Path(__file__).with_name("rank_script.py")
FLOAT32 = {"float32", "adagrad", "muon"}
"""Cases in single precision; the others are in double precision."""

CASES = {
    *("rnn", "lstm", "gru", "dropout", "float32", "pairs", "pairs with dropout", "file"),
    *("adagrad", "muon"),
}


def results(ranks: int, *words: str | Path) -> dict[str, Any]:
    """Return what the script finds; seven rows are shared, which 2, 3 and 4 do not divide."""
    done = mpiexec(ranks, SCRIPT, *words)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def check(cases: dict[str, Any]) -> None:
    """Check that all cases agree with one process to rounding, and twice bit for bit."""
    for name, case in cases.items():
        close = (3e-6 if name in FLOAT32 else 1e-13) * case["largest"]
        assert case["largest"] > 0.1, name
        assert case["difference"] <= close, name
        assert case["as workers"], name
        assert case["twice the same"], name


@needs_mpi
@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_ranks_compute_what_one_process_and_as_many_workers_compute(
    ranks: int, tmp_path: Path
) -> None:
    found = results(ranks, tmp_path)
    assert set(found["cases"]) >= CASES
    check(found["cases"])
    last, told = ranks - 1, found["failures"]
    assert told["states kept"] is True
    assert told["step"].startswith(f"rank {last} of {ranks}: No space left on device; try ")
    assert told["opening"].startswith(f"rank {last} of {ranks}: not enough memory; try ")
    assert told["rows"].startswith(f"{ranks} ranks cannot share {last} row")


@needs_mpi
def test_ranks_that_do_not_find_the_file_are_sent_the_text(tmp_path: Path) -> None:
    check({"file": results(2, tmp_path, "elsewhere")["cases"]["file"]})


def test_rows_are_split_into_parts_of_nearly_equal_size() -> None:
    for rows in range(1, 20):
        for parts in range(1, rows + 1):
            found = split(slice(3, 3 + rows), parts)
            sizes = [part.stop - part.start for part in found]
            assert sum(sizes) == rows
            assert max(sizes) - min(sizes) <= 1
            assert (found[0].start, found[-1].stop) == (3, 3 + rows)
            assert all(a.stop == b.start for a, b in pairwise(found))
