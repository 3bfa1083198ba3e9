"""What most tests need: random numbers, every cell by name, and small networks in float64."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import DTypeLike

from charrnn.cells import CELLS
from charrnn.network import ModelConfig, Network
from charrnn.parameters import Parameters


@pytest.fixture
def rng() -> np.random.Generator:
    """Return random numbers that are the same in every run of a test."""
    return np.random.default_rng(42)


@pytest.fixture(params=list(CELLS))
def cell(request: pytest.FixtureRequest) -> str:
    """Return the name of each cell of the registry in turn."""
    return str(request.param)


@pytest.fixture
def build(rng: np.random.Generator) -> Callable[..., Network]:
    """Return a maker of networks whose weights, biases and carried states are all random."""

    def make(
        config: ModelConfig, T: int, B: int, dtype: DTypeLike = np.float64, size: float = 0.5
    ) -> Network:
        parameters = Parameters(config.shapes(), dtype)
        parameters.vector[...] = rng.normal(0, size, parameters.vector.shape)
        network = Network(config, parameters, T, B, parameters.like())
        for _, state in network.states():
            state[...] = rng.normal(0, size, state.shape)
        return network

    return make
