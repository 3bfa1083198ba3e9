"""Cells: their outputs equal a second implementation of the formulas, with lists and loops."""

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pytest

from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network

Vector: TypeAlias = list[float]
Gate: TypeAlias = Callable[[str], Vector]
State: TypeAlias = dict[str, Vector]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def product(x: Vector, W: list[Vector]) -> Vector:
    """x W, a row vector times a matrix."""
    return [sum(x[d] * W[d][h] for d in range(len(x))) for h in range(len(W[0]))]


class Weights:
    """The weights of one layer as nested lists, a gate at a time."""

    def __init__(self, cell: str, arrays: dict[str, np.ndarray]) -> None:
        self.gates = (*CELLS[cell].gates, "s")  # of an mlstm the scale stands behind the gates
        self.lists = {name: array.tolist() for name, array in arrays.items()}

    def x(self, gate: str, x: Vector) -> Vector:
        """x W_xh + b_h of a gate."""
        number = self.gates.index(gate)
        b = self.lists["b_h"][number]
        return [a + bias for a, bias in zip(product(x, self.lists["W_xh"][number]), b, strict=True)]

    def h(self, gate: str, h: Vector) -> Vector:
        """h W_hh of a gate."""
        return product(h, self.lists["W_hh"][self.gates.index(gate)])

    def both(self, gate: str, x: Vector, h: Vector) -> Vector:
        """x W_xh + h W_hh + b_h of a gate."""
        return [a + u for a, u in zip(self.x(gate, x), self.h(gate, h), strict=True)]


def naive_rnn(weights: Weights, x: Vector, state: State) -> State:
    return {"h": [math.tanh(a) for a in weights.both("h", x, state["h"])]}


def naive_lstm(weights: Weights, x: Vector, state: State) -> State:
    i, f, o = ([sigmoid(a) for a in weights.both(gate, x, state["h"])] for gate in "ifo")
    g = [math.tanh(a) for a in weights.both("g", x, state["h"])]
    units = range(len(i))
    c = [f[k] * state["c"][k] + i[k] * g[k] for k in units]
    return {"h": [o[k] * math.tanh(c[k]) for k in units], "c": c}


def naive_mlstm(weights: Weights, x: Vector, state: State) -> State:
    m = [s * h for s, h in zip(weights.x("s", x), state["h"], strict=True)]
    return naive_lstm(weights, x, {**state, "h": m})


def naive_gru(weights: Weights, x: Vector, state: State) -> State:
    h = state["h"]
    r, z = ([sigmoid(a) for a in weights.both(gate, x, h)] for gate in "rz")
    a, u, b_n = weights.x("n", x), weights.h("n", h), weights.lists["b_n"]
    units = range(len(h))
    n = [math.tanh(a[k] + r[k] * (u[k] + b_n[k])) for k in units]
    return {"h": [(1 - z[k]) * n[k] + z[k] * h[k] for k in units]}


NAIVE = {"rnn": naive_rnn, "lstm": naive_lstm, "mlstm": naive_mlstm, "gru": naive_gru}


def naive_logits(network: Network, inputs: np.ndarray) -> np.ndarray:
    """Return logits for x (T, B, D), one sequence and one step at a time, from `states()`."""
    config = network.config
    layers = [
        Weights(config.cell, network.parameters.subset(f"layers.{layer}"))
        for layer in range(config.layers)
    ]
    W_hy, b_y = network.parameters["W_hy"].tolist(), network.parameters["b_y"].tolist()
    logits = np.empty((*inputs.shape[:2], config.outputs))
    for row in range(inputs.shape[1]):
        states: list[State] = [{} for _ in layers]
        for name, state in network.states().items():
            _, layer, kind = name.split(".")
            states[int(layer)][kind] = state[row].tolist()
        for t in range(len(inputs)):
            x = inputs[t, row].tolist()
            for layer_number, weights in enumerate(layers):
                states[layer_number] = NAIVE[config.cell](weights, x, states[layer_number])
                x = states[layer_number]["h"]
            logits[t, row] = [y + b for y, b in zip(product(x, W_hy), b_y, strict=True)]
    return logits


def test_the_naive_forms_are_of_registered_cells() -> None:
    assert set(NAIVE) <= set(CELLS)


@pytest.mark.parametrize("cell", NAIVE)
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_cell_computes_the_formula_of_its_docstring(
    build: Callable[..., Network], rng: np.random.Generator, cell: str, layers: int
) -> None:
    network = build(ModelConfig(3, 5, cell=cell, hidden=4, layers=layers), 6, 2, size=0.8)
    inputs = rng.normal(size=(6, 2, 3))
    expected = naive_logits(network, inputs)
    np.testing.assert_allclose(network.forward(inputs), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("V", [4, 50], ids=["more positions than ids", "more ids than positions"])
def test_one_hot_vectors_and_ids_are_the_same_input(
    build: Callable[..., Network], rng: np.random.Generator, cell: str, V: int
) -> None:
    network = build(ModelConfig(V, V, cell=cell, hidden=4, layers=2), 6, 2)
    ids = rng.integers(V, size=(6, 2)).astype(np.uint8)
    by_lookup = network.forward(ids).copy()
    one_hot = np.eye(V)[ids]
    np.testing.assert_allclose(network.forward(one_hot), by_lookup, rtol=1e-12, atol=1e-14)
    if cell in NAIVE:
        naive = naive_logits(network, one_hot)
        np.testing.assert_allclose(naive, by_lookup, rtol=1e-12, atol=1e-14)


def test_float32_agrees_with_float64_to_its_own_precision(
    build: Callable[..., Network], rng: np.random.Generator, cell: str
) -> None:
    network = build(ModelConfig(5, 5, cell=cell, hidden=16, layers=2), 30, 2)
    single = Network(network.config, network.parameters.astype(np.float32), 30, 2)
    single.load_states(network.states())
    ids = rng.integers(5, size=(30, 2))
    logits = single.forward(ids)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, network.forward(ids), rtol=0, atol=1e-4)
