"""Verdicts, advice, truncation bias, unit statistics, context losses and influence."""

import math
import re
from collections.abc import Sequence

import numpy as np
import pytest

from charrnn.analysis.context import (
    EFFECTIVE_CONTEXTS,
    EffectiveContext,
    context_losses,
    effective_context,
    influence,
)
from charrnn.analysis.dataset_profile import data_profile
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
from charrnn.analysis.memory_lengths import MemoryLengths, dependence, measure_lengths
from charrnn.analysis.text_memory import TextMemory
from charrnn.analysis.unit_stats import unit_stats
from charrnn.data.layouts import vocabulary_of_pairs
from charrnn.data.pair_files import build_examples
from charrnn.data.pair_formats import Pair
from charrnn.errors import TextError, UsageError
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network, initialise
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
    return diagnose(shown(*curves), ModelConfig(V, V, cell), trained=trained)


def dependent(horizon: int | None) -> TextMemory:
    """A text whose dependence falls to 1 % at a distance, or beyond 1,000."""
    return TextMemory(
        10**6, 10**6, 60, 4.5, (1, 1000), (1.0, 0.0), (0.001,) * 2, (0.01,) * 2, horizon, 900, (), 0
    )


def used(chars: int | None) -> EffectiveContext:
    """A model that uses so many characters of context."""
    return EffectiveContext(chars, (1, 2), (2.0, 1.5), 1.4, 256, 1024)


def judge_text(
    reach: int, uses: int | None, depends: int | None, cell: str = "rnn", window: int | None = 64
) -> Verdict:
    """Judge a trained model by its three lengths."""
    curve = k * math.log(0.01) / reach
    profile = shown(curve)
    lengths = MemoryLengths(
        profile.main_states[0].horizon_chars, 200, used(uses), dependent(depends), None, window
    )
    return diagnose(profile, ModelConfig(V, V, cell), trained=True, lengths=lengths)


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
    assert set(VERDICT_KINDS) == {
        *("nonfinite", "exploding", "vanishing", "fading", "healthy"),
        *("cut", "short", "sufficient"),
    }


@pytest.mark.parametrize(
    ("reach", "uses", "depends", "window", "kind"),
    [
        (23, 32, 15, 64, "sufficient"),
        (17, 8, 15, 64, "short"),
        (23, 15, 15, 64, "sufficient"),
        (25, 48, None, 64, "short"),
        (120, 32, 94, 64, "cut"),
        (120, 32, 50, 64, "short"),  # the window covers the dependence of the text
        (120, 64, 50, 64, "sufficient"),
        (60, 32, 94, 64, "short"),  # the gradient ends before the window does
        (120, 32, 94, None, "short"),
        (23, None, 200, 64, "sufficient"),  # all 256 characters of context are used
    ],
)
def test_the_lengths_of_a_trained_model_decide(
    reach: int, uses: int | None, depends: int | None, window: int | None, kind: str
) -> None:
    found = judge_text(reach, uses, depends, window=window)
    assert found.kind == kind
    assert found.gradient == ("vanishing" if reach <= 100 else "fading")
    numbers = {int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", found.sentence)}
    assert {depends or 1000, uses or 256} & numbers
    assert (". Try " in found.sentence) == (kind == "short")
    assert judge_text(reach, uses, depends, "lstm", window).kind == kind


def test_exploding_and_nonfinite_come_before_the_lengths() -> None:
    lengths = MemoryLengths(None, 200, used(8), dependent(100), None, 64)
    config = ModelConfig(V, V, "lstm")
    for curve, kind in ((k * 0.1, "exploding"), (k * np.nan, "nonfinite")):
        assert diagnose(shown(curve), config, trained=True, lengths=lengths).kind == kind


def test_without_the_lengths_a_trained_model_is_judged_by_its_gradient() -> None:
    lengths = MemoryLengths(22, 200, None, None, None, 64)
    config = ModelConfig(V, V, "rnn")
    found = diagnose(shown(math.log(0.81) * k), config, trained=True, lengths=lengths)
    assert found.sentence == "vanishing: the gradient falls to 1% after 22 characters"
    fresh = diagnose(shown(math.log(0.81) * k), config, trained=False, lengths=lengths)
    assert fresh.kind == "vanishing"


@pytest.mark.parametrize(
    ("cell", "forget_bias", "advice"),
    [
        ("rnn", 1.0, "Try training again with --cell lstm"),
        ("gru", 1.0, "Try training again with --cell lstm"),
        ("lstm", 1.0, "Try training again with --forget-bias 4.4"),
        ("lstm", 4.4, "No option is known"),
    ],
)
def test_pairs_are_judged_by_the_gap_of_their_task(
    cell: str, forget_bias: float, advice: str
) -> None:
    config = ModelConfig(V, V, cell, forget_bias=forget_bias)
    for gap, kind in ((80, "short"), (20, "sufficient"), (22, "sufficient"), (23, "short")):
        lengths = MemoryLengths(22, 200, gap_chars=gap)
        found = diagnose(shown(math.log(0.81) * k), config, trained=True, lengths=lengths)
        assert found.kind == kind
        assert str(gap) in found.sentence
        if gap == 80:
            assert advice in found.sentence


def test_the_layer_whose_gradient_reaches_furthest_decides() -> None:
    assert judge(k * math.log(0.99), k * math.log(0.5)).kind == "healthy"
    assert judge(k * math.log(0.99), k * math.log(1.1)).kind == "exploding"


def test_the_kind_at_initialisation_does_not_depend_on_the_number_of_lags() -> None:
    for beta in (0.8, 0.97, 0.99, 1.05):
        kinds = {
            diagnose(
                shown(math.log(beta) * np.arange(K + 1.0)),
                ModelConfig(V, V, "rnn"),
                trained=False,
            ).kind
            for K in (30, 60, 99, 100, 150, 300)
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
    finding = "vanishing: the gradient falls to 1% after 22 characters"
    assert judge(falling, cell="lstm").sentence == finding
    assert judge(falling, cell="gru").sentence == finding
    assert judge(falling, cell="rnn").sentence == f"{finding}. Try --cell lstm"
    strong = ModelConfig(V, V, "lstm", gain=2.0)
    assert "--recurrent-gain 1" in diagnose(shown(k * 0.1), strong, trained=False).sentence
    for curve in (falling, k * 0.1, k * np.nan, np.full(201, -np.inf), math.log(0.97) * k):
        for cell in CELLS:
            for trained in (False, True):
                found = judge(curve, cell=cell, trained=trained)
                assert "\n" not in found.sentence
                assert found.sentence.startswith(f"{found.kind}: ")
                assert found.kind == found.gradient


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


@pytest.mark.parametrize("cell", CELLS)
def test_effective_context_equals_its_definition(cell: str) -> None:
    """Each target is predicted after k characters, or up to a third more, from the zero state."""
    config, parameters = random_network(cell, layers=2)
    ids = text(2_000)
    found = effective_context(config, parameters, ids, targets=64)
    assert found is not None
    assert found.targets == 64
    assert found.contexts == EFFECTIVE_CONTEXTS
    weights = parameters.astype(np.float32)
    room = len(ids) - found.full_chars - 32
    draws = np.random.default_rng(0).random(2)
    edges = np.arange(3) * room // 2
    begins = [
        found.full_chars + int(edges[n] + draws[n] * (edges[n + 1] - edges[n])) for n in (0, 1)
    ]
    for k_chars, nats in zip(
        (*found.contexts, found.full_chars),
        (*found.nats_per_char, found.full_nats_per_char),
        strict=True,
    ):
        size = max(n for n in (1, 2, 4, 8, 16, 32) if n == 1 or n - 1 <= k_chars // 3)
        losses = []
        for begin in begins:
            for target in range(begin, begin + 32):
                first = begin + (target - begin) // size * size - k_chars
                network = Network(config, weights, target - first, 1)
                network.forward(ids[first:target, None])
                network.loss(np.resize(ids[target], (target - first, 1)))
                losses.append(-float(network.log_p[-1, 0, ids[target]]))
        assert nats == pytest.approx(np.mean(losses), abs=1e-5), k_chars


def test_effective_context_of_a_model_that_needs_one_character_is_one() -> None:
    """Without recurrent weights only the last character counts."""
    config, parameters = random_network("rnn")
    parameters["layers.0.W_hh"][...] = 0
    found = effective_context(config, parameters, text(3_000))
    assert found is not None
    assert found.chars == 1
    assert effective_context(config, parameters, text(63)) is None
    parameters["W_hy"][...] = np.nan
    assert effective_context(config, parameters, text(3_000)) is None


def test_lengths_of_a_model_are_those_of_its_parts() -> None:
    config, parameters = random_network("gru")
    ids = text(5_000)
    profile = gradient_profile(config, parameters, ids, lags=50, windows=20)
    found = measure_lengths(
        profile,
        config,
        parameters,
        ids,
        trained=True,
        text=dependence(ids),
        seq_length=16,
    )
    assert found.reach_chars == profile.main_states[0].horizon_chars
    assert found.used == effective_context(config, parameters, ids)
    assert found.text is not None
    assert found.text.detected_chars == 0
    assert (found.max_lag, found.seq_length, found.gap_chars) == (50, 16, None)
    assert dependence(ids[:999]) is None
    fresh = measure_lengths(profile, config, parameters, ids, trained=False, text=None)
    assert fresh.used is None
    assert fresh.used_chars is None


def test_the_gap_of_pairs_is_the_median_distance_to_the_first_prediction() -> None:
    pairs = [Pair("ab", "x", ""), Pair("abcd", "y", ""), Pair("abcdef", "x", "")]
    symbols = vocabulary_of_pairs("many-to-one", [pair[:2] for pair in pairs])
    examples = build_examples(symbols, pairs)
    config = ModelConfig(symbols.inputs, symbols.outputs, "rnn", 4)
    parameters = initialise(config, np.random.default_rng(0))
    profile = data_profile(examples, config, parameters, lags=3, windows=4, seed=0)
    found = measure_lengths(
        profile,
        config,
        parameters,
        examples.inputs,
        trained=True,
        text=None,
        examples=examples,
    )
    assert found.gap_chars == 3  # of 1, 3 and 5
    assert found.used is None
