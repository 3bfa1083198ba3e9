"""Gradients of bidirectional models towards both ends, against derivatives of the plain formula."""

import math

import numpy as np
import pytest

from charrnn.analysis.bidirectional_profile import NOT_MEASURED, lags_within
from charrnn.analysis.context import influence
from charrnn.analysis.diagnosis import diagnose
from charrnn.analysis.memory_lengths import measure_lengths
from charrnn.analysis.pair_gradient_profile import pair_gradient_profile
from charrnn.data.layouts import LAYOUTS, vocabulary_of_pairs
from charrnn.data.pair_batches import Examples
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network, initialise
from charrnn.nn.parameters import Parameters
from charrnn.types import Array

LAYOUT_NAMES = [name for name, one in LAYOUTS.items() if one.backward_use]
ANSWERS = {"many-to-one": "y", "many-to-many": "yx", "synced": "xyxyxyx"}
TEXT = "abcabba"

layout_names = pytest.mark.parametrize("layout", LAYOUT_NAMES)
layers = pytest.mark.parametrize("layers", [1, 2])


def model(layout: str, cell: str, layers: int) -> tuple[ModelConfig, Parameters, Examples]:
    """Return a random model, and one example of its layout."""
    pairs = [(TEXT, ANSWERS[layout]), ("c" * len(TEXT), "x" * len(ANSWERS[layout]))]
    pairing = vocabulary_of_pairs(layout, pairs)
    config = ModelConfig(
        pairing.inputs,
        pairing.outputs,
        cell=cell,
        hidden=5,
        layers=layers,
        bidirectional=LAYOUTS[layout].backward_use,
    )
    parameters = initialise(config, np.random.default_rng(4), np.float64)
    examples = Examples.of([pairing.example(*pairs[0])], pairing.inputs, pairing.outputs)
    return config, parameters, examples


def norms_by_injection(
    config: ModelConfig, parameters: Parameters, examples: Examples, target: int, K: int
) -> Array:
    """Return ‖∂ℓ/∂h‖ (K + 1, 2) of both cells of the one layer, by central differences.

    A cell whose h is changed at one step is run on from there: the state in that slot is shifted,
    and earlier steps stay as they were.
    """
    T = int(examples.lengths[0])
    inputs, answers, _ = examples.padded(np.array([0]), T)
    lengths = config.read_lengths(examples.lengths, examples.first_targets)
    n = int(lengths[0])
    taken = target if config.bidirectional == "each" else 0

    kind = CELLS[config.cell]

    def loss(shifted: int, slot: int, change: Array) -> float:
        class Shifted(kind):  # type: ignore[valid-type,misc]  # of a class not known here
            """Cell whose output h is shifted after one step."""

            made = 0

            def __init__(self, *arguments: object) -> None:
                super().__init__(*arguments)
                self.which = Shifted.made
                Shifted.made += 1

            def step(self, t: int) -> None:
                super().step(t)
                if self.which == shifted and t == slot:
                    self.h[t + 1] += change

        network = Network(config, parameters, T, 1, cells={config.cell: Shifted})
        network.forward(inputs, lengths=lengths)
        return float(network.loss(answers)[target, 0])

    found = np.zeros((K + 1, 2))
    for lag in range(K + 1):
        for cell, slot in enumerate((target - lag, n - 1 - taken - lag)):
            changes = 1e-5 * np.eye(config.hidden)
            gradient = [(loss(cell, slot, one) - loss(cell, slot, -one)) / 2e-5 for one in changes]
            found[lag, cell] = np.linalg.norm(gradient)
    return found


@layout_names
@pytest.mark.parametrize("cell", ["rnn", "gru"])
def test_both_profiles_are_derivatives_by_the_states(layout: str, cell: str) -> None:
    """Of cells whose only state is h, which can be shifted by itself."""
    config, parameters, examples = model(layout, cell, 1)
    profile = pair_gradient_profile(config, parameters, examples, lags=9, windows=1, seed=1)
    scored = np.flatnonzero(examples.target_mask)
    target = int(np.random.default_rng(1).choice(scored))
    assert profile.lags == lags_within(config, examples, np.array([target]))[0] >= 1
    expected = norms_by_injection(config, parameters, examples, target, profile.lags)
    assert [line.state for line in profile.lines] == ["h", "h_reverse"]
    for line, norms in zip(profile.lines, expected.T, strict=True):
        np.testing.assert_allclose(np.array(line.ratio, float), norms / norms[0], rtol=1e-5)
        assert line.log_norm_at_0 == pytest.approx(math.log(norms[0]), rel=1e-5)


@layout_names
@layers
def test_every_cell_has_its_profiles(layout: str, layers: int) -> None:
    config, parameters, examples = model(layout, "lstm", layers)
    before = parameters.vector.copy()
    profile = pair_gradient_profile(config, parameters, examples, lags=9, windows=1)
    np.testing.assert_array_equal(parameters.vector, before)
    states = ["c", "h", "c_reverse", "h_reverse"]
    assert [(one.layer, one.state) for one in profile.lines] == [
        (layer, state) for layer in range(layers) for state in states
    ]
    assert [one.state for one in profile.main_states] == ["c", "c_reverse"] * layers
    assert NOT_MEASURED in profile.notes
    assert all(one.ratio[0] == 1 and one.finite and not one.zero for one in profile.lines)


@layout_names
@layers
def test_the_influence_of_a_character_is_the_derivative_of_the_logit(
    layout: str, layers: int, cell: str
) -> None:
    config, parameters, examples = model(layout, cell, layers)
    lengths = config.read_lengths(examples.lengths, examples.first_targets)
    n = int(lengths[0]) + (config.bidirectional == "context")
    ids = examples.inputs[:n]
    found = influence(config, parameters, ids)
    network = Network(config, parameters, n, 1)

    def logit(one_hot: Array) -> float:
        network.reset_state()
        return float(network.forward(one_hot[:, None], lengths=lengths)[-1, 0, found.target])

    x = np.eye(config.inputs)[ids]
    for t in range(n):
        gradient = np.zeros(config.inputs)
        for symbol in range(config.inputs):
            change = np.zeros_like(x)
            change[t, symbol] = 1e-5
            gradient[symbol] = (logit(x + change) - logit(x - change)) / 2e-5
        log_norm = found.log_norms[t]
        assert log_norm is not None
        assert log_norm == pytest.approx(math.log(np.linalg.norm(gradient)), abs=1e-5)
    assert found.probability is not None
    assert 0 < found.probability < 1


@pytest.mark.parametrize(("layout", "gap"), [("many-to-one", 3), ("many-to-many", 4)])
def test_half_of_an_input_is_to_be_reached_from_each_end(layout: str, gap: int) -> None:
    config, parameters, examples = model(layout, "lstm", 1)
    profile = pair_gradient_profile(config, parameters, examples, lags=9, windows=1)
    lengths = measure_lengths(
        profile, config, parameters, examples.inputs, trained=True, text=None, examples=examples
    )
    assert lengths.gap_chars == gap
    verdict = diagnose(profile, config, trained=True, lengths=lengths)
    if verdict.kind in ("short", "sufficient"):
        assert f"the middle of an input is {gap} characters from both ends" in verdict.sentence
