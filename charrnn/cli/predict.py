"""`charrnn predict`: a trained model's answers, one a line."""

import codecs
import io
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import islice, repeat
from typing import Annotated, Any, NamedTuple

import typer

from charrnn.checkpointing.checkpoint import load_checkpoint
from charrnn.checkpointing.lookup import find_checkpoint, is_checkpoint_argument
from charrnn.cli.options import on_the_command_line
from charrnn.cli.output.console import say, warn
from charrnn.cli.output.safe_text import label, stdin_is_terminal, write_text
from charrnn.cli.runs.metrics_log import to_json
from charrnn.data.decoding import MARK, TextOptions
from charrnn.data.layouts import LAYOUTS, Layout
from charrnn.errors import TextError, UsageError
from charrnn.inference.predictor import Predictor, check_beam, check_count
from charrnn.inference.sampling import Sampling
from charrnn.limits import option_name
from charrnn.randomness import new_seed
from charrnn.types import JSON


class OnError(StrEnum):
    """What is done with a line of standard input that cannot be answered."""

    STOP = "stop"
    SKIP = "skip"


ESCAPED = re.compile("[\udc80-\udcff]")
"""What stands for a byte that could not be decoded, where errors are skipped."""

CHUNK = 2**16
"""Bytes read from standard input at a time."""

AT_ONCE = 256
"""Lines of standard input that are answered in one batch; on a terminal one by one."""


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
        write_text(answering.lines(texts, encoding))
    finally:
        if answering.empty:
            many = len(answering.empty)
            lines = "1 empty line has" if many == 1 else f"{many:,} empty lines have"
            warn(f"{lines} no answer, first line {answering.empty[0]:,}")
        if answering.skipped:
            many = len(answering.skipped)
            lines = "1 line" if many == 1 else f"{many:,} lines, the first of them"
            warn(f"skipped {lines}: {answering.skipped[0]}")


def unfit(flag: str, layout: str, others: Sequence[Layout]) -> UsageError:
    """Return the error for an option that only other layouts use."""
    names = " and ".join(one.name for one in others)
    return UsageError(f"{flag} is for {names}, this model is {layout}; try without it")


class Line(NamedTuple):
    """An input: how many empty lines come before it, its text, and its number from 1."""

    empty: int
    text: str
    number: int


class AnswerWriter:
    """Writer of answers: computes them in batches and formats each as a line."""

    def __init__(
        self,
        predictor: Predictor,
        *,
        proba: bool,
        beam: int,
        sampling: Sampling,
        count: int,
        json: bool,
        skip_errors: bool = False,
    ) -> None:
        self.predictor, self.pairing = predictor, predictor.pairing
        self.proba, self.beam, self.json = proba, beam, json
        self.sampling, self.count = sampling, count
        self.empty: list[int] = []
        """Numbers of the empty lines of standard input, those at its end left out."""
        self.skip_errors = skip_errors
        self.skipped: list[str] = []
        """What is wrong with the lines that were skipped, of which only the first are kept."""

    def lines(self, texts: Sequence[str], encoding: str) -> Iterator[str]:
        """Yield the answers to some inputs, or to standard input."""
        if texts:
            yield from self._answer([Line(0, text, at) for at, text in enumerate(texts, 1)], "")
            return
        live = stdin_is_terminal()
        numbered = filled_lines(read_lines(encoding, skip_errors=self.skip_errors), self.empty)
        size = 1 if live else AT_ONCE
        while True:
            part: list[Line] = []
            problem: TextError | None = None
            try:
                for one in islice(numbered, size):
                    part.append(one)
            except TextError as error:  # the lines before it are answered first
                problem = error
            yield from self._answer(part, "standard input line {:,}: ")
            if problem is not None:
                raise problem
            if not part:
                return

    def _answer(self, inputs: Sequence[Line], place: str) -> Iterator[str]:
        """Yield the answers to some inputs, in their order, and what stands for those without one.

        `place` names the place of an input, by its number. Raises `TextError`, with the place, for
        one that cannot be read, after the answers to those before it, unless errors are skipped.
        """
        fields: list[str] = []
        numbers: list[int] = []
        before: list[list[Iterable[str]]] = [[]]
        """What is written before each answer, and after the last."""
        problem: TextError | None = None
        each = self.count if self.pairing.layout_spec.is_sampled else 1
        for line in inputs:
            before[-1].append(repeat(self._without_answer("", None), line.empty * each))
            try:
                if self.skip_errors and ESCAPED.search(line.text):
                    raise TextError("a byte does not fit the encoding", "--encoding NAME")
                self.predictor.prompt(line.text)
            except TextError as error:
                text = f"{place.format(line.number)}{error.problem}"
                if not self.skip_errors:
                    problem = TextError(text, *error.advice)
                    break
                self.skipped += [text] if not self.skipped else [""]
                before[-1].append(repeat(self._without_answer(line.text, error.problem), each))
                continue
            fields.append(line.text)
            numbers.append(line.number - 1)
            before.append([])
        answers = self._answers(fields, numbers)
        for number, texts in enumerate(before):
            if number < len(fields) or problem is None:
                for lines in texts:
                    yield from lines
            yield from islice(answers, each if number < len(fields) else 0)
        if problem is not None:
            raise problem

    def _without_answer(self, text: str, error: str | None) -> str:
        """Return what stands for an input without an answer."""
        row: dict[str, JSON] = {"input": text, "output": None}
        if error is not None:
            row["error"] = error
        return f"{to_json(row)}\n" if self.json else "\n"

    def _answers(self, fields: Sequence[str], numbers: Sequence[int]) -> Iterator[str]:
        if not fields:
            return
        if self.pairing.layout_spec.is_sampled:
            yield from self._drawn(fields, numbers)
        elif self.proba and not self.pairing.layout_spec.answer_is_text:
            yield from self._labels(fields)
        else:
            yield from self._likeliest(fields)

    def _drawn(self, fields: Sequence[str], numbers: Sequence[int]) -> Iterator[str]:
        for number, field in zip(numbers, fields, strict=True):
            for text in self.predictor.sample(field, self.sampling, self.count, number):
                row = {"input": field, "output": text, "seed": self.sampling.seed}
                yield f"{to_json(row) if self.json else text}\n"

    def _labels(self, fields: Sequence[str]) -> Iterator[str]:
        for field, p in zip(fields, self.predictor.label_probabilities(fields), strict=True):
            ranked = sorted(zip(self.pairing.answers, p.tolist(), strict=True), key=lambda x: -x[1])
            if self.json:
                row = {"input": field, "output": ranked[0][0], "probabilities": dict(ranked)}
                yield f"{to_json(row)}\n"
            else:
                yield "\t".join(f"{label}\t{share:.4f}" for label, share in ranked) + "\n"

    def _likeliest(self, fields: Sequence[str]) -> Iterator[str]:
        for field, one in zip(fields, self.predictor.answer(fields, self.beam), strict=True):
            if self.json:
                row = {"input": field, "output": one.text, "probability": one.probability}
                yield f"{to_json(row)}\n"
            else:
                yield f"{one.text}\t{one.probability:.4f}\n" if self.proba else f"{one.text}\n"


def filled_lines(lines: Iterable[str], empty: list[int]) -> Iterator[Line]:
    """Yield the lines that are not empty.

    The numbers of the empty ones are appended to `empty`, once a line follows that is not.
    """
    pending: list[int] = []
    for number, line in enumerate(lines, 1):
        if line:
            empty += pending
            yield Line(len(pending), line, number)
            pending = []
        else:
            pending.append(number)


def read_lines(encoding: str, *, skip_errors: bool = False) -> Iterator[str]:
    """Yield the lines of standard input without their ends, strictly decoded.

    A byte order mark at the beginning is dropped. `TextError` for a line that cannot be decoded,
    after those before it; with `skip_errors` it has halves of surrogate pairs, which no model
    knows, in place of the bytes, and the lines after it follow.
    """
    TextOptions(encoding)
    if sys.stdin is None:
        raise UsageError("standard input is closed; try a text: charrnn predict TEXT")
    if stdin_is_terminal():
        say("charrnn: one input per line; end with Ctrl-D")
    errors = "surrogateescape" if skip_errors else "strict"
    decoder = io.IncrementalNewlineDecoder(
        codecs.getincrementaldecoder(encoding)(errors), translate=True
    )
    stream: Any = sys.stdin.buffer  # one that can return what there is, and not wait for more
    number, line, problem = 0, "", False
    while not problem:
        content = stream.read1(CHUNK)
        try:
            text = decoder.decode(content, final=not content)
        except UnicodeError as error:
            known = error.object[: error.start] if isinstance(error, UnicodeDecodeError) else b""
            text, problem = str(known, encoding, "ignore"), True
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        if number == 0 and not line:
            text = text.removeprefix(MARK)
        *lines, line = (line + text).split("\n")
        number += len(lines)
        yield from lines
        if not content and not problem:
            if line:
                yield line
            return
    raise TextError(
        f"standard input line {number + 1:,} is not {encoding.upper()}",
        "--encoding NAME with the encoding of the lines",
    )
