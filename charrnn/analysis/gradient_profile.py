"""How much of the loss at one character reaches the state k characters earlier.

    g_k = ∂ℓ_T / ∂s_{T−k}        R(k) = mean ‖g_k‖ / mean ‖g_0‖        over windows

ℓ_T is the loss at one position alone: a sum over positions grows on its way back whatever happens
to its parts (Hochreiter 1991; Bengio et al. 1994; the itemised form is that of Aicher, Foti & Fox
2019, UAI). s is h for a plain RNN and a GRU. For an LSTM it is c, with h = o ⊙ tanh(c) taken as a
function of it, so that a constant forget gate f gives exactly fᵏ; h stands on a second line.

Everything is float64 and walks through the cells that training uses. Norms are kept as logarithms:
×0.1 a character is below the smallest float64 after 324 characters. Nothing here changes the
parameters or the state of any generator.
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
from charrnn.errors import TextError
from charrnn.nn.cells import CELLS
from charrnn.nn.network import ModelConfig, Network
from charrnn.nn.ops import cross_entropy, cross_entropy_backward
from charrnn.nn.parameters import Parameters
from charrnn.types import Array, Ids

DEFAULT_LAGS = 200
DEFAULT_WINDOWS = 160
HORIZON_SHARE = 0.01
"""The share of the gradient below which a character is beyond the horizon."""

MIN_FITTED_LAG = 5
MIN_FITTED_LOG = -50.0
"""The rate is fitted from that lag on, while ln G is above this."""

BATCH_ROWS = 32
LOSSES_PER_ROW = 5
LOSS_STRIDE = 50
"""Lanes walked at once, and loss positions in a lane with the characters between them: they share
one way forward, which is the dearer half."""

Numbers: TypeAlias = tuple[float | None, ...]


@dataclass(frozen=True)
class StateProfile:
    """The gradient of one state of one layer by lag k = 0 … K, over windows.

    `ratio` is R(k). G(k) is the geometric mean of ‖g_k‖/‖g_0‖: the typical window. A few windows in
    a thousand, in which the gradient grows for a while, decide R at large lags, so that its horizon
    would change with the draw; therefore half-life, horizon and rate are those of G. p10 and p90
    are percentiles over windows. Logarithms are None where there is none, for zero or NaN.
    """

    layer: int
    state: str
    finite: bool
    zero: bool
    """No window has a gradient, even at lag 0: the loss does not depend on this state."""
    ratio: Numbers
    log_ratio: Numbers
    log_geometric: Numbers
    log_p10: Numbers
    log_p90: Numbers
    log_norm_at_0: float | None = None
    half_life_chars: int | None = None
    """The smallest k from which on G stays at ½ or below; None if there is none up to K."""
    horizon_chars: int | None = None
    """The same for 1 %."""
    rate_per_char: float | None = None
    """exp of the slope of ln G(k) by least squares; None if it falls too fast to be fitted."""
    rate_r_squared: float | None = None


@dataclass(frozen=True)
class GradientProfile:
    """The lines of all layers, from the first layer on, each layer's memory first."""

    lags: int
    windows: int
    seed: int
    nats_per_char: float | None
    """Mean loss at the positions the gradient starts from."""
    lines: tuple[StateProfile, ...]
    nonfinite: tuple[str, ...]
    """Parameters, by name, that hold a number that is not finite."""
    notes: tuple[str, ...]

    @property
    def main_states(self) -> tuple[StateProfile, ...]:
        """The first line of each layer."""
        return tuple({line.layer: line for line in reversed(self.lines)}.values())[::-1]


def gradient_profile(
    config: ModelConfig,
    parameters: Parameters,
    ids: Ids,
    *,
    lags: int = DEFAULT_LAGS,
    windows: int = DEFAULT_WINDOWS,
    seed: int = 0,
) -> GradientProfile:
    """Follow the gradient back from `windows` positions of a text, each after 2 × `lags` others.

    The first half only settles the state. A short text has fewer lags, which the notes say; one of
    less than three characters is a `TextError`.
    """
    places, notes = sample_positions(len(ids), lags, windows, seed)
    parameters = parameters.astype(np.float64)
    with np.errstate(all="ignore"):  # what is not finite is found and named
        parts = [
            _measure(config, parameters, ids, places, slice(first, first + BATCH_ROWS))
            for first in range(0, len(places.starts), BATCH_ROWS)
        ]
        nats = np.concatenate([part[0] for part in parts])[:windows]
        logs = np.concatenate([part[1] for part in parts], axis=2)[..., :windows]
        names = [
            (n, state)
            for n in range(config.layers)
            for state in CELLS[config.cell].reported_states()
        ]
        lines = tuple(summarise_state(*name, logs[:, n]) for n, name in enumerate(names))
    return GradientProfile(
        places.K,
        len(nats),
        seed,
        finite_or_none(nats.mean()),
        lines,
        nonfinite_names(parameters),
        notes,
    )


@dataclass(frozen=True)
class WindowPositions:
    """Where windows lie: lanes begin at `starts`, with a loss after 2K + each of `offsets`."""

    K: int
    starts: Ids
    offsets: Ids


def sample_positions(
    N: int, lags: int, windows: int, seed: int, ends: int = LOSSES_PER_ROW
) -> tuple[WindowPositions, tuple[str, ...]]:
    """Spread windows over a text of N characters, one lane in each of as many equal parts."""
    if N < 3:
        raise TextError(f"{N} characters have no past to look back on", "a text of 3 or more")
    K = min(lags, max(1, (N - 1) // 3))
    J = min(ends, windows, 1 + (N - 1 - 2 * K) // LOSS_STRIDE)
    offsets = np.arange(J) * LOSS_STRIDE
    room = N - 2 * K - int(offsets[-1])
    lanes = min(-(-windows // J), room)
    draws = np.random.default_rng(seed).random(lanes)
    edges = np.arange(lanes + 1) * room // lanes
    starts = edges[:-1] + (draws * np.diff(edges)).astype(np.int64)
    notes = []
    if lags > K:
        notes.append(f"{N:,} characters are few: the gradient is followed for {K} of {lags} lags")
    if lanes * J < windows:
        notes.append(f"{N:,} characters are few: {lanes * J} windows of {windows}")
    return WindowPositions(K, starts, offsets), tuple(notes)


def _measure(
    config: ModelConfig, parameters: Parameters, ids: Ids, places: WindowPositions, lanes: slice
) -> tuple[Logs, Logs]:
    """Return the nats (windows,) and ln ‖g_k‖ (K + 1, lines, windows) of some lanes."""
    K, starts = places.K, places.starts[lanes]
    T = K + 1 + int(places.offsets[-1])
    text = ids[starts + np.arange(K + T)[:, None]]  # (K + T, B)
    network = Network(config, parameters, T, len(starts), parameters.like())
    burn_in_state(network, text[: K - 1])
    forward_layers(network, text[K - 1 : -1])
    backprop = LayerBackprop(network.layers)
    nats, logs = [], []
    for end in (K + 1 + places.offsets).tolist():
        loss, dh = loss_gradient(parameters, network.layers[-1].h[end], text[K - 1 + end])
        backprop.begin(dh)
        nats.append(loss)
        logs.append(np.array([backprop.step_back_with_norms(end - 1 - k) for k in range(K + 1)]))
    return np.concatenate(nats), np.concatenate(logs, axis=2)


def loss_gradient(parameters: Parameters, h: Array, targets: Ids) -> tuple[Logs, Array]:
    """Return the nats (B,) that `targets` cost after top outputs `h` (B, H), and ∂ nats/∂h."""
    logits = h @ parameters["W_hy"] + parameters["b_y"]
    nats = cross_entropy(logits, targets, out=logits)
    return nats, cross_entropy_backward(logits, targets, 1.0) @ parameters["W_hy"].T


def summarise_state(layer: int, state: str, logs: Logs) -> StateProfile:
    """Summarise ln ‖g_k‖ (K + 1, windows) of one state."""
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
        horizon_chars=stays_below(log_G, HORIZON_SHARE),
        rate_per_char=per_char,
        rate_r_squared=r_squared,
    )


def log_mean(logs: Logs) -> Logs:
    """Return ln of the mean of what `logs` (…, windows) are the logarithms of."""
    largest = np.maximum(np.max(logs, axis=-1, keepdims=True), ZERO_EXPONENT)
    mean: Logs = np.log(np.mean(np.exp(logs - largest), axis=-1)) + largest[..., 0]
    return mean


def log_geometric_mean(log_ratios: Logs) -> Logs:
    """Return ln G (K + 1,): the mean of the logarithms, or −inf where most windows are at zero."""
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
    """Return what ln G = a + k ln rate gives for the rate by least squares, and the fit's R²."""
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
    """Return `x` as a plain number, or None for NaN and ±inf."""
    return float(x) if np.isfinite(x) else None


def finite_numbers(x: Logs) -> Numbers:
    """Return plain numbers, None for NaN and ±inf."""
    return tuple(finite_or_none(value) for value in x)


def nonfinite_names(parameters: Parameters) -> tuple[str, ...]:
    """Name the parameters that hold a number that is not finite."""
    return tuple(name for name, view in parameters.items() if not np.isfinite(view).all())
