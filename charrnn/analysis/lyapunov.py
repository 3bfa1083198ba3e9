"""Lyapunov exponents: the rate at which nearly equal states diverge or converge on a text."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from charrnn.analysis.gradient_profile import finite_numbers, nonfinite_names
from charrnn.analysis.jacobians import pull_back, sample_windows
from charrnn.analysis.layer_backprop import LayerBackprop, forward_layers
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network
from charrnn.nn.parameters import Parameters
from charrnn.types import Array, Ids

TRANSIENT = 50
"""Steps that are not counted: a random direction first turns into the one that grows fastest."""


@dataclass(frozen=True)
class Lyapunov:
    """The first Lyapunov exponents of the whole network along a text, the largest first.

    Above 0 a small difference between two states grows: chaos, and exploding gradients.
    """

    nats_per_char: tuple[float | None, ...]
    """The exponents; None if not finite."""
    standard_error: tuple[float | None, ...]
    """Standard error of each over windows; None if there is only one window."""
    windows: int
    """Number of windows."""
    characters: int
    """Steps of each window that were counted."""


def lyapunov(
    config: ModelConfig,
    parameters: Parameters,
    ids: Ids,
    *,
    exponents: int = 1,
    lags: int = 200,
    windows: int = 16,
    seed: int = 0,
) -> Lyapunov | None:
    """Measure the first Lyapunov exponents; None if a weight is not finite.

    For RNNs: Vogt et al. 2020, arXiv 2006.14123; Engelken et al. 2020, arXiv 2006.02427. Directions
    are multiplied by Jᵀ, backwards in time; Jᵀ has the singular values, and so the exponents, of J.

    Args:
        config: the network.
        parameters: its weights; they are not changed.
        ids: the text (N,), at least three characters.
        exponents: number of exponents.
        lags: steps of a window; fewer for a short text.
        windows: number of windows; fewer for a short text.
        seed: chooses windows and first directions.
    """
    if nonfinite_names(parameters):
        return None
    parameters = parameters.astype(np.float64)
    K, texts, states = sample_windows(config, parameters, ids, lags, windows, seed)
    W = texts.shape[1]
    network = Network(config, parameters, K, W * exponents, parameters.like())
    network.load_states(
        {name: np.repeat(state, exponents, axis=0) for name, state in states.items()}
    )
    with np.errstate(over="ignore"):
        forward_layers(network, np.repeat(texts, exponents, axis=1))
    backprop = LayerBackprop(network.layers)
    S = config.layers * len(CELLS[config.cell].states) * config.hidden
    draws = np.random.default_rng(seed).standard_normal((W, S, exponents))

    def step(t: int) -> Callable[[Array], Array]:
        def through(Q: Array) -> Array:
            rows = Q.transpose(0, 2, 1).reshape(-1, S)
            pulled, scale = pull_back(backprop, rows, np.zeros(len(rows)), t)
            return (pulled * np.exp2(scale)[:, None]).reshape(W, exponents, S).transpose(0, 2, 1)

        return through

    drop = min(TRANSIENT, K // 4)
    found = benettin((step(t) for t in reversed(range(K))), draws, drop)  # (W, exponents)
    with np.errstate(invalid="ignore"):  # −inf, where a direction is lost at once
        error = found.std(axis=0, ddof=1) / math.sqrt(W) if W > 1 else np.full(exponents, np.nan)
    return Lyapunov(finite_numbers(found.mean(axis=0)), finite_numbers(error), W, K - drop)


def benettin(steps: Iterable[Callable[[Array], Array]], Q: Array, drop: int = 0) -> Array:
    """Apply linear maps to Q (…, S, m), orthonormalised by QR after each.

    Benettin, Galgani, Giorgilli & Strelcyn 1980, Meccanica 15. Returns the mean over steps of
    ln |R_ii|, (…, m). The first `drop` steps are not counted: they turn Q into the directions that
    grow fastest.
    """
    Q = np.linalg.qr(Q).Q
    total, count = np.zeros(Q.shape[:-2] + Q.shape[-1:]), 0
    for number, step in enumerate(steps):
        Q, R = np.linalg.qr(step(Q))
        if number >= drop:
            with np.errstate(divide="ignore"):
                total += np.log(np.abs(np.diagonal(R, axis1=-2, axis2=-1)))
            count += 1
    return total / max(1, count)
