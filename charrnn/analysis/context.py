"""Use of context: loss by context length, and influence of each character on one prediction."""

import math
from dataclasses import dataclass

import numpy as np

from charrnn.analysis.gradient_profile import BATCH_ROWS, finite_or_none, sample_positions
from charrnn.analysis.layer_backprop import (
    LayerBackprop,
    Logs,
    burn_in_state,
    forward_layers,
    input_gradient,
    row_norms,
)
from charrnn.errors import TextError, UsageError
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network
from charrnn.nn.ops import log_softmax
from charrnn.nn.parameters import Parameters
from charrnn.types import Ids


@dataclass(frozen=True)
class ContextLosses:
    """Loss by context length: the loss of a model that reads only the last k characters.

    Khandelwal, He, Qi & Jurafsky 2018, ACL, arXiv 1805.04623.
    """

    lags: tuple[int, ...]
    """The context lengths k, in characters, increasing."""
    nats_per_char: tuple[float | None, ...]
    """Mean loss for each of `lags`; None if it is not finite."""
    full_nats_per_char: float | None
    """Mean loss with `full_chars` characters of context."""
    full_chars: int
    """The longest context measured, in characters."""
    windows: int
    """Number of characters predicted."""
    effective_chars: int | None
    """The smallest lag from which on all losses are within 1 % of the full one; None if none is."""


def context_losses(
    config: ModelConfig,
    parameters: Parameters,
    ids: Ids,
    *,
    lags: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256),
    windows: int = 256,
    seed: int = 0,
) -> ContextLosses:
    """Measure the loss by context length, on the same characters for every length.

    Args:
        config: the network.
        parameters: its weights; they are not changed.
        ids: the text (N,).
        lags: context lengths in characters, each at least 1. Those longer than two thirds of the
            text are left out.
        windows: number of characters to predict; fewer for a short text.
        seed: chooses these characters.

    Each context is read from the zero state. Raises UsageError for a length below 1, TextError for
    a text of fewer than three characters.
    """
    if not lags or min(lags) < 1:
        raise UsageError("a context has at least one character", "lags=(1, 2, 4, 8)")
    places, _ = sample_positions(len(ids), max(lags), windows, seed, ends=1)
    full = 2 * places.K
    measured = tuple(k for k in sorted(set(lags)) if k <= full)
    positions = places.starts + full
    parameters = parameters.astype(np.float64)
    nats = [_nats_after(config, parameters, ids, positions, k) for k in (*measured, full)]
    close = [loss is not None and loss <= 1.01 * (nats[-1] or 0) for loss in nats]
    effective = None
    for k, is_close in zip(reversed(measured), reversed(close[:-1]), strict=True):
        if not is_close:
            break
        effective = k
    return ContextLosses(measured, tuple(nats[:-1]), nats[-1], full, len(positions), effective)


def _nats_after(
    config: ModelConfig, parameters: Parameters, ids: Ids, positions: Ids, k: int
) -> float | None:
    """Return the mean loss of the characters at `positions` after k characters of context."""
    total = 0.0
    with np.errstate(all="ignore"):
        for first in range(0, len(positions), BATCH_ROWS):
            at = positions[first : first + BATCH_ROWS]
            network = Network(config, parameters, 1, len(at))
            burn_in_state(network, ids[at - k + np.arange(k)[:, None]])
            top = network.layers[-1].h[0]
            log_p = top @ parameters["W_hy"] + parameters["b_y"]
            log_softmax(log_p, out=log_p)
            total -= float(log_p[np.arange(len(at)), ids[at]].sum())
    return finite_or_none(total / len(positions))


EFFECTIVE_CONTEXTS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192)
"""Context lengths, in characters, among which `effective_context` chooses."""

FULL_CONTEXT = 256
"""Characters of context that count as all of it."""

EFFECTIVE_TARGETS = 1024
"""Characters predicted at every length."""

TARGETS_PER_BLOCK = 32
"""Neighbouring characters that are predicted in one pass."""

CLOSE_SHARE = 0.01
"""A context is enough if its loss is above that of the full one by at most this share."""


@dataclass(frozen=True)
class EffectiveContext:
    """How many characters of context a model uses."""

    chars: int | None
    """The smallest length from which on all losses are within 1 % of the full one; None if none."""
    contexts: tuple[int, ...]
    """The lengths measured, in characters."""
    nats_per_char: tuple[float, ...]
    """Mean loss at each of them."""
    full_nats_per_char: float
    """Mean loss with the full context."""
    full_chars: int
    """Characters of the full context."""
    targets: int
    """Characters predicted at each length."""


def effective_context(
    config: ModelConfig,
    parameters: Parameters,
    ids: Ids,
    *,
    seed: int = 0,
    targets: int = EFFECTIVE_TARGETS,
) -> EffectiveContext | None:
    """Measure how much context a model uses, in float32 and in one pass for neighbouring targets.

    A faster form of `context_losses` for more targets: a block of neighbouring characters is read
    once, so that its first one has k characters of context, and its last one up to a fraction of k
    more. The same characters are predicted at every length.

    Args:
        config: the network.
        parameters: its weights; they are not changed.
        ids: the text (N,).
        seed: chooses the blocks.
        targets: characters to predict at each length; fewer for a short text.

    Returns None for a text of fewer than 64 characters, or if a loss is not finite.
    """
    full = min(FULL_CONTEXT, len(ids) // 2 // TARGETS_PER_BLOCK * TARGETS_PER_BLOCK)
    if full < TARGETS_PER_BLOCK:
        return None
    room = len(ids) - full - TARGETS_PER_BLOCK
    blocks = max(1, min(targets // TARGETS_PER_BLOCK, room // TARGETS_PER_BLOCK))
    draws = np.random.default_rng(seed).random(blocks)
    edges = np.arange(blocks + 1) * room // blocks
    begins = full + edges[:-1] + (draws * np.diff(edges)).astype(np.int64)
    weights = parameters.astype(np.float32)
    contexts = [k for k in EFFECTIVE_CONTEXTS if k < full]
    losses = []
    with np.errstate(all="ignore"):
        for k in (*contexts, full):
            size = _block_size(k)
            starts = (begins[:, None] + np.arange(0, TARGETS_PER_BLOCK, size)).ravel()
            losses.append(_block_loss(config, weights, ids, starts, k, size))
    if not all(map(math.isfinite, losses)):
        return None
    chars = None
    for k, loss in zip(reversed(contexts), reversed(losses[:-1]), strict=True):
        if loss > (1 + CLOSE_SHARE) * losses[-1]:
            break
        chars = k
    return EffectiveContext(
        chars, tuple(contexts), tuple(losses[:-1]), losses[-1], full, blocks * TARGETS_PER_BLOCK
    )


def _block_size(k: int) -> int:
    """Return the largest block, a power of two, that adds at most a third of k, or 1, to k."""
    size = 1
    while size < TARGETS_PER_BLOCK and 2 * size - 1 <= k // 3:
        size *= 2
    return size


def _block_loss(
    config: ModelConfig, weights: Parameters, ids: Ids, starts: Ids, k: int, size: int
) -> float:
    """Return the mean loss of `size` characters from each of `starts`, read from k before it."""
    T = k + size - 1
    rows = max(1, MAX_BLOCK_POSITIONS // T)
    total = 0.0
    for first in range(0, len(starts), rows):
        at = starts[first : first + rows]
        text = ids[at - k + np.arange(T + 1)[:, None]]  # (T + 1, B)
        network = Network(config, weights, T, len(at))
        forward_layers(network, text[:-1])
        h = network.layers[-1].h[k:]  # (size, B, H): the states before each target
        log_p = h @ weights["W_hy"] + weights["b_y"]
        log_softmax(log_p, out=log_p)
        nats = np.take_along_axis(log_p, text[k:, :, None].astype(np.int64), axis=2)
        total -= float(nats.sum(dtype=np.float64))
    return total / (len(starts) * size)


MAX_BLOCK_POSITIONS = 2**14
"""T × B of a network of `effective_context`: what its buffers hold."""


@dataclass(frozen=True)
class Influence:
    """Influence of each character of a text on one logit of the prediction that follows it."""

    target: int
    """Id of the character or symbol whose logit it is."""
    probability: float | None
    """Probability that the model gives to it."""
    log_norms: tuple[float | None, ...]
    """ln ‖∂ logit_target/∂x_t‖ over one-hot x_t (V,), for every character; None for 0 or NaN."""
    shares: tuple[float | None, ...]
    """These norms divided by the largest of them, from 0 to 1."""


def influence(
    config: ModelConfig, parameters: Parameters, ids: Ids, target: int | None = None
) -> Influence:
    """Measure ‖∂ logit_y/∂x_t‖ for every character x_t of a text, read from the zero state.

    After Madsen 2019, Distill, "Visualizing memorization in RNNs". The gradient is that of a logit
    because the gradient of the loss also depends on how likely y is.

    Args:
        config: the network.
        parameters: its weights; they are not changed.
        ids: the text (N,).
        target: y, the id of a character or symbol; by default the most probable one.

    Raises TextError for an empty text.
    """
    if not len(ids):
        raise TextError("there is no character to show", "a longer text")
    parameters = parameters.astype(np.float64)
    with np.errstate(all="ignore"):
        network = Network(config, parameters, len(ids), 1, parameters.like())
        if config.bidirectional is not None:
            return _influence(*_influence_from_both_ends(network, ids, target))
        forward_layers(network, ids[:, None])
        log_p = network.layers[-1].h[-1] @ parameters["W_hy"] + parameters["b_y"]
        log_softmax(log_p, out=log_p)
        y = int(np.argmax(log_p)) if target is None else target
        backprop = LayerBackprop(network.layers)
        backprop.begin(parameters["W_hy"][:, y][None])
        logs = np.zeros(len(ids))
        for t in reversed(range(len(ids))):
            scale = backprop.step_back(t)
            dx = input_gradient(network.layers[0], t)
            logs[t] = np.log(row_norms(dx))[0] + scale[0] * math.log(2)
        return _influence(y, float(np.exp(log_p[0, y])), logs)


def _influence(y: int, probability: float, logs: Logs) -> Influence:
    """Return the influence with its shares of the largest norm."""
    shares = np.exp(logs - max(float(logs.max()), -1e9))
    return Influence(
        y,
        finite_or_none(probability),
        tuple(finite_or_none(x) for x in logs),
        tuple(finite_or_none(x) for x in shares),
    )


def _influence_from_both_ends(
    network: Network, ids: Ids, target: int | None
) -> tuple[int, float, Logs]:
    """Return the target, its probability, and ln ‖∂ logit/∂x_t‖ (N,) by way of all cells."""
    N = len(ids)
    lengths = network.config.read_lengths(np.array([N]), np.array([N - 1]))
    last = network.forward(ids[:, None], lengths=lengths)[-1, 0]
    y = int(np.argmax(last)) if target is None else target
    dlogits = np.zeros_like(network.logits)
    dlogits[-1, 0, y] = 1
    network.backward_from_logits(dlogits)
    forward, backward = network.layers[0], network.backward_cells[0]
    dx = [input_gradient(forward, t) for t in range(N)]
    for t in range(int(lengths[0])):
        dx[t] += input_gradient(backward, int(lengths[0]) - 1 - t)
    probability = float(np.exp(log_softmax(last, np.empty_like(last))[y]))
    return y, probability, np.log(row_norms(np.concatenate(dx)))
