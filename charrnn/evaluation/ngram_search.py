"""Exact search for the n-grams of some texts in a training text, which is read once in windows.

Nothing is hashed: n-grams are named as in Karp, Miller & Rosenberg 1972 ("Rapid identification of
repeated patterns in strings, trees and arrays", STOC). The different n-grams of 2ᵏ characters of
the texts are numbered, a longer one is the pair of the numbers of its first and its last 2ᵏ
characters, and the training text is numbered in the same way, with −1 for what occurs in none of
the texts. Memory grows with the texts, not with the training text.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from charrnn.errors import TextError
from charrnn.types import Array, Ids

WINDOW = 2**18
"""Characters of the training text that are searched at a time."""

MAX_TABLE = 2**22
"""Pairs of names up to which they are looked up in a table instead of by binary search."""


@dataclass(frozen=True)
class SharedRun:
    """Characters in a row that a text shares with the training text.

    Attributes:
        characters: their number.
        text: index of the text.
        begin: where they begin in it.
        position: where they first occur in the training text, in characters from 0.
    """

    characters: int
    text: int
    begin: int
    position: int


def windows(chunks: Iterable[Ids], size: int, overlap: int) -> Iterator[tuple[int, Ids]]:
    """Yield windows of a text with their positions; each shares `overlap` ids with the next."""
    held: Ids | None = None
    begin = 0
    for chunk in chunks:
        for start in range(0, len(chunk), size):
            part = chunk[start : start + size]
            held = part if held is None else np.concatenate((held, part))
            if len(held) >= size + overlap:
                yield begin, held[: size + overlap]
                held = held[size:]
                begin += size
    if held is not None and len(held):
        yield begin, held


class Pairs:
    """Different pairs of names (a, b), numbered in the order of a · size + b.

    Args:
        keys: the pairs as a · size + b, sorted, each once.
        size: number of names.
        table: whether to make a table of all pairs for quicker search, if it is not too large.
    """

    def __init__(self, keys: Array, size: int, *, table: bool = False) -> None:
        self.keys, self.size = keys, size
        self._table: Array | None = None
        if table and size * size <= MAX_TABLE:
            self._table = np.full(size * size, -1, np.int32)
            self._table[keys] = np.arange(len(keys))

    def numbers(self, first: Array, last: Array) -> Array:
        """Return the number of each pair, −1 for other pairs; no name may be negative."""
        key = first * np.int64(self.size) + last
        if self._table is not None:
            return self._table[key]
        at: Array = np.minimum(np.searchsorted(self.keys, key), len(self.keys) - 1)
        return np.where(self.keys[at] == key, at, -1)


class Ngrams:
    """The n-grams of some texts, with names: numbers that are equal for equal n-grams.

    Args:
        texts: ids (N,) each. No n-gram reaches from one text into the next.
    """

    def __init__(self, texts: Sequence[Ids]) -> None:
        sizes = [len(text) for text in texts]
        self.longest = max(sizes, default=0)
        if not self.longest:
            raise TextError("there are no characters to compare", "longer texts")
        ids = np.concatenate(texts)
        self.sizes = np.array(sizes)
        self.text = np.repeat(np.arange(len(texts)), sizes)  # (Q,)
        self.starts = np.cumsum([0, *sizes])
        self.room = self.starts[self.text + 1] - np.arange(len(ids))  # (Q,) to the text's end
        self.kinds, names = np.unique(ids, return_inverse=True)
        self._names: list[Array] = [names.astype(np.int32)]  # for each k: (Q,), −1 without room
        self._sizes = [len(self.kinds)]
        self._pairs: list[Pairs] = []

    def positions(self, n: int) -> Array:
        """Return where n-grams begin."""
        return np.flatnonzero(self.room >= n)

    def names(self, k: int) -> Array:
        """Return the names (Q,) of the n-grams of 2ᵏ characters, −1 at the ends of texts."""
        self._add_levels(k)
        return self._names[k]

    def size(self, k: int) -> int:
        """Return how many different n-grams of 2ᵏ characters there are."""
        self._add_levels(k)
        return self._sizes[k]

    def pairs(self, k: int) -> Pairs:
        """Return the n-grams of 2ᵏ characters, k ≥ 1, as pairs; their numbers are the names."""
        self._add_levels(k)
        return self._pairs[k - 1]

    def keys(self, n: int, at: Array) -> Array:
        """Return the n-grams, n ≥ 2, at positions `at`, as a · size + b; see `half_level`."""
        k = half_level(n)
        names = self.names(k)
        keys: Array = names[at] * np.int64(self.size(k)) + names[at + (n - 2**k)]
        return keys

    def _add_levels(self, k: int) -> None:
        """Name the n-grams of up to 2ᵏ characters."""
        while len(self._names) <= k:
            n = 2 ** len(self._names)
            at = self.positions(n)
            keys, numbers = np.unique(self.keys(n, at), return_inverse=True)
            self._pairs.append(Pairs(keys, self._sizes[-1], table=True))
            names = np.full(len(self.room), -1, np.int32)
            names[at] = numbers
            self._names.append(names)
            self._sizes.append(len(keys))


def half_level(n: int) -> int:
    """Return the largest k with 2ᵏ < n, for n ≥ 2: two n-grams of 2ᵏ characters cover n."""
    return (n - 1).bit_length() - 1


class WindowNames:
    """Names of the n-grams of a window of the training text, by those of `Ngrams`."""

    def __init__(self, window: Ids, ngrams: Ngrams) -> None:
        self._ngrams = ngrams
        kinds = ngrams.kinds
        table = np.full(max(int(kinds[-1]), int(window.max())) + 1, -1, np.int32)
        table[kinds] = np.arange(len(kinds))
        self._names: list[Array] = [table[window]]

    def names(self, k: int) -> Array:
        """Return the names (w − 2ᵏ + 1,) of 2ᵏ characters, −1 for what is not in the texts."""
        while len(self._names) <= k:
            n = 2 ** len(self._names)
            at, first, last = self.halves(n)
            names = np.full(max(0, len(self._names[0]) - n + 1), -1, np.int32)
            if len(at):
                names[at] = self._ngrams.pairs(len(self._names)).numbers(first, last)
            self._names.append(names)
        return self._names[k]

    def halves(self, n: int, wanted: Array | None = None) -> tuple[Array, Array, Array]:
        """Return where n-grams of the texts may begin, n ≥ 2, and the names of their two parts.

        With `wanted` only those whose first part is True in it; its last element, for −1, is False.
        """
        k = half_level(n)
        names, offset = self.names(k), n - 2**k
        first, last = names[: max(0, len(names) - offset)], names[offset:]
        possible = first >= 0 if wanted is None else wanted[first]
        at = np.flatnonzero(possible & (last >= 0))
        return at, first[at], last[at]


class Search:
    """Search for the n-grams of some texts in a training text that is read window by window."""

    def __init__(self, texts: Sequence[Ids], lengths: Sequence[int]) -> None:
        self.ngrams = ngrams = Ngrams(texts)
        self.lengths = tuple(lengths)
        self.longest: SharedRun | None = None
        self._found_kinds = np.zeros(ngrams.size(0), bool)
        self._pending = {  # n-grams that have not occurred yet, as sorted keys
            n: np.unique(ngrams.keys(n, ngrams.positions(n)))
            for n in lengths
            if 1 < n <= ngrams.longest
        }

    def read(self, begin: int, window: Ids) -> None:
        """Search in the next window, which begins at position `begin` of the training text."""
        names = WindowNames(window, self.ngrams)
        kinds = names.names(0)
        self._found_kinds[kinds[kinds >= 0]] = True
        for n, pending in self._pending.items():
            if len(pending):
                self._pending[n] = self._still_pending(n, pending, names)
        self._lengthen(begin, names)

    def _still_pending(self, n: int, pending: Array, names: WindowNames) -> Array:
        """Return the n-grams of `pending` that do not occur in the window either."""
        size = self.ngrams.size(half_level(n))
        wanted = np.zeros(size + 1, bool)  # the last element is for the name −1
        wanted[pending // size] = True
        at, first, last = names.halves(n, wanted)
        if not len(at):
            return pending
        numbers = Pairs(pending, size).numbers(first, last)
        kept = np.ones(len(pending), bool)
        kept[numbers[numbers >= 0]] = False
        return pending[kept]

    def _lengthen(self, begin: int, names: WindowNames) -> None:
        """Replace the longest run if the window has a longer one: doubling, then bisection."""
        low = 0 if self.longest is None else self.longest.characters  # shared
        high = self.ngrams.longest + 1  # not shared
        step, run = 1, None
        while high - low > 1:
            n = min(low + step, high - 1) if step else (low + high) // 2
            found = self._first_shared(n, names)
            if found is None:
                high, step = n, 0
            else:
                low, step, run = n, 2 * step, found
        if run is not None:
            place, position = run
            text = int(self.ngrams.text[place])
            start = place - int(self.ngrams.starts[text])
            self.longest = SharedRun(low, text, start, begin + position)

    def _first_shared(self, n: int, names: WindowNames) -> tuple[int, int] | None:
        """Return where the first n-gram of the window that is in the texts is, in both; or None."""
        if n == 1:
            kinds = names.names(0)
            position = int(np.argmax(kinds >= 0))
            if kinds[position] < 0:
                return None
            return int(np.argmax(self.ngrams.names(0) == kinds[position])), position
        at, first, last = names.halves(n)
        if not len(at):
            return None
        places = self.ngrams.positions(n)
        keys = self.ngrams.keys(n, places)
        different = np.unique(keys)
        numbers = Pairs(different, self.ngrams.size(half_level(n))).numbers(first, last)
        hit = int(np.argmax(numbers >= 0))
        if numbers[hit] < 0:
            return None
        return int(places[np.argmax(keys == different[numbers[hit]])]), int(at[hit])

    def novel(self, n: int) -> tuple[Array, Array]:
        """Return the text of each n-gram, and whether it has not occurred; n ≤ the longest text."""
        ngrams = self.ngrams
        at = ngrams.positions(n)
        if n == 1:
            return ngrams.text, ~self._found_kinds[ngrams.names(0)]
        return ngrams.text[at], np.isin(ngrams.keys(n, at), self._pending[n])
