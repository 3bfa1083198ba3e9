"""Dynamic evaluation: the model goes on learning from what it has already been scored on.

    θ ← θ − η g / (√m + ε) + λ (θ₀ − θ)        after each segment, g its gradient, m the mean of g²

Krause, Kahembwe, Murray & Renals 2018, ICML, arXiv 1709.07432, with the mean squares taken from the
segments scored so far instead of from the training text, so that nothing but the model is needed.
Every character is scored before it is learnt from; the figure is another one than the static loss,
and belongs beside it.
"""

import numpy as np

from charrnn.errors import TextError, UsageError
from charrnn.nn.network import ModelConfig, Network
from charrnn.nn.parameters import Parameters
from charrnn.optim.clipping import clip_by_norm, norm
from charrnn.types import Array, Ids, StopFlag

SEGMENT_CHARS = 32
"""Characters between two updates."""

RATE = 2e-3
"""η, chosen on inner splits of two training texts."""

DECAY = 1e-3
"""λ: how fast what was learnt is forgotten again."""

EPSILON = 1e-4
"""ε, beside √m of a mean gradient per character."""

CLIP_NORM = 1.0


def dynamic_evaluate(
    config: ModelConfig,
    parameters: Parameters,
    ids: Ids,
    *,
    rate: float = RATE,
    decay: float = DECAY,
    stop: StopFlag | None = None,
) -> float | None:
    """Return the mean nats of `ids[1:]`, one stream from the zero state, or None if `stop` said so.

    A rate of 0 gives the static loss; `parameters` stay as they are. Raises `TextError` if there
    is nothing to predict, `UsageError` for a rate or decay without meaning.
    """
    if not (0 <= rate < 1 and 0 <= decay < 1):
        raise UsageError(f"rate {rate} and decay {decay} must be from 0 to below 1", f"{RATE}")
    predictions = len(ids) - 1
    if predictions < 1:
        raise TextError(f"{len(ids)} characters leave nothing to predict", "a longer text")
    learner = _Learner(config, parameters, rate, decay)
    total = 0.0
    for begin in range(0, predictions, SEGMENT_CHARS):
        if stop is not None and stop():
            return None
        total += learner.score(ids[begin : begin + SEGMENT_CHARS + 1])
    return total / predictions


class _Learner:
    """A copy of a model that is scored on one segment after another, and learns from each."""

    def __init__(
        self, config: ModelConfig, parameters: Parameters, rate: float, decay: float
    ) -> None:
        self.config, self.rate, self.decay = config, rate, decay
        self.start = parameters.vector
        self.parameters = parameters.astype(self.start.dtype)
        self.gradients = parameters.like()
        self.squares: Array = np.zeros_like(self.start)
        self.segments = 0
        self.network = Network(config, self.parameters, SEGMENT_CHARS, 1, self.gradients)

    def score(self, text: Ids) -> float:
        """Return the sum of nats of text[1:] (T,), and then learn from it."""
        T = len(text) - 1
        if self.network.T != T:  # the last segment may be shorter
            shorter = Network(self.config, self.parameters, T, 1, self.gradients)
            shorter.load_states(self.network.states())
            self.network = shorter
        network = self.network
        targets = text[1:, None]
        with np.errstate(over="ignore", invalid="ignore"):
            network.forward(text[:-1, None])
            nats = float(network.loss(targets).sum(dtype=np.float64))
            network.backward(targets, 1 / T)
        network.carry_state()
        if self.rate:
            self._learn(self.gradients.vector)
        return nats

    def _learn(self, gradient: Array) -> None:
        size = norm(gradient)
        if not np.isfinite(size):  # nothing to learn from, and nothing is spoilt
            return
        clip_by_norm(gradient, CLIP_NORM, size)
        self.segments += 1
        self.squares += (gradient * gradient - self.squares) / self.segments
        weights = self.parameters.vector
        weights += self.decay * (self.start - weights)
        weights -= self.rate * gradient / (np.sqrt(self.squares) + EPSILON)
