"""Prompts: the ids of many inputs one behind the other, numbered in a few NumPy calls.

`PairVocabulary.prompt` numbers one input and names its unknown symbols; here those are only marked,
so that each input costs some hundred nanoseconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from charrnn.data.layouts import PairVocabulary
from charrnn.errors import TextError
from charrnn.types import Array, Ids


@dataclass(frozen=True)
class Prompts:
    """Prompts one behind the other: prompt n lies from `starts[n]` to `starts[n + 1]`.

    Example:
        >>> prompts = Prompts.of([np.array([3, 1]), np.array([2])])
        >>> prompts.ids, prompts.lengths, len(prompts)
        (array([3, 1, 2]), array([2, 1]), 2)
    """

    ids: Ids  # (N,)
    starts: Ids  # (n + 1,)

    @classmethod
    def of(cls, prompts: Sequence[Ids]) -> "Prompts":
        """Lay out prompts (length,) each."""
        ids = np.concatenate([np.zeros(0, np.int64), *prompts])
        return cls(ids, starts_of(np.array([len(prompt) for prompt in prompts], np.int64)))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @cached_property
    def lengths(self) -> Ids:
        """Symbols of each prompt (n,)."""
        return np.diff(self.starts)

    def chosen(self, numbers: Ids) -> "Prompts":
        """Return some of the prompts, in the order of `numbers` (m,)."""
        if len(numbers) == len(self) and np.all(numbers[1:] > numbers[:-1]):
            return self  # all of them
        lengths = self.lengths[numbers]
        starts = starts_of(lengths)
        places = np.arange(starts[-1]) + np.repeat(self.starts[numbers] - starts[:-1], lengths)
        return Prompts(self.ids[places], starts)

    def without_last(self) -> "Prompts":
        """Return the prompts, of at least one symbol each, without their last symbol."""
        keep = np.ones(len(self.ids), bool)
        keep[self.starts[1:] - 1] = False
        return Prompts(self.ids[keep], self.starts - np.arange(len(self.starts)))

    def padded(self) -> Ids:
        """Return the prompts as a batch (T, n), padded with 0 at their end."""
        batch = np.zeros((int(self.lengths.max()), len(self)), np.int64)
        rows = np.repeat(np.arange(len(self)), self.lengths)
        batch[np.arange(len(self.ids)) - self.starts[rows], rows] = self.ids
        return batch


def starts_of(lengths: Ids) -> Ids:
    """Return where each of some sequences begins, and where the last one ends, (n + 1,)."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def encode_prompts(
    pairing: PairVocabulary, fields: Sequence[str], normalise: str | None
) -> tuple[Prompts, Array]:
    """Return the prompts of inputs as a person typed them, and which of them can be read (n,).

    A prompt that cannot be read, because it is empty or has unknown symbols, holds wrong ids:
    `PairVocabulary.prompt` says what is wrong with it.

    Args:
        pairing: the symbols of the model.
        fields: the inputs, n of them.
        normalise: the normal form of the model's pairs; None for none.

    Example:
        >>> pairing = PairVocabulary("many-to-one", ("a", "b"), ("x", "y"))
        >>> prompts, readable = encode_prompts(pairing, ["ab", "c", "b"], None)
        >>> prompts.ids, readable
        (array([0, 1, 0, 1]), array([ True, False,  True]))
    """
    if len(fields) < MIN_JOINED:
        return encoded_singly(pairing, fields, normalise)
    text = "".join(fields)
    if not text.isascii():  # ASCII is the same in every normal form, and has no mark
        fields = [pairing.typed(field, normalise) for field in fields]
        text = "".join(fields)
    if pairing.layout_spec.source_is_text:
        lengths = np.fromiter(map(len, fields), np.int64, len(fields))
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        table = pairing.ids_of_codes
        ids = table[np.minimum(codes, len(table) - 1)]
    else:
        lengths = np.ones(len(fields), np.int64)
        find = pairing.id_of_source
        ids = np.fromiter((find(field) for field in fields), np.int64, len(fields))
    starts = starts_of(lengths)
    readable = lengths > 0
    unknown = np.flatnonzero(ids < 0)
    readable[np.searchsorted(starts, unknown, side="right") - 1] = False
    ids[unknown] = 0
    if pairing.go_id is None:
        return Prompts(ids, starts), readable
    with_go = np.full(len(ids) + len(fields), pairing.go_id, np.int64)
    with_go[np.arange(len(ids)) + np.repeat(np.arange(len(fields)), lengths)] = ids
    return Prompts(with_go, starts + np.arange(len(starts))), readable


MIN_JOINED = 8
"""Fewest inputs that are numbered together: for fewer, NumPy's calls take longer."""


def encoded_singly(
    pairing: PairVocabulary, fields: Sequence[str], normalise: str | None
) -> tuple[Prompts, Array]:
    """Return what `encode_prompts` does, one input after the other."""
    readable = np.ones(len(fields), bool)
    prompts = []
    for number, field in enumerate(fields):
        try:
            prompt = pairing.prompt(pairing.typed(field, normalise))
            readable[number] = len(prompt) > (pairing.go_id is not None)
        except TextError:
            prompt, readable[number] = np.zeros(1, np.int64), False
        prompts.append(prompt)
    return Prompts.of(prompts), readable


def decode_answers(pairing: PairVocabulary, ids: Ids, lengths: Ids) -> list[str]:
    """Return the texts of answers whose ids (N,) lie one behind the other, END left out.

    Args:
        pairing: the symbols of the model.
        ids: the ids of all answers.
        lengths: symbols of each answer (n,).

    Example:
        >>> pairing = PairVocabulary("synced", ("a", "b"), ("x", "y"))
        >>> decode_answers(pairing, np.array([0, 1, 1]), np.array([1, 2]))
        ['x', 'yy']
    """
    if not pairing.layout_spec.answer_is_text:
        return [pairing.answers[id_] for id_ in ids.tolist()]
    codes = pairing.codes_of_answers[ids]
    text = codes.tobytes().decode("utf-32-le", "surrogatepass")
    ends = np.cumsum(lengths).tolist()
    return [text[first:end] for first, end in zip([0, *ends], ends, strict=False)]
