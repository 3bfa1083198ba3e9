"""`charrnn predict`: a trained model's answers, one a line."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.checkpointing.lookup import find_checkpoint, is_checkpoint_argument
from charrnn.cli.alignments import show_alignments
from charrnn.cli.answer_writer import AnswerWriter
from charrnn.cli.options import on_the_command_line
from charrnn.cli.output.console import say, warn
from charrnn.cli.output.safe_text import label, write_text
from charrnn.data.layouts import LAYOUTS, Layout
from charrnn.errors import UsageError
from charrnn.inference.predictor import Predictor, check_beam, check_count
from charrnn.inference.sampling import Sampling
from charrnn.limits import option_name
from charrnn.randomness import new_seed


class OnError(StrEnum):
    """What is done with a line of standard input that cannot be answered."""

    STOP = "stop"
    SKIP = "skip"


def predict(
    context: typer.Context,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CHECKPOINT TEXT",
            help="First an .npz file or the folder of a run (default: the newest run); then the "
            "inputs. Without inputs, or with -: lines of standard input.",
            show_default=False,
        ),
    ] = None,
    proba: Annotated[
        bool,
        typer.Option(
            "--probabilities", help="Also print probabilities; for labels, that of every label."
        ),
    ] = False,
    beam: Annotated[
        int | None,
        typer.Option(metavar="N", help="many-to-many: beam search with N hypotheses. Default: 1."),
    ] = None,
    alignment: Annotated[
        bool,
        typer.Option(
            "--alignment",
            help="many-to-many with attention: show the attention weights of each symbol of an "
            "answer over the input characters.",
        ),
    ] = False,
    temp: Annotated[
        float | None,
        typer.Option(
            "--temperature",
            "--temp",
            help="one-to-many: softmax temperature; 0: always the likeliest character. Default: 1.",
        ),
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(help="one-to-many: draw from the K likeliest characters only.")
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(
            help="one-to-many: draw from the fewest characters with this probability together."
        ),
    ] = None,
    count: Annotated[
        int | None, typer.Option(help="one-to-many: number of answers to each input. Default: 1.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="one-to-many: seed of the random numbers. Default: a new one each time."),
    ] = None,
    json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print JSON on stdout: an object per line, one for each answer."
        ),
    ] = False,
    on_error: Annotated[
        OnError,
        typer.Option(
            "--on-error",
            help="At a line of standard input that cannot be answered: stop after the lines "
            "before it, or skip it (an empty line, with --json its error) and answer the rest.",
        ),
    ] = OnError.STOP,
    encoding: Annotated[
        str,
        typer.Option(
            "--encoding",
            help="Encoding of standard input; a byte that does not fit it is an error.",
        ),
    ] = "utf-8",
) -> None:
    """Answer inputs with a model that was trained with --layout, one answer per line.

    charrnn predict "March 3rd, 2021", or: charrnn predict checkpoints/dates < dates.txt

    An empty line is answered by an empty line, or null with --json; at the end it is ignored.
    """
    words = arguments or []
    checkpoint, texts = (
        (words[0], words[1:]) if words and is_checkpoint_argument(words[0]) else (None, words)
    )
    if "-" in texts:
        if len(texts) > 1:
            raise UsageError("- is standard input, and there are other inputs; try one of them")
        texts = []
    for name in ("encoding", "on_error"):
        if texts and name in dict(on_the_command_line(context)):
            flag = option_name(name)
            raise UsageError(f"{flag} is for standard input, and there are inputs; try without it")
    path = find_checkpoint(checkpoint)
    loaded = load_checkpoint(path)
    predictor = Predictor.of(loaded)
    layout = loaded.pairing.layout
    drawing = {"temperature": temp, "top-k": top_k, "top-p": top_p, "count": count, "seed": seed}
    given = [name for name, value in drawing.items() if value is not None]
    kind = loaded.pairing.layout_spec
    if given and not kind.is_sampled:
        raise unfit(f"--{given[0]}", layout, [one for one in LAYOUTS.values() if one.is_sampled])
    if beam is not None and not kind.is_searched:
        raise unfit("--beam", layout, [one for one in LAYOUTS.values() if one.is_searched])
    if proba and kind.is_sampled:
        raise UsageError(
            f"--probabilities is not for {layout}, whose answers are drawn; try without it"
        )
    if alignment:
        check_alignment(predictor, texts, proba=proba)
    beam, count = 1 if beam is None else beam, 1 if count is None else count
    check_beam(beam)
    check_count(count)
    sampling = Sampling(
        1.0 if temp is None else temp,
        top_k or 0,
        1.0 if top_p is None else top_p,
        new_seed() if seed is None else seed,
    )
    if checkpoint is None:
        say(f"charrnn: answering with {label(str(path))}")
    if alignment:
        show_alignments(predictor, texts, beam, json=json)
        return
    answering = AnswerWriter(
        predictor,
        proba=proba,
        beam=beam,
        sampling=sampling,
        count=count,
        json=json,
        skip_errors=on_error is OnError.SKIP,
    )
    try:
        write_text(answering.lines(texts, encoding), at_once=True)
    finally:
        if answering.empty:
            many = len(answering.empty)
            lines = "1 empty line has" if many == 1 else f"{many:,} empty lines have"
            warn(f"{lines} no answer, first line {answering.empty[0]:,}")
        if answering.unknown:
            many = len(answering.unknown)
            inputs = "1 input has" if many == 1 else f"{many:,} inputs have"
            warn(
                f"{inputs} characters that the model does not know, which it reads as one unknown "
                f"symbol; the first is {answering.unknown[0].removesuffix(': ')}"
            )
        if answering.skipped:
            many = len(answering.skipped)
            lines = "1 line" if many == 1 else f"{many:,} lines, the first of them"
            warn(f"skipped {lines}: {answering.skipped[0]}")


def check_alignment(predictor: Predictor, texts: Sequence[str], *, proba: bool) -> None:
    """Raise `UsageError` for `--alignment` without attention, or without inputs to show it for."""
    if not predictor.config.attention:
        raise UsageError(
            "--alignment shows attention, and this model has none",
            "a model that was trained with --layout many-to-many --attention 1",
        )
    if not texts:
        raise UsageError("--alignment needs inputs on the command line", 'predict RUN "an input"')
    if proba:
        raise UsageError("--alignment and --probabilities do not go together", "one of them")


def unfit(flag: str, layout: str, others: Sequence[Layout]) -> UsageError:
    """Return the error for an option that only other layouts use."""
    names = " and ".join(one.name for one in others)
    return UsageError(f"{flag} is for {names}, this model is {layout}; try without it")
