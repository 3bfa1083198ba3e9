"""What a model of pairs is worth: nats and accuracy per symbol, exact matches, a confusion matrix.

Every symbol is predicted from the true ones before it. An example whose likeliest symbols are all
right, its END included, is one that greedy decoding gets exactly: it would have read the same
symbols. In one-to-many, where many texts are right, exact matches mean nothing and are not counted.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from charrnn.data.pair_batches import Examples
from charrnn.nn.cells import CELLS, Cell
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.network import Network
from charrnn.nn.parameters import Parameters
from charrnn.notebook_html import html_table
from charrnn.types import Array, Ids, StopFlag

POSITIONS = 2**13
"""Positions T × B that are walked at once, if one example is not longer."""


@dataclass(frozen=True)
class PairScore:
    """The loss and accuracy of some examples under one model."""

    nats_per_symbol: float
    symbol_accuracy: float
    exact_match: float
    examples: int
    symbols: int
    answers: Ids
    """The most probable symbol at the last position of each example (n,), such as a label."""

    @property
    def bits_per_symbol(self) -> float:
        """Nats in units of ln 2."""
        return self.nats_per_symbol / math.log(2)

    def metrics(self, *, exact: bool = True) -> dict[str, float]:
        """Return the metrics by name; exact matches only if `exact`."""
        found = {"nats_per_symbol": self.nats_per_symbol, "symbol_accuracy": self.symbol_accuracy}
        return found | ({"exact_match": self.exact_match} if exact else {})

    def _repr_html_(self) -> str:
        """Return the loss and the shares of right answers as a table, for notebooks."""
        losses = (f"{self.nats_per_symbol:.4f}", f"{self.bits_per_symbol:.4f}")
        row = ("this model", *losses, f"{self.symbol_accuracy:.2%}", f"{self.exact_match:.2%}")
        header = ("per symbol", "nats", "bits", "accuracy", "exact match")
        counted = f"{self.examples:,} examples, {self.symbols:,} symbols"
        return html_table([row], header, counted)

    def with_wrong(self, examples: int, symbols: int) -> "PairScore":
        """Return the score with more examples, all of them wrong; the loss does not count them."""
        return replace(
            self,
            symbol_accuracy=self.symbol_accuracy * self.symbols / (self.symbols + symbols),
            exact_match=self.exact_match * self.examples / (self.examples + examples),
            examples=self.examples + examples,
            symbols=self.symbols + symbols,
        )


def score(
    config: ModelConfig,
    parameters: Parameters,
    examples: Examples,
    stop: StopFlag | None = None,
    cells: Mapping[str, type[Cell]] = CELLS,
) -> PairScore | None:
    """Score at least one example, or return None if `stop` said so.

    `cells` are the classes of the cells by name, those of a compute backend.
    """
    nats, right, exact = 0.0, 0, 0
    answers = np.zeros(len(examples), np.int64)
    for chosen, network, logits in forward_by_length(config, parameters, examples, cells):
        if stop is not None and stop():
            return None
        _, targets, scored = examples.padded(chosen, len(logits))
        predictions = np.argmax(logits, axis=-1)
        nats += float(np.sum(network.loss(targets), where=scored, dtype=np.float64))
        fits = (predictions == targets) & scored
        right += int(fits.sum())
        exact += int(np.all(fits == scored, axis=0).sum())
        answers[chosen] = predictions[examples.lengths[chosen] - 1, np.arange(len(chosen))]
    symbols = int(examples.predictions.sum())
    count = len(examples)
    return PairScore(nats / symbols, right / symbols, exact / count, count, symbols, answers)


def forward_by_length(
    config: ModelConfig,
    parameters: Parameters,
    examples: Examples,
    cells: Mapping[str, type[Cell]] = CELLS,
) -> Iterator[tuple[Ids, Network, Array]]:
    """Run a network over groups of examples of like length; arguments are those of `score`.

    Yields the indices (B,) of a group, the network after its forward pass, and the logits
    (T, B, V), which the next group may overwrite.
    """
    for chosen, T in group_by_length(examples.lengths):
        inputs, _, _ = examples.padded(chosen, T)
        network = Network(config, parameters, T, len(chosen), cells=cells)
        lengths = config.read_lengths(examples.lengths[chosen], examples.first_targets[chosen])
        yield chosen, network, network.forward(inputs, lengths=lengths)


def group_by_length(lengths: Ids) -> Iterator[tuple[Ids, int]]:
    """Part examples into groups of like length; yield each group's indices (B,) and T."""
    order = np.argsort(lengths, kind="stable")[::-1]
    first = 0
    while first < len(order):
        T = int(lengths[order[first]])
        B = max(1, POSITIONS // T)
        yield order[first : first + B], T
        first += B


def confusion(truth: Ids, answers: Ids, labels: int) -> Array:
    """Count (true label, answer) over examples: a matrix (labels, labels)."""
    counts = np.zeros((labels, labels), np.int64)
    np.add.at(counts, (truth, answers), 1)
    return counts


@dataclass(frozen=True)
class LabelScore:
    """One label: how often it was right to give, and given when right."""

    precision: float
    recall: float
    f1: float
    count: int


def label_scores(counts: Array, unread: Ids | None = None) -> list[LabelScore]:
    """Return precision, recall and F₁ of each label; 0 where there is nothing to divide.

    `unread` (labels,) counts examples of each label that were given no answer.
    """
    scores = []
    missed = np.zeros(len(counts), np.int64) if unread is None else unread
    for label, right in enumerate(np.diag(counts)):
        given, true = int(counts[:, label].sum()), int(counts[label].sum() + missed[label])
        precision, recall = right / max(given, 1), right / max(true, 1)
        f1 = 2 * right / max(given + true, 1)
        scores.append(LabelScore(float(precision), float(recall), float(f1), true))
    return scores


def macro_f1(scores: list[LabelScore]) -> float:
    """Return the mean F₁ of the labels that occur."""
    occurring = [score.f1 for score in scores if score.count]
    return sum(occurring) / len(occurring)
