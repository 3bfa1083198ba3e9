"""Coding models: integer frequencies of the next character, of one model or of an ensemble.

    share_k(c) = ⌊2²⁸ · p_k(c)⌋        frequency(c) = 1 + Σ_k share_k(c)

in integers. The 1 lets every character of the vocabulary be coded; the sum over members is, up to
rounding, the arithmetic mean of their probabilities.
"""

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from charrnn.compression.fixed_point import FixedNetwork, Integers, negative_power
from charrnn.inference.model import Model
from charrnn.types import Ids

SHARE_BITS = 28
"""Binary places of the probabilities that become frequencies."""

FINGERPRINT_BYTES = 8
FINGERPRINT_STEPS = 24
"""Characters that are read for a fingerprint."""


class CodingModel:
    """Language models of one vocabulary as a source of integer frequencies.

    Args:
        members: one model, or those of an ensemble.

    Raises `UsageError` for a model that has no fixed-point form.
    """

    def __init__(self, members: Sequence[Model]) -> None:
        self.members = tuple(members)
        self.vocabulary = members[0].vocabulary
        self.networks = [FixedNetwork(model.config, model.parameters) for model in members]
        self.start = int(members[0].start("")[0])
        """The id that is read before the first character of each sequence."""

    @property
    def parts(self) -> int:
        """The number of parts whose code alone is measured: the members of an ensemble, or none."""
        return len(self.members) if len(self.members) > 1 else 0

    def begin(self, S: int) -> None:
        """Begin S sequences, each from the zero state."""
        for network in self.networks:
            network.begin(S)

    def shares(self, ids: Ids) -> Integers:
        """Read one character of each of the first n sequences; return the shares (K, n, V)."""
        return np.stack([shares(network.read(ids)) for network in self.networks])

    def frequencies(self, found: Integers) -> Integers:
        """Return the frequencies (n, V) for the shares that `shares` returned."""
        return frequencies(found)

    def fingerprint(self) -> bytes:
        """Return a hash of frequencies that this machine computes for a fixed sequence of ids.

        They are computed for one sequence and for three at a time, which must not differ.
        """
        digest = hashlib.sha256()
        V = len(self.vocabulary)
        for S in (1, 3):
            self.begin(S)
            for step in range(FINGERPRINT_STEPS):
                found = self.shares(np.full(S, (self.start + 7 * step) % V))
                digest.update(found[:, 0].astype("<i8").tobytes())
        return digest.digest()[:FINGERPRINT_BYTES]

    def hashes(self) -> tuple[bytes, ...]:
        """Return the SHA-256 of each member."""
        return tuple(map(model_hash, self.members))


def shares(logits: Integers) -> Integers:
    """Return ⌊2²⁸ · p⌋ for logits (…, V) to the base 2, as `FixedNetwork.read` returns them."""
    weights = negative_power(logits.max(axis=-1, keepdims=True) - logits)
    found: Integers = (weights << SHARE_BITS) // weights.sum(axis=-1, keepdims=True)
    return found


def frequencies(member_shares: Integers) -> Integers:
    """Return the frequencies (n, V) for shares (K, n, V)."""
    found: Integers = member_shares.sum(axis=0) + 1
    return found


def model_hash(model: Model) -> bytes:
    """Return the SHA-256 of what a model computes with: its shape, vocabulary and weights.

    The training state, the text and the file do not count.
    """
    config, vocabulary = model.config, model.vocabulary
    shape = {
        "cell": config.cell,
        "hidden": config.hidden,
        "layers": config.layers,
        "characters": vocabulary.characters,
        "as_bytes": vocabulary.as_bytes,
    }
    digest = hashlib.sha256(json.dumps(shape, sort_keys=True).encode("ascii"))
    for name in sorted(model.parameters):
        digest.update(name.encode("ascii"))
        digest.update(np.ascontiguousarray(model.parameters[name], "<f4").tobytes())
    return digest.digest()
