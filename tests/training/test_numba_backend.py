"""Numba backend: equal to the NumPy backend up to rounding. Skipped without Numba."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from charrnn.errors import DivergedError, UsageError
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network, initialise
from charrnn.optim.optimisers import OPTIMISERS
from charrnn.randomness import DropoutDraws
from charrnn.training.backends import default_backend, load_backend
from charrnn.training.text_dataset import TextDataset
from charrnn.training.trainer import Trainer
from charrnn.training_config import TrainingConfig
from charrnn.types import Array

compiled = pytest.importorskip("charrnn.training.numba_backend", exc_type=ImportError)
numba_compile = pytest.importorskip("charrnn.training.numba_compile", exc_type=ImportError)

V, ULP = 7, 2.0**-23
"""Of numbers between 1 and 2 in float32."""


@pytest.fixture
def each() -> Callable[[Any, Array], Array]:
    """Return a function that applies a scalar function to each element of an array."""

    def apply(function: Any, x: Array) -> Array:
        return np.array([function(element) for element in x.astype(np.float32)], np.float32)

    return apply


POINTS = np.concatenate((np.linspace(-30, 30, 4001), np.logspace(-20, 0, 201), [0.0]))


@pytest.mark.parametrize(
    ("name", "exact"),
    [
        ("expm1", np.expm1),
        ("sigmoid32", lambda x: 1 / (1 + np.exp(-x))),
        ("tanh32", np.tanh),
    ],
)
def test_a_function_is_exact_to_three_ulp(
    each: Callable[[Any, Array], Array], name: str, exact: Callable[[Array], Array]
) -> None:
    for x in (POINTS.astype(np.float32), -POINTS.astype(np.float32)):
        expected = exact(x.astype(np.float64))
        np.testing.assert_allclose(each(getattr(compiled, name), x), expected, rtol=3 * ULP)


def test_extremes_give_the_limits(each: Callable[[Any, Array], Array]) -> None:
    x = np.array([-np.inf, -1e4, -100, 100, 1e4, np.inf])
    np.testing.assert_allclose(each(compiled.sigmoid32, x), [0, 0, 0, 1, 1, 1], atol=1e-37)
    np.testing.assert_array_equal(each(compiled.tanh32, x), [-1, -1, -1, 1, 1, 1])


@pytest.mark.parametrize("name", ["sigmoid32", "tanh32"])
def test_nan_stays_nan(each: Callable[[Any, Array], Array], name: str) -> None:
    """Training must see that it diverged."""
    assert np.isnan(each(getattr(compiled, name), np.array([np.nan]))).all()


def results(cell: str, cells: Any, T: int, B: int, H: int, **settings: Any) -> Iterator[Array]:
    """Yield logits, states and gradients of two batches, the second continuing the first."""
    rng = np.random.default_rng(5)
    config = ModelConfig(V, V, cell=cell, hidden=H, layers=2, **settings)
    parameters = initialise(config, rng)
    parameters.vector += rng.normal(size=len(parameters.vector)).astype(np.float32) / 4
    gradients = parameters.like(np.full_like(parameters.vector, np.nan))
    network = Network(config, parameters, T, B, gradients, cells)
    for _ in range(2):
        ids, targets = rng.integers(V, size=(2, T, B))
        yield network.forward(ids, DropoutDraws(3)).copy()
        network.loss(targets)
        network.backward(targets, 1.0)
        network.carry_state()
        yield from (state.copy() for state in network.states().values())
        yield gradients.vector.copy()


@pytest.mark.parametrize("T", [1, 9])
@pytest.mark.parametrize("B", [1, 3, 20])
@pytest.mark.parametrize("H", [1, 5, 32])
def test_a_cell_computes_what_numpy_computes(cell: str, T: int, B: int, H: int) -> None:
    ours = results(cell, load_backend("numba").cells, T, B, H, dropout=0.3, recurrent_dropout=0.2)
    theirs = results(cell, CELLS, T, B, H, dropout=0.3, recurrent_dropout=0.2)
    for mine, expected in zip(ours, theirs, strict=True):
        scale = np.abs(expected).max()
        np.testing.assert_allclose(mine, expected, atol=2e-5 * scale, rtol=0)


def test_functions_are_compiled_where_they_cannot_be_cached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = numba_compile.numba.njit

    def njit(function: Any = None, **options: Any) -> Any:
        if options.get("cache"):
            raise RuntimeError("no locator available")
        return real(function, **options)

    monkeypatch.setattr(numba_compile.numba, "njit", njit)
    double = numba_compile.compiled()(lambda x: x + x)
    assert double(np.float32(2)) == 4


def test_compiled_classes_extend_the_registered_ones_and_others_fall_back() -> None:
    backend = load_backend("numba")
    assert backend.cells.keys() == CELLS.keys()
    assert backend.optimisers.keys() == OPTIMISERS.keys()
    for name, cell in CELLS.items():
        assert issubclass(backend.cells[name], cell)
        assert (backend.cells[name] is cell) == (cell not in compiled.COMPILED_CELLS)
    for name, optimiser in OPTIMISERS.items():
        assert issubclass(backend.optimisers[name], optimiser)
    assert set(compiled.COMPILED_CELLS) <= set(CELLS.values())
    assert backend.cells["lstm"] is compiled.CompiledLSTM
    assert backend.optimisers["sgd"] is OPTIMISERS["sgd"]


@pytest.mark.parametrize("name", ["adagrad", "adagrad-damped"])
def test_an_optimiser_steps_as_numpy_does(rng: np.random.Generator, name: str) -> None:
    weights = [rng.normal(size=300).astype(np.float32)] * 2
    weights = [one.copy() for one in weights]
    kinds = (load_backend("numba").optimisers[name], OPTIMISERS[name])
    optimisers = [kind(w, 0.01) for kind, w in zip(kinds, weights, strict=True)]
    for step in range(5):
        gradient = rng.normal(size=300).astype(np.float32) * 10.0**-step
        gradient[0] = 0
        for optimiser, w in zip(optimisers, weights, strict=True):
            optimiser.update(w, gradient.copy(), 0.1)
    np.testing.assert_allclose(weights[0], weights[1], rtol=1e-5, atol=1e-6)
    ours, theirs = (optimiser.state["sum_of_squares"] for optimiser in optimisers)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def run(cell: str, name: str, workers: int = 1) -> Trainer:
    config = ModelConfig(V, V, cell=cell, hidden=16)
    training = TrainingConfig(
        40, lr=0.1, seq_length=10, batch_size=4, warmup_steps=2, backend=name, workers=workers
    )
    ids = np.resize(np.arange(V, dtype=np.uint8) ** 2 % V, 500)
    initial = initialise(config, np.random.default_rng(0))
    return Trainer(config, training, TextDataset(ids), initial)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_reaches_the_losses_of_numpy(cell: str, workers: int) -> None:
    with run(cell, "numba", workers) as ours, run(cell, "numpy") as theirs:
        nats = np.array([(ours.step().nats, theirs.step().nats) for _ in range(30)])
        assert type(ours.optimiser) is compiled.CompiledAdagrad
    np.testing.assert_allclose(nats[:, 0], nats[:, 1], rtol=2e-3)
    assert nats[-1, 0] < nats[0, 0] / 2


def test_a_run_is_the_same_each_time(cell: str) -> None:
    with run(cell, "numba") as one, run(cell, "numba") as other:
        for _ in range(10):
            one.step()
            other.step()
        np.testing.assert_array_equal(one.parameters.vector, other.parameters.vector)


def test_a_run_that_diverges_says_so() -> None:
    with run("lstm", "numba") as trainer:
        trainer.parameters.vector[: trainer.parameters["layers.0.W_xh"].size] = np.nan
        with pytest.raises(DivergedError, match="W_xh is not finite"):
            trainer.step()


def test_the_fastest_installed_backend_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_backend() == "numba"
    for name in ("charrnn.training.numba_backend", "numba"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delattr(sys.modules["charrnn.training"], "numba_backend", raising=False)
    assert default_backend() == "numpy"
    with pytest.raises(UsageError, match=r"cannot be used.*pip install numba"):
        load_backend("numba")
    assert load_backend("numpy").cells is CELLS
