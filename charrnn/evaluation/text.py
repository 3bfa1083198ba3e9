"""Static evaluation of a model on a text: nats, bits and perplexity per character.

The model reads the whole text as one sequence from the zero state: N characters, N − 1
predictions. With a batch size above 1 the text is cut into as many parallel sequences, which is
faster and gives the same loss to rounding: each sequence is read from the zero state, and then
again from the state in which the one before it ended, until its states are those of the first
reading. A network that does not forget where it began within `MAX_CONTINUED` windows is no longer
followed; its loss is then an approximation, and `StreamLoss` says so.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from charrnn.errors import TextError
from charrnn.nn.cells import CELLS, Cell
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network
from charrnn.nn.parameters import Parameters
from charrnn.notebook_html import html_table
from charrnn.types import Array, Ids, StopFlag

SEQ_LENGTH = 128
"""Time steps of one forward pass."""

MIN_PART = 8 * SEQ_LENGTH
"""Fewest characters of each parallel sequence."""

MAX_CONTINUED = 16
"""Windows that parallel sequences are read again, from the end of the one before, at most."""

STATE_TOLERANCE = 1e-5
"""Largest difference of states that count as the same."""

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
        state: initial state, arrays (1, H) by name; the zero state if None.

    Returns:
        The mean over N − 1 predictions, or None if `stop()` became true.

    Raises:
        TextError: if the text has fewer than two characters.
    """
    found = stream_loss(config, parameters, ids, batch_size, stop, state)
    return None if found is None else found.nats_per_char


@dataclass(frozen=True)
class StreamLoss:
    """Loss of a text that was read as parallel sequences.

    Attributes:
        nats_per_char: mean cross-entropy, natural logarithm.
        is_one_stream: whether this is the loss of the text as one sequence, to rounding.
    """

    nats_per_char: float
    is_one_stream: bool


def stream_loss(
    config: ModelConfig,
    parameters: Parameters,
    ids: Ids,
    batch_size: int,
    stop: StopFlag | None = None,
    state: Mapping[str, Array] | None = None,
    cells: Mapping[str, type[Cell]] = CELLS,
) -> StreamLoss | None:
    """Return the mean cross-entropy of `ids[1:]`, read as parallel sequences.

    The arguments are those of `evaluate`; `cells` are the classes of the cells by name, those of a
    compute backend.
    """
    predictions = len(ids) - 1
    if predictions < 1:
        raise TextError(f"{len(ids)} characters leave nothing to predict", "a longer text")
    B = max(1, min(batch_size, predictions // MIN_PART))
    windows = -(-predictions // (B * SEQ_LENGTH))
    T = min(SEQ_LENGTH, predictions) if B == 1 else -(-predictions // (B * windows))
    network = Network(config, parameters, T, B, cells=cells)
    # The position of each input (T, B) in the first window, and of the last target.
    positions = np.arange(B) * (windows * T) + np.arange(T + 1)[:, None]  # (T + 1, B)
    nats = np.zeros((windows, B))

    def read(window: int) -> bool:
        """Fill a row of `nats` and carry the states; return False if `stop()` is true."""
        if stop is not None and stop():
            return False
        at = positions + window * T
        text = ids[np.minimum(at, predictions)]
        network.forward(text[:-1])
        losses = network.loss(text[1:])
        np.sum(losses, 0, np.float64, nats[window], where=at[:-1] < predictions)
        network.carry_state()
        return True

    def begin(states: Mapping[str, Array]) -> None:
        """Begin all sequences but the first from `states`."""
        network.reset_state()
        for name, rows in network.states().items():
            rows[1:] = states[name][1:]
            if state is not None:
                rows[0] = state[name]

    zero = {name: np.zeros_like(rows) for name, rows in network.states().items()}
    begin(zero)
    after = []
    for window in range(windows):
        if not read(window):
            return None
        if B > 1 and window < MAX_CONTINUED:
            after.append(copied(network.states()))
    settled = B == 1
    if not settled:
        begin({name: np.roll(rows, 1, axis=0) for name, rows in network.states().items()})
        for window, before in enumerate(after):
            if not read(window):
                return None
            with np.errstate(invalid="ignore"):  # infinite states are not the same
                settled = all(
                    np.abs(rows - before[name]).max() <= STATE_TOLERANCE
                    for name, rows in network.states().items()
                )
            if settled:
                break
    return StreamLoss(float(nats.sum()) / predictions, settled)


def one_stream_loss(
    config: ModelConfig,
    parameters: Parameters,
    ids: Ids,
    limit: int,
    stop: StopFlag | None = None,
    state: Mapping[str, Array] | None = None,
    cells: Mapping[str, type[Cell]] = CELLS,
) -> tuple[float, int] | None:
    """Return the loss of a text as one sequence, and the number of characters that it is of.

    The arguments are those of `stream_loss`. If parallel sequences do not give this loss, the text
    is read again as one sequence, its first `limit` characters only.
    """
    found = stream_loss(config, parameters, ids, VALIDATION_BATCH_SIZE, stop, state, cells)
    if found is not None and not found.is_one_stream:
        ids = ids[:limit]
        found = stream_loss(config, parameters, ids, 1, stop, state, cells)
    return None if found is None else (found.nats_per_char, len(ids))


def copied(states: Mapping[str, Array]) -> dict[str, Array]:
    """Return copies of arrays by their names."""
    return {name: array.copy() for name, array in states.items()}
