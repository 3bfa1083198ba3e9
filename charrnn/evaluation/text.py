"""What a model is worth on a text: nats, bits and perplexity per character.

The figure is that of one stream from the zero state over the whole text: N characters, N − 1
predictions. With more lanes the text is cut into parts, each read from a little before its start;
that is faster and agrees with one stream to about the third digit, enough to watch a run.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from charrnn.errors import TextError
from charrnn.nn.network import ModelConfig, Network
from charrnn.nn.parameters import Parameters
from charrnn.types import Array, Ids, StopFlag

SEQ_LENGTH = 128
"""Time steps that are walked at once."""

BURN_IN = 2 * SEQ_LENGTH
"""Characters that each lane but the first reads before the first one it is scored on."""

VALIDATION_BATCH_SIZE = 32
"""Lanes of the evaluation that training makes now and then."""


@dataclass(frozen=True)
class Score:
    """The loss of one text under one model, per character."""

    nats_per_char: float
    characters: int

    @property
    def bits_per_char(self) -> float:
        """Nats in units of ln 2."""
        return self.nats_per_char / math.log(2)

    @property
    def perplexity(self) -> float:
        """Return eⁿᵃᵗˢ: the number of equally likely characters it is like guessing among."""
        return math.exp(min(self.nats_per_char, 700.0))


def evaluate(
    config: ModelConfig,
    parameters: Parameters,
    ids: Ids,
    lanes: int = 1,
    stop: StopFlag | None = None,
    state: Mapping[str, Array] | None = None,
) -> float | None:
    """Return the mean nats of `ids[1:]` given what came before, or None if `stop` said so.

    A single lane may begin from a `state` (1, H) by name instead of from zero. Raises `TextError`
    if there is nothing to predict.
    """
    predictions = len(ids) - 1
    if predictions < 1:
        raise TextError(f"{len(ids)} characters leave nothing to predict", "a longer text")
    lanes = max(1, min(lanes, predictions // (4 * BURN_IN)))
    part = -(-predictions // lanes)
    burn_in = BURN_IN if lanes > 1 else 0
    starts = np.arange(lanes) * part
    network = Network(config, parameters, min(SEQ_LENGTH, part + burn_in), lanes)
    offsets = np.arange(network.T + 1)[:, None]
    total = 0.0
    for begin in range(-burn_in, part, network.T):
        if stop is not None and stop():
            return None
        if begin <= 0:  # what lies before the text is read as noise, and forgotten
            network.reset_state(starts + begin <= 0)
            if state is not None and lanes == 1:
                network.load_states(state)
        at = starts + begin + offsets  # (T + 1, B)
        text = ids[np.clip(at, 0, predictions)]
        with np.errstate(over="ignore", invalid="ignore"):
            network.forward(text[:-1])
            nats = network.loss(text[1:])
        local = begin + offsets[:-1]
        scored = (local >= 0) & (local < part) & (at[:-1] < predictions)
        total += float(np.sum(nats, where=scored, dtype=np.float64))
        network.carry_state()
    return total / predictions
