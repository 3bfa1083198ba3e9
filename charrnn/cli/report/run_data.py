"""Data of a run that a report begins with: checkpoints, run.json, metrics, and its text again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.checkpointing.lookup import find_checkpoint
from charrnn.checkpointing.records import Checkpoint
from charrnn.checkpointing.run_records import complete_lines, open_metrics, parse_row, read_facts
from charrnn.cli.output.safe_text import label
from charrnn.cli.runs.load_text import find_text_again
from charrnn.data.large_text_files import AnyCorpus, LargeCorpus
from charrnn.data.text_files import validation_start
from charrnn.errors import CharRNNError
from charrnn.evaluation.baselines import MAX_TRAIN_CHARS, MAX_VALIDATION_CHARS
from charrnn.run_files import is_run
from charrnn.training.prepared_data import prepare_text
from charrnn.types import Ids

MAX_ROWS = 2_000_000
"""Rows of metrics.jsonl that are read."""


@dataclass(frozen=True)
class RunData:
    """A run, as its folder tells it.

    Attributes:
        path: the checkpoint that the report is about.
        name: name of the run.
        checkpoint: its model.
        last: the checkpoint with the state of training; None if there is none of this model.
        facts: run.json; empty if it is missing.
    """

    path: Path
    name: str
    checkpoint: Checkpoint
    last: Checkpoint | None
    facts: dict[str, Any]

    @property
    def folder(self) -> Path:
        """The folder of the checkpoint."""
        return self.path.parent

    def metrics(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of metrics.jsonl; none if it cannot be read."""
        if not is_run(self.folder):
            return
        try:
            with open_metrics(self.folder / "metrics.jsonl") as file:
                for line in islice(complete_lines(file), MAX_ROWS):
                    if (row := parse_row(line)) is not None:
                        yield row
        except OSError:
            return


def load_run(argument: str | None) -> RunData:
    """Load the run that a checkpoint argument means; without one, the newest.

    Raises errors as `load_checkpoint` does.
    """
    path = find_checkpoint(argument)
    checkpoint = load_checkpoint(path)
    of_run = is_run(path.parent)
    name = path.resolve().parent.name if of_run else path.stem
    facts = read_facts(path.parent) if of_run else {}
    return RunData(path, label(name), checkpoint, _last(path, checkpoint), facts)


def _last(path: Path, checkpoint: Checkpoint) -> Checkpoint | None:
    """Return the checkpoint that holds the state of training of the same run.

    Of the mean of several networks that is the state of the first.
    """
    if checkpoint.training is not None:
        return checkpoint
    try:
        last = load_checkpoint(path.with_name("last.npz"))
    except CharRNNError:
        return None
    networks = max(1, round(checkpoint.validation.get("networks", 1)))
    config = replace(checkpoint.config, hidden=max(1, checkpoint.config.hidden // networks))
    same = (last.config, last.corpus) == (config, checkpoint.corpus)
    return last if same and last.training is not None else None


@dataclass(frozen=True)
class TextParts:
    """The text of a run as ids: what was trained on, and what was held out.

    Of a large text these are the characters on both sides of the split.
    """

    corpus: AnyCorpus
    train: Ids
    validation: Ids
    names: tuple[str, ...]
    """Names of the files, without their folders; none for a built-in text."""


def text_parts(run: RunData) -> TextParts:
    """Read the text of a run again, as ids. Raises `TextError` if it is missing or another one."""
    record, vocabulary = run.checkpoint.corpus, run.checkpoint.vocabulary
    corpus = find_text_again(record, run.folder)
    names = () if record.built_in else file_names(corpus.sources)
    if not isinstance(corpus, LargeCorpus):
        dataset = prepare_text(corpus, vocabulary, record, run.folder).dataset
        return TextParts(corpus, dataset.train, dataset.validation, names)
    split = validation_start(record.characters, record.val_fraction)
    end = min(record.characters, split + MAX_VALIDATION_CHARS)
    train = corpus.part(max(0, split - MAX_TRAIN_CHARS), split)
    return TextParts(
        corpus,
        vocabulary.encode(train, "skip"),
        vocabulary.encode(corpus.part(split, end), "skip"),
        names,
    )


def file_names(sources: Sequence[str]) -> tuple[str, ...]:
    """Return the names of files without their folders, which are nobody's business."""
    return tuple(Path(source).name for source in sources)
