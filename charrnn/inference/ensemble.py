"""Ensembles: several language models of one vocabulary, whose probabilities are averaged.

    p(c | text) = (p₁(c | text) + … + p_K(c | text)) / K

This is the arithmetic mean of probabilities, not of logits or of weights: linear interpolation
(Jelinek & Mercer 1980) with equal weights. Each model keeps its own state. The loss of the ensemble
is never above the mean of the losses of its members (Jensen's inequality).
"""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import TextError, UsageError
from charrnn.evaluation.text import SEQ_LENGTH, Score
from charrnn.inference.model import Model, check_size, load_network, texts_of
from charrnn.inference.sampling import (
    Sampling,
    check_sampling,
    draw,
    finite_logits,
    probabilities,
    uniform_numbers,
)
from charrnn.limits import check_kind
from charrnn.nn.network import Network
from charrnn.types import Array, Ids


@dataclass(frozen=True)
class EnsembleScore:
    """Losses of an ensemble and of each of its members on one text.

    Attributes:
        whole: the loss of the averaged probabilities.
        members: the loss of each model alone, in the order of the ensemble.
    """

    whole: Score
    members: tuple[Score, ...]


class Ensemble:
    """Language models whose probabilities are averaged with equal weights.

    Args:
        members: at least two models of the same vocabulary.
        names: a name of each, for messages; by default `model 1`, `model 2` and so on.

    Raises `UsageError` for fewer than two models, and for one whose vocabulary, or Unicode normal
    form of the text, is not that of the first.

    Example:
        >>> import charrnn
        >>> from charrnn.inference.ensemble import Ensemble
        >>> both = Ensemble([charrnn.load("checkpoints/corpus") for _ in range(2)])
        >>> score = both.evaluate("the cat sat on a mat")
        >>> [member.characters for member in score.members]
        [20, 20]
    """

    def __init__(self, members: Sequence[Model], names: Sequence[str] | None = None) -> None:
        if len(members) < 2:
            raise UsageError(
                f"an ensemble needs at least two models, not {len(members)}", "one more checkpoint"
            )
        self.members = tuple(members)
        self.names = tuple(names or (f"model {number + 1}" for number in range(len(members))))
        first, *others = self.members
        for name, other in zip(self.names[1:], others, strict=True):
            check_same_vocabulary(first, other, self.names[0], name)
        self.vocabulary: Vocabulary = first.vocabulary

    @classmethod
    def load(cls, paths: Sequence[str | os.PathLike[str]]) -> "Ensemble":
        """Return the ensemble of checkpoints, each a file or the folder of a run.

        Raises as `charrnn.load` does, and `UsageError` for models that do not fit together.
        """
        return cls([load_network(path) for path in paths], [str(path) for path in paths])

    def typed(self, text: str) -> str:
        """Return `text` normalised as the training texts were; see `Model.typed`."""
        return self.members[0].typed(text)

    def evaluate(self, text: str) -> EnsembleScore:
        """Return the losses of a text, read in one piece from the zero states.

        Raises `TextError` if `text` has fewer than two characters or unknown ones.
        """
        return self.score(self.vocabulary.encode(self.typed(text)))

    def score(self, ids: Ids) -> EnsembleScore:
        """Return the losses of ids (N,), as `evaluate` those of a text.

        Raises `TextError` for fewer than two ids.
        """
        if len(ids) < 2:
            raise TextError(f"{len(ids)} characters leave nothing to predict", "a longer text")
        K = len(self.members)
        totals, whole = np.zeros(K), 0.0
        for windows in zip(*(nats_by_window(model, ids) for model in self.members), strict=True):
            nats = finite_logits(np.stack(windows))  # (K, T)
            totals += nats.sum(axis=1)
            whole += float((math.log(K) - np.logaddexp.reduce(-nats, axis=0)).sum())
        predictions = len(ids) - 1
        return EnsembleScore(
            Score(whole / predictions, len(ids)),
            tuple(Score(float(total) / predictions, len(ids)) for total in totals),
        )

    def samples(
        self, prime: str, length: int, sampling: Sampling, count: int = 1, stop: str = ""
    ) -> Iterator[Iterator[str]]:
        """Yield `count` texts, each an iterator of characters; see `Model.samples`.

        Temperature and limits apply to the averaged probabilities.
        """
        check_size(length, count)
        check_sampling(sampling)
        check_kind("stop", stop, str)
        steps = generate_mean(self.members, self.members[0].start(prime), sampling, count)
        yield from texts_of(steps, self.vocabulary, length, count, stop)


def check_same_vocabulary(first: Model, other: Model, first_name: str, other_name: str) -> None:
    """Raise `UsageError` unless two models read the same characters under the same ids."""
    one, two = first.vocabulary, other.vocabulary
    advice = "models trained on one text"
    if one.as_bytes != two.as_bytes:
        kinds = {True: "bytes", False: "characters"}
        raise UsageError(
            f"{first_name} is a model of {kinds[one.as_bytes]} and {other_name} of "
            f"{kinds[two.as_bytes]}; an ensemble needs one vocabulary",
            advice,
        )
    for lacking, known, name in ((one, two, first_name), (two, one, other_name)):
        if missing := lacking.unknown(known.characters):
            raise UsageError(
                f"{first_name} and {other_name} have different vocabularies: {name} lacks "
                f"{lacking.named(missing)}",
                advice,
            )
    if one != two:
        raise UsageError(
            f"{first_name} and {other_name} number the same characters differently", advice
        )
    if first.checkpoint.corpus.normalise != other.checkpoint.corpus.normalise:
        raise UsageError(
            f"{first_name} and {other_name} were trained on texts in different Unicode normal "
            "forms",
            advice,
        )


def nats_by_window(model: Model, ids: Ids) -> Iterator[Array]:
    """Yield −ln p of ids[1:] in consecutive arrays (T,), float64; one stream from the zero state.

    The windows are those of `charrnn.evaluation.text.evaluate`.
    """
    predictions = len(ids) - 1
    network = Network(model.config, model.parameters, min(SEQ_LENGTH, predictions), 1)
    offsets = np.arange(network.T + 1)[:, None]
    for begin in range(0, predictions, network.T):
        text = ids[np.minimum(begin + offsets, predictions)]  # (T + 1, 1)
        network.forward(text[:-1])
        nats = network.loss(text[1:])[: predictions - begin, 0]
        yield nats.astype(np.float64)
        network.carry_state()


def mean_probabilities(logits: Sequence[Array]) -> Array:
    """Return the mean of the softmax of each member's logits (B, V), float64.

    Example:
        >>> mean_probabilities([np.log([[0.9, 0.1]]), np.log([[0.5, 0.5]])]).round(3)
        array([[0.7, 0.3]])
    """
    total = sum(probabilities(member, Sampling()) for member in logits)
    mean: Array = np.asarray(total) / len(logits)
    return mean


def generate_mean(
    members: Sequence[Model], prime: Ids, sampling: Sampling, count: int = 1
) -> Iterator[Ids]:
    """Read `prime` (N,) from the zero states, then yield ids (count,) without end.

    As `charrnn.inference.sampling.generate`, with the averaged probabilities of the members and
    the same random numbers.
    """
    networks = []
    for model in members:
        reader = Network(model.config, model.parameters, 1, 1)
        for id_ in prime[:-1]:
            reader.forward(np.full((1, 1), id_))
            reader.carry_state()
        network = Network(model.config, model.parameters, 1, count)
        network.load_states(reader.states())
        networks.append(network)
    ids: Ids = np.full(count, prime[-1])
    for chance in chain.from_iterable(uniform_numbers(sampling.seed, count)):
        p = mean_probabilities(
            [finite_logits(network.forward(ids[None])[0]) for network in networks]
        )
        for network in networks:
            network.carry_state()
        with np.errstate(divide="ignore"):  # a probability of 0 is a logit of −∞
            ids = draw(probabilities(np.log(p), sampling), chance)
        yield ids
