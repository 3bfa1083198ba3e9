"""Verdicts, advice, truncation bias, unit statistics, context losses and influence."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from charrnn.analysis.context import context_losses, influence
from charrnn.analysis.diagnosis import (
    VERDICT_KINDS,
    Verdict,
    diagnose,
    truncation_bias,
)
from charrnn.analysis.gradient_profile import (
    GradientProfile,
    gradient_profile,
    sample_positions,
    summarise_state,
)
from charrnn.analysis.jacobians import recurrent_matrices
from charrnn.analysis.unit_stats import unit_stats
from charrnn.errors import TextError, UsageError
from charrnn.nn.cells import CELLS
from charrnn.nn.network import ModelConfig, Network, initialise
from charrnn.nn.parameters import Parameters
from charrnn.types import Array, Ids

V = 5


def text(length: int, seed: int = 0, size: int = V) -> Ids:
    return np.random.default_rng(seed).integers(0, size, length).astype(np.uint8)


def random_network(
    cell: str, layers: int = 1, hidden: int = 4, seed: int = 0
) -> tuple[ModelConfig, Parameters]:
    config = ModelConfig(V, V, cell, hidden, layers)
    parameters = Parameters(config.shapes(), np.float64)
    parameters.vector[:] = np.random.default_rng(seed).normal(0, 0.7, parameters.vector.shape)
    return config, parameters


def shown(*curves: Sequence[float] | Array) -> GradientProfile:
    """A profile of layers whose every window has ln ‖g_k‖ = that curve."""
    lines = tuple(
        summarise_state(n, "h", np.tile(np.array(c, float)[:, None], 3))
        for n, c in enumerate(curves)
    )
    return GradientProfile(len(curves[0]) - 1, 3, 0, 1.0, lines, (), ())


def judge(*curves: Array, cell: str = "rnn", trained: bool = False) -> Verdict:
    return diagnose(shown(*curves), ModelConfig(V, V, cell), trained=trained, seq_length=50)


k = np.arange(201.0)


def test_each_kind_by_its_rule() -> None:
    assert judge(k * math.log(0.8)).kind == "vanishing"
    assert judge(k * math.log(0.97)).kind == "fading"
    assert judge(k * math.log(0.99)).kind == "healthy"
    assert judge(k * 0.0).sentence.startswith("healthy: all of the gradient arrives")
    assert judge(k * math.log(1.012)).kind == "exploding"
    assert judge(np.where(k == 40, math.log(11), 0)).kind == "exploding"
    assert judge(np.where(k == 140, math.log(11), 0)).kind == "healthy"
    assert judge(np.where(k < 30, -9.0, -1.0) * (k > 0)).kind == "healthy"
    assert judge(k * np.nan).kind == "nonfinite"
    assert judge(np.full(201, -np.inf)).kind == "vanishing"
    assert set(VERDICT_KINDS) == {"nonfinite", "exploding", "vanishing", "fading", "healthy"}


def test_the_layer_whose_gradient_reaches_furthest_decides() -> None:
    assert judge(k * math.log(0.99), k * math.log(0.5)).kind == "healthy"
    assert judge(k * math.log(0.99), k * math.log(1.1)).kind == "exploding"


def test_the_kind_does_not_depend_on_windows_of_training_nor_on_the_number_of_lags() -> None:
    for beta in (0.8, 0.97, 0.99, 1.05):
        kinds = {
            diagnose(
                shown(math.log(beta) * np.arange(K + 1.0)),
                ModelConfig(V, V, "rnn"),
                trained=False,
                seq_length=seq_length,
            ).kind
            for K in (30, 60, 99, 100, 150, 300)
            for seq_length in (None, 5, 50, 500)
        }
        assert len(kinds) == 1


def test_the_verdict_is_not_taken_from_the_spectral_radius() -> None:
    """A Jordan block has a radius of 0.9, and grows 3.9-fold before it shrinks."""
    config = ModelConfig(V, V, "rnn", 2)
    parameters = Parameters(config.shapes(), np.float64)
    parameters["layers.0.W_hh"][0] = [[0.9, 30.0], [0.0, 0.9]]
    parameters["W_hy"][...] = np.random.default_rng(0).normal(size=(2, V))
    found = gradient_profile(config, parameters, text(1000))
    assert recurrent_matrices(config, parameters)[0].spectral_radius < 1
    assert diagnose(found, config, trained=False).kind == "exploding"


def test_sentences_are_one_line_with_advice_that_fits_the_cell() -> None:
    falling = math.log(0.81) * k
    assert judge(falling, cell="lstm").sentence == (
        "vanishing: the gradient falls to 1% after 22 characters (training window 50). "
        "Try --forget-bias 3.9"
    )
    assert "--cell lstm --forget-bias 3.9" in judge(falling, cell="gru").sentence
    small = ModelConfig(V, V, "rnn", init="normal:0.01")
    sentence = diagnose(shown(falling), small, trained=False).sentence
    assert sentence.endswith("Try --recurrent-init orthogonal, --cell gru")
    assert judge(falling, trained=True).sentence != judge(falling).sentence
    strong = ModelConfig(V, V, "rnn", gain=2.0)
    assert "--recurrent-gain 1" in diagnose(shown(k * 0.1), strong, trained=False).sentence
    for curve in (falling, k * 0.1, k * np.nan, np.full(201, -np.inf), math.log(0.97) * k):
        for cell in CELLS:
            for trained in (False, True):
                found = judge(curve, cell=cell, trained=trained)
                assert "\n" not in found.sentence
                assert found.sentence.startswith(f"{found.kind}: ")
                assert ". Try " in found.sentence


@pytest.mark.parametrize("cell", CELLS)
def test_verdicts_on_real_networks(cell: str) -> None:
    config, ids = ModelConfig(V, V, cell, 6), text(700)
    parameters = initialise(config, np.random.default_rng(0))
    for name, trouble in (("nan", np.nan), ("silent", 0.0)):
        broken = parameters.astype(np.float64)
        broken["W_hy"][...] = trouble
        found = diagnose(gradient_profile(config, broken, ids), config, trained=True)
        assert found.kind == {"nan": "nonfinite", "silent": "vanishing"}[name]
        assert ("W_hy" in found.sentence) == (name == "nan")
    single = ModelConfig(1, 1, cell, 6)
    found = diagnose(
        gradient_profile(single, initialise(single, np.random.default_rng(0)), text(700, size=1)),
        single,
        trained=False,
    )
    assert "one character" in found.sentence


def test_truncation_of_a_geometric_profile_is_its_power() -> None:
    """δ(K′) = βᴷ′."""
    for beta in (0.5, 0.9, 0.96):
        found = truncation_bias(shown(math.log(beta) * k).lines[0])
        assert found.bias is not None
        np.testing.assert_allclose(found.bias, beta**k, rtol=1e-10)
        assert found.seq_length == math.ceil(math.log(0.1) / math.log(beta) - 1e-9)


def test_truncation_beyond_the_last_lag_follows_the_rate() -> None:
    for K in (50, 229, 230, 231, 300):
        found = truncation_bias(shown(math.log(0.99) * np.arange(K + 1.0)).lines[0])
        assert found.seq_length == 230


def test_truncation_cannot_be_bounded_without_decay() -> None:
    for curve in (k * 0.0, k * 0.01, k * np.nan, np.full(201, -np.inf)):
        found = truncation_bias(shown(curve).lines[0])
        assert found.bias is None
        assert found.seq_length is None
    assert truncation_bias(shown(k * -30.0).lines[0]).seq_length == 1


@pytest.mark.parametrize("cell", CELLS)
def test_units_equal_a_count_by_hand(cell: str) -> None:
    config, parameters = random_network(cell, 2)
    parameters.vector[:] *= 3
    ids = text(400)
    found = unit_stats(config, parameters, ids, lags=30, windows=1)
    start = int(sample_positions(400, 30, 1, 0, ends=1)[0].starts[0])
    network = Network(config, parameters, 60, 1)
    network.forward(ids[start : start + 60, None])
    for shown_units, layer in zip(found, network.layers, strict=True):
        h = layer.h[31:, 0]
        assert shown_units.saturated_share == np.mean([abs(x) > 0.99 for x in h.ravel()])
        assert [gate.name for gate in shown_units.gates] == list(CELLS[cell].gates[:-1])
        for gate, values in zip(shown_units.gates, layer.a[:, 30:, 0], strict=False):
            assert gate.shut_share == np.mean([x < 0.1 for x in values.ravel()])
            assert gate.open_share == np.mean([x > 0.9 for x in values.ravel()])
        keep_gate = CELLS[cell].keep_gate
        if keep_gate is None:
            assert shown_units.half_life_chars == ()
            continue
        for unit, half_life in enumerate(shown_units.half_life_chars):
            keep = layer.a[CELLS[cell].gates.index(keep_gate), 30:, 0, unit]
            naive = math.log(2) / -sum(math.log(x) for x in keep) * len(keep)
            assert half_life == pytest.approx(naive, rel=1e-9)


def test_half_lives_of_constant_gates() -> None:
    """ln 2/−ln 0.95 = 13.513 characters; an open gate never forgets."""
    config, parameters = random_network("lstm", hidden=7)
    parameters["layers.0.W_hh"][...] = 0
    parameters["layers.0.W_xh"][1] = 0
    parameters["layers.0.b_h"][1] = [0, 40, math.log(19), 1, 2, 3, -40]
    (found,) = unit_stats(config, parameters, text(300), lags=20)
    assert found.half_life_chars[2] == pytest.approx(13.513, abs=1e-3)
    assert found.half_life_chars[1] is None
    assert found.longest == (1, 5, 2, 4, 3)
    assert found.gates[1].open_share == pytest.approx(3 / 7)


def test_a_unit_that_does_not_move_is_dead() -> None:
    config, parameters = random_network("rnn")
    parameters["layers.0.W_xh"][0, :, 2] = 0
    parameters["layers.0.W_hh"][0, :, 2] = 0
    assert unit_stats(config, parameters, text(300), lags=20)[0].dead_units == (2,)


@pytest.mark.parametrize("cell", CELLS)
def test_context_losses_equal_a_naive_loop(cell: str) -> None:
    config, parameters = random_network(cell, 2)
    ids = text(300)
    found = context_losses(config, parameters, ids, lags=(1, 4, 9), windows=6)
    places, _ = sample_positions(300, 9, 6, 0, ends=1)
    assert found.full_chars == 18
    for lag, nats in zip(
        (*found.lags, 18), (*found.nats_per_char, found.full_nats_per_char), strict=True
    ):
        total = 0.0
        for at in places.starts + 18:
            network = Network(config, parameters, lag, 1)
            network.forward(ids[at - lag : at, None])
            total += network.loss(ids[at - lag + 1 : at + 1, None])[-1, 0]
        assert nats == pytest.approx(total / 6, rel=1e-12)


def test_a_network_that_uses_one_character_has_an_effective_context_of_one() -> None:
    config, parameters = random_network("rnn")
    parameters["layers.0.W_hh"][...] = 0
    assert (
        context_losses(config, parameters, text(300), lags=(1, 2, 4), windows=9).effective_chars
        == 1
    )
    with pytest.raises(UsageError):
        context_losses(config, parameters, text(300), lags=(0, 2))


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_influence_is_what_complex_steps_say(cell: str, layers: int) -> None:
    config, parameters = random_network(cell, layers)
    ids = text(7)
    found = influence(config, parameters, ids, target=3)
    network = Network(config, parameters.astype(np.complex128), 7, 7 * V)
    x = np.repeat(np.eye(V)[ids][:, None], 7 * V, axis=1).astype(np.complex128)
    lanes = np.arange(7 * V)
    x[lanes // V, lanes, lanes % V] += 1e-30j
    slopes = network.forward(x)[-1, :, 3].imag.reshape(7, V) / 1e-30
    norms = np.linalg.norm(slopes, axis=1)
    np.testing.assert_allclose(np.exp(np.array(found.log_norms, float)), norms, rtol=1e-9)
    np.testing.assert_allclose(np.array(found.shares, float), norms / norms.max(), rtol=1e-9)
    guess = influence(config, parameters, ids)
    logits = Network(config, parameters, 7, 1).forward(ids[:, None])[-1, 0]
    assert guess.target == int(np.argmax(logits))
    odds = np.exp(logits)
    assert guess.probability == pytest.approx(odds.max() / odds.sum())


@pytest.mark.parametrize("cell", CELLS)
def test_numbers_that_are_not_finite_are_none(cell: str) -> None:
    for trouble in (np.nan, np.inf, 0.0):
        config, parameters = random_network(cell, 2, hidden=1)
        parameters.vector[:] = trouble
        (first, _) = unit_stats(config, parameters, text(30))
        assert all(x is None or math.isfinite(x) for x in first.half_life_chars)
        losses = context_losses(config, parameters, text(30), lags=(1, 2))
        assert all(x is None or math.isfinite(x) for x in losses.nats_per_char)
        found = influence(config, parameters, text(12))
        assert all(x is None or math.isfinite(x) for x in found.log_norms + found.shares)
    with pytest.raises(TextError):
        influence(*random_network(cell), text(0))
    assert influence(*random_network(cell), text(1)).shares == (1.0,)


def test_measuring_changes_nothing_and_is_repeatable() -> None:
    config, parameters = random_network("lstm", 2)
    before = parameters.vector.copy()
    ids = text(300)
    for measure in (unit_stats, context_losses, influence):
        assert measure(config, parameters, ids) == measure(config, parameters, ids)
    np.testing.assert_array_equal(parameters.vector, before)
