"""View `inspect-gradients --show`: influence of each character of a text on the next prediction."""

import csv
import io
from collections.abc import Sequence

from charrnn.analysis.context import influence
from charrnn.cli.inspect.models import InspectedModel
from charrnn.cli.inspect.view import TerminalView
from charrnn.cli.output.safe_text import write_plain
from charrnn.cli.runs.metrics_log import to_json


def show_influence(chosen: list[InspectedModel], text: str, *, json: bool, as_table: bool) -> None:
    """Show the influence of each character of `text` on the prediction after it, for each model."""
    found = []
    for model in chosen:
        spelled, ids = model.prompt(text)
        found.append((model, spelled, influence(model.config, model.parameters, ids)))
    if json:
        models = [
            {
                "name": model.name,
                "text": spelled,
                "target": model.prediction_name(one.target),
                "probability": one.probability,
                "log_norms": one.log_norms,
                "shares": one.shares,
            }
            for model, spelled, one in found
        ]
        write_plain(f"{to_json({'schema': 1, 'influence': models})}\n")
    elif as_table:
        table = [
            (model.name, number, character, share)
            for model, spelled, one in found
            for number, (character, share) in enumerate(zip(spelled, one.shares, strict=False))
        ]
        write_csv(("model", "position", "character", "share"), table)
    else:
        view = TerminalView()
        for model, spelled, one in found:
            view.influence(model, spelled, one)


def write_csv(header: tuple[str, ...], table: Sequence[tuple[object, ...]]) -> None:
    """Print a table with its header as CSV."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(table)
    write_plain(out.getvalue())
