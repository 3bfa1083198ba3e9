"""Text of a run as ids, in chunks: its training part, and its held-out part."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from charrnn.data.large_text_files import AnyCorpus, LargeCorpus
from charrnn.data.text_files import validation_start
from charrnn.data.vocabulary import Vocabulary
from charrnn.types import Ids


class TextIds:
    """The characters of a text that a model knows, as ids; a large text is read at each use.

    Args:
        corpus: the text.
        vocabulary: characters outside it are left out, as in training.
        val_fraction: fraction of the ids, from the end, that is held out.

    Raises:
        TextError: if the text is too short to be split.
    """

    def __init__(self, corpus: AnyCorpus, vocabulary: Vocabulary, val_fraction: float) -> None:
        self._corpus, self.vocabulary = corpus, vocabulary
        self._ids: Ids | None = None
        if isinstance(corpus, LargeCorpus):
            codes = [ord(character) for character in vocabulary.characters]
            counts = corpus.counts
            self.characters = sum(int(counts[code]) for code in codes if code < len(counts))
        else:
            self._ids = vocabulary.encode(corpus.text, "skip")
            self.characters = len(self._ids)
        self.train_characters = validation_start(self.characters, val_fraction)

    @property
    def held_out_characters(self) -> int:
        """Characters of the held-out part."""
        return self.characters - self.train_characters

    def chunks(self, begin: int, end: int) -> Iterator[Ids]:
        """Yield the ids from `begin` to before `end`, in chunks."""
        place = 0
        for ids in self._all_chunks():
            part = ids[max(0, begin - place) : max(0, end - place)]
            place += len(ids)
            if len(part):
                yield part
            if place >= end:
                return

    def training_chunks(self) -> Iterator[Ids]:
        """Yield the ids of the training part, in chunks."""
        return self.chunks(0, self.train_characters)

    def held_out(self, pieces: Sequence[slice]) -> list[Ids]:
        """Return pieces of the held-out part, by their positions in it."""
        return cut_out(self.chunks(self.train_characters, self.characters), pieces)

    def line_of(self, position: int) -> int:
        """Return the line, from 1, in which a character of the text stands."""
        if "\n" not in self.vocabulary:
            return 1
        newline = self.vocabulary.characters.index("\n")
        return 1 + sum(int((ids == newline).sum()) for ids in self.chunks(0, position))

    def _all_chunks(self) -> Iterator[Ids]:
        if self._ids is not None:
            yield self._ids
        elif isinstance(self._corpus, LargeCorpus):
            for text in self._corpus.chunks():
                yield self.vocabulary.encode(text, "skip")


def cut_out(chunks: Iterable[Ids], pieces: Sequence[slice]) -> list[Ids]:
    """Return pieces of a text that is given in chunks.

    Example:
        >>> text = np.arange(10)
        >>> [piece.tolist() for piece in cut_out(np.split(text, [3, 7]), [slice(1, 5)])]
        [[1, 2, 3, 4]]
    """
    found: list[list[Ids]] = [[] for _ in pieces]
    place = 0
    for chunk in chunks:
        for piece, parts in zip(pieces, found, strict=True):
            if piece.start < place + len(chunk) and piece.stop > place:
                parts.append(chunk[max(0, piece.start - place) : piece.stop - place])
        place += len(chunk)
    return [np.concatenate(parts) for parts in found]
