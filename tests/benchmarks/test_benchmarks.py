"""The benchmarks run, without their peer where it is not installed."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks import settings, text_sets
from tests.benchmarks.measuring import Rates, blas_kernels, rate_of, spread, torch_is_there
from tests.benchmarks.pair_sets import ONE_LETTER, split
from tests.benchmarks.pairs import copying, label_figures
from tests.mpi_launch import WITH_MPI

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "name", ["sampling", "min_char", "speed", "cost", "distributed", "predict", "settings"]
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


def figure(
    change: str, hidden: int, dropout: float, lr: float, nats: float, recurrent: float = 0.0
) -> settings.Figure:
    return settings.Figure("a text", 1.0, 0, change, hidden, dropout, recurrent, lr, 100, nats)


def test_changes_of_a_default_are_its_neighbours() -> None:
    default = figure("", 384, 0.0, 0.4, 1.5)
    assert dict(settings.changes(default)) == {
        "hidden 256": ["--hidden", "256"],
        "hidden 512": ["--hidden", "512"],
        "dropout 0.1": ["--hidden", "384", "--dropout", "0.1"],
        "lr × 0.6": ["--hidden", "384", "--dropout", "0", "--lr", "0.24"],
        "lr × 1.6": ["--hidden", "384", "--dropout", "0", "--lr", "0.64"],
    }


def test_a_changed_rate_keeps_the_dropout() -> None:
    default = figure("", 512, 0.5, 0.2, 1.4, recurrent=0.25)
    words = dict(settings.changes(default))["lr × 1.6"]
    assert words == [
        *("--hidden", "512", "--dropout", "0.5"),
        *("--recurrent-dropout", "0.25", "--lr", "0.32"),
    ]


def test_the_table_of_settings_has_a_change_in_each_column() -> None:
    figures = [
        figure("", 384, 0.1, 0.4, 1.5),
        figure("hidden 256", 256, 0.0, 0.6, 1.51),
        figure("hidden 512", 512, 0.25, 0.3, 1.52),
        figure("dropout 0", 384, 0.0, 0.4, 1.49),
        figure("dropout 0.25", 384, 0.25, 0.4, 1.48),
        figure("lr × 1.6", 384, 0.0, 0.64, 1.6),
        figure("", 256, 0.0, 0.6, 1.7),
        figure("lr × 0.6", 256, 0.0, 0.36, 1.6),
    ]
    first, second = settings.table(figures)
    assert first[4:] == ["+0.010", "+0.020", "-0.010", "-0.020", "-", "+0.100"]
    assert second[4:] == ["-", "-", "-", "-", "-0.100", "-"]


@pytest.mark.parametrize("name", [*text_sets.TEXTS])
def test_a_text_is_long_and_the_same_each_time(name: str) -> None:
    try:
        text = text_sets.TEXTS[name]()
    except ImportError:
        pytest.skip("needs the packages of the extra bench")
    assert len(text) >= 200_000
    assert text == text_sets.TEXTS[name]()
