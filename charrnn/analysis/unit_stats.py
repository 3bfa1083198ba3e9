"""Statistics of single units along a text: saturation, gates, dead units, half-life of memory."""

import math
from dataclasses import dataclass

import numpy as np

from charrnn.analysis.gradient_profile import BATCH_ROWS, finite_or_none, sample_positions
from charrnn.analysis.layer_backprop import burn_in_state, forward_layers
from charrnn.nn.cells import Cell
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network
from charrnn.nn.parameters import Parameters
from charrnn.types import Array, Ids


@dataclass(frozen=True)
class GateStats:
    """Shares of all units and times at which a gate is nearly shut or open."""

    name: str
    """Letter of the gate in its cell, such as `f`."""
    shut_share: float
    """Below 0.1."""
    open_share: float
    """Above 0.9."""


@dataclass(frozen=True)
class UnitStats:
    """Statistics of the units of one layer along a text.

    The thresholds of gates are those of Karpathy, Johnson & Fei-Fei 2015, arXiv 1506.02078.
    """

    layer: int
    """Number of the layer, from 0 at the input."""
    saturated_share: float
    """Share of all units and times with |h| > 0.99."""
    gates: tuple[GateStats, ...]
    """One for each gate of the cell, without the candidate."""
    dead_units: tuple[int, ...]
    """Units whose h has a standard deviation below 0.001."""
    half_life_chars: tuple[float | None, ...]
    """ln 2 / −mean ln f of each unit, f the gate that keeps the state; None if it is always open
    (never forgets). Empty for a plain RNN."""
    longest: tuple[int, ...]
    """The five units with the longest half-life, the longest first."""


def unit_stats(
    config: ModelConfig,
    parameters: Parameters,
    ids: Ids,
    *,
    lags: int = 200,
    windows: int = BATCH_ROWS,
    seed: int = 0,
) -> tuple[UnitStats, ...]:
    """Measure all units over `windows` windows of `lags` characters, each after a burn-in.

    Args:
        config: the network.
        parameters: its weights; they are not changed.
        ids: the text (N,), at least three characters.
        lags: length of a window; shorter for a short text.
        windows: number of windows; fewer for a short text.
        seed: chooses where they begin.

    Returns one result for each layer, from the first.
    """
    places, _ = sample_positions(len(ids), lags, windows, seed, ends=1)
    K, B = places.K, len(places.starts)
    text = ids[places.starts + np.arange(2 * K)[:, None]]
    network = Network(config, parameters.astype(np.float64), K, B)
    with np.errstate(all="ignore"):
        burn_in_state(network, text[:K])
        forward_layers(network, text[K:])
        return tuple(
            _layer_stats(number, type(layer), layer.h[1:], layer.a)
            for number, layer in enumerate(network.layers)
        )


def _layer_stats(number: int, cell: type[Cell], h: Array, gates: Array) -> UnitStats:
    """Summarise outputs h (T, B, H) and gates (G, T, B, H); the last gate is the candidate."""
    shares = tuple(
        GateStats(name, float(np.mean(gate < 0.1)), float(np.mean(gate > 0.9)))
        for name, gate in zip(cell.gates[:-1], gates, strict=False)
    )
    half_lives = np.zeros(0)
    if cell.keep_gate is not None:
        logs = np.mean(np.log(gates[cell.gates.index(cell.keep_gate)]), axis=(0, 1))
        half_lives = math.log(2) / np.abs(logs)  # |−0.0| makes an open gate +inf
    longest = np.argsort(-np.nan_to_num(half_lives, nan=-1.0, posinf=np.inf), kind="stable")[:5]
    return UnitStats(
        number,
        float(np.mean(np.abs(h) > 0.99)),
        shares,
        tuple(np.flatnonzero(np.std(h, axis=(0, 1)) < 1e-3).tolist()),
        tuple(finite_or_none(x) for x in half_lives),
        tuple(longest.tolist()),
    )
