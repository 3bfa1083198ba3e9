"""Text memory: mutual information between characters k apart, measured without a model.

    I(k) = Σ p(a, b; k) log₂ [p(a, b; k) / (p(a) p(b))]      bits

p(a, b; k) is the share of positions t with a at t and b at t + k. I(k) is what knowing a character
tells about the one k later; it is 0 exactly if the two are independent. It bounds from below what a
context that reaches k characters back contains about the next one, and it says nothing of what
nearer characters tell as well.

Counted frequencies overestimate I(k): of independent characters by about (V − 1)² / (2 N ln 2)
bits, and by more where neighbouring positions depend on each other. The excess is measured rather
than computed: the text is cut into blocks of `BLOCK` characters, each is paired with another block
drawn at random and rotated by a random amount, and the same estimate is made of the characters that
face each other. These are independent but keep the order within blocks; a shuffled text gives 0
within `error_bits`. Where one character determines the other nothing is overestimated, so that the
excess counts in proportion to the entropy that I(k) leaves.

Li 1990, "Mutual information functions versus correlation functions", J. Stat. Phys. 60;
Ebeling & Pöschel 1994, "Entropy and long-range correlations in literary English", Europhys. Lett.
26; Lin & Tegmark 2017, "Critical behavior in physics and probabilistic text", Entropy 19 (7),
arXiv 1606.06737. The estimator by block surrogates is that of neither, but of this module.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from charrnn.errors import TextError, UsageError
from charrnn.evaluation.baselines import witten_bell
from charrnn.randomness import Purpose, generator
from charrnn.types import Array, Ids, StopFlag

MAX_LAG = 1000
"""Characters: default of the largest lag."""

EVERY_LAG = 64
"""Characters up to which every lag is measured; above, `LAGS_PER_OCTAVE`."""

LAGS_PER_OCTAVE = 12

BLOCK = 1000
"""Characters of a block of the surrogates; shorter if the text has fewer than `MIN_BLOCKS`."""

MIN_BLOCKS = 50

SURROGATE_COUNT = 32
SHUFFLES = 4

DETECTION_SIGMAS = 4.0
"""Standard errors above 0 from which a dependence counts as detected: 1 in 30,000 by chance."""

HORIZON_SHARE = 0.01
"""The share of the largest I(k), as a rule I(1), that defines `horizon_chars`."""

MAX_COUNTED_CHARACTERS = 2_000_000
"""Characters that are counted; of a longer text, `PARTS` parts of equal length and distance."""

PARTS = 8

MAX_SYMBOLS = 256
"""Kinds of characters that are told apart; the rarest share one symbol."""

COUNTS_PER_CELL = 10
"""Positions per pair of symbols: of a short text fewer kinds of characters are told apart."""

MIN_CHARACTERS = 1000

NGRAM_ORDERS = 8
"""Contexts of 0 to 7 characters whose held-out loss is measured by counts."""

MAX_NGRAM_CHARACTERS = 400_000
NGRAM_VALIDATION = 0.1


@dataclass(frozen=True)
class TextMemory:
    """Mutual information of characters by their distance, and the loss of n-gram counts."""

    characters: int
    """Characters of the text."""
    counted: int
    """Characters that were counted."""
    symbols: int
    """Kinds of characters told apart; less than the vocabulary if rare ones were merged."""
    entropy_bits: float
    """Entropy of single characters, what I(0) would be."""
    lags: tuple[int, ...]
    """Distances k in characters, ascending."""
    bits: tuple[float, ...]
    """I(k) in bits, the bias subtracted: around 0, and so at times negative, if independent."""
    error_bits: tuple[float, ...]
    """Standard error of each I(k), in bits."""
    threshold_bits: tuple[float, ...]
    """Value above which I(k) counts as detected."""
    horizon_chars: int | None
    """Smallest k from which on I is below 1 % of its maximum, or not detected; None if beyond."""
    detected_chars: int
    """Largest k at which a dependence is detected; 0 if there is none."""
    ngram_nats: tuple[float, ...]
    """Held-out nats per character of n-gram counts with 0, 1, … characters of context."""
    seed: int

    @property
    def reaches_last_lag(self) -> bool:
        """Whether a dependence is detected at the last lags, so that it may reach further."""
        return self.detected_chars >= self.lags[-2:][0]

    @property
    def ngram_context_chars(self) -> int:
        """Characters of context from which on counts gain less than 1 % of their loss."""
        for context, nats in enumerate(self.ngram_nats):
            if nats <= 1.01 * min(self.ngram_nats[context:]):
                return context
        return len(self.ngram_nats) - 1


def text_memory(
    ids: Ids | Sequence[Ids],
    *,
    characters: int | None = None,
    max_lag: int = MAX_LAG,
    seed: int = 0,
    ngrams: bool = True,
    stop: StopFlag = lambda: False,
) -> TextMemory | None:
    """Measure how far a text remembers; None if `stop()` became true.

    Args:
        ids: the text as ids (N,), or parts of equal length of a text that is too long.
        characters: of the whole text, if `ids` are parts of it.
        max_lag: largest distance k in characters; reduced to a quarter of a short text.
        seed: of the surrogates.
        ngrams: whether to measure the loss of n-gram counts, which takes most of the time.
        stop: asked between two lags.

    Raises:
        TextError: if the text has fewer than `MIN_CHARACTERS` characters.
        UsageError: if `max_lag` is below 1.

    Example:
        >>> import numpy as np
        >>> ids = np.tile(np.arange(4, dtype=np.uint8), 1000)  # abcdabcd…: 2 bits at each lag
        >>> found = text_memory(ids, max_lag=3, ngrams=False)
        >>> [round(bits, 2) for bits in found.bits]
        [2.0, 2.0, 2.0]
    """
    if max_lag < 1:
        raise UsageError(f"the largest lag is {max_lag}; it must be 1 or more")
    read = _parts(ids) if isinstance(ids, np.ndarray) else list(ids)
    counted = sum(map(len, read))
    if counted < MIN_CHARACTERS:
        raise TextError(
            f"{counted:,} characters are too few to measure dependence between them; "
            f"it takes {MIN_CHARACTERS:,}",
            "a longer text",
        )
    parts, V = _symbols(read)
    lags = lags_up_to(min(max_lag, len(parts[0]) // 4))
    null = _null(parts, V, seed)
    bits: list[float] = []
    variances: list[float] = []
    for k in lags:
        if stop():
            return None
        value, variance = mutual_information(parts, k, V)
        bits.append(value)
        variances.append(variance)
    # The bias and the error fall with the number of pairs: N − k of every part.
    scales = [counted / (counted - k * len(parts)) for k in lags]
    entropy = _entropy(_summed(np.bincount(part, minlength=V) for part in parts))
    left = [1 - value / entropy if entropy else 1.0 for value in bits]
    corrected = [
        value - null.bias * scale * share
        for value, scale, share in zip(bits, scales, left, strict=True)
    ]
    thresholds = [null.threshold * scale for scale in scales]
    nats = _ngram_losses(read[-1], stop) if ngrams else ()
    if nats is None:
        return None
    detected = [value > least for value, least in zip(corrected, thresholds, strict=True)]
    return TextMemory(
        characters=characters or (len(ids) if isinstance(ids, np.ndarray) else counted),
        counted=counted,
        symbols=V,
        entropy_bits=entropy,
        lags=lags,
        bits=tuple(corrected),
        error_bits=tuple(
            scale
            * math.hypot(null.error, math.sqrt(max(0.0, variance - null.variance) / null.count))
            for scale, variance in zip(scales, variances, strict=True)
        ),
        threshold_bits=tuple(thresholds),
        horizon_chars=_horizon(lags, corrected, detected),
        detected_chars=max(
            (k for k, is_one in zip(lags, detected, strict=True) if is_one), default=0
        ),
        ngram_nats=nats,
        seed=seed,
    )


def lags_up_to(largest: int) -> tuple[int, ...]:
    """Return 1, 2, …, `EVERY_LAG`, and from there `LAGS_PER_OCTAVE` lags up to `largest`."""
    lags = list(range(1, min(EVERY_LAG, largest) + 1))
    while lags[-1] < largest:
        step = math.ceil(lags[-1] * 2 ** (1 / LAGS_PER_OCTAVE))
        lags.append(min(largest, max(step, lags[-1] + 1)))
    return tuple(lags)


def mutual_information(parts: Sequence[Array], k: int, V: int) -> tuple[float, float]:
    """Return the uncorrected I(k) in bits from counts of pairs k apart, and the variance of a pair.

    Args:
        parts: symbols (N,) as int64, all below `V`; no pair crosses from one part to the next.
        k: distance in characters.
        V: number of symbols.

    Returns:
        I(k), and the variance of log₂ [p(a, b) / (p(a) p(b))] over pairs: divided by their number
        it is the sampling variance of I(k).
    """
    counts = (np.bincount(part[:-k] * V + part[k:], minlength=V * V) for part in parts)
    return _information(_summed(counts), V)


def _summed(counts: Iterable[Array]) -> Array:
    """Return the sum of arrays of counts."""
    total: Array = reduce(np.add, counts)
    return total


def _information(pairs: Array, V: int) -> tuple[float, float]:
    """Return mean and variance of the information in bits of counted pairs (V · V,)."""
    p = pairs.reshape(V, V) / pairs.sum()
    independent = np.outer(p.sum(axis=1), p.sum(axis=0))
    seen = p > 0
    p, ratio = p[seen], np.log2(p[seen] / independent[seen])
    mean = float(p @ ratio)
    return mean, float(p @ (ratio - mean) ** 2)


def _entropy(counts: Array) -> float:
    """Return the entropy in bits of frequencies: log₂ n − Σ c log₂ c / n."""
    counts = counts[counts > 0].astype(np.float64)
    n = counts.sum()
    return float(np.log2(n) - (counts * np.log2(counts)).sum() / n)


def _parts(ids: Ids) -> list[Ids]:
    """Return the whole text, or parts of a long one that are spread over it."""
    if len(ids) <= MAX_COUNTED_CHARACTERS:
        return [ids]
    size = MAX_COUNTED_CHARACTERS // PARTS
    starts = np.linspace(0, len(ids) - size, PARTS).astype(np.int64)
    return [ids[start : start + size] for start in starts]


def _symbols(parts: Sequence[Ids]) -> tuple[list[Array], int]:
    """Number the characters by frequency as int64; return the parts and how many symbols there are.

    The rarest characters share the last symbol if there are too many for the length of the text.
    """
    size = 1 + max(int(part.max()) for part in parts)
    counts = _summed(np.bincount(part, minlength=size) for part in parts)
    order = np.argsort(-counts, kind="stable")
    kinds = int((counts > 0).sum())
    room = math.isqrt(sum(map(len, parts)) // COUNTS_PER_CELL)
    V = max(1, min(kinds, MAX_SYMBOLS, max(2, room)))
    symbol = np.empty(len(counts), np.int64)
    symbol[order] = np.minimum(np.arange(len(counts)), V - 1)
    return [symbol[part] for part in parts], V


@dataclass(frozen=True)
class _Null:
    """What the estimate gives for independent characters of this text, in bits."""

    bias: float
    error: float  # standard deviation
    threshold: float  # above the bias
    variance: float  # of the information of one pair
    count: float  # pairs that are worth as much as independent ones


def _null(parts: Sequence[Array], V: int, seed: int) -> _Null:
    """Measure the distribution of the estimate for independent characters.

    It is close to a gamma distribution; the quantile is that of Wilson & Hilferty 1931.
    """
    counted = sum(map(len, parts))
    size = max(1, min(BLOCK, counted // MIN_BLOCKS))
    blocks = np.concatenate([part[: len(part) // size * size].reshape(-1, size) for part in parts])
    scaled, positions = blocks * V, np.arange(size)

    def estimate(number: int, *, shuffled: bool) -> tuple[float, float]:
        rng = generator(seed, Purpose.SPLIT, number)
        if shuffled:
            pairs = scaled.ravel() + rng.permutation(blocks.ravel())
        else:
            order = rng.permutation(len(blocks))
            other = np.empty_like(order)
            other[order] = np.roll(order, 1)  # a cycle pairs no block with itself
            turned = (positions + rng.integers(size, size=(len(blocks), 1))) % size
            pairs = (scaled + blocks[other[:, None], turned]).ravel()
        mean, variance = _information(np.bincount(pairs, minlength=V * V), V)
        return mean * blocks.size / counted, variance

    values = np.array([estimate(number, shuffled=False) for number in range(SURROGATE_COUNT)])
    shuffled = np.mean([estimate(number, shuffled=True)[0] for number in range(SHUFFLES)])
    mean, variance = map(float, values.mean(axis=0))
    spread = float(values[:, 0].std(ddof=1))
    if mean <= 0 or spread <= 0 or shuffled <= 0:
        return _Null(0.0, 0.0, 0.0, 0.0, counted)
    ninth = (spread / mean) ** 2 / 9
    quantile = mean * (1 - ninth + DETECTION_SIGMAS * math.sqrt(ninth)) ** 3
    count = counted * min(1.0, float(shuffled) / mean)
    return _Null(mean, spread, quantile - mean, variance, count)


def _horizon(lags: Sequence[int], bits: Sequence[float], detected: Sequence[bool]) -> int | None:
    """Return the smallest lag from which on I is below 1 % of its maximum, or not detected."""
    least = HORIZON_SHARE * max(bits)
    above = [
        k for k, value, found in zip(lags, bits, detected, strict=True) if found and value >= least
    ]
    if not above:
        return lags[0]
    position = lags.index(above[-1]) + 1
    return lags[position] if position < len(lags) else None


def _ngram_losses(ids: Ids, stop: StopFlag) -> tuple[float, ...] | None:
    """Return the held-out nats of interpolated n-gram counts, n = 1, …; None if stopped.

    Of a long text the last `MAX_NGRAM_CHARACTERS` are read, and their end is what is predicted.
    """
    ids = ids[-MAX_NGRAM_CHARACTERS:]
    validation = max(1, round(NGRAM_VALIDATION * len(ids)))
    train, held_out = ids[:-validation], ids[-validation - 1 :]
    losses = []
    for p in witten_bell(train[:-1], held_out, int(ids.max()) + 1, NGRAM_ORDERS):
        if stop():
            return None
        losses.append(float(np.log(1 / p[1:]).mean()))
    return tuple(losses)
