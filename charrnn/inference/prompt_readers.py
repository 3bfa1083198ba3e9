"""Readers of prompts: from many inputs to logits, and to answers that are fed back.

`NetworkReader` is the general form, for any cell and any number of layers, and for a few inputs;
`charrnn.inference.tree_reader` has the one for many.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Self

import numpy as np

from charrnn.data.prompts import Prompts
from charrnn.evaluation.pairs import group_by_length
from charrnn.inference.sampling import finite_logits
from charrnn.nn.attention import Annotations
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network
from charrnn.nn.parameters import Parameters
from charrnn.types import Array, Ids


class Decoder(ABC):
    """Answers that are being written, one row each."""

    @abstractmethod
    def step(self, rows: Ids, inputs: Ids) -> Array:
        """Return the logits (R, V) after one more input of some rows, which become all rows.

        Args:
            rows: the rows (R,) of the step before that go on; a row may occur several times.
            inputs: the input (R,) that each of them reads.

        Raises `DivergedError` if a logit is not finite.
        """


class PromptReader(ABC):
    """Reader of prompts with one model; a context, inside of which it may use several threads.

    Args:
        config: the shape of the network.
        parameters: its weights, which must not be changed while it reads.
    """

    def __init__(self, config: ModelConfig, parameters: Parameters) -> None:
        self.config, self.parameters = config, parameters
        self.open = ExitStack()
        """What is open inside of the context."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.open.close()

    @abstractmethod
    def groups(self, prompts: Prompts, beam: int) -> Iterator[Ids]:
        """Yield the numbers of prompts that are read together; each prompt is in one group."""

    @abstractmethod
    def last_logits(self, prompts: Prompts) -> Array:
        """Return the logits (n, V) after each whole prompt."""

    @abstractmethod
    def all_logits(self, prompts: Prompts) -> Array:
        """Return the logits (N, V) at each symbol of all prompts."""

    @abstractmethod
    def start(self, prompts: Prompts) -> tuple[Decoder, Array, Ids]:
        """Return a decoder, the first logits (R, V) of its rows, and the row (n,) of each prompt.

        Equal prompts may have one row.
        """


class NetworkReader(PromptReader):
    """Reader by a `Network`, for any cell: prompts of similar length are padded to one batch."""

    def groups(self, prompts: Prompts, beam: int) -> Iterator[Ids]:
        """Yield groups of similar length."""
        for numbers, _ in group_by_length(np.maximum(prompts.lengths, 1) * beam):
            yield numbers

    def last_logits(self, prompts: Prompts) -> Array:
        """Return the logits (n, V) after each whole prompt."""
        return finite_logits(self._read(prompts)[1])

    def all_logits(self, prompts: Prompts) -> Array:
        """Return the logits (N, V) at each symbol of all prompts."""
        network, _ = self._read(prompts)
        rows = np.repeat(np.arange(len(prompts)), prompts.lengths)
        return finite_logits(network.logits[np.arange(len(rows)) - prompts.starts[rows], rows])

    def start(self, prompts: Prompts) -> tuple[Decoder, Array, Ids]:
        """Return a decoder with a row for each prompt."""
        network, logits = self._read(prompts)
        annotations = None if network.attention is None else network.attention.annotations
        states = network.states_at(prompts.lengths)
        decoder = NetworkDecoder(states, self.config, self.parameters, annotations)
        return decoder, finite_logits(logits), np.arange(len(prompts))

    def _read(self, prompts: Prompts) -> tuple[Network, Array]:
        """Return a network that has read the prompts, and the logits (n, V) after each."""
        inputs, lengths = prompts.padded(), prompts.lengths
        network = Network(self.config, self.parameters, *inputs.shape)
        network.forward(inputs, lengths=self.config.read_lengths(lengths, lengths - 1))
        return network, network.logits[lengths - 1, np.arange(len(lengths))]


class NetworkDecoder(Decoder):
    """Decoder by a `Network` with T = 1.

    Args:
        states: the states (R, H) it begins with, by name.
        config: the shape of the network.
        parameters: its weights.
        annotations: the inputs that answers attend to, R rows; None without attention.
    """

    def __init__(
        self,
        states: dict[str, Array],
        config: ModelConfig,
        parameters: Parameters,
        annotations: Annotations | None = None,
    ) -> None:
        self.config, self.parameters, self.annotations = config, parameters, annotations
        self.network = self._network(len(next(iter(states.values()))))
        self.network.load_states(states)

    def _network(self, rows: int) -> Network:
        return Network(self.config, self.parameters, 1, rows)

    def step(self, rows: Ids, inputs: Ids) -> Array:
        """Return the logits (R, V) after one more input."""
        states = {name: state[rows] for name, state in self.network.states().items()}
        if len(rows) != self.network.B:
            self.network = self._network(len(rows))
        self.network.load_states(states)
        if self.annotations is not None and self.network.attention is not None:
            self.annotations = self.annotations.chosen(rows)
            self.network.attention.annotations = self.annotations
        logits = self.network.forward(inputs[None], lengths=np.full(len(rows), -1))[0]
        self.network.carry_state()
        return finite_logits(logits)
