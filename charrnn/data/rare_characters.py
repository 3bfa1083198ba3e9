"""Rare characters of texts with a label, which are read as one unknown symbol."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

from charrnn.data.layouts import PairVocabulary

UNKNOWN = "\ufffd"
"""The replacement character of Unicode, as which an unknown character is read."""

MAX_RARE_SHARE = 0.2
"""Largest share of the inputs that may hold a character of which no other input has one."""


def with_unknown(pairing: PairVocabulary, inputs: Sequence[str]) -> PairVocabulary:
    """Return the vocabulary with an unknown symbol for the rare characters of texts with a label.

    A character that stands in one training input only says little, but that a rare character
    stands in a text says something of its label: the script, for instance. Such characters are
    therefore read as the unknown symbol, as are those that no training input has.

    Args:
        pairing: the symbols of all pairs.
        inputs: the inputs of the training pairs.

    Returns:
        `pairing` itself for another layout than many-to-one, and if no character is rare or so many
        inputs have one that these characters must matter.

    Example:
        >>> pairing = PairVocabulary("many-to-one", ("a", "b", "c", "d"), ("x", "y"))
        >>> found = with_unknown(pairing, ["a", "aa", "ab", "ba", "aab", "bc"])
        >>> found.sources, found.unknown
        (('a', 'b', '�'), '�')
    """
    if not pairing.layout_spec.classifies:
        return pairing
    counts = Counter(chain.from_iterable(map(set, inputs)))
    rare = {one for one, count in counts.items() if count == 1}
    affected = sum(not rare.isdisjoint(text) for text in inputs)
    if not 0 < affected <= MAX_RARE_SHARE * len(inputs):
        return pairing
    sources = sorted((set(counts) - rare) | {UNKNOWN})
    return replace(pairing, sources=tuple(sources), unknown=UNKNOWN)
