"""Gradient profile: how much of the loss at one character reaches the state k characters earlier.

    g_k = ∂ℓ_T / ∂s_{T−k}        R(k) = mean ‖g_k‖ / mean ‖g_0‖        over windows

ℓ_T is the loss at one position alone: the gradient of a sum over positions grows towards the past
even where each of its terms decays (Hochreiter 1991; Bengio et al. 1994; the form for single losses
is that of Aicher, Foti & Fox 2019, UAI). s is h for a plain RNN and a GRU. For an LSTM it is c,
with h = o ⊙ tanh(c) taken as a function of it, so that a constant forget gate f gives exactly fᵏ;
the profile of h is reported as a second state.

All numbers are float64, and the backward steps are those of the cells that training uses. Norms are
kept as logarithms: ×0.1 per character is below the smallest float64 after 324 characters. Neither
the parameters nor the state of any random generator is changed.
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from charrnn.analysis.layer_backprop import (
    ZERO_EXPONENT,
    LayerBackprop,
    Logs,
    burn_in_state,
    forward_layers,
)
from charrnn.analysis.profile_table import profile_html
from charrnn.errors import TextError
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network
from charrnn.nn.ops import cross_entropy, cross_entropy_backward
from charrnn.nn.parameters import Parameters
from charrnn.types import Array, Ids

DEFAULT_LAGS = 200
DEFAULT_WINDOWS = 160
GRADIENT_HORIZON_SHARE = 0.01
"""A character is beyond the horizon if no more than this share of the gradient reaches it."""

MIN_FITTED_LAG = 5
MIN_FITTED_LOG = -50.0
"""The rate is fitted from that lag on, while ln G is above this."""

BATCH_ROWS = 32
"""Windows whose gradients are computed at the same time, as the rows of one batch."""

LOSSES_PER_ROW = 5
LOSS_STRIDE = 50
"""Losses in each row, and the characters between them. They share one forward pass, which takes
more time than the backward steps."""

Numbers: TypeAlias = tuple[float | None, ...]


@dataclass(frozen=True)
class StateProfile:
    """The gradient of one state of one layer by lag k = 0 … K, summarised over windows.

    G(k) is the geometric mean of ‖g_k‖/‖g_0‖: the typical window. A few windows in a thousand, in
    which the gradient grows for some time, decide R(k) at large lags, so that a horizon of R would
    depend on the windows drawn; half-life, horizon and decay rate are therefore those of G. p10 and
    p90 are percentiles over windows. A logarithm of zero or NaN is None.
    """

    layer: int
    """Number of the layer, from 0 at the input."""
    state: str
    """Name of the state in its cell, `h` or `c`; `h_reverse` or `c_reverse` in a cell that reads
    from the end."""
    finite: bool
    """Whether the gradient is finite in every window at every lag."""
    zero: bool
    """No window has a gradient, even at lag 0: the loss does not depend on this state."""
    ratio: Numbers
    """R(k) for k = 0 … K."""
    log_ratio: Numbers
    """ln R(k)."""
    log_geometric: Numbers
    """ln G(k)."""
    log_p10: Numbers
    """ln of the 10th percentile of ‖g_k‖/‖g_0‖ over windows."""
    log_p90: Numbers
    """ln of the 90th percentile."""
    log_norm_at_0: float | None = None
    """ln of the mean ‖g_0‖."""
    half_life_chars: int | None = None
    """The smallest k from which on G stays at ½ or below; None if there is none up to K."""
    horizon_chars: int | None = None
    """The smallest k from which on G stays at 1 % or below; None if there is none up to K."""
    rate_per_char: float | None = None
    """exp of the slope of ln G(k) by least squares; None if it falls too fast to be fitted."""
    rate_r_squared: float | None = None
    """R² of that fit."""

    @property
    def reads_from_end(self) -> bool:
        """Whether the state is that of a cell that reads from the end, so that lags go forward."""
        return self.state.endswith("_reverse")


@dataclass(frozen=True)
class GradientProfile:
    """Gradient profiles of all layers and states, and how they were measured."""

    lags: int
    """K, the largest lag, in characters; fewer than asked for where the data is short."""
    windows: int
    """Number of losses whose gradients were followed."""
    seed: int
    """Seed that chose their positions."""
    nats_per_char: float | None
    """Mean loss at the positions the gradient starts from."""
    lines: tuple[StateProfile, ...]
    """One for each layer, from the first, and state, the one that carries the memory first."""
    nonfinite: tuple[str, ...]
    """Names of parameters that contain NaN or infinity."""
    notes: tuple[str, ...]
    """Sentences for the user about fewer lags or windows than asked for."""

    @property
    def main_states(self) -> tuple[StateProfile, ...]:
        """The profile of each cell's memory: `c` of an LSTM, otherwise `h`."""
        cells = {(line.layer, line.reads_from_end): line for line in reversed(self.lines)}
        return tuple(cells.values())[::-1]

    def _repr_html_(self) -> str:
        """Return the table and the chart of `charrnn inspect-gradients`, for notebooks."""
        return profile_html(self)


def gradient_profile(
    config: ModelConfig,
    parameters: Parameters,
    ids: Ids,
    *,
    lags: int = DEFAULT_LAGS,
    windows: int = DEFAULT_WINDOWS,
    seed: int = 0,
) -> GradientProfile:
    """Measure the gradient profile of a text.

    The loss is taken at `windows` positions. Each has 2 × `lags` characters before it, of which the
    first half is burn-in: it only sets the state.

    Args:
        config: the network.
        parameters: its weights; they are not changed.
        ids: the text (N,), as ids of the model's vocabulary.
        lags: characters to follow the gradient back; fewer for a short text, as the notes say.
        windows: positions of losses; fewer for a short text.
        seed: chooses the positions.

    Raises:
        TextError: the text has fewer than three characters.
    """
    positions, notes = sample_positions(len(ids), lags, windows, seed)
    parameters = parameters.astype(np.float64)
    with np.errstate(all="ignore"):  # numbers that are not finite are reported instead
        parts = [
            _measure_rows(config, parameters, ids, positions, slice(first, first + BATCH_ROWS))
            for first in range(0, len(positions.starts), BATCH_ROWS)
        ]
        nats = np.concatenate([part[0] for part in parts])[:windows]
        logs = np.concatenate([part[1] for part in parts], axis=2)[..., :windows]
    return summarise(config, parameters, nats, logs, seed, notes)


@dataclass(frozen=True)
class WindowPositions:
    """Positions of windows in a text.

    The rows of a batch begin at `starts`; the losses of a row are those of the characters
    2K + `offsets` after its start.
    """

    K: int
    """Characters that the gradient is followed back."""
    starts: Ids
    """First character of each row, increasing."""
    offsets: Ids
    """Distances of the losses of a row from the first of them."""


def sample_positions(
    N: int, lags: int, windows: int, seed: int, ends: int = LOSSES_PER_ROW
) -> tuple[WindowPositions, tuple[str, ...]]:
    """Spread windows over a text: divide it into equal parts, and begin a row in each of them.

    Args:
        N: characters of the text, at least 3.
        lags: characters to follow the gradient back.
        windows: number of losses.
        seed: chooses where in its part a row begins.
        ends: losses in each row at most.

    Returns the positions, and notes on fewer lags or windows than asked for.
    Raises TextError for fewer than three characters.
    """
    if N < 3:
        raise TextError(f"{N} characters have no past to look back on", "a text of 3 or more")
    K = min(lags, max(1, (N - 1) // 3))
    J = min(ends, windows, 1 + (N - 1 - 2 * K) // LOSS_STRIDE)
    offsets = np.arange(J) * LOSS_STRIDE
    room = N - 2 * K - int(offsets[-1])
    rows = min(-(-windows // J), room)
    draws = np.random.default_rng(seed).random(rows)
    edges = np.arange(rows + 1) * room // rows
    starts = edges[:-1] + (draws * np.diff(edges)).astype(np.int64)
    notes = []
    if lags > K:
        notes.append(f"{N:,} characters are few: the gradient is followed for {K} of {lags} lags")
    if rows * J < windows:
        notes.append(f"{N:,} characters are few: {rows * J} windows of {windows}")
    return WindowPositions(K, starts, offsets), tuple(notes)


def _measure_rows(
    config: ModelConfig, parameters: Parameters, ids: Ids, positions: WindowPositions, rows: slice
) -> tuple[Logs, Logs]:
    """Return what `measure_gradients` finds in some rows of a text, after their burn-in."""
    K, starts = positions.K, positions.starts[rows]
    T = K + 1 + int(positions.offsets[-1])
    text = ids[starts + np.arange(K + T)[:, None]]  # (K + T, B)
    network = Network(config, parameters, T, len(starts), parameters.like())
    burn_in_state(network, text[: K - 1])
    forward_layers(network, text[K - 1 : -1])
    ends = K + 1 + positions.offsets
    return measure_gradients(network, ends, text[K - 1 + ends], K)


def measure_gradients(network: Network, ends: Ids, targets: Ids, K: int) -> tuple[Logs, Logs]:
    """Follow the gradients of single losses back for K characters.

    Args:
        network: after `forward_layers`; its gradient buffers are overwritten.
        ends: the slots (E,) of the top layer's state that the losses are computed from, each above
            K.
        targets: the characters (E, B) that follow, one for each loss and row.
        K: the largest lag.

    Returns the losses in nats (E·B,), and ln ‖g_k‖ (K + 1, states of all layers, E·B).
    """
    backprop = LayerBackprop(network.layers)
    nats, logs = [], []
    for end, target in zip(ends.tolist(), targets, strict=True):
        loss, dh = loss_gradient(network.parameters, network.layers[-1].h[end], target)
        backprop.begin(dh)
        nats.append(loss)
        logs.append(np.array([backprop.step_back_with_norms(end - 1 - k) for k in range(K + 1)]))
    return np.concatenate(nats), np.concatenate(logs, axis=2)


def summarise(
    config: ModelConfig,
    parameters: Parameters,
    nats: Logs,
    logs: Logs,
    seed: int,
    notes: tuple[str, ...],
) -> GradientProfile:
    """Build a gradient profile from what `measure_gradients` returned.

    Args:
        config: the network.
        parameters: its weights, to be searched for numbers that are not finite.
        nats: losses (windows,).
        logs: ln ‖g_k‖ (K + 1, states of all layers, windows).
        seed: chose the positions.
        notes: sentences for the user.
    """
    states = CELLS[config.cell].reported_states()
    names = [(layer, state) for layer in range(config.layers) for state in states]
    with np.errstate(all="ignore"):
        mean = finite_or_none(nats.mean())
        lines = tuple(summarise_state(*name, logs[:, n]) for n, name in enumerate(names))
    return GradientProfile(
        len(logs) - 1, len(nats), seed, mean, lines, nonfinite_names(parameters), notes
    )


def loss_gradient(parameters: Parameters, h: Array, targets: Ids) -> tuple[Logs, Array]:
    """Return the losses of `targets` (B,) after top outputs `h` (B, H), in nats, and ∂ loss/∂h."""
    logits = h @ parameters["W_hy"] + parameters["b_y"]
    nats = cross_entropy(logits, targets, out=logits)
    return nats, cross_entropy_backward(logits, targets, 1.0) @ parameters["W_hy"].T


def summarise_state(layer: int, state: str, logs: Logs) -> StateProfile:
    """Summarise the gradient of one state, given as ln ‖g_k‖ (K + 1, windows)."""
    empty: Numbers = (None,) * len(logs)
    is_finite = not (np.isnan(logs) | (logs == np.inf)).any()
    zero = bool(np.all(logs[0] == -np.inf))
    if zero or not is_finite:
        ratio = (0.0,) * len(logs) if is_finite else empty
        return StateProfile(layer, state, is_finite, zero, ratio, empty, empty, empty, empty)
    log_R = log_mean(logs) - log_mean(logs[:1])
    ratios = (logs - logs[0])[:, logs[0] > -np.inf]
    log_G = log_geometric_mean(ratios)
    p10, p90 = np.percentile(ratios, [10, 90], axis=1, method="inverted_cdf")
    per_char, r_squared = fit_decay_rate(log_G)
    return StateProfile(
        layer,
        state,
        is_finite,
        zero,
        tuple(np.exp(log_R).tolist()),
        log_ratio=finite_numbers(log_R),
        log_geometric=finite_numbers(log_G),
        log_p10=finite_numbers(p10),
        log_p90=finite_numbers(p90),
        log_norm_at_0=finite_or_none(log_mean(logs[:1])[0]),
        half_life_chars=stays_below(log_G, 0.5),
        horizon_chars=stays_below(log_G, GRADIENT_HORIZON_SHARE),
        rate_per_char=per_char,
        rate_r_squared=r_squared,
    )


def log_mean(logs: Logs) -> Logs:
    """Return ln of the mean over the last axis of exp(`logs`), `logs` being (…, windows)."""
    largest = np.maximum(np.max(logs, axis=-1, keepdims=True), ZERO_EXPONENT)
    mean: Logs = np.log(np.mean(np.exp(logs - largest), axis=-1)) + largest[..., 0]
    return mean


def log_geometric_mean(log_ratios: Logs) -> Logs:
    """Return ln G (K + 1,): the mean over windows, or −inf where most of them are zero."""
    alive = log_ratios > -np.inf
    count = alive.sum(axis=1)
    mean = np.where(alive, log_ratios, 0.0).sum(axis=1) / np.maximum(count, 1)
    return np.where(2 * count > log_ratios.shape[1], mean, -np.inf)


def stays_below(logs: Logs, share: float) -> int | None:
    """Return the smallest k with logs[j] ≤ ln share for all j ≥ k, or None if the last is above."""
    above = np.flatnonzero(logs > math.log(share) + 1e-12)
    k = int(above[-1]) + 1 if len(above) else 0
    return k if k < len(logs) else None


def fit_decay_rate(log_G: Logs) -> tuple[float | None, float | None]:
    """Fit ln G(k) = a + k ln rate by least squares; return the rate, and R² of the fit.

    Both are None if fewer than three lags lie within `MIN_FITTED_LAG` and `MIN_FITTED_LOG`.
    """
    end = int(np.argmax(np.append(log_G, -np.inf) <= MIN_FITTED_LOG))
    k = np.arange(MIN_FITTED_LAG, end)
    if len(k) < 3:
        return None, None
    x, y = k - k.mean(), log_G[k] - log_G[k].mean()
    slope = float(x @ y / (x @ x))
    spread, rest = float(y @ y), y - slope * x
    return math.exp(slope), 1 - float(rest @ rest) / spread if spread > 1e-20 * len(k) else 1.0


def exp_or_none(log: float | None) -> float | None:
    """Return e^`log`, at most e^700, which is finite; None for None."""
    return None if log is None else math.exp(min(log, 700.0))


def finite_or_none(x: float) -> float | None:
    """Return `x` as a Python number, or None for NaN and ±inf."""
    return float(x) if np.isfinite(x) else None


def finite_numbers(x: Logs) -> Numbers:
    """Return `x` as Python numbers, None for NaN and ±inf."""
    return tuple(finite_or_none(value) for value in x)


def nonfinite_names(parameters: Parameters) -> tuple[str, ...]:
    """Return the names of parameters that contain NaN or infinity."""
    return tuple(name for name, view in parameters.items() if not np.isfinite(view).all())
