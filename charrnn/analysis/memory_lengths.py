"""Memory lengths: how far a gradient reaches, how much a model uses, how far a text depends.

Three lengths in characters that answer different questions about one model and its text:

    reach   the lag from which on the gradient of the loss at one character stays at 1 % or below
    used    the shortest context whose loss is within 1 % of that with the full context
    text    the distance from which on the mutual information of characters is below 1 % of its
            maximum: a property of the text, not of the model

For pairs the third is the gap of the task: from the first input to the first predicted symbol. A
model that reads from both ends has to reach half of it, from each end to the middle.
"""

from dataclasses import dataclass

import numpy as np

from charrnn.analysis.context import EffectiveContext, effective_context
from charrnn.analysis.gradient_profile import GradientProfile
from charrnn.analysis.text_memory import MIN_CHARACTERS, TextMemory, text_memory
from charrnn.data.pair_batches import Examples
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.parameters import Parameters
from charrnn.types import Ids


@dataclass(frozen=True)
class MemoryLengths:
    """The three lengths of one model and its data."""

    reach_chars: int | None
    """Smallest lag from which on the gradient is at 1 % or below; None if beyond `max_lag`."""
    max_lag: int
    """Largest lag of the gradient profile."""
    used: EffectiveContext | None = None
    """Context that the model uses; None if not measured: untrained, pairs, or a short text."""
    text: TextMemory | None = None
    """Dependence within the text; None for pairs, or if the text is too short to measure it."""
    gap_chars: int | None = None
    """Of pairs: median distance from the first input to the first predicted symbol; half of it if
    the model reads from both ends."""
    seq_length: int | None = None
    """Training window in characters; None for pairs, or if it is not known."""

    @property
    def used_chars(self) -> int | None:
        """The context used; the full one if no shorter one is enough."""
        if self.used is None:
            return None
        return self.used.full_chars if self.used.chars is None else self.used.chars


def measure_lengths(
    profile: GradientProfile,
    config: ModelConfig,
    parameters: Parameters,
    ids: Ids,
    *,
    trained: bool,
    text: TextMemory | None,
    seq_length: int | None = None,
    examples: Examples | None = None,
    seed: int = 0,
) -> MemoryLengths:
    """Measure the lengths of a model whose gradient profile is known.

    Args:
        profile: its gradient profile.
        config: the network.
        parameters: its weights; they are not changed.
        ids: the text (N,).
        trained: whether the context that it uses is measured.
        text: the dependence within the text, as `dependence` returns it.
        seq_length: training window in characters.
        examples: the pairs, for a model of pairs.
        seed: chooses the characters that are predicted.
    """
    reaches = [state.horizon_chars for state in profile.main_states if not state.zero]
    reach = None if None in reaches else max((k for k in reaches if k is not None), default=0)
    used = None
    if trained and examples is None:
        used = effective_context(config, parameters, ids, seed=seed)
    gap = None if examples is None else _median_gap(examples)
    if gap is not None and config.bidirectional is not None:
        gap = -(-gap // 2)
    return MemoryLengths(reach, profile.lags, used, text, gap, seq_length)


def dependence(ids: Ids, seed: int = 0) -> TextMemory | None:
    """Measure the dependence within a text without n-gram counts; None if it is too short."""
    if len(ids) < MIN_CHARACTERS:
        return None
    return text_memory(ids, seed=seed, ngrams=False)


def _median_gap(examples: Examples) -> int:
    """Return the median over examples of the position of the first predicted symbol."""
    return int(np.median(examples.first_targets))
