"""What came of a run on pairs, and how well a model of pairs does on any of them."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.table import Table
from rich.text import Text

from charrnn.checkpointing.records import Checkpoint
from charrnn.cli.output import safe_text as terminal
from charrnn.cli.output.console import answer, duration
from charrnn.cli.output.safe_text import one_line, shell_command
from charrnn.cli.output.text_columns import cut, cut_start
from charrnn.cli.runs.environment import seconds_since_start
from charrnn.data.layouts import PairVocabulary
from charrnn.data.pair_batches import Examples
from charrnn.data.pair_files import UnknownSymbols
from charrnn.evaluation.pair_baselines import PairBaseline, pair_baselines
from charrnn.evaluation.pair_verdict import Outcome, difference
from charrnn.evaluation.pairs import (
    LabelScore,
    PairScore,
    confusion,
    label_scores,
    macro_f1,
    score,
)
from charrnn.inference.predictor import Predictor
from charrnn.nn.network import ModelConfig
from charrnn.nn.parameters import Parameters
from charrnn.training.prepared_data import PreparedPairs
from charrnn.training.trainer import Trainer
from charrnn.types import JSON, Array, StopFlag

MAX_CONFUSION_LABELS = 12
"""Labels that a confusion matrix on a screen has room for."""

MAX_LABEL_ROWS = 30
"""Labels whose scores are shown at the end of a run; `charrnn eval` shows all of them."""

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
) -> PairMetrics | None:
    """Score examples, and those that are `unknown` as wrong; None if `stop` said so."""
    found = score(config, parameters, examples, stop)
    if found is None:
        return None
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


def confusion_tables(found: PairMetrics) -> list[Table]:
    """Draw the confusion matrix and the scores of each label, if there are few enough."""
    if found.confusion is None:
        return []
    labels = list(map(short, found.pairing.answers))
    tables = []
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


def pair_facts(prepared: PreparedPairs) -> dict[str, str]:
    """Say what a set of pairs is made of."""
    dataset, pairing = prepared.dataset, prepared.symbols
    train, validation = dataset.train, dataset.validation
    seen = ", the same" if pairing.layout_spec.is_table else ""
    kinds = ("labels", "characters")
    sources, answers = (
        kinds[pairing.layout_spec.source_is_text],
        kinds[pairing.layout_spec.answer_is_text],
    )
    return {
        "corpus": f"{prepared.record.name}: {len(train):,} pairs to train on, "
        f"{len(validation):,} to validate{seen}",
        "layout": f"{pairing.layout}: {pairing.layout_spec.meaning}; "
        f"{train.lengths.mean():.1f} steps long, at most {train.lengths.max()}",
        "vocabulary": f"{len(pairing.sources)} {sources} to read, "
        f"{len(pairing.answers)} {answers} to answer with",
    }


@dataclass(frozen=True)
class PairResult:
    """How a run on pairs ended."""

    folder: Path
    reason: str
    steps: int
    best_step: int
    training: float
    parameters: int
    pair_metrics: PairMetrics | None
    baselines: tuple[PairBaseline, ...] = ()
    wrong: tuple[str, ...] = ()
    """Some validation examples that were answered wrongly, as lines."""

    def as_dict(self) -> dict[str, JSON]:
        """Return the result as JSON values, units in the names."""
        return {
            "run": str(self.folder),
            "best": str(self.folder / "best.npz"),
            "reason": self.reason,
            "steps": self.steps,
            "best_step": self.best_step,
            "train_nats_per_symbol": self.training,
            "train_bits_per_symbol": self.training / math.log(2),
            "parameters": self.parameters,
            "seconds": round(seconds_since_start(), 1),
            "validation": None if self.pair_metrics is None else self.pair_metrics.as_dict(),
            "baselines": {one.name: one.as_dict() for one in self.baselines},
        }

    def show(self) -> None:
        """Print the result, and the next command."""
        why = {"solved": " (no fault is left)", "plateau": " (nothing better came)"}
        ending = f"best at step {self.best_step:,} of {self.steps:,}{why.get(self.reason, '')}"
        if self.pair_metrics is not None:
            answer(self.pair_metrics.table())
            answer(baseline_table(self.pair_metrics, self.baselines))
            answer(Text(comparison(self.pair_metrics, self.baselines)))
            if len(self.pair_metrics.labels) <= MAX_LABEL_ROWS:
                for table in confusion_tables(self.pair_metrics):
                    answer(table)
            if self.wrong:
                answer(Text("\n".join(("answered wrongly, for example:", *self.wrong))))
        hint = shell_command("charrnn", "predict", str(self.folder))
        answer(Text(f"{ending}; {duration(seconds_since_start())} in all. Next: {hint}"))


def pair_result(
    folder: Path,
    reason: str,
    trainer: Trainer,
    prepared: PreparedPairs,
    best: Checkpoint,
    stop: StopFlag | None,
) -> PairResult:
    """Score the best checkpoint on the validation set."""
    validation, pairing = prepared.dataset.validation, prepared.symbols
    found, compared, wrong = None, [], []
    if len(validation):
        found = pair_metrics(best.config, best.parameters, pairing, validation, stop)
    if found is not None:
        compared = pair_baselines(pairing, prepared.dataset.train, validation)
        wrong = wrong_answers(best, prepared)
    return PairResult(
        folder,
        reason,
        trainer.progress.step,
        best.step,
        trainer.progress.smooth_nats,
        len(trainer.parameters.vector),
        found,
        tuple(compared),
        tuple(wrong),
    )


def baseline_table(found: PairMetrics, baselines: Sequence[PairBaseline]) -> Table:
    """Return a table with the model in the first line and a line for each baseline."""
    rows = [own_figures(found), *baselines]
    titles = {"nats_per_symbol": "nats", "symbol_accuracy": "accuracy"}
    titles |= {"exact_match": "exact match", "macro_f1": "macro F1"}
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", overflow="fold")
    used = [name for name in titles if any(getattr(row, name) is not None for row in rows)]
    for name in used:
        table.add_column(titles[name], justify="right", no_wrap=True)
    for number, row in enumerate(rows):
        cells = (figure(name, getattr(row, name)) for name in used)
        table.add_row(row.name, *cells, style="bold" if number == 0 else "")
    return table


def figure(name: str, value: float | None) -> str:
    """Return a figure of a table, or nothing for None."""
    if value is None:
        return ""
    return f"{value:.4f}" if name in ("nats_per_symbol", "macro_f1") else f"{value:.2%}"


def own_figures(found: PairMetrics) -> PairBaseline:
    """Return the figures of the model as those of a baseline."""
    answer_is_text = found.pairing.layout_spec.answer_is_text
    return PairBaseline(
        "this model",
        found.score.nats_per_symbol,
        found.score.symbol_accuracy,
        found.score.exact_match if found.exact_counts and answer_is_text else None,
        macro_f1(found.labels) if found.labels else None,
    )


def comparison(found: PairMetrics, baselines: Sequence[PairBaseline]) -> str:
    """Say which baselines the model beats, or is level with within the error.

    See `charrnn.evaluation.pair_verdict` for what is compared.
    """
    own = own_figures(found)
    named: dict[Outcome, list[str]] = {"better": [], "level": [], "worse": []}
    for one in baselines:
        compared = difference(own, one, found.score.examples)
        how = "" if compared.outcome == "better" else f" ({compared})"
        named[compared.outcome].append(one.name + how)
    verbs = {"better": "beats", "level": "is level with", "worse": "does worse than"}
    parts = [f"it {verbs[one]} {', '.join(names)}" for one, names in named.items() if names]
    sentence = "; ".join(parts).removeprefix("it ")
    if named["worse"]:
        sentence += ", and has learned little"
    if named["worse"] or not named["better"]:
        sentence += (
            ". Try more pairs, more --minutes, or see whether the answers follow from the inputs "
            "at all"
        )
    return f"It {sentence}."


WRONG_SHOWN = 5
"""Wrong answers that are shown at the end of a run."""


def wrong_answers(best: Checkpoint, prepared: PreparedPairs) -> list[str]:
    """Return lines with some of the first validation examples that the model answers wrongly."""
    if prepared.symbols.layout_spec.is_sampled:
        return []
    predictor = Predictor(best.config, best.parameters, best.pairing)
    answers = predictor.answer([pair.input for pair in prepared.examined])
    lines = [
        f"  {quoted_answers(pair.input, pair.output, one.text)}"
        for pair, one in zip(prepared.examined, answers, strict=True)
        if one.text != pair.output
    ]
    return lines[:WRONG_SHOWN]


QUOTED = 36
"""Columns of an input that are shown beside its answer."""


def quoted_answers(source: str, wanted: str, given: str) -> str:
    """Show one example: what was read, what was answered, and what would have been right."""
    shown = cut_start(one_line(source), QUOTED)
    verdict = "" if given == wanted else f"   (right: {one_line(wanted)})"
    return f"{shown} → {one_line(given)}{verdict}"
