"""Making of a mixture: the exponents of networks and n-grams are fitted on held-out text.

The networks have read the counted text many times, so that their probabilities there are too good.
The exponents are therefore fitted on the validation part, which no network was trained on and which
is not counted. Four numbers are fitted on thousands of characters, so that the loss of the same
characters is too good by about 4 / n nats, n being their number; a second figure is free even of
that: each half of the characters is scored with exponents fitted on the other half.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from charrnn.checkpointing.records import Checkpoint, MixtureRecord, NgramRecord
from charrnn.inference.mixing import Exponents, fit_exponents, mixed
from charrnn.inference.mixture import Mixture
from charrnn.types import Array, Ids

MAX_FITTED_NUMBERS = 3_000_000
"""Most probabilities (characters · V) that exponents are fitted on."""

MAX_FITTED_CHARACTERS = 50_000


@dataclass(frozen=True)
class Fit:
    """Losses on the validation characters of a fit, in nats per character.

    Attributes:
        characters: their number.
        whole: of the mixture, each half with the exponents fitted on the other half.
        networks: of the networks without n-grams.
        ngrams: of the n-grams alone.
    """

    characters: int
    whole: float
    networks: float
    ngrams: float


@dataclass
class _Sample:
    """Log-probabilities of the networks and of the n-grams, and what they are fitted to."""

    networks: Array
    ngrams: Array
    share: Array
    targets: Ids

    def part(self, rows: slice) -> "_Sample":
        return _Sample(self.networks[rows], self.ngrams[rows], self.share[rows], self.targets[rows])

    def fitted(self) -> Exponents:
        return fit_exponents(self.networks, self.ngrams, self.share, self.targets)

    def total(self, exponents: Exponents) -> float:
        """Return the summed loss of the mixture in nats."""
        log_p = mixed(self.networks, self.ngrams, self.share, exponents)
        return total(log_p, self.targets)


def total(log_p: Array, targets: Ids) -> float:
    """Return the summed loss in nats for log-probabilities (n, V) and what occurred (n,)."""
    return -float(log_p[np.arange(len(targets)), targets].sum())


def mixture_with_ngrams(
    members: Sequence[Checkpoint], counted: Ids, order: int, validation: Ids
) -> tuple[MixtureRecord, Fit | None]:
    """Return the mixture of networks and n-grams, and its losses on the validation text.

    Args:
        members: networks of one vocabulary.
        counted: the text (N,) whose n-grams are counted.
        order: n of the longest n-grams.
        validation: text (M,) that neither the networks nor the counts know; of fewer than eight
            characters none is used: the exponents are then the default ones, and there is no `Fit`.

    Raises `TextError` for an empty or too long `counted`, `UsageError` for an order out of range.
    """
    default = NgramRecord(counted, order, **asdict(Exponents()), fitted=0)
    networks = tuple(members)
    mixture = Mixture(MixtureRecord(networks, default))
    V = len(mixture.vocabulary)
    n = min(MAX_FITTED_CHARACTERS, max(1000, MAX_FITTED_NUMBERS // V))
    ids = validation[: n + 1]
    if len(ids) < 8:
        return mixture.record, None
    chunks = list(mixture.log_probabilities(ids))
    sample = _Sample(
        np.concatenate([chunk.networks for chunk in chunks]),
        np.concatenate([chunk.ngrams for chunk in chunks if chunk.ngrams is not None]),
        np.concatenate([chunk.share for chunk in chunks]),
        ids[1:],
    )
    n = len(sample.targets)
    first, second = sample.part(slice(0, n // 2)), sample.part(slice(n // 2, n))
    crossed = first.total(second.fitted()) + second.total(first.fitted())
    record = NgramRecord(counted, order, **asdict(sample.fitted()), fitted=n)
    fit = Fit(
        n,
        crossed / n,
        total(sample.networks, sample.targets) / n,
        total(sample.ngrams, sample.targets) / n,
    )
    return MixtureRecord(networks, record), fit
