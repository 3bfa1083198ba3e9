"""Answers of `charrnn predict` as lines: many inputs at a time, their order kept."""

import re
from collections.abc import Iterator, Sequence

import numpy as np

from charrnn.cli.input_lines import read_blocks
from charrnn.cli.runs.metrics_log import to_json
from charrnn.data.characters import quoted
from charrnn.data.prompts import Prompts, encode_prompts
from charrnn.errors import TextError
from charrnn.inference.predictor import Predictor
from charrnn.inference.prompt_answers import answers_to, probabilities_of_labels
from charrnn.inference.sampling import Sampling
from charrnn.types import JSON, Ids

ESCAPED = re.compile("[\udc80-\udcff]")
"""What stands for a byte that could not be decoded, where errors are skipped."""

MAX_AT_ONCE = 2**14
"""Most lines of standard input, times the beam width, that are answered before they are written:
more lines share more beginnings."""

MIN_AT_ONCE = 64
"""Fewest lines that a wide beam leaves of them."""


class AnswerWriter:
    """Writer of answers: computes them for many inputs at once and formats them as lines."""

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
        self.each = count if self.pairing.layout_spec.is_sampled else 1
        """Answers to each input."""
        self.empty: list[int] = []
        """Numbers of the empty lines of standard input, those at its end left out."""
        self.skip_errors = skip_errors
        self.skipped: list[str] = []
        """What is wrong with the lines that were skipped, of which only the first is kept."""
        self.unknown: list[str] = []
        """Places of the inputs with characters that are read as unknown; only the first is kept."""
        self._pending: list[int] = []
        """Numbers of empty lines that no other line has followed yet."""

    def lines(self, texts: Sequence[str], encoding: str) -> Iterator[str]:
        """Yield the answers to some inputs, or to standard input; each time some whole lines."""
        if texts:
            yield from self._answer(texts, 1, "")
            return
        number = 1
        at_once = max(MIN_AT_ONCE, MAX_AT_ONCE // self.beam)
        for block in read_blocks(encoding, skip_errors=self.skip_errors):
            parts = -(-len(block) // at_once)
            size = -(-len(block) // parts)  # parts of equal size
            for first in range(0, len(block), size):
                part = block[first : first + size]
                yield from self._answer(part, number, "standard input line {:,}: ")
                number += len(part)

    def _answer(self, lines: Sequence[str], number: int, place: str) -> Iterator[str]:
        """Yield the answers to some lines, in their order, and what stands for those without one.

        Args:
            lines: inputs; an empty one has no answer.
            number: the number of the first line.
            place: names the place of a line in an error, by its number.

        Raises `TextError`, with the place, for a line that cannot be read, after the answers to
        those before it, unless errors are skipped.
        """
        filled = np.flatnonzero(np.fromiter(map(len, lines), np.int64, len(lines)))
        fields = [lines[at] for at in filled.tolist()]
        prompts, readable = encode_prompts(self.pairing, fields, self.predictor.normalise)
        if self.skip_errors and not "".join(fields).isascii():
            readable &= [not ESCAPED.search(field) for field in fields]
        problems = {
            int(filled[at]): self._problem(fields[at]) for at in np.flatnonzero(~readable).tolist()
        }
        problem: TextError | None = None
        if problems and not self.skip_errors:
            end, error = next(iter(problems.items()))  # the lines before it are answered first
            problem = TextError(f"{place.format(number + end)}{error.problem}", *error.advice)
            lines, problems = lines[:end], {}
            readable[np.flatnonzero(filled >= end)] = False
        for at, error in problems.items():
            text = f"{place.format(number + at)}{error.problem}"
            self.skipped += [text] if not self.skipped else [""]
        good = np.flatnonzero(readable)
        self._note_unknown(fields, number + filled, good, place)
        if len(good) < len(fields):
            fields, prompts = [fields[at] for at in good.tolist()], prompts.chosen(good)
        answers = self._answers(fields, prompts, filled[good] + number - 1)
        if len(good) < len(lines) or self._pending:
            answers = self._between(lines, number, problems, answers)
        if self.pairing.layout_spec.is_sampled:  # these are drawn one by one
            yield from answers
        elif written := "".join(answers):
            yield written
        if problem is not None:
            raise problem

    def _note_unknown(self, fields: Sequence[str], numbers: Ids, answered: Ids, place: str) -> None:
        """Note which of the inputs that are answered have characters that are read as unknown."""
        if not self.pairing.has_unknown("".join(fields)):
            return
        for at in answered.tolist():
            if self.pairing.has_unknown(fields[at]):
                where = place.format(numbers[at]) or f"{quoted(fields[at][:40])}: "
                self.unknown += [where] if not self.unknown else [""]

    def _problem(self, field: str) -> TextError:
        """Return what is wrong with an input that cannot be read."""
        if self.skip_errors and ESCAPED.search(field):
            return TextError("a byte does not fit the encoding", "--encoding NAME")
        try:
            self.predictor.prompt(field)
        except TextError as error:
            return error
        raise RuntimeError(f"{field!r} can be read")

    def _between(
        self,
        lines: Sequence[str],
        number: int,
        problems: dict[int, TextError],
        answers: Iterator[str],
    ) -> Iterator[str]:
        """Yield answers and, in their places, what stands for lines without one."""
        for at, line in enumerate(lines):
            if not line:
                self._pending.append(number + at)
                continue
            if self._pending:
                yield self._without_answer("", None) * (len(self._pending) * self.each)
                self.empty += self._pending
                self._pending = []
            if at in problems:
                yield self._without_answer(line, problems[at].problem) * self.each
            else:
                yield next(answers)

    def _without_answer(self, text: str, error: str | None) -> str:
        """Return what stands for an answer that an input does not have."""
        row: dict[str, JSON] = {"input": text, "output": None}
        if error is not None:
            row["error"] = error
        return f"{to_json(row)}\n" if self.json else "\n"

    def _answers(self, fields: Sequence[str], prompts: Prompts, numbers: Ids) -> Iterator[str]:
        """Yield the lines of the answers to each input, whose numbers (n,) count from 0."""
        if not fields:
            return
        if self.pairing.layout_spec.is_sampled:
            yield from self._drawn(fields, numbers)
        elif self.proba and not self.pairing.layout_spec.answer_is_text:
            yield from self._labels(fields, prompts)
        else:
            yield from self._likeliest(fields, prompts)

    def _drawn(self, fields: Sequence[str], numbers: Ids) -> Iterator[str]:
        for number, field in zip(numbers.tolist(), fields, strict=True):
            rows = []
            for text in self.predictor.sample(field, self.sampling, self.count, number):
                row = {"input": field, "output": text, "seed": self.sampling.seed}
                rows.append(f"{to_json(row) if self.json else text}\n")
            yield "".join(rows)

    def _labels(self, fields: Sequence[str], prompts: Prompts) -> Iterator[str]:
        model = self.predictor
        p = probabilities_of_labels(prompts, model.config, model.parameters, model.ngrams)
        order = np.argsort(-p, axis=-1, kind="stable")
        ranked = np.take_along_axis(p, order, axis=-1).tolist()
        for field, places, shares in zip(fields, order.tolist(), ranked, strict=True):
            pairs = zip((self.pairing.answers[place] for place in places), shares, strict=True)
            if self.json:
                row = {
                    "input": field,
                    "output": self.pairing.answers[places[0]],
                    "probabilities": dict(pairs),
                }
                yield f"{to_json(row)}\n"
            else:
                yield "\t".join(f"{label}\t{share:.4f}" for label, share in pairs) + "\n"

    def _likeliest(self, fields: Sequence[str], prompts: Prompts) -> Iterator[str]:
        model = self.predictor
        network = (model.config, model.parameters, self.pairing)
        texts, p = answers_to(prompts, *network, self.beam, model.ngrams)
        if self.json:
            for field, text, share in zip(fields, texts, p.tolist(), strict=True):
                row = {"input": field, "output": text, "probability": share}
                yield f"{to_json(row)}\n"
        elif self.proba:
            for text, share in zip(texts, p.tolist(), strict=True):
                yield f"{text}\t{share:.4f}\n"
        else:
            for text in texts:
                yield f"{text}\n"
