"""`charrnn predict`: a trained model's answers, one a line."""

import codecs
import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, islice, repeat
from typing import Annotated, Any

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
from charrnn.randomness import new_seed

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
    if texts and "encoding" in dict(on_the_command_line(context)):
        raise UsageError("--encoding is for standard input, and there are inputs; try without it")
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
        predictor, proba=proba, beam=beam, sampling=sampling, count=count, json=json
    )
    try:
        write_text(answering.lines(texts, encoding))
    finally:
        if answering.empty:
            many = len(answering.empty)
            lines = "1 empty line has" if many == 1 else f"{many:,} empty lines have"
            warn(f"{lines} no answer, first line {answering.empty[0]:,}")


def unfit(flag: str, layout: str, others: Sequence[Layout]) -> UsageError:
    """Return the error for an option that only other layouts use."""
    names = " and ".join(one.name for one in others)
    return UsageError(f"{flag} is for {names}, this model is {layout}; try without it")


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
    ) -> None:
        self.predictor, self.pairing = predictor, predictor.pairing
        self.proba, self.beam, self.json = proba, beam, json
        self.sampling, self.count = sampling, count
        self.empty: list[int] = []
        """Numbers of the empty lines of standard input, those at its end left out."""

    def lines(self, texts: Sequence[str], encoding: str) -> Iterator[str]:
        """Yield the answers to some inputs, or to standard input."""
        if texts:
            yield from self._answer([(0, text, "") for text in texts], 0)
            return
        live = stdin_is_terminal()
        numbered = filled_lines(read_lines(encoding), self.empty)
        size = 1 if live else AT_ONCE
        answered = 0
        while True:
            part: list[tuple[int, str, int]] = []
            problem: TextError | None = None
            try:
                for one in islice(numbered, size):
                    part.append(one)
            except TextError as error:  # the lines before it are answered first
                problem = error
            inputs = [(empty, line, f"standard input line {at}: ") for empty, line, at in part]
            yield from self._answer(inputs, answered)
            if problem is not None:
                raise problem
            if not part:
                return
            answered = part[-1][2]

    def _answer(self, inputs: Sequence[tuple[int, str, str]], first: int) -> Iterator[str]:
        """Yield a line for each input; `TextError`, with its place, for one that cannot be read.

        Args:
            inputs: how many empty lines come before it, the input, and its place.
            first: how many lines came before all of them.
        """
        fields: list[str] = []
        blanks: list[int] = []
        problem: TextError | None = None
        for empty, field, place in inputs:
            try:
                self.predictor.prompt(field)
            except TextError as error:
                problem = TextError(f"{place}{error.problem}", *error.advice)
                break
            fields.append(field)
            blanks.append(empty)
        yield from self._with_blanks(fields, blanks, first)  # those before a bad one are not lost
        if problem is not None:
            raise problem

    def _with_blanks(
        self, fields: Sequence[str], blanks: Sequence[int], first: int
    ) -> Iterator[str]:
        """Yield the answers, and before each what stands for the empty lines before it."""
        blank = to_json({"input": "", "output": None}) if self.json else ""
        each = self.count if self.pairing.layout_spec.is_sampled else 1
        numbers = [first + number for number in accumulate(1 + empty for empty in blanks)]
        answers = self._answers(fields, [number - 1 for number in numbers])
        for empty in blanks:
            yield from repeat(f"{blank}\n", empty * each)
            yield from islice(answers, each)

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


def filled_lines(lines: Iterable[str], empty: list[int]) -> Iterator[tuple[int, str, int]]:
    """Yield how many empty lines come before a line that is not, the line, and its number from 1.

    The numbers of the empty ones are appended to `empty`, once a line follows that is not.
    """
    pending: list[int] = []
    for number, line in enumerate(lines, 1):
        if line:
            empty += pending
            yield len(pending), line, number
            pending = []
        else:
            pending.append(number)


def read_lines(encoding: str) -> Iterator[str]:
    """Yield the lines of standard input without their ends, strictly decoded.

    A byte order mark at the beginning is dropped. `TextError` for a line that cannot be decoded,
    after those before it.
    """
    TextOptions(encoding)
    if sys.stdin is None:
        raise UsageError("standard input is closed; try a text: charrnn predict TEXT")
    if stdin_is_terminal():
        say("charrnn: one input per line; end with Ctrl-D")
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=True)
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
