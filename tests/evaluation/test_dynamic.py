"""Dynamic evaluation: scores before it updates; at learning rate 0 it is static evaluation."""

import numpy as np
import pytest

from charrnn.errors import TextError, UsageError
from charrnn.evaluation.dynamic import SEGMENT_CHARS, dynamic_evaluate
from charrnn.evaluation.text import evaluate
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from charrnn.nn.parameters import Parameters

V = 6
CONFIG = ModelConfig(V, V, hidden=12, layers=2, dropout=0.5)


@pytest.fixture
def weights() -> Parameters:
    return initialise(CONFIG, np.random.default_rng(3), np.float64)


def text(length: int, seed: int = 0) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(V, size=length).astype(np.uint8)


@pytest.mark.parametrize(
    "length", [2, 10, SEGMENT_CHARS + 1, 3 * SEGMENT_CHARS + 1, 4 * SEGMENT_CHARS]
)
def test_without_learning_it_is_the_static_loss(weights: Parameters, length: int) -> None:
    found = dynamic_evaluate(CONFIG, weights, text(length), rate=0.0, decay=0.0)
    assert found == pytest.approx(evaluate(CONFIG, weights, text(length)), rel=1e-12)


def test_a_character_is_scored_before_it_is_learnt_from(weights: Parameters) -> None:
    """The first segment cannot profit, nor can anything hang on what comes later."""
    first = text(SEGMENT_CHARS + 1)
    static = dynamic_evaluate(CONFIG, weights, first, rate=0.0)
    assert dynamic_evaluate(CONFIG, weights, first, rate=0.01) == static
    sums = []
    for ending in (1, 2):
        whole = np.concatenate([text(3 * SEGMENT_CHARS), text(SEGMENT_CHARS + 1, seed=ending)])
        known = whole[: 3 * SEGMENT_CHARS + 1].copy()
        sums.append(dynamic_evaluate(CONFIG, weights, known, rate=0.01))
    other = np.concatenate([text(3 * SEGMENT_CHARS), text(1, seed=1)])
    assert sums[0] == dynamic_evaluate(CONFIG, weights, other, rate=0.01)


def test_it_learns_what_is_repeated_and_leaves_the_model_alone(weights: Parameters) -> None:
    before = weights.vector.copy()
    repeated = np.tile(text(20), 60)
    static = evaluate(CONFIG, weights, repeated)
    moving = dynamic_evaluate(CONFIG, weights, repeated)
    assert static is not None
    assert moving is not None
    assert moving < static - 0.1
    np.testing.assert_array_equal(weights.vector, before)
    assert moving == dynamic_evaluate(CONFIG, weights, repeated)


def test_full_decay_forgets_everything_but_the_last_segment(weights: Parameters) -> None:
    repeated = np.tile(text(20), 60)
    kept = dynamic_evaluate(CONFIG, weights, repeated, decay=0.0)
    forgotten = dynamic_evaluate(CONFIG, weights, repeated, decay=0.999)
    assert kept is not None
    assert forgotten is not None
    assert kept < forgotten


def test_it_can_be_stopped_and_refuses_nonsense(weights: Parameters) -> None:
    assert dynamic_evaluate(CONFIG, weights, text(100), stop=lambda: True) is None
    with pytest.raises(TextError, match="nothing to predict"):
        dynamic_evaluate(CONFIG, weights, text(1))
    for rate, decay in ((-1, 0), (0, 1), (2, 0)):
        with pytest.raises(UsageError, match="must be from 0"):
            dynamic_evaluate(CONFIG, weights, text(100), rate=rate, decay=decay)
