"""Surprisal −ln p of every character of a text, and the characters that were likeliest instead.

The mean of the surprisals of the stream is the loss of `charrnn.evaluation.text.evaluate`. A chunk
of the text is held at a time, so that memory does not grow with the text.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from charrnn.errors import TextError
from charrnn.evaluation.text import SEQ_LENGTH
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network
from charrnn.nn.parameters import Parameters
from charrnn.types import Array, Ids

LIKELIEST = 5
"""Symbols that are given for each prediction."""


@dataclass(frozen=True)
class SurprisalChunk:
    """Predictions of `n` successive characters.

    Attributes:
        begin: position in the text of the first of them; the character at 0 is not predicted.
        nats: their surprisals (n,), natural logarithm.
        likeliest: ids (n, k) of the most probable symbols, the most probable first; of equally
            probable ones the smaller id first.
        probabilities: their probabilities (n, k).
    """

    begin: int
    nats: Array
    likeliest: Ids
    probabilities: Array


def surprisals(
    config: ModelConfig,
    parameters: Parameters,
    ids: Ids,
    k: int = LIKELIEST,
    window: int | None = None,
) -> Iterator[SurprisalChunk]:
    """Yield the surprisals of `ids[1:]` in the order of the text.

    Args:
        config: the model's configuration.
        parameters: its weights, which are not changed.
        ids: the text (N,), at least two ids.
        k: symbols per prediction, at most V; 0 for none.
        window: predictions between two resets of the state to zero; None for one stream. Windows
            do not overlap: each reads `window` characters, and its last prediction is of the first
            character of the next.

    Raises:
        TextError: if the text has fewer than two characters.
        ValueError: if `window` is less than 1, or `k` less than 0.
    """
    predictions = len(ids) - 1
    if predictions < 1:
        raise TextError(f"{len(ids)} characters leave nothing to predict", "a longer text")
    if k < 0 or (window is not None and window < 1):
        raise ValueError(f"k is {k} and window {window}; they must be at least 0 and 1")
    span = predictions if window is None else min(window, predictions)
    network = Network(config, parameters, min(SEQ_LENGTH, span), 1)
    for start in range(0, predictions, span):
        end = min(start + span, predictions)
        network.reset_state()
        for begin in range(start, end, network.T):
            count = min(network.T, end - begin)
            at = np.minimum(begin + np.arange(network.T + 1), predictions)  # pads the last chunk
            text = ids[at][:, None]
            network.forward(text[:-1])
            network.loss(text[1:])
            yield surprisal_chunk(begin + 1, network.log_p[:count, 0], text[1 : count + 1, 0], k)
            network.carry_state()


def mean_surprisal(
    config: ModelConfig, parameters: Parameters, ids: Ids, window: int | None = None
) -> float:
    """Return the mean surprisal of `ids[1:]` in nats; arguments and errors as of `surprisals`."""
    return mean_of(surprisals(config, parameters, ids, 0, window))


def mean_of(chunks: Iterable[SurprisalChunk]) -> float:
    """Return the mean of the surprisals of all chunks in nats."""
    sums = [(float(chunk.nats.sum(dtype=np.float64)), len(chunk.nats)) for chunk in chunks]
    return math.fsum(nats for nats, _ in sums) / sum(count for _, count in sums)


def surprisal_chunk(begin: int, log_p: Array, targets: Ids, k: int) -> SurprisalChunk:
    """Return the surprisals of characters, and the likeliest in their place.

    Args:
        begin: position of the first in the text.
        log_p: log-probabilities (n, V) of all characters.
        targets: the characters that occurred (n,).
        k: symbols per prediction, at most V; 0 for none.
    """
    nats = -log_p[np.arange(len(targets)), targets]
    likeliest = np.argsort(-log_p, axis=-1, kind="stable")[:, :k]
    best = np.take_along_axis(log_p, likeliest, axis=-1)
    return SurprisalChunk(begin, nats, likeliest, np.exp(best))
