"""Sampling: characters drawn from logits with temperature, top-k and top-p, and fed back."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from numbers import Integral, Real

import numpy as np

from charrnn.errors import DivergedError, UsageError
from charrnn.inference.fast_step import SingleStep, single_step
from charrnn.limits import check_kind, format_value
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network
from charrnn.nn.parameters import Parameters
from charrnn.randomness import Purpose, generator
from charrnn.types import Array, Ids


@dataclass(frozen=True)
class Sampling:
    """How to draw the next character. Both limits apply after the temperature.

    Raises `UsageError` for a setting out of range.

    Example:
        >>> logits = np.log([[0.5, 0.3, 0.2]])
        >>> probabilities(logits, Sampling(temperature=1.0, top_k=2)).round(3)
        array([[0.625, 0.375, 0.   ]])
    """

    temperature: float = 1.0
    """The logits are divided by it; 0 always takes the most probable character."""
    top_k: int = 0
    """Number of most probable characters to draw from; 0 for no limit."""
    top_p: float = 1.0
    """Draw from the fewest characters whose probabilities add up to it, above 0 and at most 1; 1
    for no limit (Holtzman et al. 2020, arXiv 1904.09751)."""
    seed: int = 0
    """Seed of the draws, 0 or more."""

    def __post_init__(self) -> None:
        for name in ("temperature", "top_p"):
            check_kind(name, getattr(self, name), Real)
        for name in ("top_k", "seed"):
            check_kind(name, getattr(self, name), Integral)
        if not 0 <= _as_float(self.temperature) < math.inf:
            raise UsageError(
                f"temperature is {format_value(self.temperature)}; it must be a finite number, 0 "
                "or more",
                "--temperature 0.8",
            )
        if self.top_k < 0:
            top_k = format_value(self.top_k)
            raise UsageError(f"top-k is {top_k}; it must be 1 or more, or 0 for no limit")
        if not 0 < self.top_p <= 1:
            top_p = format_value(self.top_p)
            raise UsageError(f"top-p is {top_p}; it must be above 0 and at most 1")
        if self.seed < 0:
            raise UsageError(f"the seed is {format_value(self.seed)}; it must be 0 or more")


def _as_float(number: float) -> float:
    """Return a number as a float; infinity for an integer that is too large for one."""
    try:
        return float(number)
    except OverflowError:
        return math.inf


def check_sampling(sampling: object) -> None:
    """Raise `UsageError` unless an argument is a `Sampling`."""
    if not isinstance(sampling, Sampling):
        raise UsageError(
            f"sampling is {format_value(sampling)}; it must be of charrnn.inference.sampling"
        )


def probabilities(logits: Array, sampling: Sampling) -> Array:
    """Return the probability of each character, float64 (B, V), for logits (B, V)."""
    y = logits.astype(np.float64)
    y -= y.max(axis=-1, keepdims=True)
    if sampling.temperature == 0:
        likeliest = np.zeros_like(y)
        likeliest[np.arange(len(y)), y.argmax(axis=-1)] = 1
        return likeliest
    with np.errstate(over="ignore", under="ignore"):  # −∞ is the right limit, and e⁻∞ is 0
        y /= sampling.temperature
        p: Array = np.exp(y)
    if 0 < sampling.top_k < p.shape[-1] or sampling.top_p < 1:
        _keep_likeliest(p, sampling)
    p /= p.sum(axis=-1, keepdims=True)
    return p


def _keep_likeliest(p: Array, sampling: Sampling) -> None:
    """Set to zero, in place, all but the `top_k` most probable and the nucleus of `top_p`."""
    order = np.argsort(-p, axis=-1, kind="stable")
    ranked = np.take_along_axis(p, order, axis=-1)
    before = np.cumsum(ranked, axis=-1) - ranked
    kept = before < sampling.top_p * ranked.sum(axis=-1, keepdims=True)
    kept[:, 0] = True
    if sampling.top_k:
        kept[:, sampling.top_k :] = False
    np.put_along_axis(p, order, np.where(kept, ranked, 0), axis=-1)


def quietly(read: Callable[[int], Array], id_: int) -> Array:
    """Return `read(id_)` without warnings of NumPy about huge weights."""
    with np.errstate(over="ignore", invalid="ignore"):
        return read(id_)


def finite_logits(logits: Array) -> Array:
    """Return logits; `DivergedError` if one is not finite, because weights are huge."""
    if not np.isfinite(logits).all():
        raise DivergedError(
            "the predictions of this model are not finite: its weights are too large",
            "another checkpoint",
        )
    return logits


def draw(p: Array, chance: Array) -> Ids:
    """Return ids (B,) drawn with probabilities p (B, V), by inverting the cumulative sum.

    `chance` (B,) holds uniform numbers in (0, 1]. Since none is 0 and none above 1, rounding
    neither exceeds the last id nor selects one with p = 0.
    """
    heap = p.cumsum(axis=-1)
    ids: Ids = (heap < chance[:, None] * heap[:, -1:]).sum(axis=-1)
    return ids


def generate(
    config: ModelConfig, parameters: Parameters, prime: Ids, sampling: Sampling, count: int = 1
) -> Iterator[Ids]:
    """Read `prime` (N,) from the zero state, then yield ids (count,) without end.

    All samples are drawn as one batch; sample number b depends on the seed and on b only. The
    arrays must not be changed. Raises `DivergedError` if a logit is not finite.
    """
    reader = Network(config, parameters, 1, 1)
    for id_ in prime[:-1]:
        reader.forward(np.full((1, 1), id_))
        reader.carry_state()
    if count == 1:
        moderate = MIN_FAST_TEMPERATURE <= sampling.temperature <= MAX_FAST_TEMPERATURE
        limited = sampling.top_k or sampling.top_p < 1 or not moderate
        temperature = 1.0 if limited else sampling.temperature
        stream = single_step(config, parameters, reader.states(), temperature)
        yield from _stream(stream, int(prime[-1]), sampling, limited=bool(limited))
    network = Network(config, parameters, 1, count)
    network.load_states(reader.states())
    chances = chain.from_iterable(uniform_numbers(sampling.seed, count))
    ids: Ids = np.full(count, prime[-1])
    while True:
        logits = finite_logits(network.forward(ids[None])[0])
        network.carry_state()
        ids = draw(probabilities(logits, sampling), next(chances))
        yield ids


MIN_FAST_TEMPERATURE = 0.01
MAX_FAST_TEMPERATURE = 1e30
"""Range of temperatures by which logits can be divided in float32."""

MAX_SAFE_LOGIT = 80.0
"""For logits y up to this, eʸ is finite in float32."""


def _stream(stream: SingleStep, id_: int, sampling: Sampling, *, limited: bool) -> Iterator[Ids]:
    """Yield the ids (1,) of a single sample without end, in fewer NumPy calls than `generate`."""
    read, heap = stream.logits_function(), np.zeros(stream.y.shape)
    accumulate = np.add.accumulate
    huge = stream.may_overflow
    safe = stream.max_logit < MAX_SAFE_LOGIT and not huge
    every_id = np.arange(len(heap))[:, None]
    every_id.flags.writeable = False  # each may be yielded again
    ids = list(every_id)
    blocks = (block.ravel().tolist() for block in uniform_numbers(sampling.seed, 1))
    for chance in chain.from_iterable(blocks):
        y = finite_logits(quietly(read, id_)) if huge else read(id_)
        if limited:
            id_ = int(draw(probabilities(y[None], sampling), np.array([chance]))[0])
        else:
            if not safe:
                with np.errstate(over="ignore"):  # −∞ is the right limit
                    y -= y.max()
            heap[...] = np.exp(y, y)
            accumulate(heap, out=heap)
            id_ = int(heap.searchsorted(chance * heap.item(-1)))
        yield ids[id_]


CHANCES = 256
"""Random numbers that are drawn at a time."""


def uniform_numbers(seed: int, count: int) -> Iterator[Array]:
    """Yield blocks of numbers (CHANCES, count) in (0, 1], each column from its own generator."""
    generators = [generator(seed, Purpose.SAMPLING, sample) for sample in range(count)]
    while True:
        yield np.stack([1 - rng.random(CHANCES) for rng in generators], axis=-1)
