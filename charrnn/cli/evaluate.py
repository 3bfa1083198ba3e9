"""`charrnn eval`: loss of a model on any text, next to baselines."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.checkpointing.lookup import find_checkpoint, is_checkpoint_argument
from charrnn.checkpointing.records import Checkpoint, CorpusRecord
from charrnn.cli.options import Encoding, Json, OnUnknown, Unknown, on_the_command_line
from charrnn.cli.output.console import answer, baseline_rows, loss_table, say, warn
from charrnn.cli.output.safe_text import label, stdin_is_terminal, write_plain
from charrnn.cli.runs.load_text import find_text_again, spelling
from charrnn.cli.runs.metrics_log import to_json
from charrnn.cli.sample_notes import training_text
from charrnn.cli.train.pair_report import confusion_tables, pair_metrics
from charrnn.data.decoding import TextOptions
from charrnn.data.file_discovery import STDIN
from charrnn.data.layouts import PairVocabulary
from charrnn.data.pair_files import build_known_examples, read_pairs
from charrnn.data.text_files import Corpus, read_corpus, validation_start
from charrnn.errors import CharRNNError, UsageError
from charrnn.evaluation.baselines import MAX_TRAIN_CHARS, Baselines, baselines
from charrnn.evaluation.dynamic import dynamic_evaluate
from charrnn.evaluation.text import Score
from charrnn.inference.model import Model


def evaluate_text(
    context: typer.Context,
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="[CHECKPOINT] FILE",
            help="First an .npz file or the folder of a run (default: the newest run), then the "
            "text: files, folders, or - for standard input. For a model of pairs: files of pairs.",
            show_default=False,
        ),
    ],
    dynamic: Annotated[
        bool,
        typer.Option(
            "--dynamic",
            help="Also report dynamic evaluation, in which the model trains on what it "
            "has been scored on; reported separately from the static loss.",
        ),
    ] = False,
    json: Json = False,
    on_unknown: OnUnknown = Unknown.ERROR,
    encoding: Encoding = "utf-8",
    baselines_too: Annotated[
        bool,
        typer.Option("--baselines/--no-baselines", help="Also score count tables and compressors."),
    ] = True,
) -> None:
    """Score a text of N characters: N - 1 predictions in sequence, from the zero state.

    A model of pairs is scored on pairs: exact matches, accuracy, and F1 where answers are labels.
    Baselines are fitted on the training text of the model, if it can still be read.
    """
    checkpoint, files = (
        (arguments[0], arguments[1:]) if is_checkpoint_argument(arguments[0]) else (None, arguments)
    )
    if not files:
        raise UsageError("no text to score; try charrnn eval CHECKPOINT FILE")
    path = find_checkpoint(checkpoint)
    loaded = load_checkpoint(path)
    if checkpoint is None:
        say(f"charrnn: evaluating {label(str(path))}")
    if STDIN in files and stdin_is_terminal():
        say("charrnn: reading the text from the terminal; end it with Ctrl-D")
    given = dict(on_the_command_line(context))
    if loaded.symbols.of_pairs:
        for name in ("dynamic", "on_unknown", "baselines_too"):
            if name in given:
                raise UsageError(f"{given[name]} is for models of texts; try without it")
        score_pairs(loaded, loaded.pairing, files, encoding, json=json)
        return
    model = Model(loaded)
    record = loaded.corpus
    if "encoding" in given and model.vocabulary.as_bytes:
        raise UsageError(
            "--encoding is not for a model of bytes, which reads them as they are", "without it"
        )
    options = TextOptions(encoding, model.vocabulary.as_bytes, record.normalise)
    corpus = read_corpus(files, options)
    for note in corpus.notes:
        warn(note)
    ids = model.vocabulary.encode(corpus.text, on_unknown.value)
    skipped = len(corpus.text) - len(ids)
    score = model.score(ids)
    moving = dynamic_evaluate(model.config, model.parameters, ids) if dynamic else None
    table = compare(model, record, path, ids) if baselines_too else None
    if json:
        write_plain(f"{to_json(scores_as_json(score, skipped, table, moving))}\n")
    else:
        show_scores(
            score, skipped, table, moving, "byte" if model.vocabulary.as_bytes else "character"
        )
    note_training_text(corpus, record, path.parent)


def show_scores(
    score: Score, skipped: int, table: Baselines | None, dynamic: float | None, unit: str
) -> None:
    """Print the losses of one text next to its baselines, per character or byte."""
    rows: dict[str, float | None] = {
        "this model": score.nats_per_char,
        "this model, dynamic": dynamic,
    }
    answer(loss_table(rows | (baseline_rows(table) if table else {}), "this model", unit))
    left = f", {skipped:,} unknown ones left out" if skipped else ""
    write_plain(f"{score.characters:,} {unit}s{left}\n")


def note_training_text(corpus: Corpus, record: CorpusRecord, folder: Path) -> None:
    """Warn if a text is the one that the model was trained on, or lies in its training part."""
    if corpus.fingerprint["sha256"] == record.sha256:
        which = "the very text that the model was trained on"
        if record.val_fraction:
            which += f" (its last {record.val_fraction:.0%} for validation)"
    else:
        text = training_text(record, folder)
        if (
            text is None
            or corpus.text not in text[: validation_start(len(text), record.val_fraction)]
        ):
            return
        which = "part of the text that the model was trained on"
    warn(f"this is {which}; its loss on new text may be higher")


def score_pairs(
    checkpoint: Checkpoint,
    pairing: PairVocabulary,
    files: Sequence[str],
    encoding: str,
    *,
    json: bool,
) -> None:
    """Score files of pairs: exact matches, accuracy, and for labels a confusion matrix and F1."""
    options = TextOptions(encoding, normalise=checkpoint.corpus.normalise)
    corpus = read_pairs(files, options, repeated=True)
    examples, unknown = build_known_examples(pairing, corpus.pairs)
    for note in (*corpus.notes, *([unknown.note()] if unknown.pairs else [])):
        warn(note)
    found = pair_metrics(checkpoint.config, checkpoint.parameters, pairing, examples, None, unknown)
    if found is None:
        raise RuntimeError("nothing asked the scoring to stop")
    if json:
        write_plain(f"{to_json(found.as_dict())}\n")
        return
    answer(found.table())
    for table in confusion_tables(found):
        answer("")
        answer(table)


def compare(model: Model, record: CorpusRecord, path: Path, ids: Any) -> Baselines | None:
    """Return the baselines fitted on the model's training part, or None if that cannot be read."""
    try:
        corpus = find_text_again(record, path.parent)
    except CharRNNError as error:
        warn(f"no baselines: {error.problem}")
        return None
    end = validation_start(record.characters, record.val_fraction)
    train = model.vocabulary.encode(corpus.part(max(0, end - MAX_TRAIN_CHARS), end), "skip")
    return baselines(train, ids, len(model.vocabulary), spelling(model.vocabulary))


def scores_as_json(
    score: Score, skipped: int, table: Baselines | None, dynamic: float | None
) -> dict[str, Any]:
    """Return the metrics of one text as JSON values, units in the names."""
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
