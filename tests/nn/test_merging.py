"""Merged networks give the mean logits of their parts, for all cells and layouts."""

import numpy as np
import pytest

from charrnn.errors import UsageError
from charrnn.nn.cells import CELLS
from charrnn.nn.merging import merge
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network, initialise
from charrnn.nn.parameters import Parameters

T, B = 7, 3


def networks(config: ModelConfig, count: int) -> list[Parameters]:
    found = []
    for seed in range(count):
        one = initialise(config, np.random.default_rng(seed), np.float64)
        one.vector += 0.1 * np.random.default_rng(100 + seed).standard_normal(one.vector.size)
        found.append(one)
    return found


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("use", [None, "each", "last", "context"])
@pytest.mark.parametrize("count", [1, 3])
def test_logits_and_states_are_those_of_the_parts(
    cell: str, layers: int, use: str | None, count: int
) -> None:
    config = ModelConfig(6, 4, cell=cell, hidden=5, layers=layers, bidirectional=use)
    parts = networks(config, count)
    merged, parameters = merge(config, parts)
    assert merged.hidden == 5 * count
    ids = np.random.default_rng(3).integers(0, 6, (T, B))
    lengths = np.array([T, 3, 5])
    alone = [Network(config, one, T, B) for one in parts]
    together = Network(merged, parameters, T, B)
    mean = np.mean([one.forward(ids, lengths=lengths) for one in alone], axis=0)
    assert np.abs(mean).max() > 0.02
    np.testing.assert_allclose(together.forward(ids, lengths=lengths), mean, atol=1e-12)
    states = [one.states_at(lengths) for one in alone]
    for name, state in together.states_at(lengths).items():
        expected = np.concatenate([own[name] for own in states], axis=-1)
        np.testing.assert_allclose(state, expected, atol=1e-12)


def test_networks_of_other_shapes_and_none_are_refused() -> None:
    config = ModelConfig(6, 4, hidden=5)
    other = networks(ModelConfig(6, 4, hidden=6), 1)
    with pytest.raises(UsageError, match="different shapes"):
        merge(config, [*networks(config, 1), *other])
    with pytest.raises(UsageError, match="no network"):
        merge(config, [])
