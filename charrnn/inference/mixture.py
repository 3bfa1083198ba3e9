"""Mixtures: networks whose probabilities are averaged, and n-grams mixed in log-linearly.

    p_networks(c) = (p₁(c) + … + p_K(c)) / K                       as `charrnn.inference.ensemble`
    p(c) ∝ p_networks(c)^a · p_ngrams(c)^b                         as `charrnn.inference.mixing`

Every figure of a mixture stands beside those of its parts; see `MixtureScore`.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import NoReturn

import numpy as np

from charrnn.checkpointing.mixture_file import save_mixture
from charrnn.checkpointing.records import Checkpoint, CorpusRecord, MixtureRecord
from charrnn.errors import UsageError
from charrnn.evaluation.surprisal import SurprisalChunk, surprisal_chunk
from charrnn.evaluation.text import LOSS_UNITS, SEQ_LENGTH, Score, loss_figures
from charrnn.inference.mixing import Exponents, log_softmax, mixed
from charrnn.inference.model import Model, check_size, checked_target, texts_of
from charrnn.inference.ngram_model import NgramModel
from charrnn.inference.sampling import (
    Sampling,
    check_sampling,
    draw,
    finite_logits,
    probabilities,
    uniform_numbers,
)
from charrnn.limits import check_kind
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network
from charrnn.nn.parameters import Parameters
from charrnn.notebook_html import html_table
from charrnn.types import Array, Ids


@dataclass(frozen=True)
class MixtureScore:
    """Losses of a mixture and of its parts on one text.

    Attributes:
        whole: the loss of the mixture.
        members: the loss of each network alone.
        networks: the loss of the averaged networks without n-grams; None if that is the mixture,
            or a single network.
        ngrams: the loss of the n-grams alone; None without n-grams.
    """

    whole: Score
    members: tuple[Score, ...]
    networks: Score | None = None
    ngrams: Score | None = None

    def _repr_html_(self) -> str:
        """Return the losses of the mixture and of each part as a table, for notebooks."""
        parts = {
            "this mixture": self.whole,
            "its networks (mean of probabilities)": self.networks,
            **{f"network {number} alone": one for number, one in enumerate(self.members, 1)},
            "its n-grams alone": self.ngrams,
        }
        rows = [
            (name, *loss_figures(score.nats_per_char))
            for name, score in parts.items()
            if score is not None
        ]
        heading = ("per character", *LOSS_UNITS)
        return html_table(rows, heading, f"{self.whole.characters:,} characters")


@dataclass(frozen=True)
class LogProbabilities:
    """Log-probabilities of successive characters by a mixture and by its parts.

    Attributes:
        members: of each network (K, n, V).
        networks: of their mean (n, V).
        ngrams: of the n-grams (n, V), or None.
        share: share of the longest context that occurs (n,); empty without n-grams.
        whole: of the mixture (n, V).
    """

    members: Array
    networks: Array
    ngrams: Array | None
    share: Array
    whole: Array


class Mixture(Model):
    """Networks of one vocabulary, with or without n-grams, that are used as one language model.

    It is sampled and scored as a `Model`; what belongs to a single network (`config`,
    `parameters`, `checkpoint`) is an attribute of its `members`, and a `UsageError` here.

    Args:
        record: the networks, and the text of the n-grams. The n-grams are counted when they are
            first needed.

    Example:
        >>> import charrnn
        >>> from charrnn.checkpointing.records import MixtureRecord
        >>> network = charrnn.load("checkpoints/corpus").checkpoint
        >>> both = Mixture(MixtureRecord((network, network)))
        >>> both.title
        'mixture of 2 networks'
        >>> score = both.scores("the cat sat on a mat")
        >>> round(score.whole.nats_per_char - score.members[0].nats_per_char, 6)
        0.0
    """

    def __init__(self, record: MixtureRecord) -> None:
        self.record = record
        self.members = tuple(map(Model, record.members))
        self.vocabulary = record.vocabulary
        self.reset()

    @property
    def title(self) -> str:
        """What the mixture consists of, such as `mixture of 2 networks and 8-grams`."""
        return self.record.title

    @property
    def checkpoint(self) -> Checkpoint:
        """Raises `UsageError`: a mixture has one of each member."""
        return self._refuse("checkpoint")

    @property
    def config(self) -> ModelConfig:
        """Raises `UsageError`: a mixture has one of each member."""
        return self._refuse("config")

    @property
    def parameters(self) -> Parameters:
        """Raises `UsageError`: a mixture has those of each member."""
        return self._refuse("parameters")

    def _refuse(self, name: str) -> NoReturn:
        raise UsageError(f"a {self.title} has no {name} of its own", f"members[0].{name}")

    @property
    def corpus(self) -> CorpusRecord:
        """The training text of the first network."""
        return self.members[0].corpus

    @cached_property
    def ngrams(self) -> NgramModel | None:
        """The n-grams, counted when they are first needed; None without n-grams."""
        record = self.record.ngrams
        if record is None:
            return None
        return NgramModel(record.ids, len(self.vocabulary), record.order)

    @cached_property
    def exponents(self) -> Exponents:
        """Exponents of the networks and the n-grams."""
        record = self.record.ngrams
        if record is None:
            return Exponents(1, 1, 0, 0)
        return Exponents(
            record.network_unmatched,
            record.network_matched,
            record.ngrams_unmatched,
            record.ngrams_matched,
        )

    def reset(self) -> None:
        """Set the state of `step` to zero, as before the first character."""
        self._stream = MixtureStream(self, 1)

    def step(self, character: int) -> Array:
        """Return the log-probabilities (V,) of the next character, and update the state.

        Args:
            character: the id of the character read, from 0 to V − 1; `UsageError` for another.
        """
        self._check_character(character)
        log_p: Array = self._stream.read(np.full(1, character))[0]
        return log_p

    def samples(
        self, prime: str, length: int, sampling: Sampling, count: int = 1, stop: str = ""
    ) -> Iterator[Iterator[str]]:
        """Yield `count` texts, each an iterator of characters; see `Model.samples`.

        Temperature and limits apply to the probabilities of the mixture.
        """
        check_size(length, count)
        check_sampling(sampling)
        check_kind("stop", stop, str)
        steps = self._generate(self.start(prime), sampling, count)
        yield from texts_of(steps, self.vocabulary, length, count, stop)

    def _generate(self, prime: Ids, sampling: Sampling, count: int) -> Iterator[Ids]:
        """Read `prime` (N,), then yield ids (count,) without end."""
        reader = MixtureStream(self, 1)
        for id_ in prime[:-1]:
            reader.read(np.full(1, id_))
        stream = reader.repeated(count)
        ids: Ids = np.full(count, prime[-1])
        for chance in chain.from_iterable(uniform_numbers(sampling.seed, count)):
            ids = draw(probabilities(stream.read(ids), sampling), chance)
            yield ids

    def score(self, ids: Ids) -> Score:
        """Return the loss of the mixture on ids (N,); see `Model.score`."""
        return self.score_parts(ids).whole

    def scores(self, text: str) -> MixtureScore:
        """Return the losses of the mixture and of its parts on a text, in one piece.

        Raises `TextError` if `text` has fewer than two characters or unknown ones.
        """
        return self.score_parts(self.vocabulary.encode(self.typed(text)))

    def score_parts(self, ids: Ids) -> MixtureScore:
        """Return the losses of the mixture and of its parts on ids (N,)."""
        totals = np.zeros(3 + len(self.members))  # of the whole, the networks, the n-grams, each
        at = 1
        for log_p in self.log_probabilities(ids):
            targets = ids[at : at + len(log_p.whole)]
            rows, at = np.arange(len(targets)), at + len(targets)
            totals[0] -= log_p.whole[rows, targets].sum()
            totals[1] -= log_p.networks[rows, targets].sum()
            if log_p.ngrams is not None:
                totals[2] -= log_p.ngrams[rows, targets].sum()
            totals[3:] -= log_p.members[:, rows, targets].sum(axis=1)
        whole, networks, ngrams, *each = (
            Score(float(total) / (len(ids) - 1), len(ids)) for total in totals
        )
        mixed_in = self.record.ngrams is not None
        return MixtureScore(
            whole,
            tuple(each),
            networks if mixed_in and len(each) > 1 else None,
            ngrams if mixed_in else None,
        )

    def _surprisals(self, ids: Ids, k: int, window: int | None) -> Iterator[SurprisalChunk]:
        begin = 1
        for found in self.log_probabilities(ids, window):
            chunk = surprisal_chunk(begin, found.whole, ids[begin : begin + len(found.whole)], k)
            begin += len(chunk.nats)
            yield chunk

    def log_probabilities(self, ids: Ids, window: int | None = None) -> Iterator[LogProbabilities]:
        """Yield the log-probabilities of `ids[1:]` in the order of the text.

        Args:
            ids: the text (N,).
            window: predictions between two resets of the states; None for one stream.

        Raises `TextError` for fewer than two ids.
        """
        ids = self._checked_text(ids)
        predictions = len(ids) - 1
        span = predictions if window is None else min(window, predictions)
        T = min(SEQ_LENGTH, span)
        networks = [Network(model.config, model.parameters, T, 1) for model in self.members]
        for start in range(0, predictions, span):
            end = min(start + span, predictions)
            for network in networks:
                network.reset_state()
            contexts = None if self.ngrams is None else self.ngrams.contexts_of(ids[start:end])
            for begin in range(start, end, T):
                count = min(T, end - begin)
                text = ids[np.minimum(begin + np.arange(T), predictions)][:, None]
                logits = [network.forward(text)[:count, 0].copy() for network in networks]
                here = slice(begin - start, begin - start + count)
                yield self.mix(logits, None if contexts is None else contexts[:, here])
                for network in networks:
                    network.carry_state()

    def mix(self, logits: list[Array], contexts: Array | None) -> LogProbabilities:
        """Return the log-probabilities for logits (n, V) of each member and contexts (order, n)."""
        members = log_softmax(finite_logits(np.stack(logits)))
        networks: Array = np.logaddexp.reduce(members, axis=0) - np.log(len(members))
        if self.ngrams is None or contexts is None:
            return LogProbabilities(members, networks, None, np.zeros(0), networks)
        ngrams = np.log(self.ngrams.probabilities(contexts))
        share = self.ngrams.matched(contexts) / max(1, self.ngrams.order - 1)
        whole = mixed(networks, ngrams, share, self.exponents)
        return LogProbabilities(members, networks, ngrams, share, whole)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the mixture as a file, atomically; see `Model.save`."""
        save_mixture(checked_target(path), self.record)

    def _repr_html_(self) -> str:
        """Return what the mixture consists of as a table, for notebooks."""
        facts = [
            (f"network {number}", f"{m.config.layers} × {m.config.hidden} {m.config.cell}")
            for number, m in enumerate(self.members, 1)
        ]
        if self.record.ngrams is not None:
            counted = f"of {len(self.record.ngrams.ids):,} characters"
            facts.append((f"{self.record.ngrams.order}-grams", counted))
        return html_table([("model", self.title), *facts])


class MixtureStream:
    """S sequences that a mixture reads character by character, from the zero states.

    Args:
        mixture: the mixture.
        S: the number of sequences.
    """

    def __init__(self, mixture: Mixture, S: int) -> None:
        self.mixture = mixture
        self.networks = [Network(model.config, model.parameters, 1, S) for model in mixture.members]
        self._contexts: Array | None = None
        self.S = S

    def read(self, ids: Ids) -> Array:
        """Read one character of each sequence, ids (S,); return log-probabilities (S, V)."""
        logits = [network.forward(ids[None])[0].copy() for network in self.networks]
        for network in self.networks:
            network.carry_state()
        ngrams = self.mixture.ngrams
        if ngrams is not None:
            before = ngrams.begin(self.S) if self._contexts is None else self._contexts
            self._contexts = ngrams.read(before, ids)
        return self.mixture.mix(logits, self._contexts).whole

    def repeated(self, S: int) -> "MixtureStream":
        """Return S sequences, each of which has read what the first one here has."""
        stream = MixtureStream(self.mixture, S)
        for network, reader in zip(stream.networks, self.networks, strict=True):
            network.load_states(reader.states())
        if self._contexts is not None:
            stream._contexts = np.repeat(self._contexts[:, :1], S, axis=1)
        return stream
