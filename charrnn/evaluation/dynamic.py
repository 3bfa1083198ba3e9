"""Dynamic evaluation: the model's weights are updated on the text that has been scored.

    θ ← θ − η g / (√m + ε) + λ (θ₀ − θ)        after each segment, g its gradient, m the mean of g²

Krause, Kahembwe, Murray & Renals 2018, ICML, arXiv 1709.07432, with the mean squares taken from the
segments scored so far instead of from the training text, so that the training text is not needed.
Every segment is scored before the update that uses it. The result is not comparable with the static
loss of `charrnn.evaluation.text` and is reported in addition to it.
"""

import numpy as np

from charrnn.errors import TextError, UsageError
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network
from charrnn.nn.parameters import Parameters
from charrnn.optim.clipping import clip_by_norm, norm
from charrnn.types import Array, Ids, StopFlag

SEGMENT_CHARS = 32
"""Characters between two updates."""

RATE = 2e-3
"""Learning rate η, chosen on inner splits of two training texts."""

DECAY = 1e-3
"""Decay λ towards the trained weights θ₀, per segment."""

EPSILON = 1e-4
"""ε, added to √m; the gradient is a mean per character."""

SEGMENT_CLIP_NORM = 1.0


def dynamic_evaluate(
    config: ModelConfig,
    parameters: Parameters,
    ids: Ids,
    *,
    rate: float = RATE,
    decay: float = DECAY,
    stop: StopFlag | None = None,
) -> float | None:
    """Return the mean cross-entropy of `ids[1:]` under dynamic evaluation, in nats per character.

    Args:
        config: the model's configuration.
        parameters: its weights θ₀; a copy is updated, they are not changed.
        ids: the text (N,), read as one sequence from the zero state.
        rate: learning rate η, 0 ≤ rate < 1; 0 gives the static loss.
        decay: λ, 0 ≤ decay < 1.
        stop: is called before each segment.

    Returns:
        The mean over N − 1 predictions, or None if `stop()` became true.

    Raises:
        TextError: if the text has fewer than two characters.
        UsageError: if `rate` or `decay` is out of range.
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
    """Copy of a model that is scored on successive segments and updated after each of them."""

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
        """Return the summed loss of text[1:] (T,) in nats, then update the weights."""
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
        if not np.isfinite(size):  # skip the update: the weights stay finite
            return
        clip_by_norm(gradient, SEGMENT_CLIP_NORM, size)
        self.segments += 1
        self.squares += (gradient * gradient - self.squares) / self.segments
        weights = self.parameters.vector
        weights += self.decay * (self.start - weights)
        weights -= self.rate * gradient / (np.sqrt(self.squares) + EPSILON)
