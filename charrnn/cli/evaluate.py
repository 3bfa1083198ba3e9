"""`charrnn eval`: loss of a model on any text, next to baselines."""

import math
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any

import typer

from charrnn.checkpointing.lookup import find_checkpoint, is_checkpoint_argument
from charrnn.checkpointing.mixture_file import load_any
from charrnn.checkpointing.records import Checkpoint, CorpusRecord
from charrnn.cli.ensemble_arguments import EnsembleOption, load_ensemble
from charrnn.cli.evaluate_mixture import mixture_rows, parts_as_json, stored_text_baselines
from charrnn.cli.evaluate_pairs import score_pairs
from charrnn.cli.options import Encoding, Json, OnUnknown, Unknown, on_the_command_line
from charrnn.cli.output.console import answer, baseline_rows, loss_table, say, warn
from charrnn.cli.output.output_files import check_endings, save
from charrnn.cli.output.safe_text import label, stdin_is_terminal, write_plain
from charrnn.cli.runs.load_text import find_text_again, spelling
from charrnn.cli.runs.metrics_log import to_json
from charrnn.cli.sample_notes import training_text
from charrnn.cli.surprisal_output import csv_parts, html_parts, show_surprisal
from charrnn.data.decoding import TextOptions
from charrnn.data.file_discovery import STDIN
from charrnn.data.text_files import Corpus, read_corpus, validation_start
from charrnn.errors import CharRNNError, UsageError
from charrnn.evaluation.baselines import MAX_TRAIN_CHARS, Baselines, baselines
from charrnn.evaluation.dynamic import dynamic_evaluate
from charrnn.evaluation.text import Score
from charrnn.inference.mixture import Mixture
from charrnn.inference.model import Model
from charrnn.types import Ids

SURPRISAL_OPTIONS = ("surprise", "html", "csv", "window")
"""Parameters of the command that a single model of texts takes."""


def evaluate_text(
    context: typer.Context,
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="[CHECKPOINT] FILE",
            help="First an .npz file or the folder of a run (default: the newest run; several with "
            "--ensemble), then the text: files, folders, or - for standard input. For a model of "
            "pairs: files of pairs.",
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
    ensemble: EnsembleOption = False,
    json: Json = False,
    on_unknown: OnUnknown = Unknown.ERROR,
    encoding: Encoding = "utf-8",
    baselines_too: Annotated[
        bool,
        typer.Option(
            "--baselines/--no-baselines",
            help="Also score count tables and compressors; for pairs naive Bayes, or copying and "
            "the nearest input.",
        ),
    ] = True,
    surprise: Annotated[
        bool,
        typer.Option(
            "--surprise",
            help="Show the text, each character coloured (or marked) by its surprisal, with the "
            "five likeliest under one that surprised.",
        ),
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write what --surprise shows as a web page."),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv", metavar="FILE", help="Write the surprisals as CSV, one row a character."
        ),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(
            "--window",
            min=1,
            metavar="N",
            help="Also report the loss if the state is set to zero after every N characters.",
        ),
    ] = None,
) -> None:
    """Score a text of N characters: N - 1 predictions in sequence, from the zero state.

    A model of pairs is scored on pairs: exact matches, accuracy, and F1 where answers are labels.
    Baselines are fitted on the training text or pairs of the model, if they can still be read.

    Of a mixture (charrnn combine) each part is scored alone too.

    With --ensemble A B FILE the probabilities of several models are averaged; each is scored alone
    too.
    """
    checkpoints = leading_checkpoints(arguments, most=len(arguments) if ensemble else 1)
    files = arguments[len(checkpoints) :]
    if not files:
        raise UsageError("no text to score; try charrnn eval CHECKPOINT FILE")
    if ensemble:
        given = dict(on_the_command_line(context))
        for name in ("dynamic", *SURPRISAL_OPTIONS):
            if name in given:
                raise UsageError(f"{given[name]} is for a single model", "it without --ensemble")
        score_ensemble(
            checkpoints,
            files,
            encoding,
            on_unknown,
            json=json,
            baselines_too=baselines_too,
            encoding_given="encoding" in given,
        )
        return
    check_endings((("--html", html), ("--csv", csv)), "surprisal")
    if json and surprise:
        raise UsageError("--surprise and --json both write to stdout", "--csv FILE with --json")
    checkpoint = checkpoints[0] if checkpoints else None
    path = find_checkpoint(checkpoint)
    loaded = load_any(path)
    if checkpoint is None:
        say(f"charrnn: evaluating {label(str(path))}")
    if STDIN in files and stdin_is_terminal():
        say("charrnn: reading the text from the terminal; end it with Ctrl-D")
    given = dict(on_the_command_line(context))
    if isinstance(loaded, Checkpoint) and loaded.symbols.of_pairs:
        for name in ("dynamic", "on_unknown", *SURPRISAL_OPTIONS):
            if name in given:
                raise UsageError(f"{given[name]} is for models of texts; try without it")
        score_pairs(loaded, path, files, encoding, json=json, baselines_too=baselines_too)
        return
    model, parts = Model(loaded) if isinstance(loaded, Checkpoint) else Mixture(loaded), None
    record = model.corpus
    corpus, ids = read_ids(model, files, encoding, on_unknown, encoding_given="encoding" in given)
    skipped = len(corpus.text) - len(ids)
    if isinstance(model, Mixture):
        if dynamic:
            problem = f"--dynamic trains one network, and {label(str(path))} is a {model.title}"
            raise UsageError(problem, "it without")
        parts = model.score_parts(ids)
        score = parts.whole
    else:
        score = model.score(ids)
    moving = dynamic_evaluate(model.config, model.parameters, ids) if dynamic else None
    windows = model.mean_surprisal(ids, window) if window else None
    table = compare(model, record, path, ids) if baselines_too else None
    unit = "byte" if model.vocabulary.as_bytes else "character"
    if csv is not None:
        save("--csv", csv, lambda: csv_parts(model, ids))
    if html is not None:
        left = f", {skipped:,} unknown ones left out" if skipped else ""
        facts = f"{score.characters:,} {unit}s{left}. {total_line(score, unit)}."
        save("--html", html, lambda: html_parts(model, ids, facts))
    if json:
        found = scores_as_json(score, skipped, table, moving)
        if isinstance(model, Mixture) and parts is not None:
            found |= parts_as_json(model, parts, path)
        if windows is not None:
            found |= {
                "window": window,
                "window_nats_per_char": windows,
                "window_bits_per_char": windows / math.log(2),
            }
        write_plain(f"{to_json(found)}\n")
    else:
        if surprise:
            show_surprisal(model, ids)
        title = "this model"
        rows: dict[str, float | None] = {title: score.nats_per_char}
        if isinstance(model, Mixture) and parts is not None:
            title = model.title
            rows = mixture_rows(model, parts)
        rows |= {f"{title}, dynamic": moving, f"{title}, windows of {window}": windows}
        show_losses(rows, title, score, skipped, table, unit)
        write_plain(f"{total_line(score, unit)}\n")
    note_training_text(corpus, record, path.parent)


def leading_checkpoints(arguments: Sequence[str], most: int) -> list[str]:
    """Return the first arguments that mean checkpoints, at most `most` of them."""
    return list(takewhile(is_checkpoint_argument, arguments[:most]))


def read_ids(
    model: Model,
    files: Sequence[str],
    encoding: str,
    on_unknown: Unknown,
    *,
    encoding_given: bool,
) -> tuple[Corpus, Ids]:
    """Return the text of some files and the ids of its characters; notes go to stderr."""
    if encoding_given and model.vocabulary.as_bytes:
        raise UsageError(
            "--encoding is not for a model of bytes, which reads them as they are", "without it"
        )
    normalise = model.normalise
    corpus = read_corpus(files, TextOptions(encoding, model.vocabulary.as_bytes, normalise))
    for note in corpus.notes:
        warn(note)
    return corpus, model.vocabulary.encode(corpus.text, on_unknown.value)


def score_ensemble(
    checkpoints: Sequence[str],
    files: Sequence[str],
    encoding: str,
    on_unknown: Unknown,
    *,
    json: bool,
    baselines_too: bool,
    encoding_given: bool,
) -> None:
    """Score the averaged probabilities of several models, and each model alone."""
    ensemble, paths = load_ensemble(checkpoints)
    if STDIN in files and stdin_is_terminal():
        say("charrnn: reading the text from the terminal; end it with Ctrl-D")
    first = ensemble.members[0]
    records = {
        model.checkpoint.corpus.sha256: (model, path)
        for model, path in zip(ensemble.members, paths, strict=True)
    }
    corpus, ids = read_ids(first, files, encoding, on_unknown, encoding_given=encoding_given)
    skipped = len(corpus.text) - len(ids)
    scores = ensemble.score(ids)
    table = compare(first, first.checkpoint.corpus, paths[0], ids) if baselines_too else None
    if table is not None and len(records) > 1:
        warn(f"the baselines are fitted on the text of {label(str(paths[0]))} only")
    if json:
        found = scores_as_json(scores.whole, skipped, table, None)
        members = zip(paths, scores.members, strict=True)
        found["combination"] = "arithmetic mean of probabilities"
        found["members"] = [member_as_json(path, score) for path, score in members]
        write_plain(f"{to_json(found)}\n")
    else:
        title = f"ensemble of {len(paths)} (mean of probabilities)"
        rows: dict[str, float | None] = {title: scores.whole.nats_per_char}
        for path, score in zip(paths, scores.members, strict=True):
            rows[f"{label(str(path))} alone"] = score.nats_per_char
        unit = "byte" if ensemble.vocabulary.as_bytes else "character"
        show_losses(rows, title, scores.whole, skipped, table, unit)
    for model, path in records.values():
        note_training_text(corpus, model.checkpoint.corpus, path.parent)


def member_as_json(path: Path, score: Score) -> dict[str, Any]:
    """Return the loss of one model alone as JSON values."""
    return {
        "checkpoint": str(path),
        "nats_per_char": score.nats_per_char,
        "bits_per_char": score.bits_per_char,
        "perplexity": score.perplexity,
    }


def total_line(score: Score, unit: str) -> str:
    """Return the bits of the whole text; its first character is not predicted."""
    predictions = score.characters - 1
    plural = "" if predictions == 1 else "s"
    return f"{total_bits(score):,.4f} bits in total for {predictions:,} predicted {unit}{plural}"


def total_bits(score: Score) -> float:
    """Return the sum of the surprisals of N - 1 predictions."""
    return score.bits_per_char * (score.characters - 1)


def show_losses(
    rows: dict[str, float | None],
    highlighted: str,
    score: Score,
    skipped: int,
    table: Baselines | None,
    unit: str,
) -> None:
    """Print losses by name beside the baselines, and the number of characters or bytes."""
    answer(loss_table(rows | (baseline_rows(table) if table else {}), highlighted, unit))
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


def compare(model: Model, record: CorpusRecord, path: Path, ids: Any) -> Baselines | None:
    """Return the baselines fitted on the model's training part, or None if that cannot be read."""
    if isinstance(model, Mixture) and model.record.ngrams is not None:
        return stored_text_baselines(model, ids)
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
        "total_bits": total_bits(score),
        "characters": score.characters,
        "skipped_characters": skipped,
        "baselines": None if table is None else table.as_dict(),
    }
    if dynamic is not None:
        found["dynamic_nats_per_char"] = dynamic
        found["dynamic_bits_per_char"] = dynamic / math.log(2)
    return found
