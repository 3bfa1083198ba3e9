"""From logits to characters: temperature, top-k, top-p, and the loop that feeds them back."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from charrnn.errors import UsageError
from charrnn.inference.fast_step import SingleStep, single_step
from charrnn.nn.network import ModelConfig, Network
from charrnn.nn.parameters import Parameters
from charrnn.randomness import Purpose, generator
from charrnn.types import Array, Ids


@dataclass(frozen=True)
class Sampling:
    """How to draw the next character; `UsageError` if it makes no sense.

    A temperature of 0 takes the likeliest character; 0 for `top_k` and 1 for `top_p` (Holtzman et
    al. 2020, arXiv 1904.09751) mean no limit. Both limits apply after the temperature.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise UsageError(
                f"temperature is {self.temperature}; it must be a finite number, 0 or more",
                "--temp 0.8",
            )
        if self.top_k < 0:
            raise UsageError(f"top-k is {self.top_k}; it must be 1 or more, or 0 for no limit")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top-p is {self.top_p}; it must be above 0 and at most 1")
        if self.seed < 0:
            raise UsageError(f"the seed is {self.seed}; it must be 0 or more")


def probabilities(logits: Array, sampling: Sampling) -> Array:
    """Return what each character is drawn with: logits (B, V) to float64 (B, V), rows of sum 1."""
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
    """Set to zero, in place, all but the `top_k` likeliest that make up `top_p` between them."""
    order = np.argsort(-p, axis=-1, kind="stable")
    ranked = np.take_along_axis(p, order, axis=-1)
    before = np.cumsum(ranked, axis=-1) - ranked
    kept = before < sampling.top_p * ranked.sum(axis=-1, keepdims=True)
    kept[:, 0] = True
    if sampling.top_k:
        kept[:, sampling.top_k :] = False
    np.put_along_axis(p, order, np.where(kept, ranked, 0), axis=-1)


def draw(p: Array, chance: Array) -> Ids:
    """Return the ids (B,) that numbers `chance` (B,), uniform in (0, 1], fall on under p (B, V).

    As no chance is 0 and none is above 1, rounding can neither pass the end nor hit p = 0.
    """
    heap = p.cumsum(axis=-1)
    ids: Ids = (heap < chance[:, None] * heap[:, -1:]).sum(axis=-1)
    return ids


def generate(
    config: ModelConfig, parameters: Parameters, prime: Ids, sampling: Sampling, count: int = 1
) -> Iterator[Ids]:
    """Read `prime` (N,) from the zero state, then draw ids (count,) for ever.

    All samples walk in one batched pass; sample number b depends on the seed and b alone.
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
    chances = chain.from_iterable(_chances(sampling.seed, count))
    ids: Ids = np.full(count, prime[-1])
    while True:
        logits = network.forward(ids[None])[0]
        network.carry_state()
        ids = draw(probabilities(logits, sampling), next(chances))
        yield ids


MIN_FAST_TEMPERATURE = 0.01
MAX_FAST_TEMPERATURE = 1e30
"""The temperatures between which logits can be divided by them in float32."""

MAX_SAFE_LOGIT = 80.0
"""Below this eʸ is a float32."""


def _stream(stream: SingleStep, id_: int, sampling: Sampling, *, limited: bool) -> Iterator[Ids]:
    """Yield the ids (1,) of a single sample, for ever: as `generate`, in fewer calls."""
    read, heap = stream.logits_function(), np.zeros(stream.y.shape)
    accumulate = np.add.accumulate
    safe = stream.max_logit < MAX_SAFE_LOGIT
    every_id = np.arange(len(heap))[:, None]
    every_id.flags.writeable = False  # each may be yielded again
    ids = list(every_id)
    blocks = (block.ravel().tolist() for block in _chances(sampling.seed, 1))
    for chance in chain.from_iterable(blocks):
        y = read(id_)
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


def _chances(seed: int, count: int) -> Iterator[Array]:
    """Yield blocks of numbers (CHANCES, count) in (0, 1], each lane from its own generator."""
    generators = [generator(seed, Purpose.SAMPLING, lane) for lane in range(count)]
    while True:
        yield np.stack([1 - rng.random(CHANCES) for rng in generators], axis=-1)
