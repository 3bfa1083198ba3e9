"""`charrnn eval`: what a model is worth on any text, beside what is good."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from charrnn.baselines import Baselines, baselines
from charrnn.checkpoint import load as load_checkpoint
from charrnn.cli.corpus import find_again, spelling
from charrnn.cli.display import answer, baseline_rows, loss_table, warn
from charrnn.cli.options import Encoding, Json, OnUnknown
from charrnn.cli.pair_report import confusion_tables, figures
from charrnn.cli.run import Signals, find_checkpoint, is_checkpoint_argument, to_json
from charrnn.cli.terminal import one_line
from charrnn.decoding import TextOptions
from charrnn.dynamic_evaluation import dynamic_evaluate
from charrnn.errors import CharRNNError, UsageError
from charrnn.evaluation import Score, evaluate
from charrnn.layouts import Pairing
from charrnn.model import Model
from charrnn.pairs import arranged, read_pairs
from charrnn.snapshot import Checkpoint, CorpusRecord
from charrnn.text import read_corpus, split


def evaluate_text(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="[CHECKPOINT] FILE",
            help="An .npz or a run's folder, if the first ends so; then the text: files, folders "
            "or - for standard input; for a model of pairs, files of pairs.",
            show_default=False,
        ),
    ],
    dynamic: Annotated[
        bool,
        typer.Option(
            "--dynamic",
            help="Also let the model learn from what it has been scored on (dynamic evaluation); "
            "told apart from the loss of the model as it is.",
        ),
    ] = False,
    json: Json = False,
    on_unknown: OnUnknown = "error",
    encoding: Encoding = "utf-8",
    baselines_too: Annotated[
        bool, typer.Option("--baselines/--no-baselines", help="Score count tables and compressors.")
    ] = True,
) -> None:
    """Score a text: one stream from the zero state, N - 1 predictions, per character.

    A model of pairs is scored on pairs: exact matches, accuracy, and F1 where answers are labels.
    Baselines are fitted on the model's own training text, if that is still where it was.
    """
    if on_unknown not in ("error", "skip"):
        raise UsageError(f"--on-unknown is {on_unknown!r}; it must be error or skip")
    checkpoint, files = (
        (arguments[0], arguments[1:]) if is_checkpoint_argument(arguments[0]) else (None, arguments)
    )
    if not files:
        raise UsageError("no text to score; try charrnn eval CHECKPOINT FILE")
    path = find_checkpoint(checkpoint)
    loaded = load_checkpoint(path)
    if checkpoint is None:
        print(f"charrnn: evaluating {one_line(str(path))}", file=sys.stderr)
    if isinstance(loaded.symbols, Pairing):
        if dynamic:
            raise UsageError("--dynamic is for models of texts; try without it")
        score_pairs(loaded, loaded.symbols, files, encoding, json=json)
        return
    model = Model(loaded)
    record = loaded.corpus
    options = TextOptions(encoding, model.vocabulary.as_bytes, record.normalise)
    corpus = read_corpus(files, options)
    for note in corpus.notes:
        warn(note)
    ids = model.vocabulary.encode(corpus.text, "skip" if on_unknown == "skip" else "error")
    skipped = len(corpus.text) - len(ids)
    with Signals() as stop:
        nats = evaluate(model.config, model.parameters, ids, stop=stop)
        moving = None
        if dynamic and not stop():
            moving = dynamic_evaluate(model.config, model.parameters, ids, stop=stop)
        table = compare(model, record, path, ids, stop) if baselines_too and not stop() else None
        if nats is None or stop():
            raise typer.Exit(stop.exit_code)
    score = Score(nats, len(ids))
    if json:
        print(to_json(as_json(score, skipped, table, moving)))
        return
    rows: dict[str, float | None] = {"this model": nats, "this model, dynamic": moving}
    answer(loss_table(rows | (baseline_rows(table) if table else {}), "this model"))
    left = f", {skipped:,} unknown ones left out" if skipped else ""
    print(f"{score.characters:,} characters{left}")


def score_pairs(
    checkpoint: Checkpoint, pairing: Pairing, files: Sequence[str], encoding: str, *, json: bool
) -> None:
    """Score files of pairs: exact matches, accuracy, and for labels a confusion matrix and F1."""
    corpus = read_pairs(files, TextOptions(encoding, normalise=checkpoint.corpus.normalise))
    for note in corpus.notes:
        warn(note)
    examples = arranged(pairing, corpus.pairs)
    with Signals() as stop:
        found = figures(checkpoint.config, checkpoint.parameters, pairing, examples, stop)
    if found is None:
        raise typer.Exit(stop.exit_code)
    if json:
        print(to_json(found.as_dict()))
        return
    answer(found.table())
    for table in confusion_tables(found):
        answer("")
        answer(table)


MOST_FITTED = 10_000_000
"""Characters, the last ones before the split, that baselines are fitted on."""


def compare(
    model: Model, record: CorpusRecord, path: Path, ids: Any, stop: Signals
) -> Baselines | None:
    """Return the baselines fitted on the model's training part, or None if it cannot be had."""
    try:
        corpus = find_again(record, path.parent)
    except CharRNNError as error:
        warn(f"no baselines: {error.problem}")
        return None
    end = split(record.characters, record.val_fraction)
    train = model.vocabulary.encode(corpus.part(max(0, end - MOST_FITTED), end), "skip")
    return baselines(train, ids, len(model.vocabulary), spelling(model.vocabulary), stop=stop)


def as_json(
    score: Score, skipped: int, table: Baselines | None, dynamic: float | None
) -> dict[str, Any]:
    """Return the figures of one text as JSON values, units in the names."""
    found: dict[str, Any] = {
        "nats_per_char": score.nats_per_char,
        "bits_per_char": score.bits_per_char,
        "perplexity": score.perplexity,
        "characters": score.characters,
        "skipped_characters": skipped,
        "baselines": None if table is None else table.as_dict(),
    }
    if dynamic is not None:
        found["dynamic_nats_per_char"] = dynamic
        found["dynamic_bits_per_char"] = dynamic / math.log(2)
    return found
