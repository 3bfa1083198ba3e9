"""Diagnosis of a gradient profile: a verdict, one sentence about it, and advice.

    kind        first that applies, at a lag of `REFERENCE_LAG` = 100 characters
    nonfinite   a weight, or the gradient, is not a finite number
    exploding   R(k) > 10 for some k ≤ 100, or a rate above ×1.01 with R² > 0.9, in any layer
    vanishing   G stays at 1 % or below from a lag ≤ 100 on; or no gradient at all
    fading      G stays at 10 % or below from a lag ≤ 100 on
    healthy     else

A model is judged by the layer whose gradient reaches furthest. Where fewer than 100 lags were
measured, G is extrapolated by the fitted rate. The length of training windows and the spectral
radius are not used.
"""

import math
from dataclasses import dataclass

import numpy as np

from charrnn.analysis.gradient_profile import GRADIENT_HORIZON_SHARE, GradientProfile, StateProfile
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
    """Verdict on the gradient of a model."""

    kind: str
    """One of `VERDICT_KINDS`."""
    sentence: str
    """One line: what was found, and what to try."""


def diagnose(
    found: GradientProfile, config: ModelConfig, *, trained: bool, seq_length: int | None = None
) -> Verdict:
    """Apply the rule at the top of this module to a profile.

    Args:
        found: the gradient profile.
        config: the network, for the advice.
        trained: whether it was trained, or only initialised; for the advice.
        seq_length: training window in characters, for the advice.
    """
    states = found.main_states
    if found.nonfinite or not all(state.finite for state in states):
        where = f"{found.nonfinite[0]} holds" if found.nonfinite else "the gradient has"
        advice = "an earlier checkpoint, a smaller --lr, or --clip-norm 1"
        return _verdict_with_advice("nonfinite", f"{where} numbers that are not finite", advice)
    nonzero = [state for state in states if not state.zero]
    if not nonzero:
        reason = "the loss does not depend on the state"
        if config.outputs == 1:
            return _verdict_with_advice(
                "vanishing", f"{reason}: one character leaves nothing to guess", "a text"
            )
        return _verdict_with_advice(
            "vanishing", f"there is no gradient: {reason}", "training again"
        )
    exploding = [state for state in nonzero if explodes(state)]
    if exploding:
        worst = max(exploding, key=_max_ratio)
        lags = _followed_lags(worst)
        growth = f"the gradient grows {_max_ratio(worst):.3g}-fold within {lags} characters"
        if _max_ratio(worst) <= EXPLODING_RATIO:
            growth = f"the gradient grows ×{worst.rate_per_char:.3f} per character"
        return _verdict_with_advice("exploding", growth, _exploding_advice(config, trained))
    best = max(nonzero, key=share_at_reference)
    share = share_at_reference(best)
    window = "" if seq_length is None else f" (training window {seq_length})"
    if share <= GRADIENT_HORIZON_SHARE:
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


def share_at_reference(state: StateProfile) -> float:
    """Return the largest G(k) for k ≥ `REFERENCE_LAG`, extrapolated by the rate if K is less."""
    G = [0.0 if x is None else math.exp(min(x, 700.0)) for x in state.log_geometric]
    missing = REFERENCE_LAG - (len(G) - 1)
    if missing <= 0:
        return max(G[REFERENCE_LAG:])
    if state.rate_per_char is None:
        return G[-1]
    return G[-1] * math.exp(min(700.0, missing * math.log(max(state.rate_per_char, 1e-300))))


def explodes(state: StateProfile) -> bool:
    """Return whether a state meets the rule for exploding."""
    fast = state.rate_per_char is not None and state.rate_per_char > EXPLODING_RATE
    return _max_ratio(state) > EXPLODING_RATIO or (
        fast and (state.rate_r_squared or 0) > EXPLODING_R_SQUARED
    )


def _max_ratio(state: StateProfile) -> float:
    logs = [x for x in state.log_ratio[: REFERENCE_LAG + 1] if x is not None]
    return math.exp(min(max(logs, default=0.0), 700.0))


def _followed_lags(state: StateProfile) -> int:
    return min(REFERENCE_LAG, len(state.ratio) - 1)


def _verdict_with_advice(kind: str, finding: str, advice: str) -> Verdict:
    return Verdict(kind, f"{kind}: {finding}. Try {advice}")


def _exploding_advice(config: ModelConfig, trained: bool) -> str:
    """Return options that limit exploding gradients; clipping bounds the step, not the growth."""
    if trained:
        return "--clip-norm 1 (it bounds the step, not the growth), a smaller --lr"
    if config.gain > 1:
        return "--recurrent-gain 1, or --clip-norm 1 to train it as it is"
    if config.init not in ("orthogonal", "identity"):
        return "--recurrent-init orthogonal, --clip-norm 1"
    return "a smaller --recurrent-gain, --clip-norm 1"


def _vanishing_advice(config: ModelConfig, trained: bool, seq_length: int | None) -> str:
    """Return options that let a gradient reach further back in this cell.

    They are chosen for `seq_length` characters, or for 100.
    """
    gap = max(3, seq_length or REFERENCE_LAG)
    advice = CELLS[config.cell].memory_remedies(config, gap, trained=trained)
    if not trained:
        return ", ".join(advice)
    return f"training again with {', '.join(advice)}; --context tells whether this text needs more"


@dataclass(frozen=True)
class Truncation:
    """Bias of truncated backpropagation by the length K′ of its window, at the last character.

    δ(K′) = Σ_{k ≥ K′} R(k) / Σ_k R(k), the share of the gradient beyond the window; above the last
    lag, R is extrapolated by the fitted rate. After Aicher, Foti & Fox 2019, UAI, with all ∂s/∂θ
    taken to be of one norm. A geometric profile βᵏ gives exactly βᴷ′. Earlier characters of the
    window have a larger bias.
    """

    bias: tuple[float, ...] | None
    """δ(K′) for K′ = 0 … K; None if the profile does not decay, which leaves it unbounded."""
    seq_length: int | None
    """The smallest K′ with a bias within the tolerance."""


def truncation_bias(state: StateProfile, tolerance: float = 0.1) -> Truncation:
    """Compute the truncation bias from the profile of one state, for advice on `--seq-length`.

    Args:
        state: the profile.
        tolerance: the bias that `Truncation.seq_length` keeps to.
    """
    ratios = [math.nan if x is None else x for x in state.ratio]
    beta = state.rate_per_char
    if beta is None and ratios[-1] <= 1e-12:
        beta = 0.0  # it fell too fast to be fitted: nothing is left
    if not state.finite or state.zero or beta is None or beta >= 1:
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
