"""What most tests need: random numbers, every cell by name, and small networks in float64."""

import faulthandler
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import DTypeLike
from threadpoolctl import threadpool_limits

from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network
from charrnn.nn.parameters import Parameters

settings.register_profile("charrnn", deadline=None)  # a busy machine is no counter-example
settings.load_profile("charrnn")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let tests that are long by design take longer than `faulthandler_timeout`."""
    if any(item.iter_markers("slow")) or any(item.iter_markers("reliability")):
        faulthandler.cancel_dump_traceback_later()


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Keep BLAS to one thread: on matrices this small a second one only waits for the first."""
    with threadpool_limits(1, user_api="blas"):
        yield


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
        for state in network.states().values():
            state[...] = rng.normal(0, size, state.shape)
        return network

    return make
