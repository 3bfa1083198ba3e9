"""`charrnn predict --alignment`: the attention weights of an answer."""

import sys
from collections.abc import Sequence

import numpy as np
from rich.text import Text

from charrnn.cli.output.console import Screen, answer
from charrnn.cli.output.log_chart import WEIGHT_SHADES, heat_map
from charrnn.cli.output.safe_text import one_line, unicode_ok, write_plain
from charrnn.cli.output.text_plots import supports_colour
from charrnn.cli.runs.metrics_log import to_json
from charrnn.inference.predictor import Alignment, Predictor
from charrnn.types import JSON

END = "END"
"""Title of the row of the end of an answer."""


def show_alignments(predictor: Predictor, texts: Sequence[str], beam: int, *, json: bool) -> None:
    """Print the answer to each input and its attention weights.

    Args:
        predictor: a model with attention.
        texts: the inputs.
        beam: the number of hypotheses of beam search.
        json: whether to print an object per line instead of heat maps.

    Raises errors as `Predictor.alignment` does.
    """
    for text in texts:
        found = predictor.alignment(text, beam)
        if json:
            weights = np.round(found.weights.astype(np.float64), 6).tolist()
            line: dict[str, JSON] = {"input": text, "output": found.answer.text, "weights": weights}
            write_plain(f"{to_json(line)}\n")
        else:
            show_alignment(found)


def show_alignment(found: Alignment) -> None:
    """Print an answer, and for each head a row for each of its symbols."""
    answer(Text(one_line(found.answer.text)))
    unicode, colour = unicode_ok(sys.stdout), supports_colour(Screen())
    titles = [one_line(one) for one in (*found.answer.text, END)]
    columns = [one_line(one) for one in found.inputs]
    heads = len(found.weights)
    for number, weights in enumerate(found.weights.tolist(), 1):
        if heads > 1:
            answer(Text(f"head {number} of {heads}"))
        numbered = enumerate(zip(titles, weights, strict=True), 1)
        rows = {f"{n} {title}": row for n, (title, row) in numbered}
        answer(heat_map(rows, columns, unicode=unicode, colour=colour, shades=WEIGHT_SHADES))
