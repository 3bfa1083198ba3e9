"""What came of a run on pairs: facts of the data, and the result at the end."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

from rich.text import Text

from charrnn.checkpointing.records import Checkpoint
from charrnn.cli.output.console import answer, duration
from charrnn.cli.output.safe_text import one_line, shell_command
from charrnn.cli.output.text_columns import cut_start
from charrnn.cli.runs.environment import seconds_since_start
from charrnn.cli.train.pair_comparison import baseline_table, comparison
from charrnn.cli.train.pair_metrics import PairMetrics, confusion_tables, validation_metrics
from charrnn.evaluation.pair_baselines import PairBaseline, pair_baselines
from charrnn.inference.predictor import Predictor
from charrnn.training.prepared_data import PreparedPairs
from charrnn.training.trainer import Trainer
from charrnn.types import JSON, StopFlag

MAX_LABEL_ROWS = 30
"""Labels whose scores are shown at the end of a run; `charrnn eval` shows all of them."""


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
class ModelParts:
    """What a model consists of that is more than one network.

    Args:
        path: its file.
        networks: the number of networks of which it is the mean.
        ngrams: n of the longest n-grams that are mixed in; 0: none.
        without_ngrams: the figures of the networks without n-grams, if some are mixed in.
        each: the figures of each network alone, if it is the mean of several.
    """

    path: Path
    networks: int
    ngrams: int
    without_ngrams: PairBaseline | None
    each: tuple[PairBaseline, ...]

    @property
    def figures(self) -> tuple[PairBaseline, ...]:
        """The figures of all its parts."""
        return self.each if self.without_ngrams is None else (self.without_ngrams, *self.each)

    @property
    def note(self) -> str:
        """What the file of the model contains, as a sentence."""
        one = "the first of them" if self.networks > 1 else "the network alone"
        what = "one network" if self.networks < 2 else f"the mean of {self.networks} networks"
        mixed = f" and {self.ngrams}-grams of the training inputs" if self.ngrams else ""
        return f"This model is {self.path.name}, {what}{mixed}; best.npz is {one}."


BALANCE_NOTE = (
    "Trained with --balance {:g}: rare labels get more probability than their share, "
    "which the loss in nats counts against the model."
)


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
    balance: float = 0.0
    """The setting of this name: probabilities of the model are not those of the pairs above 0."""
    parts: ModelParts | None = None
    """What the model consists of; None for best.npz."""

    def with_parts(self, parts: ModelParts | None) -> "PairResult":
        """Return the result of a model that consists of several parts."""
        return replace(self, parts=parts)

    def as_dict(self) -> dict[str, JSON]:
        """Return the result as JSON values, units in the names."""
        parts = self.parts
        networks = () if parts is None else parts.each
        without = None if parts is None else parts.without_ngrams
        return {
            "run": str(self.folder),
            "best": str(self.folder / "best.npz" if parts is None else parts.path),
            "reason": self.reason,
            "steps": self.steps,
            "best_step": self.best_step,
            "train_nats_per_symbol": self.training,
            "train_bits_per_symbol": self.training / math.log(2),
            "parameters": self.parameters,
            "seconds": round(seconds_since_start(), 1),
            "validation": None if self.pair_metrics is None else self.pair_metrics.as_dict(),
            "baselines": {one.name: one.as_dict() for one in self.baselines},
            "balance": self.balance,
            "networks": [{"name": one.name, **one.as_dict()} for one in networks],
            "ngrams": 0 if parts is None else parts.ngrams,
            "without_ngrams": None if without is None else without.as_dict(),
        }

    def show(self) -> None:
        """Print the result, and the next command."""
        why = {"solved": " (no fault is left)", "plateau": " (nothing better came)"}
        ending = f"best at step {self.best_step:,} of {self.steps:,}{why.get(self.reason, '')}"
        if self.pair_metrics is not None:
            answer(self.pair_metrics.table())
            parts = self.parts
            figures = () if parts is None else parts.figures
            answer(baseline_table(self.pair_metrics, (*figures, *self.baselines)))
            if parts is not None:
                answer(Text(parts.note))
            answer(Text(comparison(self.pair_metrics, self.baselines)))
            if self.balance:
                answer(Text(BALANCE_NOTE.format(self.balance)))
            tables = confusion_tables(self.pair_metrics)
            if len(self.pair_metrics.labels) > MAX_LABEL_ROWS:
                tables = tables[:-1]  # without the scores of each label
            for table in tables:
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
        found = validation_metrics(best, validation, stop, trainer.backend.cells)
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
        trainer.config.balance,
    )


WRONG_SHOWN = 5
"""Wrong answers that are shown at the end of a run."""


def wrong_answers(best: Checkpoint, prepared: PreparedPairs) -> list[str]:
    """Return lines with some of the first validation examples that the model answers wrongly."""
    if prepared.symbols.layout_spec.is_sampled:
        return []
    predictor = Predictor(
        best.config, best.parameters, best.pairing, ngrams=best.ngrams
    )  # examined inputs are normalised already
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
