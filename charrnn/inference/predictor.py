"""From inputs to answers: the likeliest by greedy or beam search, or drawn.

Inputs of any length are read side by side; the state after its own last symbol is where each one's
answer begins. Then all answers grow by a symbol a step, reading what they have written.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from charrnn.checkpointing.checkpoint import load
from charrnn.checkpointing.lookup import checkpoint_in
from charrnn.checkpointing.records import Checkpoint
from charrnn.data.layouts import Pairing
from charrnn.errors import UsageError
from charrnn.evaluation.pairs import like_lengths
from charrnn.inference.sampling import Sampling, draw, probabilities
from charrnn.nn.network import ModelConfig, Network
from charrnn.nn.ops import log_softmax
from charrnn.nn.parameters import Parameters
from charrnn.randomness import Purpose, generator
from charrnn.types import Array, Ids


@dataclass(frozen=True)
class Answer:
    """An answer and its probability under the model."""

    text: str
    probability: float


MAX_BEAM = 1_000
"""Beginnings of an answer that a beam keeps side by side."""

MAX_COUNT = 10_000
"""Answers to one input that are drawn side by side."""


def check_beam(beam: int) -> None:
    """Raise `UsageError` for a width that is no width."""
    if not 1 <= beam <= MAX_BEAM:
        raise UsageError(f"--beam is {beam}; it must be at least 1 and at most {MAX_BEAM:,}")


def check_count(count: int) -> None:
    """Raise `UsageError` for a number of answers that cannot be drawn."""
    if not 1 <= count <= MAX_COUNT:
        raise UsageError(f"--count is {count}; it must be at least 1 and at most {MAX_COUNT:,}")


class Predictor:
    """A model of pairs that answers; inputs are brought into its normal form, if it has one."""

    def __init__(
        self,
        config: ModelConfig,
        parameters: Parameters,
        pairing: Pairing,
        normalise: str | None = None,
    ) -> None:
        self.config, self.parameters, self.pairing = config, parameters, pairing
        self.normalise = normalise

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a checkpoint of pairs, or that of a run's folder.

        `checkpointing.lookup.checkpoint_in` says which one that is.

        Raises `CheckpointError`, and `UsageError` for a language model.
        """
        return cls.of(load(checkpoint_in(Path(path))))

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Self:
        """Return the model of a checkpoint; `UsageError` for a language model."""
        pairing, normalise = checkpoint.pairing, checkpoint.corpus.normalise
        return cls(checkpoint.config, checkpoint.parameters, pairing, normalise)

    def prompt(self, field: str) -> Ids:
        """Return the ids (n,) that are read for an input that a person typed.

        A byte order mark that the model does not know is dropped. Raises `TextError` for symbols
        the model has never read.
        """
        return self.pairing.prompt(self.pairing.typed(field, self.normalise))

    def answer(self, inputs: Sequence[str], beam: int = 1) -> list[Answer]:
        """Return the likeliest answer to each input, found by a beam of that width.

        A width of 1 is greedy search. Raises `TextError` for symbols the model has never read, and
        `UsageError` for a width that is no width.
        """
        check_beam(beam)
        prompts = [self.prompt(field) for field in inputs]
        answers: list[Answer] = [Answer("", 0.0)] * len(prompts)
        for chosen, _ in like_lengths(np.array([max(1, len(p)) * beam for p in prompts])):
            group = [prompts[number] for number in chosen]
            if self.pairing.kind.feeds_back:
                found = self._search(group, beam)
            else:
                found = self._read_off(group)
            for number, one in zip(chosen, found, strict=True):
                answers[number] = one
        return answers

    def label_probabilities(self, inputs: Sequence[str]) -> Array:
        """Return the probability of each answer symbol at the last guess (n, answers)."""
        found = np.zeros((len(inputs), self.config.outputs))
        prompts = [self.prompt(field) for field in inputs]
        for chosen, _ in like_lengths(np.array([len(prompt) for prompt in prompts])):
            group = [prompts[number] for number in chosen]
            log_p, _ = self._read(group)
            lengths = np.array([len(prompt) for prompt in group])
            found[chosen] = np.exp(log_p[lengths - 1, np.arange(len(group))])
        return found

    def sample(self, field: str, sampling: Sampling, count: int = 1, which: int = 0) -> list[str]:
        """Draw `count` answers to one input; `which` numbers inputs that share a seed."""
        check_count(count)
        rng = generator(sampling.seed, Purpose.SAMPLING, which)
        prompt = self.prompt(field)
        log_p, states = self._read([prompt] * count)
        logits = log_p[-1]
        logits[:, self.pairing.end] = -np.inf  # no text in training was empty
        writer = self._writer(states)
        drawn: list[Ids] = []
        ended = np.zeros(count, bool)
        while not ended.all() and len(drawn) < self.limit:
            ids = draw(probabilities(logits, sampling), 1 - rng.random(count))
            drawn.append(np.where(ended, self.pairing.end, ids))
            ended |= ids == self.pairing.end
            logits = self._write(writer, drawn[-1])
        return [self.pairing.spell(lane) for lane in np.array(drawn).T]

    @property
    def limit(self) -> int:
        """Symbols after which an answer without an end is cut."""
        return 2 * self.pairing.longest + 10

    def _read(self, prompts: Sequence[Ids]) -> tuple[Array, dict[str, Array]]:
        """Read prompts side by side: ln p (T, B, V), and each state by name after its own last."""
        lengths = np.array([len(prompt) for prompt in prompts])
        lanes = np.arange(len(prompts))
        inputs = np.zeros((lengths.max(), len(prompts)), np.int64)
        for lane, prompt in enumerate(prompts):
            inputs[: len(prompt), lane] = prompt
        network = Network(self.config, self.parameters, *inputs.shape)
        with np.errstate(over="ignore"):
            logits = network.forward(inputs)
        states = {
            f"layers.{number}.{name}": history[lengths, lanes]
            for number, layer in enumerate(network.layers)
            for name, history in layer.state_history.items()
        }
        return log_softmax(logits.astype(np.float64), np.empty(logits.shape)), states

    def _read_off(self, prompts: Sequence[Ids]) -> list[Answer]:
        """Answer where an answer stands under each input, or under its last symbol."""
        log_p, _ = self._read(prompts)
        answers = []
        for lane, prompt in enumerate(prompts):
            first = 0 if self.pairing.layout == "synced" else len(prompt) - 1
            mine = log_p[first : len(prompt), lane]
            total = float(mine.max(axis=-1).sum())
            answers.append(Answer(self.pairing.spell(mine.argmax(axis=-1)), math.exp(total)))
        return answers

    def _writer(self, states: dict[str, Array]) -> Network:
        """Return a network of one step that goes on from these states (B, H)."""
        B = len(next(iter(states.values())))
        network = Network(self.config, self.parameters, 1, B)
        network.load_states(states)
        return network

    def _write(self, network: Network, answers: Ids) -> Array:
        """Read what was written (B,), END as anything, and return the next logits (B, V)."""
        symbols = np.where(answers == self.pairing.end, 0, answers)
        logits: Array = network.forward(self.pairing.fed_back(symbols)[None])[0]
        network.carry_state()
        return logits

    def _search(self, prompts: Sequence[Ids], beam: int) -> list[Answer]:
        """Keep the `beam` likeliest beginnings of each answer until all of them have ended."""
        P, V, end = len(prompts), self.config.outputs, self.pairing.end
        log_p, states = self._read(prompts)
        lengths = np.array([len(prompt) for prompt in prompts])
        writer = self._writer({name: np.repeat(s, beam, axis=0) for name, s in states.items()})
        following = np.repeat(log_p[lengths - 1, np.arange(P)], beam, axis=0).reshape(P, beam, V)
        scores = np.full((P, beam), -np.inf)
        scores[:, 0] = 0.0  # at first all beams are the same one
        written = np.zeros((P, beam, 0), np.int64)
        ended = np.zeros((P, beam), bool)
        row = np.arange(P)[:, None]
        for _ in range(self.limit):
            following[ended] = -np.inf
            following[ended, end] = 0.0  # an answer that has ended stays as it is
            totals = (scores[..., None] + following).reshape(P, -1)
            best = np.argsort(-totals, axis=-1, kind="stable")[:, :beam]
            scores = np.take_along_axis(totals, best, axis=-1)
            parents, symbols = np.divmod(best, V)
            written = np.concatenate([written[row, parents], symbols[..., None]], axis=-1)
            ended = ended[row, parents] | (symbols == end)
            if ended.all():
                break
            lanes = (row * beam + parents).ravel()
            writer.load_states({name: state[lanes] for name, state in writer.states().items()})
            logits = self._write(writer, symbols.ravel()).astype(np.float64)
            following = log_softmax(logits, logits).reshape(P, beam, V)
        return [
            Answer(self.pairing.spell(answers[0]), math.exp(float(score[0])))
            for answers, score in zip(written, scores, strict=True)
        ]
