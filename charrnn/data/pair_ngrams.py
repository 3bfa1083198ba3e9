"""N-grams of concatenated texts, numbered."""

from dataclasses import dataclass

import numpy as np

from charrnn.types import Array, Ids

DEFAULT_ORDER = 4
"""Symbols of the longest n-grams by default."""


@dataclass(frozen=True)
class Ngrams:
    """The n-grams of some texts, with marks at both ends of each text.

    Args:
        keys: a number for each n-gram that occurs, by order n = 1 … (m,).
        owners: the text of each (m,), ascending.
        count: the number of texts.
    """

    keys: tuple[Ids, ...]
    owners: tuple[Ids, ...]
    count: int

    @classmethod
    def of(cls, ids: Ids, starts: Ids, symbols: int, order: int = DEFAULT_ORDER) -> "Ngrams":
        """Number the n-grams of concatenated texts.

        Args:
            ids: the texts (N,), ids below `symbols`.
            starts: where each begins, and where the last one ends (count + 1,).
            symbols: the number of symbols.
            order: n of the longest n-grams; fewer if their numbers would be too large.
        """
        base, count = symbols + 1, len(starts) - 1
        starts = starts + 2 * np.arange(count + 1)
        stream = np.full(int(starts[-1]), symbols, np.uint64)
        owner = np.repeat(np.arange(count), np.diff(starts))
        inside = np.ones(len(stream), bool)
        inside[starts[:-1]] = inside[starts[1:] - 1] = False
        stream[inside] = ids
        keys, owners = [stream[inside]], [owner[inside]]
        key = stream
        for n in range(2, order + 1):
            if base**n >= 2**63:
                break
            key = key[:-1] * np.uint64(base) + stream[n - 1 :]
            whole = owner[: len(key)] == owner[n - 1 :]
            keys.append(key[whole])
            owners.append(owner[: len(key)][whole])
        return cls(tuple(keys), tuple(owners), count)

    def only(self, chosen: Array) -> "Ngrams":
        """Return the n-grams of the chosen texts (a mask); the texts keep their numbers."""
        kept = [chosen[owner] for owner in self.owners]
        return Ngrams(
            tuple(key[mask] for key, mask in zip(self.keys, kept, strict=True)),
            tuple(owner[mask] for owner, mask in zip(self.owners, kept, strict=True)),
            self.count,
        )
