"""Comparison of a model of pairs with a baseline: better, worse, or level within the error.

Two shares of right answers, p of n examples and q of the same or of the first m of them, differ by
chance even if both models are equally good. The standard error of their difference is taken as that
of two independent samples,

    √(p (1 − p) / (n + 2) + q (1 − q) / (m + 2))

each share with one right and one wrong answer more, which keeps the error above 0 (Agresti & Caffo
2000, The American Statistician 54(4)). Two models tend to fail at the same examples, so that the
true error is rather smaller.
"""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from charrnn.evaluation.pair_baselines import PairBaseline

SIGNIFICANT_ERRORS = 2.0
"""Standard errors by which a difference is more than chance."""

Outcome: TypeAlias = Literal["better", "level", "worse"]


@dataclass(frozen=True)
class Difference:
    """How far a model is ahead of a baseline in one figure.

    Args:
        figure: what is compared: `accuracy`, `exact match` or `nats`.
        lead: a share, or nats per symbol; below 0 if the model is behind.
        error: the standard error of a share; 0 for nats.
    """

    figure: str
    lead: float
    error: float

    @property
    def outcome(self) -> Outcome:
        """Whether the model is better or worse by more than chance."""
        if abs(self.lead) <= SIGNIFICANT_ERRORS * self.error or self.lead == 0:
            return "level"
        return "better" if self.lead > 0 else "worse"

    def __str__(self) -> str:
        """Return the difference as text.

        Example:
            >>> str(Difference("accuracy", -0.004, 0.009))
            'accuracy −0.4 ± 0.9 points'
        """
        if self.figure == "nats":
            return f"{abs(self.lead):.4f} nats {'ahead' if self.lead > 0 else 'behind'}"
        points = f"{100 * self.lead:+.1f}".replace("-", "−")
        return f"{self.figure} {points} ± {100 * self.error:.1f} points"


def difference(own: PairBaseline, other: PairBaseline, examples: int) -> Difference:
    """Compare a model with a baseline in the first figure that both have.

    That is the accuracy where answers are labels, else the share of exact matches, else the loss.

    Args:
        own: the figures of the model.
        other: those of the baseline.
        examples: the number of examples that the model was scored on; the baseline on as many,
            unless `other.examples` says otherwise.

    Example:
        >>> own, other = PairBaseline("a", exact_match=0.9), PairBaseline("b", exact_match=0.8)
        >>> difference(own, other, 20).outcome, difference(own, other, 2000).outcome
        ('level', 'better')
    """
    if own.macro_f1 is not None and other.macro_f1 is not None:
        shares = own.symbol_accuracy, other.symbol_accuracy
        name = "accuracy"
    else:
        shares, name = (own.exact_match, other.exact_match), "exact match"
    p, q = shares
    if p is not None and q is not None:
        return Difference(name, p - q, share_error(p, q, examples, other.examples))
    if own.nats_per_symbol is None or other.nats_per_symbol is None:
        raise ValueError(f"{own.name} and {other.name} have no figure in common")
    return Difference("nats", other.nats_per_symbol - own.nats_per_symbol, 0.0)


def share_error(p: float, q: float, n: int, m: int | None = None) -> float:
    """Return the standard error of the difference of a share p of n examples and q of m.

    Without m both are of n.

    Example:
        >>> f"{share_error(0.5, 0.5, 198):.3f}, {share_error(1, 1, 8):.3f}"
        '0.050, 0.134'
    """
    variance = 0.0
    for share, count in ((p, n), (q, n if m is None else m)):
        adjusted = (share * count + 1) / (count + 2)
        variance += adjusted * (1 - adjusted) / (count + 2)
    return math.sqrt(variance)
