"""A trained model in your hands: read characters, guess the next, write text, score text.

model = charrnn.load("checkpoints/corpus/best.npz")
for character in model.generate("To be", length=200, temperature=0.8):
    print(character, end="")
"""

import os
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from charrnn.checkpointing.checkpoint import load as load_checkpoint
from charrnn.checkpointing.checkpoint import save
from charrnn.checkpointing.lookup import checkpoint_in
from charrnn.checkpointing.records import Checkpoint
from charrnn.data.typed_text import typed
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import TextError, UsageError
from charrnn.evaluation.text import Score, evaluate
from charrnn.inference.sampling import Sampling, generate
from charrnn.nn.network import Network
from charrnn.types import Array, Ids

MAX_COUNT = 10_000
"""Samples that are drawn side by side."""

MAX_DRAWN = 100_000_000
"""Characters that several samples drawn side by side may have together; a single one streams."""


class Model:
    """A network with its vocabulary. `step` reads one character at a time from the zero state."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.config = checkpoint.config
        self.parameters = checkpoint.parameters
        self.vocabulary: Vocabulary = checkpoint.vocabulary
        self._network = Network(self.config, self.parameters, 1, 1)

    def reset(self) -> None:
        """Forget all that was read."""
        self._network.reset_state()

    def step(self, character: int) -> Array:
        """Read a character, an id; return the logits (V,) of the next. `UsageError` if unknown."""
        if not 0 <= character < len(self.vocabulary):
            last = len(self.vocabulary) - 1
            raise UsageError(f"no character {character}; ids go from 0 to {last}")
        logits = self._network.forward(np.full((1, 1), character))
        self._network.carry_state()
        return np.array(logits[0, 0])

    def generate(
        self,
        prime: str = "",
        length: int = 500,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
        stop: str = "",
    ) -> Iterator[str]:
        """Yield up to `length` characters that follow `prime`, which itself is not repeated.

        Starts from the zero state, whatever was read with `step`. Ends before `stop`, if given.
        Both texts are brought into the normal form of the model's text, or into UTF-8 bytes for a
        model of bytes, which yields a character, U+0000 to U+00FF, for each byte.
        Raises `UsageError` for settings without meaning, `TextError` for a prime or a stop text
        with characters that the model does not know.
        """
        sampling = Sampling(temperature, top_k, top_p, seed)
        prime, stop = self.typed(prime), self.typed(stop)
        if lacking := self.vocabulary.lacking(stop):
            raise TextError(f"the stop text can never occur: {lacking}", "a stop text without")
        yield from next(iter(self.samples(prime, length, sampling, stop=stop)))

    def typed(self, text: str) -> str:
        """Return a text that was typed as the model's own text is written; see `typed_text`."""
        return typed(text, self.vocabulary, self.checkpoint.corpus.normalise)

    def samples(
        self, prime: str, length: int, sampling: Sampling, count: int = 1, stop: str = ""
    ) -> Iterator[Iterator[str]]:
        """Yield `count` texts, each an iterator of characters, drawn in one batched pass.

        The first arrives character by character as it is drawn; exhaust each before the next.
        `prime` and `stop` are in the vocabulary's characters, as `typed` returns them.
        """
        check_size(length, count)
        steps = generate(self.config, self.parameters, self.start(prime), sampling, count)
        drawn: list[Ids] = []

        def first() -> Iterator[str]:
            characters = self.vocabulary.characters
            for ids in islice(steps, length):
                if count > 1:
                    drawn.append(ids)
                yield characters[ids[0]]

        yield before(stop, first())
        drawn.extend(islice(steps, length - len(drawn)) if count > 1 else ())
        for lane in range(1, count):
            text = self.vocabulary.decode(np.array([ids[lane] for ids in drawn], dtype=np.int64))
            yield before(stop, iter(text))

    def start(self, prime: str) -> Ids:
        """Return the ids to read before the first guess: the prime, else a line's end, unseen.

        Where the vocabulary has no newline, a space or the first character serves.
        """
        if not prime:
            known = [c for c in "\n " if c in self.vocabulary]
            prime = known[0] if known else self.vocabulary.characters[0]
        return self.vocabulary.encode(prime)

    def evaluate(self, text: str) -> Score:
        """Score a text of at least two known characters as one stream from the zero state."""
        return self.score(self.vocabulary.encode(self.typed(text)))

    def score(self, ids: Ids) -> Score:
        """Score ids (N,) as one stream from the zero state; `TextError` for fewer than two."""
        nats = evaluate(self.config, self.parameters, ids)
        if nats is None:
            raise ValueError("nothing asked the evaluation to stop")
        return Score(nats, len(ids))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model as a checkpoint, atomically; `StorageError` if that fails."""
        save(Path(path), self.checkpoint)


def check_size(length: int, count: int) -> None:
    """Raise `UsageError` for a length or a number of samples that cannot be drawn."""
    if length < 0:
        raise UsageError(f"--length is {length}; it must be 0 or more")
    if count < 1:
        raise UsageError(f"--count is {count}; it must be 1 or more")
    if count > 1 and (count > MAX_COUNT or length * count > MAX_DRAWN):
        raise UsageError(
            f"--count {count} with --length {length} is more than {MAX_COUNT:,} samples or "
            f"{MAX_DRAWN:,} characters side by side",
            "fewer at a time, each time with another --seed",
        )
    if length > sys.maxsize:
        raise UsageError(f"--length is {length}; it must be at most {sys.maxsize}")


def load(path: str | os.PathLike[str]) -> Model:
    """Read a checkpoint, or that of a run's folder (`checkpointing.lookup.checkpoint_in`).

    Raises `CheckpointError`.
    """
    return Model(load_checkpoint(checkpoint_in(Path(path))))


def before(stop: str, characters: Iterator[str]) -> Iterator[str]:
    """Yield characters until `stop` appears; holds back only what may be its beginning."""
    held = ""
    for character in characters:
        held += character
        if stop and held.endswith(stop):
            return
        while held and not (stop and stop.startswith(held)):
            yield held[0]
            held = held[1:]
    yield from held
