"""Surprisals equal a loop over characters, in a stream and in windows, and average to the loss."""

import math

import numpy as np
import pytest

from charrnn.errors import TextError
from charrnn.evaluation.surprisal import mean_surprisal, surprisals
from charrnn.evaluation.text import SEQ_LENGTH, evaluate
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network, initialise
from charrnn.nn.parameters import Parameters

V, N = 5, 2 * SEQ_LENGTH + 9


def small(cell: str) -> tuple[ModelConfig, Parameters]:
    config = ModelConfig(V, V, cell=cell, hidden=4, layers=2)
    parameters = initialise(config, np.random.default_rng(1), np.float64)
    parameters["W_hy"][...] *= 3
    return config, parameters


def plain(
    config: ModelConfig, parameters: Parameters, ids: np.ndarray, window: int
) -> list[list[float]]:
    """Return the probabilities of every prediction, character after character."""
    network = Network(config, parameters, 1, 1)
    found = []
    for place, before in enumerate(ids[:-1]):
        if place % window == 0:
            network.reset_state()
        logits = [float(y) for y in network.forward(np.full((1, 1), before))[0, 0]]
        network.carry_state()
        total = sum(math.exp(y) for y in logits)
        found.append([math.exp(y) / total for y in logits])
    return found


@pytest.mark.parametrize("window", [None, 1, 7, SEQ_LENGTH, SEQ_LENGTH + 5, 10 * N])
def test_surprisals_equal_a_loop_over_characters(
    rng: np.random.Generator, cell: str, window: int | None
) -> None:
    config, parameters = small(cell)
    ids = rng.integers(V, size=N).astype(np.uint8)
    p = plain(config, parameters, ids, window or N)
    chunks = list(surprisals(config, parameters, ids, 3, window))
    nats = np.concatenate([chunk.nats for chunk in chunks])
    assert max(len(chunk.nats) for chunk in chunks) <= SEQ_LENGTH
    assert [c.begin for c in chunks] == [
        1 + sum(len(c.nats) for c in chunks[:i]) for i in range(len(chunks))
    ]
    expected = [-math.log(row[i]) for row, i in zip(p, ids[1:], strict=True)]
    np.testing.assert_allclose(nats, expected, rtol=1e-10)
    best = [sorted(range(V), key=row.__getitem__, reverse=True)[:3] for row in p]
    np.testing.assert_array_equal(np.concatenate([c.likeliest for c in chunks]), best)
    np.testing.assert_allclose(
        np.concatenate([c.probabilities for c in chunks]),
        [[row[i] for i in order] for row, order in zip(p, best, strict=True)],
        rtol=1e-10,
    )
    assert mean_surprisal(config, parameters, ids, window) == pytest.approx(
        float(np.mean(expected)), rel=1e-10
    )


def test_the_mean_equals_the_loss(rng: np.random.Generator, cell: str) -> None:
    config, parameters = small(cell)
    ids = rng.integers(V, size=N)
    loss = evaluate(config, parameters, ids)
    assert mean_surprisal(config, parameters, ids) == pytest.approx(loss, rel=1e-12)
    assert mean_surprisal(config, parameters, ids, 2) != pytest.approx(loss, rel=1e-6)


def test_arguments_out_of_range_are_refused() -> None:
    config, parameters = small("rnn")
    with pytest.raises(TextError, match="1 characters leave nothing"):
        next(surprisals(config, parameters, np.zeros(1, int)))
    with pytest.raises(ValueError, match="window 0"):
        next(surprisals(config, parameters, np.zeros(3, int), window=0))
