"""Static evaluation of a model on a text: nats, bits and perplexity per character.

With a batch size of 1 the model reads the whole text as one sequence from the zero state: N
characters, N − 1 predictions. With a larger batch the text is cut into parallel sequences, each
preceded by `BURN_IN` characters that are not scored. This is faster, and the loss agrees with that
of one sequence to about three digits, which is enough for validation during training.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from charrnn.errors import TextError
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network
from charrnn.nn.parameters import Parameters
from charrnn.notebook_html import html_table
from charrnn.types import Array, Ids, StopFlag

SEQ_LENGTH = 128
"""Time steps of one forward pass."""

BURN_IN = 2 * SEQ_LENGTH
"""Characters that each parallel sequence except the first reads before its first scored one."""

VALIDATION_BATCH_SIZE = 32
"""Parallel sequences of a validation during training."""


@dataclass(frozen=True)
class Score:
    """Loss of a model on a text.

    Attributes:
        nats_per_char: mean cross-entropy, natural logarithm.
        characters: number of predictions that the mean is taken over.
    """

    nats_per_char: float
    characters: int

    @property
    def bits_per_char(self) -> float:
        """Mean cross-entropy in bits: nats / ln 2."""
        return self.nats_per_char / math.log(2)

    @property
    def perplexity(self) -> float:
        """Perplexity eⁿᵃᵗˢ, the exponent limited to 700 so that it stays finite."""
        return math.exp(min(self.nats_per_char, 700.0))

    def _repr_html_(self) -> str:
        """Return the losses per character and their number as a table, for notebooks."""
        row = ("this model", *loss_figures(self.nats_per_char))
        return html_table([row], ("per character", *LOSS_UNITS), f"{self.characters:,} characters")


LOSS_UNITS = ("nats", "bits", "perplexity")
"""Headings of the figures of `loss_figures`."""


def loss_figures(nats: float) -> tuple[str, str, str]:
    """Return a loss in nats, in bits, and as perplexity, or "-" for a huge one, as text.

    Example:
        >>> loss_figures(0.7)
        ('0.7000', '1.0099', '2.01')
    """
    perplexity = f"{math.exp(nats):.2f}" if nats < 20 else "-"
    return f"{nats:.4f}", f"{nats / math.log(2):.4f}", perplexity


def evaluate(
    config: ModelConfig,
    parameters: Parameters,
    ids: Ids,
    batch_size: int = 1,
    stop: StopFlag | None = None,
    state: Mapping[str, Array] | None = None,
) -> float | None:
    """Return the mean cross-entropy of `ids[1:]`, in nats per character.

    Args:
        config: the model's configuration.
        parameters: its weights, which are not changed.
        ids: the text (N,), at least two ids.
        batch_size: number of parallel sequences; reduced for a short text, at least 1.
        stop: is called before each forward pass.
        state: initial state, arrays (1, H) by name; the zero state if None. Ignored for more than
            one parallel sequence.

    Returns:
        The mean over N − 1 predictions, or None if `stop()` became true.

    Raises:
        TextError: if the text has fewer than two characters.
    """
    predictions = len(ids) - 1
    if predictions < 1:
        raise TextError(f"{len(ids)} characters leave nothing to predict", "a longer text")
    batch_size = max(1, min(batch_size, predictions // (4 * BURN_IN)))
    part = -(-predictions // batch_size)
    burn_in = BURN_IN if batch_size > 1 else 0
    starts = np.arange(batch_size) * part
    network = Network(config, parameters, min(SEQ_LENGTH, part + burn_in), batch_size)
    offsets = np.arange(network.T + 1)[:, None]
    total = 0.0
    for begin in range(-burn_in, part, network.T):
        if stop is not None and stop():
            return None
        if begin <= 0:  # reset sequences whose burn-in would begin before the text
            network.reset_state(starts + begin <= 0)
            if state is not None and batch_size == 1:
                network.load_states(state)
        at = starts + begin + offsets  # (T + 1, B)
        text = ids[np.clip(at, 0, predictions)]
        network.forward(text[:-1])
        nats = network.loss(text[1:])
        local = begin + offsets[:-1]
        scored = (local >= 0) & (local < part) & (at[:-1] < predictions)
        total += float(np.sum(nats, where=scored, dtype=np.float64))
        network.carry_state()
    return total / predictions
