"""N-gram model: probabilities of the next character from how often it followed the same context.

    p₀(c)     = 1 / V
    pₙ(c | h) = (count(h c) + kinds(h) pₙ₋₁(c | h′)) / (count(h) + kinds(h))

h are the n − 1 characters before c, and h′ the same without the oldest; in the text, count(h)
characters followed h, of kinds(h) different kinds. Witten & Bell, "The zero-frequency problem",
IEEE Transactions on Information Theory 37(4), 1991, method C, interpolated with all shorter
contexts as in Chen & Goodman, Computer Speech & Language 13, 1999.
`charrnn.evaluation.baselines.witten_bell` gives the same probabilities of the characters that
occur; here all V of each position are computed.

An n-gram is the (n − 1)-gram before its last character, and that character: a pair of numbers. The
pairs of each n are sorted, so that those that follow one context stand together, and the position
of a pair is the number of the n-gram. A text is read by looking up one pair for each n.
"""

from dataclasses import dataclass

import numpy as np

from charrnn.errors import TextError
from charrnn.limits import MAX_NGRAM_CHARACTERS, NGRAM_ORDER
from charrnn.types import Array, Ids

UNSEEN = -1
"""Number of a context that does not occur."""


@dataclass(frozen=True)
class Continuations:
    """The n-grams of one n, sorted: which characters follow each context, and how often.

    Attributes:
        keys: context · V + character of each n-gram (K,), ascending.
        counts: how often it occurs (K,).
        begins: for each context the position of its first n-gram, and K at the end (C + 1,).
        totals: characters that followed each context (C,).
    """

    keys: Array
    counts: Array
    begins: Array
    totals: Array


class NgramModel:
    """The n-grams of a text up to one length, as a language model.

    Args:
        ids: the text (N,), from 1 to `MAX_NGRAM_CHARACTERS` ids below `size`.
        size: characters in the vocabulary, V.
        order: n of the longest n-grams, whose contexts have n − 1 characters.

    Raises `TextError` if `ids` is empty or too long, and `UsageError` for an order out of range.

    Example:
        >>> model = NgramModel(np.array([0, 1, 0, 1, 0, 2]), size=3, order=3)
        >>> contexts = model.read(model.begin(1), np.array([0]))
        >>> model.probabilities(contexts).round(3)  # 0 was followed by 1, 1 and 2
        array([[0.178, 0.533, 0.289]])
    """

    def __init__(self, ids: Ids, size: int, order: int) -> None:
        NGRAM_ORDER.check("the order of n-grams", order)
        if not 0 < len(ids) <= MAX_NGRAM_CHARACTERS:
            raise TextError(
                f"n-grams are counted in 1 to {MAX_NGRAM_CHARACTERS:,} characters, not in "
                f"{len(ids):,}",
                "another text",
            )
        self.size, self.order = size, order
        self.tables: list[Continuations] = []
        grams: Array = np.zeros(len(ids), np.int64)  # before each character: its context
        contexts = 1
        for _ in range(order):
            keys, numbers, counts = np.unique(
                grams * size + ids[len(ids) - len(grams) :], return_inverse=True, return_counts=True
            )
            begins = np.searchsorted(keys, np.arange(contexts + 1) * size)
            totals = np.diff(np.concatenate(([0], np.cumsum(counts)))[begins])
            self.tables.append(Continuations(keys, counts, begins, totals))
            grams, contexts = numbers[:-1], len(keys)

    def begin(self, S: int) -> Array:
        """Return the contexts (order, S) before the first character of S sequences.

        Row k of contexts has the numbers of the last k characters, or `UNSEEN`.
        """
        contexts = np.full((self.order, S), UNSEEN)
        contexts[0] = 0
        return contexts

    def read(self, contexts: Array, ids: Ids) -> Array:
        """Return the contexts (order, S) after one more character of each sequence, ids (S,)."""
        longer = np.empty_like(contexts)
        longer[0] = 0
        for k in range(1, self.order):
            longer[k] = self._find(k - 1, contexts[k - 1], ids)
        return longer

    def contexts_of(self, ids: Ids) -> Array:
        """Return the contexts (order, N) after each character of a text (N,), at once."""
        contexts = self.begin(len(ids))
        for k in range(1, self.order):
            before = np.concatenate(([0 if k == 1 else UNSEEN], contexts[k - 1, :-1]))
            contexts[k] = self._find(k - 1, before, ids)
        return contexts

    def _find(self, k: int, contexts: Array, ids: Ids) -> Array:
        """Return the number of each context of k characters and the character after it."""
        keys = self.tables[k].keys
        if not len(keys):  # the text is shorter than these n-grams
            return np.full_like(contexts, UNSEEN)
        key = contexts * self.size + ids
        at = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
        return np.where((contexts >= 0) & (keys[at] == key), at, UNSEEN)

    def matched(self, contexts: Array) -> Array:
        """Return how many characters the longest context has that something followed (n,)."""
        return sum(
            (self.followed(k, row).astype(np.int64) for k, row in enumerate(contexts) if k),
            start=np.zeros(contexts.shape[1], np.int64),
        )

    def followed(self, k: int, contexts: Array) -> Array:
        """Return which contexts of k characters occur with a character after them."""
        if not len(self.tables[k].keys):
            return np.zeros(len(contexts), bool)
        # UNSEEN is the last element, whose value the comparison discards
        return (contexts >= 0) & (self.tables[k].totals[contexts] > 0)

    def probabilities(self, contexts: Array) -> Array:
        """Return the probabilities (n, V) of the character after each context (order, n)."""
        n = contexts.shape[1]
        p: Array = np.full((n, self.size), 1 / self.size)
        for k in range(self.order):
            rows = np.flatnonzero(self.followed(k, contexts[k]))
            if not len(rows):
                break
            at, characters, counts, kinds, totals = self.followers(k, contexts[k, rows])
            share = 1 / (totals + kinds)
            p[rows] *= (kinds * share)[:, None]
            p[rows[at], characters] += counts * share[at]
        return p

    def followers(self, k: int, contexts: Array) -> tuple[Array, Array, Array, Array, Array]:
        """Return what follows contexts (m,) of k characters.

        Returns:
            For each of their n-grams the index of its context, its last character and its count;
            for each context the number of its n-grams, and of the characters that followed it.
        """
        table = self.tables[k]
        begins = table.begins[contexts]
        kinds = table.begins[contexts + 1] - begins
        at = np.repeat(np.arange(len(contexts)), kinds)
        places = np.arange(len(at)) + np.repeat(begins - (np.cumsum(kinds) - kinds), kinds)
        characters = table.keys[places] - contexts[at] * self.size
        return at, characters, table.counts[places], kinds, table.totals[contexts]
