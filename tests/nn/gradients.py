"""Gradients of a network, and how far they are from what is expected."""

from typing import Any, Protocol

import numpy as np

from charrnn.nn.network import Network
from charrnn.nn.parameters import Parameters


class Problem(Protocol):
    """One batch, and the loss of it as a function of the weights."""

    targets: Any
    weights: Any

    def loss(self, network: Network) -> Any:
        """Return Σ weights · nats after `forward` and `loss` of the network."""


def gradients_of(network: Network, problem: Problem) -> Parameters:
    """Return a copy of all gradients; each must be overwritten, in two batches as in one."""
    assert network.gradients is not None
    for _ in range(2):
        problem.loss(network)
        network.gradients.vector.fill(np.nan)
        network.backward(problem.targets, problem.weights)
    return network.gradients.like(network.gradients.vector.copy())


def assert_same(gradients: Parameters, expected: Parameters, tolerance: float) -> None:
    """Compare array by array, relative to the largest number of each, which is not zero."""
    for name, gradient in gradients.items():
        largest = np.abs(expected[name]).max()
        assert largest > 1e-6, f"{name} has no gradient, which proves nothing"
        error = np.abs(gradient - expected[name]).max() / largest
        assert error <= tolerance, f"{name} is off by {error:.1e}"
