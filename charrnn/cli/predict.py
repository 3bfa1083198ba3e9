"""`charrnn predict`: a trained model's answers, one a line."""

import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Annotated

import typer

from charrnn.checkpoint import load as load_checkpoint
from charrnn.cli.options import Encoding, Json
from charrnn.cli.run import find_checkpoint, is_checkpoint_argument, to_json
from charrnn.cli.sample import new_seed
from charrnn.cli.terminal import one_line, write_text
from charrnn.errors import TextError, UsageError
from charrnn.prediction import Predictor
from charrnn.sampling import Sampling

AT_ONCE = 256
"""Lines of standard input that are answered side by side; on a terminal each by itself."""


def predict(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CHECKPOINT TEXT",
            help="An .npz or a run's folder, if the first is one, else the newest run; then the "
            "inputs. Without any, lines from standard input.",
            show_default=False,
        ),
    ] = None,
    proba: Annotated[
        bool, typer.Option("--proba", help="Tell the probability too: of every label, if labels.")
    ] = False,
    beam: Annotated[
        int | None,
        typer.Option(metavar="N", help="many-to-many: keep the N likeliest beginnings."),
    ] = None,
    temp: Annotated[
        float | None,
        typer.Option(help="one-to-many: draw at this temperature; 0 the likeliest. Default: 1."),
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(help="one-to-many: only the K likeliest characters.")
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(help="one-to-many: only the likeliest that make up this probability."),
    ] = None,
    count: Annotated[
        int | None, typer.Option(help="one-to-many: so many answers to each input. Default: 1.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="one-to-many: the same seed, the same answers.")
    ] = None,
    json: Json = False,
    encoding: Encoding = "utf-8",
) -> None:
    """Answer inputs with a model that was trained with --layout, one answer a line.

    charrnn predict "March 3rd, 2021", or: charrnn predict checkpoints/dates < dates.txt
    """
    words = arguments or []
    checkpoint, texts = (
        (words[0], words[1:]) if words and is_checkpoint_argument(words[0]) else (None, words)
    )
    path = find_checkpoint(checkpoint)
    loaded = load_checkpoint(path)
    predictor = Predictor(loaded.config, loaded.parameters, loaded.pairing)
    layout = loaded.pairing.layout
    drawing = {"temp": temp, "top-k": top_k, "top-p": top_p, "count": count, "seed": seed}
    given = [name for name, value in drawing.items() if value is not None]
    if given and layout != "one-to-many":
        raise UsageError(f"--{given[0]} is for one-to-many, this model is {layout}; try without it")
    if beam is not None and layout != "many-to-many":
        raise UsageError(f"--beam is for many-to-many, this model is {layout}; try without it")
    if proba and layout == "one-to-many":
        raise UsageError("--proba is not for one-to-many, whose answers are drawn; try without it")
    if checkpoint is None:
        print(f"charrnn: answering with {one_line(str(path))}", file=sys.stderr)
    sampling = Sampling(
        1.0 if temp is None else temp,
        top_k or 0,
        1.0 if top_p is None else top_p,
        new_seed() if seed is None else seed,
    )
    answering = Answering(
        predictor, proba=proba, beam=beam or 1, sampling=sampling, count=count or 1, json=json
    )
    write_text(answering.lines(texts, encoding))


class Answering:
    """Turns inputs into lines of output."""

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

    def lines(self, texts: Sequence[str], encoding: str) -> Iterator[str]:
        """Yield the answers to some inputs, or to standard input."""
        if texts:
            yield from self._answer([(text, "") for text in texts], 0)
            return
        live = sys.stdin is not None and sys.stdin.isatty()
        numbered = enumerate(read_lines(encoding))
        size = 1 if live else AT_ONCE
        while part := list(islice(numbered, size)):
            inputs = [(line, f"standard input line {number + 1}: ") for number, line in part]
            yield from self._answer(inputs, part[0][0])

    def _answer(self, inputs: Sequence[tuple[str, str]], first: int) -> Iterator[str]:
        """Yield a line for each input; `TextError`, with its place, for one that cannot be read."""
        fields: list[str] = []
        problem: TextError | None = None
        for field, place in inputs:
            try:
                if not field:
                    raise TextError("an input is empty; try at least one character")
                self.pairing.prompt(field)
            except TextError as error:
                problem = TextError(f"{place}{error}")
                break
            fields.append(field)
        yield from self._answers(fields, first)  # those before a bad one are not lost
        if problem is not None:
            raise problem

    def _answers(self, fields: Sequence[str], first: int) -> Iterator[str]:
        if not fields:
            return
        if self.pairing.layout == "one-to-many":
            yield from self._drawn(fields, first)
        elif self.proba and not self.pairing.kind.answer_is_text:
            yield from self._labels(fields)
        else:
            yield from self._likeliest(fields)

    def _drawn(self, fields: Sequence[str], first: int) -> Iterator[str]:
        for number, field in enumerate(fields, first):
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


def read_lines(encoding: str) -> Iterator[str]:
    """Yield the lines of standard input without their ends, strictly decoded."""
    if sys.stdin is None:
        raise UsageError("standard input is closed; try a text: charrnn predict TEXT")
    if sys.stdin.isatty():
        print("charrnn: one input a line; end with Ctrl-D", file=sys.stderr)
    try:
        sys.stdin.reconfigure(encoding=encoding, errors="strict")  # type: ignore[union-attr]
    except LookupError as error:
        raise UsageError(f"no text encoding {encoding[:40]!r}; try utf-8") from error
    number = 0
    try:
        for line in sys.stdin:
            number += 1
            yield line.rstrip("\r\n")
    except UnicodeError as error:
        raise TextError(
            f"standard input line {number + 1} is not {encoding.upper()}; try --encoding latin-1"
        ) from error
