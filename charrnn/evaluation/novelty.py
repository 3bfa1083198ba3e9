"""Novelty of texts: which n-grams, and how long runs, they share with a training text.

An n-gram of a text is novel if it occurs nowhere in the training text. What a model writes is
compared with text that was held out: an author repeats himself too.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from charrnn.evaluation.ngram_search import WINDOW, Search, SharedRun, windows
from charrnn.types import Ids

LENGTHS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50, 75, 100)
"""Lengths n of the n-grams whose share of novel ones is measured."""

VERDICT_LENGTH = 20
"""Characters of the n-grams that `verdict` compares."""

SIGNIFICANT_ERRORS = 3.0
"""Standard errors of a difference from which on it counts as one."""

MIN_EXCESS = 0.01
"""Share of n-grams that must be copied beyond the share of the held-out text."""

MIN_RUN, RUN_FACTOR = 50, 2
"""Characters of a shared run that counts as copied, if it is `RUN_FACTOR` times as long as the
longest of the held-out text."""


@dataclass(frozen=True)
class Novelty:
    """Novelty of some texts.

    Attributes:
        texts: number of texts.
        characters: characters of all texts together.
        lengths: lengths n of the n-grams, ascending.
        novel: share of n-grams that do not occur in the training text, for each n; None if no text
            has n characters.
        errors: standard error of each share.
        longest: the longest run that is shared; of several the first in the training text. None if
            not even one character is shared.
    """

    texts: int
    characters: int
    lengths: tuple[int, ...]
    novel: tuple[float | None, ...]
    errors: tuple[float | None, ...]
    longest: SharedRun | None

    def share(self, n: int) -> float | None:
        """Return the share of novel n-grams for one of `lengths`."""
        return self.novel[self.lengths.index(n)]

    def error(self, n: int) -> float | None:
        """Return the standard error of `share(n)`."""
        return self.errors[self.lengths.index(n)]

    @property
    def longest_run(self) -> int:
        """Characters of the longest shared run."""
        return 0 if self.longest is None else self.longest.characters


class Verdict(StrEnum):
    """What a comparison of samples with held-out text says."""

    COPIES = "copies"
    """Clearly more of the n-grams of the samples occur in the training text."""
    QUOTES = "quotes"
    """Only the longest shared run is much longer."""
    NO_MORE = "no more than held-out text"
    UNKNOWN = "unknown"
    """There is no held-out text, or the texts are too short."""


def novelties(
    groups: Sequence[Sequence[Ids]],
    corpus: Iterable[Ids],
    lengths: Sequence[int] = LENGTHS,
    window: int = WINDOW,
) -> list[Novelty]:
    """Return the novelty of several groups of texts; the training text is read once.

    Args:
        groups: for each group its texts, as ids (N,).
        corpus: the training text as ids, in chunks of any length.
        lengths: lengths of n-grams, all at least 1 and ascending.
        window: characters of the training text that are searched at a time.

    Raises:
        TextError: if a group has no characters.
        ValueError: if `lengths` are not ascending from 1 or more.

    Example:
        >>> import numpy as np
        >>> corpus = np.array([0, 1, 2, 3, 0, 1])
        >>> texts = [np.array([3, 3, 0, 1, 2])]
        >>> [found] = novelties([texts], [corpus], lengths=(1, 2, 3))
        >>> found.novel
        (0.0, 0.25, 0.3333333333333333)
        >>> found.longest
        SharedRun(characters=3, text=0, begin=2, position=0)
    """
    if list(lengths) != sorted(set(lengths)) or min(lengths, default=0) < 1:
        raise ValueError(f"the lengths {lengths} do not ascend from 1 or more")
    searches = [Search(texts, lengths) for texts in groups]
    longest = max(search.ngrams.longest for search in searches)
    for begin, ids in windows(corpus, max(window, longest), longest - 1):
        for search in searches:
            search.read(begin, ids)
    return [novelty_of(search) for search in searches]


def novelty_of(search: Search) -> Novelty:
    """Return the novelty of the texts of a search by all that it has read."""
    measured = [share_and_error(search, n) for n in search.lengths]
    return Novelty(
        len(search.ngrams.sizes),
        int(search.ngrams.sizes.sum()),
        search.lengths,
        tuple(share for share, _ in measured),
        tuple(error for _, error in measured),
        search.longest,
    )


def share_and_error(search: Search, n: int) -> tuple[float, float] | tuple[None, None]:
    """Return the share of novel n-grams and its standard error; None if no text is so long.

    The error is the larger of two: that of the mean over texts, and that of a share of N / n
    independent n-grams, one after another in N characters, by the rule of succession.
    """
    if n > search.ngrams.longest:
        return None, None
    text, novel = search.novel(n)
    share = float(novel.mean())
    counts = np.bincount(text)
    shares = np.bincount(text, weights=novel)[counts > 0] / counts[counts > 0]
    among_texts = float(np.std(shares, ddof=1)) if len(shares) > 1 else 0.0
    independent = max(1.0, len(text) / n)
    p = (share * independent + 1) / (independent + 2)
    by_chance = math.sqrt(p * (1 - p) / independent)
    return share, max(among_texts / math.sqrt(len(shares)), by_chance)


def spread_pieces(characters: int, count: int, length: int) -> list[slice]:
    """Return `count` pieces of `length`, evenly spread over a text of so many characters.

    They do not overlap: of a shorter text there are fewer, and one of less than `length` characters
    is one piece.

    Example:
        >>> spread_pieces(10, 2, 3)
        [slice(0, 3, None), slice(7, 10, None)]
    """
    if characters <= length:
        return [slice(0, characters)] if characters else []
    pieces = min(count, characters // length)
    starts = np.linspace(0, characters - length, pieces).astype(np.int64).tolist()
    return [slice(start, start + length) for start in starts]


def verdict(samples: Novelty, held_out: Novelty | None) -> Verdict:
    """Say whether samples share more with the training text than held-out text does.

    They copy if the share of their 20-grams that occur there is larger by `MIN_EXCESS` and by
    `SIGNIFICANT_ERRORS` standard errors. Otherwise they quote if their longest run has `MIN_RUN`
    characters and is `RUN_FACTOR` times as long.
    """
    if held_out is None:
        return Verdict.UNKNOWN
    ours, theirs = samples.share(VERDICT_LENGTH), held_out.share(VERDICT_LENGTH)
    if ours is None or theirs is None:
        return Verdict.UNKNOWN
    errors = (samples.error(VERDICT_LENGTH) or 0.0, held_out.error(VERDICT_LENGTH) or 0.0)
    if theirs - ours > max(MIN_EXCESS, SIGNIFICANT_ERRORS * math.hypot(*errors)):
        return Verdict.COPIES
    if samples.longest_run >= max(MIN_RUN, RUN_FACTOR * held_out.longest_run):
        return Verdict.QUOTES
    return Verdict.NO_MORE
