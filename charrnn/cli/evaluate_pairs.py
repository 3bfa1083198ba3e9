"""`charrnn eval` of a model of pairs: exact matches, accuracy, confusion, and baselines."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.text import Text

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.checkpointing.records import Checkpoint
from charrnn.cli.output.console import answer, warn
from charrnn.cli.output.safe_text import write_plain
from charrnn.cli.runs.load_pairs import find_pairs_again
from charrnn.cli.runs.metrics_log import to_json
from charrnn.cli.train.pair_comparison import baseline_table, comparison
from charrnn.cli.train.pair_metrics import PairMetrics, confusion_tables, pair_metrics
from charrnn.data.decoding import TextOptions
from charrnn.data.pair_batches import Examples
from charrnn.data.pair_files import build_examples, build_known_examples, read_pairs, split_pairs
from charrnn.data.pair_formats import Pair
from charrnn.errors import CharRNNError, CheckpointError
from charrnn.evaluation.pair_baselines import PairBaseline, pair_baselines
from charrnn.inference.sampling import finite_logits

LAST = "last.npz"
"""The checkpoint of a run that holds the settings of training."""


def score_pairs(
    checkpoint: Checkpoint,
    path: Path,
    files: Sequence[str],
    encoding: str,
    *,
    json: bool,
    baselines_too: bool,
) -> None:
    """Score files of pairs, and print the metrics beside those of baselines.

    Args:
        checkpoint: a model of pairs.
        path: its file, beside which its run is described.
        files: files of pairs, or `-`.
        encoding: that of the files.
        json: whether to print one JSON object.
        baselines_too: whether to fit baselines on the training pairs.
    """
    pairing = checkpoint.pairing
    options = TextOptions(encoding, normalise=checkpoint.corpus.normalise)
    corpus = read_pairs(files, options, repeated=True)
    examples, unknown = build_known_examples(pairing, corpus.pairs)
    for note in (*corpus.notes, *([unknown.note()] if unknown.pairs else [])):
        warn(note)
    model, ngrams = (checkpoint.config, checkpoint.parameters, pairing), checkpoint.ngrams
    found = pair_metrics(*model, examples, None, unknown, ngrams=ngrams)
    if found is None:
        raise RuntimeError("nothing asked the scoring to stop")
    finite_logits(np.array(found.score.nats_per_symbol))
    trained = training_pairs(checkpoint, path.parent) if baselines_too else None
    compared: list[PairBaseline] = []
    if trained is not None:
        if not pairing.layout_spec.is_table:
            note_overlap(corpus.pairs, trained.pairs)
        compared = pair_baselines(pairing, trained.examples, examples)
    if json:
        rows = {one.name: one.as_dict() for one in compared}
        baselines = None if trained is None else rows
        write_plain(f"{to_json({**found.as_dict(), 'baselines': baselines})}\n")
    else:
        show_scores(found, compared)


def show_scores(found: PairMetrics, compared: Sequence[PairBaseline]) -> None:
    """Print the metrics, the baselines, and the confusion of labels."""
    answer(found.table())
    if compared:
        answer("")
        answer(baseline_table(found, compared))
        if found.unknown.pairs:
            known = found.score.examples - found.unknown.pairs
            answer(Text(f"The baselines are of the {known:,} pairs whose symbols are all known."))
        answer(Text(comparison(found, compared)))
    for table in confusion_tables(found):
        answer("")
        answer(table)


@dataclass(frozen=True)
class TrainingPairs:
    """The training part of the pairs of a run, as it was read and as ids."""

    pairs: Sequence[Pair]
    examples: Examples


def training_pairs(checkpoint: Checkpoint, folder: Path) -> TrainingPairs | None:
    """Return the pairs that a model was trained on; None, with a note, if they cannot be read."""
    record, pairing = checkpoint.corpus, checkpoint.pairing
    try:
        seed = seed_of(checkpoint, folder)
        corpus = find_pairs_again(record, pairing.layout, folder)
        train = split_pairs(corpus, pairing.layout, record.val_fraction, seed, pairing).train
        return TrainingPairs(train, build_examples(pairing, train))
    except CharRNNError as error:
        warn(f"no baselines: {error.problem}")
        return None


def seed_of(checkpoint: Checkpoint, folder: Path) -> int:
    """Return the seed by which the validation pairs of a run were drawn.

    Raises `CheckpointError` if neither the checkpoint nor last.npz beside it holds it.
    """
    state = checkpoint.training
    if state is None and (folder / LAST).exists():
        state = load_checkpoint(folder / LAST).training
    if state is None:
        raise CheckpointError(
            f"there is no {LAST} beside it, with the seed that the training pairs were drawn by"
        )
    return state.config.seed


def note_overlap(scored: Sequence[Pair], trained: Sequence[Pair]) -> None:
    """Warn if pairs that are scored are among those of the training."""
    known = {pair[:2] for pair in trained}
    count = sum(pair[:2] in known for pair in scored)
    if count:
        warn(
            f"the model was trained on {count:,} of these {len(scored):,} pairs; its figures on "
            "new ones may be worse"
        )
