"""Jacobians of the state over k steps: singular values, condition number and a bound.

    J_k = ∂s_T / ∂s_{T−k}        J[i, j] = ∂s_T[i] / ∂s_{T−k}[j]

The gradient of a loss (`gradient_profile`) is one direction multiplied by J_kᵀ. The largest
singular value of J_k bounds the norm that any direction keeps; a large condition number means that
others keep much less. s is the whole state: `h`, or `h` then `c`, one layer after the other. With
row vectors a linear network has J_k = (W_hhᵀ)ᵏ.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from charrnn.analysis.gradient_profile import nonfinite_names, sample_positions
from charrnn.analysis.layer_backprop import (
    LayerBackprop,
    Logs,
    burn_in_state,
    forward_layers,
    state_gradients,
)
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network
from charrnn.nn.parameters import Parameters
from charrnn.types import Array, Ids

JACOBIAN_LAGS = (1, 2, 5, 10, 20, 50, 100)
MAX_CONDITION = 1e12
"""Above this the smallest singular value is rounding error, and is not reported."""

State: TypeAlias = Mapping[str, Array]


def jacobian(
    config: ModelConfig,
    parameters: Parameters,
    inputs: Ids | Array,
    state: State | None = None,
    layer: int | None = None,
) -> Array:
    """Return the Jacobian ∂s_T/∂s_0 (S, S) over a sequence of inputs.

    Args:
        config: the network.
        parameters: its weights; they are not changed.
        inputs: ids (T,) or vectors (T, D).
        state: the first state, arrays (H,) by the names of `Network.states`; zero by default.
        layer: the Jacobian of this layer alone, its inputs held constant; by default that of all
            layers together.
    """
    J = np.eye(0)
    for J, exponent in jacobians(config, parameters, inputs, state, layer):  # noqa: B007
        pass
    return np.ldexp(J, exponent)


def jacobians(
    config: ModelConfig,
    parameters: Parameters,
    inputs: Ids | Array,
    state: State | None = None,
    layer: int | None = None,
) -> Iterator[tuple[Array, int]]:
    """Yield J_1, J_2 … J_T as (J, e), meaning J · 2ᵉ, which neither underflows nor overflows.

    Takes the arguments of `jacobian`. Each batch row holds the gradient of one unit of s_T, so that
    the rows of the batch are the rows of J.
    """
    parameters = parameters.astype(np.float64)
    path = Network(config, parameters, len(inputs), 1)
    if state is not None:
        path.load_states(state)
    with np.errstate(over="ignore"):
        forward_layers(path, inputs[:, None])
    chosen = range(config.layers) if layer is None else range(layer, layer + 1)
    S = len(chosen) * len(CELLS[config.cell].states) * config.hidden
    wide = Network(config, parameters, 1, S, parameters.like())
    backprop = LayerBackprop([wide.layers[number] for number in chosen])
    rows, exponents = np.eye(S), np.zeros(S)
    for t in reversed(range(len(inputs))):
        for number in chosen:
            _repeat_step(path, wide, number, t, inputs)
        rows, exponents = pull_back(backprop, rows, exponents)
        common = float(exponents.max())
        yield rows * np.exp2(exponents - common)[:, None], int(common)


def _repeat_step(path: Network, wide: Network, number: int, t: int, inputs: Ids | Array) -> None:
    """Repeat step t of a layer of `path` in all batch rows of the layer in `wide`."""
    cell = wide.layers[number]
    for name, history in cell.state_history.items():
        history[0] = path.layers[number].state_history[name][t]
    if number:
        x = path.layers[number - 1].h[t + 1]
        cell.project_inputs(np.broadcast_to(x, (1, cell.B, cell.D)).copy())
    elif inputs.ndim == 1:
        cell.embed_ids(np.full((1, cell.B), inputs[t]))
    else:
        cell.project_inputs(np.broadcast_to(inputs[t], (1, cell.B, cell.D)).copy())
    with np.errstate(over="ignore"):
        cell.step(0)
    cell.begin_backward()


def pull_back(
    backprop: LayerBackprop, rows: Array, exponents: Array, t: int = 0
) -> tuple[Array, Array]:
    """Multiply row vectors by the Jacobian of one step: v · ∂s_{t+1}/∂s_t.

    Args:
        backprop: the layers, after their forward pass.
        rows: v (B, S), all states of all layers in each row.
        exponents: powers of two (B,) that the rows are to be multiplied by.
        t: the step.

    Returns the products and their exponents.
    """
    parts = iter(np.split(rows, _cuts(backprop), axis=1))
    for layer in backprop.layers:
        for gradient in state_gradients(layer):
            gradient[...] = next(parts)
    backprop.exponents[...] = exponents
    backprop.gradient_from_above = None
    backprop.step_back(t)
    common = backprop.exponents.max(axis=0)
    scaled = [
        gradient * np.exp2(own - common)[:, None]
        for layer, own in zip(backprop.layers, backprop.exponents, strict=True)
        for gradient in state_gradients(layer)
    ]
    return np.concatenate(scaled, axis=1), common


def _cuts(backprop: LayerBackprop) -> list[int]:
    """Return the columns at which one state ends and the next begins in a row."""
    widths = [layer.H for layer in backprop.layers for _ in layer.states]
    ends: list[int] = np.cumsum(widths)[:-1].tolist()
    return ends


@dataclass(frozen=True)
class Spectrum:
    """Singular values of J_k of one layer: geometric means over windows, as logarithms."""

    layer: int
    """Number of the layer, from 0 at the input."""
    lag_chars: int
    """k, in characters."""
    log_largest: float | None
    """ln σ_max(J_k); None if not finite."""
    log_smallest: float | None
    """ln σ_min(J_k); None if the condition number is above `MAX_CONDITION`."""
    condition_number: float | None
    """σ_max/σ_min; None if it is above `MAX_CONDITION`."""
    log_bound: float | None
    """ln of a bound of σ_max(J_k), for cells that declare `jacobian_bounds`, otherwise None. For
    the plain RNN it is ∏ max(1 − h²) · σ_max(W_hh) (Pascanu, Mikolov & Bengio 2013, ICML)."""


def spectra(
    config: ModelConfig,
    parameters: Parameters,
    ids: Ids,
    *,
    lags: tuple[int, ...] = JACOBIAN_LAGS,
    windows: int = 2,
    seed: int = 0,
) -> tuple[Spectrum, ...]:
    """Measure the singular values of J_k for every layer; nothing if a weight is not finite.

    Args:
        config: the network.
        parameters: its weights; they are not changed.
        ids: the text (N,), at least three characters.
        lags: values of k, in characters; those longer than a third of the text are left out.
        windows: number of windows to average over.
        seed: chooses where they begin.
    """
    if nonfinite_names(parameters):
        return ()
    parameters = parameters.astype(np.float64)
    K, texts, states = sample_windows(config, parameters, ids, max(lags), windows, seed)
    found = []
    for layer in range(config.layers):
        values: dict[int, list[tuple[float, float, float | None]]] = {}
        for b, text in enumerate(texts.T):
            state = {name: begin[b] for name, begin in states.items()}
            bounds = log_bounds(config, parameters, text, state, layer)
            backprop = jacobians(config, parameters, text, state, layer)
            for k, (J, exponent) in enumerate(backprop, 1):
                if k in lags:
                    bound = None if bounds is None else float(bounds[k - 1])
                    values.setdefault(k, []).append((*log_extremes(J, exponent), bound))
        found += [_spectrum(layer, k, values[k]) for k in lags if k <= K]
    return tuple(found)


def log_extremes(J: Array, exponent: int = 0) -> tuple[float, float]:
    """Return ln of the largest and ln of the smallest singular value of J · 2^exponent."""
    values = np.linalg.svd(J, compute_uv=False)
    with np.errstate(divide="ignore"):
        largest, smallest = np.log(values[[0, -1]]) + exponent * math.log(2)
    return float(largest), float(smallest)


def log_bounds(
    config: ModelConfig, parameters: Parameters, inputs: Ids, state: State, layer: int
) -> Logs | None:
    """Return ln of a bound of σ_max(J_k), for k = 1 … T; None if the cell declares no bound.

    Takes the arguments of `jacobian`. The bound of k steps is the product of the layer's
    `jacobian_bounds` over the last k steps.
    """
    path = Network(config, parameters, len(inputs), 1)
    path.load_states(state)
    with np.errstate(over="ignore"):
        forward_layers(path, inputs[:, None])
    bounds = path.layers[layer].jacobian_bounds()
    if bounds is None:
        return None
    with np.errstate(divide="ignore"):
        logs: Logs = np.cumsum(np.log(bounds)[::-1])
    return logs


def _spectrum(layer: int, k: int, values: list[tuple[float, float, float | None]]) -> Spectrum:
    largest = _mean([value[0] for value in values])
    smallest = _mean([value[1] for value in values])
    bound = _mean([value[2] for value in values])
    if largest is None or smallest is None or largest - smallest > math.log(MAX_CONDITION):
        return Spectrum(layer, k, largest, None, None, bound)
    return Spectrum(layer, k, largest, smallest, math.exp(largest - smallest), bound)


def _mean(values: list[float] | list[float | None]) -> float | None:
    """Return the mean, or None if a value is None or not finite."""
    present = [value for value in values if value is not None and math.isfinite(value)]
    return sum(present) / len(values) if len(present) == len(values) else None


def sample_windows(
    config: ModelConfig, parameters: Parameters, ids: Ids, lags: int, windows: int, seed: int
) -> tuple[int, Ids, dict[str, Array]]:
    """Choose windows of a text and compute the states they begin with.

    Args:
        config: the network.
        parameters: its weights, float64.
        ids: the text (N,), at least three characters.
        lags: characters of a window; fewer for a short text.
        windows: number of windows B; fewer for a short text.
        seed: chooses where they begin.

    Returns K, their characters, ids (K, B), and their first states (B, H) by name, which result
    from a burn-in of K characters.
    """
    places, _ = sample_positions(len(ids), lags, windows, seed, ends=1)
    K = places.K
    text = ids[places.starts + np.arange(2 * K)[:, None]]
    network = Network(config, parameters, 1, len(places.starts))
    with np.errstate(over="ignore"):
        burn_in_state(network, text[:K])
    return K, text[K:], network.states()


@dataclass(frozen=True)
class RecurrentMatrix:
    """Properties of one gate's W_hh.

    A non-normal matrix can increase the norm of a vector for some steps even though its spectral
    radius is below 1.
    """

    layer: int
    """Number of the layer, from 0 at the input."""
    gate: str
    """Letter of the gate in its cell."""
    spectral_radius: float
    """max |λ| over eigenvalues."""
    largest_singular_value: float
    """σ_max."""
    departure_from_normality: float
    """‖W‖_F² − Σ|λ|² (Henrici 1962): zero for a normal matrix, such as an orthogonal one."""


def recurrent_matrices(config: ModelConfig, parameters: Parameters) -> tuple[RecurrentMatrix, ...]:
    """Return the properties of W_hh of every layer and gate whose numbers are finite."""
    found = []
    for layer in range(config.layers):
        matrices = parameters[f"layers.{layer}.W_hh"].astype(np.float64)
        for gate, W in zip(CELLS[config.cell].gates, matrices, strict=True):
            if np.isfinite(W).all():
                sizes = np.abs(np.linalg.eigvals(W))
                departure = max(0.0, float(np.sum(W**2) - np.sum(sizes**2)))
                largest = float(np.linalg.norm(W, 2))
                found.append(RecurrentMatrix(layer, gate, float(sizes.max()), largest, departure))
    return tuple(found)
