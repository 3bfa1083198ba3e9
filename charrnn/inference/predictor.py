"""Predictor for models of pairs: the most probable answers by greedy or beam search, or samples.

Inputs are read as one batch (`tree_reader`); each answer starts from the state after the last
symbol of its own input (`prompt_answers`). Then every answer grows by one symbol per step, which is
fed back (`search`).
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Self

import numpy as np

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.checkpointing.lookup import checked_path, checkpoint_in
from charrnn.checkpointing.records import Checkpoint
from charrnn.data.decoding import check_normal_form
from charrnn.data.label_ngrams import LabelNgrams
from charrnn.data.layouts import LAYOUTS, Layout, PairVocabulary
from charrnn.data.prompts import MIN_JOINED, Prompts, encode_prompts
from charrnn.errors import TextError, UsageError
from charrnn.inference.description import pairs_html
from charrnn.inference.prompt_answers import (
    answer_limit,
    answers_to,
    fed_back,
    probabilities_of_labels,
)
from charrnn.inference.prompt_readers import NetworkReader
from charrnn.inference.sampling import Sampling, check_sampling, draw, probabilities
from charrnn.limits import SEED, check_instance, check_kind, format_value
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network
from charrnn.nn.parameters import Parameters
from charrnn.randomness import Purpose, generator
from charrnn.types import Array, Ids


@dataclass(frozen=True)
class Answer:
    """An answer and its probability under the model."""

    text: str
    """The answer; its end symbol is left out."""
    probability: float
    """The product of the probabilities of its symbols, the end symbol included."""


@dataclass(frozen=True)
class Alignment:
    """An answer and its attention weights."""

    inputs: tuple[str, ...]
    """The symbols that were read, S of them."""
    answer: Answer
    """The answer, of A symbols."""
    weights: Array
    """The attention weights (K, A + 1, S) of K heads, those of the end of the answer last."""


MAX_BEAM = 1_000
"""Largest beam width."""

MAX_ANSWERS = 10_000
"""Most answers to one input that are drawn as one batch."""


def check_beam(beam: int) -> None:
    """Raise `UsageError` for a beam width out of range."""
    check_kind("beam", beam, Integral)
    if not 1 <= beam <= MAX_BEAM:
        raise UsageError(
            f"--beam is {format_value(beam)}; it must be at least 1 and at most {MAX_BEAM:,}"
        )


def check_count(count: int) -> None:
    """Raise `UsageError` for a number of answers out of range."""
    check_kind("count", count, Integral)
    if not 1 <= count <= MAX_ANSWERS:
        raise UsageError(
            f"--count is {format_value(count)}; it must be at least 1 and at most {MAX_ANSWERS:,}"
        )


class Predictor:
    """A trained model of pairs, which answers inputs. `Predictor.load` reads one from a file.

    Args:
        config: the shape of the network.
        parameters: its weights.
        pairing: the layout of the pairs, and the symbols of inputs and answers.
        normalise: the Unicode normal form that inputs are brought into: nfc, nfd, nfkc or nfkd;
            None for none.
        ngrams: n-grams that are mixed into the answers; for layouts whose answers are labels.

    Raises `UsageError` for an argument of another type and an unknown normal form.

    Example:
        >>> import charrnn
        >>> predictor = charrnn.Predictor.load("checkpoints/dates")
        >>> (answer,) = predictor.answer(["7 march 1981"], beam=3)
        >>> 0 <= answer.probability <= 1
        True
        >>> len(predictor.answer(["1 may 1990", "2 june 2003"]))
        2
    """

    def __init__(
        self,
        config: ModelConfig,
        parameters: Parameters,
        pairing: PairVocabulary,
        normalise: str | None = None,
        ngrams: LabelNgrams | None = None,
    ) -> None:
        check_instance("config", config, ModelConfig)
        check_instance("parameters", parameters, Parameters)
        check_instance("pairing", pairing, PairVocabulary)
        check_normal_form(normalise)
        self.config, self.parameters, self.pairing = config, parameters, pairing
        if ngrams is not None:
            check_instance("ngrams", ngrams, LabelNgrams)
        self.normalise, self.ngrams = normalise, ngrams

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return the model of a checkpoint.

        Args:
            path: a checkpoint file, or the folder of a run: then `best.npz`, or `last.npz` if
                there is no best one.

        Raises `CheckpointError` if there is none or it cannot be trusted, `StorageError` if it
        cannot be read, and `UsageError` if it is a language model (see `charrnn.load`) or no path.
        """
        return cls.of(load_checkpoint(checkpoint_in(checked_path(path))))

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Self:
        """Return the model of a checkpoint; `UsageError` for a language model or another object."""
        check_instance("checkpoint", checkpoint, Checkpoint)
        pairing, normalise = checkpoint.pairing, checkpoint.corpus.normalise
        ngrams = checkpoint.ngrams
        return cls(checkpoint.config, checkpoint.parameters, pairing, normalise, ngrams)

    def prompt(self, field: str) -> Ids:
        """Return the ids (n,) that are read for the input `field`.

        A byte order mark is dropped unless the model knows it. Raises `TextError` for symbols that
        the model does not know and for an empty input, and `UsageError` for what is not a `str`.
        """
        check_kind("an input", field, str)
        spelled = self.pairing.typed(field, self.normalise)
        if not spelled:
            raise TextError("an input is empty; try at least one character")
        return self.pairing.prompt(spelled)

    def answer(self, inputs: Sequence[str], beam: int = 1) -> list[Answer]:
        """Return the most probable answer to each input that beam search finds.

        Args:
            inputs: the inputs, read as one batch.
            beam: the number of unfinished answers that are kept at each step, up to `MAX_BEAM`; 1
                is greedy search. Layouts whose answers are not fed back need no search.

        Raises `TextError` for symbols that the model does not know and for an empty input, and
        `UsageError` for a width out of range or inputs that are no sequence of texts.
        """
        check_beam(beam)
        prompts = self._prompts(inputs)
        model = (self.config, self.parameters, self.pairing)
        texts, p = answers_to(prompts, *model, beam, self.ngrams)
        return [Answer(text, one) for text, one in zip(texts, p.tolist(), strict=True)]

    def alignment(self, field: str, beam: int = 1) -> Alignment:
        """Return the answer to one input, and its attention weights.

        Args:
            field: the input.
            beam: see `answer`.

        Raises `UsageError` for a model without attention, and errors as `answer` does.
        """
        if not self.config.attention:
            raise UsageError(
                "an alignment needs attention, and this model has none",
                "a model that was trained with --attention 1",
            )
        (answer,) = self.answer([field], beam)
        prompt = self.prompt(field)
        written = self.pairing.answer_ids(answer.text) if answer.text else prompt[:0]
        ids = np.concatenate([prompt, self.pairing.fed_back(written)])
        n = len(prompt) - 1  # GO is the last symbol of a prompt
        network = Network(self.config, self.parameters, len(ids), 1)
        with np.errstate(all="ignore"):
            network.forward(ids[:, None], lengths=np.array([n]))
        read = tuple(self.pairing.sources[one] for one in prompt[:n].tolist())
        return Alignment(read, answer, network.attention_weights()[0])

    def label_probabilities(self, inputs: Sequence[str]) -> Array:
        """Return the probability of each label after each whole input, (n, answers).

        Raises `UsageError` for layouts whose answers are texts, and errors as `answer` does.
        """
        if self.pairing.layout_spec.answer_is_text:
            raise self._unfit("label_probabilities", lambda one: not one.answer_is_text)
        prompts = self._prompts(inputs)
        return probabilities_of_labels(prompts, self.config, self.parameters, self.ngrams)

    def sample(self, field: str, sampling: Sampling, count: int = 1, which: int = 0) -> list[str]:
        """Return `count` answers of open length to one input, drawn from the model.

        Args:
            field: the input.
            sampling: temperature, limits and seed.
            count: the number of answers, up to `MAX_ANSWERS`.
            which: the number of the input: inputs with one seed draw different numbers.

        Raises `TextError` for symbols that the model does not know and for an empty input, and
        `UsageError` for a number out of range and for layouts whose answers have no open length.
        """
        if not self.pairing.layout_spec.feeds_back:
            raise self._unfit("sample", lambda one: one.feeds_back)
        check_sampling(sampling)
        check_count(count)
        SEED.check("which", which)
        rng = generator(sampling.seed, Purpose.SAMPLING, which)
        prompts = Prompts.of([self.prompt(field)] * count)
        decoder, first, rows = NetworkReader(self.config, self.parameters).start(prompts)
        logits = first.astype(np.float64)
        logits[:, self.pairing.end_id] = -np.inf  # no answer in training was empty
        drawn: list[Ids] = []
        ended = np.zeros(count, bool)
        while not ended.all() and len(drawn) < self.limit:
            ids = draw(probabilities(logits, sampling), 1 - rng.random(count))
            drawn.append(np.where(ended, self.pairing.end_id, ids))
            ended |= ids == self.pairing.end_id
            logits = decoder.step(rows, fed_back(self.pairing, drawn[-1]))
        return [self.pairing.decode(ids) for ids in np.array(drawn).T]

    def _repr_html_(self) -> str:
        """Return the network, the layout and the symbols as a table, for notebooks."""
        return pairs_html(self.config, self.parameters, self.pairing, self.ngrams)

    @property
    def limit(self) -> int:
        """Most symbols of an answer: one that has not ended by then is cut."""
        return answer_limit(self.pairing)

    def _prompts(self, inputs: Sequence[str]) -> Prompts:
        """Return the ids read for inputs; `UsageError` for a single text or no sequence."""
        if isinstance(inputs, str | bytes) or not isinstance(inputs, Iterable):
            raise UsageError(
                f"inputs is {format_value(inputs)}; it must be a sequence of texts", "a list"
            )
        fields = list(inputs)
        if len(fields) < MIN_JOINED:
            return Prompts.of([self.prompt(field) for field in fields])
        for field in fields:
            check_kind("an input", field, str)
        prompts, readable = encode_prompts(self.pairing, fields, self.normalise)
        for number in np.flatnonzero(~readable)[:1].tolist():
            self.prompt(fields[number])  # raises the error that names the symbols
        return prompts

    def _unfit(self, method: str, fits: Callable[[Layout], bool]) -> UsageError:
        """Return the error for a method that only other layouts have."""
        names = " and ".join(one.name for one in LAYOUTS.values() if fits(one))
        return UsageError(
            f"{method} is for {names}, this model is {self.pairing.layout}", "the method answer"
        )
