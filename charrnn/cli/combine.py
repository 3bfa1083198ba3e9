"""`charrnn combine`: one checkpoint of several networks, with or without n-grams."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from charrnn.checkpointing.checkpoint import save_checkpoint
from charrnn.checkpointing.lookup import find_checkpoint
from charrnn.checkpointing.mixture_file import MAX_MEMBERS, load_any, save_mixture
from charrnn.checkpointing.records import Checkpoint, CorpusRecord, MixtureRecord, networks_title
from charrnn.cli.compressed_files import Force, check_output
from charrnn.cli.ensemble_arguments import load_member
from charrnn.cli.options import Json, Quiet
from charrnn.cli.output.console import answer, loss_table, say, warn
from charrnn.cli.output.safe_text import label, shell_command, write_plain
from charrnn.cli.runs.load_text import find_text_again
from charrnn.cli.runs.metrics_log import to_json
from charrnn.data.text_files import validation_start
from charrnn.data.vocabulary import Vocabulary
from charrnn.errors import TextError, UsageError
from charrnn.inference.ensemble import check_same_vocabulary
from charrnn.inference.mixture_fit import MAX_FITTED_CHARACTERS, Fit, mixture_with_ngrams
from charrnn.limits import MAX_NGRAM_CHARACTERS, NGRAM_ORDER
from charrnn.types import Ids


def combine(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Runs or checkpoints of one vocabulary; with --member one mixture.",
            show_default=False,
        ),
    ],
    ngrams: Annotated[
        int | None,
        typer.Option(
            help="Count the n-grams of the training part up to N characters, and mix them in. "
            "Default: none.",
        ),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(help="The text of the runs, if it is not where it was; may be repeated."),
    ] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", help="Checkpoint to write.")
    ] = "combined.npz",
    member: Annotated[
        int | None,
        typer.Option(
            help="Write network K of a mixture as a checkpoint of its own. Default: none."
        ),
    ] = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Put networks and n-grams into one checkpoint: charrnn combine RUN --ngrams 8.

    The probabilities of the networks are averaged. Those of the n-grams are mixed
    in log-linearly, with exponents fitted on the validation part of the text.

    With --ngrams the checkpoint contains the training text.
    """
    if not output.endswith(".npz"):
        raise UsageError(f"a checkpoint ends in .npz, unlike {label(output)}", "--output FILE.npz")
    check_output(output, force=force)
    if member is not None:
        if ngrams is not None or text:
            raise UsageError("--member takes a network out, and nothing is counted", "it alone")
        write_member(runs, member, output, json=json, quiet=quiet)
        return
    if text and ngrams is None:
        raise UsageError("--text is for --ngrams, which is not given", "--ngrams 8")
    if ngrams is not None:
        NGRAM_ORDER.check("--ngrams", ngrams)
    paths = [find_checkpoint(run) for run in runs]
    members = members_of(paths)
    if ngrams is None:
        if len(members) < 2:
            raise UsageError("one network alone is no mixture", "another run", "--ngrams 8")
        mixture, fit = MixtureRecord(tuple(members)), None
    else:
        mixture, fit = with_ngrams(members, paths, ngrams, text or ())
    save_mixture(Path(output), mixture)
    if json:
        write_plain(f"{to_json(as_json(mixture, fit, output))}\n")
    elif not quiet:
        tell(mixture, fit, output)


def write_member(
    files: Sequence[str], number: int, output: str, *, json: bool, quiet: bool
) -> None:
    """Write one network of a mixture as a checkpoint of its own."""
    if len(files) != 1:
        raise UsageError("--member is for one mixture", "the path of one")
    path = find_checkpoint(files[0])
    mixture = load_any(path)
    if isinstance(mixture, Checkpoint):
        raise UsageError(f"{label(str(path))} is no mixture, but a single network", "a mixture")
    K = len(mixture.members)
    if not 1 <= number <= K:
        raise UsageError(f"--member {number} is not within 1 and {K}", "--member 1")
    save_checkpoint(Path(output), mixture.members[number - 1])
    if json:
        write_plain(f"{to_json({'output': output, 'member': number, 'members': K})}\n")
    elif not quiet:
        say(f"charrnn: network {number} of {K} is now in {label(output)}")


def members_of(paths: Sequence[Path]) -> list[Checkpoint]:
    """Return the networks of some checkpoints, without training state.

    Raises `UsageError` for one that is named twice, for a model of pairs or a mixture, and for
    networks of different vocabularies.
    """
    if len(paths) > MAX_MEMBERS:
        raise UsageError(f"{len(paths)} networks are more than {MAX_MEMBERS}", "fewer")
    places = [path.resolve() for path in paths]
    for number, place in enumerate(places):
        if place in places[:number]:
            raise UsageError(f"{label(str(paths[number]))} is named twice", "another one")
    models = [load_member(path) for path in paths]
    for path, model in zip(paths[1:], models[1:], strict=True):
        names = label(str(paths[0])), label(str(path))
        check_same_vocabulary(models[0], model, *names)
    return [without_training(model.checkpoint) for model in models]


def without_training(checkpoint: Checkpoint) -> Checkpoint:
    """Return a checkpoint without its training state."""
    return Checkpoint(
        checkpoint.config,
        checkpoint.symbols,
        checkpoint.parameters,
        checkpoint.corpus,
        checkpoint.step,
        checkpoint.validation,
    )


def with_ngrams(
    members: Sequence[Checkpoint], paths: Sequence[Path], order: int, text: Sequence[str]
) -> tuple[MixtureRecord, Fit | None]:
    """Return the mixture with the n-grams of the training part, and its losses.

    Raises `UsageError` for networks of different texts or training parts, and `TextError` if the
    text cannot be read.
    """
    record = members[0].corpus
    for member, path in zip(members, paths, strict=True):
        if (member.corpus.sha256, member.corpus.val_fraction) != (
            record.sha256,
            record.val_fraction,
        ):
            raise UsageError(
                f"{label(str(path))} was trained on another text, or another part of it, than "
                f"{label(str(paths[0]))}",
                "runs of one text for --ngrams",
                "a mixture without --ngrams",
            )
    if not record.characters:
        raise TextError(f"it is not known which text {label(str(paths[0]))} was trained on")
    counted, validation = parts_of(record, members[0].vocabulary, paths[0].parent, text)
    return mixture_with_ngrams(members, counted, order, validation)


def parts_of(
    record: CorpusRecord, vocabulary: Vocabulary, folder: Path, text: Sequence[str]
) -> tuple[Ids, Ids]:
    """Return the end of the training part and the beginning of the validation part, as ids."""
    try:
        corpus = find_text_again(record, folder, text)
    except TextError as error:
        raise TextError(error.problem, "--text FILE with the text of the run") from error
    end = validation_start(record.characters, record.val_fraction)
    begin = max(0, end - MAX_NGRAM_CHARACTERS)
    if begin:
        warn(f"n-grams are counted in the last {MAX_NGRAM_CHARACTERS:,} characters only")
    stop = min(record.characters, end + MAX_FITTED_CHARACTERS + 1)
    return (
        vocabulary.encode(corpus.part(begin, end), "skip"),
        vocabulary.encode(corpus.part(end, stop), "skip"),
    )


def as_json(mixture: MixtureRecord, fit: Fit | None, output: str) -> dict[str, object]:
    """Return what was made as JSON values."""
    ngrams = mixture.ngrams
    return {
        "output": output,
        "model": mixture.title,
        "members": len(mixture.members),
        "ngrams": None if ngrams is None else {"characters": len(ngrams.ids), **ngrams.settings()},
        "validation": None
        if fit is None
        else {
            f"{name}_nats_per_char" if name != "characters" else name: value
            for name, value in asdict(fit).items()
        },
    }


def tell(mixture: MixtureRecord, fit: Fit | None, output: str) -> None:
    """Say what was made, show its losses, and say what the file contains."""
    if fit is not None and mixture.ngrams is not None:
        rows: dict[str, float | None] = {
            mixture.title: fit.whole,
            f"{networks_title(len(mixture.members))} alone": fit.networks,
            f"{mixture.ngrams.order}-grams alone": fit.ngrams,
        }
        unit = "byte" if mixture.vocabulary.as_bytes else "character"
        answer(loss_table(rows, mixture.title, unit))
        write_plain(
            f"{fit.characters:,} validation {unit}s, each half with exponents fitted on the other\n"
        )
    elif mixture.ngrams is not None:
        warn("the run held no text out, so the exponents of the mixture are the default ones")
    say(f"charrnn: {mixture.title} is now in {label(output)}")
    if mixture.ngrams is not None:
        warn(f"{label(output)} contains {len(mixture.ngrams.ids):,} characters of training text")
    say(f"charrnn: try {shell_command('charrnn', 'sample', output)}")
