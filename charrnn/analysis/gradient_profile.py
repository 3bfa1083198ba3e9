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
    EMPTY,
    LayerBackprop,
    Logs,
    read_forward,
    settle,
)
from charrnn.errors import TextError
from charrnn.nn.cells import CELLS
from charrnn.nn.network import ModelConfig, Network
from charrnn.nn.ops import cross_entropy, cross_entropy_backward
from charrnn.nn.parameters import Parameters
from charrnn.types import Array, Ids

LAGS = 200
WINDOWS = 160
HORIZON = 0.01
"""The share of the gradient below which a character is beyond the horizon."""

FIRST_FITTED_LAG = 5
LEAST_FITTED_LOG = -50.0
"""The rate is fitted from that lag on, while ln G is above this."""

LANES = 32
ENDS = 5
STRIDE = 50
"""Lanes walked at once, and loss positions in a lane with the characters between them: they share
one way forward, which is the dearer half."""

Numbers: TypeAlias = tuple[float | None, ...]


@dataclass(frozen=True)
class Line:
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
class Profile:
    """The lines of all layers, from the first layer on, each layer's memory first."""

    lags: int
    windows: int
    seed: int
    nats_per_char: float | None
    """Mean loss at the positions the gradient starts from."""
    lines: tuple[Line, ...]
    nonfinite: tuple[str, ...]
    """Parameters, by name, that hold a number that is not finite."""
    notes: tuple[str, ...]

    @property
    def headlines(self) -> tuple[Line, ...]:
        """The first line of each layer."""
        return tuple({line.layer: line for line in reversed(self.lines)}.values())[::-1]


def profile(
    config: ModelConfig,
    parameters: Parameters,
    ids: Ids,
    *,
    lags: int = LAGS,
    windows: int = WINDOWS,
    seed: int = 0,
) -> Profile:
    """Follow the gradient back from `windows` positions of a text, each after 2 × `lags` others.

    The first half only settles the state. A short text has fewer lags, which the notes say; one of
    less than three characters is a `TextError`.
    """
    places, notes = place(len(ids), lags, windows, seed)
    parameters = parameters.astype(np.float64)
    with np.errstate(all="ignore"):  # what is not finite is found and named
        parts = [
            _measure(config, parameters, ids, places, slice(first, first + LANES))
            for first in range(0, len(places.starts), LANES)
        ]
        nats = np.concatenate([part[0] for part in parts])[:windows]
        logs = np.concatenate([part[1] for part in parts], axis=2)[..., :windows]
        names = [
            (n, state)
            for n in range(config.layers)
            for state in CELLS[config.cell].reported_states()
        ]
        lines = tuple(line(*name, logs[:, n]) for n, name in enumerate(names))
    return Profile(
        places.K, len(nats), seed, finite(nats.mean()), lines, nonfinite_names(parameters), notes
    )


@dataclass(frozen=True)
class Places:
    """Where windows lie: lanes begin at `starts`, with a loss after 2K + each of `offsets`."""

    K: int
    starts: Ids
    offsets: Ids


def place(
    N: int, lags: int, windows: int, seed: int, ends: int = ENDS
) -> tuple[Places, tuple[str, ...]]:
    """Spread windows over a text of N characters, one lane in each of as many equal parts."""
    if N < 3:
        raise TextError(f"{N} characters have no past to look back on", "a text of 3 or more")
    K = min(lags, max(1, (N - 1) // 3))
    J = min(ends, windows, 1 + (N - 1 - 2 * K) // STRIDE)
    offsets = np.arange(J) * STRIDE
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
    return Places(K, starts, offsets), tuple(notes)


def _measure(
    config: ModelConfig, parameters: Parameters, ids: Ids, places: Places, lanes: slice
) -> tuple[Logs, Logs]:
    """Return the nats (windows,) and ln ‖g_k‖ (K + 1, lines, windows) of some lanes."""
    K, starts = places.K, places.starts[lanes]
    T = K + 1 + int(places.offsets[-1])
    text = ids[starts + np.arange(K + T)[:, None]]  # (K + T, B)
    network = Network(config, parameters, T, len(starts), parameters.like())
    settle(network, text[: K - 1])
    read_forward(network, text[K - 1 : -1])
    walk = LayerBackprop(network.layers)
    nats, logs = [], []
    for end in (K + 1 + places.offsets).tolist():
        loss, dh = loss_gradient(parameters, network.layers[-1].h[end], text[K - 1 + end])
        walk.begin(dh)
        nats.append(loss)
        logs.append(np.array([walk.measured_step(end - 1 - k) for k in range(K + 1)]))
    return np.concatenate(nats), np.concatenate(logs, axis=2)


def loss_gradient(parameters: Parameters, h: Array, targets: Ids) -> tuple[Logs, Array]:
    """Return the nats (B,) that `targets` cost after top outputs `h` (B, H), and ∂ nats/∂h."""
    logits = h @ parameters["W_hy"] + parameters["b_y"]
    nats = cross_entropy(logits, targets, out=logits)
    return nats, cross_entropy_backward(logits, targets, 1.0) @ parameters["W_hy"].T


def line(layer: int, state: str, logs: Logs) -> Line:
    """Summarise ln ‖g_k‖ (K + 1, windows) of one state."""
    empty: Numbers = (None,) * len(logs)
    is_finite = not (np.isnan(logs) | (logs == np.inf)).any()
    zero = bool(np.all(logs[0] == -np.inf))
    if zero or not is_finite:
        ratio = (0.0,) * len(logs) if is_finite else empty
        return Line(layer, state, is_finite, zero, ratio, empty, empty, empty, empty)
    log_R = log_mean(logs) - log_mean(logs[:1])
    ratios = (logs - logs[0])[:, logs[0] > -np.inf]
    log_G = typical(ratios)
    p10, p90 = np.percentile(ratios, [10, 90], axis=1, method="inverted_cdf")
    per_char, r_squared = rate(log_G)
    return Line(
        layer,
        state,
        is_finite,
        zero,
        tuple(np.exp(log_R).tolist()),
        log_ratio=numbers(log_R),
        log_geometric=numbers(log_G),
        log_p10=numbers(p10),
        log_p90=numbers(p90),
        log_norm_at_0=finite(log_mean(logs[:1])[0]),
        half_life_chars=stays_below(log_G, 0.5),
        horizon_chars=stays_below(log_G, HORIZON),
        rate_per_char=per_char,
        rate_r_squared=r_squared,
    )


def log_mean(logs: Logs) -> Logs:
    """Return ln of the mean of what `logs` (…, windows) are the logarithms of."""
    largest = np.maximum(np.max(logs, axis=-1, keepdims=True), EMPTY)
    mean: Logs = np.log(np.mean(np.exp(logs - largest), axis=-1)) + largest[..., 0]
    return mean


def typical(log_ratios: Logs) -> Logs:
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


def rate(log_G: Logs) -> tuple[float | None, float | None]:
    """Return what ln G = a + k ln rate gives for the rate by least squares, and the fit's R²."""
    end = int(np.argmax(np.append(log_G, -np.inf) <= LEAST_FITTED_LOG))
    k = np.arange(FIRST_FITTED_LAG, end)
    if len(k) < 3:
        return None, None
    x, y = k - k.mean(), log_G[k] - log_G[k].mean()
    slope = float(x @ y / (x @ x))
    spread, rest = float(y @ y), y - slope * x
    return math.exp(slope), 1 - float(rest @ rest) / spread if spread > 1e-20 * len(k) else 1.0


def finite(x: float) -> float | None:
    """Return `x` as a plain number, or None for NaN and ±inf."""
    return float(x) if np.isfinite(x) else None


def numbers(x: Logs) -> Numbers:
    """Return plain numbers, None for NaN and ±inf."""
    return tuple(finite(value) for value in x)


def nonfinite_names(parameters: Parameters) -> tuple[str, ...]:
    """Name the parameters that hold a number that is not finite."""
    return tuple(name for name, view in parameters.items() if not np.isfinite(view).all())
