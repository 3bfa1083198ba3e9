"""The benchmarks run, without their peer where it is not installed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.measuring import Rates, rate_of, spread, torch_is_there
from tests.mpi_launch import WITH_MPI

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["sampling", "min_char", "speed", "cost", "distributed"])
def test_a_benchmark_runs_and_writes_its_figures(name: str, tmp_path: Path) -> None:
    if name == "speed" and torch_is_there():
        pytest.skip("with the peer it takes minutes")
    if name == "distributed" and not WITH_MPI:
        pytest.skip("needs mpi4py and mpiexec (the extra mpi)")
    done = subprocess.run(
        [
            *(sys.executable, "-m", f"tests.benchmarks.{name}", "--quick"),
            *("--json", str(tmp_path / "figures.json")),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= 2
    assert json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))


def test_rates_are_compared_within_a_round() -> None:
    rates = Rates(({"a": 2.0, "b": 1.0}, {"a": 9.0, "b": 3.0}, {"a": 5.0, "b": 5.0}))
    assert rates.ratios("a", "b") == [1, 2, 3]
    assert rates.middle("a") == 5
    assert spread(rates.ratios("a", "b")) == "2.00 (1.00 to 3.00)"


def test_a_rate_counts_whole_pieces_of_work() -> None:
    assert rate_of(lambda: 1.0, 0.01) > 1000
