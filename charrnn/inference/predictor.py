"""Predictor for models of pairs: the most probable answers by greedy or beam search, or samples.

Inputs of several lengths are read as one batch; each answer starts from the state after the last
symbol of its own input. Then every answer grows by one symbol per step, which is fed back.
"""

import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Self

import numpy as np

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.checkpointing.lookup import checked_path, checkpoint_in
from charrnn.checkpointing.records import Checkpoint
from charrnn.data.layouts import LAYOUTS, Layout, PairVocabulary
from charrnn.errors import TextError, UsageError
from charrnn.evaluation.pairs import group_by_length
from charrnn.inference.sampling import Sampling, check_sampling, draw, finite_logits, probabilities
from charrnn.limits import SEED, check_kind, format_value
from charrnn.nn.network import ModelConfig, Network
from charrnn.nn.ops import log_softmax
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


MAX_BEAM = 1_000
"""Largest beam width."""

MAX_ANSWERS = 10_000
"""Most answers to one input that are drawn as one batch."""


ANSWER_LENGTH_FACTOR, EXTRA_SYMBOLS = 2, 10
"""An answer may be this many times as long as the longest one in training, and a few symbols."""


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
        normalise: the Unicode normal form that inputs are brought into; None for none.

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
    ) -> None:
        self.config, self.parameters, self.pairing = config, parameters, pairing
        self.normalise = normalise

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
        """Return the model of a checkpoint; `UsageError` for a language model."""
        pairing, normalise = checkpoint.pairing, checkpoint.corpus.normalise
        return cls(checkpoint.config, checkpoint.parameters, pairing, normalise)

    def prompt(self, field: str) -> Ids:
        """Return the ids (n,) that are read for the input `field`.

        A byte order mark is dropped unless the model knows it. Raises `TextError` for symbols that
        the model does not know and for an empty input, and `UsageError` for what is not a `str`.
        """
        check_kind("an input", field, str)
        if not field:
            raise TextError("an input is empty; try at least one character")
        return self.pairing.prompt(self.pairing.typed(field, self.normalise))

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
        answers: list[Answer] = [Answer("", 0.0)] * len(prompts)
        for chosen, _ in group_by_length(np.array([max(1, len(p)) * beam for p in prompts])):
            group = [prompts[number] for number in chosen]
            if self.pairing.layout_spec.feeds_back:
                found = self._search(group, beam)
            else:
                found = self._read_off(group)
            for number, one in zip(chosen, found, strict=True):
                answers[number] = one
        return answers

    def label_probabilities(self, inputs: Sequence[str]) -> Array:
        """Return the probability of each label after each whole input, (n, answers).

        Raises `UsageError` for layouts whose answers are texts, and errors as `answer` does.
        """
        if self.pairing.layout_spec.answer_is_text:
            raise self._unfit("label_probabilities", lambda one: not one.answer_is_text)
        prompts = self._prompts(inputs)
        found = np.zeros((len(prompts), self.config.outputs))
        for chosen, _ in group_by_length(np.array([len(prompt) for prompt in prompts])):
            group = [prompts[number] for number in chosen]
            log_p, _ = self._read(group)
            lengths = np.array([len(prompt) for prompt in group])
            found[chosen] = np.exp(log_p[lengths - 1, np.arange(len(group))])
        return found

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
        prompt = self.prompt(field)
        log_p, states = self._read([prompt] * count)
        logits = log_p[-1]
        logits[:, self.pairing.end_id] = -np.inf  # no answer in training was empty
        writer = self._writer(states)
        drawn: list[Ids] = []
        ended = np.zeros(count, bool)
        while not ended.all() and len(drawn) < self.limit:
            ids = draw(probabilities(logits, sampling), 1 - rng.random(count))
            drawn.append(np.where(ended, self.pairing.end_id, ids))
            ended |= ids == self.pairing.end_id
            logits = self._write(writer, drawn[-1])
        return [self.pairing.decode(ids) for ids in np.array(drawn).T]

    @property
    def limit(self) -> int:
        """Most symbols of an answer: one that has not ended by then is cut."""
        return ANSWER_LENGTH_FACTOR * self.pairing.longest + EXTRA_SYMBOLS

    def _prompts(self, inputs: Sequence[str]) -> list[Ids]:
        """Return the ids read for each input; `UsageError` for a single text or no sequence."""
        if isinstance(inputs, str | bytes) or not isinstance(inputs, Iterable):
            raise UsageError(
                f"inputs is {format_value(inputs)}; it must be a sequence of texts", "a list"
            )
        return [self.prompt(field) for field in inputs]

    def _unfit(self, method: str, fits: Callable[[Layout], bool]) -> UsageError:
        """Return the error for a method that only other layouts have."""
        names = " and ".join(one.name for one in LAYOUTS.values() if fits(one))
        return UsageError(
            f"{method} is for {names}, this model is {self.pairing.layout}", "the method answer"
        )

    def _read(self, prompts: Sequence[Ids]) -> tuple[Array, dict[str, Array]]:
        """Read prompts as one batch; return ln p (T, B, V) and the states after each prompt's end.

        The states (B, H) are named as `Network.states` names them.
        """
        lengths = np.array([len(prompt) for prompt in prompts])
        inputs = np.zeros((lengths.max(), len(prompts)), np.int64)
        for row, prompt in enumerate(prompts):
            inputs[: len(prompt), row] = prompt
        network = Network(self.config, self.parameters, *inputs.shape)
        read = self.config.read_lengths(lengths, lengths - 1)
        logits = finite_logits(network.forward(inputs, lengths=read))
        states = network.states_at(lengths)
        return log_softmax(logits.astype(np.float64), np.empty(logits.shape)), states

    def _read_off(self, prompts: Sequence[Ids]) -> list[Answer]:
        """Return the answers of layouts that give a symbol for each input symbol or the last."""
        log_p, _ = self._read(prompts)
        answers = []
        for row, prompt in enumerate(prompts):
            first = 0 if self.pairing.layout_spec.predicts_while_reading else len(prompt) - 1
            own = log_p[first : len(prompt), row]
            total = float(own.max(axis=-1).sum())
            answers.append(Answer(self.pairing.decode(own.argmax(axis=-1)), math.exp(total)))
        return answers

    def _writer(self, states: dict[str, Array]) -> Network:
        """Return a network with T = 1 that starts from these states (B, H)."""
        B = len(next(iter(states.values())))
        network = Network(self.config, self.parameters, 1, B)
        network.load_states(states)
        return network

    def _write(self, network: Network, answers: Ids) -> Array:
        """Feed back the symbols of answers (B,), any one for END; return the next logits (B, V)."""
        symbols = np.where(answers == self.pairing.end_id, 0, answers)
        inputs = self.pairing.fed_back(symbols)[None]
        logits = finite_logits(network.forward(inputs, lengths=np.full(len(symbols), -1))[0])
        network.carry_state()
        return logits

    def _search(self, prompts: Sequence[Ids], beam: int) -> list[Answer]:
        """Keep the `beam` most probable partial answers of each input until all have ended."""
        P, V, end = len(prompts), self.config.outputs, self.pairing.end_id
        log_p, states = self._read(prompts)
        lengths = np.array([len(prompt) for prompt in prompts])
        writer = self._writer({name: np.repeat(s, beam, axis=0) for name, s in states.items()})
        following = np.repeat(log_p[lengths - 1, np.arange(P)], beam, axis=0).reshape(P, beam, V)
        scores = np.full((P, beam), -np.inf)
        scores[:, 0] = 0.0  # at first all beams are equal, so only one counts
        written = np.zeros((P, beam, 0), np.int64)
        ended = np.zeros((P, beam), bool)
        row = np.arange(P)[:, None]
        for _ in range(self.limit):
            following[ended] = -np.inf
            following[ended, end] = 0.0  # a finished answer keeps its score
            totals = (scores[..., None] + following).reshape(P, -1)
            best = np.argsort(-totals, axis=-1, kind="stable")[:, :beam]
            scores = np.take_along_axis(totals, best, axis=-1)
            parents, symbols = np.divmod(best, V)
            written = np.concatenate([written[row, parents], symbols[..., None]], axis=-1)
            ended = ended[row, parents] | (symbols == end)
            if ended.all():
                break
            rows = (row * beam + parents).ravel()
            writer.load_states({name: state[rows] for name, state in writer.states().items()})
            logits = self._write(writer, symbols.ravel()).astype(np.float64)
            following = log_softmax(logits, logits).reshape(P, beam, V)
        return [
            Answer(self.pairing.decode(answers[0]), math.exp(float(score[0])))
            for answers, score in zip(written, scores, strict=True)
        ]
