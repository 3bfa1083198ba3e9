"""Coding models of mixtures: networks and n-grams mixed log-linearly in integers.

    q(c)     = pₙ(c) of `charrnn.inference.ngram_model`, each division rounded down, 30 places
    z(c)     = a · log₂ Σ_k (share_k(c) + 1) + b · log₂ (q(c) + 1)
    share(c) = ⌊2²⁸ · 2^z(c) / Σ 2^z⌋              frequency(c) = 1 + share(c)

All in int64: the exponents a and b are multiples of 2⁻¹², and log₂ is a table of 2⁻¹² steps that is
computed with Python's integers. Constant terms, such as log₂ K, leave the shares as they are.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import cache

import numpy as np

from charrnn.compression.coding_model import SHARE_BITS, CodingModel, model_hash, shares
from charrnn.compression.fixed_point import SUM_BITS, Integers
from charrnn.errors import UsageError
from charrnn.inference.mixture import Mixture
from charrnn.inference.model import Model
from charrnn.inference.ngram_model import NgramModel
from charrnn.types import Array, Ids

NGRAM_BITS = 30
"""Binary places of the probabilities of n-grams."""

EXPONENT_BITS = 12
"""Binary places of the exponents."""

LOG_STEP_BITS = 12
"""The table of log₂ has steps of 2⁻¹² from 1 to 2."""


@cache
def log_table() -> Integers:
    """Return 2²⁴ log₂(x), rounded down, in the middle of each step from x = 1 to 2.

    Each binary place of a logarithm comes from one squaring, with 96 binary places.
    """
    places = 96
    values = []
    for step in range(1 << LOG_STEP_BITS):
        x = (2 * ((1 << LOG_STEP_BITS) + step) + 1) << places - LOG_STEP_BITS - 1
        logarithm = 0
        for _ in range(SUM_BITS):
            x = x * x >> places
            bit = x >> places + 1
            x >>= bit
            logarithm = 2 * logarithm + bit
        values.append(logarithm)
    return np.array(values, np.int64)


def log2(x: Integers) -> Integers:
    """Return log₂ of integers from 1 to below 2⁵³ with `SUM_BITS` places.

    Example:
        >>> (log2(np.array([1, 2, 1024])) / 2**24).round(3)
        array([ 0.,  1., 10.])
    """
    mantissa, exponent = np.frexp(x.astype(np.float64))  # exact: no integer is rounded
    step = np.ldexp(mantissa, LOG_STEP_BITS + 1).astype(np.int64) - (1 << LOG_STEP_BITS)
    whole = (exponent.astype(np.int64) - 1) << SUM_BITS
    found: Integers = whole + log_table().take(step)
    return found


class MixtureCodingModel(CodingModel):
    """A mixture with n-grams as a source of integer frequencies.

    Args:
        mixture: the mixture.

    Raises `UsageError` for a network that has no fixed-point form.
    """

    def __init__(self, mixture: Mixture) -> None:
        super().__init__(mixture.members)
        ngrams = mixture.ngrams
        if ngrams is None:
            raise ValueError("a mixture without n-grams is an ensemble")
        self.mixture = mixture
        self.ngrams: NgramModel = ngrams
        self._contexts: Array = ngrams.begin(1)
        numbers = mixture.exponents
        self._network = in_steps(numbers.network_unmatched), in_steps(numbers.network_matched)
        self._ngram = in_steps(numbers.ngrams_unmatched), in_steps(numbers.ngrams_matched)

    @property
    def parts(self) -> int:
        """The number of parts whose code alone is measured: each network, and the n-grams."""
        return len(self.members) + 1

    def begin(self, S: int) -> None:
        """Begin S sequences, each from the zero state."""
        super().begin(S)
        self._contexts = self.ngrams.begin(S)

    def shares(self, ids: Ids) -> Integers:
        """Read one character of each of the first n sequences.

        Returns:
            The shares (K + 2, n, V) of each network, of the n-grams, and of the mixture.
        """
        networks = super().shares(ids)
        n = len(ids)
        contexts = self.ngrams.read(self._contexts[:, :n], ids)
        self._contexts[:, :n] = contexts
        q = fixed_probabilities(self.ngrams, contexts)
        matched, longest = self.ngrams.matched(contexts), max(1, self.ngrams.order - 1)
        a, b = (
            ((longest - matched) * unmatched + matched * at_longest) // longest
            for unmatched, at_longest in (self._network, self._ngram)
        )
        mean = log2(networks.sum(axis=0) + len(networks))
        z = (a[:, None] * mean + b[:, None] * log2(q + 1)) >> EXPONENT_BITS
        return np.concatenate((networks, (q >> NGRAM_BITS - SHARE_BITS)[None], shares(z)[None]))

    def frequencies(self, found: Integers) -> Integers:
        """Return the frequencies (n, V) of the mixture for shares (K + 2, n, V)."""
        whole: Integers = found[-1] + 1
        return whole

    def hashes(self) -> tuple[bytes, ...]:
        """Return the SHA-256 of the mixture."""
        return (mixture_hash(self.mixture),)


def in_steps(exponent: float) -> int:
    """Return an exponent in units of 2⁻¹²."""
    return round(exponent * (1 << EXPONENT_BITS))


def fixed_probabilities(ngrams: NgramModel, contexts: Array) -> Integers:
    """Return the probabilities (n, V) after contexts (order, n) with `NGRAM_BITS` places."""
    n = contexts.shape[1]
    p: Integers = np.full((n, ngrams.size), (1 << NGRAM_BITS) // ngrams.size)
    for k in range(ngrams.order):
        rows = np.flatnonzero(ngrams.followed(k, contexts[k]))
        if not len(rows):
            break
        at, characters, counts, kinds, totals = ngrams.followers(k, contexts[k, rows])
        p[rows] *= kinds[:, None]
        p[rows[at], characters] += counts << NGRAM_BITS
        p[rows] //= (totals + kinds)[:, None]
    return p


def mixture_hash(mixture: Mixture) -> bytes:
    """Return the SHA-256 of what a mixture computes with; the files that it came from do not count.

    Raises `ValueError` for a mixture without n-grams.
    """
    record = mixture.record.ngrams
    if record is None:
        raise ValueError("a mixture without n-grams is an ensemble")
    settings = record.settings() | {"fitted": 0}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode("ascii"))
    for member in mixture.members:
        digest.update(model_hash(member))
    digest.update(record.ids.astype("<u4").tobytes())
    return digest.digest()


def coding_model(models: Sequence[Model]) -> CodingModel:
    """Return the source of frequencies of one model, of a mixture, or of an ensemble of networks.

    Raises `UsageError` for a mixture in an ensemble.
    """
    first, *others = models
    if isinstance(first, Mixture) and not others:
        return MixtureCodingModel(first) if first.record.ngrams else CodingModel(first.members)
    if any(isinstance(model, Mixture) for model in models):
        raise UsageError("a mixture is no part of an ensemble", "charrnn combine of the networks")
    return CodingModel(models)


def hashed(model: Model) -> dict[bytes, Model]:
    """Return the models that a file can have, by the hashes that name them in a compressed file.

    A mixture without n-grams is named by its networks.
    """
    if not isinstance(model, Mixture):
        return {model_hash(model): model}
    if model.record.ngrams is None:
        return {model_hash(member): member for member in model.members}
    return {mixture_hash(model): model}
