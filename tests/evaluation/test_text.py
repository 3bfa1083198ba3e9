"""Loss of a text: one stream equals a loop over characters, parallel sequences are close to it."""

import math
from itertools import pairwise

import numpy as np
import pytest

from charrnn.errors import TextError
from charrnn.evaluation.text import (
    MIN_PART,
    SEQ_LENGTH,
    Score,
    evaluate,
    one_stream_loss,
    stream_loss,
)
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network, initialise
from charrnn.nn.parameters import Parameters

V = 5


def naive(config: ModelConfig, parameters: Parameters, ids: np.ndarray) -> float:
    """Read character after character from the zero state; return the mean nats."""
    network = Network(config, parameters, 1, 1)
    nats = []
    for before, after in pairwise(ids):
        logits = network.forward(np.full((1, 1), before))[0, 0]
        network.carry_state()
        nats.append(math.log(sum(math.exp(y) for y in logits)) - logits[after])
    return float(np.mean(nats))


def small(cell: str, size: float = 0.5) -> tuple[ModelConfig, Parameters]:
    config = ModelConfig(V, V, cell=cell, hidden=4, layers=2, input_gain=size)
    parameters = initialise(config, np.random.default_rng(1), np.float64)
    parameters["W_hy"][...] *= 3
    return config, parameters


@pytest.mark.parametrize(
    "N", [2, 3, SEQ_LENGTH, SEQ_LENGTH + 1, SEQ_LENGTH + 2, 3 * SEQ_LENGTH - 7]
)
def test_one_stream_is_read_as_a_loop_would(rng: np.random.Generator, cell: str, N: int) -> None:
    config, parameters = small(cell)
    ids = rng.integers(V, size=N).astype(np.uint8)
    assert evaluate(config, parameters, ids) == pytest.approx(
        naive(config, parameters, ids), rel=1e-12
    )


def test_parallel_sequences_agree_with_one_stream(rng: np.random.Generator, cell: str) -> None:
    config, parameters = small(cell)
    N = 3 * MIN_PART + 321
    ids = ((np.arange(N) // 3) % V + rng.integers(2, size=N)) % V
    one = evaluate(config, parameters, ids)
    for batch_size in (3, 1000):
        found = stream_loss(config, parameters, ids, batch_size)
        assert found is not None
        assert found.is_one_stream
        assert found.nats_per_char == pytest.approx(one, rel=1e-8)


def test_parallel_sequences_go_on_from_the_state_before_and_not_from_zero() -> None:
    """A network whose state grows by one third each time the first symbol is read."""
    config = ModelConfig(V, V, cell="rnn", hidden=1)
    parameters = Parameters(config.shapes(), np.float64)
    parameters["layers.0.W_xh"][0, 0] = 1
    parameters["layers.0.W_hh"][...] = 0.9
    parameters["W_hy"][0] = [5, 0, 0, 0, 0]
    ids = np.ones(4 * MIN_PART, np.uint8)
    for begin in range(MIN_PART - 40, len(ids), MIN_PART):
        ids[begin : begin + 30] = 0
    one, many = evaluate(config, parameters, ids), evaluate(config, parameters, ids, 4)
    assert many == pytest.approx(one, rel=1e-8)


def remembering() -> tuple[ModelConfig, Parameters]:
    """Return a network that never forgets whether the first symbol of the text was a zero."""
    config = ModelConfig(V, V, cell="rnn", hidden=1)
    parameters = Parameters(config.shapes(), np.float64)
    parameters["layers.0.W_xh"][0, 0] = 3
    parameters["layers.0.W_hh"][...] = 3
    parameters["W_hy"][0, 0] = 2
    return config, parameters


def test_a_network_that_forgets_nothing_is_read_as_one_sequence() -> None:
    config, parameters = remembering()
    ids = np.ones(4 * MIN_PART, np.uint8)
    ids[0] = 0
    found = stream_loss(config, parameters, ids, 4)
    assert found is not None
    assert not found.is_one_stream
    for limit in (len(ids), 3_000):
        scored = one_stream_loss(config, parameters, ids, limit)
        assert scored is not None
        assert scored[0] == pytest.approx(naive(config, parameters, ids[:limit]), rel=1e-8)
        assert scored[1] == limit


def test_the_first_of_parallel_sequences_begins_from_the_state_given(cell: str) -> None:
    config, parameters = small(cell, size=2.0)
    ids = np.random.default_rng(3).integers(V, size=3 * MIN_PART)
    network = Network(config, parameters, 1, 1)
    state = {name: np.full_like(rows, 0.9) for name, rows in network.states().items()}
    one = evaluate(config, parameters, ids, state=state)
    many = evaluate(config, parameters, ids, 3, state=state)
    assert many == pytest.approx(one, rel=1e-8)
    assert many != pytest.approx(evaluate(config, parameters, ids, 3), rel=1e-8)


def test_every_character_is_scored_once_whatever_the_batch_size(cell: str) -> None:
    """A model without memory has the same loss for every batch size."""
    config = ModelConfig(V, V, cell=cell, hidden=2)
    parameters = Parameters(config.shapes(), np.float64)
    parameters["b_y"][...] = [0, 1, 2, 3, 4]
    for N in (MIN_PART * 3 + 1, MIN_PART * 3 + 2, MIN_PART * 4 + 777):
        ids = np.random.default_rng(N).integers(V, size=N)
        odds = parameters["b_y"] - math.log(np.exp(parameters["b_y"]).sum())
        expected = -odds[ids[1:]].mean()
        for batch_size in (1, 2, 32):
            assert evaluate(config, parameters, ids, batch_size) == pytest.approx(
                expected, rel=1e-12
            )


def test_a_uniform_guess_costs_the_logarithm_of_the_vocabulary(cell: str) -> None:
    config = ModelConfig(V, V, cell=cell, hidden=3)
    parameters = Parameters(config.shapes())
    assert evaluate(config, parameters, np.arange(V)) == pytest.approx(math.log(V), rel=1e-6)


def test_evaluating_changes_no_weight_and_ignores_dropout(rng: np.random.Generator) -> None:
    ids = rng.integers(V, size=300)
    plain = ModelConfig(V, V, hidden=4)
    parameters = initialise(plain, rng)
    before = parameters.vector.copy()
    nats = evaluate(plain, parameters, ids)
    dropped = ModelConfig(V, V, hidden=4, dropout=0.9)
    assert evaluate(dropped, parameters, ids) == nats
    np.testing.assert_array_equal(parameters.vector, before)


def test_it_stops_when_told_and_says_so(rng: np.random.Generator) -> None:
    config, parameters = small("rnn")
    ids = rng.integers(V, size=10 * SEQ_LENGTH)
    asked: list[None] = []

    def stop() -> bool:
        asked.append(None)
        return len(asked) == 3

    assert evaluate(config, parameters, ids, stop=stop) is None
    assert len(asked) == 3
    assert evaluate(config, parameters, ids, stop=lambda: False) is not None


@pytest.mark.parametrize("N", [0, 1])
def test_a_text_with_nothing_to_predict_is_refused(N: int) -> None:
    config, parameters = small("rnn")
    with pytest.raises(TextError, match=f"{N} characters leave nothing to predict; try a longer"):
        evaluate(config, parameters, np.zeros(N, np.uint8))


@pytest.mark.parametrize("batch_size", [0, -3])
def test_a_senseless_batch_size_is_one(rng: np.random.Generator, batch_size: int) -> None:
    config, parameters = small("rnn")
    ids = rng.integers(V, size=50)
    assert evaluate(config, parameters, ids, batch_size) == evaluate(config, parameters, ids)


def test_a_score_has_three_units() -> None:
    score = Score(nats_per_char=math.log(4), characters=10)
    assert score.bits_per_char == pytest.approx(2)
    assert score.perplexity == pytest.approx(4)
    assert math.isfinite(Score(1e6, 10).perplexity)
