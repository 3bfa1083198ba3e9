"""What the numbers mean for one model: a verdict in words, and advice.

    kind        first that applies, at a lag of `REFERENCE_LAG` = 100 characters
    nonfinite   a weight, or the gradient, is not a finite number
    exploding   R(k) > 10 for some k ≤ 100, or a rate above ×1.01 with R² > 0.9, in any layer
    vanishing   G stays at 1 % or below from a lag ≤ 100 on; or no gradient at all
    fading      G stays at 10 % or below from a lag ≤ 100 on
    healthy     else

A model is judged by the layer that carries furthest. Where fewer lags were followed than 100, the
rate continues G. Neither the length of training windows nor the spectral radius has a say.
"""

import math
from dataclasses import dataclass

import numpy as np

from charrnn.analysis.gradient_profile import HORIZON_SHARE, GradientProfile, StateProfile
from charrnn.nn.cells import CELLS
from charrnn.nn.network import ModelConfig

REFERENCE_LAG = 100
FADING_SHARE = 0.1
EXPLODING_RATIO = 10.0
EXPLODING_RATE = 1.01
EXPLODING_R_SQUARED = 0.9

VERDICT_KINDS = ("nonfinite", "exploding", "vanishing", "fading", "healthy")


@dataclass(frozen=True)
class Verdict:
    """One of `VERDICT_KINDS`, and one line that says what was found and what to try."""

    kind: str
    sentence: str


def diagnose(
    found: GradientProfile, config: ModelConfig, *, trained: bool, seq_length: int | None = None
) -> Verdict:
    """Judge a profile by the rule at the top; `seq_length` only tunes the advice."""
    lines = found.main_states
    if found.nonfinite or not all(line.finite for line in lines):
        where = f"{found.nonfinite[0]} holds" if found.nonfinite else "the gradient has"
        advice = "an earlier checkpoint, a smaller --lr, or --clip-norm 1"
        return _verdict_with_advice("nonfinite", f"{where} numbers that are not finite", advice)
    alive = [line for line in lines if not line.zero]
    if not alive:
        reason = "the loss does not depend on the state"
        if config.outputs == 1:
            return _verdict_with_advice(
                "vanishing", f"{reason}: one character leaves nothing to guess", "a text"
            )
        return _verdict_with_advice(
            "vanishing", f"there is no gradient: {reason}", "training again"
        )
    bursting = [line for line in alive if explodes(line)]
    if bursting:
        worst = max(bursting, key=_max_ratio)
        lags = _followed_lags(worst)
        growth = f"the gradient grows {_max_ratio(worst):.3g}-fold within {lags} characters"
        if _max_ratio(worst) <= EXPLODING_RATIO:
            growth = f"the gradient grows ×{worst.rate_per_char:.3f} per character"
        return _verdict_with_advice("exploding", growth, _exploding_advice(config, trained))
    best = max(alive, key=share_at_reference)
    share = share_at_reference(best)
    window = "" if seq_length is None else f" (training window {seq_length})"
    if share <= HORIZON_SHARE:
        at = "within 100" if best.horizon_chars is None else f"after {best.horizon_chars}"
        text = f"the gradient falls to 1% {at} characters{window}"
        return _verdict_with_advice(
            "vanishing", text, _vanishing_advice(config, trained, seq_length)
        )
    part = f"{100 * share:.2g}%" if share < 0.995 else "all"
    followed = len(best.ratio) - 1
    known = followed >= REFERENCE_LAG or best.rate_per_char is not None
    reach = REFERENCE_LAG if known else followed
    text = f"{part} of the gradient arrives from {reach} characters back"
    if not known:
        text += ", as far as this text goes"
    if share <= FADING_SHARE:
        return _verdict_with_advice(
            "fading", text + window, _vanishing_advice(config, trained, seq_length)
        )
    return Verdict("healthy", f"healthy: {text}{window}")


def share_at_reference(line: StateProfile) -> float:
    """Return the largest G(k) for k from the reference lag on, continued by the rate if need be."""
    G = [0.0 if x is None else math.exp(min(x, 700.0)) for x in line.log_geometric]
    missing = REFERENCE_LAG - (len(G) - 1)
    if missing <= 0:
        return max(G[REFERENCE_LAG:])
    if line.rate_per_char is None:
        return G[-1]
    return G[-1] * math.exp(min(700.0, missing * math.log(max(line.rate_per_char, 1e-300))))


def explodes(line: StateProfile) -> bool:
    """Tell whether a line meets the rule for exploding."""
    fast = line.rate_per_char is not None and line.rate_per_char > EXPLODING_RATE
    return _max_ratio(line) > EXPLODING_RATIO or (
        fast and (line.rate_r_squared or 0) > EXPLODING_R_SQUARED
    )


def _max_ratio(line: StateProfile) -> float:
    logs = [x for x in line.log_ratio[: REFERENCE_LAG + 1] if x is not None]
    return math.exp(min(max(logs, default=0.0), 700.0))


def _followed_lags(line: StateProfile) -> int:
    return min(REFERENCE_LAG, len(line.ratio) - 1)


def _verdict_with_advice(kind: str, finding: str, advice: str) -> Verdict:
    return Verdict(kind, f"{kind}: {finding}. Try {advice}")


def _exploding_advice(config: ModelConfig, trained: bool) -> str:
    """Return what makes a gradient explode less; clipping bounds the step, not the growth."""
    if trained:
        return "--clip-norm 1 (it bounds the step, not the growth), a smaller --lr"
    if config.gain > 1:
        return "--gain 1, or --clip-norm 1 to train it as it is"
    if config.init not in ("orthogonal", "identity"):
        return "--init orthogonal, --clip-norm 1"
    return "a smaller --gain, --clip-norm 1"


def _vanishing_advice(config: ModelConfig, trained: bool, seq_length: int | None) -> str:
    """Return what lets a gradient travel further in this cell, over a window or 100 characters."""
    gap = max(3, seq_length or REFERENCE_LAG)
    advice = CELLS[config.cell].memory_remedies(config, gap, trained=trained)
    if not trained:
        return ", ".join(advice)
    return f"training again with {', '.join(advice)}; --context tells whether this text needs more"


@dataclass(frozen=True)
class Truncation:
    """The share of the gradient that a window of K′ characters cuts off, at its last character.

    δ(K′) = Σ_{k ≥ K′} R(k) / Σ_k R(k), beyond the last lag continued by the rate (after Aicher,
    Foti & Fox 2019, UAI, with every ∂s/∂θ taken to be of one size). A geometric profile βᵏ gives
    exactly βᴷ′. Characters earlier in the window lose more.
    """

    bias: tuple[float, ...] | None
    """δ(K′) for K′ = 0 … K; None if it cannot be bounded, as there is no decay."""
    seq_length: int | None
    """The smallest K′ with a bias within the tolerance."""


def truncation_bias(line: StateProfile, tolerance: float = 0.1) -> Truncation:
    """Advise on `--seq-length` from the profile of one line."""
    ratios = [math.nan if x is None else x for x in line.ratio]
    beta = line.rate_per_char
    if beta is None and ratios[-1] <= 1e-12:
        beta = 0.0  # it fell too fast to be fitted: nothing is left
    if not line.finite or line.zero or beta is None or beta >= 1:
        return Truncation(None, None)
    tail = ratios[-1] * beta / (1 - beta)
    left = np.cumsum([tail, *ratios[::-1]])[::-1]  # (K + 2,): Σ from k on, for k = 0 … K + 1
    bias = left / left[0]
    within = np.flatnonzero(bias <= tolerance)
    if len(within):
        shortest = int(within[0])
    else:
        further = (math.log(tolerance) - math.log(bias[-1])) / math.log(beta)
        shortest = len(ratios) + math.ceil(further - 1e-9)
    return Truncation(tuple(bias[:-1].tolist()), max(1, shortest))
