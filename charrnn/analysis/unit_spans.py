"""Units that are active over a span of a text, and other places where the same units are.

After LSTMVis: Strobelt, Gehrmann, Pfister & Rush 2018, IEEE TVCG 24(1), arXiv 1606.07461. There a
unit is active where its state exceeds a threshold that the user sets; here where it is within the
highest or the lowest quarter of its own states, so that units of any range can be compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from charrnn.errors import UsageError
from charrnn.types import Array

ACTIVE_SHARE = 0.25
"""Share of the text over which a unit is active with high states, and again with low ones."""

MAX_ACTIVE_SHARE = 0.5
"""A unit with the same state in most of the text is not active there."""

MAX_UNITS, MAX_PLACES = 10, 5

MIN_AROUND_CHARS = 10
"""Least characters on each side of a span that its units are compared with."""


@dataclass(frozen=True)
class ActiveUnit:
    """A unit that is active at every character of a span.

    Attributes:
        layer: number of the layer, from 0 at the input.
        unit: number of the unit in its layer, from 0.
        inside: mean of its states in the span, in standard deviations from its mean over the text.
        around: the same beside the span, over its length on either side, at least 10 characters.
    """

    layer: int
    unit: int
    inside: float
    around: float


@dataclass(frozen=True)
class ActivePlace:
    """A place of the length of the span.

    Attributes:
        begin: position of its first character.
        end: position after its last one.
        share: of all its characters and the units of the span, those that are active.
    """

    begin: int
    end: int
    share: float


@dataclass(frozen=True)
class SpanActivity:
    """What is active over a span of a text.

    Attributes:
        begin: position of its first character.
        end: position after its last one.
        units: up to 10 units, those that differ most from their states around the span first.
        places: up to 5 other places that do not overlap, the largest share first.
        mean_share: the share of the whole text, to compare with.
    """

    begin: int
    end: int
    units: tuple[ActiveUnit, ...]
    places: tuple[ActivePlace, ...]
    mean_share: float


def span_activity(states: Mapping[str, Array], begin: int, end: int) -> SpanActivity:
    """Return the units that are active at all characters from `begin` to before `end`.

    Args:
        states: arrays (N, H) of `charrnn.analysis.unit_states.unit_states`.
        begin: position of the first character of the span.
        end: position after its last one; at most N, and greater than `begin`.

    Raises UsageError for a span that is empty, outside the text, or all of it.

    Example:
        >>> states = np.zeros((40, 1))
        >>> states[10:14] = states[30:34] = 1
        >>> found = span_activity({"layers.0.h": states}, 10, 14)
        >>> found.units[0].unit, found.places[0]
        (0, ActivePlace(begin=30, end=34, share=1.0))
    """
    N = len(next(iter(states.values())))
    if not 0 <= begin < end <= N or end - begin == N:
        raise UsageError(
            f"the span {begin}:{end} is not a part of the {N:,} characters read",
            f"a span within 0:{N}",
        )
    found: list[tuple[ActiveUnit, Array]] = []
    for key, array in states.items():
        layer = int(key.split(".")[1])
        found += _active_units(layer, array.astype(np.float64), begin, end)
    found.sort(key=lambda pair: -abs(pair[0].inside - pair[0].around))
    del found[MAX_UNITS:]
    if not found:
        return SpanActivity(begin, end, (), (), 0.0)
    shares = np.mean([active for _, active in found], axis=0)  # (N,)
    places = _other_places(shares, begin, end)
    return SpanActivity(begin, end, tuple(unit for unit, _ in found), places, float(shares.mean()))


def _active_units(
    layer: int, states: Array, begin: int, end: int
) -> list[tuple[ActiveUnit, Array]]:
    """Return the active units of a layer, each with where it is active in the same direction."""
    spread = states.std(axis=0)
    scores = (states - states.mean(axis=0)) / np.where(spread > 0, spread, np.inf)  # (N, H)
    low, high = np.quantile(scores, (ACTIVE_SHARE, 1 - ACTIVE_SHARE), axis=0)
    width = max(end - begin, MIN_AROUND_CHARS)
    around = np.concatenate((scores[max(0, begin - width) : begin], scores[end : end + width]))
    found = []
    for active in ((scores >= high) & (scores > 0), (scores <= low) & (scores < 0)):
        rare = active.mean(axis=0) <= MAX_ACTIVE_SHARE
        for unit in np.flatnonzero(active[begin:end].all(axis=0) & rare).tolist():
            inside, beside = scores[begin:end, unit].mean(), around[:, unit].mean()
            found.append(
                (ActiveUnit(layer, unit, float(inside), float(beside)), active[:, unit].copy())
            )
    return found


def _other_places(shares: Array, begin: int, end: int) -> tuple[ActivePlace, ...]:
    """Return the places with the largest mean of `shares` (N,), which do not overlap."""
    length = end - begin
    sums = np.concatenate(([0.0], np.cumsum(shares)))
    means = (sums[length:] - sums[:-length]) / length  # (N - length + 1,) by their beginning
    free = np.ones(len(means), bool)
    free[max(0, begin - length + 1) : end] = False
    places: list[ActivePlace] = []
    while free.any() and len(places) < MAX_PLACES:
        at = int(np.argmax(np.where(free, means, -1.0)))
        places.append(ActivePlace(at, at + length, min(1.0, round(float(means[at]), 9))))
        free[max(0, at - length + 1) : at + length] = False
    return tuple(places)
