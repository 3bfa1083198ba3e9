"""Stateful networks RNN, LSTM, MLSTM and GRU: steps, stacking, state and arguments."""

from typing import Any

import numpy as np
import pytest

import charrnn
from charrnn.errors import UsageError
from charrnn.nn.cells import CELLS
from charrnn.nn.network import Network
from charrnn.nn.stateful import GRU, LSTM, MLSTM, RNN, RecurrentNetwork
from charrnn.types import Array

LAYERS: dict[str, type[RecurrentNetwork]] = {
    "rnn": RNN,
    "lstm": LSTM,
    "mlstm": MLSTM,
    "gru": GRU,
}


@pytest.fixture(params=LAYERS)
def cell(request: pytest.FixtureRequest) -> str:
    """Return the name of each cell that has a public class."""
    return str(request.param)


def test_public_classes_name_a_registered_cell() -> None:
    assert {kind.cell: kind for kind in RecurrentNetwork.__subclasses__()} == LAYERS
    assert set(LAYERS) <= set(CELLS)
    public = (charrnn.RNN, charrnn.LSTM, charrnn.MLSTM, charrnn.GRU)
    assert public == (RNN, LSTM, MLSTM, GRU)


def naive_steps(rnn: RNN, xs: Array) -> Array:
    """h ← tanh(x W_xh + h W_hh + b_h);  y = h W_hy + b_y, from h = 0."""
    p = rnn.parameters
    h = np.zeros(p["W_hy"].shape[0])
    ys = []
    for x in xs:
        h = np.tanh(x @ p["layers.0.W_xh"][0] + h @ p["layers.0.W_hh"][0] + p["layers.0.b_h"][0])
        ys.append(h @ p["W_hy"] + p["b_y"])
    return np.array(ys)


def test_an_rnn_computes_its_formula(rng: np.random.Generator) -> None:
    rnn = RNN(3, 5, 2, seed=1)
    rnn.parameters.vector[...] = rng.normal(0, 0.5, rnn.parameters.vector.shape)
    xs = rng.normal(size=(6, 3))
    ys = np.array([rnn.step(x) for x in xs])
    np.testing.assert_allclose(ys, naive_steps(rnn, xs), rtol=1e-12, atol=1e-14)


def test_stacking_is_composition(rng: np.random.Generator) -> None:
    rnn1, rnn2 = RNN(3, 5, 4, seed=1), RNN(4, 6, 2, seed=2)
    xs = rng.normal(size=(6, 3))
    ys = np.array([rnn2.step(rnn1.step(x)) for x in xs])
    expected = naive_steps(rnn2, naive_steps(rnn1, xs))
    np.testing.assert_allclose(ys, expected, rtol=1e-12, atol=1e-14)


def test_steps_equal_one_batch_of_the_network(rng: np.random.Generator, cell: str) -> None:
    layer = LAYERS[cell](3, 5, 2, seed=3)
    xs = rng.normal(size=(6, 4, 3))
    ys = np.array([layer.step(x) for x in xs])
    network = Network(layer.config, layer.parameters, 6, 4)
    np.testing.assert_allclose(ys, network.forward(xs), rtol=1e-12, atol=1e-14)
    network.carry_state()
    for name, state in network.states().items():
        np.testing.assert_allclose(layer.state[name.rpartition(".")[2]], state, rtol=1e-12)


def test_rows_of_a_batch_are_independent_sequences(rng: np.random.Generator, cell: str) -> None:
    together, alone = LAYERS[cell](3, 5, 2, seed=3), LAYERS[cell](3, 5, 2, seed=3)
    xs = rng.normal(size=(6, 4, 3))
    ys = np.array([together.step(x) for x in xs])
    assert ys.shape == (6, 4, 2)
    for row in range(4):
        alone.reset()
        single = np.array([alone.step(x) for x in xs[:, row]])
        assert single.shape == (6, 2)
        np.testing.assert_allclose(single, ys[:, row], rtol=1e-12, atol=1e-14)


def test_reset_returns_to_the_zero_state(rng: np.random.Generator, cell: str) -> None:
    layer = LAYERS[cell](3, 5, 2)
    assert layer.state == {}
    xs = rng.normal(size=(4, 3))
    first = [layer.step(x) for x in xs]
    assert list(layer.state) == list(CELLS[cell].states)
    assert not np.allclose(layer.step(xs[0]), first[0])  # the state is felt
    layer.reset()
    assert layer.state == {}
    np.testing.assert_array_equal([layer.step(x) for x in xs], first)


def test_an_output_is_not_overwritten_by_the_next(rng: np.random.Generator, cell: str) -> None:
    layer = LAYERS[cell](3, 5, 2)
    y = layer.step(rng.normal(size=3))
    state = layer.state
    kept, kept_h = y.copy(), state["h"].copy()
    layer.step(rng.normal(size=3))
    np.testing.assert_array_equal(y, kept)
    np.testing.assert_array_equal(state["h"], kept_h)
    state["h"][...] = 100  # copies: the network does not notice
    assert np.abs(layer.state["h"]).max() <= 1


def test_a_weight_overwritten_in_place_counts(cell: str) -> None:
    layer = LAYERS[cell](3, 5, 2)
    layer.parameters["W_hy"][...] = 0
    layer.parameters["b_y"][...] = [1.5, -2]
    np.testing.assert_array_equal(layer.step([1, 2, 3]), [1.5, -2])


def test_weights_are_a_function_of_the_seed_and_biases_start_at_zero(cell: str) -> None:
    kind = LAYERS[cell]
    x = np.ones(3)
    np.testing.assert_array_equal(kind(3, 5, 2, seed=4).step(x), kind(3, 5, 2, seed=4).step(x))
    assert not np.allclose(kind(3, 5, 2, seed=4).step(x), kind(3, 5, 2, seed=5).step(x))
    np.testing.assert_array_equal(kind(3, 5, 2).parameters["b_y"], 0)


def test_the_dtype_and_options_are_settings() -> None:
    lstm = LSTM(3, 5, 2, dtype=np.float32, forget_bias=2.0, init="identity")
    assert lstm.step([1, 0, 0]).dtype == np.float32
    np.testing.assert_array_equal(lstm.parameters["layers.0.b_h"][1], 2)
    np.testing.assert_array_equal(lstm.parameters["layers.0.W_hh"][3], np.eye(5))


@pytest.mark.parametrize(
    "x",
    [np.zeros(4), np.zeros((2, 4)), np.zeros((1, 2, 3)), 1.0, []],
    ids=lambda x: str(np.shape(x)),
)
def test_another_shape_is_refused_with_the_right_one(x: Any) -> None:
    with pytest.raises(UsageError, match=r"it must be \(3,\) or \(B, 3\)"):
        RNN(3, 5, 2).step(x)


def test_another_batch_size_needs_a_reset(cell: str) -> None:
    layer = LAYERS[cell](3, 5, 2)
    layer.step(np.zeros((4, 3)))
    with pytest.raises(UsageError, match="x has 2 rows, the state 4; try reset"):
        layer.step(np.zeros((2, 3)))
    layer.reset()
    assert layer.step(np.zeros((2, 3))).shape == (2, 2)


@pytest.mark.parametrize("sizes", [(0, 5, 2), (3, 0, 2), (3, 5, -1), (3.0, 5, 2)])
def test_sizes_without_meaning_are_refused(sizes: tuple[Any, Any, Any]) -> None:
    with pytest.raises(UsageError, match="it must be a whole number from 1"):
        RNN(*sizes)
