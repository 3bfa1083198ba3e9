"""The benchmarks run, without their peer where it is not installed."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.measuring import Rates, blas_kernels, rate_of, spread, torch_is_there
from tests.benchmarks.pair_sets import ONE_LETTER, split
from tests.benchmarks.pairs import copying, label_figures
from tests.mpi_launch import WITH_MPI

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "name", ["sampling", "min_char", "speed", "cost", "distributed", "predict"]
)
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
    if name == "speed":
        assert done.stdout.startswith(f"OpenBLAS kernels: {blas_kernels()}\n")
    assert json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))


def test_rates_are_compared_within_a_round() -> None:
    rates = Rates(({"a": 2.0, "b": 1.0}, {"a": 9.0, "b": 3.0}, {"a": 5.0, "b": 5.0}))
    assert rates.ratios("a", "b") == [1, 2, 3]
    assert rates.middle("a") == 5
    assert spread(rates.ratios("a", "b")) == "2.00 (1.00 to 3.00)"


def test_a_rate_counts_whole_pieces_of_work() -> None:
    assert rate_of(lambda: 1.0, 0.01) > 1000


def test_no_input_is_both_trained_on_and_scored() -> None:
    pairs = tuple((f"name{number % 70}", str(number)) for number in range(100))
    train, scored = split(pairs, 0)
    assert sorted(train + scored) == sorted(pairs)
    assert not {source for source, _ in train} & {source for source, _ in scored}
    assert len({source for source, _ in scored}) == 7
    assert split(pairs, 1)[1] != scored


def test_each_phoneme_has_a_letter_of_its_own() -> None:
    assert len(set(ONE_LETTER.values())) == len(ONE_LETTER) == 39


def test_figures_of_labels_count_those_that_training_did_not_have() -> None:
    pytest.importorskip("sklearn")
    p = np.array([[0.75, 0.25], [0.5, 0.5], [0.2, 0.8]])
    found = label_figures(np.array(["a", "b"]), p, [("x", "a"), ("y", "c"), ("z", "b")])
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert found["nats"] == pytest.approx(-np.log([0.75, 1e-12, 0.8]).mean())


def test_copying_is_right_where_the_answer_is_the_input() -> None:
    assert copying([], [("a", "a"), ("b", "bs")]) == {"accuracy": 0.5}
