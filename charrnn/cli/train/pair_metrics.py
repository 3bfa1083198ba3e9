"""How well a model of pairs does on some pairs: metrics, confusion matrix, scores of labels."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from rich.table import Table
from rich.text import Text

from charrnn.checkpointing.records import Checkpoint
from charrnn.cli.output import safe_text as terminal
from charrnn.cli.output.text_columns import cut
from charrnn.data.label_ngrams import LabelNgrams
from charrnn.data.layouts import PairVocabulary
from charrnn.data.pair_batches import Examples
from charrnn.data.pair_files import UnknownSymbols
from charrnn.evaluation.label_scores import (
    label_logits,
    score_of_logits,
    score_with_ngrams,
)
from charrnn.evaluation.pairs import (
    LabelScore,
    PairScore,
    confusion,
    label_scores,
    macro_f1,
    score,
)
from charrnn.inference.label_mixture import ValidationLogits
from charrnn.nn.cells import CELLS, Cell
from charrnn.nn.model_config import ModelConfig
from charrnn.nn.parameters import Parameters
from charrnn.types import JSON, Array, StopFlag

MAX_CONFUSION_LABELS = 12
"""Labels that a confusion matrix on a screen has room for."""

MAX_LABEL_COLUMNS = 12
"""Columns of a label in a table."""


@dataclass(frozen=True)
class PairMetrics:
    """How well a model does on some pairs, and how well the commonest answer would."""

    pairing: PairVocabulary
    score: PairScore
    commonest: float
    """Share of right symbols of one that always gives the commonest answer."""
    confusion: Array | None
    """Of the examples whose symbols are known."""
    unknown: UnknownSymbols = field(default_factory=UnknownSymbols)
    """Examples with other symbols: they count in all metrics but the loss."""

    @property
    def labels(self) -> list[LabelScore]:
        """The scores of each label, if answers are labels."""
        if self.confusion is None:
            return []
        numbers = {label: number for number, label in enumerate(self.pairing.answers)}
        unread = np.zeros(len(numbers), np.int64)
        for label in self.unknown.unread_labels:
            unread[numbers[label]] += 1
        return label_scores(self.confusion, unread)

    def as_dict(self) -> dict[str, JSON]:
        """Return the metrics as JSON values; the confusion matrix has a row for each true label."""
        found: dict[str, JSON] = {
            "layout": self.pairing.layout,
            "examples": self.score.examples,
            "symbols": self.score.symbols,
            **self.score.metrics(exact=self.exact_counts),
            "bits_per_symbol": self.score.bits_per_symbol,
            "commonest_answer_accuracy": self.commonest,
            "unknown_inputs": self.unknown.inputs,
            "unknown_outputs": self.unknown.outputs,
        }
        if self.confusion is not None:
            scores = self.labels
            found["macro_f1"] = macro_f1(scores)
            found["labels"] = {
                label: {"precision": s.precision, "recall": s.recall, "f1": s.f1, "count": s.count}
                for label, s in zip(self.pairing.answers, scores, strict=True)
            }
            found["confusion"] = self.confusion.tolist()
        return found

    @property
    def exact_counts(self) -> bool:
        """Whether an answer can be right or wrong as a whole."""
        return not self.pairing.layout_spec.is_sampled

    def table(self) -> Table:
        """Return a table with a line for each metric."""
        one, unit = self.score, "label" if not self.pairing.layout_spec.answer_is_text else "symbol"
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(style="bold", overflow="fold")
        table.add_column(overflow="fold")
        if self.exact_counts and unit == "symbol":
            table.add_row("exact match", f"{one.exact_match:.2%} of {one.examples:,} examples")
        counted = f"{one.symbol_accuracy:.2%} of {one.symbols:,} {unit}s"
        table.add_row("accuracy", f"{counted}; always the commonest: {self.commonest:.2%}")
        nats = f"{one.nats_per_symbol:.4f} nats, {one.bits_per_symbol:.4f} bits per {unit}"
        if self.unknown.pairs:
            nats += f", of {one.examples - self.unknown.pairs:,} examples"
        table.add_row("loss", nats)
        if self.confusion is not None:
            table.add_row("macro F1", f"{macro_f1(self.labels):.4f}")
        return table


def pair_metrics(
    config: ModelConfig,
    parameters: Parameters,
    pairing: PairVocabulary,
    examples: Examples,
    stop: StopFlag | None,
    unknown: UnknownSymbols | None = None,
    cells: Mapping[str, type[Cell]] = CELLS,
    ngrams: LabelNgrams | None = None,
) -> PairMetrics | None:
    """Score examples, and those that are `unknown` as wrong; None if `stop` said so.

    `cells` are the classes of the cells by name, those of a compute backend; `ngrams` are mixed
    into the answers.
    """
    if ngrams is None:
        found = score(config, parameters, examples, stop, cells)
    else:
        found = score_with_ngrams(config, parameters, ngrams, examples, stop, cells)
    return None if found is None else metrics_of(found, pairing, examples, unknown)


def validation_metrics(
    model: Checkpoint,
    examples: Examples,
    stop: StopFlag | None,
    cells: Mapping[str, type[Cell]] = CELLS,
) -> PairMetrics | None:
    """Score a model on the validation pairs of its run; None if `stop` said so.

    If n-grams are mixed in, whose exponents were fitted on these pairs, the score is cross-fitted
    (`charrnn.inference.label_mixture`).
    """
    config, pairing, ngrams = model.config, model.pairing, model.ngrams
    if ngrams is None:
        return pair_metrics(config, model.parameters, pairing, examples, stop, cells=cells)
    logits = label_logits(config, model.parameters, examples, stop, cells)
    if logits is None:
        return None
    both = ValidationLogits(logits, ngrams.counts, ngrams.symbols, examples)
    return metrics_of(score_of_logits(both.cross_fitted(), both.labels), pairing, examples)


def metrics_of(
    found: PairScore,
    pairing: PairVocabulary,
    examples: Examples,
    unknown: UnknownSymbols | None = None,
) -> PairMetrics:
    """Return the metrics of a score, beside the commonest answer; `unknown` ones count as wrong."""
    unknown = unknown or UnknownSymbols()
    targets = examples.targets[examples.target_mask]
    counts = Counter(targets.tolist())
    matrix = None
    if pairing.layout_spec.classifies:
        labels = examples.targets[examples.starts[1:] - 1]  # predicted at the last position
        matrix = confusion(labels, found.answers, pairing.outputs)
        counts.update(map(pairing.answers.index, unknown.unread_labels))
    commonest = counts.most_common(1)[0][1] / (len(targets) + unknown.symbols)
    found = found.with_wrong(unknown.pairs, unknown.symbols)
    return PairMetrics(pairing, found, commonest, matrix, unknown)


CONFUSIONS_SHOWN = 8
"""Most frequent confusions that are shown where a matrix has no room."""


def frequent_confusions(found: PairMetrics) -> Table | None:
    """Return a table of the most frequent confusions of labels; None if there are none."""
    if found.confusion is None:
        return None
    counts = found.confusion.copy()
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:CONFUSIONS_SHOWN]
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("true", overflow="fold")
    table.add_column("answered", overflow="fold")
    table.add_column("times", justify="right", no_wrap=True)
    for true, given in zip(*np.unravel_index(order, counts.shape), strict=True):
        if counts[true, given]:
            names = (Text(short(found.pairing.answers[label])) for label in (true, given))
            table.add_row(*names, f"{counts[true, given]:,}")
    return table if table.row_count else None


def confusion_tables(found: PairMetrics) -> list[Table]:
    """Draw the confusions of labels, as a matrix if they are few, and the scores of each label."""
    if found.confusion is None:
        return []
    labels = list(map(short, found.pairing.answers))
    tables = []
    if len(labels) > MAX_CONFUSION_LABELS and (frequent := frequent_confusions(found)) is not None:
        tables.append(frequent)
    if len(labels) <= MAX_CONFUSION_LABELS:
        matrix = Table(box=None, pad_edge=False, header_style="dim")
        matrix.add_column("true", overflow="fold")
        for label in labels:
            matrix.add_column(Text(cut(label, 3)), justify="right", no_wrap=True)
        for label, row in zip(labels, found.confusion, strict=True):
            matrix.add_row(Text(label), *(str(count) if count else "·" for count in row))
        tables.append(matrix)
    each = Table(box=None, pad_edge=False, header_style="dim")
    each.add_column("label", overflow="fold")
    for name in ("precision", "recall", "F1", "examples"):
        each.add_column(name, justify="right", no_wrap=True)
    for label, one in zip(labels, found.labels, strict=True):
        each.add_row(
            Text(label),
            *(f"{x:.3f}" for x in (one.precision, one.recall, one.f1)),
            f"{one.count:,}",
        )
    return [*tables, each]


def short(label: str) -> str:
    """Return a label for a table: on one line, with nothing hidden in it, and not too wide."""
    return cut(terminal.label(label), MAX_LABEL_COLUMNS)
