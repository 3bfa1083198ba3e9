"""Networks: initial weights, invalid configurations, states, dropout and shared parameters."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from charrnn.errors import UsageError
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import FORGET_BIAS, ModelConfig
from charrnn.nn.network import Network, initialise
from charrnn.nn.ops import dropout_mask
from charrnn.randomness import DropoutDraws

V, H = 7, 6


def test_biases_are_zero_at_first_except_the_forget_bias(
    rng: np.random.Generator, cell: str
) -> None:
    parameters = initialise(ModelConfig(V, V, cell=cell, hidden=H, layers=2), rng)
    gates, forget = CELLS[cell].gates, CELLS[cell].forget_bias_gate
    for name, array in parameters.items():
        if name.rpartition(".")[2].startswith("b_"):
            expected = np.zeros_like(array)
            if name.endswith("b_h") and forget is not None:
                expected[gates.index(forget)] = FORGET_BIAS
            if name.endswith("b_h") and cell == "mlstm":
                expected[len(gates)] = 1  # the scale of the state, which no input changes at first
            np.testing.assert_array_equal(array, expected, err_msg=name)
        else:
            assert np.abs(array).max() > 0, name


def test_cells_declare_gates_and_states_that_they_have(cell: str) -> None:
    kind = CELLS[cell]
    assert kind.keep_gate in (None, *kind.gates[:-1])
    assert kind.forget_bias_gate in (None, *kind.gates[:-1])
    assert sorted(kind.reported_states()) == sorted(kind.states)
    assert (CELLS["rnn"].keep_gate, CELLS["lstm"].keep_gate, CELLS["gru"].keep_gate) == (
        None,
        "f",
        "z",
    )


@pytest.mark.parametrize("value", [0.0, 40.0])
def test_an_open_keep_gate_keeps_the_state_and_a_shut_one_forgets_it(
    value: float, cell: str, rng: np.random.Generator
) -> None:
    """Compares two states that differ by 0.5 everywhere, after a step without inputs."""
    kind = CELLS[cell]
    if kind.keep_gate is None:
        return
    config = ModelConfig(V, V, cell=cell, hidden=H)
    parameters = initialise(config, rng, np.float64)
    parameters["layers.0.W_hh"][...] = 0
    parameters["layers.0.b_h"][kind.gates.index(kind.keep_gate)] = value - 20
    memory = f"layers.0.{kind.reported_states()[0]}"
    network = Network(config, parameters, 1, 2)
    network.states()[memory][1] = 0.5
    network.forward(np.zeros((1, 2), int))
    network.carry_state()
    difference = np.diff(network.states()[memory], axis=0)
    np.testing.assert_allclose(difference, 0.5 if value else 0, atol=1e-6)


def test_the_forget_bias_is_a_setting(rng: np.random.Generator) -> None:
    config = ModelConfig(V, V, cell="lstm", hidden=H, forget_bias=2.5)
    b_h = initialise(config, rng)["layers.0.b_h"]
    np.testing.assert_array_equal(b_h, np.array([[0], [2.5], [0], [0]]) * np.ones(H))


def test_recurrent_matrices_begin_orthogonal_times_the_gain(
    rng: np.random.Generator, cell: str
) -> None:
    config = ModelConfig(V, V, cell=cell, hidden=H, layers=2, gain=1.25)
    parameters = initialise(config, rng, np.float64)
    for layer in range(2):
        for W in parameters[f"layers.{layer}.W_hh"]:
            np.testing.assert_allclose(W @ W.T, 1.25**2 * np.eye(H), atol=1e-12)


def test_the_first_layer_has_the_initialiser_of_its_cell_and_the_next_small_weights(
    rng: np.random.Generator, cell: str
) -> None:
    config = ModelConfig(300, 300, cell=cell, hidden=100, layers=2)
    parameters = initialise(config, rng, np.float64)
    declared = {"normal:1": 1.0, "uniform": 0.1 / np.sqrt(3)}[CELLS[cell].input_init]
    gates = len(CELLS[cell].gates)
    first, second = (parameters[f"layers.{layer}.W_xh"][:gates] for layer in (0, 1))
    assert first.std() == pytest.approx(declared, rel=0.05)
    assert second.std() == pytest.approx(0.1 / np.sqrt(3), rel=0.05)
    assert np.abs(parameters["layers.1.W_xh"]).max() <= 0.1
    assert np.abs(parameters["W_hy"]).max() <= 0.1
    assert parameters["W_hy"].std() == pytest.approx(0.1 / np.sqrt(3), rel=0.05)


def test_initial_settings_reach_the_matrix_they_name(rng: np.random.Generator, cell: str) -> None:
    config = ModelConfig(
        V,
        V,
        cell=cell,
        hidden=H,
        layers=2,
        init="identity",
        gain=0.5,
        input_init="identity",
        input_gain=3.0,
        readout_init="normal:0",
    )
    parameters = initialise(config, rng)
    for layer, D in enumerate((V, H)):
        for W_xh in parameters[f"layers.{layer}.W_xh"][: len(CELLS[cell].gates)]:
            np.testing.assert_array_equal(W_xh, 3 * np.eye(D, H))
        for W_hh in parameters[f"layers.{layer}.W_hh"]:
            np.testing.assert_array_equal(W_hh, 0.5 * np.eye(H))
    np.testing.assert_array_equal(parameters["W_hy"], 0)


def test_weights_are_a_function_of_the_seed(cell: str) -> None:
    config = ModelConfig(V, V, cell=cell, hidden=H, layers=2)
    first, again, other = (
        initialise(config, np.random.default_rng(seed)).vector for seed in (1, 1, 2)
    )
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_config_names_every_parameter_from_inputs_to_outputs(cell: str) -> None:
    names = list(ModelConfig(V, V, cell=cell, hidden=H, layers=2).shapes())
    own = list(CELLS[cell].shapes(V, H))
    assert names == [f"layers.{layer}.{name}" for layer in (0, 1) for name in own] + ["W_hy", "b_y"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "gnu"}, "no cell called 'gnu'; there are rnn, lstm, gru"),
        ({"inputs": 0}, "inputs is 0; it must be a whole number from 1"),
        ({"outputs": -1}, "outputs is -1; it must be a whole number from 1"),
        ({"hidden": 0}, "--hidden is 0; it must be a whole number from 1"),
        ({"hidden": 2.5}, "hidden is 2.5; it must be a whole number from 1"),
        ({"hidden": 2**16 + 1}, "--hidden is 65537; it must be a whole number from 1 to 65,536"),
        ({"layers": 0}, "layers is 0; it must be a whole number from 1"),
        ({"layers": 2**17}, "--layers is 131072; it must be a whole number from 1 to 1,000"),
        ({"dropout": 1.0}, "dropout is 1.0; it must be from 0 to below 1"),
        ({"recurrent_dropout": 1.0}, "--recurrent-dropout is 1.0; it must be from 0 to below 1"),
        ({"dropout": -0.1}, "dropout is -0.1; it must be from 0 to below 1"),
        ({"dropout": float("nan")}, "dropout is nan; it must be from 0 to below 1"),
        ({"init": "xavier"}, "no initialiser called 'xavier'"),
        ({"input_init": "normal:x"}, "'x' in 'normal:x' is no scale"),
        ({"readout_init": "identity:2"}, "'identity' takes no scale"),
        (
            {"gain": float("inf")},
            "--recurrent-gain is inf; it must be from -1,000,000 to 1,000,000; try",
        ),
        ({"input_gain": float("nan")}, "--input-gain is nan"),
        ({"forget_bias": float("nan")}, "--forget-bias is nan"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        ModelConfig(**({"inputs": V, "outputs": V} | options))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_config_comes_back_from_its_fields() -> None:
    config = ModelConfig(V, V, cell="gru", dropout=0.25, input_init="normal:1")
    assert ModelConfig(**config.as_dict()) == config  # type: ignore[arg-type]


def test_states_are_views_that_the_next_batch_starts_from(
    build: Callable[..., Network], cell: str
) -> None:
    network = build(ModelConfig(V, V, cell=cell, hidden=H, layers=2), 3, 2)
    names = list(network.states())
    assert names == [f"layers.{n}.{state}" for n in (0, 1) for state in CELLS[cell].states]
    inputs = np.zeros((3, 2), int)
    before = network.forward(inputs).copy()
    for state in network.states().values():
        state[0] = 0
    after = network.forward(inputs)
    assert not np.allclose(after[:, 0], before[:, 0])
    np.testing.assert_array_equal(after[:, 1], before[:, 1])


def test_many_networks_share_parameters(build: Callable[..., Network], cell: str) -> None:
    network = build(ModelConfig(V, V, cell=cell, hidden=H), 3, 2)
    other = Network(network.config, network.parameters, 1, 1)
    before = other.forward(np.zeros((1, 1), int)).copy()
    network.parameters["b_y"][...] += 1
    np.testing.assert_allclose(other.forward(np.zeros((1, 1), int)), before + 1, rtol=1e-12)


def test_dropout_keeps_the_mean_and_drops_at_its_rate(rng: np.random.Generator) -> None:
    mask = dropout_mask(rng.random((300, 300), np.float32).T, 0.3, np.float64)
    assert mask.flags.c_contiguous
    assert set(np.unique(mask)) == {0.0, 1 / 0.7}
    assert np.mean(mask == 0) == pytest.approx(0.3, abs=0.01)
    assert mask.mean() == pytest.approx(1, abs=0.01)


def test_loaded_states_are_copies_and_a_single_one_is_repeated(
    build: Callable[..., Network], rng: np.random.Generator, cell: str
) -> None:
    config = ModelConfig(V, V, cell=cell, hidden=H, layers=2)
    one, many = build(config, 2, 1), build(config, 2, 3)
    many.load_states(one.states())
    for name, state in many.states().items():
        np.testing.assert_array_equal(state, np.repeat(one.states()[name], 3, axis=0))
    before = {name: state.copy() for name, state in many.states().items()}
    one.reset_state()
    for name, state in many.states().items():
        np.testing.assert_array_equal(state, before[name])
    with pytest.raises(KeyError):
        many.load_states({})
    with pytest.raises(ValueError, match="broadcast"):
        one.load_states(many.states())


@pytest.mark.parametrize("kind", ["dropout", "recurrent_dropout"])
def test_dropout_needs_random_draws(build: Callable[..., Network], kind: str) -> None:
    dropped: dict[str, Any] = {kind: 0.5}
    network = build(ModelConfig(V, V, hidden=H, **dropped), 3, 2)
    inputs = np.zeros((3, 2), int)
    plain = network.forward(inputs).copy()
    np.testing.assert_array_equal(network.forward(inputs), plain)
    assert not np.allclose(network.forward(inputs, DropoutDraws(0)), plain)
    np.testing.assert_array_equal(network.forward(inputs), plain)
    nothing: dict[str, Any] = {kind: 0.0}
    network.reset_state()
    plain = network.forward(inputs).copy()
    without = Network(replace(network.config, **nothing), network.parameters, 3, 2)
    np.testing.assert_array_equal(without.forward(inputs), plain)


def test_dropped_recurrent_weights_have_no_effect_in_a_batch(
    build: Callable[..., Network], cell: str
) -> None:
    network = build(ModelConfig(V, V, cell=cell, hidden=H, layers=2, recurrent_dropout=0.5), 4, 2)
    inputs, targets = np.zeros((4, 2), int), np.ones((4, 2), int)
    network.reset_state()
    logits = network.forward(inputs, DropoutDraws(0)).copy()
    assert network.gradients is not None
    network.loss(targets)
    network.backward(targets, 1.0)
    thin = network.parameters.like(network.parameters.vector.copy())
    for number in range(2):
        W_hh = thin[f"layers.{number}.W_hh"]
        kept = network.recurrent_masks[f"layers.{number}.W_hh"]
        assert 0.2 < np.mean(kept == 0) < 0.8
        assert not network.gradients[f"layers.{number}.W_hh"][kept == 0].any()
        W_hh *= kept
    plain = Network(replace(network.config, recurrent_dropout=0.0), thin, 4, 2)
    np.testing.assert_allclose(plain.forward(inputs), logits, rtol=1e-12)


def test_saturated_gates_raise_no_warning(cell: str) -> None:
    config = ModelConfig(V, V, cell=cell, hidden=H)
    parameters = initialise(config, np.random.default_rng(0))
    parameters["layers.0.W_xh"][...] *= np.float32(1e6)
    logits = Network(config, parameters, 3, 2).forward(np.arange(6).reshape(3, 2))
    assert np.isfinite(logits).all()
