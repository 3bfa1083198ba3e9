"""Sampling session: one text that a user and a model continue in turns."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import TextError
from charrnn.inference.ensemble import Ensemble
from charrnn.inference.model import Model, check_size
from charrnn.inference.sampling import Sampling

MAX_CONTEXT = 2_000
"""Characters at the end of the text that the model reads before it continues it."""


@dataclass
class Session:
    """A text so far, and how the model continues it.

    Each continuation reads the last `MAX_CONTEXT` characters of the text from the zero state.

    Args:
        model: a language model, or an ensemble.
        sampling: temperature, limits, and the seed of the next continuation; the seed grows by one
            with each of them.
        length: most characters of a continuation.
        stop: a continuation ends before this text; empty for none.

    Example:
        >>> import charrnn
        >>> session = Session(charrnn.load("checkpoints/corpus"), Sampling(seed=1), length=20)
        >>> first = "".join(session.turn("the cat "))
        >>> session.text == "the cat " + first
        True
        >>> session.undo()
        True
        >>> session.text
        ''
    """

    model: Model | Ensemble
    sampling: Sampling
    length: int = 500
    stop: str = ""
    text: str = ""
    """What was typed and generated so far, in the model's characters."""
    _turns: list[int] = field(default_factory=list)
    """Length of the text before each turn."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The characters of the model."""
        return self.model.vocabulary

    def turn(self, typed: str) -> Iterator[str]:
        """Add a text, then yield the characters that continue it, which are added one by one.

        Args:
            typed: in the model's characters; may be empty.

        An iterator that is not exhausted leaves the characters so far. Raises `TextError`, before
        anything is added, for characters that the model does not know.
        """
        if lacking := self.vocabulary.lacking(typed):
            raise TextError(lacking, "a text without")
        self._turns.append(len(self.text))
        self.text += typed
        sampling = self.sampling
        self.sampling = replace(sampling, seed=sampling.seed + 1)
        texts = self.model.samples(self.text[-MAX_CONTEXT:], self.length, sampling, 1, self.stop)
        return self._added(next(texts))

    def _added(self, characters: Iterator[str]) -> Iterator[str]:
        for character in characters:
            self.text += character
            yield character

    def undo(self) -> bool:
        """Remove the last turn: what was typed and what was generated; False if there is none."""
        if not self._turns:
            return False
        self.text = self.text[: self._turns.pop()]
        return True

    def set_length(self, length: int) -> None:
        """Set the length of continuations. Raises `UsageError` for one out of range."""
        check_size(length, 1)
        self.length = length
