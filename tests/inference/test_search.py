"""Beam search against a search by lists, written from its definition."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charrnn.data.layouts import PairVocabulary
from charrnn.inference.predictor import Answer, Predictor
from charrnn.inference.search import largest_first
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network, initialise
from charrnn.nn.ops import log_softmax

WORDS = ["abc", "a", "cba", "bb", "ccab", "acb", "ab"]


def model_of(seed: int, end_bias: float) -> Predictor:
    pairing = PairVocabulary("many-to-many", ("a", "b", "c"), ("x", "y", "z"), longest=2)
    config = ModelConfig(pairing.inputs, pairing.outputs, cell="gru", hidden=4)
    rng = np.random.default_rng(seed)
    parameters = initialise(config, rng, np.float64)
    parameters.vector[...] = rng.normal(0, 1, parameters.vector.shape)
    parameters["b_y"][pairing.end_id] += end_bias
    return Predictor(config, parameters, pairing)


def following(model: Predictor, field: str, written: list[int]) -> list[float]:
    """Return ln p of each symbol after what is written, read from the beginning."""
    ids = [*model.prompt(field), *model.pairing.fed_back(np.array(written, np.int64))]
    logits = Network(model.config, model.parameters, len(ids), 1).forward(np.array(ids)[:, None])
    found: list[float] = log_softmax(logits[-1, 0], np.empty(logits.shape[-1])).tolist()
    return found


def by_lists(model: Predictor, field: str, beam: int) -> Answer:
    """Keep the `beam` best hypotheses until all have ended."""
    end = model.pairing.end_id
    hypotheses: list[tuple[float, list[int]]] = [(0.0, [])]
    for _ in range(model.limit):
        longer = []
        for score, written in hypotheses:
            if written[-1:] == [end]:
                longer.append((score, written))
                continue
            for symbol, log_p in enumerate(following(model, field, written)):
                longer.append((score + log_p, [*written, symbol]))
        hypotheses = sorted(longer, key=lambda one: -one[0])[:beam]
        if all(written[-1] == end for _, written in hypotheses):
            break
    score, written = hypotheses[0]
    return Answer(model.pairing.decode(written), math.exp(score))


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), beam=st.integers(1, 6), end_bias=st.floats(-2, 3))
def test_the_search_finds_what_one_by_lists_finds(seed: int, beam: int, end_bias: float) -> None:
    model = model_of(seed, end_bias)
    for field, found in zip(WORDS, model.answer(WORDS, beam), strict=True):
        expected = by_lists(model, field, beam)
        assert found.text == expected.text
        assert found.probability == pytest.approx(expected.probability, rel=1e-9)


@given(
    st.integers(1, 6).flatmap(
        lambda width: st.tuples(
            st.lists(st.lists(st.integers(0, 4), min_size=width, max_size=width), min_size=1),
            st.integers(1, width),
        )
    )
)
def test_the_largest_come_first(
    case: tuple[list[list[int]], int],
) -> None:
    values, count = case
    expected = [sorted(range(len(row)), key=lambda at: -row[at])[:count] for row in values]
    found = np.take_along_axis(np.array(values), largest_first(np.array(values), count), 1)
    for row, places, got in zip(values, expected, found.tolist(), strict=True):
        assert got == [row[place] for place in places]
