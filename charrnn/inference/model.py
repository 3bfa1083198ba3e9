"""Language model for use: next-character logits, text generation, scores of texts."""

import os
import sys
from collections.abc import Iterator
from itertools import islice
from numbers import Integral
from pathlib import Path

import numpy as np

from charrnn.checkpointing.checkpoint import load_checkpoint, save_checkpoint
from charrnn.checkpointing.lookup import checked_path, checkpoint_in
from charrnn.checkpointing.npz_format import bounded_repr
from charrnn.checkpointing.records import Checkpoint, CorpusRecord
from charrnn.data.typed_text import typed
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import TextError, UsageError
from charrnn.evaluation.surprisal import LIKELIEST, SurprisalChunk, mean_of, surprisals
from charrnn.evaluation.text import Score, evaluate
from charrnn.inference.description import description_html
from charrnn.inference.sampling import Sampling, check_sampling, finite_logits, generate
from charrnn.limits import check_instance, check_kind, format_value
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network
from charrnn.nn.parameters import Parameters
from charrnn.types import Array, Ids

MAX_SAMPLES = 10_000
"""Most samples that are drawn as one batch."""

MAX_SAMPLED_CHARACTERS = 100_000_000
"""Most characters of all samples of a batch together: they are kept until the first is complete."""


class Model:
    """A trained language model: a network with its vocabulary.

    `charrnn.load` reads one from a file. `config`, `parameters` and `vocabulary` are those of the
    checkpoint; the ids of characters are positions in `vocabulary.characters`.

    Args:
        checkpoint: the model and its symbols. Raises `UsageError` for a model of pairs, and for
            what is no `Checkpoint`.

    Example:
        >>> import charrnn
        >>> model = charrnn.load("checkpoints/corpus")
        >>> first = model.vocabulary.encode("t")[0]
        >>> logits = model.step(first)  # of the character that follows
        >>> logits.shape == (len(model.vocabulary),)
        True
        >>> len("".join(model.generate("the ", length=80, temperature=0.8)))
        80
        >>> model.evaluate("the cat sat on a mat").characters
        20
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        check_instance("checkpoint", checkpoint, Checkpoint)
        self._checkpoint = checkpoint
        self.vocabulary: Vocabulary = checkpoint.vocabulary
        self._network = Network(self.config, self.parameters, 1, 1)

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint of the network."""
        return self._checkpoint

    @property
    def config(self) -> ModelConfig:
        """The shape of the network."""
        return self.checkpoint.config

    @property
    def parameters(self) -> Parameters:
        """The weights of the network."""
        return self.checkpoint.parameters

    @property
    def corpus(self) -> CorpusRecord:
        """The training text."""
        return self.checkpoint.corpus

    @property
    def normalise(self) -> str | None:
        """Unicode normal form of the training text, or None."""
        return self.corpus.normalise

    def reset(self) -> None:
        """Set the state of `step` to zero, as before the first character."""
        self._network.reset_state()

    def step(self, character: int) -> Array:
        """Return the logits (V,) of the next character, a new array, and update the state.

        Args:
            character: the id of the character read, from 0 to V − 1; `UsageError` for another.
        """
        self._check_character(character)
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
        """Yield generated characters, one at a time.

        Starts from the zero state and does not change the state of `step`. `prime` and `stop` are
        normalised as the training text was. A model of bytes takes both as UTF-8 and yields a
        character from U+0000 to U+00FF for each byte.

        Args:
            prime: text that is read first and not repeated; by default a newline, or a space, or
                the first character, whichever the vocabulary has.
            length: most characters to generate.
            temperature: the logits are divided by it; 0 always takes the most probable character.
            top_k: draw from the `top_k` most probable characters only; 0 for no limit.
            top_p: draw from the most probable characters that together have this probability, as
                few as possible; 1 for no limit.
            seed: the same seed gives the same text.
            stop: generation ends before the first occurrence of this text; empty for none.

        Raises `UsageError` for a setting out of range and `TextError` if `prime` or `stop` has
        characters that the model does not know.
        """
        sampling = Sampling(temperature, top_k, top_p, seed)
        prime, stop = self.typed(prime), self.typed(stop)
        if lacking := self.vocabulary.lacking(stop):
            raise TextError(f"the stop text can never occur: {lacking}", "a stop text without")
        yield from next(iter(self.samples(prime, length, sampling, stop=stop)))

    def typed(self, text: str) -> str:
        """Return `text` normalised as the training text was; see `charrnn.data.typed_text`.

        Raises `UsageError` for what is not a `str`.
        """
        check_kind("a text", text, str)
        return typed(text, self.vocabulary, self.normalise)

    def samples(
        self, prime: str, length: int, sampling: Sampling, count: int = 1, stop: str = ""
    ) -> Iterator[Iterator[str]]:
        """Yield `count` texts, each an iterator of characters, generated as one batch.

        Each iterator must be exhausted before the next one is taken. The first yields characters
        while they are drawn.

        Args:
            prime: as `typed` returns it, read before each of the texts.
            length: most characters of each text.
            sampling: temperature, limits and seed.
            count: the number of texts.
            stop: as `typed` returns it; each text ends before its first occurrence.

        Raises `UsageError` if `length` or `count` is out of range or an argument of another type,
        and `TextError` for unknown characters.
        """
        check_size(length, count)
        check_sampling(sampling)
        check_kind("stop", stop, str)
        steps = generate(self.config, self.parameters, self.start(prime), sampling, count)
        yield from texts_of(steps, self.vocabulary, length, count, stop)

    def start(self, prime: str) -> Ids:
        """Return the ids (n,) of `prime`, or of a newline if it is empty.

        If the vocabulary has no newline, a space or else its first character is used. Raises
        `UsageError` for what is not a `str` and `TextError` for unknown characters.
        """
        check_kind("prime", prime, str)
        if not prime:
            known = [c for c in "\n " if c in self.vocabulary]
            prime = known[0] if known else self.vocabulary.characters[0]
        return self.vocabulary.encode(prime)

    def evaluate(self, text: str) -> Score:
        """Return the loss of a text, read in one piece from the zero state.

        Raises `TextError` if `text` has fewer than two characters or unknown ones.
        """
        return self.score(self.vocabulary.encode(self.typed(text)))

    def score(self, ids: Ids) -> Score:
        """Return the loss of ids (N,), as `evaluate` that of a text.

        Raises `UsageError` for what is no vector of ids, `TextError` for fewer than two, and
        `DivergedError` if weights are so large that the loss is not finite.
        """
        nats = evaluate(self.config, self.parameters, self._checked_ids(ids))
        if nats is None:
            raise ValueError("nothing asked the evaluation to stop")
        finite_logits(np.array(nats))
        return Score(nats, len(ids))

    def surprisals(
        self, ids: Ids, k: int = LIKELIEST, window: int | None = None
    ) -> Iterator[SurprisalChunk]:
        """Return an iterator of the surprisals of `ids[1:]`, in the order of the text.

        Args:
            ids: the text (N,).
            k: symbols that are given for each prediction, at most V; 0 for none.
            window: predictions between two resets of the state to zero; None for one stream.

        Raises `UsageError` for a number out of range or no vector of ids, and `TextError` for fewer
        than two.
        """
        for name, value, least in (("k", k, 0), ("window", 1 if window is None else window, 1)):
            check_kind(name, value, Integral)
            if value < least:
                raise UsageError(f"{name} is {format_value(value)}; it must be {least} or more")
        return self._surprisals(self._checked_text(ids), min(k, len(self.vocabulary)), window)

    def _surprisals(self, ids: Ids, k: int, window: int | None) -> Iterator[SurprisalChunk]:
        """Yield the surprisals; the arguments are checked."""
        return surprisals(self.config, self.parameters, ids, k, window)

    def mean_surprisal(self, ids: Ids, window: int | None = None) -> float:
        """Return the mean surprisal of `ids[1:]` in nats; arguments and errors as `surprisals`."""
        return mean_of(self.surprisals(ids, 0, window))

    def _repr_html_(self) -> str:
        """Return the lines of `charrnn info` as a table, for notebooks."""
        return description_html(self.checkpoint)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model as a checkpoint, atomically.

        Raises `StorageError` if that fails, and `UsageError` for a path that no file can have.
        """
        save_checkpoint(checked_target(path), self.checkpoint)

    def _check_character(self, character: int) -> None:
        """Raise `UsageError` unless an argument is the id of a character."""
        check_kind("character", character, Integral)
        if not 0 <= character < len(self.vocabulary):
            last = len(self.vocabulary) - 1
            raise UsageError(f"no character {format_value(character)}; ids go from 0 to {last}")

    def _checked_text(self, ids: Ids) -> Ids:
        """Return ids as `_checked_ids`; `TextError` for fewer than two."""
        ids = self._checked_ids(ids)
        if len(ids) < 2:
            raise TextError(f"{len(ids)} characters leave nothing to predict", "a longer text")
        return ids

    def _checked_ids(self, ids: Ids) -> Ids:
        """Return ids as an array (N,); `UsageError` for another shape, type or range."""
        try:
            array = np.asarray(ids)
        except ValueError as error:
            raise UsageError("the ids have rows of different lengths") from error
        if array.ndim != 1 or (array.size and array.dtype.kind not in "ui"):
            raise UsageError(
                f"the ids are an array {array.shape} of type {array.dtype}; they must be whole "
                "numbers (N,)"
            )
        last = len(self.vocabulary) - 1
        if array.size and not (array.min() >= 0 and array.max() <= last):
            raise UsageError(f"an id is not within 0 and {last}")
        return array


def texts_of(
    steps: Iterator[Ids], vocabulary: Vocabulary, length: int, count: int, stop: str
) -> Iterator[Iterator[str]]:
    """Yield `count` texts of up to `length` characters from steps of ids (count,).

    Each iterator must be exhausted before the next one is taken. The first yields characters while
    the ids are drawn. Each text ends before the first occurrence of `stop`.
    """
    drawn: list[Ids] = []

    def first() -> Iterator[str]:
        characters = vocabulary.characters
        for ids in islice(steps, length):
            if count > 1:
                drawn.append(ids)
            yield characters[ids[0]]

    yield before(stop, first())
    drawn.extend(islice(steps, length - len(drawn)) if count > 1 else ())
    for sample in range(1, count):
        text = vocabulary.decode(np.array([ids[sample] for ids in drawn], dtype=np.int64))
        yield before(stop, iter(text))


def check_size(length: int, count: int) -> None:
    """Raise `UsageError` for a length or a number of samples that cannot be drawn."""
    check_kind("length", length, Integral)
    check_kind("count", count, Integral)
    if length < 0:
        raise UsageError(f"--length is {format_value(length)}; it must be 0 or more")
    if count < 1:
        raise UsageError(f"--count is {format_value(count)}; it must be 1 or more")
    if count > 1 and (count > MAX_SAMPLES or length * count > MAX_SAMPLED_CHARACTERS):
        raise UsageError(
            f"--count {format_value(count)} with --length {format_value(length)} is more than "
            f"{MAX_SAMPLES:,} samples or {MAX_SAMPLED_CHARACTERS:,} characters side by side",
            "fewer at a time, each time with another --seed",
        )
    if length > sys.maxsize:
        raise UsageError(f"--length is {format_value(length)}; it must be at most {sys.maxsize}")


def checked_target(path: str | os.PathLike[str]) -> Path:
    """Return the path of a file to write; `UsageError` for one that no file can have."""
    target = checked_path(path)
    if not target.name:
        raise UsageError(f"{bounded_repr(target)} is no name of a file", "one ending in .npz")
    return target


def load_network(path: str | os.PathLike[str]) -> Model:
    """Return the language model of a checkpoint with a single network; see `charrnn.load`.

    Args:
        path: a checkpoint file, or the folder of a run.

    Raises as `charrnn.load` does, and `UsageError` for a mixture.
    """
    return Model(load_checkpoint(checkpoint_in(checked_path(path))))


def before(stop: str, characters: Iterator[str]) -> Iterator[str]:
    """Yield characters until `stop` occurs; delays only those that may be its beginning.

    Example:
        >>> "".join(before("ab", iter("xaxaby")))
        'xax'
    """
    held = ""
    for character in characters:
        held += character
        if stop and held.endswith(stop):
            return
        while held and not (stop and stop.startswith(held)):
            yield held[0]
            held = held[1:]
    yield from held
