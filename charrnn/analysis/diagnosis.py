"""Diagnosis of a model: a verdict, one sentence about it with its numbers, and proven advice.

    kind        the first that applies

    nonfinite   a weight, or the gradient, is not a finite number
    exploding   R(k) > 10 for some k ≤ 100, or a rate above ×1.01 with R² > 0.9, in any layer

of trained models whose `MemoryLengths` are known:

    cut         the training window is shorter than the reach of the gradient, and than the text's
                dependence: truncation ends both
    short       the text's dependence reaches further than the context that the model uses; of
                pairs, the gap of the task is longer than the reach of the gradient
    sufficient  else: more context would not help

of networks at initialisation, and of models whose text is too short to be measured, at a lag of
`REFERENCE_LAG` = 100 characters:

    vanishing   G stays at 1 % or below from a lag ≤ 100 on; or no gradient at all
    fading      G stays at 10 % or below from a lag ≤ 100 on
    healthy     else

A model is judged by the layer whose gradient reaches furthest. Where fewer than 100 lags were
measured, G is extrapolated by the fitted rate. Advice is printed only if following it was shown to
lower the loss: see `tests/benchmarks/advice.py` and its table in docs/inspect-gradients.md.
"""

import math
from dataclasses import dataclass

import numpy as np

from charrnn.analysis.gradient_profile import GRADIENT_HORIZON_SHARE, GradientProfile, StateProfile
from charrnn.analysis.memory_lengths import MemoryLengths
from charrnn.nn.cells import CELLS
from charrnn.nn.model_config import ModelConfig

REFERENCE_LAG = 100
FADING_SHARE = 0.1
EXPLODING_RATIO = 10.0
EXPLODING_RATE = 1.01
EXPLODING_R_SQUARED = 0.9

GRADIENT_KINDS = ("nonfinite", "exploding", "vanishing", "fading", "healthy")
"""Words for the gradient alone; the verdict on a network at initialisation is one of them."""

VERDICT_KINDS = (*GRADIENT_KINDS[:-1], "cut", "short", "sufficient", "healthy")
"""All verdicts."""

GOOD_KINDS = ("sufficient", "healthy")
"""Verdicts that find nothing to improve."""


@dataclass(frozen=True)
class Verdict:
    """Verdict on the gradient of a model."""

    kind: str
    """One of `VERDICT_KINDS`."""
    sentence: str
    """One line: what was found, and what to try."""
    gradient: str
    """The word of `GRADIENT_KINDS` for the gradient alone, whatever the text needs."""


def diagnose(
    found: GradientProfile,
    config: ModelConfig,
    *,
    trained: bool,
    lengths: MemoryLengths | None = None,
) -> Verdict:
    """Apply the rule at the top of this module.

    Args:
        found: the gradient profile.
        config: the network, for the advice.
        trained: whether it was trained, or only initialised.
        lengths: the memory lengths of the model and its data.
    """
    gradient = _judge_gradient(found, config, trained)
    if not trained or lengths is None or gradient.kind in ("nonfinite", "exploding"):
        return gradient
    if all(state.zero for state in found.main_states):
        return gradient
    judged = _judge_pairs(lengths, config) or _judge_text(found, lengths, config)
    if judged is None:
        return gradient
    kind, sentence = judged
    return Verdict(kind, f"{kind}: {sentence}", gradient.kind)


def _judge_gradient(found: GradientProfile, config: ModelConfig, trained: bool) -> Verdict:
    """Return the verdict on the gradient alone.

    Of a model that reads in both directions, the top layer is judged: a lower one gets a gradient
    at every input, from both cells above it, which may grow with the lag without exploding.
    """
    states = found.main_states
    if config.bidirectional is not None:
        states = tuple(state for state in states if state.layer == config.layers - 1)
    if found.nonfinite or not all(state.finite for state in states):
        where = f"{found.nonfinite[0]} holds" if found.nonfinite else "the gradient has"
        advice = ["an earlier checkpoint, or training again with a smaller --lr"]
        return _gradient_verdict("nonfinite", f"{where} numbers that are not finite", advice)
    nonzero = [state for state in states if not state.zero]
    if not nonzero:
        reason = "the loss does not depend on the state"
        if config.outputs == 1:
            return _gradient_verdict(
                "vanishing", f"{reason}: one character leaves nothing to guess", ["a text"]
            )
        return _gradient_verdict("vanishing", f"there is no gradient: {reason}", ["training again"])
    exploding = [state for state in nonzero if explodes(state)]
    if exploding:
        worst = max(exploding, key=_max_ratio)
        lags = _followed_lags(worst)
        growth = f"the gradient grows {_max_ratio(worst):.3g}-fold within {lags} characters"
        if _max_ratio(worst) <= EXPLODING_RATIO:
            growth = f"the gradient grows ×{worst.rate_per_char:.3f} per character"
        return _gradient_verdict("exploding", growth, _exploding_advice(config))
    best = max(nonzero, key=share_at_reference)
    share = share_at_reference(best)
    advice = [] if trained else CELLS[config.cell].memory_remedies(config)
    if share <= GRADIENT_HORIZON_SHARE:
        at = "within 100" if best.horizon_chars is None else f"after {best.horizon_chars}"
        return _gradient_verdict("vanishing", f"the gradient falls to 1% {at} characters", advice)
    part = f"{100 * share:.2g}%" if share < 0.995 else "all"
    followed = len(best.ratio) - 1
    known = followed >= REFERENCE_LAG or best.rate_per_char is not None
    reach = REFERENCE_LAG if known else followed
    text = f"{part} of the gradient arrives from {reach} characters back"
    if not known:
        text += ", as far as this text goes"
    if share <= FADING_SHARE:
        return _gradient_verdict("fading", text, advice)
    return _gradient_verdict("healthy", text, [])


def _judge_pairs(lengths: MemoryLengths, config: ModelConfig) -> tuple[str, str] | None:
    """Return the verdict on a model of pairs and its sentence; None for a model of texts."""
    gap = lengths.gap_chars
    if gap is None:
        return None
    reach = _reach(lengths)
    needed = f"answers begin {gap} characters after the first input (median)"
    if config.bidirectional is not None:
        needed = f"the middle of an input is {gap} characters from both ends (median)"
    if lengths.reach_chars is None or lengths.reach_chars >= gap:
        return "sufficient", f"{needed}, and the gradient reaches {reach}"
    remedies = CELLS[config.cell].memory_remedies(config, gap)
    return "short", f"{needed}, but the gradient reaches {reach}{_try(remedies)}"


def _judge_text(
    found: GradientProfile, lengths: MemoryLengths, config: ModelConfig
) -> tuple[str, str] | None:
    """Return the verdict on a model of texts and its sentence; None if a length is not known."""
    if lengths.text is None or lengths.used is None or lengths.used_chars is None:
        return None
    text, used, window = lengths.text.horizon_chars, lengths.used_chars, lengths.seq_length
    uses = f"{'more than ' if lengths.used.chars is None else ''}{used} characters of context"
    depends = (
        f"still above 1% at {lengths.text.lags[-1]:,}"
        if text is None
        else f"below 1% from {text:,} characters on"
    )
    reach, longest = lengths.reach_chars, lengths.text.lags[-1] + 1 if text is None else text
    if window is not None and longest > window and (reach is None or reach > window):
        arrives = max(
            (_geometric(state, window) for state in found.main_states if not state.zero), default=0
        )
        return "cut", (
            f"training windows end after {window} characters, from where {arrives:.2g} of the "
            f"gradient arrives; the dependence within the text is {depends}. A window twice as "
            "long lowered the loss beyond the spread of seeds in 2 of 13 trials"
        )
    lead = f"the model uses {uses} and its gradient reaches {_reach(lengths)}"
    if longest > used:
        remedies = CELLS[config.cell].memory_remedies(config)
        return "short", f"{lead}; the dependence within the text is {depends}{_try(remedies)}"
    return "sufficient", (
        f"{lead}; the dependence within the text is {depends}: more context would not help"
    )


def _geometric(state: StateProfile, lag: int) -> float:
    """Return G at a lag, or at the largest one measured."""
    log = state.log_geometric[min(lag, len(state.log_geometric) - 1)]
    return 0.0 if log is None else math.exp(min(log, 700.0))


def _reach(lengths: MemoryLengths) -> str:
    """Return how far the gradient reaches."""
    reach = lengths.reach_chars
    return f"more than {lengths.max_lag}" if reach is None else f"{reach}"


def _try(remedies: list[str]) -> str:
    """Return the end of a sentence that advises training again, or that nothing is known."""
    if not remedies:
        return ". No option is known that makes this cell use more"
    return f". Try training again with {', or '.join(remedies)}"


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


def _gradient_verdict(kind: str, finding: str, advice: list[str]) -> Verdict:
    """Return a verdict on the gradient alone, with advice if there is some."""
    ending = f". Try {', or '.join(advice)}" if advice else ""
    return Verdict(kind, f"{kind}: {finding}{ending}", kind)


def _exploding_advice(config: ModelConfig) -> list[str]:
    """Return options that keep a gradient from exploding."""
    return ["--recurrent-gain 1"] if config.gain > 1 else []


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
