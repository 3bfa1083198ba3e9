"""Statistics of short texts: n-grams of a prompt that a text holds, cycles in which a text ends."""

NGRAM = 4
"""Characters of the n-grams that are looked up."""

MAX_LOOKUPS = 50
"""N-grams of a prompt that are looked up, evenly spaced if it has more."""

MAX_PERIOD = 2_000
"""Characters of the longest cycle that is found."""

MIN_REPEATS = 3
"""How often a cycle must be gone through."""

MIN_REPEATED = 24
"""Characters that all repeats of a cycle must have together."""


def ngram_share(prompt: str, text: str, n: int = NGRAM) -> float | None:
    """Return the share of the n-grams of `prompt` that occur in `text`; None if it has none."""
    count = len(prompt) - n + 1
    if count < 1:
        return None
    stride = -(-count // MAX_LOOKUPS)
    ngrams = [prompt[start : start + n] for start in range(0, count, stride)]
    return sum(ngram in text for ngram in ngrams) / len(ngrams)


def repetition(text: str) -> tuple[int, int] | None:
    """Return where the cycle begins in which a text ends, and its period; None if it has none.

    The beginning is counted from 0. A cycle must be gone through three times.

    Example:
        >>> repetition("once" + "upon a time " * 5)
        (4, 12)
    """
    tail = text[: -MIN_REPEATS * MAX_PERIOD - 1 : -1]
    lengths = prefix_lengths(tail)
    for period in range(1, len(tail)):
        repeated = lengths[period] + period
        if repeated >= max(MIN_REPEATS * period, MIN_REPEATED):
            begin = len(text) - repeated
            while begin > 0 and text[begin - 1] == text[begin - 1 + period]:
                begin -= 1
            return begin, period
    return None


def prefix_lengths(text: str) -> list[int]:
    """Return how long a prefix of `text` begins at each of its characters (the Z-function)."""
    lengths = [0] * len(text)
    left = right = 0
    for start in range(1, len(text)):
        length = min(right - start, lengths[start - left]) if start < right else 0
        while start + length < len(text) and text[length] == text[start + length]:
            length += 1
        lengths[start] = length
        if start + length > right:
            left, right = start, start + length
    return lengths
