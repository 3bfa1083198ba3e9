"""Single-sequence steps give the logits of the network, and samples the same text."""

from collections.abc import Callable
from itertools import islice

import numpy as np
import pytest

from charrnn.inference.fast_step import (
    FAST_STEPS,
    FastStep,
    NetworkStep,
    SingleStep,
    single_step,
)
from charrnn.inference.sampling import MAX_SAFE_LOGIT, Sampling, draw, generate, probabilities
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network
from charrnn.nn.parameters import Parameters

V, H = 11, 9


def model(cell: str, layers: int, size: float = 0.7) -> tuple[ModelConfig, Parameters]:
    config = ModelConfig(V, V, cell=cell, hidden=H, layers=layers)
    parameters = Parameters(config.shapes(), np.float64)
    parameters.vector[...] = np.random.default_rng(2).normal(0, size, parameters.vector.shape)
    return config, parameters


def test_cells_of_this_package_have_a_fast_form_and_others_fall_back() -> None:
    assert set(FAST_STEPS) <= set(CELLS.values())
    for name, cell in CELLS.items():
        config, parameters = model(name, 1)
        step = single_step(config, parameters, Network(config, parameters, 1, 1).states())
        assert type(step) is (FastStep if cell in FAST_STEPS else NetworkStep)


@pytest.mark.parametrize("kind", [single_step, NetworkStep])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_single_steps_equal_the_network(
    cell: str,
    layers: int,
    temperature: float,
    kind: Callable[..., SingleStep],
    rng: np.random.Generator,
) -> None:
    config, parameters = model(cell, layers)
    network = Network(config, parameters, 1, 1)
    for state in network.states().values():
        state[...] = rng.uniform(-0.9, 0.9, state.shape)
    stream = kind(config, parameters, network.states(), temperature)
    read = stream.logits_function()
    for id_ in rng.integers(V, size=50):
        expected = network.forward(np.array([[id_]]))[0, 0] / temperature
        network.carry_state()
        found = read(int(id_))
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
        assert np.abs(found).max() <= stream.max_logit


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0.8},
        {"temperature": 1.3, "top_k": 4},
        {"temperature": 0.7, "top_p": 0.6},
        {"temperature": 0.0},
        {"temperature": 1e-3},
    ],
)
@pytest.mark.parametrize("size", [0.7, 40.0])
def test_a_single_sample_is_what_the_plain_loop_draws(
    cell: str, settings: dict[str, float], size: float
) -> None:
    config, parameters = model(cell, 2, size)
    sampling = Sampling(seed=4, **settings)  # type: ignore[arg-type]  # top_k is a whole number
    stream = single_step(config, parameters, Network(config, parameters, 1, 1).states())
    if isinstance(stream, FastStep):
        assert (stream.max_logit < MAX_SAFE_LOGIT) == (size < 1)
    prime = np.array([3, 1, 4])
    found = [int(ids[0]) for ids in islice(generate(config, parameters, prime, sampling), 200)]
    many = generate(config, parameters, prime, sampling, 2)
    assert found == [int(ids[0]) for ids in islice(many, 200)]
    network = Network(config, parameters, 1, 1)
    for id_ in [*prime, *found[:20]]:
        logits = network.forward(np.array([[id_]]))[0]
        network.carry_state()
    assert int(draw(probabilities(logits, sampling), np.array([1.0]))[0]) in range(V)
