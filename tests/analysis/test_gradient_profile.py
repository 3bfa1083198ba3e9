"""Gradient profiles: closed forms, complex steps, numbers that are not finite, repeatability."""

import hashlib
import math

import numpy as np
import pytest

from charrnn.analysis.gradient_profile import (
    StateProfile,
    fit_decay_rate,
    gradient_profile,
    loss_gradient,
    sample_positions,
    stays_below,
    summarise_state,
)
from charrnn.analysis.layer_backprop import LayerBackprop
from charrnn.errors import TextError
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network, initialise
from charrnn.nn.ops import cross_entropy
from charrnn.nn.parameters import Parameters
from charrnn.types import Array, Ids

V = 5
STEP = 1e-30
"""Step of the complex-step derivative, which has no rounding error (Squire & Trapp 1998)."""


def text(length: int, seed: int = 0, size: int = V) -> Ids:
    return np.random.default_rng(seed).integers(0, size, length).astype(np.uint8)


def random_network(
    cell: str, layers: int = 1, hidden: int = 4, seed: int = 0
) -> tuple[ModelConfig, Parameters]:
    config = ModelConfig(V, V, cell, hidden, layers)
    parameters = Parameters(config.shapes(), np.float64)
    parameters.vector[:] = np.random.default_rng(seed).normal(0, 0.7, parameters.vector.shape)
    return config, parameters


def constant_forget(f: float, hidden: int = 3) -> tuple[ModelConfig, Parameters]:
    config, parameters = random_network("lstm", hidden=hidden)
    parameters["layers.0.W_hh"][...] = 0
    parameters["layers.0.W_xh"][1] = 0
    parameters["layers.0.b_h"][1] = math.log(f / (1 - f))
    return config, parameters


def logs(numbers: tuple[float | None, ...]) -> Array:
    assert None not in numbers
    return np.array(numbers, np.float64)


def naive_norm(
    config: ModelConfig,
    parameters: Parameters,
    ids: Ids,
    lag: int,
    layer: int,
    state: str,
) -> float:
    """‖∂ℓ/∂s‖ by complex steps: layer by layer and step by step, a batch row for each unit."""
    H = config.hidden
    network = Network(config, parameters.astype(np.complex128), 1, H)
    inputs, target = ids[:-1], ids[-1]
    for t, character in enumerate(inputs):
        for number, cell in enumerate(network.layers):
            if number:
                cell.project_inputs(network.layers[number - 1].h[1:])
            else:
                cell.embed_ids(np.full((1, H), character))
            cell.step(0)
            if number == layer and t == len(inputs) - 1 - lag:
                cell.state_history[state][1] += 1j * STEP * np.eye(H)
                if state == "c":
                    cell.h[1] = cell.a[2, 0] * np.tanh(cell.state_history["c"][1])
        network.carry_state()
    logits = network.layers[-1].h[1:] @ network.parameters["W_hy"] + network.parameters["b_y"]
    nats = cross_entropy(logits, np.full((1, H), target), out=logits)
    return float(np.linalg.norm(nats.imag / STEP))


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_profile_is_what_complex_steps_say(cell: str, layers: int) -> None:
    for seed in range(6):
        config, parameters = random_network(cell, layers, hidden=1 + seed, seed=seed)
        ids = text(25, seed)
        found = gradient_profile(config, parameters, ids, lags=6, windows=1, seed=seed)
        places, _ = sample_positions(25, 6, 1, seed)
        # from zero, 2K characters and the one to guess
        window = ids[places.starts[0] : places.starts[0] + 13]
        assert [(x.layer, x.state) for x in found.lines] == [
            (number, state) for number in range(layers) for state in CELLS[cell].reported_states()
        ]
        for shown in found.lines:
            assert shown.log_norm_at_0 is not None
            norms = np.exp(logs(shown.log_ratio) + shown.log_norm_at_0)
            naive = [
                naive_norm(config, parameters, window, k, shown.layer, shown.state)
                for k in range(7)
            ]
            np.testing.assert_allclose(norms, naive, rtol=1e-9, atol=0)


def test_constant_forget_gate_gives_its_powers_and_its_half_life() -> None:
    found = gradient_profile(*constant_forget(0.95), text(600), lags=60, windows=8)
    c, h = found.lines
    np.testing.assert_allclose(logs(c.log_geometric), np.arange(61) * math.log(0.95), atol=1e-12)
    np.testing.assert_allclose(logs(c.log_ratio), np.arange(61) * math.log(0.95), atol=1e-12)
    assert c.half_life_chars == math.ceil(math.log(0.5) / math.log(0.95)) == 14
    assert c.horizon_chars is None
    assert c.rate_per_char == pytest.approx(0.95, abs=1e-12)
    assert c.rate_r_squared == pytest.approx(1, abs=1e-9)
    assert h.ratio[1:] == (0.0,) * 60
    assert h.log_ratio[1] is None


def test_a_lag_of_2000_characters_is_a_number() -> None:
    """×0.1 per character is below every float64 after 324 characters."""
    found = gradient_profile(*constant_forget(0.1), text(6100), lags=2000, windows=2)
    expected = np.arange(2001) * math.log(0.1)
    np.testing.assert_allclose(logs(found.lines[0].log_geometric), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(logs(found.lines[0].log_ratio), expected, rtol=1e-12, atol=1e-12)


def test_layers_with_very_different_decay_rates_keep_their_own() -> None:
    """The upper layer falls ×0.1 a character while the lower one keeps its gradient."""
    config, parameters = random_network("lstm", 2)
    for number, f in enumerate((0.999, 0.1)):
        weights = parameters.subset(f"layers.{number}")
        weights["W_hh"][...] = 0
        weights["W_xh"][1] = 0
        weights["b_h"][1] = math.log(f / (1 - f))
    found = gradient_profile(config, parameters, text(1600), lags=500, windows=2)
    upper = found.lines[2]
    np.testing.assert_allclose(
        logs(upper.log_geometric), np.arange(501) * math.log(0.1), rtol=1e-9, atol=1e-9
    )
    lower = logs(found.lines[0].log_geometric)
    assert lower[500] - lower[100] == pytest.approx(400 * math.log(0.999), abs=1e-9)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_itemised_gradients_add_up_to_back_propagation(cell: str, layers: int) -> None:
    """Σ over losses and lags of hᵀ da, computed one loss at a time, is dW_hh."""
    config, parameters = random_network(cell, layers)
    T, B = 6, 3
    ids = text((T + 1) * B).reshape(T + 1, B)
    network = Network(config, parameters, T, B, parameters.like())
    for state in network.states().values():
        state[...] = np.random.default_rng(1).normal(size=state.shape)
    network.forward(ids[:-1])
    backprop = LayerBackprop(network.layers)
    sums = [np.zeros_like(cell_.W_hh) for cell_ in network.layers]
    for end in range(1, T + 1):
        _, dh = loss_gradient(parameters, network.layers[-1].h[end], ids[end])
        backprop.begin(dh)
        for t in reversed(range(end)):
            for number in reversed(range(layers)):
                backprop.add_gradient_from_above(number)
                scale = np.exp2(backprop.step_layer_back(number, t))[:, None]
                own = network.layers[number]
                for gate, du in enumerate(own.du[:, t]):
                    sums[number][gate] += own.recurrent_inputs[t].T @ (du * scale)
    again = Network(config, parameters, T, B, parameters.like())
    again.load_states(network.states())
    again.forward(ids[:-1])
    again.loss(ids[1:])
    again.backward(ids[1:], 1.0)
    assert again.gradients is not None
    for number, total in enumerate(sums):
        expected = again.gradients[f"layers.{number}.W_hh"]
        assert np.linalg.norm(expected) > 0.01
        np.testing.assert_allclose(total, expected, rtol=1e-10, atol=1e-12)


def test_a_horizon_is_where_the_curve_stays_below_not_where_it_first_dips() -> None:
    curve = np.log([1, 0.4, 0.2, 0.6, 0.3, 0.005])
    assert stays_below(curve, 0.5) == 4
    assert stays_below(curve, 0.01) == 5
    assert stays_below(curve, 0.001) is None
    assert stays_below(np.array([0.0, -np.inf]), 0.01) == 1


def test_rate_is_the_slope_and_stops_at_the_floor() -> None:
    assert fit_decay_rate(math.log(0.8) * np.arange(100.0))[0] == pytest.approx(0.8)
    kinked = np.concatenate([np.arange(30) * -2.0, np.full(70, -60.0)])
    assert fit_decay_rate(kinked)[0] == pytest.approx(math.exp(-2))
    assert fit_decay_rate(-20 * np.arange(100.0)) == (None, None)
    assert fit_decay_rate(np.zeros(50)) == (1.0, 1.0)


def test_the_summary_of_a_state_equals_plain_arithmetic() -> None:
    norms = np.random.default_rng(0).lognormal(size=(9, 40))
    found = summarise_state(0, "h", np.log(norms))
    np.testing.assert_allclose(found.ratio, norms.mean(1) / norms[0].mean())  # type: ignore[arg-type]
    ratios = norms / norms[0]
    np.testing.assert_allclose(logs(found.log_geometric), np.log(ratios).mean(1), atol=1e-14)
    low = np.percentile(ratios, 10, axis=1, method="inverted_cdf")
    np.testing.assert_allclose(np.exp(logs(found.log_p10)), low)


def everything(x: StateProfile) -> list[float | None]:
    curves = (x.ratio, x.log_ratio, x.log_geometric, x.log_p10, x.log_p90)
    figures = [x.log_norm_at_0, x.rate_per_char, x.rate_r_squared]
    return [number for curve in curves for number in curve] + figures


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("trouble", ["nan", "inf", "huge", "zero", "one character", "one unit"])
def test_numbers_that_are_not_finite_give_no_nan_and_no_warning(cell: str, trouble: str) -> None:
    config = ModelConfig(V, V, cell, 4, 2)
    if trouble == "one character":
        config = ModelConfig(1, 1, cell, 4, 2)
    if trouble == "one unit":
        config = ModelConfig(V, V, cell, 1, 2)
    parameters = initialise(config, np.random.default_rng(0))
    if trouble in ("nan", "inf"):
        parameters["layers.1.W_hh"][0, 1, 2] = float(trouble)
    if trouble == "huge":
        parameters.vector[...] *= 1e30
    if trouble == "zero":
        parameters["W_hy"][...] = 0
    found = gradient_profile(config, parameters, text(90, size=config.inputs), lags=20, windows=6)
    for shown in found.lines:
        assert all(x is None or math.isfinite(x) for x in everything(shown))
        if trouble != "huge":  # which saturates: then it is right that nothing passes
            assert shown.zero == (trouble in ("zero", "one character"))
    if trouble in ("nan", "inf"):
        assert found.nonfinite == ("layers.1.W_hh",)
        assert not found.lines[-1].finite or trouble == "inf"


def test_a_short_text_has_fewer_lags_and_says_so() -> None:
    config, parameters = random_network("gru")
    for length in (3, 4, 5, 10, 100, 350, 500):
        found = gradient_profile(config, parameters, text(length), lags=200, windows=64)
        assert 2 * found.lags + 1 <= length
        assert any("of 200 lags" in note for note in found.notes)
        assert len(found.lines[0].ratio) == found.lags + 1
    with pytest.raises(TextError, match="2 characters"):
        gradient_profile(config, parameters, text(2))


@pytest.mark.parametrize("length", [3, 50, 403, 555, 10_000])
def test_windows_lie_inside_the_text_and_depend_on_the_seed_alone(length: int) -> None:
    places, _ = sample_positions(length, 200, 64, seed=3)
    last = places.starts + 2 * places.K + places.offsets[-1]
    assert places.starts.min() >= 0
    assert last.max() < length
    assert len(np.unique(places.starts)) == len(places.starts)
    np.testing.assert_array_equal(
        places.starts, sample_positions(length, 200, 64, seed=3)[0].starts
    )


def test_measuring_changes_nothing_and_is_repeatable() -> None:
    config = ModelConfig(V, V, "lstm", 8, 2)
    parameters = initialise(config, np.random.default_rng(0))
    before = hashlib.sha256(parameters.vector.tobytes()).hexdigest()
    ids = text(2000)
    once = gradient_profile(config, parameters, ids, lags=50, windows=16)
    assert gradient_profile(config, parameters, ids, lags=50, windows=16) == once
    assert gradient_profile(config, parameters, ids, lags=50, windows=16, seed=1) != once
    assert hashlib.sha256(parameters.vector.tobytes()).hexdigest() == before


@pytest.mark.parametrize("cell", CELLS)
def test_horizon_is_stable_over_twenty_seeds(cell: str) -> None:
    config = ModelConfig(V, V, cell, 16)
    parameters = initialise(config, np.random.default_rng(0))
    ids = text(20_000)
    found = [
        gradient_profile(config, parameters, ids, lags=40, seed=seed).lines[0].horizon_chars
        for seed in range(20)
    ]
    horizons = [40 if k is None else k for k in found]
    middle = sorted(horizons)[10]
    assert max(abs(k - middle) for k in horizons) <= max(1, 0.05 * middle)
