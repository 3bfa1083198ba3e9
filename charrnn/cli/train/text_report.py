"""The first screen of a run and its last: what is planned, and what came of it."""

import math
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from charrnn.checkpointing.records import Checkpoint
from charrnn.cli.output.console import answer, baseline_rows, duration, loss_table
from charrnn.cli.output.safe_text import shell_command
from charrnn.cli.runs.environment import seconds_since_start
from charrnn.cli.runs.load_text import spelling
from charrnn.cli.train.planning import ScoringLimits
from charrnn.evaluation.baselines import Baselines, baselines
from charrnn.evaluation.text import one_stream_loss
from charrnn.training.prepared_data import PreparedText
from charrnn.training.text_dataset import DistilledText, TextDataset
from charrnn.training.trainer import Trainer
from charrnn.types import JSON, StopFlag


def text_facts(prepared: PreparedText) -> dict[str, str]:
    """Say what a text is made of."""
    dataset = prepared.dataset
    return {
        "corpus": f"{prepared.record.name}: {len(dataset.train):,} characters to train on, "
        f"{len(dataset.validation):,} for validation",
        "vocabulary": f"{len(prepared.symbols)} characters",
        **generated_fact(dataset),
    }


def generated_fact(dataset: TextDataset) -> dict[str, str]:
    """Say how much teachers generated, if there are any."""
    if not isinstance(dataset, DistilledText):
        return {}
    return {"teachers": f"{dataset.num_generated:,} generated characters, beside the text"}


@dataclass(frozen=True)
class TextResult:
    """How a run on a text ended. Losses in nats per character; None without validation."""

    folder: Path
    reason: str
    steps: int
    best_step: int
    training: float
    validation: float | None
    carried: float | None
    """The last weights, from the state that training carried; only where it was never reset."""
    validation_characters: int
    parameters: int
    baselines: Baselines | None

    def as_dict(self) -> dict[str, JSON]:
        """Return the result as JSON values, units in the names."""
        nats = self.validation
        return {
            "run": str(self.folder),
            "best": str(self.folder / "best.npz"),
            "reason": self.reason,
            "steps": self.steps,
            "best_step": self.best_step,
            "train_nats_per_char": self.training,
            "train_bits_per_char": self.training / math.log(2),
            "validation_nats_per_char": nats,
            "validation_bits_per_char": None if nats is None else nats / math.log(2),
            "carried_state_nats_per_char": self.carried,
            "validation_characters": self.validation_characters,
            "parameters": self.parameters,
            "seconds": round(seconds_since_start(), 1),
            "baselines": None if self.baselines is None else self.baselines.as_dict(),
        }

    def show(self) -> None:
        """Print the losses beside each other, a verdict, and what to type next."""
        ours = f"validation, best (step {self.best_step:,})"
        rows = {ours: self.validation, "training, smoothed": self.training}
        if self.carried is not None:
            rows["validation, last, from the carried state"] = self.carried
        if self.baselines is not None:
            rows |= baseline_rows(self.baselines)
        answer(loss_table(rows, ours))
        if self.validation is not None and self.baselines is not None:
            answer(Text(verdict(self.validation, self.baselines)))
        hint = shell_command("charrnn", "sample", str(self.folder), "--temperature", "0.8")
        answer(Text(f"{duration(seconds_since_start())} in all. Next: {hint}"))


def text_result(
    folder: Path,
    reason: str,
    trainer: Trainer,
    prepared: PreparedText,
    best: Checkpoint,
    limits: ScoringLimits,
    stop: StopFlag | None,
    known: float | None = None,
) -> TextResult:
    """Score the best checkpoint as one stream beside the baselines, within `limits`.

    `known` is its loss on the validation text as one stream, if a validation has found it.
    """
    validation = prepared.dataset.validated(trainer.config.val_limit)
    nats = known
    carried: float | None = None
    table: Baselines | None = None
    if len(validation) >= 2:
        cells, limit = trainer.backend.cells, limits.scored
        if nats is None:
            found = one_stream_loss(
                best.config, best.parameters, validation, limit, stop, cells=cells
            )
            if found is not None:
                nats, count = found
                validation = validation[:count]
        if not trainer.config.state_reset_prob:
            state = {name: rows[:1] for name, rows in trainer.states.items()}
            found = one_stream_loss(
                trainer.model_config, trainer.model, validation, limit, stop, state, cells
            )
            carried = None if found is None else found[0]
        size, spell = len(prepared.symbols), spelling(prepared.symbols)
        train = prepared.dataset.train
        table = baselines(train, validation, size, spell, limit=limits.fitted, stop=stop)
    return TextResult(
        folder=folder,
        reason=reason,
        steps=trainer.progress.step,
        best_step=best.step,
        training=trainer.progress.smooth_nats,
        validation=nats,
        carried=carried,
        validation_characters=len(validation),
        parameters=len(trainer.parameters.vector),
        baselines=table,
    )


TIE = 5e-4
"""Nats per character below which two losses count as equal: they are printed with four digits."""

FEW_CHARACTERS = 1_000
"""Held-out characters below which a comparison is called uncertain."""


def verdict(nats: float, table: Baselines) -> str:
    """Compare a model with every baseline of the table, in a sentence."""
    counts = {
        "uniform guessing": table.uniform,
        "unigram counts": table.unigram,
        "5-gram counts": table.five_gram,
    }
    rivals = counts | {"gzip": table.gzip, "xz": table.xz}
    name = min(rivals, key=lambda key: rivals[key])
    counted = min(counts, key=lambda key: counts[key])
    gap = rivals[name] - nats
    remarks = ["baselines fitted on a part of the text"] if table.sampled else []
    if table.characters < FEW_CHARACTERS:
        remarks.append(f"uncertain: only {table.characters:,} characters were scored")
    part = f" ({'; '.join(remarks)})" if remarks else ""
    if gap > TIE:
        return f"The model beats the best of them, {name}, by {gap:.3f} nats per character{part}."
    if nats > min(table.uniform, table.unigram) - TIE:
        plain = min(("uniform guessing", "unigram counts"), key=lambda key: counts[key])
        return (
            f"The model does not beat {plain}: it has learned nothing that counting single "
            f"characters would not tell{part}. Try more --minutes, or check the text."
        )
    if name not in counts and counts[counted] - nats > TIE:
        return (
            f"The model beats {counted} by {counts[counted] - nats:.3f} nats per character; "
            f"{name}, which copies repeated passages, is {max(0.0, -gap):.3f} ahead{part}."
        )
    return (
        f"The model does not beat {name} yet ({max(0.0, -gap):.3f} nats behind{part}): "
        "try more --minutes, or more text."
    )
