"""Reports of a run by the kind of its data: first screen, preview at validations, result."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from charrnn.checkpointing.records import Checkpoint
from charrnn.cli.output.console import say
from charrnn.cli.output.text_columns import decoded_text
from charrnn.cli.train.pair_report import pair_facts, pair_result, quoted_answers
from charrnn.cli.train.planning import ScoringLimits
from charrnn.cli.train.text_report import text_facts, text_result
from charrnn.inference.model import Model
from charrnn.inference.predictor import Predictor
from charrnn.inference.sampling import Sampling
from charrnn.training.prepared_data import PreparedData, PreparedPairs, PreparedText
from charrnn.training.trainer import Trainer
from charrnn.training_config import TrainingConfig
from charrnn.types import JSON, StopFlag

PREVIEW = Sampling(temperature=0.8)
PREVIEW_CHARACTERS = 140


class Result(Protocol):
    """The result of a run, for the screen and for `--json`."""

    def as_dict(self) -> dict[str, JSON]:
        """Return the result as JSON values."""

    def show(self) -> None:
        """Print the result."""


@dataclass(frozen=True)
class TextReports:
    """Reports of a run on a text."""

    prepared: PreparedText

    def facts(self) -> dict[str, str]:
        """Return lines about the data by their titles."""
        return text_facts(self.prepared)

    def step_size(self, config: TrainingConfig) -> str:
        """Return what one step reads."""
        return f"{config.batch_size} × {config.seq_length} characters"

    def preview(self, now: Checkpoint) -> str:
        """Return a short sample."""
        written = "".join(next(Model(now).samples("", PREVIEW_CHARACTERS, PREVIEW)))
        return decoded_text(written, as_bytes=self.prepared.symbols.as_bytes).strip()

    def result(
        self,
        folder: Path,
        reason: str,
        trainer: Trainer,
        best: Checkpoint,
        limits: ScoringLimits,
        stop: StopFlag,
        known: float | None,
        *,
        quiet: bool,
    ) -> Result:
        """Score the best checkpoint on the validation text, unless its loss is `known`."""
        count = len(self.prepared.dataset.validated(trainer.config.val_limit))
        if count and not quiet:
            say(f"{reason}; scoring {count:,} validation characters as one stream")
        return text_result(folder, reason, trainer, self.prepared, best, limits, stop, known)


@dataclass(frozen=True)
class PairReports:
    """Reports of a run on pairs."""

    prepared: PreparedPairs

    def facts(self) -> dict[str, str]:
        """Return lines about the data by their titles."""
        return pair_facts(self.prepared)

    def step_size(self, config: TrainingConfig) -> str:
        """Return what one step reads."""
        return f"{config.batch_size} pairs"

    def preview(self, now: Checkpoint) -> str:
        """Return the answers to some validation inputs."""
        predictor = Predictor(now.config, now.parameters, now.pairing)
        answers = predictor.answer([pair.input for pair in self.prepared.shown])
        return "\n".join(
            quoted_answers(pair.input, pair.output, one.text)
            for pair, one in zip(self.prepared.shown, answers, strict=True)
        )

    def result(
        self,
        folder: Path,
        reason: str,
        trainer: Trainer,
        best: Checkpoint,
        limits: ScoringLimits,
        stop: StopFlag,
        known: float | None,
        *,
        quiet: bool,
    ) -> Result:
        """Score the best checkpoint on the validation pairs."""
        return pair_result(folder, reason, trainer, self.prepared, best, stop)


Reports = TextReports | PairReports

REPORTS: dict[type, Callable[[Any], Reports]] = {
    PreparedText: TextReports,
    PreparedPairs: PairReports,
}
"""Reports by the kind of prepared data."""


def reports_of(prepared: PreparedData) -> Reports:
    """Return the reports of a run on this data."""
    return REPORTS[type(prepared)](prepared)
