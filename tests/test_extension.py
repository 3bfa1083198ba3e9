"""Extensions from outside the package: one class each and the line that registers it.

They are in `tests/extensions`. Each is used through the command line.
"""

import csv
import importlib
import io
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from charrnn.checkpointing.npz_file import read_archive
from charrnn.cli.app import app
from charrnn.cli.inspect.metrics import METRICS
from charrnn.cli.train.progress import TrainingDisplay
from charrnn.data.layouts import LAYOUTS
from charrnn.data.text_batches import TextBatchConfig
from charrnn.inference.fast_step import NetworkStep, single_step
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network, initialise
from charrnn.optim.optimisers import OPTIMISERS
from charrnn.randomness import Purpose, generator
from charrnn.training.events import Step
from charrnn.training.worker_pool import WorkerPool

EXTENSIONS = Path(__file__).parent / "extensions"
REGISTRIES: list[dict[str, Any]] = [CELLS, OPTIMISERS, METRICS, LAYOUTS]
TEXT = "".join(f"{n} bottles of beer on the wall, take {n % 7} down. " for n in range(120))


@pytest.fixture
def extend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Import a module of `tests/extensions`, whose registration is undone after the test."""
    before = [dict(registry) for registry in REGISTRIES]
    monkeypatch.syspath_prepend(EXTENSIONS)

    def load(name: str) -> Any:
        monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name)

    yield load
    for registry, entries in zip(REGISTRIES, before, strict=True):
        registry.clear()
        registry.update(entries)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, with a text in `corpus.txt`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus.txt").write_text(TEXT, encoding="utf-8")
    return tmp_path


def charrnn(*arguments: str | Path) -> str:
    """Run a command and return its standard output."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def interrupt_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send Ctrl-C to this process once, after that training step."""
    plain, steps = TrainingDisplay.step, [step]

    def watch(self: TrainingDisplay, event: Step) -> None:
        plain(self, event)
        if event.step in steps:
            steps.clear()
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(TrainingDisplay, "step", watch)


TRAIN = (
    *("train", "corpus.txt", "--cell", "mgu", "--optimizer", "signum", "--layers", "2", "--quiet"),
    *("--hidden", "8", "--steps", "20", "--batch-size", "4", "--seq-length", "16"),
)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_cell_and_an_optimiser_train_sample_resume_and_are_inspected(
    workers: str,
    folder: Path,
    extend: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    extend("minimal_gated_unit")
    extend("signum")
    train = (*TRAIN, "--workers", workers)
    charrnn(*train, "--out", "whole")
    interrupt_at(9, monkeypatch)
    stopped = CliRunner().invoke(app, [*train, "--out", "run"], catch_exceptions=False)
    assert stopped.exit_code == 130
    charrnn("train", "--resume", "run", "--quiet")
    arrays, facts = read_archive(folder / "run" / "last.npz")
    expected, expected_facts = read_archive(folder / "whole" / "last.npz")
    assert facts == expected_facts
    assert arrays.keys() == expected.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)

    options = ("--length", "50", "--seed", "3")
    text = charrnn("sample", "run", *options)
    assert len(text.rstrip("\n")) == 50
    assert text == charrnn("sample", "whole", *options)
    several = charrnn("sample", "run", *options, "--count", "2")
    assert text.rstrip("\n") in several

    inspected = json.loads(charrnn("inspect-gradients", "run", "--lags", "20", "--json"))
    (model,) = inspected["models"]
    lines = [(line["layer"], line["state"]) for line in model["profile"]["lines"]]
    assert lines == [(0, "h"), (1, "h")]
    shown = charrnn("inspect-gradients", "run", "--lags", "20", "--all")
    for part in ("W_hh 1 n", "Lyapunov", "f shut", "memory half-life of layer 1"):
        assert part in shown


def test_a_new_network_of_the_cell_is_compared_with_those_of_the_package(
    folder: Path, extend: Callable[[str], Any]
) -> None:
    extend("minimal_gated_unit")
    printed = charrnn(
        *("inspect-gradients", "--text", "corpus.txt", "--cells", "lstm,mgu"),
        *("--hidden", "8", "--lags", "20", "--json"),
    )
    models = json.loads(printed)["models"]
    assert [model["model"]["cell"] for model in models] == ["lstm", "mgu"]
    assert all(model["profile"]["lines"][0]["finite"] for model in models)


def test_the_cell_has_the_gradients_of_finite_differences(
    extend: Callable[[str], Any], build: Callable[..., Network], rng: np.random.Generator
) -> None:
    """Both examples are right, not only accepted."""
    extend("minimal_gated_unit")
    network = build(ModelConfig(5, 5, cell="mgu", hidden=4, layers=2), 6, 3)
    inputs, targets = rng.integers(5, size=(2, 6, 3))

    def loss() -> float:
        network.forward(inputs)
        return float(network.loss(targets).sum())

    loss()
    network.backward(targets, 1.0)
    assert network.gradients is not None
    vector, step = network.parameters.vector, 1e-6
    for index in rng.choice(len(vector), 40, replace=False):
        value = vector[index]
        vector[index] = value + step
        above = loss()
        vector[index] = value - step
        below = loss()
        vector[index] = value
        found = network.gradients.vector[index]
        assert found == pytest.approx((above - below) / (2 * step), rel=1e-5, abs=1e-7)


def test_a_registered_cell_is_stepped_by_a_network_and_not_compiled(
    extend: Callable[[str], Any],
) -> None:
    module = extend("minimal_gated_unit")
    config = ModelConfig(5, 5, cell="mgu", hidden=4)
    assert CELLS["mgu"] is module.MinimalGatedUnit
    parameters = initialise(config, np.random.default_rng(0))
    states = Network(config, parameters, 1, 1).states()
    assert isinstance(single_step(config, parameters, states), NetworkStep)


PROGRAM = """
if __name__ == "__main__":
    from charrnn.__main__ import main

    main()
"""


def test_a_script_with_a_cell_is_a_program(folder: Path) -> None:
    """As described in `charrnn.nn.cells`; the class is that of `__main__`, also in workers."""
    script = (EXTENSIONS / "minimal_gated_unit.py").read_text(encoding="utf-8")
    (folder / "my_cell.py").write_text(script + PROGRAM, encoding="utf-8")
    options = (
        "--hidden",
        "8",
        "--steps",
        "4",
        "--batch-size",
        "4",
        "--seq-length",
        "16",
        "--quiet",
    )
    for command in (
        ("train", "corpus.txt", "--cell", "mgu", "--workers", "2", "--out", "run", *options),
        ("sample", "run", "--length", "20"),
    ):
        done = subprocess.run(
            [sys.executable, "my_cell.py", *command],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert len(done.stdout.rstrip("\n")) == 20


def test_worker_processes_know_a_cell_that_its_module_does_not_register(
    extend: Callable[[str], Any],
) -> None:
    """Its class is sent to them: a script may register a cell of another module."""
    CELLS["another"] = extend("minimal_gated_unit").MinimalGatedUnit
    config = ModelConfig(6, 6, cell="another", hidden=4)
    initial = initialise(config, np.random.default_rng(0), np.float64)
    batch_config = TextBatchConfig(5, 4, seed=3, state_reset_prob=0.3, loss_weight=1 / 20)
    arrays = {"ids": np.random.default_rng(8).integers(6, size=120).astype(np.uint8)}
    gradients = []
    for workers in (1, 2):
        with WorkerPool(config, batch_config, arrays, initial, workers) as pool:
            assert pool.size == workers
            pool.compute(0)
            gradients.append(pool.gradient.copy())
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-10, atol=1e-14)


def test_a_metric_is_shown_and_written_as_json_and_csv(
    folder: Path, extend: Callable[[str], Any]
) -> None:
    look = (
        *("inspect-gradients", "--text", "corpus.txt", "--lags", "5"),
        *("--cells", "gru", "--hidden", "8"),
    )
    (before,) = json.loads(charrnn(*look, "--all", "--json"))["models"]
    extend("largest_weight")
    weights = initialise(ModelConfig(**before["model"]), generator(0, Purpose.WEIGHTS))
    largest = float(np.abs(weights.vector).max())
    shown = charrnn(*look, "--all").splitlines()
    assert ["largest weight", f"{largest:.3f}"] in [re.split("  +", line.strip()) for line in shown]
    (after,) = json.loads(charrnn(*look, "--all", "--json"))["models"]
    assert after == before | {"largest_weight": largest}
    rows = list(csv.DictReader(io.StringIO(charrnn(*look, "--all", "--csv"))))
    assert [row["value"] for row in rows if row["quantity"] == "largest_weight"] == [str(largest)]
    assert "largest_weight" not in charrnn(*look, "--json")


def test_a_layout_trains_predicts_is_scored_inspected_and_resumed(
    folder: Path, extend: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    extend("early_label")
    rng = np.random.default_rng(0)
    words = {"".join("abc"[n] for n in rng.integers(0, 3, rng.integers(3, 7))) for _ in range(300)}
    rows = [f"{word}\t{'many' if word.count('a') > 1 else 'few'}" for word in sorted(words)]
    Path("words.tsv").write_text("\n".join(rows), encoding="utf-8")
    train = (
        *("train", "words.tsv", "--layout", "early-label", "--hidden", "16", "--steps", "60"),
        *("--workers", "1", "--eval-every", "20", "--patience", "0", "--quiet"),
    )
    charrnn(*train, "--out", "whole")
    interrupt_at(33, monkeypatch)
    stopped = CliRunner().invoke(app, [*train, "--out", "run"], catch_exceptions=False)
    assert stopped.exit_code == 130
    charrnn("train", "--resume", "run", "--quiet")
    arrays, facts = read_archive(folder / "run" / "last.npz")
    expected, expected_facts = read_archive(folder / "whole" / "last.npz")
    assert facts == expected_facts
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)

    assert facts["pairs"]["layout"] == "early-label"
    answers = charrnn("predict", "run", "aaaa", "cccb").splitlines()
    assert answers == ["many", "few"]
    assert "many" in charrnn("predict", "run", "aaaa", "--probabilities")
    scored = json.loads(charrnn("eval", "run", "words.tsv", "--json"))
    assert scored["symbol_accuracy"] > 0.7
    assert set(scored["labels"]) == {"few", "many"}
    (model,) = json.loads(charrnn("inspect-gradients", "run", "--lags", "3", "--json"))["models"]
    assert model["lengths"]["gap_chars"] == 0
    assert "early-label" in charrnn("info", "run")

    LAYOUTS.pop("early-label")
    unknown = CliRunner().invoke(app, ["predict", "run", "aaaa"], catch_exceptions=False)
    assert unknown.exit_code == 3
    assert unknown.stderr.count("\n") == 1
    assert "no layout called 'early-label'" in unknown.stderr
