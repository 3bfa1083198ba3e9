"""Units that follow features of a text, found by correlation and compared with two controls.

After Karpathy, Johnson & Li 2015, arXiv 1506.02078, who found by eye cells that follow quotes, the
position in the line, and brackets. Here r is Pearson's correlation between the state of a unit and
a feature (`charrnn.analysis.text_features`), and the unit with the largest |r| of all is compared
with the largest |r| of all units in two controls:

- shifted: the same states beside the text shifted in a circle by at least a tenth of it. States and
  features keep their own regularity, so that |r| is what chance reaches.
- untrained: networks of the same shape before training. Their units depend on the last characters
  too, and so correlate with features that these characters show.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from charrnn.analysis.unit_states import unit_states
from charrnn.errors import TextError
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import initialise
from charrnn.nn.parameters import Parameters
from charrnn.randomness import Purpose, generator
from charrnn.types import Array, Ids

MIN_CHARACTERS = 500
"""Shortest text that correlations are computed on."""

SHIFTS = 199
"""Circular shifts: no |r| by chance exceeds all of them more often than once in 200."""

UNTRAINED = 8
"""Untrained networks."""

UNTRAINED_DEVIATIONS = 4.0
"""Standard deviations above the mean of the untrained networks, in Fisher's z = artanh r. With 8
networks another one exceeds it with a probability of 0.3 % for each feature."""

MIN_CORRELATION = 0.3
"""Least |r| of a unit that is said to follow a feature: 9 % of the variance."""

MAX_PARTS, MIN_PART_CHARS = 32, 200
"""Parallel sequences that the text is cut into for untrained networks, and their least length."""

SHIFT_NUMBERS = 2**23
"""Numbers of the shifted copies that are held at once."""

BEST_UNITS = 5


@dataclass(frozen=True)
class UnitCorrelation:
    """A unit and its correlation with a feature."""

    layer: int
    """Number of the layer, from 0 at the input."""
    unit: int
    """Number of the unit in its layer, from 0."""
    correlation: float
    """Pearson's r, from −1 to 1."""


@dataclass(frozen=True)
class FollowedFeature:
    """The units with the largest |r| with one feature, and what the controls reach."""

    name: str
    """One of `charrnn.analysis.text_features.FEATURES`."""
    units: tuple[UnitCorrelation, ...]
    """Up to five units, the largest |r| first."""
    shifted: float
    """Largest |r| of any unit with the feature in any of the shifted copies."""
    untrained: float | None
    """Bound of the largest |r| of any unit of an untrained network; None if not measured."""

    @property
    def best(self) -> UnitCorrelation:
        """The unit with the largest |r|."""
        return self.units[0]

    @property
    def control(self) -> float:
        """The larger of the two controls."""
        return max(self.shifted, self.untrained or 0.0)

    @property
    def followed(self) -> bool:
        """Whether |r| of the best unit is above both controls, and at least `MIN_CORRELATION`."""
        r = abs(self.best.correlation)
        return r >= MIN_CORRELATION and r > self.control


def followed_features(
    config: ModelConfig,
    parameters: Parameters,
    ids: Ids,
    features: Mapping[str, Array],
    *,
    state: str = "h",
    shifts: int = SHIFTS,
    untrained: int = UNTRAINED,
    seed: int = 0,
) -> tuple[FollowedFeature, ...]:
    """Find the units of all layers that follow features of a text.

    Args:
        config: the network.
        parameters: its weights; they are not changed.
        ids: the text (N,), at least `MIN_CHARACTERS`.
        features: arrays (N,) by name, such as those of `text_features`.
        state: the state to correlate, `h`, or `c` of an LSTM.
        shifts: number of shifted copies, at least 1.
        untrained: number of untrained networks, at least 2; 0 to leave out this control.
        seed: chooses the shifts and the untrained networks.

    Returns a result for each feature that is not constant, in the order given.

    Raises as `unit_states`, and TextError for a text that is too short.

    Example:
        >>> from charrnn.analysis.text_features import text_features
        >>> text = "a line of words\\n" * 40
        >>> characters = sorted(set(text))
        >>> config = ModelConfig(len(characters), len(characters), hidden=4)
        >>> parameters = initialise(config, np.random.default_rng(0))
        >>> ids = np.array([characters.index(c) for c in text])
        >>> for found in followed_features(config, parameters, ids, text_features(text)):
        ...     print(found.name, found.followed)
        position in the line False
        position in the word False
        word boundary False
    """
    states = unit_states(config, parameters, ids, (state,))
    return correlated_features(
        config, states, ids, features, shifts=shifts, untrained=untrained, seed=seed
    )


def correlated_features(
    config: ModelConfig,
    states: Mapping[str, Array],
    ids: Ids,
    features: Mapping[str, Array],
    *,
    shifts: int = SHIFTS,
    untrained: int = UNTRAINED,
    seed: int = 0,
) -> tuple[FollowedFeature, ...]:
    """Do as `followed_features` with the states of some or all layers, which are known already.

    Args:
        config: the network.
        states: arrays (N, H) of `unit_states`, of one state; untrained networks are measured on the
            same layers.
        ids: the text (N,).
        features: arrays (N,) by name.
        shifts: number of shifted copies, at least 1.
        untrained: number of untrained networks, at least 2; 0 to leave out this control.
        seed: chooses the shifts and the untrained networks.

    Raises TextError for a text that is too short.
    """
    N = len(ids)
    if N < MIN_CHARACTERS:
        raise TextError(
            f"{N:,} characters are too few for correlations, {MIN_CHARACTERS} are needed",
            "a longer text",
            "--unit N",
        )
    rows = {name: row for name, values in features.items() if (row := _standardised(values)).any()}
    layers = [int(key.split(".")[1]) for key in states]
    units = _standardised(np.concatenate(list(states.values()), axis=1))  # (N, L · H)
    margin = N // 10
    drawn = np.random.default_rng((seed, 1)).integers(margin, N - margin + 1, shifts)
    others = list(_untrained_maxima(config, ids, rows, tuple(states), untrained, seed))
    found = []
    for name, row in rows.items():
        correlations = _bounded(row @ units)
        order = np.argsort(-np.abs(correlations), kind="stable")[:BEST_UNITS]
        best = tuple(
            UnitCorrelation(
                layers[column // config.hidden], column % config.hidden, float(correlations[column])
            )
            for column in order.tolist()
        )
        bound = _upper_bound([maxima[name] for maxima in others]) if others else None
        found.append(FollowedFeature(name, best, _shifted_maximum(row, units, drawn), bound))
    return tuple(found)


def _standardised(values: Array) -> Array:
    """Return columns of mean 0 and length 1, so that products are correlations; 0 if constant."""
    centred = values - values.mean(axis=0, dtype=np.float64).astype(values.dtype)
    length = np.sqrt(np.square(centred, dtype=np.float64).sum(axis=0))
    small = length <= 1e-6 * np.sqrt(len(values))
    scale = np.where(small, 0.0, 1 / np.where(small, 1.0, length))
    standardised: Array = centred * scale.astype(values.dtype)
    return standardised


def _bounded(correlations: Array) -> Array:
    """Return correlations without what rounding adds beyond −1 and 1."""
    return np.clip(correlations, -1.0, 1.0)


def _shifted_maximum(row: Array, units: Array, shifts: Ids) -> float:
    """Return the largest |r| of any unit with the feature `row` (N,) in any shifted copy."""
    N = len(row)
    copies = np.lib.stride_tricks.sliding_window_view(np.concatenate((row, row[:-1])), N)
    largest = 0.0
    count = max(1, SHIFT_NUMBERS // N)
    for first in range(0, len(shifts), count):
        products = copies[N - shifts[first : first + count]] @ units
        largest = max(largest, float(np.abs(products).max()))
    return min(largest, 1.0)


def _untrained_maxima(
    config: ModelConfig,
    ids: Ids,
    rows: Mapping[str, Array],
    keys: tuple[str, ...],
    count: int,
    seed: int,
) -> Iterator[dict[str, float]]:
    """Yield the largest |r| of any unit with each feature, for each untrained network."""
    parts = max(1, min(MAX_PARTS, len(ids) // MIN_PART_CHARS))
    for number in range(count):
        parameters = initialise(config, generator(seed, Purpose.WEIGHTS, 1 + number))
        states = unit_states(config, parameters, ids, (keys[0].rpartition(".")[2],), parts=parts)
        units = _standardised(np.concatenate([states[key] for key in keys], axis=1))
        yield {name: float(np.abs(_bounded(row @ units)).max()) for name, row in rows.items()}


def _upper_bound(maxima: list[float]) -> float:
    """Return the mean plus `UNTRAINED_DEVIATIONS` standard deviations, in Fisher's z."""
    z = np.arctanh(np.minimum(maxima, 1 - 1e-7))
    spread = float(z.std(ddof=1)) if len(z) > 1 else 0.0
    return float(np.tanh(z.mean() + UNTRAINED_DEVIATIONS * spread))
